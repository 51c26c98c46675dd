//! `kubectl describe` reads like a history: an event for each thing that happened, none twice, however often the operator
//! looks or starts anew.

use std::time::Duration;

use c1_operator::api::{ConditionType, PersonalClient, ROTATE_ANNOTATION, Reason, condition};
use serde_json::json;
use testkit::{Namespace, TestClock, World, eventually};

use crate::{
    current,
    lifecycle::{another, with_clock},
    looks,
    restart::workload,
};

/// Time passes while the operator stands still, as on a machine that sleeps: between the two clocks it sees no difference, which would
/// be said. Nor does it stand still in a login: C1 would find that one too old, and that would be said too.
async fn pass(world: &World, clock: &TestClock, seconds: i64) {
    looks(world, 1).await;
    world.operator.signal("STOP").await;
    clock.advance(&world.c1, seconds).await;
    world.operator.signal("CONT").await;
}

async fn told(namespace: &Namespace) -> Vec<String> {
    let mut reasons: Vec<String> = namespace.events("client").await.into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_each_thing_that_happens_and_none_twice() {
    let mut world = World::start("history", with_clock()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"rotation": {"overlap": "1h", "maxOverlap": "1h"}})).await;
    let first = current(&namespace.ready("client").await).id.clone();
    namespace.patch("client", json!({"spec": {"displayName": "another"}})).await;
    namespace.event("client", Reason::Updated).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    namespace.until("client", "has another client", |object| another(object, &first)).await;
    // A process that ends in that moment tells nobody: status does.
    eventually("an event of the replacement", Duration::from_secs(30), async || {
        let events = namespace.events("client").await;
        let replaced = |(_, note): &(String, String)| note.contains(&format!("in place of client {first}"));
        if events.iter().any(replaced) { Ok(()) } else { Err(format!("{events:#?}")) }
    })
    .await;
    // Everything from here on is looked at once more, from nothing.
    world.restart_operator(None).await;
    pass(&world, &clock, 3700).await;
    let ended = namespace.event("client", Reason::Retired).await;
    assert!(ended.contains(&first), "{ended}");
    let status = namespace.ready("client").await.status.unwrap();
    let renewal = status.renewal_time.unwrap().0.as_second();
    let expires = status.client.unwrap().expires_time.unwrap().0.as_second();
    let forbid = json!({"spec": {"policy": {"namespaceSelector": {"matchLabels": {"none": "here"}}}}});
    world.patch_issuer("default", forbid).await;
    pass(&world, &clock, renewal - world.c1.now().await.as_second() + 60).await;
    let failing = |object: &PersonalClient| {
        let found = condition::find(&object.status_or_default().conditions, ConditionType::RenewalFailing).is_some();
        if found { Ok(()) } else { Err("its renewal does not fail".to_owned()) }
    };
    namespace.until("client", "says that its renewal fails", failing).await;
    namespace.event("client", Reason::DeniedByPolicy).await;
    // In its last tenth a renewal that fails is said a second time, and not more often.
    pass(&world, &clock, expires - world.c1.now().await.as_second() - 24 * 3600).await;
    eventually("an event that says when it expires", Duration::from_secs(30), async || {
        let events = namespace.events("client").await;
        let louder = |(reason, note): &(String, String)| reason == "DeniedByPolicy" && note.contains("expires at");
        if events.iter().any(louder) { Ok(()) } else { Err(format!("{events:#?}")) }
    })
    .await;
    pass(&world, &clock, 7200).await;
    world.restart_operator(None).await;
    looks(&world, 2).await;
    namespace.ready("client").await;
    let expected = ["DeniedByPolicy", "DeniedByPolicy", "Issued", "Issued", "Retired", "Updated"];
    assert_eq!(told(&namespace).await, expected, "{:#?}", namespace.events("client").await);
    world.finish().await;
}

/// Also of what people do to it, and what is done for that.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_what_is_suspended_moved_put_back_and_restarted() {
    let mut options = with_clock();
    options.operator_values["rbac"] = json!({"restartWorkloads": true});
    let mut world = World::start("history-life", options).await;
    let namespace = world.namespace("ns").await;
    workload(&world, &namespace, "Deployment", "consumer", json!({})).await;
    let restart = json!([{"kind": "Deployment", "name": "consumer"}]);
    namespace.create("client", json!({"rotation": {"restart": restart}})).await;
    let first = current(&namespace.ready("client").await).id.clone();
    let says = async |words: &str| {
        eventually(&format!("an event that says: {words}"), Duration::from_secs(30), async || {
            let events = namespace.events("client").await;
            if events.iter().any(|(_, note)| note.contains(words)) { Ok(()) } else { Err(format!("{events:#?}")) }
        })
        .await;
    };
    namespace.patch("client", json!({"spec": {"suspend": true}})).await;
    says("suspend is true").await;
    namespace.patch("client", json!({"spec": {"suspend": null, "secretName": "elsewhere"}})).await;
    says("Secret elsewhere holds the credential").await;
    world.c1.patch_client(&first, json!({"allowSourceCidr": ["10.0.0.0/8"]})).await;
    namespace.event("client", Reason::Drifted).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    namespace.event("client", Reason::Restarted).await;
    says(&format!("in place of client {first}")).await;
    looks(&world, 2).await;
    world.restart_operator(None).await;
    looks(&world, 2).await;
    namespace.ready("client").await;
    let expected = ["Drifted", "Issued", "Issued", "Issued", "Issued", "Restarted"];
    assert_eq!(told(&namespace).await, expected, "{:#?}", namespace.events("client").await);
    world.finish().await;
}
