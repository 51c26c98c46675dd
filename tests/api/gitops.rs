//! The checks of `testkit::kstatus`, which every test of the operator ends with, notice a status that GitOps tools would
//! misunderstand, or that contradicts itself. And what `docs/gitops.md` shows is accepted.

use c1_operator::api::FIELD_MANAGER;
use serde_json::{Value, json};
use testkit::{cluster, kstatus::problems};

use crate::server::{Kind, Server};

/// An object of generation 2. Its conditions are `True`, unless `=` says another.
fn object(observed: Option<i64>, conditions: &[&str]) -> Value {
    let condition = |text: &&str| {
        let (kind, status) = text.split_once('=').unwrap_or((text, "True"));
        json!({"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": observed})
    };
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    let mut status = json!({"observedGeneration": observed, "conditions": conditions});
    status.as_object_mut().unwrap().retain(|_, value| !value.is_null() && *value != json!([]));
    json!({
        "apiVersion": "iam.conductor.one/v1alpha1", "kind": "PersonalClient",
        "metadata": {"namespace": "ns", "name": "a", "generation": 2, "resourceVersion": "7"}, "status": status,
    })
}

#[test]
fn what_the_operator_writes_is_understood() {
    let mut going = object(Some(2), &["Ready=False", "Stalled"]);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut owned = object(Some(2), &["Ready"]);
    owned["metadata"]["managedFields"] = json!([
        {"manager": FIELD_MANAGER, "subresource": "status", "fieldsV1": {"f:status": {}}},
        {"manager": "argocd-controller", "fieldsV1": {"f:spec": {}}},
    ]);
    let sound = [
        object(Some(-1), &[]),
        object(Some(1), &["Ready"]),
        object(Some(1), &["Ready=False", "Stalled"]),
        object(Some(2), &["Ready"]),
        object(Some(2), &["Ready=False", "Reconciling"]),
        object(Some(2), &["Ready=False", "Stalled"]),
        going,
        owned,
    ];
    assert_eq!(problems(&sound), Vec::<String>::new());
}

#[test]
fn what_would_be_misunderstood_is_noticed() {
    let with = |edit: fn(&mut Value)| {
        let mut object = object(Some(2), &["Ready"]);
        edit(&mut object);
        object
    };
    for (object, words) in [
        // kstatus takes what it cannot see for Current.
        (object(None, &["Ready"]), "kstatus says Current, and InProgress is meant"),
        (object(None, &[]), "kstatus says Current, and InProgress is meant"),
        (object(Some(2), &[]), "kstatus says Current, and InProgress is meant"),
        (with(|object| object["status"] = Value::Null), "kstatus says Current, and InProgress is meant"),
        // The tools disagree with Ready.
        (object(Some(2), &["Ready", "Reconciling"]), "kstatus says InProgress, and Current is meant"),
        (object(Some(2), &["Ready", "Reconciling"]), "Argo CD says"),
        (object(Some(2), &["Ready", "Stalled"]), "kstatus says Failed, and Current is meant"),
        (object(Some(2), &["Ready", "Stalled"]), "Argo CD says"),
        (object(Some(2), &["Reconciling", "Stalled"]), "kstatus says InProgress, and Failed is meant"),
        // They do not, but nobody knows what is meant.
        (object(Some(2), &["Ready=False"]), "exactly one of Ready, Reconciling and Stalled"),
        (object(Some(2), &["Stalled", "Reconciling"]), "exactly one of Ready, Reconciling and Stalled"),
        (object(Some(2), &["Ready", "Stalled=False"]), "\"Stalled\" is there only while true"),
        (object(Some(3), &["Ready"]), "a generation was observed that there is not yet"),
        (with(|object| object["status"]["conditions"][0]["observedGeneration"] = json!(1)), "about another generation"),
        (
            with(|object| {
                object["metadata"]["managedFields"] = json!([{"manager": FIELD_MANAGER, "fieldsV1": {"f:spec": {}}}]);
            }),
            "owns a part of spec",
        ),
    ] {
        let said = problems(&[self::object(Some(2), &["Ready"]), object.clone()]);
        assert!(said.iter().any(|problem| problem.contains(words)), "{object}: {said:?}, and not: {words}");
    }
}

#[tokio::test]
async fn the_examples_of_the_page_are_accepted() {
    let server = Server::connect().await;
    let page = std::fs::read_to_string(cluster::root().join("docs/gitops.md")).unwrap();
    let mut kinds = vec![];
    for block in page.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        for object in serde_saphyr::from_multiple::<Value>(text).unwrap() {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| object["kind"] == format!("{kind:?}")) else { continue };
            server.dry_run(kind, &object).await.unwrap_or_else(|error| panic!("{object}: {error}"));
            kinds.push(kind);
        }
    }
    assert_eq!(kinds, [Kind::ClientIssuer, Kind::PersonalClient]);
}
