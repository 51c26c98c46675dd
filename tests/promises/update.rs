//! What the spec asks for anew, and can be changed in place, is; what somebody changes in C1's console is put back. The credential
//! stays the same all along.

use std::time::Duration;

use c1_operator::api::{PersonalClient, Reason};
use serde_json::{Value, json};
use testkit::{LedgerClient, Namespace, Options, World, eventually};

use crate::{all_is_well, current, looks};

/// What is so at C1.
type So = fn(&LedgerClient) -> bool;

/// A world, and an object `client` in it, Ready.
async fn with_client(test: &str, options: Options) -> (World, Namespace) {
    let world = World::start(test, options).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    (world, namespace)
}

/// As C1 has it now.
async fn at_c1(world: &World, object: &PersonalClient) -> LedgerClient {
    world.c1.client(&current(object).id).await.expect("the current client is there")
}

async fn calls(world: &World, operation: &str) -> u64 {
    world.c1.requests().await.get(operation).map(|by_status| by_status.values().sum()).unwrap_or_default()
}

/// Until C1 has the current client of `client` so.
async fn until_at_c1(world: &World, namespace: &Namespace, what: &str, so: impl Fn(&LedgerClient) -> bool) {
    eventually(what, Duration::from_secs(30), async || {
        let object = namespace.get("client").await.ok_or("no object")?;
        let client = at_c1(world, &object).await;
        if so(&client) { Ok(()) } else { Err(format!("{client:?}")) }
    })
    .await;
}

async fn role(world: &World, name: &str) -> String {
    let with_role = json!({"displayName": "probe", "scopedRoles": [name]});
    let probe = world.c1.create_client(with_role).await;
    let roles = world.c1.client(&probe.id).await.unwrap().scoped_roles;
    world.c1.delete_client(&probe.id).await;
    roles[0].clone()
}

fn condition(object: &PersonalClient, kind: &str) -> Option<(String, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == kind).map(|c| (c.reason.clone(), c.message.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn name_roles_and_networks_are_changed_in_place() {
    let (world, namespace) = with_client("upd-place", Options::default()).await;
    let before = namespace.ready("client").await;
    let secret = namespace.secret("client").await.unwrap();
    let created = calls(&world, "create").await;
    let had_roles = at_c1(&world, &before).await.scoped_roles;
    let changes: [(Value, So); 3] = [
        (json!({"displayName": "another"}), |c| c.display_name.starts_with("another [k8s ")),
        (json!({"allowSourceCidr": ["127.0.0.0/8"]}), |c| c.allow_source_cidr == ["127.0.0.0/8"]),
        (json!({"scopedRoles": ["system:user"]}), |_| true),
    ];
    for (spec, so) in changes {
        namespace.patch("client", json!({"spec": spec})).await;
        let object = namespace.ready("client").await;
        let client = at_c1(&world, &object).await;
        assert!(so(&client), "{client:?}");
        let said = current(&object);
        assert_eq!((&said.display_name, &said.scoped_roles), (&client.display_name, &client.scoped_roles));
        assert_eq!(said.id, current(&before).id, "it is the same client");
    }
    assert_eq!(at_c1(&world, &before).await.scoped_roles, [role(&world, "system:user").await]);
    assert_eq!(calls(&world, "update").await, 3, "one call each");
    let all = json!({"displayName": "all", "allowSourceCidr": ["127.0.0.0/16"], "scopedRoles": null});
    namespace.patch("client", json!({"spec": all})).await;
    let client = at_c1(&world, &namespace.ready("client").await).await;
    assert!(client.display_name.starts_with("all [k8s ") && client.allow_source_cidr == ["127.0.0.0/16"], "{client:?}");
    assert_eq!(client.scoped_roles, had_roles, "the issuer's again");
    assert_eq!(calls(&world, "update").await, 4, "one call for all three");
    let note = namespace.event("client", Reason::Updated).await;
    assert!(note.contains(&current(&before).id) && note.contains("displayName"), "{note}");
    let after = namespace.secret("client").await.unwrap();
    assert_eq!(after.metadata.resource_version, secret.metadata.resource_version, "the Secret is not written");
    assert!(world.c1.login(&after).await);
    assert_eq!(calls(&world, "create").await, created, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_says_anew_is_changed_in_place() {
    let (world, namespace) = with_client("upd-defaults", Options::default()).await;
    let before = namespace.ready("client").await;
    world
        .patch_issuer("default", json!({"spec": {"defaults": {"scopedRoles": ["system:user"], "expires": "48h"}}}))
        .await;
    let user = role(&world, "system:user").await;
    until_at_c1(&world, &namespace, "the client has the other role", |c| c.scoped_roles == [user.clone()]).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    let object = namespace.ready("client").await;
    assert_eq!(current(&object).id, current(&before).id, "an edited issuer issues nothing anew");
    assert_eq!(current(&object).expires_time, current(&before).expires_time);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_at_c1_is_put_back_and_that_is_said() {
    let (world, namespace) = with_client("upd-drift", Options::default()).await;
    let before = namespace.ready("client").await;
    let was = at_c1(&world, &before).await;
    let renamed = was.display_name.replace("client [", "mine [");
    world.c1.patch_client(&was.id, json!({"displayName": renamed, "allowSourceCidr": ["10.0.0.0/8"]})).await;
    let as_before =
        |c: &LedgerClient| c.display_name == was.display_name && c.allow_source_cidr == was.allow_source_cidr;
    until_at_c1(&world, &namespace, "it is put back", as_before).await;
    let note = namespace.event("client", Reason::Drifted).await;
    assert!(note.contains("displayName, allowSourceCidr") && !note.contains("scopedRoles"), "{note}");
    looks(&world, 2).await;
    assert_eq!(calls(&world, "update").await, 1, "once");
    assert_eq!(current(&namespace.ready("client").await).id, was.id);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// A new spec gets a new client then, once; what somebody changed at C1, or in the issuer, does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_c1_refuses_to_change_is_issued_anew_for_a_new_spec_alone() {
    let (world, namespace) = with_client("upd-refused", Options::default()).await;
    let before = namespace.ready("client").await;
    world.c1.switches(json!({"updatePolicy": "refuse"})).await;
    namespace.patch("client", json!({"spec": {"displayName": "another"}})).await;
    let after = namespace.ready("client").await;
    assert_ne!(current(&after).id, current(&before).id);
    assert!(current(&after).display_name.starts_with("another [k8s "));
    assert_eq!(after.status.as_ref().unwrap().retiring[0].id, current(&before).id);
    world.c1.patch_client(&current(&after).id, json!({"allowSourceCidr": ["10.0.0.0/8"]})).await;
    let refused = |object: &PersonalClient| match condition(object, "RenewalFailing") {
        Some((reason, message)) if reason == "RequestRejected" && message.contains("cannot be changed") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let object = namespace.until("client", "says that it cannot be put back", refused).await;
    assert!(c1_operator::plan::status::is_ready(object.status.as_ref().unwrap()), "it works");
    assert_eq!(current(&object).id, current(&after).id, "nothing is issued anew for that");
    world.c1.switches(json!({"updatePolicy": "accept"})).await;
    namespace.patch("client", json!({"spec": {"displayName": "third"}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    let object = namespace.ready("client").await;
    assert_eq!(current(&object).id, current(&after).id);
    assert_eq!(at_c1(&world, &object).await.allow_source_cidr, Vec::<String>::new(), "it is put back with that");
    assert!(condition(&object, "RenewalFailing").is_none());
    world.finish().await;
}

/// Without the marker it would be nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_that_c1_cuts_is_taken_back() {
    let (world, namespace) = with_client("upd-cut", Options::default()).await;
    let before = namespace.ready("client").await;
    let length = current(&before).display_name.chars().count();
    world.c1.switches(json!({"maxDisplayName": length + 5, "longDisplayName": "truncate"})).await;
    namespace.patch("client", json!({"spec": {"displayName": "a name that is much longer than before"}})).await;
    namespace.reason("client", Reason::MarkerTruncated).await;
    let client = at_c1(&world, &before).await;
    assert_eq!(client.display_name, current(&before).display_name);
    assert!(world.c1.login(&namespace.secret("client").await.unwrap()).await, "the credential works");
    namespace.patch("client", json!({"spec": {"displayName": "short"}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(current(&namespace.ready("client").await).id, client.id);
    world.finish().await;
}

/// It is not ours to change: a new spec gets a client of its own, and the other is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_marker_is_not_changed() {
    let (world, namespace) = with_client("upd-unmarked", Options::default()).await;
    let before = namespace.ready("client").await;
    let id = current(&before).id.clone();
    world.c1.patch_client(&id, json!({"displayName": "renamed"})).await;
    let lists = calls(&world, "list").await;
    eventually("a list that shows it", Duration::from_mins(1), async || {
        let seen = calls(&world, "list").await;
        if seen >= lists + 2 { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await;
    namespace.patch("client", json!({"spec": {"displayName": "another"}})).await;
    let after = namespace.ready("client").await;
    assert_ne!(current(&after).id, id);
    assert_eq!(world.c1.client(&id).await.unwrap().display_name, "renamed");
    assert_eq!(calls(&world, "update").await, 0);
    world.c1.delete_client(&id).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_nothing_is_changed_and_afterwards_once() {
    let (world, namespace) = with_client("upd-suspend", Options::default()).await;
    let id = current(&namespace.ready("client").await).id.clone();
    namespace.patch("client", json!({"spec": {"suspend": true, "displayName": "later"}})).await;
    // What works is not what this spec asks for.
    namespace.reason("client", Reason::Suspended).await;
    world.c1.patch_client(&id, json!({"allowSourceCidr": ["10.0.0.0/8"]})).await;
    looks(&world, 2).await;
    assert_eq!(calls(&world, "update").await, 0);
    namespace.patch("client", json!({"spec": {"suspend": null}})).await;
    let so = |c: &LedgerClient| c.display_name.starts_with("later [") && c.allow_source_cidr.is_empty();
    until_at_c1(&world, &namespace, "it is as the spec asks", so).await;
    assert_eq!(calls(&world, "update").await, 1);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
