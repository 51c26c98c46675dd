//! P7: a quiet cluster costs nothing. A restart over healthy objects writes nothing to Kubernetes, and reads only the list
//! pages at C1.

use std::collections::BTreeMap;

use serde_json::json;
use testkit::{Options, World};

use crate::{all_is_well, looks};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_over_healthy_objects_writes_nothing_and_only_lists() {
    let mut world = World::start("p7-restart", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let names: Vec<String> = (0..50).map(|n| format!("client-{n}")).collect();
    for name in &names {
        namespace.create(name, json!({})).await;
    }
    let objects: Vec<_> = names.iter().map(|n| (&namespace, n.as_str())).collect();
    all_is_well(&world, &objects).await;
    let versions = versions(&namespace).await;
    world.operator.kill().await;
    world.c1.reset_requests().await;
    let writes = world.operator_writes().len();

    world.restart_operator(None).await;
    looks(&world, 3).await;

    assert_eq!(world.operator_writes()[writes..], [], "the restarted operator wrote");
    assert_eq!(self::versions(&namespace).await, versions);
    let asked: Vec<String> = world.c1.requests().await.into_keys().collect();
    assert_eq!(asked, ["list", "token"], "C1 was asked for more than its list");
    world.finish().await;
}

/// In a minute's worth of inventories nothing is read from the API server for the objects, either.
#[tokio::test(flavor = "multi_thread")]
async fn idle_objects_cost_list_pages_and_no_reads() {
    let world = World::start("p7-idle", Options::default()).await;
    let namespace = world.namespace("ns").await;
    for n in 0..20 {
        namespace.create(&format!("client-{n}"), json!({})).await;
    }
    for n in 0..20 {
        namespace.ready(&format!("client-{n}")).await;
    }
    // Two inventories after the last Ready, all is quiet.
    looks(&world, 2).await;
    let before = reads(&world);
    world.c1.reset_requests().await;
    looks(&world, 5).await;
    assert_eq!(reads(&world), before, "objects or their Secrets were read");
    assert_eq!(world.c1.requests().await.into_keys().collect::<Vec<_>>(), ["list"]);
    world.finish().await;
}

/// How often the operator read a PersonalClient or a Secret of theirs.
fn reads(world: &World) -> usize {
    let audit = world.audit();
    let reads = audit.iter().filter(|line| {
        let of_operator = line["user"]["username"].as_str().unwrap_or_default().contains("c1-operator");
        let credentials = line["objectRef"]["name"] == "c1-credentials";
        of_operator && line["verb"] == "get" && !credentials
    });
    reads.count()
}

async fn versions(namespace: &testkit::Namespace) -> BTreeMap<String, String> {
    let objects = namespace.list().await.into_iter();
    objects.map(|o| (o.metadata.name.unwrap_or_default(), o.metadata.resource_version.unwrap_or_default())).collect()
}
