//! A credential moves: to a Secret of another name. Nothing is minted for that, consumers find the new Secret before the old one
//! goes, and nothing stays behind, whatever happens on the way.

use std::time::Duration;

use c1_operator::{
    api::{PersonalClient, ROTATE_ANNOTATION, Reason},
    plan::Record,
};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::{Namespace, Options, TestClock, World, eventually};

use crate::{
    all_is_well, current,
    lifecycle::{another, with_clock},
    looks, no_client_lives,
};

/// A world, and an object `client` with this spec in it, Ready.
async fn with_client(test: &str, options: Options, spec: Value) -> (World, Namespace) {
    let world = World::start(test, options).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", spec).await;
    namespace.ready("client").await;
    (world, namespace)
}

async fn name_it(namespace: &Namespace, secret: &str) {
    namespace.patch("client", json!({"spec": {"secretName": secret}})).await;
}

/// The Secrets of the namespace that are ours.
async fn ours(namespace: &Namespace) -> Vec<String> {
    let labelled = kube::api::ListParams::default().labels("iam.conductor.one/managed=true");
    let found = namespace.secrets().list_metadata(&labelled).await.unwrap();
    found.items.into_iter().filter_map(|secret| secret.metadata.name).collect()
}

/// Until this one is the only Secret of ours, and status names it.
async fn only(namespace: &Namespace, name: &str) -> PersonalClient {
    eventually(&format!("{name} is the only Secret"), Duration::from_secs(30), async || {
        let found = ours(namespace).await;
        if found == [name] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let object = namespace.ready("client").await;
    assert_eq!(object.status.as_ref().unwrap().secret_name.as_deref(), Some(name));
    object
}

/// What the operator has written in the namespace, events aside: verb, and path from the kind on.
fn writes(world: &World, namespace: &Namespace) -> Vec<String> {
    let place = format!("/namespaces/{}/", namespace.as_ref());
    let path = |path: &str| Some(path.split('?').next()?.split_once(&place)?.1.to_owned());
    let all = world.operator_writes();
    let here = all.iter().filter_map(|(verb, uri)| Some(format!("{verb} {}", path(uri)?)));
    here.filter(|write| !write.contains(" events")).collect()
}

/// Until an attempt is open, another than this.
async fn under_way(namespace: &Namespace, former: &str) {
    let open = |object: &PersonalClient| match Record::of(object).open {
        Some(open) if open.attempt != former => Ok(()),
        other => Err(format!("{other:?}")),
    };
    namespace.until("client", "has an open attempt", open).await;
}

async fn made(world: &World) -> usize {
    world.c1.ledger().await.iter().filter(|client| !client.bootstrap).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_secret_is_there_before_the_old_one_goes() {
    let (world, namespace) = with_client("move-order", Options::default(), json!({})).await;
    let before = namespace.ready("client").await;
    let old = namespace.secret("client").await.unwrap();
    let earlier = writes(&world, &namespace).len();
    name_it(&namespace, "elsewhere").await;
    let after = only(&namespace, "elsewhere").await;
    let new = namespace.secret("elsewhere").await.unwrap();
    assert_eq!(
        (new.client_id(), new.client_secret()),
        (old.client_id(), old.client_secret()),
        "it is the same credential"
    );
    assert!(world.c1.login(&new).await);
    assert_eq!(current(&after), current(&before));
    assert_eq!(made(&world).await, 1, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(
        writes(&world, &namespace)[earlier..],
        [
            "patch personalclients/client",
            "create secrets",
            "patch personalclients/client/status",
            "patch personalclients/client",
            "delete secrets/client",
            "patch personalclients/client/status"
        ],
        "both names are known, the credential is copied, status names the copy; only then, on that version, the old Secret goes"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_left_alone_and_the_credential_stays_where_it_is() {
    let (world, namespace) = with_client("move-taken", Options::default(), json!({})).await;
    world.put_secret(&namespace, "taken", &[("password", "theirs")]).await;
    let theirs = namespace.secrets().get("taken").await.unwrap();
    name_it(&namespace, "taken").await;
    let object = namespace.reason("client", Reason::SecretConflict).await;
    let said = &object.status.as_ref().unwrap().conditions.iter().find(|c| c.type_ == "Ready").unwrap().message;
    assert!(said.contains("Secret taken exists") && said.contains("stays in Secret client"), "{said}");
    assert!(world.c1.login(&namespace.secret("client").await.unwrap()).await);
    let after = namespace.secrets().get("taken").await.unwrap();
    assert_eq!(after.metadata.resource_version, theirs.metadata.resource_version, "it was written");
    namespace.secrets().delete("taken", &kube::api::DeleteParams::default()).await.unwrap();
    only(&namespace, "taken").await;
    assert_eq!(made(&world).await, 1, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// A quota may forbid one Secret more, and not another content of the one that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_refused_is_said_and_holds_up_no_renewal() {
    let (world, namespace) = with_client("move-refused", Options::default(), json!({})).await;
    let first = current(&namespace.ready("client").await).id.clone();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one", "namespace": namespace.name},
        "spec": {"hard": {"count/secrets": "1"}},
    });
    world.apply(&quota).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(world.kube.clone(), &namespace.name);
    eventually("the quota is in force", Duration::from_secs(30), async || {
        let used = quotas.get("one").await.unwrap().status.and_then(|s| s.used);
        if used.is_some_and(|used| used.contains_key("count/secrets")) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    name_it(&namespace, "elsewhere").await;
    let object = namespace.reason("client", Reason::SecretRefused).await;
    let said = &object.status.as_ref().unwrap().conditions.iter().find(|c| c.type_ == "Ready").unwrap().message;
    assert!(said.contains("Secret elsewhere cannot be written") && said.contains("exceeded quota"), "{said}");
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    namespace.until("client", "has another client", |object| another(object, &first)).await;
    namespace.reason("client", Reason::SecretRefused).await;
    assert!(world.c1.login(&namespace.secret("client").await.unwrap()).await);
    quotas.delete("one", &kube::api::DeleteParams::default()).await.unwrap();
    // Another spec is tried at once.
    name_it(&namespace, "third").await;
    only(&namespace, "third").await;
    assert_eq!(made(&world).await, 2);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_again_and_again_leaves_one_secret() {
    let (world, namespace) = with_client("move-often", Options::default(), json!({})).await;
    for name in ["b", "c", "d", "client", "c", "b", "e", "c"] {
        name_it(&namespace, name).await;
    }
    only(&namespace, "c").await;
    assert_eq!(made(&world).await, 1, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    namespace.delete("client").await;
    namespace.gone("client").await;
    assert!(ours(&namespace).await.is_empty());
    no_client_lives(&world).await;
    world.finish().await;
}

/// Without labels a Secret is in no cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_secret_that_lost_its_labels_goes_too() {
    let (mut world, namespace) = with_client("move-labels", Options::default(), json!({})).await;
    world.operator.kill().await;
    let strip = Patch::Merge(json!({"metadata": {"labels": null}}));
    namespace.secrets().patch("client", &PatchParams::default(), &strip).await.unwrap();
    name_it(&namespace, "elsewhere").await;
    world.restart_operator(None).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    eventually("the former Secret is gone", Duration::from_secs(30), async || {
        if namespace.secret("client").await.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
    only(&namespace, "elsewhere").await;
    assert_eq!(made(&world).await, 1, "nothing is minted");
    world.finish().await;
}

/// A first credential was delivered, and not recorded before its object was to have another Secret, and went.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_secret_that_was_not_recorded_goes_with_its_object() {
    let mut world = World::start("move-first", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.restart_operator(Some("before-Record")).await;
    namespace.create("client", json!({})).await;
    assert!(world.operator.killed().await, "it was never delivered");
    name_it(&namespace, "elsewhere").await;
    namespace.delete("client").await;
    world.restart_operator(None).await;
    namespace.gone("client").await;
    assert!(namespace.secret("client").await.is_none(), "its Secret stays");
    no_client_lives(&world).await;
    world.finish().await;
}

/// Its type can change with its name, and the template with both.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_type_is_written_under_another_name() {
    let (world, namespace) = with_client("move-type", Options::default(), json!({})).await;
    let template = json!({"type": "example.com/c1", "data": {"ENV": "{{ clientId }}"}});
    namespace.patch("client", json!({"spec": {"secretName": "typed", "secretTemplate": template}})).await;
    only(&namespace, "typed").await;
    let secret = namespace.secrets().get("typed").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("example.com/c1"));
    let data = namespace.secret("typed").await.unwrap();
    assert_eq!(data.get("ENV"), Some(data.client_id()));
    assert_eq!(made(&world).await, 1, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// Kubernetes does not let a Secret's type change: what is there keeps it, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn where_it_cannot_move_it_is_renewed_with_the_type_that_it_has() {
    let (world, namespace) = with_client("move-untyped", Options::default(), json!({})).await;
    world.put_secret(&namespace, "taken", &[("password", "theirs")]).await;
    let first = current(&namespace.ready("client").await).id.clone();
    let typed = |name: &str| json!({"spec": {"secretName": name, "secretTemplate": {"type": "example.com/c1"}}});
    namespace.patch("client", typed("taken")).await;
    namespace.reason("client", Reason::SecretConflict).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    namespace.until("client", "has another client", |object| another(object, &first)).await;
    namespace.reason("client", Reason::SecretConflict).await;
    assert!(world.c1.login(&namespace.secret("client").await.unwrap()).await);
    // Back under the former name, where Kubernetes does not let it have the new type.
    namespace.patch("client", typed("client")).await;
    let object = namespace.reason("client", Reason::SecretRefused).await;
    let said = &object.status.as_ref().unwrap().conditions.iter().find(|c| c.type_ == "Ready").unwrap().message;
    assert!(said.contains("the type of Secret client is Opaque, and cannot be changed"), "{said}");
    looks(&world, 2).await;
    assert_eq!(made(&world).await, 2, "that mints nothing");
    namespace.secrets().delete("client", &kube::api::DeleteParams::default()).await.unwrap();
    all_is_well(&world, &[(&namespace, "client")]).await;
    let secret = namespace.secrets().get("client").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("example.com/c1"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_moves_while_the_one_before_retires() {
    let options = with_clock();
    let spec = json!({"rotation": {"policy": "Manual", "overlap": "10m"}});
    let (world, namespace) = with_client("move-overlap", options, spec).await;
    let clock = TestClock::of(&world);
    let first = current(&namespace.ready("client").await).id.clone();
    let replaced = namespace.secret("client").await.unwrap();
    namespace
        .patch(
            "client",
            json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}, "spec": {"secretName": "elsewhere"}}),
        )
        .await;
    namespace.until("client", "has another client", |object| another(object, &first)).await;
    only(&namespace, "elsewhere").await;
    assert!(world.c1.client(&first).await.unwrap().live, "its overlap goes on");
    assert_eq!(made(&world).await, 2, "it was asked for once");
    all_is_well(&world, &[(&namespace, "client")]).await;
    clock.advance(&world.c1, 11 * 60).await;
    eventually("the overlap ends", Duration::from_secs(30), async || {
        if world.c1.client(&first).await.unwrap().live { Err("it lives".to_owned()) } else { Ok(()) }
    })
    .await;
    assert!(!world.c1.login(&replaced).await);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// What an attempt is about to deliver goes where it was meant to, and moves from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_while_a_client_is_made_leaves_one_secret() {
    let world = World::start("move-open", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1}}])).await;
    namespace.create("client", json!({})).await;
    under_way(&namespace, "").await;
    name_it(&namespace, "elsewhere").await;
    only(&namespace, "elsewhere").await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 1, "one client");
    world.finish().await;
}

/// The same while the client is replaced: what is delivered under the former name moves, and what was replaced has its overlap.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_while_a_client_is_replaced_leaves_one_secret() {
    let (world, namespace) = with_client("move-rotation", Options::default(), json!({})).await;
    let object = namespace.ready("client").await;
    let first = current(&object).clone();
    let old = namespace.secret("client").await.unwrap();
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1}}])).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    under_way(&namespace, &first.attempt).await;
    name_it(&namespace, "elsewhere").await;
    only(&namespace, "elsewhere").await;
    namespace.until("client", "has another client", |object| another(object, &first.id)).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(made(&world).await, 2, "it was asked for once");
    assert!(world.c1.login(&old).await, "its overlap has begun");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_it_moves_leaves_nothing() {
    for (at, secrets) in [("after-Copy", 2), ("before-DeleteSecret", 2), ("after-DeleteSecret", 1)] {
        let (mut world, namespace) =
            with_client(&format!("move-{}", at.to_lowercase()), Options::default(), json!({})).await;
        world.restart_operator(Some(at)).await;
        name_it(&namespace, "elsewhere").await;
        assert!(world.operator.killed().await, "{at} was not reached");
        assert_eq!(ours(&namespace).await.len(), secrets, "{at}");
        namespace.delete("client").await;
        world.restart_operator(None).await;
        namespace.gone("client").await;
        assert!(ours(&namespace).await.is_empty(), "{at}");
        no_client_lives(&world).await;
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_suspended_nothing_moves_and_that_is_said() {
    let (world, namespace) = with_client("move-suspend", Options::default(), json!({})).await;
    namespace.patch("client", json!({"spec": {"suspend": true, "secretName": "elsewhere"}})).await;
    namespace.reason("client", Reason::Suspended).await;
    looks(&world, 2).await;
    let object = namespace.reason("client", Reason::Suspended).await;
    assert_eq!(object.status.as_ref().unwrap().secret_name.as_deref(), Some("client"));
    assert_eq!(ours(&namespace).await, ["client"]);
    namespace.patch("client", json!({"spec": {"suspend": null}})).await;
    only(&namespace, "elsewhere").await;
    assert_eq!(made(&world).await, 1, "nothing is minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The template changes while a client is made, and while the one before retires: it is rendered, and mints nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_changes_in_the_middle_is_rendered() {
    let world = World::start("move-template", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let template = |key: &str| {
        // A merge takes away what is null.
        let mut data = json!({"FIRST": null, "SECOND": null});
        data[key] = json!("{{ clientId }}");
        json!({"spec": {"secretTemplate": {"data": data}}})
    };
    let rendered = async |key: &str| {
        eventually(&format!("{key} is rendered"), Duration::from_secs(30), async || {
            let secret = namespace.secret("client").await.ok_or("no Secret")?;
            if secret.get(key) == Some(secret.client_id()) { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    };
    world.c1.faults(json!([{"operation": "create", "fault": {"kind": "latency", "seconds": 1}}])).await;
    namespace.create("client", json!({})).await;
    under_way(&namespace, "").await;
    namespace.patch("client", template("FIRST")).await;
    rendered("FIRST").await;
    let first = current(&namespace.ready("client").await).clone();
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    under_way(&namespace, &first.attempt).await;
    namespace.patch("client", template("SECOND")).await;
    namespace.until("client", "has another client", |object| another(object, &first.id)).await;
    rendered("SECOND").await;
    namespace.patch("client", template("THIRD")).await;
    rendered("THIRD").await;
    assert_eq!(namespace.secret("client").await.unwrap().get("FIRST"), None);
    assert_eq!(made(&world).await, 2, "a template mints nothing");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
