//! The API server with the chart's CRDs, and tables of what it must accept and refuse.

use c1_operator::api::{ClientIssuer, ClusterClientIssuer, PersonalClient};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::Request,
};
use serde_json::{Value, json};
use testkit::{Namespace, cluster};

/// The three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PersonalClient,
    ClientIssuer,
    ClusterClientIssuer,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::PersonalClient, Self::ClientIssuer, Self::ClusterClientIssuer];
    pub const ISSUERS: [Self; 2] = [Self::ClientIssuer, Self::ClusterClientIssuer];

    fn resource(self) -> ApiResource {
        match self {
            Self::PersonalClient => ApiResource::erase::<PersonalClient>(&()),
            Self::ClientIssuer => ApiResource::erase::<ClientIssuer>(&()),
            Self::ClusterClientIssuer => ApiResource::erase::<ClusterClientIssuer>(&()),
        }
    }

    /// An object of this kind.
    pub fn object(self, name: &str, spec: &Value) -> Value {
        json!({"apiVersion": "iam.conductor.one/v1alpha1", "kind": format!("{self:?}"), "metadata": {"name": name}, "spec": spec})
    }

    /// The smallest spec.
    pub fn least(self) -> Value {
        let auth = json!({"oauth": {"secretRef": {"name": "c1-credentials"}}});
        match self {
            Self::PersonalClient => json!({}),
            Self::ClientIssuer => json!({"tenantDomain": "acme", "auth": auth}),
            Self::ClusterClientIssuer => {
                json!({"tenantDomain": "acme", "auth": auth, "policy": {"namespaceSelector": {}}})
            }
        }
    }

    /// The smallest spec with these fields set; null takes one away.
    pub fn with(self, fields: Value) -> Value {
        let mut spec = self.least();
        let Value::Object(fields) = fields else { panic!("{fields} is no object") };
        for (name, value) in fields {
            if value.is_null() {
                spec.as_object_mut().unwrap().remove(&name);
            } else {
                spec[name] = value;
            }
        }
        spec
    }
}

/// The API server.
pub struct Server {
    pub client: Client,
}

impl Server {
    /// With the chart's CRDs.
    pub async fn connect() -> Self {
        let client = cluster::admin().await;
        let objects = cluster::render(&json!({}));
        let crds: Vec<_> = objects.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
        assert_eq!(crds.len(), 3, "the chart renders its CRDs");
        cluster::install(&client, &crds, &[]).await;
        Self { client }
    }

    /// A namespace of one's own.
    pub async fn namespace(&self, name: &str) -> Namespace {
        Namespace::alone(&self.client, name).await
    }

    /// Deletes a namespace, and does not wait for it.
    pub async fn discard(&self, namespace: &Namespace) {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        api.delete(&namespace.name, &DeleteParams::default()).await.unwrap();
    }

    /// The API of a kind; the namespace counts only for namespaced ones.
    pub fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        match kind {
            Kind::ClusterClientIssuer => Api::all_with(self.client.clone(), &kind.resource()),
            _ => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
        }
    }

    /// Applies an object as a GitOps tool would.
    pub async fn apply(&self, kind: Kind, namespace: &str, object: &Value) -> Result<DynamicObject, String> {
        let name = object["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("gitops");
        self.api(kind, namespace).patch(name, &params, &Patch::Apply(object)).await.map_err(message)
    }

    /// Whether an object would be created, as kubectl asks for it: unknown fields are refused.
    pub async fn dry_run(&self, kind: Kind, object: &Value) -> Result<Value, String> {
        let namespace = (kind != Kind::ClusterClientIssuer).then_some("default");
        let path = DynamicObject::url_path(&kind.resource(), namespace);
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut request = Request::new(path).create(&params, object.to_string().into_bytes()).unwrap();
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().unwrap();
        self.client.request(request).await.map_err(message)
    }

    /// Every spec must be accepted.
    pub async fn accepts(&self, kind: Kind, specs: impl IntoIterator<Item = Value>) {
        let mut wrong = Vec::new();
        for spec in specs {
            if let Err(message) = self.dry_run(kind, &kind.object("a-test", &spec)).await {
                wrong.push(format!("{}\n    refused: {message}", short(&spec)));
            }
        }
        assert!(wrong.is_empty(), "{kind:?} should be accepted:\n  {}", wrong.join("\n  "));
    }

    /// Every spec must be refused, in words that hold the given ones.
    pub async fn rejects<'a>(&self, kind: Kind, specs: impl IntoIterator<Item = (Value, &'a str)>) {
        let mut wrong = Vec::new();
        for (spec, words) in specs {
            let answer = self.dry_run(kind, &kind.object("a-test", &spec)).await;
            wrong.extend(
                is_refused(answer.as_ref().map(|_| ()), words).err().map(|why| format!("{}\n    {why}", short(&spec))),
            );
        }
        assert!(wrong.is_empty(), "{kind:?} should be refused:\n  {}", wrong.join("\n  "));
    }
}

/// That something was refused in these words, and not by a rule that itself failed.
pub fn is_refused(answer: Result<(), &String>, words: &str) -> Result<(), String> {
    match answer {
        Ok(()) => Err(format!("accepted; expected: {words}")),
        Err(message) if !message.contains(words) => Err(format!("refused: {message}\n    expected: {words}")),
        Err(message) if message.contains("evaluating rule") => Err(format!("a rule failed: {message}")),
        Err(_) => Ok(()),
    }
}

fn message(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        error => panic!("{error}"),
    }
}

fn short(spec: &Value) -> String {
    spec.to_string().chars().take(200).collect()
}
