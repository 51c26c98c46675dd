//! Live clients that nobody answers for.

use std::{collections::HashSet, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;

use super::{context::Context, issuers::IssuerKey};
use crate::{
    api::client_issuer::Orphan,
    c1::Client,
    inventory::Inventory,
    plan::{Marker, claims},
    secret,
};

/// The live clients with this cluster's marker whose attempt nobody has on record. They are reported, never deleted: a
/// clone of this cluster, or ourselves before a restore, may use them.
pub(super) fn orphans(ctx: &Context, key: &IssuerKey, inventory: &Inventory) -> Vec<Orphan> {
    let now = ctx.clock.now();
    let settled = ctx.config.timing.budget + ctx.config.timing.grace;
    let held: HashSet<String> = ctx
        .stores
        .secrets
        .state()
        .iter()
        .flat_map(|s| {
            let delivered = secret::seen(&s.metadata).delivered;
            delivered.into_iter().flat_map(|d| std::iter::once(d.client.id).chain(d.replaces.into_iter().map(|r| r.id)))
        })
        .collect();
    let belongs = |client: &Client, marker: &Marker| {
        // Its record may not have reached the cache yet.
        let young =
            client.created_at.is_none_or(|c| Duration::try_from(now.duration_since(c)).unwrap_or_default() < settled);
        let expired = client.expires_time.is_some_and(|t| t <= now);
        let elsewhere = key.namespace.as_deref().is_some_and(|ns| marker.object().is_none_or(|(n, _)| n != ns));
        young || expired || elsewhere || held.contains(&client.id) || claimed(ctx, client, marker)
    };
    let orphans = inventory.orphans(&ctx.config.cluster, belongs);
    orphans
        .into_iter()
        .map(|c| Orphan { id: c.id.clone(), display_name: c.display_name.clone(), created_at: c.created_at.map(Time) })
        .collect()
}

/// Whether the object that a marker names knows of the client.
fn claimed(ctx: &Context, client: &Client, marker: &Marker) -> bool {
    // Known only by digest: not ours to judge.
    let Some((namespace, name)) = marker.object() else { return true };
    let Some(object) = ctx.stores.personal_clients.get(&ObjectRef::new(name).within(namespace)) else {
        return false;
    };
    object.0.as_ref().map_or(true, |object| claims(object, client, &marker.attempt))
}
