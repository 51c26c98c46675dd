//! One namespace of a test: its PersonalClients, Secrets and events.

use std::time::Duration;

use c1_operator::api::{ConditionType, PersonalClient, Reason, condition};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client, Resource as _,
    api::{DeleteParams, ListParams, PostParams},
    core::Request,
};
use serde_json::{Value, json};

use crate::{SecretData, cluster, eventually, recorder};

const DEADLINE: Duration = Duration::from_mins(1);

/// A namespace of a test.
#[derive(Clone)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    client: Client,
}

impl AsRef<str> for Namespace {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl Namespace {
    /// A namespace for a test that needs no [`crate::World`]. Its name is its own.
    pub async fn alone(client: &Client, name: &str) -> Self {
        Self::create_in(client, format!("{name}-{}", cluster::unique()), "alone").await
    }

    /// Makes it.
    pub(crate) async fn create_in(client: &Client, name: String, test: &str) -> Self {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {cluster::TEST_LABEL: test}}});
        cluster::apply(client, &object).await;
        Self { name, client: client.clone() }
    }

    /// Creates a PersonalClient, and returns it as it was created.
    pub async fn create(&self, name: &str, spec: Value) -> PersonalClient {
        self.try_create(name, spec).await.unwrap_or_else(|error| panic!("{name} was refused: {error}"))
    }

    /// Creates a PersonalClient, if the API server lets it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn try_create(&self, name: &str, spec: Value) -> Result<PersonalClient, kube::Error> {
        let object = json!({
            "apiVersion": PersonalClient::api_version(&()), "kind": PersonalClient::kind(&()),
            "metadata": {"name": name, "namespace": self.name}, "spec": spec,
        });
        // Not through the type, which could not say what is wrong.
        let request = Request::new(PersonalClient::url_path(&(), Some(&self.name)));
        let request = request.create(&PostParams::default(), object.to_string().into_bytes()).unwrap();
        self.client.request(request).await
    }

    /// Merges into a PersonalClient: `{"spec": …}`, `{"metadata": {"annotations": …}}`.
    pub async fn patch(&self, name: &str, merge: Value) {
        cluster::merge(&self.personal_clients(), name, &merge).await;
    }

    /// Deletes a PersonalClient, and does not wait until it is gone.
    pub async fn delete(&self, name: &str) {
        self.personal_clients().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// A PersonalClient.
    pub async fn get(&self, name: &str) -> Option<PersonalClient> {
        cluster::find(&self.personal_clients(), name).await
    }

    /// All PersonalClients.
    pub async fn list(&self) -> Vec<PersonalClient> {
        self.personal_clients().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until a PersonalClient is Ready for its present spec.
    pub async fn ready(&self, name: &str) -> PersonalClient {
        self.condition(name, "True", None, &format!("{} Ready", self.full(name))).await
    }

    /// Waits until a PersonalClient is not Ready, for this reason.
    pub async fn reason(&self, name: &str, reason: Reason) -> PersonalClient {
        self.condition(name, "False", Some(reason), &format!("{} not Ready: {reason}", self.full(name))).await
    }

    /// Waits until a PersonalClient satisfies `accept`, which says what is missing.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        accept: impl Fn(&PersonalClient) -> Result<(), String>,
    ) -> PersonalClient {
        eventually(&format!("{}: {what}", self.full(name)), DEADLINE, async || {
            let object = self.get(name).await.ok_or("it does not exist")?;
            accept(&object).map(|()| object)
        })
        .await
    }

    /// Waits until a PersonalClient is gone.
    pub async fn gone(&self, name: &str) {
        eventually(&format!("{} gone", self.full(name)), DEADLINE, async || match self.get(name).await {
            None => Ok(()),
            Some(object) => Err(format!("it is there: {}", status(&object))),
        })
        .await;
    }

    /// A Secret, decoded.
    pub async fn secret(&self, name: &str) -> Option<SecretData> {
        cluster::find(&self.secrets(), name).await.map(SecretData::from)
    }

    /// The Secrets, for what is not foreseen here.
    #[must_use]
    pub fn secrets(&self) -> Api<Secret> {
        cluster::within(&self.client, &self.name)
    }

    /// The PersonalClients, for what is not foreseen here.
    #[must_use]
    pub fn personal_clients(&self) -> Api<PersonalClient> {
        cluster::within(&self.client, &self.name)
    }

    /// Waits for an event of this reason about the object of this name, of whatever kind (the namespace, too), and
    /// returns its note.
    pub async fn event(&self, name: &str, reason: Reason) -> String {
        event(&self.client, self.of_events_about(name), name, reason).await
    }

    /// The events about an object: reason and note.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        events(&self.client, self.of_events_about(name), name).await
    }

    /// Events about the namespace itself are elsewhere, as about all that is in no namespace.
    fn of_events_about(&self, name: &str) -> Option<&str> {
        (name != self.name).then_some(self.name.as_str())
    }

    async fn condition(&self, name: &str, wanted: &str, reason: Option<Reason>, what: &str) -> PersonalClient {
        let object = eventually(what, DEADLINE, async || {
            let object = self.get(name).await.ok_or("it does not exist")?;
            let last = object.status_or_default();
            let ready = condition::find(&last.conditions, ConditionType::Ready);
            let generation = object.metadata.generation;
            // A deletion raises the generation, and nobody asks then which spec a status is about.
            let deleting = object.metadata.deletion_timestamp.is_some();
            let fits = ready.is_some_and(|ready| {
                let present = ready.observed_generation == generation && Some(last.observed_generation) == generation;
                ready.status == wanted
                    && reason.is_none_or(|reason| ready.reason == reason.as_str())
                    && (present || deleting)
            });
            if fits { Ok(object) } else { Err(status(&object)) }
        })
        .await;
        recorder::note_object(&serde_json::to_value(&object).unwrap());
        object
    }

    fn full(&self, name: &str) -> String {
        format!("PersonalClient {}/{name}", self.name)
    }
}

/// Waits for an event about an object; with `namespace` none, in all of them.
pub(crate) async fn event(client: &Client, namespace: Option<&str>, name: &str, reason: Reason) -> String {
    eventually(&format!("an event {reason} about {name}"), DEADLINE, async || {
        let found = events(client, namespace, name).await;
        let note = found.iter().find(|(of, _)| of == reason.as_str()).map(|(_, note)| note.clone());
        note.ok_or_else(|| format!("there are {found:?}"))
    })
    .await
}

pub(crate) async fn events(client: &Client, namespace: Option<&str>, name: &str) -> Vec<(String, String)> {
    let api: Api<Event> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = api.list(&ListParams::default()).await.unwrap();
    let about =
        events.into_iter().filter(|event| event.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(name)));
    about
        .map(|event| {
            recorder::note_event(&event);
            (event.reason.unwrap_or_default(), event.note.unwrap_or_default())
        })
        .collect()
}

/// What a message shows of an object.
pub(crate) fn status(object: &PersonalClient) -> String {
    format!(
        "generation {:?}, deleted {:?}, status {}",
        object.metadata.generation,
        object.meta().deletion_timestamp.as_ref().map(|time| time.0.to_string()),
        serde_json::to_string(&object.status).unwrap(),
    )
}
