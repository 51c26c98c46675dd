//! What only who knows a field can say: good values, and bad ones that the schema alone does not refuse.

use c1_operator::api::Reason;
use serde_json::{Value, json};

use super::schema::Field;

/// A bad value, and where it is found out.
pub enum Bad {
    /// At admission, with these words.
    Refused(Value, &'static str),
    /// By the operator.
    Told(Value, Reason),
}

/// The values that a field walks through.
pub struct Values {
    /// `null`: the field is left out.
    pub good: [Value; 2],
    /// These words refuse another value once there is one.
    pub fixed: Option<&'static str>,
    /// Beside those that the schema refuses.
    pub bad: Vec<Bad>,
    /// Merged into the spec: what the field needs beside it, or does not bear.
    pub beside: Value,
}

/// What the simulator is, and what is in the cluster.
pub struct Place {
    /// `https://host:port`
    pub url: String,
    /// PEM.
    pub ca: String,
    /// Encodes that.
    pub encode: fn(&str) -> String,
    /// Two Secrets with `clientId` and `clientSecret`, and with `token` and `again`.
    pub secrets: [&'static str; 2],
}

fn known(good: [Value; 2], bad: Vec<Bad>) -> Values {
    Values { good, fixed: None, bad, beside: json!({}) }
}

fn fixed(good: [Value; 2], words: &'static str) -> Values {
    Values { fixed: Some(words), ..known(good, vec![]) }
}

/// The values of a field of a kind (by its plural). Panics when nobody has said them.
pub fn values(plural: &str, field: &Field, place: &Place) -> Values {
    let known = match plural {
        "personalclients" => of_personal_clients(&field.path),
        _ => of_issuers(&field.path, place),
    };
    let generated = || Some(Values { good: field.good()?, fixed: None, bad: vec![], beside: json!({}) });
    known.or_else(generated).unwrap_or_else(|| {
        panic!("tests/promises/misoperation/values.rs says nothing of spec.{} of {plural}", field.path)
    })
}

fn lifetimes() -> Values {
    let refused = |text: &str| Bad::Refused(json!(text), "is not a lifetime");
    known([json!("48h"), json!("30m")], vec![refused("30d"), refused("5m"), refused("Never"), refused("")])
}

fn networks() -> Values {
    let bad = [
        Bad::Refused(json!(["10.1.2.3/8"]), "without host bits"),
        Bad::Refused(json!(["10.0.0.0/33"]), "must be an IPv4 or IPv6 network"),
        Bad::Refused(json!(["127.0.0.0/8", "anywhere"]), "must be an IPv4 or IPv6 network"),
    ];
    known([json!(["127.0.0.0/8"]), json!(["127.0.0.0/8", "::1/128"])], bad.into())
}

fn of_personal_clients(path: &str) -> Option<Values> {
    let roles = || [json!(["system:viewer"]), json!(["system:user", "system:viewer"])];
    Some(match path {
        "displayName" => {
            let bad = ["a [k8s b]", "a\u{202e}b", "a\nb"];
            let bad = bad.map(|name| Bad::Refused(json!(name), "must not contain square brackets"));
            known([json!("CI deployer"), Value::Null], bad.into())
        }
        "expires" => lifetimes(),
        "allowSourceCidr" => networks(),
        "scopedRoles" => known(roles(), vec![Bad::Told(json!(["no-such-role"]), Reason::RoleNotFound)]),
        "issuerRef.kind" => {
            let good = [json!("ClusterClientIssuer"), json!("ClientIssuer")];
            Values { beside: json!({"issuerRef": {"name": "default"}}), ..known(good, vec![]) }
        }
        "issuerRef.name" => {
            let beside = json!({"issuerRef": {"kind": "ClusterClientIssuer"}});
            Values { beside, ..known([json!("default"), json!("other")], vec![]) }
        }
        "secretName" => known([json!("walked-one"), Value::Null], vec![]),
        "secretTemplate.type" => {
            fixed([json!("example.com/c1"), json!("example.com/c2")], "the Secret's type cannot change")
        }
        "secretTemplate.labels" => {
            let bad = [
                Bad::Refused(json!({"app.kubernetes.io/name": "a"}), "are reserved"),
                Bad::Refused(json!({"a b": "c"}), "must be valid Kubernetes labels"),
            ];
            known([json!({"team": "ci"}), json!({"team": "ops", "tier": "1"})], bad.into())
        }
        "secretTemplate.annotations" => {
            let bad = [
                Bad::Refused(json!({"iam.conductor.one/managed": "a"}), "are reserved"),
                Bad::Refused(json!({"a b": "c"}), "must be valid annotation keys"),
            ];
            known([json!({"note": "a"}), json!({"example.com/note": "b"})], bad.into())
        }
        "secretTemplate.data" => {
            let bad = [
                Bad::Refused(json!({"clientSecret": "mine"}), "cannot be replaced"),
                Bad::Refused(json!({"A": "{{ nonsense }}"}), "a template may use"),
                Bad::Refused(json!({"a/b": "c"}), "must be valid Secret keys"),
            ];
            known(
                [json!({"CONDUCTORONE_CLIENT_ID": "{{ clientId }}"}), json!({"URL": "{{ serverUrl }}/x"})],
                bad.into(),
            )
        }
        "rotation.renewBefore" => durations("30s", ["240h", "24h"], json!({"expires": "720h"})),
        "rotation.maxAge" => durations("30m", ["720h", "24h"], json!({})),
        "rotation.overlap" => durations("0s", ["2h", "30m"], json!({})),
        "rotation.maxOverlap" => durations("0s", ["200h", "24h"], json!({})),
        "rotation.restart" => {
            let one = |name: &str| json!([{"kind": "Deployment", "name": name}]);
            let bad = [
                Bad::Refused(json!([{"kind": "Deployment"}]), "exactly one of name and selector"),
                Bad::Refused(json!([{"kind": "Deployment", "selector": {}}]), "would restart every workload"),
                Bad::Refused(json!([{"kind": "Job", "name": "a"}]), "Unsupported value"),
            ];
            known([one("consumer"), one("another")], bad.into())
        }
        // What an object without a credential says while it is true, one that has a credential does not.
        "suspend" => known([json!(false), Value::Null], vec![]),
        _ => return None,
    })
}

fn durations(short: &str, good: [&str; 2], beside: Value) -> Values {
    let bad = [short, "1d", "", "90000h"].map(|text| Bad::Refused(json!(text), "is not a duration"));
    Values { beside, ..known(good.map(|text| json!(text)), bad.into()) }
}

fn of_issuers(path: &str, place: &Place) -> Option<Values> {
    let beside = |values: Values, beside: Value| Values { beside, ..values };
    let [first, second] = place.secrets;
    let missing = |value: &str| Bad::Told(json!(value), Reason::CredentialsNotFound);
    Some(match path {
        "defaults.expires" => lifetimes(),
        "defaults.allowSourceCidr" => networks(),
        // Whether C1 knows them shows when something is issued with them.
        "defaults.scopedRoles" => known([json!(["system:viewer"]), json!(["system:user"])], vec![]),
        "inventoryInterval" => {
            let bad = ["0s", "1d", ""].map(|text| Bad::Refused(json!(text), "is not a duration"));
            known([json!("1s"), json!("2s")], bad.into())
        }
        "url" => {
            let bad = [
                Bad::Refused(json!(place.url.replace("https", "http")), "url must be https://host"),
                Bad::Refused(json!(format!("{}/api", place.url)), "url must be https://host"),
                Bad::Refused(json!("https://me@example.com"), "url must be https://host"),
                Bad::Told(json!("https://example.com"), Reason::HostNotAllowed),
            ];
            known([json!(place.url), json!(format!("{}/", place.url))], bad.into())
        }
        // Hosts that this operator may not call: what counts is that the status says so, each time.
        "tenantDomain" => {
            let bad = ["Acme", "acme/x", "10.0.0.1"];
            let bad = bad.map(|name| Bad::Refused(json!(name), "tenantDomain"));
            beside(known([json!("one.invalid"), json!("two.invalid")], bad.into()), json!({"url": null}))
        }
        "caBundle" => {
            let twice = format!("{}\n{}", place.ca, place.ca);
            let bad = [
                Bad::Refused(json!("-----BEGIN CERTIFICATE-----"), "must be base64 of PEM certificates"),
                Bad::Told(json!((place.encode)("no certificate")), Reason::InvalidConfiguration),
            ];
            known([json!((place.encode)(&place.ca)), json!((place.encode)(&twice))], bad.into())
        }
        "auth.oauth.secretRef.name" => known([json!(first), json!(second)], vec![missing("missing")]),
        "auth.bearer.secretRef.name" => beside(
            known([json!(first), json!(second)], vec![missing("missing")]),
            json!({"auth": {"oauth": null, "bearer": {"secretRef": {"key": "token"}}}}),
        ),
        "auth.bearer.secretRef.key" => beside(
            known([json!("token"), json!("again")], vec![missing("missing")]),
            json!({"auth": {"oauth": null, "bearer": {"secretRef": {"name": first}}}}),
        ),
        "policy.namespaceSelector.matchLabels" => known([json!({}), json!({"team": "none"})], vec![]),
        "policy.namespaceSelector.matchExpressions" => {
            let expression =
                |operator: &str, values: &[&str]| json!([{"key": "team", "operator": operator, "values": values}]);
            let bad = [
                Bad::Refused(expression("In", &[]), "values must be given for In and NotIn"),
                Bad::Refused(expression("Exists", &["a"]), "values must be given for In and NotIn"),
                Bad::Refused(expression("Near", &["a"]), "Near"),
            ];
            known([expression("NotIn", &["none"]), expression("In", &["none"])], bad.into())
        }
        _ => return None,
    })
}
