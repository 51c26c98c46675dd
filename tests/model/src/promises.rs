//! P1 to P3 as they must hold in every state. P4 and P8 are checked where they could be broken: at each effect.

use c1_operator::plan::{Content, Record, status};

use crate::world::{AtC1, State, is_deleting};

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
    let Some(object) = &state.object else { return true };
    if state.record_destroyed {
        return true;
    }
    let mine = |client: &&AtC1| client.live && client.recorded && !client.foreign;
    state.clients.iter().filter(mine).all(|client| {
        let Some(attempt) = client.attempt() else { return true };
        let (record, status) = (Record::of(object), object.status_or_default());
        let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let id = &client.client.id;
        record.is_abandoned(&attempt)
            || record.open.as_ref().is_some_and(|o| o.attempt == attempt)
            || status.client.iter().chain(delivered.map(|d| &d.client)).any(|c| c.id == *id || c.attempt == attempt)
            || status.retiring.iter().chain(delivered.iter().flat_map(|d| &d.replaces)).any(|r| r.id == *id)
    })
}

/// P3: the number of living clients is bounded at every moment: the current one, those that retire, the one of the open
/// attempt, and those of abandoned attempts.
pub fn bounded(state: &State) -> bool {
    let Some(object) = &state.object else { return true };
    if state.record_destroyed {
        return true;
    }
    let (record, status) = (Record::of(object), object.status_or_default());
    let living = state.clients.iter().filter(|c| c.live && !c.foreign && c.recorded).count();
    let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
    let owed = delivered.map_or(0, |d| d.replaces.len() + 1);
    living <= 1 + status.retiring.len() + owed + usize::from(record.open.is_some()) + record.abandoned.len()
}

/// Whether the Secret's data are as the operator wrote them.
pub fn is_intact(state: &State) -> bool {
    state.secret.as_ref().is_some_and(|s| matches!(s.content, Content::Intact { .. }))
}
