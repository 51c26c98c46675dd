//! The operator may do what it does, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::cluster;

/// Group, resource, verbs, and what the verbs are for.
const RIGHTS: &[(&str, &str, &[&str], &str)] = &[
    ("iam.conductor.one", "personalclients", &["list", "watch"], "the cache"),
    (
        "iam.conductor.one",
        "personalclients",
        &["get"],
        "the look before every effect, and whether an orphan's object is gone",
    ),
    ("iam.conductor.one", "personalclients", &["patch"], "finalizer and record, the fence of an attempt"),
    ("iam.conductor.one", "personalclients/status", &["patch"], "status"),
    ("iam.conductor.one", "clientissuers", &["list", "watch"], "the cache"),
    ("iam.conductor.one", "clientissuers", &["patch"], "the finalizer, while a PersonalClient names it"),
    ("iam.conductor.one", "clientissuers/status", &["patch"], "status"),
    ("iam.conductor.one", "clusterclientissuers", &["list", "watch"], "the cache"),
    ("iam.conductor.one", "clusterclientissuers", &["patch"], "the finalizer, while a PersonalClient names it"),
    ("iam.conductor.one", "clusterclientissuers/status", &["patch"], "status"),
    ("", "secrets", &["list", "watch"], "the cache of those with our label, as metadata"),
    ("", "secrets", &["get"], "an issuer's credentials; the look before every effect; whether data was altered"),
    ("", "secrets", &["create"], "the dry run, and the delivery"),
    ("", "secrets", &["update"], "the delivery into a Secret that is there, rendering anew"),
    ("", "secrets", &["patch"], "the fence against a late delivery"),
    ("", "secrets", &["delete"], "the end of a PersonalClient"),
    ("", "namespaces", &["get"], "the UID of kube-system; whether a namespace is ending"),
    ("", "namespaces", &["list", "watch"], "labels for namespaceSelector"),
    ("events.k8s.io", "events", &["create"], "what is told to people"),
];

type Right = (String, String, String);

fn granted(rules: &Value) -> BTreeSet<Right> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        let keys: Vec<&String> = rule.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["apiGroups", "resources", "verbs"], "a rule of another form: {rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                granted.extend(texts(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    granted
}

#[test]
fn the_operator_has_exactly_the_rights_that_it_uses() {
    let objects = cluster::render(&json!({"leaderElection": {"enabled": false}}));
    let account = &cluster::rendered(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"];
    let names_account = |object: &&Value| {
        object["subjects"].as_array().into_iter().flatten().any(|subject| &subject["name"] == account)
    };
    let bindings: Vec<&Value> = objects.iter().filter(names_account).collect();
    assert_eq!(bindings.len(), 1, "one binding says it all: {bindings:?}");
    assert_eq!(bindings[0]["kind"], "ClusterRoleBinding");
    assert_eq!(bindings[0]["roleRef"]["kind"], "ClusterRole");
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": cluster::OPERATOR_NAMESPACE}]);
    assert_eq!(bindings[0]["subjects"], subjects, "and nobody else has them");

    let role = objects
        .iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == bindings[0]["roleRef"]["name"]);
    let granted = granted(&role.unwrap()["rules"]);
    let mut known = BTreeSet::new();
    for (group, resource, verbs, why) in RIGHTS {
        for verb in *verbs {
            let right = ((*group).to_owned(), (*resource).to_owned(), (*verb).to_owned());
            assert!(granted.contains(&right), "{verb} {resource} is missing: {why}");
            assert!(known.insert(right), "{verb} {resource} is in the table twice");
        }
    }
    let unknown: Vec<_> = granted.difference(&known).collect();
    assert!(unknown.is_empty(), "nobody said what these rights are for: {unknown:?}");
}

/// An operator of some namespaces has there what it otherwise has everywhere, and elsewhere nothing of it.
#[test]
fn an_operator_of_some_namespaces_has_the_same_rights_there_and_no_others() {
    let values = json!({"leaderElection": {"enabled": false}, "watchNamespaces": ["b", "a", "b"]});
    let objects = cluster::render(&values);
    let role = |kind: &str, namespace: &Value, name: &str| {
        let found = objects.iter().find(|object| {
            object["kind"] == kind
                && object["metadata"]["namespace"] == *namespace
                && object["metadata"]["name"] == name
        });
        found.unwrap_or_else(|| panic!("no {kind} {name} in {namespace}"))["rules"].clone()
    };
    let account = &cluster::rendered(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"];
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": cluster::OPERATOR_NAMESPACE}]);
    let mut bound = BTreeSet::new();
    for binding in objects.iter().filter(|object| !object["roleRef"].is_null()) {
        assert_eq!(binding["subjects"], subjects);
        let namespace = &binding["metadata"]["namespace"];
        let name = binding["roleRef"]["name"].as_str().unwrap();
        role(binding["roleRef"]["kind"].as_str().unwrap(), namespace, name);
        bound.insert((namespace.as_str().unwrap_or_default().to_owned(), name.to_owned()));
    }
    let expected = [
        ("", "c1-operator"),
        ("a", "c1-operator"),
        ("b", "c1-operator"),
        (cluster::OPERATOR_NAMESPACE, "c1-operator-credentials"),
        ("default", "c1-operator-events"),
    ];
    assert_eq!(bound, expected.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).into());

    let wide = role("ClusterRole", &Value::Null, "c1-operator");
    let (named, open): (Vec<_>, Vec<_>) =
        wide.as_array().unwrap().iter().cloned().partition(|rule| !rule["resourceNames"].is_null());
    let namespaces = |names: Value, verbs: Value| json!({"apiGroups": [""], "resources": ["namespaces"], "resourceNames": names, "verbs": verbs});
    let by_name =
        [namespaces(json!(["a", "b"]), json!(["list", "watch"])), namespaces(json!(["kube-system"]), json!(["get"]))];
    assert_eq!(named, by_name);
    let open = granted(&json!(open));
    assert!(open.iter().all(|(_, resource, _)| resource.starts_with("clusterclientissuers")), "{open:?}");

    let within = granted(&role("Role", &json!("a"), "c1-operator"));
    assert_eq!(within, granted(&role("Role", &json!("b"), "c1-operator")));
    let of_namespaces =
        named.iter().map(|rule| json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": rule["verbs"]}));
    let of_namespaces = granted(&json!(of_namespaces.collect::<Vec<_>>()));
    let all: BTreeSet<Right> = open.union(&within).chain(&of_namespaces).cloned().collect();
    let whole = cluster::render(&json!({"leaderElection": {"enabled": false}}));
    let whole = whole.iter().find(|o| o["kind"] == "ClusterRole" && o["metadata"]["name"] == "c1-operator").unwrap();
    assert_eq!(all, granted(&whole["rules"]));
    let secrets =
        |verbs: &[&str]| verbs.iter().map(|v| (String::new(), "secrets".to_owned(), (*v).to_owned())).collect();
    let credentials: BTreeSet<Right> = secrets(&["get"]);
    assert_eq!(granted(&role("Role", &json!(cluster::OPERATOR_NAMESPACE), "c1-operator-credentials")), credentials);
}
