//! P1 to P3 as they must hold in every state. P4 and P8 are checked where they could be broken: at each effect.

use c1_operator::plan::{Content, status};

use crate::world::{State, is_deleting};

/// P1: an object that says Ready has a Secret that works, unless somebody outside took that from it.
pub fn nothing_is_lost(state: &State) -> bool {
    let Some(object) = state.object.as_ref().filter(|o| !is_deleting(o)) else { return true };
    if !status::is_ready(&object.status_or_default()) || state.secret_disturbed {
        return true;
    }
    let held = state.held().and_then(|id| state.client(&id));
    held.is_some_and(|client| client.live || client.deleted_outside)
}

/// P2: a client that came into being while its attempt was on record stays named, by status, Secret or record, as long as the
/// object is there.
pub fn answered_for(state: &State) -> bool {
    state.object.is_none() || state.clients.iter().filter(|c| c.is_owned()).all(|c| state.names(c))
}

/// P3: beside the credential and those that it replaces, a replica leaves at most one living client to be resolved; each
/// request that went wrong, list that lagged, transaction that was cut off by time, and backup that was restored, one more.
pub fn bounded(state: &State) -> bool {
    let status = state.object.as_ref().map(|o| o.status_or_default()).unwrap_or_default();
    let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
    let named = |id: &str| {
        status.client.iter().chain(delivered.map(|d| &d.client)).any(|c| c.id == id)
            || status.retiring.iter().chain(delivered.iter().flat_map(|d| &d.replaces)).any(|r| r.id == id)
    };
    let unresolved =
        state.clients.iter().filter(|c| c.is_owned() && c.attempt().is_some() && !named(&c.client.id)).count();
    unresolved <= state.replicas.len() + usize::from(state.mishaps)
}

/// Whether the Secret's data are as the operator wrote them.
pub fn is_intact(state: &State) -> bool {
    state.secret.as_ref().is_some_and(|s| matches!(s.content, Content::Intact { .. }))
}
