//! P3: an object never settles with two current clients, whatever crashed, however many replicas ran.

use serde_json::json;
use testkit::{Options, World};

use crate::all_is_well;

const OBJECTS: usize = 40;

fn names() -> Vec<String> {
    (0..OBJECTS).map(|n| format!("client-{n}")).collect()
}

/// Two replicas without any leader: the fence alone keeps them apart.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_issue_one_client_each() {
    let mut world = World::start("p3-replicas", Options::default()).await;
    let mut other = world.replica().await;
    let namespace = world.namespace("ns").await;
    for name in names() {
        namespace.create(&name, json!({})).await;
    }
    let names = names();
    let objects: Vec<_> = names.iter().map(|n| (&namespace, n.as_str())).collect();
    all_is_well(&world, &objects).await;
    let made = world.c1.ledger().await.iter().filter(|c| !c.bootstrap).count();
    assert_eq!(made, OBJECTS, "one create for each object: of two replicas one stops before it sends");
    other.kill().await;
    world.restart_operator(None).await;
    world.finish().await;
}

/// Killed again and again while it issues.
#[tokio::test(flavor = "multi_thread")]
async fn seven_kills_while_issuing_leave_one_client_each() {
    let mut world =
        World::start("p3-kills", Options { simulator_args: vec!["--latency-ms=30".into()], ..Options::default() })
            .await;
    let namespace = world.namespace("ns").await;
    for (n, name) in names().iter().enumerate() {
        namespace.create(name, json!({})).await;
        if n % 6 == 5 {
            world.restart_operator(None).await;
        }
    }
    let names = names();
    let objects: Vec<_> = names.iter().map(|n| (&namespace, n.as_str())).collect();
    all_is_well(&world, &objects).await;
    world.finish().await;
}

/// A proxy repeats the create: of the two clients one is current, and the other ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_create_leaves_one_client() {
    let world = World::start("p3-doubled", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "doubleCreate"}}])).await;
    namespace.create("client", json!({})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    let made: Vec<_> = world.c1.ledger().await.into_iter().filter(|c| !c.bootstrap).collect();
    assert_eq!(made.len(), 2, "it was doubled");
    assert_eq!(made[0].display_name, made[1].display_name);
    world.finish().await;
}

/// The spec changes while the first client is being issued: what results is what the last spec asks, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_changes_during_the_issue_ends_with_one_current_client() {
    let world = World::start("p3-edit", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world
        .c1
        .faults(
            json!([{"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1, "when": "after"}}]),
        )
        .await;
    namespace.create("client", json!({"expires": "24h"})).await;
    namespace.patch("client", json!({"spec": {"expires": "48h"}})).await;
    let object = namespace.ready("client").await;
    let client = crate::current(&object);
    let lifetime = client.expires_time.as_ref().unwrap().0.duration_since(client.created_at.as_ref().unwrap().0);
    assert!((lifetime.as_hours() - 48).abs() <= 1, "the client lives {lifetime}");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
