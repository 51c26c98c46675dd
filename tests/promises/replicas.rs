//! Several replicas, one of which acts: it hands over when it ends, and one that stood still does not act on what it knew.

use std::time::{Duration, Instant};

use c1_operator::{
    api::{PersonalClient, ROTATE_ANNOTATION},
    plan::Record,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::{Namespace, Operator, Options, World, cluster::OPERATOR_NAMESPACE, eventually};

use crate::{all_is_well, current, lifecycle::another};

const LEASE: &str = "c1-operator";
const LEASE_DURATION: Duration = Duration::from_secs(5);
const RETRY_PERIOD: Duration = Duration::from_secs(1);

fn elected() -> Options {
    let election = json!({"enabled": true, "leaseDuration": "5s", "renewDeadline": "3s", "retryPeriod": "1s"});
    Options { operator_values: json!({"leaderElection": election}), ..Options::default() }
}

async fn leads(operator: &Operator) -> bool {
    operator.metric("c1_operator_leader", &[]).await == Some(1.0)
}

/// Waits until the operator leads, and says how long that took.
async fn takes_over(operator: &Operator) -> Duration {
    let begun = Instant::now();
    eventually("the other replica leads", Duration::from_secs(30), async || {
        if leads(operator).await { Ok(()) } else { Err("it stands by".into()) }
    })
    .await;
    begun.elapsed()
}

/// Two replicas, of which the first leads and has issued.
async fn led(world: &World) -> (Namespace, Operator) {
    let other = world.replica().await;
    let namespace = world.namespace("ns").await;
    namespace.create("before", json!({})).await;
    namespace.ready("before").await;
    assert!(leads(&world.operator).await && !leads(&other).await);
    (namespace, other)
}

/// The second ends in good order, and the first cleans up.
async fn handed_back(mut world: World, mut other: Operator) {
    assert!(other.terminate().await.success());
    world.restart_operator(None).await;
    world.finish().await;
}

/// A pod that is deleted gives the lease up.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_hands_over_within_three_seconds() {
    let mut world = World::start("replicas-stop", elected()).await;
    let (namespace, other) = led(&world).await;
    let calls = other.metric("c1_operator_c1_calls_total", &[]).await;
    assert_eq!(calls, None, "who stands by calls nobody");

    assert!(world.operator.terminate().await.success());
    let took = takes_over(&other).await;
    eprintln!("handed over in {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    namespace.create("after", json!({})).await;
    all_is_well(&world, &[(&namespace, "before"), (&namespace, "after")]).await;
    handed_back(world, other).await;
}

/// A node that loses power does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_is_followed_when_its_lease_is_over() {
    let mut world = World::start("replicas-crash", elected()).await;
    let (namespace, other) = led(&world).await;

    world.operator.kill().await;
    let took = takes_over(&other).await;
    eprintln!("taken over in {took:?}");
    assert!(took <= LEASE_DURATION + RETRY_PERIOD + Duration::from_secs(2), "{took:?}");
    namespace.create("after", json!({})).await;
    all_is_well(&world, &[(&namespace, "before"), (&namespace, "after")]).await;
    handed_back(world, other).await;
}

/// Stopped while C1 makes a client, and woken up when another replica leads: it ends, and one client is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_wakes_up_late_ends_without_harm() {
    let mut world = World::start("replicas-pause", elected()).await;
    let other = world.replica().await;
    let namespace = world.namespace("ns").await;
    assert!(leads(&world.operator).await && !leads(&other).await);
    slow_create(&world).await;
    namespace.create("client", json!({})).await;
    stands_still(&mut world, &other, &namespace, None).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    handed_back(world, other).await;
}

/// The same in the middle of a rotation: what was asked for is answered, and what was replaced works for its overlap.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_wakes_up_late_in_a_rotation_ends_without_harm() {
    let mut world = World::start("replicas-rotation", elected()).await;
    let other = world.replica().await;
    let namespace = world.namespace("ns").await;
    assert!(leads(&world.operator).await && !leads(&other).await);
    namespace.create("client", json!({})).await;
    let first = current(&namespace.ready("client").await).clone();
    let old = namespace.secret("client").await.unwrap();
    slow_create(&world).await;
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
    stands_still(&mut world, &other, &namespace, Some(&first.attempt)).await;
    let object = namespace.until("client", "has another client", |object| another(object, &first.id)).await;
    assert_eq!(object.status.as_ref().unwrap().last_handled_rotate_at.as_deref(), Some("now"));
    assert_eq!(object.status.as_ref().unwrap().retiring[0].id, first.id);
    assert!(world.c1.login(&old).await, "its overlap has begun");
    all_is_well(&world, &[(&namespace, "client")]).await;
    handed_back(world, other).await;
}

async fn slow_create(world: &World) {
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1}}])).await;
}

/// The leader stands still once it has an attempt under way, other than this one; when the other replica leads and all is Ready, it
/// wakes up, and ends.
async fn stands_still(world: &mut World, other: &Operator, namespace: &Namespace, former: Option<&str>) {
    let intended = |object: &PersonalClient| match Record::of(object).open {
        Some(open) if former != Some(open.attempt.as_str()) => Ok(()),
        open => Err(format!("{open:?}")),
    };
    namespace.until("client", "has an attempt under way", intended).await;
    world.operator.signal("STOP").await;
    takes_over(other).await;
    namespace.ready("client").await;
    let woken = Instant::now();
    world.operator.signal("CONT").await;
    let ended = world.operator.ended().await;
    assert_eq!(ended.code(), Some(1), "who lost the lease ends");
    eprintln!("ended {:?} after it woke up", woken.elapsed());
    assert!(world.operator.log().contains("the lease is lost"));
}

/// Somebody cleans up too much: the leader makes its Lease again, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_deleted_is_made_again_by_the_leader() {
    let world = World::start("replicas-lease", elected()).await;
    let (namespace, other) = led(&world).await;
    let leases: Api<Lease> = Api::namespaced(world.kube.clone(), OPERATOR_NAMESPACE);
    let uid = async || leases.get_opt(LEASE).await.unwrap().and_then(|lease| lease.metadata.uid);
    let before = uid().await;
    assert!(before.is_some());
    // Helm knows its own by marks like this one.
    let mark = json!({"metadata": {"labels": {"mark": "helm"}}});
    let marked = leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(mark)).await.unwrap();
    eventually("the leader has renewed the marked Lease", Duration::from_secs(20), async || {
        let lease = leases.get(LEASE).await.unwrap();
        if lease.spec == marked.spec { Err("not yet".to_owned()) } else { Ok(()) }
    })
    .await;

    leases.delete(LEASE, &DeleteParams::default()).await.unwrap();
    eventually("there is another Lease", Duration::from_secs(20), async || {
        let now = uid().await;
        if now.is_some() && now != before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert!(leads(&world.operator).await && !leads(&other).await, "who led leads");
    let labels = leases.get(LEASE).await.unwrap().metadata.labels.unwrap_or_default();
    assert_eq!(labels.get("mark").map(String::as_str), Some("helm"), "or Helm would not take it for its own any more");
    namespace.create("after", json!({})).await;
    all_is_well(&world, &[(&namespace, "before"), (&namespace, "after")]).await;
    assert!(!world.operator.log().contains("the lease is lost"));
    handed_back(world, other).await;
}
