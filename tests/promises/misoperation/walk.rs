//! The walk of one field, on an object of its own, beside fresh ones.

use std::time::Duration;

use c1_operator::api::{ClientIssuer, ClusterClientIssuer, PersonalClient, Reason};
use kube::{Api, Resource as _};
use serde_json::{Value, json};
use testkit::{Namespace, SecretData, World, eventually};

use super::{
    schema::Field,
    values::{Bad, Values},
};

const DEADLINE: Duration = Duration::from_mins(2);

/// What is walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PersonalClient,
    ClusterClientIssuer,
    ClientIssuer,
}

/// One field of one object.
pub struct Walk<'a> {
    world: &'a World,
    namespace: &'a Namespace,
    kind: Kind,
    field: &'a Field,
    values: Values,
    name: String,
    fresh: u32,
    /// The `PersonalClient`s of this walk.
    made: Vec<String>,
    /// Everything that was ever delivered to the object's Secret, or its user's.
    delivered: Vec<SecretData>,
}

impl<'a> Walk<'a> {
    pub fn new(world: &'a World, namespace: &'a Namespace, kind: Kind, field: &'a Field, values: Values) -> Self {
        let name = format!("walk-{}", field.path.to_lowercase().replace('.', "-"));
        Self { world, namespace, kind, field, values, name, fresh: 0, made: vec![], delivered: vec![] }
    }

    /// Walks, and says which `PersonalClient`s that made.
    pub async fn run(mut self) -> Vec<String> {
        let [first, second] = self.values.good.clone();
        self.apply(&self.name.clone(), &first).await.unwrap_or_else(|error| panic!("{}: {error}", self.step(&first)));
        self.user().await;
        let at_first = self.settled(&self.name, &first).await;
        if at_first["ready"] == Reason::Connected.as_str() {
            self.namespace.ready(&self.name).await;
        }
        self.nothing_is_lost(&first).await;
        match self.values.fixed {
            Some(words) => self.is_refused(&second, words).await,
            None => self.becomes(&second).await,
        }
        for value in self.field.bad() {
            self.is_refused(&value, "").await;
        }
        for bad in std::mem::take(&mut self.values.bad) {
            match bad {
                Bad::Refused(value, words) => self.is_refused(&value, words).await,
                Bad::Told(value, reason) => self.is_told(&value, reason).await,
            }
        }
        self.apply(&self.name.clone(), &first).await.unwrap();
        self.says(&first, &at_first).await;
        self.nothing_is_lost(&first).await;
        self.made
    }

    /// Another good value: the object comes to say what a fresh one says.
    async fn becomes(&mut self, value: &Value) {
        self.apply(&self.name.clone(), value).await.unwrap_or_else(|error| panic!("{}: {error}", self.step(value)));
        let fresh = self.fresh_with(value).await;
        self.says(value, &fresh).await;
        self.nothing_is_lost(value).await;
    }

    async fn is_told(&mut self, value: &Value, reason: Reason) {
        self.becomes(value).await;
        let said = self.settled(&self.name, value).await;
        assert_eq!(said["ready"], reason.as_str(), "{}: {said}", self.step(value));
    }

    /// The API server refuses a value, in these words, and nothing changes.
    async fn is_refused(&self, value: &Value, words: &str) {
        let error = match self.apply(&self.name, value).await {
            Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => status.message.clone(),
            other => panic!("{}: it is not refused, but {other:?}", self.step(value)),
        };
        assert!(error.contains(words), "{}: refused without saying \"{words}\": {error}", self.step(value));
        let named = self.field.path.split('.').any(|part| error.contains(part));
        assert!(named, "{}: refused without naming the field: {error}", self.step(value));
    }

    async fn fresh_with(&mut self, value: &Value) -> Value {
        self.fresh += 1;
        let name = format!("{}-fresh-{}", self.name, self.fresh);
        self.apply(&name, value).await.unwrap();
        if self.kind == Kind::PersonalClient {
            self.made.push(name.clone());
        }
        self.settled(&name, value).await
    }

    /// An issuer gets an object that needs it.
    async fn user(&mut self) {
        self.made.push(self.name.clone());
        if self.kind != Kind::PersonalClient {
            let kind = format!("{:?}", self.kind);
            self.namespace.create(&self.name, json!({"issuerRef": {"kind": kind, "name": self.name}})).await;
        }
    }

    /// Where a Secret was once, there is one, and all that it ever held works: nothing here takes as long as an overlap.
    async fn nothing_is_lost(&mut self, value: &Value) {
        let asked = value.as_str().filter(|_| self.field.path == "secretName");
        let secret = self.namespace.secret(asked.unwrap_or(&self.name)).await;
        if secret.is_none() && self.delivered.is_empty() {
            // An issuer may begin with what it cannot log in with.
            assert_ne!(self.kind, Kind::PersonalClient, "{}: there is no Secret", self.step(value));
            return;
        }
        let secret = secret.unwrap_or_else(|| panic!("{}: the Secret is gone", self.step(value)));
        self.delivered.push(secret);
        for secret in &self.delivered {
            assert!(self.world.c1.login(secret).await, "{}: {} does not log in", self.step(value), secret.client_id());
        }
    }

    fn step(&self, value: &Value) -> String {
        let text = value.to_string();
        format!("{:?}, spec.{} = {}", self.kind, self.field.path, text.chars().take(200).collect::<String>())
    }

    async fn apply(&self, name: &str, value: &Value) -> Result<(), kube::Error> {
        let mut spec = if self.kind == Kind::PersonalClient { json!({}) } else { self.world.issuer_spec().clone() };
        if self.kind == Kind::ClientIssuer {
            spec.as_object_mut().unwrap().remove("policy");
        }
        put(&mut spec, &self.values.beside);
        let nested = self.field.path.rsplit('.').fold(value.clone(), |inner, key| json!({key: inner}));
        // A list or a map replaces what was there.
        put(&mut spec, &nested);
        let namespace = (self.kind != Kind::ClusterClientIssuer).then_some(&self.namespace.name);
        let object = json!({
            "apiVersion": PersonalClient::api_version(&()), "kind": format!("{:?}", self.kind),
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        self.world.put_spec(&object).await
    }

    /// Waits until the object says the same as `expected`.
    async fn says(&self, value: &Value, expected: &Value) {
        eventually(&format!("{}: as a fresh object", self.step(value)), DEADLINE, async || {
            let said = self.said(&self.name).await?;
            if said == *expected { Ok(()) } else { Err(format!("it says {said}\nand not    {expected}")) }
        })
        .await;
    }

    /// Waits until the operator has said something of the object's present spec, and returns it.
    async fn settled(&self, name: &str, value: &Value) -> Value {
        eventually(&format!("{}: {name} settles", self.step(value)), DEADLINE, async || self.said(name).await).await
    }

    /// What the object says, without what is its own: names, ids, times.
    async fn said(&self, name: &str) -> Result<Value, String> {
        let kube = self.world.kube.clone();
        let within = &self.namespace.name;
        let object = match self.kind {
            Kind::PersonalClient => json!(self.namespace.get(name).await),
            Kind::ClientIssuer => json!(Api::<ClientIssuer>::namespaced(kube, within).get_opt(name).await.unwrap()),
            Kind::ClusterClientIssuer => json!(Api::<ClusterClientIssuer>::all(kube).get_opt(name).await.unwrap()),
        };
        let status = &object["status"];
        if status["observedGeneration"] != object["metadata"]["generation"] {
            return Err(format!("not looked at: {status}"));
        }
        let conditions: Vec<&Value> = status["conditions"].as_array().into_iter().flatten().collect();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").ok_or("no Ready")?;
        if ready["reason"] == Reason::Issuing.as_str() {
            return Err(format!("not settled: {status}"));
        }
        let own = |text: &Value| text.as_str().unwrap_or_default().replace(name, "NAME");
        let said = conditions.iter().map(|c| json!([c["type"], c["status"], c["reason"], own(&c["message"])]));
        let mut said = json!({"ready": ready["reason"], "conditions": said.collect::<Vec<_>>()});
        if self.kind == Kind::PersonalClient && ready["status"] == "True" {
            said["client"] = client(&status["client"], name);
            let secret = own(&status["secretName"]);
            said["secret"] = self.secret(status["secretName"].as_str().unwrap_or_default(), name).await?;
            said["secretName"] = json!(secret);
        }
        Ok(said)
    }

    /// Of the Secret what is asked for.
    async fn secret(&self, secret: &str, name: &str) -> Result<Value, String> {
        let secret = self.namespace.secret(secret).await.ok_or("no Secret")?;
        let foreign = |map: Option<std::collections::BTreeMap<String, String>>| {
            let mut map = map.unwrap_or_default();
            map.retain(|key, _| !key.contains("conductor.one/"));
            map
        };
        let (labels, annotations) = (foreign(secret.metadata.labels), foreign(secret.metadata.annotations));
        // Of the data the values are this client's own.
        let keys: Vec<&String> = secret.data.keys().collect();
        Ok(json!([secret.type_, labels, annotations, keys, secret.metadata.name.map(|n| n.replace(name, "NAME"))]))
    }
}

/// What a client was issued with.
fn client(client: &Value, name: &str) -> Value {
    let shown = client["displayName"].as_str().unwrap_or_default();
    let shown = shown.split(" [k8s").next().unwrap_or_default().replace(name, "NAME");
    let time = |key: &str| client[key].as_str().and_then(|text| text.parse::<k8s_openapi::jiff::Timestamp>().ok());
    let lifetime = time("expiresTime").zip(time("createdAt")).map(|(end, begin)| end.duration_since(begin).as_secs());
    json!([shown, client["scopedRoles"], client["allowSourceCidr"], client["host"], lifetime])
}

/// Merges: objects into objects; `null` takes away; all else replaces.
fn put(base: &mut Value, over: &Value) {
    let (Value::Object(base), Value::Object(over)) = (base, over) else { return };
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (_, Value::Null) => drop(base.remove(key)),
            (Some(inner @ Value::Object(_)), Value::Object(_)) => put(inner, value),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}
