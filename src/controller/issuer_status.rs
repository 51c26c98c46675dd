//! What an issuer says of itself: status and events, when something is new.

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::{Value, json};

use super::{
    act::merge_patch,
    client_issuer::IssuerObject,
    connect::Why,
    context::Context,
    error::{Error, kubernetes},
    issuers::{Issuer, IssuerKey},
    orphans::orphans,
};
use crate::{
    api::{ConditionType, FIELD_MANAGER, IssuerStatus, Reason, condition},
    plan::status::{Standing, standing},
};

/// How many orphans status names.
const MOST_ORPHANS: usize = 10;

/// Writes what is to be said, if it is new.
pub(super) async fn report<K: IssuerObject>(
    ctx: &Context,
    object: &K,
    key: &IssuerKey,
    issuer: &Issuer,
    result: &Result<(), Why>,
) -> Result<(), Error> {
    let state = issuer.state();
    let now = ctx.clock.now();
    let generation = object.meta().generation.unwrap_or_default();
    let before = object.issuer_status().cloned().unwrap_or_default();
    let mut status = IssuerStatus { observed_generation: generation, ..before.clone() };
    if let Some(identity) = &state.identity {
        status.tenant = Some(identity.host.clone());
        status.user_id = Some(identity.user_id.clone());
    }
    let judged = result.is_ok() && ctx.config.shard.judges_orphans(key);
    if let Some(inventory) = state.inventory.as_ref().filter(|_| judged) {
        let orphans = orphans(ctx, key, inventory);
        ctx.metrics.orphans(&key.name, key.namespace.as_deref(), orphans.len());
        status.orphaned_clients = Some(i32::try_from(orphans.len()).unwrap_or(i32::MAX));
        status.orphans = orphans.into_iter().take(MOST_ORPHANS).collect();
    }
    let (ready, reason, message) = match result {
        Ok(()) => {
            (true, Reason::Connected, format!("connected to {}", state.identity.map(|i| i.host).unwrap_or_default()))
        }
        Err((reason, message)) => (false, *reason, message.clone()),
    };
    set_conditions(&mut status, ready, reason, &message, generation, now);
    if status == before {
        return Ok(());
    }
    let patch = merge_patch(
        &serde_json::to_value(&before).unwrap_or_default(),
        &serde_json::to_value(&status).unwrap_or_default(),
    );
    write_status(ctx, object, patch).await?;
    tell(ctx, object, &before, &status, reason, ready, &message).await;
    Ok(())
}

fn set_conditions(
    status: &mut IssuerStatus,
    ready: bool,
    reason: Reason,
    message: &str,
    generation: i64,
    now: k8s_openapi::jiff::Timestamp,
) {
    let set =
        |conditions: &mut Vec<_>, kind, on| condition::set(conditions, kind, on, reason, message, generation, now);
    set(&mut status.conditions, ConditionType::Ready, ready);
    for (kind, of) in [(ConditionType::Reconciling, Standing::Waiting), (ConditionType::Stalled, Standing::Stalled)] {
        // What stays true keeps its time: else each failing look would be a write.
        if !ready && standing(reason) == of {
            set(&mut status.conditions, kind, true);
        } else {
            condition::clear(&mut status.conditions, kind);
        }
    }
}

async fn tell<K: IssuerObject>(
    ctx: &Context,
    object: &K,
    before: &IssuerStatus,
    after: &IssuerStatus,
    reason: Reason,
    ready: bool,
    message: &str,
) {
    let reference = object.object_ref(&());
    let said = condition::find(&before.conditions, ConditionType::Ready);
    if said.is_none_or(|c| c.reason != reason.as_str() || c.message != message) {
        let kind = if ready || reason == Reason::Deleting { EventType::Normal } else { EventType::Warning };
        ctx.events.publish(reference.clone(), kind, reason, "Connect", message).await;
    }
    let new: Vec<&str> =
        after.orphans.iter().filter(|o| before.orphans.iter().all(|b| b.id != o.id)).map(|o| o.id.as_str()).collect();
    if !new.is_empty() {
        let note = format!("live clients carry this cluster's marker and belong to nobody: {}", new.join(", "));
        ctx.events.publish(reference, EventType::Warning, Reason::OrphanedClients, "Inventory", &note).await;
    }
}

async fn write_status<K: IssuerObject>(ctx: &Context, object: &K, status: Value) -> Result<(), Error> {
    // Not conditional on the version: the finalizer may just have been written, and nobody else writes this status.
    let patch = json!({"metadata": {"uid": object.uid()}, "status": status});
    let api = K::api(ctx.client.clone(), object.namespace().as_deref());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    kubernetes("write the status of", &format!("issuer {name}"), api.patch_status(&name, &params, &patch))
        .await
        .map(drop)
}
