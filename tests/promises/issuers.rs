//! An object names another issuer: a client is issued there, and what the former one made ends there, as the user who made it.

use std::time::Duration;

use c1_operator::{
    api::{PersonalClient, ROTATE_ANNOTATION, Reason},
    plan::Record,
};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::{Namespace, Options, TestClock, World, eventually};

use crate::{
    all_is_well, current,
    lifecycle::{another, with_clock},
    no_client_lives,
};

/// A second issuer, `other`, of the same tenant, as another user.
async fn another_issuer(world: &World) {
    let user = world.c1.create_user().await;
    let data = [("clientId", user.client_id.as_str()), ("clientSecret", user.client_secret.as_str())];
    world.put_secret("c1-system", "other-credentials", &data).await;
    world.issuer("other", |spec| spec["auth"]["oauth"]["secretRef"]["name"] = json!("other-credentials")).await;
}

/// A world with an object `client`, Ready, and an issuer `other`.
async fn with_client(test: &str, options: Options, spec: Value) -> (World, Namespace) {
    let world = World::start(test, options).await;
    another_issuer(&world).await;
    world.issuer_reason("other", Reason::Connected).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", spec).await;
    namespace.ready("client").await;
    (world, namespace)
}

async fn move_to(namespace: &Namespace, issuer: &str) {
    let reference = json!({"kind": "ClusterClientIssuer", "name": issuer});
    namespace.patch("client", json!({"spec": {"issuerRef": reference}})).await;
}

/// Until nothing retires any more.
async fn retired(namespace: &Namespace) {
    let none = |object: &PersonalClient| match object.status.as_ref().unwrap().retiring.as_slice() {
        [] => Ok(()),
        retiring => Err(format!("{retiring:?}")),
    };
    namespace.until("client", "has nothing retiring", none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_issued_there_and_the_former_one_ends_where_it_was_made() {
    let (world, namespace) = with_client("iss-move", with_clock(), json!({})).await;
    let clock = TestClock::of(&world);
    let before = current(&namespace.ready("client").await).clone();
    let old = namespace.secret("client").await.unwrap();
    move_to(&namespace, "other").await;
    let object = namespace.until("client", "has another client", |object| another(object, &before.id)).await;
    let after = current(&object);
    assert_eq!(after.issuer_ref.name, "other");
    assert_ne!(after.user_id, before.user_id, "it acts as the user of the other issuer");
    let retiring = &object.status.as_ref().unwrap().retiring[0];
    assert_eq!((&retiring.id, retiring.issuer_ref.name.as_str()), (&before.id, "default"));
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(world.c1.login(&old).await, "its overlap has begun");
    clock.advance(&world.c1, 3700).await;
    retired(&namespace).await;
    assert!(!world.c1.login(&old).await);
    all_is_well(&world, &[(&namespace, "client")]).await;
    let made = world.c1.ledger().await.iter().filter(|client| !client.bootstrap).count();
    assert_eq!(made, 2, "once");
    world.finish().await;
}

/// Who takes the former issuer away with the same commit must not leave what it made.
#[tokio::test(flavor = "multi_thread")]
async fn the_former_issuer_is_held_until_what_it_made_has_ended() {
    let (world, namespace) = with_client("iss-held", with_clock(), json!({})).await;
    let clock = TestClock::of(&world);
    let before = current(&namespace.ready("client").await).id.clone();
    move_to(&namespace, "other").await;
    world.issuers().delete("default", &DeleteParams::default()).await.unwrap();
    namespace.until("client", "has another client", |object| another(object, &before)).await;
    namespace.ready("client").await;
    let issuer = world.issuers().get("default").await.unwrap();
    assert!(issuer.metadata.deletion_timestamp.is_some(), "it is held");
    clock.advance(&world.c1, 3700).await;
    retired(&namespace).await;
    eventually("the issuer goes", Duration::from_secs(30), async || {
        match world.issuers().get_opt("default").await.unwrap() {
            Some(issuer) => Err(format!("it is held by {:?}", issuer.metadata.finalizers)),
            None => Ok(()),
        }
    })
    .await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// Killed between the create and the delivery: what was made is found where it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_resolved_where_it_was_sent() {
    let mut world = World::start("iss-open", Options { start_operator: false, ..Options::default() }).await;
    another_issuer(&world).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    world.restart_operator(Some("after-Create")).await;
    assert!(world.operator.killed().await);
    let stray = world.c1.live().await[0].id.clone();
    assert_eq!(Record::of(&namespace.get("client").await.unwrap()).open.unwrap().issuer_ref.name, "default");
    move_to(&namespace, "other").await;
    world.restart_operator(None).await;
    let object = namespace.ready("client").await;
    assert_eq!(current(&object).issuer_ref.name, "other");
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(!world.c1.client(&stray).await.unwrap().live);
    world.finish().await;
}

/// The name of the issuer changes while C1 makes a client at the former one, whose maker lives.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_changes_while_a_client_is_made_leaves_one() {
    let world = World::start("iss-meanwhile", Options::default()).await;
    another_issuer(&world).await;
    world.issuer_reason("other", Reason::Connected).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1}}])).await;
    namespace.create("client", json!({})).await;
    let open = |object: &PersonalClient| Record::of(object).open.map(|_| ()).ok_or_else(|| "no attempt".to_owned());
    namespace.until("client", "has an attempt under way", open).await;
    move_to(&namespace, "other").await;
    let moved = |object: &PersonalClient| match object.status.as_ref().and_then(|s| s.client.as_ref()) {
        Some(client) if client.issuer_ref.name == "other" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    namespace.until("client", "has a client of the other issuer", moved).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_each_client_ends_where_it_was_made() {
    let (world, namespace) = with_client("iss-back", with_clock(), json!({})).await;
    let clock = TestClock::of(&world);
    let first = current(&namespace.ready("client").await).id.clone();
    move_to(&namespace, "other").await;
    namespace.until("client", "has another client", |object| another(object, &first)).await;
    let second = current(&namespace.ready("client").await).id.clone();
    move_to(&namespace, "default").await;
    let object = namespace.until("client", "has a third client", |object| another(object, &second)).await;
    assert_eq!(current(&object).issuer_ref.name, "default");
    let retiring: Vec<_> =
        object.status.iter().flat_map(|s| &s.retiring).map(|r| (&r.id, &*r.issuer_ref.name)).collect();
    assert_eq!(retiring, [(&first, "default"), (&second, "other")]);
    all_is_well(&world, &[(&namespace, "client")]).await;
    clock.advance(&world.c1, 3700).await;
    retired(&namespace).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_ends_what_it_has_at_either() {
    let (world, namespace) = with_client("iss-gone", Options::default(), json!({})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    move_to(&namespace, "other").await;
    namespace.until("client", "has another client", |object| another(object, &before)).await;
    assert_eq!(world.c1.live().await.len(), 2);
    namespace.delete("client").await;
    namespace.gone("client").await;
    no_client_lives(&world).await;
    world.finish().await;
}

/// Whoever leaves an issuer because it does not work is not held up by it; when it works again, what it made ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_issuer_that_fails_holds_nothing_up() {
    let (world, namespace) = with_client("iss-fails", with_clock(), json!({"rotation": {"overlap": "10m"}})).await;
    let clock = TestClock::of(&world);
    let before = current(&namespace.ready("client").await).id.clone();
    let credentials = |name: &Value| json!({"spec": {"auth": {"oauth": {"secretRef": {"name": name}}}}});
    world.patch_issuer("default", credentials(&json!("missing"))).await;
    world.issuer_reason("default", Reason::CredentialsNotFound).await;
    move_to(&namespace, "other").await;
    namespace.until("client", "has another client", |object| another(object, &before)).await;
    let second = current(&namespace.ready("client").await).id.clone();
    clock.advance(&world.c1, 3700).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    namespace.until("client", "is replaced", |object| another(object, &second)).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(world.c1.client(&before).await.unwrap().live, "nobody can end it yet");
    let working = &world.issuer_spec()["auth"]["oauth"]["secretRef"]["name"];
    world.patch_issuer("default", credentials(working)).await;
    eventually("it ends", Duration::from_mins(1), async || {
        if world.c1.client(&before).await.unwrap().live { Err("it lives".to_owned()) } else { Ok(()) }
    })
    .await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
