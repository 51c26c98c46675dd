//! Row 11, before the replaced client ends: the consumers that read the Secret only when they start are restarted.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    decide::{Decision, Holding},
    step::{Plan, RestartStep, Step},
};
use crate::api::{IssuedClient, PersonalClient, PersonalClientStatus, Workload};

/// A credential that is replaced several times in a short while restarts its consumers once.
const RESTART_AFTER: Duration = Duration::from_secs(10);
/// After the API server did not restart one, all else goes on for so long.
pub const RESTART_AGAIN: Duration = Duration::from_mins(1);

impl Decision<'_> {
    /// The Secret holds another client than the consumers may have read.
    pub(super) fn restart(&self) -> Option<Plan> {
        let due = self.restart_due()?;
        let workloads = workloads(&self.o.object);
        if workloads.is_empty() {
            // Nobody is to be restarted any more.
            let status = PersonalClientStatus { restart_pending: None, ..self.status.clone() };
            return Some(self.step(Step::UpdateStatus(Box::new(status))));
        }
        let client = self.status.client.as_ref()?;
        let Holding::Ours(_, delivered) = self.holding() else { return None };
        // Also while something else is wrong: what they use ends with its overlap.
        let holds = delivered.client.id == client.id && self.is_whole();
        (holds && due <= self.now).then(|| {
            self.step(Step::Restart(RestartStep { workloads: workloads.to_vec(), client_id: client.id.clone() }))
        })
    }

    /// Consumers are still to be restarted.
    pub(super) fn awaits_restart(&self) -> bool {
        self.status.restart_pending == Some(true) && !workloads(&self.o.object).is_empty()
    }

    /// When the consumers are to be restarted.
    pub(super) fn restart_due(&self) -> Option<Timestamp> {
        self.status.restart_pending.filter(|pending| *pending)?;
        if self.o.restart_failed {
            return Some(self.now + RESTART_AGAIN);
        }
        let replaced = self.status.retiring.iter().max_by_key(|r| r.since.0);
        // A time to come is one of a clock that was set back since.
        let replaced = replaced.filter(|r| r.since.0 <= self.now);
        Some(replaced.map_or(self.now, |r| r.revoke_time.0.min(r.since.0 + RESTART_AFTER)))
    }
}

fn workloads(object: &PersonalClient) -> &[Workload] {
    object.spec.rotation.as_ref().and_then(|rotation| rotation.restart.as_deref()).unwrap_or_default()
}

/// Whether consumers are to be restarted when this client becomes the current one. Not for the first one: they cannot have
/// started without it.
pub(super) fn pending(object: &PersonalClient, before: &PersonalClientStatus, client: &IssuedClient) -> Option<bool> {
    let replaces = before.client.as_ref().is_some_and(|former| former.id != client.id);
    let owed = replaces && !workloads(object).is_empty();
    (owed || before.restart_pending == Some(true)).then_some(true)
}
