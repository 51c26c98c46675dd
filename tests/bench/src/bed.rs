//! What all measurements run on: API server, chart, C1 simulator, issuer, and the operator with the rights of the chart.

use std::{fs, time::Duration};

use c1_operator::api::PersonalClient;
use futures::{StreamExt as _, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;
use testkit::{Namespace, Operator, Simulator, audit::Audit, cluster, deployed, free_port};
use tokio::time::{sleep, timeout};

use crate::Args;

/// How many requests prepare and clear away at once.
const HELPERS: usize = 16;
/// How many objects warm the API server up, which is slow at first.
const WARM_UP: u32 = 50;
const FILLED_WITHIN: Duration = Duration::from_mins(1);
/// Short, for the time is what is measured.
const BETWEEN_PROBES: Duration = Duration::from_millis(5);
const CREDENTIALS: &str = "c1-credentials";

/// Everything that is measured, or that is measured with.
pub struct Bed {
    /// With all rights.
    pub kube: Client,
    /// The far side.
    pub c1: Simulator,
    /// Not started yet.
    pub operator: Operator,
    /// What the operator's user asks of the API server.
    pub audit: Audit,
    http: reqwest::Client,
}

/// An object and its Secret as the operator left them: what the bare client writes.
pub struct Sample {
    /// The object.
    pub object: PersonalClient,
    /// Its Secret.
    pub secret: Secret,
}

/// A start of the operator.
pub struct Started {
    /// The process was started.
    pub at: Timestamp,
    /// Its caches were filled.
    pub filled: Timestamp,
}

impl Bed {
    /// With default flags, but for what the place asks for.
    pub async fn make(args: &Args) -> Self {
        let kube = cluster::admin().await;
        cluster::clean(&kube).await;
        let dir = cluster::target().join("test/bench");
        let _ = fs::remove_dir_all(&dir);
        let c1 = Simulator::launch_forgetful(&dir.join("c1"), &[]).await;
        let pause = json!({"kind": "latency", "seconds": args.latency().as_secs_f64()});
        c1.faults(json!([{"operation": "create", "fault": pause}])).await;

        let listen = format!("127.0.0.1:{}", free_port());
        let mut values = json!({"clusterName": "bench", "allowedHosts": [c1.host], "listen": listen});
        if let Some(concurrency) = args.concurrency {
            values["concurrency"] = json!(concurrency);
        }
        let objects = cluster::render(&values);
        cluster::install(&kube, &objects, &[]).await;
        let operator = deployed::operator(&kube, &objects, &listen, &dir).await;
        let account =
            cluster::rendered(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
        let user = format!("system:serviceaccount:{}:{}", cluster::OPERATOR_NAMESPACE, account.as_str().unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let bed = Self { kube, c1, operator, audit: Audit::of(&user), http };
        bed.make_issuer().await;
        bed
    }

    async fn make_issuer(&self) {
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        let credentials = json!({"name": CREDENTIALS, "namespace": cluster::OPERATOR_NAMESPACE, "labels": {cluster::TEST_LABEL: "bench"}});
        let data = json!({"clientId": text(&self.c1.client_id), "clientSecret": text(&self.c1.client_secret)});
        cluster::apply(
            &self.kube,
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": credentials, "data": data}),
        )
        .await;
        let spec = json!({
            "url": self.c1.url,
            "caBundle": ByteString(fs::read(&self.c1.ca_file).unwrap()),
            "auth": {"oauth": {"secretRef": {"name": CREDENTIALS}}},
            "defaults": {"expires": "720h", "scopedRoles": ["system:viewer"]},
            "policy": {"namespaceSelector": {}},
        });
        let issuer = json!({"apiVersion": PersonalClient::api_version(&()), "kind": "ClusterClientIssuer", "metadata": {"name": "default"}, "spec": spec});
        cluster::apply(&self.kube, &issuer).await;
    }

    /// Issues and revokes a few, so that nobody pays for the API server's first requests.
    pub async fn warm_up(&mut self) -> Sample {
        let namespace = Namespace::alone(&self.kube, "bench-warm-up").await;
        let objects = create(&namespace, WARM_UP).await;
        self.start().await;
        for object in &objects {
            namespace.ready(&object.name_any()).await;
        }
        let first = objects[0].name_any();
        let object = namespace.get(&first).await.unwrap();
        let sample = Sample { object, secret: namespace.secrets().get(&first).await.unwrap() };
        for object in &objects {
            namespace.delete(&object.name_any()).await;
        }
        for object in &objects {
            namespace.gone(&object.name_any()).await;
        }
        self.operator.terminate().await;
        sample
    }

    /// Starts the operator, counts its requests from now on, and waits until its caches are filled.
    pub async fn start(&mut self) -> Started {
        self.begin().await;
        let at = Timestamp::now();
        self.operator.start(None);
        timeout(FILLED_WITHIN, self.filled()).await.expect("the operator fills its caches");
        Started { at, filled: Timestamp::now() }
    }

    /// Counts requests from now on.
    pub async fn begin(&mut self) {
        self.audit.begin();
        self.c1.reset_requests().await;
    }

    async fn filled(&self) {
        while !self.is_filled().await {
            sleep(BETWEEN_PROBES).await;
        }
    }

    /// A replica that stands by is ready as well, and says so.
    async fn is_filled(&self) -> bool {
        let Ok(answer) = self.http.get(format!("{}/readyz", self.operator.url)).send().await else { return false };
        answer.status().is_success() && answer.text().await.is_ok_and(|text| text == "ok")
    }
}

/// Makes as many objects.
pub async fn create(namespace: &Namespace, count: u32) -> Vec<PersonalClient> {
    let create = async |n| namespace.create(&format!("client-{n}"), json!({})).await;
    stream::iter(0..count).map(create).buffer_unordered(HELPERS).collect().await
}
