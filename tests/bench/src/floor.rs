//! The floor: what an issue writes, by a bare client with the operator's rights. It reads nothing, decides nothing, keeps no
//! cache and writes no events.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use c1_operator::api::{FIELD_MANAGER, FINALIZER, PersonalClient, RECORD_ANNOTATION};
use http::{HeaderValue, header};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ObjectMeta, PartialObjectMeta, Request},
};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::{Namespace, audit::Requests};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Args,
    bed::{self, Bed, Sample},
};

const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// How fast the API server lets anybody be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Floor {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Objects a second.
    pub per_second: f64,
    /// What was asked of the API server.
    pub requests: Requests,
}

/// Makes the objects, writes to all of them what an issue writes, and takes them away again.
pub async fn measure(bed: &mut Bed, args: &Args, sample: &Sample) -> Floor {
    let namespace = Namespace::alone(&bed.kube, "bench-floor").await;
    let objects = bed::create(&namespace, args.objects).await;
    let client = bare_client(bed.operator.env("KUBECONFIG").unwrap()).await;
    let writer = Arc::new(Writer::new(&client, &namespace.name, sample, args.latency()));
    bed.begin().await;
    let begun = Instant::now();
    share_out(objects, args.workers, writer).await;
    let seconds = begun.elapsed().as_secs_f64();
    let requests = bed.audit.requests(Some(&namespace.name));
    clear(&namespace).await;
    Floor { seconds, per_second: f64::from(args.objects) / seconds, requests }
}

/// As the operator makes its own.
async fn bare_client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn share_out(objects: Vec<PersonalClient>, workers: usize, writer: Arc<Writer>) {
    let queue = Arc::new(Mutex::new(objects));
    let mut working = JoinSet::new();
    for _ in 0..workers {
        let (queue, writer) = (queue.clone(), writer.clone());
        working.spawn(async move {
            let next = || queue.lock().unwrap().pop();
            while let Some(object) = next() {
                writer.write(&object).await;
            }
        });
    }
    working.join_all().await;
}

struct Writer {
    client: Client,
    objects: Api<PersonalClient>,
    namespace: String,
    record: Value,
    secret: Secret,
    status: Value,
    pause: Duration,
}

impl Writer {
    fn new(client: &Client, namespace: &str, sample: &Sample, pause: Duration) -> Self {
        let record = json!({RECORD_ANNOTATION: sample.object.annotations()[RECORD_ANNOTATION]});
        let mut secret = sample.secret.clone();
        secret.metadata = ObjectMeta {
            labels: secret.metadata.labels,
            annotations: secret.metadata.annotations,
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        };
        Self {
            objects: Api::namespaced(client.clone(), namespace),
            client: client.clone(),
            namespace: namespace.into(),
            record,
            secret,
            status: serde_json::to_value(&sample.object.status).unwrap(),
            pause,
        }
    }

    /// In the order of an issue: dry run, intent, the far side's create, delivery, record.
    async fn write(&self, object: &PersonalClient) {
        let name = object.name_any();
        self.create_secret(&name, true).await;
        let intent = json!({"metadata": {
            "uid": object.uid(), "resourceVersion": object.resource_version(),
            "annotations": self.record, "finalizers": [FINALIZER],
        }});
        let intended = self.objects.patch(&name, &params(), &Patch::Merge(intent)).await.unwrap();
        sleep(self.pause).await;
        self.create_secret(&name, false).await;
        let metadata = json!({"uid": intended.uid(), "resourceVersion": intended.resource_version()});
        let status = Patch::Merge(json!({"metadata": metadata, "status": self.status}));
        self.objects.patch_status(&name, &params(), &status).await.unwrap();
    }

    async fn create_secret(&self, name: &str, dry_run: bool) {
        let mut secret = self.secret.clone();
        secret.metadata.name = Some(name.into());
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let path = Request::new(Secret::url_path(&(), Some(&self.namespace)));
        let mut request = path.create(&params, serde_json::to_vec(&secret).unwrap()).unwrap();
        request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
        let _: PartialObjectMeta<Secret> = self.client.request(request).await.unwrap();
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// Without their finalizers, for no operator runs that would take them off, and the one that comes next must find none.
async fn clear(namespace: &Namespace) {
    for object in namespace.list().await {
        namespace.patch(&object.name_any(), json!({"metadata": {"finalizers": null}})).await;
    }
    let (params, all) = (DeleteParams::default(), ListParams::default());
    namespace.personal_clients().delete_collection(&params, &all).await.unwrap();
    namespace.secrets().delete_collection(&params, &all).await.unwrap();
}
