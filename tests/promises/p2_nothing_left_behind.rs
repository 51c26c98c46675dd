//! P2: when things are quiet, the live clients with this cluster's marker are exactly those that a status names, and
//! reported orphans. A client whose create's answer never came is found and deleted.

use std::time::Duration;

use c1_operator::api::{FINALIZER, ROTATE_ANNOTATION, Reason};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use testkit::{
    Options, TestClock, World, eventually,
    proxy::{Lose, Trouble},
};

use crate::{all_is_well, current, lifecycle::with_clock, no_client_lives, only_named_clients_live};

/// The answer to one create is lost in every way there is; each time exactly one client remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_no_client_behind() {
    let faults = [
        ("cut-before", json!({"kind": "cut", "when": "before"})),
        ("cut-after", json!({"kind": "cut", "when": "after"})),
        ("503-before", json!({"kind": "status", "status": 503, "when": "before"})),
        ("503-after", json!({"kind": "status", "status": 503, "when": "after"})),
        ("504-after", json!({"kind": "status", "status": 504, "when": "after"})),
        ("408-after", json!({"kind": "status", "status": 408, "when": "after"})),
        ("429-after", json!({"kind": "status", "status": 429, "when": "after", "retryAfter": "1"})),
        ("body-cut", json!({"kind": "body", "how": "cut"})),
        ("body-malformed", json!({"kind": "body", "how": "malformed"})),
        ("slow", json!({"kind": "latency", "seconds": 4, "when": "after"})),
        ("late", json!({"kind": "lateCreate", "seconds": 3})),
    ];
    let world = World::start("p2-lost-answers", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let rules: Vec<Value> = faults
        .iter()
        .map(|(name, fault)| json!({"operation": "create", "times": 1, "displayNameContains": format!("{name} [k8s"), "fault": fault}))
        .collect();
    world.c1.faults(json!(rules)).await;
    for (name, _) in &faults {
        namespace.create(name, json!({})).await;
    }
    let objects: Vec<_> = faults.iter().map(|(name, _)| (&namespace, *name)).collect();
    all_is_well(&world, &objects).await;
    for rule in world.c1.fault_counts().await {
        assert_eq!(rule["fired"], 1, "a fault never fired: {rule}");
    }
    world.finish().await;
}

/// A create that lands after its attempt was closed: by the record it is known for ours, and deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_lands_late_is_deleted() {
    let world = World::start("p2-late", Options::default()).await;
    let namespace = world.namespace("ns").await;
    // Budget and grace are six seconds in tests: it lands when another client has long been issued.
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "lateCreate", "seconds": 12}}])).await;
    namespace.create("client", json!({})).await;
    let first = namespace.ready("client").await;
    eventually("the late client comes to life and ends", Duration::from_secs(30), async || {
        let made: Vec<_> = world.c1.ledger().await.into_iter().filter(|c| !c.bootstrap).collect();
        match made.iter().find(|c| c.id != current(&first).id) {
            Some(late) if !late.live => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// C1's list lags: what it does not show yet is not taken for absent for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lags_leaves_nothing_behind() {
    let world = World::start("p2-lag", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world
        .c1
        .faults(json!([
            {"operation": "list", "fault": {"kind": "lagList", "seconds": 10}},
            {"operation": "create", "times": 1, "fault": {"kind": "cut", "when": "after"}},
        ]))
        .await;
    namespace.create("client", json!({})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The object is deleted while the outcome of its attempt is unknown: the attempt is resolved first.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_object_with_an_unresolved_attempt_ends_its_client() {
    let world = World::start("p2-unresolved", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "fault": {"kind": "cut", "when": "after"}}])).await;
    namespace.create("client", json!({})).await;
    namespace.reason("client", Reason::Unreachable).await;
    namespace.delete("client").await;
    namespace.reason("client", Reason::Deleting).await;
    namespace.gone("client").await;
    assert!(!world.c1.ledger().await.iter().all(|c| c.bootstrap), "a client had been made");
    no_client_lives(&world).await;
    world.finish().await;
}

/// Somebody changes his mind while C1 makes the client: the maker takes back what it delivered.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_its_client_is_made_goes_at_once() {
    // With deadlines as long as in production: nobody may wait for them.
    let operator_values = json!({"timeouts": {"create": "60s", "delivery": "60s", "attemptGrace": "60s"}});
    let world = World::start("p2-deleted-meanwhile", Options { operator_values, ..Options::default() }).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "fault": {"kind": "latency", "seconds": 1.5}}])).await;
    namespace.create("client", json!({})).await;
    eventually("an attempt is intended", Duration::from_secs(20), async || {
        let object = namespace.get("client").await.ok_or("no object")?;
        if object.metadata.finalizers.is_some() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    namespace.delete("client").await;
    // Well within the deadline of the helper, which is shorter than those above.
    namespace.gone("client").await;
    assert!(namespace.secret("client").await.is_none(), "its Secret goes with it");
    no_client_lives(&world).await;
    assert_eq!(world.operator.metric("c1_operator_clients_abandoned_total", &[]).await, Some(0.0));
    world.finish().await;
}

/// A proxy repeats the create, and the object goes before anybody has looked at C1 again: both clients end.
#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_create_of_an_object_that_soon_goes_leaves_no_client() {
    let world = World::start("p2-doubled", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": {"kind": "doubleCreate"}}])).await;
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    namespace.delete("client").await;
    namespace.gone("client").await;
    assert_eq!(world.c1.ledger().await.iter().filter(|c| !c.bootstrap).count(), 2, "it was doubled");
    no_client_lives(&world).await;
    world.finish().await;
}

/// The operator dies with a client that nobody knows, and the object is deleted before it is back: the finalizer, written
/// before the create was sent, has it wait.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_the_operator_is_down_leaves_no_client() {
    let options = Options { fault_point: Some("after-Create".into()), ..Options::default() };
    let mut world = World::start("p2-down", options).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    assert!(world.operator.killed().await);
    assert_eq!(world.c1.live().await.len(), 1);
    namespace.delete("client").await;
    world.restart_operator(None).await;
    namespace.gone("client").await;
    no_client_lives(&world).await;
    world.finish().await;
}

/// The same while it is rotated: neither what works goes on, nor what nobody knows, nor what was delivered and not recorded.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_its_rotation_is_interrupted_leaves_nothing() {
    let mut world = World::start("p2-rotation", Options::default()).await;
    for (point, clients) in [("after-Intend", 1), ("after-Create", 2), ("after-Deliver", 2), ("after-Record", 2)] {
        let namespace = world.namespace(&point.to_lowercase()).await;
        namespace.create("client", json!({})).await;
        namespace.ready("client").await;
        world.restart_operator(Some(point)).await;
        namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: "now"}}})).await;
        assert!(world.operator.killed().await, "{point} was never reached");
        assert_eq!(world.c1.live().await.len(), clients, "{point}");
        namespace.delete("client").await;
        world.restart_operator(None).await;
        namespace.gone("client").await;
        assert!(namespace.secret("client").await.is_none(), "{point}: its Secret stays");
        no_client_lives(&world).await;
    }
    world.finish().await;
}

/// Namespace, objects and issuer go in any order, and nothing stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_and_its_issuer_leave_nothing() {
    let options = Options { operator_values: json!({"allowedHostNamespaced": true}), ..Options::default() };
    let world = World::start("p2-namespace", options).await;
    let namespace = world.namespace("ns").await;
    world.client_issuer(&namespace, "own", |_| {}).await;
    for name in ["a", "b"] {
        namespace.create(name, json!({"issuerRef": {"kind": "ClientIssuer", "name": "own"}})).await;
        namespace.ready(name).await;
    }
    assert_eq!(world.c1.live().await.len(), 2);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.kube.clone());
    namespaces.delete(&namespace.name, &DeleteParams::default()).await.unwrap();
    no_client_lives(&world).await;
    namespace.gone("a").await;
    namespace.gone("b").await;
    eventually("the namespace is gone", Duration::from_mins(1), async || {
        match namespaces.get_opt(&namespace.name).await.unwrap() {
            None => Ok(()),
            Some(namespace) => Err(format!("{:?}", namespace.status)),
        }
    })
    .await;
    world.finish().await;
}

/// The issuer's credentials went with the namespace, and the operator was restarted: nobody can log in any more. The namespace
/// does not hang for ever, and what stays is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_without_a_login_ends_after_ten_minutes_and_names_what_stays() {
    let mut options = with_clock();
    options.operator_values["allowedHostNamespaced"] = json!(true);
    let mut world = World::start("p2-terminating", options).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    world.client_issuer(&namespace, "own", |_| {}).await;
    namespace.create("client", json!({"issuerRef": {"kind": "ClientIssuer", "name": "own"}})).await;
    let id = current(&namespace.ready("client").await).id.clone();
    world.operator.kill().await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.kube.clone());
    namespaces.delete(&namespace.name, &DeleteParams::default()).await.unwrap();
    eventually("the credentials are gone", Duration::from_secs(30), async || {
        if namespace.secret("c1-credentials").await.is_none() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    world.restart_operator(None).await;
    namespace.reason("client", Reason::RevocationBlocked).await;
    assert!(world.c1.client(&id).await.is_some_and(|c| c.live));
    clock.advance(&world.c1, 601).await;
    namespace.gone("client").await;
    assert!(world.cluster_event(&namespace.name, Reason::RevocationBlocked).await.contains(&id));
    assert_eq!(world.operator.metric("c1_operator_clients_left_behind_total", &[]).await, Some(1.0));
    world.c1.delete_client(&id).await;
    world.finish().await;
}

/// `kubectl delete -f dir/` in any order: the issuer waits for its objects.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_deleted_first_waits_for_its_objects() {
    let world = World::start("p2-issuer-first", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    world.issuers().delete("default", &DeleteParams::default()).await.unwrap();
    world.issuer_reason("default", Reason::Deleting).await;
    namespace.create("too-late", json!({})).await;
    namespace.reason("too-late", Reason::IssuerNotReady).await;
    for name in ["client", "too-late"] {
        namespace.delete(name).await;
        namespace.gone(name).await;
    }
    no_client_lives(&world).await;
    eventually("the issuer is gone", Duration::from_secs(30), async || {
        match world.issuers().get_opt("default").await.unwrap() {
            None => Ok(()),
            Some(issuer) => Err(format!("{:?}", issuer.metadata.finalizers)),
        }
    })
    .await;
    world.finish().await;
}

/// An issuer that nothing needs goes at once, with or without an operator: `helm uninstall` deletes both together.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_held_only_while_objects_need_it() {
    let world = World::start("p2-issuer-held", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let finalizers = async || world.issuers().get("default").await.unwrap().metadata.finalizers.unwrap_or_default();
    for name in ["first", "second"] {
        namespace.create(name, json!({})).await;
        namespace.ready(name).await;
        assert_eq!(finalizers().await, [FINALIZER]);
    }
    namespace.delete("first").await;
    namespace.gone("first").await;
    assert_eq!(finalizers().await, [FINALIZER]);
    namespace.delete("second").await;
    namespace.gone("second").await;
    eventually("the issuer is let go", Duration::from_secs(30), async || {
        let left = finalizers().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    // And is held again.
    namespace.create("third", json!({})).await;
    namespace.ready("third").await;
    assert_eq!(finalizers().await, [FINALIZER]);
    world.finish().await;
}

/// A client with our marker whose attempt is on no record may belong to a clone of this cluster: reported, never deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_reported_and_not_deleted() {
    let world = World::start("p2-orphan", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let object = namespace.ready("client").await;
    let name = current(&object).display_name.replace(&current(&object).attempt, "otherattempt1");
    let orphan = world.c1.create_client(json!({"displayName": name})).await;
    eventually("the issuer reports the orphan", Duration::from_secs(30), async || {
        let issuer = world.issuers().get("default").await.unwrap();
        let status = issuer.status.unwrap_or_default();
        let reported = status.orphaned_clients == Some(1) && status.orphans.iter().any(|o| o.id == orphan.id);
        if reported { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert!(world.cluster_event("default", Reason::OrphanedClients).await.contains(&orphan.id));
    assert!(
        world
            .operator
            .metrics()
            .await
            .contains("c1_operator_issuer_orphaned_clients{namespace=\"\",name=\"default\"} 1")
    );
    assert!(world.c1.client(&orphan.id).await.is_some_and(|c| c.live), "it is not ours to delete");
    world.c1.delete_client(&orphan.id).await;
    eventually("the issuer forgets the orphan", Duration::from_secs(30), async || {
        let status = world.issuers().get("default").await.unwrap().status.unwrap_or_default();
        if status.orphaned_clients == Some(0) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    only_named_clients_live(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// Get after delete may be 404, or 200 with `deletedAt`: both mean gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_soft_deleted_client_counts_as_gone() {
    let world = World::start("p2-soft-delete", Options::default()).await;
    world.c1.switches(json!({"getAfterDelete": "deletedAt"})).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    world.c1.delete_client(&before).await;
    namespace
        .until("client", "has another client", |object| {
            let client = object.status.as_ref().and_then(|s| s.client.as_ref());
            if client.is_some_and(|c| c.id != before) { Ok(()) } else { Err(format!("{client:?}")) }
        })
        .await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The API server's answers are lost, each write of the protocol in turn, by a 504 and by a connection that ends: the effect
/// took place, and what seems a conflict is our own write.
#[tokio::test(flavor = "multi_thread")]
async fn answers_lost_at_the_api_server_lose_no_credential() {
    let (world, proxy) = World::start_behind_proxy("p2-api-answers").await;
    let namespace = world.namespace("ns").await;
    let writes = [
        ("intend", "PATCH", "/personalclients/", "/status"),
        ("deliver", "POST", "/secrets", "dryRun"),
        ("record", "PATCH", "/status", "issuers"),
    ];
    for loss in [Trouble::GatewayTimeout, Trouble::CutAfter] {
        for (step, method, containing, without) in writes {
            let name = format!("{step}-{loss:?}").to_lowercase();
            let made = world.c1.ledger().await.len();
            proxy.lose(vec![Lose { method, containing, without, loss }]);
            namespace.create(&name, json!({})).await;
            all_is_well(&world, &[(&namespace, &name)]).await;
            proxy.all_lost(&name).await;
            assert_eq!(world.c1.ledger().await.len(), made + 1, "{name}: it was issued twice");
            let ends = [("DELETE", "/secrets/"), ("PATCH", "/personalclients/")];
            let end = |(method, containing)| Lose { method, containing, without: "/status", loss };
            proxy.lose(ends.into_iter().map(end).collect());
            namespace.delete(&name).await;
            namespace.gone(&name).await;
            proxy.all_lost(&format!("{name}, at its end")).await;
            no_client_lives(&world).await;
        }
    }
    world.finish().await;
}
