//! Watches everything that is written while a test runs: every version of our objects, of events and of Secrets, so that
//! the scan for secrets also sees what is gone by the end. And it writes down every reason that it sees, for the suite
//! `reasons`.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use c1_operator::api::{ClientIssuer, ClusterClientIssuer, FIELD_MANAGER, PersonalClient};
use futures::StreamExt as _;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cluster;

/// Where the reasons are written down, one a line, by all suites.
#[must_use]
pub fn reasons_file() -> PathBuf {
    cluster::target().join("test/reasons-seen")
}

/// What was seen in one test.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every version of every object of our kinds.
    pub objects: Vec<Value>,
    /// Every version of every event, and where it stood.
    pub events: Vec<(String, String)>,
    /// Every version of every Secret.
    pub secrets: Vec<Secret>,
}

/// The watches. Dropping it ends them.
pub(crate) struct Recorder {
    seen: Arc<Mutex<Seen>>,
    client: Client,
    watches: JoinSet<()>,
}

impl Recorder {
    /// Begins. The CRDs must be there.
    pub(crate) fn start(client: &Client) -> Self {
        let mut recorder = Self { seen: Arc::default(), client: client.clone(), watches: JoinSet::new() };
        recorder.watch_objects::<PersonalClient>();
        recorder.watch_objects::<ClientIssuer>();
        recorder.watch_objects::<ClusterClientIssuer>();
        recorder.watch::<Event>(Api::all(client.clone()), keep_event);
        recorder.watch::<Secret>(Api::all(client.clone()), keep_secret);
        recorder
    }

    /// Looks once more at what is there, and hands out all that was seen.
    pub(crate) async fn finish(mut self) -> Seen {
        self.watches.shutdown().await;
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let objects = [
            cluster::list::<PersonalClient>(&self.client).await,
            cluster::list::<ClientIssuer>(&self.client).await,
            cluster::list::<ClusterClientIssuer>(&self.client).await,
        ];
        objects.iter().flatten().for_each(|object| keep_object(&mut seen, object));
        let everything = kube::api::ListParams::default();
        for event in Api::<Event>::all(self.client.clone()).list(&everything).await.unwrap() {
            keep_event(&mut seen, &event);
        }
        for secret in Api::<Secret>::all(self.client.clone()).list(&everything).await.unwrap() {
            keep_secret(&mut seen, &secret);
        }
        seen
    }

    fn watch_objects<K: Resource<DynamicType = ()>>(&mut self) {
        let resource = ApiResource::erase::<K>(&());
        self.watch(Api::all_with(self.client.clone(), &resource), keep_object);
    }

    fn watch<K>(&mut self, api: Api<K>, keep: fn(&mut Seen, &K))
    where
        K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let seen = self.seen.clone();
        self.watches.spawn(async move {
            let mut changes = watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(change) = changes.next().await {
                let (watcher::Event::Apply(object)
                | watcher::Event::InitApply(object)
                | watcher::Event::Delete(object)) = (match change {
                    Ok(change) => change,
                    Err(_) => continue,
                })
                else {
                    continue;
                };
                keep(&mut seen.lock().unwrap(), &object);
            }
        });
    }
}

fn keep_object(seen: &mut Seen, object: &DynamicObject) {
    let value = serde_json::to_value(object).unwrap();
    note_object(&value);
    seen.objects.push(value);
}

fn keep_event(seen: &mut Seen, event: &Event) {
    note_event(event);
    let place = format!("event {}/{}", event.namespace().unwrap_or_default(), event.name_any());
    seen.events.push((place, serde_json::to_string(event).unwrap()));
}

fn keep_secret(seen: &mut Seen, secret: &Secret) {
    seen.secrets.push(secret.clone());
}

/// Writes down the reasons of an object's conditions.
pub(crate) fn note_object(object: &Value) {
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        note(condition["reason"].as_str().unwrap_or_default());
    }
}

/// Writes down the reason of an event, if the operator reported it.
pub(crate) fn note_event(event: &Event) {
    if event.reporting_controller.as_deref() == Some(FIELD_MANAGER) {
        note(event.reason.as_deref().unwrap_or_default());
    }
}

fn note(reason: &str) {
    static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !reason.is_empty() && NOTED.lock().unwrap().insert(reason.to_owned()) {
        let file = reasons_file();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        file.write_all(format!("{reason}\n").as_bytes()).unwrap();
    }
}
