//! P4: a Secret that the object does not own is never written; a client without its marker is never deleted.

use c1_operator::api::Reason;
use serde_json::json;
use testkit::{Options, World};

use crate::{all_is_well, current, no_client_lives};

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_is_never_written() {
    let world = World::start("p4-secret", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.put_secret(&namespace, "client", &[("password", "theirs")]).await;
    let before = namespace.secrets().get("client").await.unwrap();
    namespace.create("client", json!({})).await;
    let object = namespace.reason("client", Reason::SecretConflict).await;
    assert!(message(&object).contains("Secret client exists and was not made by the operator"), "{}", message(&object));
    namespace.delete("client").await;
    namespace.gone("client").await;
    let after = namespace.secrets().get("client").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "it was written");
    assert!(world.c1.ledger().await.iter().all(|c| c.bootstrap), "nothing was minted for it");
    world.finish().await;
}

/// A copy of our Secret under another object's name, or in another namespace, is not that object's.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_secret_is_foreign_to_others() {
    let world = World::start("p4-copy", Options::default()).await;
    let (here, there) = (world.namespace("here").await, world.namespace("there").await);
    here.create("client", json!({})).await;
    here.ready("client").await;
    let mut copy = here.secrets().get("client").await.unwrap();
    copy.metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: Some("client".into()),
        labels: copy.metadata.labels,
        annotations: copy.metadata.annotations,
        ..Default::default()
    };
    // The scan for secrets must not find the copy.
    copy.data = Some([("clientId".to_owned(), k8s_openapi::ByteString(b"copied".to_vec()))].into());
    there.secrets().create(&kube::api::PostParams::default(), &copy).await.unwrap();
    there.create("client", json!({})).await;
    there.reason("client", Reason::SecretConflict).await;
    there.delete("client").await;
    there.gone("client").await;
    assert!(there.secrets().get_opt("client").await.unwrap().is_some(), "the copy is not ours to delete");
    all_is_well(&world, &[(&here, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_are_never_deleted() {
    let world = World::start("p4-clients", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let theirs = [
        world.c1.create_client(json!({"displayName": "made by hand"})).await,
        world
            .c1
            .create_client(json!({"displayName": "another cluster's [k8s other-00000000/ns/client abcdefghijklm]"}))
            .await,
        world.c1.create_client(json!({"displayName": "looks like one [k8s]"})).await,
    ];
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    namespace.delete("client").await;
    namespace.gone("client").await;
    for client in theirs {
        assert!(world.c1.client(&client.id).await.is_some_and(|c| c.live), "{} was deleted", client.id);
    }
    world.finish().await;
}

/// Somebody renames the client in C1's console, and with the name takes our marker: it stays in use, and is not ours to
/// delete any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_marker_is_left_alone_and_named() {
    let world = World::start("p4-renamed", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let id = current(&namespace.ready("client").await).id.clone();
    world.c1.patch_client(&id, json!({"displayName": "renamed"})).await;
    let secret = namespace.secret("client").await.unwrap();
    assert!(world.c1.login(&secret).await);
    namespace.delete("client").await;
    namespace.gone("client").await;
    assert!(world.c1.client(&id).await.is_some_and(|c| c.live));
    let note = world.cluster_event(&namespace.name, Reason::RevocationBlocked).await;
    assert!(note.contains(&id), "{note}");
    world.c1.delete_client(&id).await;
    no_client_lives(&world).await;
    world.finish().await;
}

fn message(object: &c1_operator::api::PersonalClient) -> String {
    object
        .status
        .iter()
        .flat_map(|s| &s.conditions)
        .find(|c| c.type_ == "Ready")
        .map(|c| c.message.clone())
        .unwrap_or_default()
}

/// The cluster's name in the markers is for people: what was made under another is still the object's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_renamed_keeps_what_it_has() {
    let mut world = World::start("p4-renamed", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = namespace.ready("client").await;
    world.operator.set_flag("--cluster-name", "renamed");
    world.restart_operator(None).await;
    namespace.patch("client", json!({"spec": {"expires": "48h"}})).await;
    let after = namespace.ready("client").await;
    assert!(current(&after).display_name.contains("[k8s renamed-"), "{}", current(&after).display_name);
    assert!(
        after.status.as_ref().is_some_and(|s| s.retiring.iter().any(|r| r.id == current(&before).id)),
        "the former client retires as any other"
    );
    namespace.delete("client").await;
    namespace.gone("client").await;
    no_client_lives(&world).await;
    world.finish().await;
}
