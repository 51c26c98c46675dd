//! What of a spec may change. A field that is left out means its documented value: to write that down, or to leave it out
//! again, is no change.

use serde_json::{Value, json};

use crate::server::{Kind, Server, is_refused};

/// Stores the first spec, then tries each of the others on it, also by a replace, which takes fields away as an apply would.
async fn from(server: &Server, name: &str, first: Value, good: Vec<Value>, bad: Vec<(Value, &str)>) {
    let namespace = server.namespace(name).await;
    let api = server.api(Kind::PersonalClient, &namespace.name);
    let object = |spec: &Value| Kind::PersonalClient.object("a-client", spec);
    let apply = async |spec: &Value| server.apply(Kind::PersonalClient, &namespace.name, &object(spec)).await.map(drop);
    apply(&first).await.unwrap();
    let mut wrong = Vec::new();
    for (spec, words) in bad {
        wrong.extend(is_refused(apply(&spec).await.as_ref().copied(), words).err().map(|why| format!("{spec}: {why}")));
    }
    for spec in good {
        wrong.extend(apply(&spec).await.err().map(|why| format!("{spec} refused: {why}")));
        wrong.extend(apply(&first).await.err().map(|why| format!("from {spec} back to {first} refused: {why}")));
    }
    assert!(wrong.is_empty(), "from {first}:\n  {}", wrong.join("\n  "));
    let stored = api.get("a-client").await.unwrap();
    assert_eq!(stored.data["spec"], first, "a change that was refused is not stored");
    server.discard(&namespace).await;
}

#[tokio::test]
async fn the_type_of_the_secret_changes_only_with_its_name() {
    let server = Server::connect().await;
    let words =
        "the Secret's type cannot change while it keeps its name (Kubernetes forbids it): give it another secretName";
    let of = |kind: &str| json!({"secretTemplate": {"type": kind}});
    let named = |name: &str, kind: &str| json!({"secretName": name, "secretTemplate": {"type": kind}});
    let labels = json!({"secretTemplate": {"labels": {"team": "ci"}}});
    let mut bad = vec![(of("example.com/a"), words), (named("a-client", "example.com/a"), words)];
    let good = vec![of("Opaque"), labels.clone(), json!({}), named("another", "example.com/a")];
    from(&server, "type-absent", json!({}), good.clone(), bad.clone()).await;
    from(&server, "type-opaque", of("Opaque"), good, bad).await;
    bad = [json!({}), labels, of("Opaque"), of("example.com/b")].map(|spec| (spec, words)).to_vec();
    from(
        &server,
        "type-own",
        of("example.com/a"),
        vec![named("another", "Opaque"), json!({"secretName": "third"})],
        bad,
    )
    .await;
}

#[tokio::test]
async fn everything_else_can_change_and_be_taken_away() {
    let server = Server::connect().await;
    let full = json!({
        "issuerRef": {"kind": "ClientIssuer", "name": "team"}, "secretName": "other",
        "displayName": "a", "expires": "720h", "allowSourceCidr": ["10.0.0.0/8"], "scopedRoles": ["a"], "deletionPolicy": "Retain",
        "secretTemplate": {"labels": {"a": "a"}, "annotations": {"a": "a"}, "data": {"a": "{{ id }}"}},
    });
    let other = json!({
        "issuerRef": {"kind": "ClientIssuer", "name": "default"}, "secretName": "third",
        "displayName": "b", "expires": "never", "allowSourceCidr": ["10.0.0.0/16"], "scopedRoles": ["b", "c"],
        "deletionPolicy": "Delete",
        "secretTemplate": {"labels": {"b": "b"}, "annotations": {"a": "b"}, "data": {"a": "{{ host }}", "b": ""}},
    });
    from(&server, "free", full, vec![json!({}), other], vec![]).await;
}

#[tokio::test]
async fn an_issuer_can_change_its_tenant_and_its_credentials() {
    let server = Server::connect().await;
    let namespace = server.namespace("issuer-changes").await;
    let kind = Kind::ClientIssuer;
    for fields in [
        json!({}),
        json!({"tenantDomain": null, "url": "https://localhost:8443"}),
        json!({"auth": {"bearer": {"secretRef": {"name": "a", "key": "token"}}}}),
        json!({"tenantDomain": "other", "policy": {"allowed": {"fullPermissions": true}}}),
    ] {
        server.apply(kind, &namespace.name, &kind.object("an-issuer", &kind.with(fields))).await.unwrap();
    }
    server.discard(&namespace).await;
}
