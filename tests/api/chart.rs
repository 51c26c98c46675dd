//! What the chart renders, as far as an API server cannot tell: what belongs together, and the kinds that it does not know.
//! `tests/dev/chart-check.sh` has the rest.

use std::{collections::BTreeSet, fs, process};

use c1_operator::{
    args::{Cli, Command},
    default_issuer,
};
use clap::Parser as _;
use serde_json::{Value, json};
use testkit::cluster;

/// The chart, rendered with these arguments beside its name.
fn render(arguments: &[&str]) -> Vec<Value> {
    let helm = process::Command::new(cluster::variable("HELM"))
        .args(["template", "c1-operator", "charts/c1-operator", "--namespace", cluster::OPERATOR_NAMESPACE])
        .args(arguments)
        .current_dir(cluster::root())
        .output()
        .unwrap();
    assert!(helm.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&helm.stderr));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(helm.stdout).unwrap()).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

fn kinds(objects: &[Value]) -> BTreeSet<&str> {
    objects.iter().map(|object| object["kind"].as_str().unwrap()).collect()
}

fn pod(objects: &[Value]) -> &Value {
    &cluster::rendered(objects, "Deployment")["spec"]["template"]
}

fn container(objects: &[Value]) -> &Value {
    &pod(objects)["spec"]["containers"][0]
}

fn arguments(objects: &[Value]) -> Vec<&str> {
    container(objects)["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(cluster::root().join(path)).unwrap()
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// Whether labels meet a selector, which selects something.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn nothing_is_looked_up_in_the_cluster() {
    let directory = cluster::root().join("charts/c1-operator/templates");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        assert!(!fs::read_to_string(&path).unwrap().contains("lookup"), "{} looks something up", path.display());
    }
}

#[test]
fn image_names() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let by_digest = format!("image.registry=r.example.com,image.repository=a/b,image.tag=1,image.digest={digest}");
    let named = format!("r.example.com/a/b@{digest}");
    let version = format!("c1-operator:{}", env!("CARGO_PKG_VERSION"));
    for (values, image) in [
        ("image.tag=", version.as_str()),
        ("image.tag=1", "c1-operator:1"),
        ("image.registry=r.example.com:5000", &format!("r.example.com:5000/{version}")),
        (&by_digest, &named),
    ] {
        assert_eq!(container(&render(&["--set-string", values]))["image"], image, "{values}");
    }
}

#[test]
fn the_operator_takes_what_the_chart_gives_it() {
    let mut sets = 0;
    for entry in fs::read_dir(cluster::root().join("charts/c1-operator/ci")).unwrap() {
        let path = entry.unwrap().path();
        let objects = render(&["-f", path.to_str().unwrap()]);
        let line = [&["c1-operator"], &arguments(&objects)[..]].concat();
        let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let Command::Run(run) = cli.command else { panic!("{}: another command than run", path.display()) };
        let election = run.election().unwrap();
        assert_eq!(election.is_some(), kinds(&objects).contains("RoleBinding"), "{}", path.display());
        if let Some(issuer) = &run.default_issuer {
            let mounts = container(&objects)["volumeMounts"].as_array().unwrap();
            let directory = issuer.parent().unwrap().to_str().unwrap();
            assert!(mounts.iter().any(|mount| mount["mountPath"] == directory), "{}", path.display());
            let file = cluster::target().join(format!("test/default-issuer-{}.yaml", process::id()));
            let map = cluster::rendered(&objects, "ConfigMap");
            fs::write(&file, map["data"][issuer.file_name().unwrap().to_str().unwrap()].as_str().unwrap()).unwrap();
            let read = default_issuer::read(&file);
            fs::remove_file(&file).unwrap();
            read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        sets += 1;
    }
    assert!(sets > 1);
}

#[test]
fn what_belongs_together_finds_itself() {
    let ci = |name: &str| format!("charts/c1-operator/ci/{name}.yaml");
    let objects = render(&["-f", &ci("monitoring"), "-f", &ci("everything")]);
    let labels = &pod(&objects)["metadata"]["labels"];
    let find = |kind| cluster::rendered(&objects, kind);
    let service = find("Service");
    for selector in [
        &find("Deployment")["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &find("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert!(selects(selector, labels), "{selector} does not select the pods: {labels}");
    }
    let monitor = &find("ServiceMonitor")["spec"];
    assert!(selects(&monitor["selector"]["matchLabels"], &service["metadata"]["labels"]));
    assert_eq!(monitor["namespaceSelector"]["matchNames"], json!([service["metadata"]["namespace"]]));
    assert_eq!(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    let port = &container(&objects)["ports"][0];
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    assert_eq!(find("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"], port["name"]);
    assert_eq!(port["containerPort"], 9090, "the port of `listen`");
}

#[test]
fn one_lease_and_no_other() {
    let objects = render(&["--set", "fullnameOverride=credentials"]);
    let lease = |arguments: &[&str]| -> Vec<String> {
        let ours = ["--leader-elect", "--lease-", "--renew-", "--retry-"];
        arguments.iter().filter(|a| ours.iter().any(|o| a.starts_with(o))).map(|a| (*a).to_owned()).collect()
    };
    let flags = [
        "--leader-elect=true",
        "--lease-name=credentials",
        "--lease-duration=15s",
        "--renew-deadline=10s",
        "--retry-period=2s",
    ];
    assert_eq!(lease(&arguments(&objects)), flags);
    let identity = json!({"name": "C1_OPERATOR_IDENTITY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    assert!(container(&objects)["env"].as_array().unwrap().contains(&identity));
    let role = cluster::rendered(&objects, "Role");
    let leases = |verbs: Value| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
    let mut named = leases(json!(["get", "update"]));
    named["resourceNames"] = json!(["credentials"]);
    assert_eq!(role["rules"], json!([leases(json!(["create"])), named]));
    let binding = cluster::rendered(&objects, "RoleBinding");
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let account = &pod(&objects)["spec"]["serviceAccountName"];
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": cluster::OPERATOR_NAMESPACE});
    assert_eq!(binding["subjects"], json!([subject]));
    for object in [role, binding] {
        assert_eq!(object["metadata"]["namespace"], cluster::OPERATOR_NAMESPACE);
    }

    let alone = render(&["--set", "leaderElection.enabled=false"]);
    let named = ["--leader-elect=false", "--lease-name=c1-operator"];
    assert_eq!(lease(&arguments(&alone)), named, "the name stays: it tells shards from each other");
    assert!(!container(&alone)["env"].to_string().contains("IDENTITY"));
    let elsewhere = render(&["--set", "rbac.create=false"]);
    for objects in [&alone, &elsewhere] {
        assert!(!kinds(objects).contains("Role") && !kinds(objects).contains("RoleBinding"));
    }
}

#[test]
fn the_kinds_of_the_prometheus_operator_only_where_they_are_known() {
    const ASKED: [&str; 2] =
        ["--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,metrics.service.enabled=false"];
    let both = ["ServiceMonitor", "PrometheusRule"];
    let unknown = render(&ASKED);
    let absent = ["ServiceMonitor", "PrometheusRule", "Service"];
    assert!(absent.iter().all(|kind| !kinds(&unknown).contains(kind)), "not asked for, or not known");
    let known = render(&[&ASKED[..], &["--api-versions", "monitoring.coreos.com/v1"]].concat());
    let offline =
        [&ASKED[..], &["--set", "serviceMonitor.renderMode=alwaysRender,prometheusRule.renderMode=alwaysRender"]];
    for objects in [known, render(&offline.concat())] {
        assert!(both.iter().all(|kind| kinds(&objects).contains(kind)));
        assert!(kinds(&objects).contains("Service"), "without which the ServiceMonitor selects nothing");
        let monitor = cluster::rendered(&objects, "ServiceMonitor");
        let endpoint = json!({"port": "metrics", "path": "/metrics", "interval": "30s", "scrapeTimeout": "25s", "honorLabels": true});
        assert_eq!(monitor["spec"]["endpoints"], json!([endpoint]));
    }
    let plain = render(&["--api-versions", "monitoring.coreos.com/v1"]);
    assert!(both.iter().all(|kind| !kinds(&plain).contains(kind)), "off by default");

    let set = render(&["-f", "charts/c1-operator/ci/monitoring.yaml"]);
    for kind in both {
        let metadata = &cluster::rendered(&set, kind)["metadata"];
        assert_eq!(metadata["namespace"], "monitoring");
        assert_eq!(metadata["labels"]["release"], "prometheus");
        assert_eq!(metadata["annotations"], json!({"example.com/owner": "monitoring"}));
    }
    let endpoint = &cluster::rendered(&set, "ServiceMonitor")["spec"]["endpoints"][0];
    assert_eq!(endpoint["relabelings"][0]["targetLabel"], "cluster");
    assert_eq!(endpoint["metricRelabelings"][0]["action"], "labeldrop");
    assert_eq!(endpoint["honorLabels"], false);
}

#[test]
fn alerts_are_about_documented_metrics() {
    let documented = file("docs/reference/metrics.md");
    let objects = render(&["-f", "charts/c1-operator/ci/monitoring.yaml"]);
    let rules = cluster::rendered(&objects, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap();
    let alerts: Vec<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(
        alerts,
        [
            "C1OperatorAbsent",
            "C1IssuerNotReady",
            "C1PersonalClientsNotReady",
            "C1RenewalsFailing",
            "C1ReplacedClientsUsed",
            "C1OrphanedClients",
            "C1ClientsLeftBehind",
            "C1InventoryStale"
        ]
    );
    for rule in rules {
        assert_eq!(names(&rule["annotations"]), BTreeSet::from(["description".into(), "summary".into()]), "{rule}");
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        let expression = rule["expr"].as_str().unwrap();
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let metrics: Vec<&str> = words.filter(|word| word.starts_with("c1_operator_")).collect();
        assert!(!metrics.is_empty(), "{rule}");
        assert_eq!(
            expression.matches("job=\"c1-operator-metrics\"").count(),
            metrics.len(),
            "prometheusRule.matchers: {rule}"
        );
        for metric in metrics {
            let (name, kind) = metric.strip_suffix("_total").map_or((metric, "gauge"), |name| (name, "counter"));
            assert!(
                documented.contains(&format!("\n| `{name}` | {kind} |")),
                "docs/reference/metrics.md has no {kind} {name}"
            );
        }
    }
    let defaults = render(&["--set", "prometheusRule.enabled=true,prometheusRule.renderMode=alwaysRender"]);
    for rule in cluster::rendered(&defaults, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let row = format!("\n| {} | `{}` |\n", rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert!(documented.contains(&row), "docs/reference/metrics.md has no line{row}");
    }
    assert_eq!(rules[0]["for"], "1h");
    let stale = rules.last().unwrap();
    assert!(stale["expr"].as_str().unwrap().ends_with("> 9000"), "2h30m in seconds: {stale}");
}

#[test]
fn a_default_issuer_reaches_the_operator_and_restarts_it() {
    const FLAG: &str = "--default-issuer=/etc/c1-operator/default-issuer/issuer.yaml";
    let without = render(&[]);
    assert!(!kinds(&without).contains("ConfigMap") && !arguments(&without).contains(&FLAG));
    assert!(pod(&without)["metadata"]["annotations"].is_null());

    let values = ["-f", "charts/c1-operator/ci/default-issuer.yaml"];
    let with = render(&values);
    assert!(arguments(&with).contains(&FLAG));
    let mount = json!([{"name": "default-issuer", "mountPath": "/etc/c1-operator/default-issuer", "readOnly": true}]);
    assert_eq!(container(&with)["volumeMounts"], mount);
    let map = cluster::rendered(&with, "ConfigMap");
    let volume = json!([{"name": "default-issuer", "configMap": {"name": map["metadata"]["name"]}}]);
    assert_eq!(pod(&with)["spec"]["volumes"], volume);
    let issuer: Value = serde_saphyr::from_str(map["data"]["issuer.yaml"].as_str().unwrap()).unwrap();
    let expected = json!({
        "apiVersion": "iam.conductor.one/v1alpha1",
        "kind": "ClusterClientIssuer",
        "metadata": {"name": "default"},
        "spec": {
            "tenantDomain": "acme",
            "auth": {"oauth": {"secretRef": {"name": "c1-credentials"}}},
            "policy": {"namespaceSelector": {}, "allowed": {"fullPermissions": false}},
        },
    });
    assert_eq!(issuer, expected);

    let checksum = |objects: &[Value]| pod(objects)["metadata"]["annotations"]["checksum/default-issuer"].clone();
    let changed = render(&[&values[..], &["--set", "defaultIssuer.defaults.expires=1h"]].concat());
    assert!(checksum(&with).is_string() && checksum(&with) != checksum(&changed));
    let relabelled = render(&[&values[..], &["--set", "commonLabels.team=a"]].concat());
    assert_eq!(checksum(&with), checksum(&relabelled), "the issuer is the same");

    let creates = |objects: &[Value]| {
        let rules = objects.iter().filter(|object| object["kind"] == "ClusterRole");
        let mut rules = rules.flat_map(|role| role["rules"].as_array().unwrap());
        rules.any(|rule| rule["resources"] == json!(["clusterclientissuers"]) && rule["verbs"] == json!(["create"]))
    };
    assert!(creates(&with) && !creates(&without));
}

/// A field that the CRD gets, `defaultIssuer` gets too, or it is named here.
#[test]
fn a_default_issuer_has_the_fields_of_the_crd() {
    let crd: Value = serde_saphyr::from_str(&file("crds/clusterclientissuers.yaml")).unwrap();
    let crd = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let schema: Value = serde_json::from_str(&file("charts/c1-operator/values.schema.json")).unwrap();
    let values = &schema["properties"]["defaultIssuer"]["properties"];
    let fields = |object: &Value, but: &[&str]| -> BTreeSet<String> {
        names(object).into_iter().filter(|name| !but.contains(&name.as_str())).collect()
    };
    // auth is made of secretName.
    let of_crd = fields(crd, &["auth", "inventoryInterval", "orphanPolicy"]);
    assert_eq!(fields(values, &["enabled", "name", "secretName"]), of_crd);
    for path in [
        "/defaults/properties",
        "/policy/properties",
        "/policy/properties/allowed/properties",
        "/policy/properties/namespaceSelector/properties",
    ] {
        assert_eq!(names(values.pointer(path).unwrap()), names(crd.pointer(path).unwrap()), "{path}");
    }
}

#[test]
fn security_contexts_are_restricted_and_can_leave_the_user_to_the_cluster() {
    let restricted = json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(pod(&render(&[]))["spec"]["securityContext"], restricted);
    let open = render(&["-f", "charts/c1-operator/ci/openshift.yaml"]);
    let kept = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod(&open)["spec"]["securityContext"], kept);
    assert!(!container(&open).to_string().contains("runAsUser"));
}

#[test]
fn a_number_of_pods_that_is_zero_is_not_absent() {
    for (values, name, number) in [
        ("maxUnavailable=0", "maxUnavailable", json!(0)),
        ("minAvailable=0", "minAvailable", json!(0)),
        ("minAvailable=2", "minAvailable", json!(2)),
        ("maxUnavailable=25%", "maxUnavailable", json!("25%")),
    ] {
        let objects = render(&["--set", &format!("podDisruptionBudget.enabled=true,podDisruptionBudget.{values}")]);
        let spec = &cluster::rendered(&objects, "PodDisruptionBudget")["spec"];
        assert_eq!(spec[name], number, "{values}");
        assert_eq!(names(spec), BTreeSet::from([name.to_owned(), "selector".to_owned()]), "only one may be given");
    }
}
