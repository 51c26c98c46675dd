//! Events, which must never fail a reconcile: in a namespace that is being deleted, or over quota, they are refused.
//!
//! Not kube's `Recorder`: it keeps the first note of a reason for six minutes, and the note is what tells people what to do.
//! We publish only what is new, so there is nothing to fold into a series.

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams, runtime::events::EventType};

use crate::{
    api::{FIELD_MANAGER, Reason},
    controller::error::API_DEADLINE,
};

/// The API cuts longer notes.
const LONGEST_NOTE: usize = 1024;

/// Tells people, by `kubectl describe`.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
}

impl Events {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, instance: std::env::var("HOSTNAME").unwrap_or_else(|_| FIELD_MANAGER.into()) }
    }

    /// Publishes one. Failing is logged.
    pub async fn publish(&self, object: ObjectReference, kind: EventType, reason: Reason, action: &str, note: &str) {
        // Events of cluster-scoped objects belong into `default`, where kubectl looks for them.
        let namespace = object.namespace.clone().unwrap_or_else(|| "default".into());
        let event = self.event(&namespace, object, kind, reason, action, note);
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        match tokio::time::timeout(API_DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, %reason, "event refused"),
            Err(_) => tracing::debug!(%reason, "event not answered"),
        }
    }

    fn event(
        &self,
        namespace: &str,
        object: ObjectReference,
        kind: EventType,
        reason: Reason,
        action: &str,
        note: &str,
    ) -> Event {
        // Wall time, not the clock of the operator: the API server compares it with its own.
        let now = Timestamp::now();
        let kind = match kind {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        Event {
            metadata: ObjectMeta {
                // The API server appends random letters: two events of one moment do not collide.
                generate_name: Some(format!(
                    "{}.{:x}-",
                    object.name.as_deref().unwrap_or_default(),
                    now.as_microsecond()
                )),
                namespace: Some(namespace.into()),
                ..Default::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(kind.into()),
            reason: Some(reason.to_string()),
            action: Some(action.into()),
            note: Some(note.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(object),
            reporting_controller: Some(FIELD_MANAGER.into()),
            reporting_instance: Some(self.instance.clone()),
            ..Default::default()
        }
    }
}
