//! What the year passes on: API server, C1, the operator with the rights of the chart, and the objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use c1_operator::{
    api::{MANAGED_LABEL, PersonalClient},
    plan::status::is_ready,
};
use futures::{StreamExt as _, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, Resource as _, ResourceExt as _, api::ListParams};
use serde_json::json;
use testkit::{
    Namespace, Operator, SecretData, Simulator, TestClock, audit::Audit, cluster, deployed, eventually, free_port,
};

use crate::{HOUR, LIFETIME, OVERLAP};

/// How many requests prepare and clear away at once.
const HELPERS: usize = 16;
const ISSUED_WITHIN: Duration = Duration::from_mins(10);
const CREDENTIALS: &str = "c1-credentials";

/// Everything.
pub struct Stage {
    /// The far side.
    pub c1: Simulator,
    /// Of the operator and of C1.
    pub clock: TestClock,
    /// Where the objects are.
    pub namespace: Namespace,
    /// What the operator's user asks of the API server.
    pub audit: Audit,
    operator: Operator,
}

impl Stage {
    /// With so many objects, all of them Ready.
    pub async fn make(objects: u32) -> Self {
        let kube = cluster::admin().await;
        cluster::clean(&kube).await;
        let dir = cluster::target().join("test/year");
        let _ = fs::remove_dir_all(&dir);
        let c1 = Simulator::launch_forgetful(&dir.join("c1"), &[]).await;
        let clock = TestClock::new();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut values = clock.values();
        values["clusterName"] = json!("year");
        values["allowedHosts"] = json!([c1.host]);
        values["listen"] = json!(listen);
        let rendered = cluster::render(&values);
        cluster::install(&kube, &rendered, &[]).await;
        let mut operator = deployed::operator(&kube, &rendered, &listen, &dir).await;
        let account =
            cluster::rendered(&rendered, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
        let user = format!("system:serviceaccount:{}:{}", cluster::OPERATOR_NAMESPACE, account.as_str().unwrap());
        issuer(&kube, &c1).await;
        operator.start(None);
        operator.ready().await;
        let namespace = Namespace::alone(&kube, "year").await;
        let stage = Self { c1, clock, namespace, audit: Audit::of(&user), operator };
        stage.issue(objects).await;
        stage
    }

    async fn issue(&self, objects: u32) {
        let hours = |seconds: i64| format!("{}h", seconds / HOUR);
        let spec = json!({"expires": hours(LIFETIME), "rotation": {"overlap": hours(OVERLAP)}});
        let create = async |n| self.namespace.create(&format!("client-{n}"), spec.clone()).await;
        let made: Vec<_> = stream::iter(0..objects).map(create).buffer_unordered(HELPERS).collect().await;
        eventually("every object is Ready", ISSUED_WITHIN, async || {
            let ready = |object: &PersonalClient| object.status.as_ref().is_some_and(is_ready);
            let count = self.namespace.list().await.iter().filter(|object| ready(object)).count();
            if count == made.len() { Ok(()) } else { Err(format!("{count} are")) }
        })
        .await;
    }

    /// What the Secrets hold, by their names.
    pub async fn secrets(&self) -> BTreeMap<String, SecretData> {
        let ours = ListParams::default().labels(MANAGED_LABEL);
        let secrets: Api<Secret> = self.namespace.secrets();
        let list = secrets.list(&ours).await.unwrap();
        list.items.into_iter().map(|secret| (secret.name_any(), secret.into())).collect()
    }

    /// The clients that live, but for the one that the operator logs in with.
    pub async fn clients(&self) -> BTreeSet<String> {
        self.c1.live().await.into_iter().map(|client| client.id).collect()
    }

    /// How many were ever made for objects.
    pub async fn made(&self) -> usize {
        self.c1.ledger().await.iter().filter(|client| !client.bootstrap).count()
    }

    /// Ends the operator.
    pub async fn end(mut self) {
        let status = self.operator.terminate().await;
        assert!(status.success(), "the operator ended with {status}");
    }
}

/// As users make it, with the intervals of users.
async fn issuer(kube: &Client, c1: &Simulator) {
    let namespace = cluster::OPERATOR_NAMESPACE;
    let data = [("clientId", c1.client_id.as_str()), ("clientSecret", c1.client_secret.as_str())];
    cluster::put_secret(kube, namespace, CREDENTIALS, &data).await;
    let spec = json!({
        "url": c1.url,
        "caBundle": ByteString(fs::read(&c1.ca_file).unwrap()),
        "auth": {"oauth": {"secretRef": {"name": CREDENTIALS}}},
        "defaults": {"scopedRoles": ["system:viewer"]},
        "policy": {"namespaceSelector": {}},
    });
    let issuer = json!({"apiVersion": PersonalClient::api_version(&()), "kind": "ClusterClientIssuer", "metadata": {"name": "default"}, "spec": spec});
    cluster::apply(kube, &issuer).await;
}
