//! A credential's middle age: it is replaced before it expires, by its age, and on request; what was replaced works on for the
//! overlap, and longer while it is used; what fails is said, and becomes louder. Weeks pass by a clock that the tests move.

use c1_operator::api::{PersonalClient, ROTATE_ANNOTATION, Reason, RenewalReason};
use serde_json::{Value, json};
use testkit::{Namespace, Options, TestClock, World};

use crate::{
    all_is_well, current,
    lifecycle::{another, with_clock},
    looks, no_client_lives,
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A world with a clock that the test moves, and an object `client` with this spec, Ready.
async fn with_client(test: &str, spec: Value) -> (World, TestClock, Namespace) {
    let world = World::start(test, with_clock()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    namespace.create("client", spec).await;
    namespace.ready("client").await;
    (world, clock, namespace)
}

async fn id(namespace: &Namespace) -> String {
    current(&namespace.ready("client").await).id.clone()
}

/// Until `client` has another client than this.
async fn rotated(namespace: &Namespace, before: &str) -> PersonalClient {
    namespace.until("client", "has another client", |object| another(object, before)).await
}

async fn ask(namespace: &Namespace, request: &str) {
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: request}}})).await;
}

async fn answered(namespace: &Namespace, request: &str) -> PersonalClient {
    let answers = |object: &PersonalClient| {
        let last = object.status.as_ref().and_then(|s| s.last_handled_rotate_at.clone());
        if last.as_deref() == Some(request) { Ok(()) } else { Err(format!("lastHandledRotateAt is {last:?}")) }
    };
    namespace.until("client", "has answered the request", answers).await
}

/// Until nothing retires any more.
async fn retired(namespace: &Namespace) {
    let none = |object: &PersonalClient| {
        let retiring = &object.status.as_ref().unwrap().retiring;
        if retiring.is_empty() { Ok(()) } else { Err(format!("{retiring:?}")) }
    };
    namespace.until("client", "has nothing retiring", none).await;
}

fn condition(object: &PersonalClient, kind: &str) -> Option<(String, String, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    let found = conditions.iter().find(|c| c.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

/// Until the renewal fails, for this reason and in words that hold these.
async fn fails(namespace: &Namespace, reason: Reason, words: &str) -> PersonalClient {
    let failing = |object: &PersonalClient| match condition(object, "RenewalFailing") {
        Some((_, said, message)) if said == reason.as_str() && message.contains(words) => Ok(()),
        other => Err(format!("RenewalFailing is {other:?}")),
    };
    namespace.until("client", "says that its renewal fails", failing).await
}

/// How many clients were ever made for objects.
async fn made(world: &World) -> usize {
    world.c1.ledger().await.iter().filter(|client| !client.bootstrap).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_replaced_before_it_expires() {
    let (mut world, clock, namespace) = with_client("rot-expiry", json!({"expires": "720h"})).await;
    let object = namespace.ready("client").await;
    let first = current(&object).clone();
    let status = object.status.unwrap();
    assert_eq!(status.renewal_reason, Some(RenewalReason::Expiry));
    let life = |from: i64, to: i64| (to - from) / DAY;
    let created = first.created_at.unwrap().0.as_second();
    let renewal = status.renewal_time.unwrap().0.as_second();
    assert!((18..=20).contains(&life(created, renewal)), "a third before its end, or a little more");
    let old = namespace.secret("client").await.unwrap();
    // Neither a restart nor the time before it is a reason.
    clock.advance(&world.c1, renewal - created - HOUR).await;
    world.restart_operator(None).await;
    looks(&world, 2).await;
    assert_eq!(id(&namespace).await, first.id);
    clock.advance(&world.c1, HOUR).await;
    let object = rotated(&namespace, &first.id).await;
    assert_eq!(object.status.as_ref().unwrap().retiring[0].id, first.id);
    assert!(condition(&namespace.ready("client").await, "Reconciling").is_none());
    assert!(world.c1.login(&old).await, "its overlap has begun");
    all_is_well(&world, &[(&namespace, "client")]).await;
    clock.advance(&world.c1, HOUR + 60).await;
    retired(&namespace).await;
    assert!(!world.c1.login(&old).await);
    assert!(namespace.event("client", Reason::Retired).await.contains(&first.id));
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 2, "once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_replaced_at_its_age() {
    let spec = json!({"expires": "never", "rotation": {"maxAge": "240h"}});
    let (world, clock, namespace) = with_client("rot-age", spec).await;
    let first = id(&namespace).await;
    let status = namespace.ready("client").await.status.unwrap();
    assert_eq!(status.renewal_reason, Some(RenewalReason::MaxAge));
    clock.advance(&world.c1, 8 * DAY).await;
    looks(&world, 2).await;
    assert_eq!(id(&namespace).await, first);
    clock.advance(&world.c1, 2 * DAY).await;
    rotated(&namespace, &first).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_once() {
    let spec = json!({"rotation": {"policy": "Manual", "overlap": "10m"}});
    let (mut world, _, namespace) = with_client("rot-request", spec).await;
    let first = id(&namespace).await;
    assert_eq!(namespace.ready("client").await.status.unwrap().renewal_time, None, "by hand");
    ask(&namespace, "2001-01-01T00:00:00Z").await;
    let object = answered(&namespace, "2001-01-01T00:00:00Z").await;
    let second = current(&object).id.clone();
    assert_ne!(second, first);
    let retiring = &object.status.as_ref().unwrap().retiring[0];
    let overlap = retiring.revoke_time.0.duration_since(retiring.since.0).as_secs();
    assert!((600..=601).contains(&overlap), "as long as the object says: {overlap}");
    let issued = namespace
        .events("client")
        .await
        .into_iter()
        .any(|(_, note)| note.contains(&format!("in place of client {first}")));
    assert!(issued, "{:?}", namespace.events("client").await);
    world.restart_operator(None).await;
    looks(&world, 2).await;
    assert_eq!(id(&namespace).await, second, "a restart is no reason");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The operator is killed on the way; what stood there when the attempt was begun is answered, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_survives_what_crashes() {
    let (mut world, _, namespace) = with_client("rot-crash", json!({})).await;
    // Before it is written down an attempt is none. Whoever has not delivered is given up, and the next answers what stands there
    // then; what was delivered has answered what stood there before.
    let points = [("before-Intend", 1), ("after-Create", 2), ("after-Deliver", 2), ("after-Record", 2)];
    for (n, (point, clients)) in points.iter().enumerate() {
        let (before, made_before) = (id(&namespace).await, made(&world).await);
        world.restart_operator(Some(point)).await;
        ask(&namespace, &format!("request {n}")).await;
        assert!(world.operator.killed().await, "{point} was never reached");
        ask(&namespace, &format!("request {n} again")).await;
        world.restart_operator(None).await;
        answered(&namespace, &format!("request {n} again")).await;
        assert_ne!(id(&namespace).await, before);
        looks(&world, 2).await;
        assert_eq!(made(&world).await - made_before, *clients, "{point}: neither a request less, nor one twice");
        all_is_well(&world, &[(&namespace, "client")]).await;
        // What was replaced makes place for the next.
        let fresh = json!({"metadata": {"annotations": {ROTATE_ANNOTATION: null}}});
        namespace.patch("client", fresh).await;
        namespace.delete("client").await;
        namespace.gone("client").await;
        namespace.create("client", json!({})).await;
    }
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// However often somebody asks: one current client, and three that retire.
#[tokio::test(flavor = "multi_thread")]
async fn requests_without_end_do_not_mint_without_end() {
    let (world, clock, namespace) = with_client("rot-bound", json!({})).await;
    for n in 0..3 {
        ask(&namespace, &format!("request {n}")).await;
        answered(&namespace, &format!("request {n}")).await;
    }
    for n in 3..6 {
        ask(&namespace, &format!("request {n}")).await;
        fails(&namespace, Reason::Issuing, "until an overlap is over").await;
    }
    looks(&world, 2).await;
    assert_eq!(world.c1.live().await.len(), 4, "one, and three that retire");
    assert!(condition(&namespace.ready("client").await, "RenewalFailing").is_some());
    clock.advance(&world.c1, HOUR + 60).await;
    answered(&namespace, "request 5").await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 5, "of the three that waited the last was answered");
    world.finish().await;
}

/// A consumer has not reread the Secret.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_lives_on_while_it_is_used() {
    let spec = json!({"rotation": {"overlap": "1h", "maxOverlap": "4h"}});
    let (world, clock, namespace) = with_client("rot-used", spec).await;
    let first = id(&namespace).await;
    let old = namespace.secret("client").await.unwrap();
    ask(&namespace, "now").await;
    answered(&namespace, "now").await;
    for hour in 1..4 {
        clock.advance(&world.c1, HOUR - 60).await;
        assert!(world.c1.login(&old).await, "{hour} h after it was replaced");
        clock.advance(&world.c1, 120).await;
        looks(&world, 2).await;
    }
    let note = namespace.event("client", Reason::StillUsed).await;
    assert!(note.contains(&first) && note.contains("Secret client"), "{note}");
    assert_eq!(world.operator.metric("c1_operator_replaced_clients_used", &[]).await, Some(1.0));
    let told = namespace.events("client").await.into_iter().filter(|(reason, _)| reason == "StillUsed").count();
    assert_eq!(told, 1, "once a day");
    assert!(namespace.ready("client").await.status.unwrap().retiring[0].last_used_at.is_some());
    // Used once more, shortly before: it would live for an hour yet.
    clock.advance(&world.c1, HOUR - 300).await;
    assert!(world.c1.login(&old).await, "2 min before maxOverlap is over");
    clock.advance(&world.c1, 180).await;
    retired(&namespace).await;
    assert!(!world.c1.login(&old).await, "no longer than maxOverlap");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_gets_louder_until_the_credential_has_expired() {
    let (world, clock, namespace) = with_client("rot-fails", json!({"expires": "240h"})).await;
    let first = id(&namespace).await;
    world
        .c1
        .faults(json!([{"operation": "create", "fault": {"kind": "status", "status": 403, "when": "before"}}]))
        .await;
    clock.advance(&world.c1, 7 * DAY).await;
    let object = fails(&namespace, Reason::RequestRejected, "").await;
    assert_eq!(condition(&object, "Ready").unwrap().0, "True", "nothing is wrong yet");
    assert!(condition(&object, "Stalled").is_none() && condition(&object, "Reconciling").is_none());
    assert_eq!(world.operator.metric("c1_operator_renewals_failing", &[]).await, Some(1.0));
    let notes = namespace.events("client").await;
    assert!(notes.iter().any(|(_, note)| note.contains("cannot be replaced")), "{notes:?}");
    clock.advance(&world.c1, 2 * DAY + HOUR).await;
    let object = fails(&namespace, Reason::RequestRejected, "the credential expires at").await;
    assert_eq!(current(&object).id, first);
    clock.advance(&world.c1, DAY).await;
    let object = namespace.reason("client", Reason::Expired).await;
    assert!(condition(&object, "Stalled").is_some());
    world.c1.clear_faults().await;
    clock.advance(&world.c1, HOUR + 600).await;
    rotated(&namespace, &first).await;
    let object = namespace.ready("client").await;
    assert!(condition(&object, "RenewalFailing").is_none());
    // Also what has expired is deleted at C1, as any that was replaced.
    clock.advance(&world.c1, HOUR + 60).await;
    retired(&namespace).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_nothing_is_done_and_afterwards_it_happens_once() {
    let (world, clock, namespace) = with_client("rot-suspend", json!({"expires": "240h"})).await;
    let first = id(&namespace).await;
    namespace.patch("client", json!({"spec": {"suspend": true}})).await;
    let says = |object: &PersonalClient| match condition(object, "Ready") {
        Some((_, _, message)) if message.contains("suspend is true") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    namespace.until("client", "says that it is suspended", says).await;
    ask(&namespace, "meanwhile").await;
    clock.advance(&world.c1, 8 * DAY).await;
    looks(&world, 2).await;
    assert_eq!(id(&namespace).await, first);
    namespace.create("new", json!({"suspend": true})).await;
    namespace.reason("new", Reason::Suspended).await;
    assert!(namespace.secret("new").await.is_none());
    namespace.delete("new").await;
    namespace.gone("new").await;
    namespace.patch("client", json!({"spec": {"suspend": null}})).await;
    rotated(&namespace, &first).await;
    answered(&namespace, "meanwhile").await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 2, "once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_a_loss_is_said_and_made_up_for_once_afterwards() {
    let (world, _, namespace) = with_client("rot-suspend-loss", json!({})).await;
    let first = id(&namespace).await;
    namespace.patch("client", json!({"spec": {"suspend": true}})).await;
    namespace.secrets().delete("client", &kube::api::DeleteParams::default()).await.unwrap();
    namespace.event("client", Reason::SecretLost).await;
    namespace.reason("client", Reason::Suspended).await;
    looks(&world, 2).await;
    assert!(namespace.secret("client").await.is_none());
    assert_eq!(made(&world).await, 1, "nothing is minted");
    namespace.patch("client", json!({"spec": {"suspend": null}})).await;
    rotated(&namespace, &first).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 2, "once");
    world.finish().await;
}

/// What ends, ends.
#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_nothing_is_rendered_but_overlaps_end_and_it_can_be_deleted() {
    let (world, clock, namespace) = with_client("rot-suspend-end", json!({})).await;
    let old = namespace.secret("client").await.unwrap();
    ask(&namespace, "now").await;
    answered(&namespace, "now").await;
    let version = namespace.secret("client").await.unwrap().resource_version().to_owned();
    let spec = json!({"suspend": true, "secretTemplate": {"labels": {"team": "a"}}});
    namespace.patch("client", json!({"spec": spec})).await;
    let clients = world.c1.live().await.len();
    looks(&world, 2).await;
    assert!(world.c1.login(&old).await, "its overlap is not over");
    assert_eq!(world.c1.live().await.len(), clients);
    clock.advance(&world.c1, 2 * HOUR).await;
    retired(&namespace).await;
    assert!(!world.c1.login(&old).await);
    let secret = namespace.secret("client").await.unwrap();
    assert_eq!(secret.resource_version(), version, "nothing was rendered");
    namespace.delete("client").await;
    namespace.gone("client").await;
    assert!(namespace.secret("client").await.is_none());
    no_client_lives(&world).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_could_never_be_is_refused_at_admission() {
    let world = World::start("rot-refused", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let refused = async |spec: Value, words: &str| {
        let error = namespace.try_create("client", spec).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let late = json!({"expires": "24h", "rotation": {"renewBefore": "24h"}});
    refused(late, "rotation.renewBefore must be shorter than expires").await;
    refused(json!({"rotation": {"overlap": "2h", "maxOverlap": "1h"}}), "overlap must not be longer than maxOverlap")
        .await;
    refused(json!({"rotation": {"maxAge": "30m"}}), "is not a duration").await;
    refused(json!({"rotation": {"policy": "Sometimes"}}), "Unsupported value").await;
    // With `never` there is no expiry to be before; it says nothing then.
    namespace.create("client", json!({"expires": "never", "rotation": {"renewBefore": "24h", "overlap": "1h"}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
