//! Operators that share a cluster, each with a part of its own: by label, or by namespace and then without any right elsewhere.

use std::{collections::BTreeSet, time::Duration};

use c1_operator::api::{FINALIZER, Reason};
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;
use testkit::{Namespace, Operator, Options, World, eventually};

use crate::{all_is_well, current, no_client_lives};

/// One shard, and an issuer, of which it says nothing before it is needed.
async fn shard(test: &str, selector: &str) -> World {
    let values = json!({"watchLabelSelector": selector});
    let world = World::start(test, Options { operator_values: values, issuer: false, ..Options::default() }).await;
    world.issuer("default", |_| {}).await;
    world
}

/// The operator of another release in the same namespace.
async fn neighbour(world: &World, selector: &str) -> Operator {
    let mut other = world.twin();
    other.set_flag("--watch-label-selector", selector);
    other.set_flag("--lease-name", "neighbour");
    other.start(None);
    other.ready().await;
    other
}

async fn labelled(namespace: &Namespace, name: &str, shard: &str) {
    namespace.create(name, json!({})).await;
    label(namespace, name, shard).await;
}

async fn label(namespace: &Namespace, name: &str, shard: &str) {
    namespace.patch(name, json!({"metadata": {"labels": {"shard": shard}}})).await;
}

async fn issued(operator: &Operator) -> f64 {
    operator.metric("c1_operator_clients_issued_total", &[]).await.unwrap_or_default()
}

/// The finalizers of the issuer `default`; none: it is gone.
async fn finalizers(world: &World) -> Option<BTreeSet<String>> {
    let issuer = world.issuers().get_opt("default").await.unwrap()?;
    Some(issuer.finalizers().iter().cloned().collect())
}

/// Each object has one operator, also after it was given to the other; nothing is issued for that.
#[tokio::test(flavor = "multi_thread")]
async fn shards_by_label_serve_each_object_once() {
    let world = shard("shards-label", "shard=a").await;
    let mut other = neighbour(&world, "shard=b").await;
    let namespace = world.namespace("ns").await;
    namespace.create("nobodys", json!({})).await;
    for (name, shard) in [("first", "a"), ("second", "b"), ("third", "b")] {
        labelled(&namespace, name, shard).await;
    }
    all_is_well(&world, &[(&namespace, "first"), (&namespace, "second"), (&namespace, "third")]).await;
    assert_eq!((issued(&world.operator).await, issued(&other).await), (1.0, 2.0));
    let nobodys = namespace.get("nobodys").await.unwrap();
    assert!(nobodys.finalizers().is_empty() && nobodys.status.is_none_or(|s| s.conditions.is_empty()));

    // What one shard knows nothing of is no orphan.
    let issuer = world.issuer_reason("default", Reason::Connected).await.status.unwrap();
    assert_eq!((issuer.orphaned_clients, issuer.orphans.len()), (None, 0));

    let before = current(&namespace.ready("second").await).id.clone();
    label(&namespace, "second", "a").await;
    // That the new shard serves it shows when something is to be done.
    let secrets = namespace.secrets();
    secrets.delete("second", &DeleteParams::default()).await.unwrap();
    eventually("its new shard has issued anew", Duration::from_secs(30), async || {
        let status = namespace.get("second").await.and_then(|object| object.status).ok_or("no status")?;
        let client = status.client.ok_or("no client")?;
        if client.id == before { Err("still the old one".to_owned()) } else { Ok(()) }
    })
    .await;
    assert_eq!((issued(&world.operator).await, issued(&other).await), (2.0, 2.0));
    all_is_well(&world, &[(&namespace, "first"), (&namespace, "second"), (&namespace, "third")]).await;

    // What this operator would not let go goes first.
    namespace.delete("nobodys").await;
    namespace.delete("third").await;
    namespace.gone("third").await;
    eventually(
        "a shard says nothing of an issuer that it does not need any more",
        Duration::from_secs(20),
        async || match other.metric("c1_operator_issuer_inventory_timestamp_seconds", &["name=\"default\""]).await {
            None => Ok(()),
            Some(time) => Err(format!("last read at {time}")),
        },
    )
    .await;
    assert!(world.operator.metric("c1_operator_issuer_ready", &["name=\"default\""]).await.is_some(), "the other does");
    assert!(other.terminate().await.success());
    world.finish().await;
}

/// An issuer stays as long as a shard needs it, and each says so for itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_waits_for_every_shard() {
    let world = shard("shards-issuer", "shard=a").await;
    let mut other = neighbour(&world, "shard=b").await;
    let namespace = world.namespace("ns").await;
    labelled(&namespace, "first", "a").await;
    labelled(&namespace, "second", "b").await;
    namespace.ready("first").await;
    namespace.ready("second").await;
    let both = finalizers(&world).await.unwrap();
    assert!(both.len() == 2 && !both.contains(FINALIZER), "{both:?}");

    world.issuers().delete("default", &DeleteParams::default()).await.unwrap();
    for (name, left) in [("first", Some(1)), ("second", None)] {
        namespace.delete(name).await;
        namespace.gone(name).await;
        eventually("its shard lets the issuer go", Duration::from_secs(20), async || {
            let found = finalizers(&world).await;
            if found.as_ref().map(BTreeSet::len) == left { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
    no_client_lives(&world).await;
    assert!(other.terminate().await.success());
    world.finish().await;
}

/// Some namespaces only, with rights for no other: cluster-wide the operator reads issuers, and these namespaces by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_some_namespaces_needs_no_rights_elsewhere() {
    let stopped = Options { start_operator: false, ..Options::default() };
    let mut world = World::start("shards-namespaces", stopped).await;
    let (one, two, elsewhere) =
        (world.namespace("one").await, world.namespace("two").await, world.namespace("elsewhere").await);
    let watched = [one.as_ref(), two.as_ref()];
    world.upgrade(&json!({"watchNamespaces": watched, "allowedHostNamespaced": true})).await;
    world.client_issuer(&two, "own", |_| {}).await;
    elsewhere.create("client", json!({})).await;
    one.create("client", json!({})).await;
    two.create("client", json!({"issuerRef": {"kind": "ClientIssuer", "name": "own"}})).await;
    world.restart_operator(None).await;
    all_is_well(&world, &[(&one, "client"), (&two, "client")]).await;
    // And what comes later, also by the labels of a namespace.
    two.create("later", json!({})).await;
    all_is_well(&world, &[(&one, "client"), (&two, "client"), (&two, "later")]).await;
    one.event("client", Reason::Issued).await;
    world.cluster_event("default", Reason::Connected).await;
    let untouched = elsewhere.get("client").await.unwrap();
    assert!(untouched.finalizers().is_empty() && untouched.status.is_none_or(|s| s.conditions.is_empty()));

    two.delete("later").await;
    two.gone("later").await;
    all_is_well(&world, &[(&one, "client"), (&two, "client")]).await;
    let refused: Vec<_> = world
        .audit()
        .into_iter()
        .filter(|line| line["responseStatus"]["code"] == 403)
        .filter(|line| line["user"]["username"].as_str().is_some_and(|user| user.contains(":c1-system:")))
        .map(|line| format!("{} {}", line["verb"], line["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "the operator asked for what it may not: {refused:?}");
    // The others of this suite are served as a whole again.
    for namespace in [&one, &two] {
        namespace.delete("client").await;
        namespace.gone("client").await;
    }
    world.operator.terminate().await;
    world.upgrade(&json!({"watchNamespaces": [], "allowedHostNamespaced": false})).await;
    world.restart_operator(None).await;
    // Now it serves what was left out, and nothing is left of the shard's finalizer.
    all_is_well(&world, &[(&elsewhere, "client")]).await;
    elsewhere.delete("client").await;
    elsewhere.gone("client").await;
    eventually("the issuer is let go", Duration::from_secs(20), async || {
        let found = finalizers(&world).await;
        if found == Some(BTreeSet::new()) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_that_is_none_is_said_at_the_start() {
    let mut world = World::start("shards-selector", Options { start_operator: false, ..Options::default() }).await;
    world.operator.set_flag("--watch-label-selector", "shard in a");
    world.operator.start(None);
    assert_eq!(world.operator.ended().await.code(), Some(1));
    let log = world.operator.log();
    assert!(
        log.contains("--watch-label-selector shard in a: ") && log.contains("unable to parse requirement"),
        "{log}"
    );
    world.finish().await;
}
