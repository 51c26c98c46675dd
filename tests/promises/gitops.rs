//! What GitOps tools rely on: that what is in Git is what is in the cluster, and stays so. (What they make of statuses is
//! held against every status of every test: `testkit::kstatus`.)

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use c1_operator::api::{DELIVERED_ANNOTATION, FINALIZER, MANAGED_LABEL, RECORD_ANNOTATION, Reason};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use testkit::{Namespace, Options, World, cluster, eventually, kstatus};

use crate::{all_is_well, looks};

const ARGO: &str = "argocd-controller";

/// The examples, as people put them into Git. The tenant of the issuer is the simulator.
fn examples(world: &World) -> Vec<Value> {
    let mut objects = vec![];
    for entry in fs::read_dir(cluster::root().join("examples")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        objects.extend(serde_saphyr::from_multiple::<Value>(&text).unwrap().into_iter().filter(Value::is_object));
    }
    for issuer in objects.iter_mut().filter(|object| !is_client(object)) {
        let spec = issuer["spec"].as_object_mut().unwrap();
        spec.remove("tenantDomain").expect("the examples' issuer names its tenant");
        spec.insert("url".into(), json!(world.c1.url));
        spec.insert("caBundle".into(), json!(STANDARD.encode(fs::read(&world.c1.ca_file).unwrap())));
    }
    let clients = objects.iter().filter(|object| is_client(object)).count();
    assert!(clients >= 2 && objects.len() > clients, "there are examples of both: {objects:?}");
    objects
}

fn is_client(object: &Value) -> bool {
    object["kind"] == "PersonalClient"
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// As Argo CD and Flux mark what they apply.
fn tracked(object: &Value, namespace: &Namespace, by: &str) -> Value {
    let mut object = object.clone();
    if is_client(&object) {
        object["metadata"]["namespace"] = json!(namespace.name);
    }
    object["metadata"]["labels"] = json!({
        "app.kubernetes.io/instance": by, "app.kubernetes.io/managed-by": by, "argocd.argoproj.io/instance": by,
        "kustomize.toolkit.fluxcd.io/name": by, "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "helm.toolkit.fluxcd.io/name": by, "team": "of-the-object",
    });
    object["metadata"]["annotations"] = json!({
        "argocd.argoproj.io/tracking-id": format!("{by}:iam.conductor.one/{}:{}/{}", object["kind"], namespace.name, name(&object)),
        "argocd.argoproj.io/sync-wave": "2", "argocd.argoproj.io/sync-options": "Prune=false",
        "kustomize.toolkit.fluxcd.io/prune": "disabled", "meta.helm.sh/release-name": by,
    });
    object
}

async fn apply(world: &World, object: &Value, manager: &str, dry_run: bool) -> Value {
    let api = cluster::dynamic(&world.kube, object, object["metadata"]["namespace"].as_str()).await;
    let params = PatchParams { dry_run, ..PatchParams::apply(manager) };
    let applied = api.patch(name(object), &params, &Patch::Apply(object)).await;
    serde_json::to_value(applied.unwrap_or_else(|error| panic!("{} by {manager}: {error}", kstatus::place(object))))
        .unwrap()
}

async fn live(world: &World, object: &Value) -> Value {
    let api = cluster::dynamic(&world.kube, object, object["metadata"]["namespace"].as_str()).await;
    let live: DynamicObject = api.get(name(object)).await.unwrap();
    serde_json::to_value(live).unwrap()
}

/// The operator is done with all of them: what it wrote stands still over several of its looks.
async fn processed(world: &World, namespace: &Namespace, objects: &[Value]) -> Vec<Value> {
    let clients: Vec<_> =
        objects.iter().filter(|object| is_client(object)).map(|object| (namespace, name(object))).collect();
    all_is_well(world, &clients).await;
    eventually("the objects stand still", Duration::from_mins(1), async || {
        let mut before = vec![];
        for object in objects {
            before.push(live(world, object).await);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        for (object, before) in objects.iter().zip(&before) {
            let after = live(world, object).await;
            if after != *before || kstatus::unobserved(&after).is_some() {
                return Err(format!("{before} became {after}"));
            }
        }
        Ok(before)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_git_is_what_is_in_the_cluster() {
    let world = World::start("gitops-ssa", Options { issuer: false, ..Options::default() }).await;
    let namespace = world.namespace("ns").await;
    let objects: Vec<Value> = examples(&world).iter().map(|object| tracked(object, &namespace, "app")).collect();
    for object in &objects {
        apply(&world, object, ARGO, false).await;
    }
    let settled = processed(&world, &namespace, &objects).await;

    for (object, live) in objects.iter().zip(&settled) {
        let place = kstatus::place(object);
        assert_eq!(live["spec"], object["spec"], "{place}: something was added to the spec");
        assert_eq!(live["metadata"]["labels"], object["metadata"]["labels"], "{place}");
        let mut annotations = live["metadata"]["annotations"].as_object().unwrap().clone();
        assert_eq!(annotations.remove(RECORD_ANNOTATION).is_some(), is_client(object), "{place}");
        assert_eq!(Value::Object(annotations), object["metadata"]["annotations"], "{place}");
        assert_eq!(live["metadata"]["finalizers"], json!([FINALIZER]), "{place}: it is processed");

        // The operator's are: status, its finalizer, its annotation.
        assert!(kstatus::owns(live, "f:status") && !kstatus::owns(live, "f:spec"), "{place}: {live}");
        // Whoever else applies the same meets no conflict.
        let other = apply(&world, object, "kustomize-controller", true).await;
        assert_eq!(other["spec"], object["spec"], "{place}");
        for dry_run in [true, false] {
            let again = apply(&world, object, ARGO, dry_run).await;
            assert_eq!(&again, live, "{place}, applied again (dry run: {dry_run})");
        }
    }
    for (object, before) in objects.iter().zip(&settled) {
        assert_eq!(live(&world, object).await["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    }
    world.finish().await;
}

/// Argo CD applies as `kubectl apply` does, unless ServerSideApply=true.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_side_apply_of_the_same_changes_nothing() {
    let world = World::start("gitops-csa", Options { issuer: false, ..Options::default() }).await;
    let namespace = world.namespace("ns").await;
    let objects: Vec<Value> = examples(&world).iter().map(|object| tracked(object, &namespace, "app")).collect();
    let file = world.dir.join("examples.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).unwrap();
    let kubectl = |arguments: &[&str]| {
        let output = Command::new(cluster::variable("KUBECTL")).args(arguments).arg("-f").arg(&file).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "kubectl {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    kubectl(&["apply"]);
    let settled = processed(&world, &namespace, &objects).await;

    // `kubectl diff` ends with 1 when there is a difference.
    assert_eq!(kubectl(&["diff"]), "");
    let said = kubectl(&["apply"]);
    assert_eq!(said.lines().filter(|line| line.ends_with(" unchanged")).count(), objects.len(), "{said}");
    for (object, before) in objects.iter().zip(&settled) {
        assert_eq!(&live(&world, object).await, before);
    }
    world.finish().await;
}

/// A Secret with the marks of an application, and absent from its Git, would be pruned.
#[tokio::test(flavor = "multi_thread")]
async fn the_marks_of_gitops_tools_stay_on_the_object_and_cost_nothing() {
    let world = World::start("gitops-marks", Options { issuer: false, ..Options::default() }).await;
    let namespace = world.namespace("ns").await;
    let examples = examples(&world);
    let objects: Vec<Value> = examples.iter().map(|object| tracked(object, &namespace, "app")).collect();
    for object in &objects {
        apply(&world, object, ARGO, false).await;
    }
    processed(&world, &namespace, &objects).await;
    let secrets = secrets_of(&namespace, &objects).await;
    let before = writes(&world).len();

    // They move to another application.
    let moved: Vec<Value> = examples.iter().map(|object| tracked(object, &namespace, "another-app")).collect();
    for object in &moved {
        apply(&world, object, ARGO, false).await;
    }
    looks(&world, 3).await;
    assert_eq!(writes(&world)[before..], [], "marks are none of the operator's business");
    assert_eq!(secrets_of(&namespace, &objects).await, secrets);
    world.finish().await;
}

/// What the operator wrote, but for its Lease.
fn writes(world: &World) -> Vec<(String, String)> {
    world.operator_writes().into_iter().filter(|(_, path)| !path.contains("/leases/")).collect()
}

/// The versions of the objects' Secrets, which bear the operator's marks and the template's, and no other.
async fn secrets_of(namespace: &Namespace, objects: &[Value]) -> BTreeMap<String, Option<String>> {
    let mut versions = BTreeMap::new();
    for object in objects.iter().filter(|object| is_client(object)) {
        let template = |key: &str| -> BTreeMap<String, String> {
            serde_json::from_value(object["spec"]["secretTemplate"][key].clone()).unwrap_or_default()
        };
        let (mut labels, mut annotations) = (template("labels"), template("annotations"));
        labels.insert(MANAGED_LABEL.into(), "true".into());
        let name = object["spec"]["secretName"].as_str().unwrap_or(name(object));
        let secret = namespace.secrets().get_metadata(name).await.unwrap();
        annotations.insert(DELIVERED_ANNOTATION.into(), secret.annotations()[DELIVERED_ANNOTATION].clone());
        assert_eq!(secret.labels(), &labels, "Secret {name}");
        assert_eq!(secret.annotations(), &annotations, "Secret {name}");
        assert_eq!(secret.owner_references(), [], "Secret {name}");
        versions.insert(name.to_owned(), secret.resource_version());
    }
    assert!(versions.len() >= 2);
    versions
}

/// Helm changes the default issuer, somebody has changed the same field by hand: theirs stays, and that is said where people
/// look.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_issuer_that_somebody_else_keeps_otherwise_is_left_and_that_is_said() {
    let mut world = World::start("gitops-default", Options { start_operator: false, ..Options::default() }).await;
    let before = world.issuers().get("default").await.unwrap();
    let mut manifest = serde_json::to_value(&before).unwrap();
    manifest["metadata"] = json!({"name": "default"});
    manifest.as_object_mut().unwrap().remove("status");
    manifest["spec"]["policy"]["namespaceSelector"] = json!({"matchLabels": {"c1": "allowed"}});
    let file = world.dir.join("default-issuer.yaml");
    fs::write(&file, serde_saphyr::to_string(&manifest).unwrap()).unwrap();
    // The other owns the whole selector, not only that it is there.
    world
        .patch_issuer("default", json!({"spec": {"policy": {"namespaceSelector": {"matchLabels": {"c1": "all"}}}}}))
        .await;

    world.operator.set_flag("--default-issuer", file.to_str().unwrap());
    world.restart_operator(None).await;
    let note = world.cluster_event("default", Reason::InvalidConfiguration).await;
    assert!(note.contains("its policy too") && note.contains("namespaceSelector"), "{note}");
    let after = world.issuers().get("default").await.unwrap();
    let labels = after.spec.policy.namespace_selector.match_labels.unwrap();
    assert_eq!(labels.get("c1").map(String::as_str), Some("all"));
    world.finish().await;
}
