//! Events, which must never fail a reconcile: in a namespace that is being deleted, or over quota, they are refused.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::{
    api::{FIELD_MANAGER, Reason},
    controller::error::API_DEADLINE,
};

/// The API cuts longer notes.
const LONGEST_NOTE: usize = 1024;

/// Tells people, by `kubectl describe`.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: std::env::var("HOSTNAME").ok() };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes one. Failing is logged.
    pub async fn publish(&self, object: ObjectReference, kind: EventType, reason: Reason, action: &str, note: &str) {
        let note: String = note.chars().take(LONGEST_NOTE).collect();
        let event =
            Event { type_: kind, reason: reason.to_string(), note: Some(note), action: action.into(), secondary: None };
        match tokio::time::timeout(API_DEADLINE, self.recorder.publish(&event, &object)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, %reason, "event refused"),
            Err(_) => tracing::debug!(%reason, "event not answered"),
        }
    }
}
