//! P1: once a Secret has held a credential, an object that says Ready has a Secret that works, whatever crashes.
//!
//! The operator is killed (SIGKILL) at every fault point there is: before and after each of its effects. Started again, it
//! must bring everything to where it would have been.

use c1_operator::{
    api::{DELIVERED_ANNOTATION, FINALIZER, MANAGED_LABEL, PersonalClient, ROTATE_ANNOTATION, Reason},
    fault::{EffectKind, FaultPoint},
};
use serde_json::json;
use testkit::{Namespace, Options, TestClock, World};

use crate::{
    all_is_well, current,
    lifecycle::with_clock,
    no_client_lives,
    restart::{template, workload},
};

/// Who is to be restarted, one after the other.
const CONSUMERS: [&str; 2] = ["consumer", "other"];

/// What leads the operator past its fault points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    FirstIssue,
    Rotation,
    Retirement,
    Deletion,
    Abandon,
    MissingIssuer,
    FinalizerTornOff,
    RestoredSecret,
    NewTemplate,
    NewName,
    Restart,
    Move,
}

impl Flow {
    const ALL: [Self; 12] = [
        Self::FirstIssue,
        Self::Rotation,
        Self::Retirement,
        Self::Deletion,
        Self::Abandon,
        Self::MissingIssuer,
        Self::FinalizerTornOff,
        Self::RestoredSecret,
        Self::NewTemplate,
        Self::NewName,
        Self::Restart,
        Self::Move,
    ];

    /// Everything that the operator does in it.
    fn effects(self) -> &'static [EffectKind] {
        use EffectKind as E;
        match self {
            Self::FirstIssue | Self::Rotation => &[E::Preflight, E::Intend, E::Create, E::Deliver, E::Record],
            Self::Retirement => &[E::DeleteClient, E::UpdateStatus],
            Self::Deletion => &[E::DeleteClient, E::DeleteSecret, E::RemoveFinalizer],
            Self::Abandon => &[E::Burn, E::Fence, E::DeleteClient],
            Self::MissingIssuer => &[E::UpdateStatus],
            Self::FinalizerTornOff => &[E::AddFinalizer],
            Self::RestoredSecret => &[E::Claim],
            Self::NewTemplate => &[E::Render],
            Self::NewName => &[E::UpdateClient, E::Record],
            Self::Restart => &[E::Restart, E::UpdateStatus],
            Self::Move => &[E::Burn, E::Copy, E::Record, E::DeleteSecret],
        }
    }

    fn points(self) -> impl Iterator<Item = FaultPoint> {
        self.effects().iter().flat_map(|kind| [FaultPoint::Before(*kind), FaultPoint::After(*kind)])
    }
}

/// Walks the fault points of one flow: `prepare` without a fault, then the operator is started to die at the point, `trigger`
/// leads it there, it is started again, and `check` holds the promises.
async fn walk(flow: Flow, name: &str) {
    let mut options = with_clock();
    // One flow has a ClientIssuer name the simulator.
    options.operator_values["allowedHostNamespaced"] = json!(true);
    options.operator_values["rbac"] = json!({"restartWorkloads": true});
    let mut world = World::start(name, options).await;
    for point in flow.points() {
        let namespace = world.namespace(&point.to_string().to_lowercase()).await;
        prepare(&world, &namespace, flow).await;
        let before = namespace.secret("victim").await;
        world.restart_operator(Some(&point.to_string())).await;
        trigger(&world, &namespace, flow).await;
        assert!(world.operator.killed().await, "{point} was never reached");
        world.c1.clear_faults().await;
        world.restart_operator(None).await;
        settle(&world, &namespace, flow).await;
        if flow == Flow::Rotation {
            assert!(world.c1.login(&before.unwrap()).await, "{point}: what was replaced works for the overlap");
        }
        if flow == Flow::Deletion {
            namespace.gone("victim").await;
            assert!(namespace.secret("victim").await.is_none(), "{point}: the Secret outlived its object");
        } else {
            all_is_well(&world, &[(&namespace, "victim")]).await;
            namespace.delete("victim").await;
            namespace.gone("victim").await;
        }
        no_client_lives(&world).await;
    }
    world.finish().await;
}

async fn prepare(world: &World, namespace: &Namespace, flow: Flow) {
    if matches!(flow, Flow::FirstIssue | Flow::MissingIssuer) {
        return;
    }
    let policy = if flow == Flow::RestoredSecret { "Retain" } else { "Delete" };
    if flow == Flow::Restart {
        for name in CONSUMERS {
            workload(world, namespace, "Deployment", name, json!({})).await;
        }
    }
    let restart =
        json!({"overlap": "1s", "restart": CONSUMERS.map(|name| json!({"kind": "Deployment", "name": name}))});
    let rotation = if flow == Flow::Restart { restart } else { json!({}) };
    namespace.create("victim", json!({"deletionPolicy": policy, "rotation": rotation})).await;
    namespace.ready("victim").await;
    if flow == Flow::RestoredSecret {
        namespace.delete("victim").await;
        namespace.gone("victim").await;
        assert_eq!(world.c1.live().await.len(), 1, "Retain keeps the client");
    }
    if flow == Flow::Retirement {
        ask(namespace).await;
        replaced(namespace).await;
    }
}

async fn ask(namespace: &Namespace) {
    namespace.patch("victim", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
}

/// Until the request is answered, and one client retires.
async fn replaced(namespace: &Namespace) {
    let replaced = |object: &PersonalClient| match &object.status {
        Some(status) if status.last_handled_rotate_at.is_some() && status.retiring.len() == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    namespace.until("victim", "has another client", replaced).await;
}

async fn trigger(world: &World, namespace: &Namespace, flow: Flow) {
    match flow {
        Flow::FirstIssue => drop(namespace.create("victim", json!({})).await),
        Flow::RestoredSecret => drop(namespace.create("victim", json!({"deletionPolicy": "Delete"})).await),
        Flow::MissingIssuer => {
            let issuer = json!({"kind": "ClientIssuer", "name": "late"});
            namespace.create("victim", json!({"issuerRef": issuer})).await;
        }
        Flow::Deletion => namespace.delete("victim").await,
        // The Secret exists, the new attempt's answer is lost: the attempt is burnt, the Secret fenced, the client deleted.
        Flow::Abandon => {
            world
                .c1
                .faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "cut", "when": "after"}}]))
                .await;
            namespace.patch("victim", json!({"spec": {"expires": "48h"}})).await;
        }
        Flow::FinalizerTornOff => namespace.patch("victim", json!({"metadata": {"finalizers": null}})).await,
        Flow::Rotation | Flow::Restart => ask(namespace).await,
        Flow::Retirement => TestClock::of(world).advance(&world.c1, 3700).await,
        Flow::Move => namespace.patch("victim", json!({"spec": {"secretName": "elsewhere"}})).await,
        Flow::NewName => namespace.patch("victim", json!({"spec": {"displayName": "another"}})).await,
        Flow::NewTemplate => {
            let template = json!({"labels": {"team": "ci"}, "data": {"ENV": "{{ clientId }}"}});
            namespace.patch("victim", json!({"spec": {"secretTemplate": template}})).await;
        }
    }
}

/// Waits for what the flow was to lead to, where Ready alone does not tell.
async fn settle(world: &World, namespace: &Namespace, flow: Flow) {
    match flow {
        Flow::MissingIssuer => {
            namespace.reason("victim", Reason::IssuerNotFound).await;
            world.client_issuer(namespace, "late", |_| {}).await;
        }
        Flow::FinalizerTornOff => {
            namespace
                .until("victim", "has its finalizer back", |object| {
                    let has = object.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
                    if has { Ok(()) } else { Err("not yet".into()) }
                })
                .await;
        }
        Flow::NewTemplate => {
            let before = namespace.ready("victim").await;
            testkit::eventually("the Secret is rendered anew", std::time::Duration::from_secs(30), async || {
                let secret = namespace.secret("victim").await.ok_or("no Secret")?;
                let rendered =
                    secret.get("ENV") == Some(current(&before).client_id.as_str()) && secret.label("team").is_some();
                if rendered { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            let ids: Vec<_> = world.c1.live().await;
            assert_eq!(ids.len(), 1, "a new template mints nothing");
        }
        Flow::NewName => {
            let object = namespace.ready("victim").await;
            let client = world.c1.client(&current(&object).id).await.expect("it is there");
            assert!(client.display_name.starts_with("another ["), "{}", client.display_name);
            assert_eq!(world.c1.live().await.len(), 1, "a new name mints nothing");
        }
        Flow::Move => {
            testkit::eventually("the former Secret goes", std::time::Duration::from_secs(30), async || {
                let (former, moved) = (namespace.secret("victim").await, namespace.secret("elsewhere").await);
                if former.is_none() && moved.is_some() { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            assert_eq!(world.c1.live().await.len(), 1, "a move mints nothing");
        }
        Flow::Restart => {
            let pending = |object: &PersonalClient| match object.status.as_ref().and_then(|s| s.restart_pending) {
                None => Ok(()),
                other => Err(format!("restartPending is {other:?}")),
            };
            namespace.until("victim", "has restarted its consumer", pending).await;
            for name in CONSUMERS {
                let annotation = "restart.iam.conductor.one/victim";
                let (changes, _) = template(world, namespace, ("Deployment", name), annotation).await;
                assert_eq!(changes, 1, "{name}: restarted once, whatever crashed");
            }
        }
        Flow::Rotation => {
            replaced(namespace).await;
            assert_eq!(world.c1.live().await.len(), 2, "the current client, and the one that retires");
        }
        Flow::Retirement => {
            let alone = |object: &PersonalClient| match &object.status {
                Some(status) if status.retiring.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            };
            namespace.until("victim", "has nothing retiring", alone).await;
            assert_eq!(world.c1.live().await.len(), 1, "the overlap is over");
        }
        Flow::Abandon => {
            let object = namespace.ready("victim").await;
            assert_eq!(object.status.unwrap_or_default().retiring.len(), 1, "the replaced client retires");
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_of_the_first_issue_nothing_is_lost() {
    walk(Flow::FirstIssue, "p1-issue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_of_a_rotation_one_is_replaced_by_one() {
    walk(Flow::Rotation, "p1-rotation").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_an_overlap_ends_it_ends() {
    walk(Flow::Retirement, "p1-retirement").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_of_the_deletion_nothing_stays() {
    walk(Flow::Deletion, "p1-deletion").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_client_is_abandoned_the_other_one_works() {
    walk(Flow::Abandon, "p1-abandon").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_says_that_the_issuer_is_missing_it_issues_later() {
    walk(Flow::MissingIssuer, "p1-status").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_secret_moves_it_moves() {
    walk(Flow::Move, "p1-move").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_consumers_are_restarted_they_are_restarted_once() {
    walk(Flow::Restart, "p1-restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_finalizer_is_put_back_it_is_put_back() {
    walk(Flow::FinalizerTornOff, "p1-finalizer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_kept_secret_is_taken_over_it_is_taken_over() {
    walk(Flow::RestoredSecret, "p1-claim").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_secret_is_rendered_the_credential_stays() {
    walk(Flow::NewTemplate, "p1-render").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_client_is_changed_in_place_it_is_changed() {
    walk(Flow::NewName, "p1-update").await;
}

#[test]
fn every_fault_point_is_walked() {
    for point in FaultPoint::all() {
        assert!(Flow::ALL.iter().any(|flow| flow.points().any(|p| p == point)), "{point} is walked by no flow");
    }
}

/// The commit point: the Secret was written, nothing else is known. No second client is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_delivered_is_recorded_and_not_issued_again() {
    let options = Options { fault_point: Some("after-Deliver".into()), ..Options::default() };
    let mut world = World::start("p1-commit", options).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    assert!(world.operator.killed().await);
    let delivered = namespace.secret("client").await.expect("the Secret was written");
    assert!(delivered.label(MANAGED_LABEL).is_some() && delivered.annotation(DELIVERED_ANNOTATION).is_some());
    world.restart_operator(None).await;
    let object = namespace.ready("client").await;
    assert_eq!(current(&object).client_id, delivered.client_id());
    assert_eq!(world.c1.ledger().await.iter().filter(|c| !c.bootstrap).count(), 1, "only one client was ever made");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// A shutdown while the secret is in memory only: it is delivered first.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_between_create_and_delivery_delivers_first() {
    let mut world = World::start("p1-shutdown", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world
        .c1
        .faults(json!([{"operation": "create", "fault": {"kind": "latency", "seconds": 1.5, "when": "after"}}]))
        .await;
    namespace.create("client", json!({})).await;
    testkit::eventually("the create was sent", std::time::Duration::from_secs(20), async || {
        if world.c1.live().await.is_empty() { Err("no client yet".to_owned()) } else { Ok(()) }
    })
    .await;
    let status = world.operator.terminate().await;
    assert!(status.success(), "{status}");
    let secret = namespace.secret("client").await.expect("it was delivered before the process ended");
    assert!(world.c1.login(&secret).await);
    world.c1.clear_faults().await;
    world.restart_operator(None).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(world.c1.ledger().await.iter().filter(|c| !c.bootstrap).count(), 1);
    world.finish().await;
}
