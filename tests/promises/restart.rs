//! Consumers that read the Secret only when they start: they are restarted when it holds another client, and only then.

use c1_operator::api::{PersonalClient, ROTATE_ANNOTATION, Reason};
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testkit::{Namespace, Options, TestClock, World};

use crate::{
    all_is_well, current,
    lifecycle::{another, with_clock},
    looks,
};

const ANNOTATION: &str = "restart.iam.conductor.one/client";

fn allowed() -> Options {
    let mut options = with_clock();
    options.operator_values["rbac"] = json!({"restartWorkloads": true});
    options
}

/// A workload of this kind, which no kubelet runs here.
pub async fn workload(world: &World, namespace: &Namespace, kind: &str, name: &str, labels: Value) {
    let pod = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "app", "envFrom": [{"secretRef": {"name": "client"}}]}]},
    });
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": pod});
    if kind != "DaemonSet" {
        spec["replicas"] = json!(0);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!(name);
    }
    let metadata = json!({"name": name, "namespace": namespace.name, "labels": labels});
    world.apply(&json!({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec})).await;
}

/// How often the workload's pod template was changed, and the digest that stands there.
pub async fn template(
    world: &World,
    namespace: &Namespace,
    (kind, name): (&str, &str),
    annotation: &str,
) -> (i64, Option<String>) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), &namespace.name, &kind);
    let found = api.get(name).await.unwrap();
    let annotations = &found.data["spec"]["template"]["metadata"]["annotations"];
    (found.metadata.generation.unwrap() - 1, annotations[annotation].as_str().map(ToOwned::to_owned))
}

async fn ask(namespace: &Namespace, request: &str) {
    namespace.patch("client", json!({"metadata": {"annotations": {ROTATE_ANNOTATION: request}}})).await;
}

/// Until nobody waits for a restart.
async fn restarted(namespace: &Namespace) -> PersonalClient {
    let pending = |object: &PersonalClient| match object.status.as_ref().and_then(|s| s.restart_pending) {
        None => Ok(()),
        other => Err(format!("restartPending is {other:?}")),
    };
    namespace.until("client", "has restarted its consumers", pending).await
}

/// Until the client is another, and its consumers wait to be restarted.
async fn rotated(namespace: &Namespace, before: &str) -> String {
    let pending = |object: &PersonalClient| {
        another(object, before)?;
        let pending = object.status.as_ref().and_then(|s| s.restart_pending);
        if pending == Some(true) { Ok(()) } else { Err("nobody waits for a restart".into()) }
    };
    current(&namespace.until("client", "has another client", pending).await).id.clone()
}

/// An object whose credential was replaced a moment ago, with these consumers. The Deployment `there` exists.
async fn replaced(test: &str, options: Options, restart: Value) -> (World, TestClock, Namespace) {
    let world = World::start(test, options).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    workload(&world, &namespace, "Deployment", "there", json!({})).await;
    namespace.create("client", json!({"rotation": {"restart": restart}})).await;
    let first = current(&namespace.ready("client").await).id.clone();
    ask(&namespace, "one").await;
    rotated(&namespace, &first).await;
    (world, clock, namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_restarted_when_the_client_is_another_and_only_then() {
    let mut world = World::start("restart", allowed()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    workload(&world, &namespace, "Deployment", "named", json!({})).await;
    workload(&world, &namespace, "StatefulSet", "selected", json!({"reads": "client"})).await;
    workload(&world, &namespace, "DaemonSet", "selected", json!({"reads": "client"})).await;
    workload(&world, &namespace, "Deployment", "bystander", json!({"reads": "other"})).await;
    let selector = json!({"matchLabels": {"reads": "client"}});
    let restart = json!([
        {"kind": "Deployment", "name": "named"},
        {"kind": "StatefulSet", "selector": selector},
        {"kind": "DaemonSet", "selector": {"matchExpressions": [{"key": "reads", "operator": "In", "values": ["client"]}]}},
    ]);
    namespace.create("client", json!({"rotation": {"restart": restart}})).await;
    let first = current(&namespace.ready("client").await).id.clone();
    // Neither the first credential, nor a change in place, nor a new template, nor a restart of the operator is a reason.
    namespace
        .patch("client", json!({"spec": {"displayName": "another", "secretTemplate": {"labels": {"team": "ci"}}}}))
        .await;
    namespace.event("client", Reason::Updated).await;
    world.restart_operator(None).await;
    assert_eq!(template(&world, &namespace, ("Deployment", "named"), ANNOTATION).await, (0, None));
    // Asked twice in a short while: one restart, with what is there in the end.
    ask(&namespace, "one").await;
    let second = rotated(&namespace, &first).await;
    ask(&namespace, "two").await;
    let third = rotated(&namespace, &second).await;
    clock.advance(&world.c1, 20).await;
    restarted(&namespace).await;
    let digest = Some(c1_operator::plan::digest(&[&third])[..16].to_owned());
    assert_eq!(template(&world, &namespace, ("Deployment", "named"), ANNOTATION).await, (1, digest.clone()));
    assert_eq!(template(&world, &namespace, ("StatefulSet", "selected"), ANNOTATION).await, (1, digest.clone()));
    assert_eq!(template(&world, &namespace, ("DaemonSet", "selected"), ANNOTATION).await, (1, digest));
    assert_eq!(template(&world, &namespace, ("Deployment", "bystander"), ANNOTATION).await, (0, None));
    let told = namespace.event("client", Reason::Restarted).await;
    for name in ["Deployment named", "StatefulSet selected", "DaemonSet selected", &third] {
        assert!(told.contains(name), "{told}");
    }
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restarted_is_said_and_holds_nothing_up() {
    let restart = json!([
        {"kind": "Deployment", "name": "gone"},
        {"kind": "DaemonSet", "selector": {"matchLabels": {"reads": "client"}}},
        {"kind": "Deployment", "name": "there"},
    ]);
    let (world, clock, namespace) = replaced("restart-missing", allowed(), restart).await;
    clock.advance(&world.c1, 20).await;
    let conditions = restarted(&namespace).await.status.unwrap().conditions;
    let kinds: Vec<&str> = conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds, ["Ready"], "a workload that is missing is no failure");
    let told = namespace.event("client", Reason::RestartFailed).await;
    assert!(told.contains("Deployment gone: there is none"), "{told}");
    assert!(told.contains("the selector selects no DaemonSet"), "{told}");
    assert_eq!(template(&world, &namespace, ("Deployment", "there"), ANNOTATION).await.0, 1);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_it_is_said_how_to_give_it() {
    let restart = json!([{"kind": "Deployment", "name": "there"}]);
    let (world, clock, namespace) = replaced("restart-forbidden", with_clock(), restart).await;
    clock.advance(&world.c1, 20).await;
    restarted(&namespace).await;
    let told = namespace.event("client", Reason::RestartFailed).await;
    assert!(told.contains("rbac.restartWorkloads"), "{told}");
    assert_eq!(template(&world, &namespace, ("Deployment", "there"), ANNOTATION).await, (0, None));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_nobody_is_restarted() {
    let restart = json!([{"kind": "Deployment", "name": "there"}]);
    let (world, clock, namespace) = replaced("restart-suspended", allowed(), restart).await;
    namespace.patch("client", json!({"spec": {"suspend": true}})).await;
    clock.advance(&world.c1, 20).await;
    let says = |object: &PersonalClient| {
        let conditions = object.status.iter().flat_map(|s| &s.conditions);
        let said = conditions.filter(|c| c.type_ == "Ready").map(|c| c.message.clone()).collect::<String>();
        if said.contains("suspend") { Ok(()) } else { Err(said) }
    };
    namespace.until("client", "says that it is suspended", says).await;
    looks(&world, 2).await;
    assert_eq!(template(&world, &namespace, ("Deployment", "there"), ANNOTATION).await, (0, None));
    namespace.patch("client", json!({"spec": {"suspend": false}})).await;
    restarted(&namespace).await;
    assert_eq!(template(&world, &namespace, ("Deployment", "there"), ANNOTATION).await.0, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_everything_or_of_nothing_is_refused_at_admission() {
    let world = World::start("restart-admission", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let refused = [
        (json!([]), "should have at least 1 items"),
        (json!([{"kind": "Deployment"}]), "exactly one of name and selector"),
        (json!([{"kind": "Deployment", "name": "a", "selector": {"matchLabels": {"a": "b"}}}]), "exactly one of name"),
        (json!([{"kind": "Deployment", "selector": {}}]), "an empty selector would restart every workload"),
        (json!([{"kind": "Job", "name": "a"}]), "Unsupported value"),
    ];
    for (restart, words) in refused {
        let error = namespace.try_create("client", json!({"rotation": {"restart": restart}})).await.unwrap_err();
        assert!(error.to_string().contains(words), "{restart}: {error}");
    }
    world.finish().await;
}
