//! Clocks that are wrong, and machines that sleep: nothing is replaced early or deleted for it, and nothing stays expired after.
//!
//! A machine that sleeps shows as a wall clock that jumps while the process's own timers stand still. So does a test that
//! moves the wall clock.

use std::time::Duration;

use c1_operator::api::{PersonalClient, ROTATE_ANNOTATION, Reason};
use serde_json::{Value, json};
use testkit::{Namespace, Options, TestClock, World, eventually};

use crate::{
    all_is_well, current,
    lifecycle::{another, with_clock},
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

async fn with_client(test: &str, spec: Value) -> (World, TestClock, Namespace, String) {
    let world = World::start(test, with_clock()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    namespace.create("client", spec).await;
    let id = current(&namespace.ready("client").await).id.clone();
    (world, clock, namespace, id)
}

/// Until the operator has looked at C1 a few times more.
async fn looks(world: &World) {
    let seen = async || world.c1.requests().await.values().flat_map(|by_status| by_status.values()).sum::<u64>();
    let until = seen().await + 3;
    eventually("more requests", Duration::from_mins(1), async || {
        let seen = seen().await;
        if seen >= until { Ok(()) } else { Err(format!("{seen} of {until}")) }
    })
    .await;
}

async fn rotated(namespace: &Namespace, before: &str) -> PersonalClient {
    namespace.until("client", "has another client", |object| another(object, before)).await
}

/// The same client, its Secret works, and it is the only one.
async fn untouched(world: &World, namespace: &Namespace, id: &str) {
    assert_eq!(current(&namespace.get("client").await.unwrap()).id, id);
    assert!(world.c1.login(&namespace.secret("client").await.unwrap()).await);
    assert_eq!(world.c1.live().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_forth_and_back_replaces_nothing() {
    let (world, clock, namespace, id) = with_client("clocks-wall", json!({"expires": "720h"})).await;
    // By this clock the client is past its lifetime; by C1's, which its own is compared with, it is not.
    clock.step(40 * DAY);
    world.issuer_reason("default", Reason::ClockSkew).await;
    untouched(&world, &namespace, &id).await;
    clock.step(-80 * DAY);
    world.issuer_reason("default", Reason::ClockSkew).await;
    untouched(&world, &namespace, &id).await;
    clock.step(40 * DAY);
    world.issuer_reason("default", Reason::Connected).await;
    looks(&world).await;
    untouched(&world, &namespace, &id).await;
    namespace.ready("client").await;
    // Nothing of it is left: the renewal comes when it would have come.
    clock.advance(&world.c1, 20 * DAY).await;
    rotated(&namespace, &id).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_c1s_clock_is_an_hour_off_nothing_is_replaced_or_deleted_because_of_time() {
    nothing_is_done_while_c1_is_off("clocks-ahead", HOUR).await;
    nothing_is_done_while_c1_is_off("clocks-behind", -HOUR).await;
}

async fn nothing_is_done_while_c1_is_off(test: &str, by: i64) {
    let spec = json!({"expires": "720h", "rotation": {"overlap": "10m", "maxOverlap": "10m"}});
    let (world, clock, namespace, first) = with_client(test, spec).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    let second = current(&rotated(&namespace, &first).await).id.clone();
    namespace.ready("client").await;
    world.c1.advance_clock(by).await;
    world.issuer_reason("default", Reason::ClockSkew).await;
    // By either clock the overlap is over, and the second is due.
    clock.advance(&world.c1, 20 * DAY).await;
    looks(&world).await;
    let object = namespace.get("client").await.unwrap();
    assert_eq!(current(&object).id, second);
    assert_eq!(world.c1.live().await.len(), 2, "what was replaced is not deleted either");
    world.c1.advance_clock(-by).await;
    rotated(&namespace, &second).await;
    eventually("what was replaced first is deleted", Duration::from_secs(30), async || {
        let live = world.c1.live().await;
        if live.iter().all(|client| client.id != first) { Ok(()) } else { Err("it lives") }.map_err(str::to_owned)
    })
    .await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The process stands still as well, as it does on a machine that sleeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_sleeps_beyond_the_renewal_replaces_it_when_it_wakes() {
    let (world, clock, namespace, id) = with_client("clocks-sleep", json!({"expires": "720h"})).await;
    world.operator.signal("STOP").await;
    clock.advance(&world.c1, 25 * DAY).await;
    world.operator.signal("CONT").await;
    rotated(&namespace, &id).await;
    let old = world.c1.client(&id).await.unwrap();
    assert!(old.live, "its overlap counts from when it was replaced");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The wall clock is set to a time at which the client would have expired, while C1 cannot be asked which of the two is right.
#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_knows_which_clock_is_right_nothing_is_said_to_have_expired() {
    let (world, clock, namespace, id) = with_client("clocks-unknown", json!({"expires": "720h"})).await;
    world.c1.faults(json!([{"operation": "list", "fault": {"kind": "cut", "when": "before"}}])).await;
    clock.step(40 * DAY);
    world.issuer_reason("default", Reason::ClockSkew).await;
    looks(&world).await;
    untouched(&world, &namespace, &id).await;
    namespace.ready("client").await;
    let told: Vec<String> = namespace.events("client").await.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(told, ["Issued"]);
    clock.step(-40 * DAY);
    world.c1.clear_faults().await;
    world.issuer_reason("default", Reason::Connected).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// C1 is asked at once, and not when the next list would be due.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_time_brings_does_not_wait_for_the_next_list() {
    let mut world = World::start("clocks-list", Options { start_operator: false, ..with_clock() }).await;
    let clock = TestClock::of(&world);
    world.patch_issuer("default", json!({"spec": {"inventoryInterval": "1h"}})).await;
    world.restart_operator(None).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"expires": "720h"})).await;
    let id = current(&namespace.ready("client").await).id.clone();
    clock.advance(&world.c1, 25 * DAY).await;
    rotated(&namespace, &id).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_sleeps_beyond_the_expiry_issues_anew_when_it_wakes() {
    let (world, clock, namespace, id) = with_client("clocks-expired", json!({"expires": "720h"})).await;
    world.operator.signal("STOP").await;
    clock.advance(&world.c1, 40 * DAY).await;
    world.operator.signal("CONT").await;
    rotated(&namespace, &id).await;
    namespace.ready("client").await;
    let told = namespace.event("client", Reason::Expired).await;
    assert!(told.contains("past its lifetime"), "{told}");
    // The dead one is named for an overlap, like any that is replaced.
    clock.advance(&world.c1, HOUR + 60).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
