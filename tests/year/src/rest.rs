//! When all that a step of the clock has brought is done.

use std::{collections::BTreeSet, time::Duration};

use c1_operator::{api::PersonalClient, plan::status::is_ready};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use testkit::eventually;

use crate::stage::Stage;

/// Far more than it takes.
const WITHIN: Duration = Duration::from_mins(5);

/// Waits until every object is Ready and none is to be rotated, and C1's clients are exactly those that they name.
pub async fn until_done(stage: &Stage) {
    eventually("the end of what the step has brought", WITHIN, async || {
        let now = stage.c1.now().await;
        let objects = stage.namespace.list().await;
        if let Some(undone) = objects.iter().find_map(|object| undone(object, now)) {
            return Err(undone);
        }
        let named: BTreeSet<String> = objects.iter().flat_map(named).collect();
        let live = stage.clients().await;
        match live.symmetric_difference(&named).next() {
            None => Ok(()),
            Some(id) if live.contains(id) => Err(format!("client {id} lives, and no object names it")),
            Some(id) => Err(format!("client {id} is named, and does not live")),
        }
    })
    .await;
}

fn undone(object: &PersonalClient, now: Timestamp) -> Option<String> {
    let status = object.status.as_ref()?;
    let due = status.renewal_time.as_ref().is_none_or(|time| time.0 <= now);
    // Plus the second by which it is rounded up, and what C1's list may lag.
    let over = |time: Timestamp| time + Duration::from_secs(2) < now;
    let retiring = status.retiring.iter().find(|r| over(r.revoke_time.0) && r.last_used_at.is_none());
    match () {
        () if !is_ready(status) => Some(format!("{} is not Ready", object.name_any())),
        () if due => Some(format!("{} is to be rotated", object.name_any())),
        () => retiring.map(|r| format!("{} names {} still", object.name_any(), r.id)),
    }
}

fn named(object: &PersonalClient) -> Vec<String> {
    let status = object.status.as_ref();
    let current = status.and_then(|s| s.client.as_ref()).map(|client| client.id.clone());
    let retiring = status.iter().flat_map(|s| &s.retiring).map(|client| client.id.clone());
    current.into_iter().chain(retiring).collect()
}
