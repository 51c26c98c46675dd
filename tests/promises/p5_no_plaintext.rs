//! P5: the client secret is in the one Secret and nowhere else. Every test ends with the scan ([`World::finish`]) of
//! everything that was written anywhere; here are the ways in which secrets usually leak.

use c1_operator::api::Reason;
use serde_json::json;
use testkit::{Options, World};

use crate::all_is_well;

/// Answers that hold a secret and cannot be read, at the most talkative log level.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_answer_is_not_shown() {
    let options = Options { operator_values: json!({"log": {"level": "trace"}}), ..Options::default() };
    let world = World::start("p5-bodies", options).await;
    let namespace = world.namespace("ns").await;
    world
        .c1
        .faults(json!([
            {"operation": "create", "nth": 1, "fault": {"kind": "body", "how": "malformed"}},
            {"operation": "create", "nth": 2, "fault": {"kind": "body", "how": "cut"}},
        ]))
        .await;
    for name in ["a", "b"] {
        namespace.create(name, json!({})).await;
    }
    all_is_well(&world, &[(&namespace, "a"), (&namespace, "b")]).await;
    world.finish().await;
}

/// The token endpoint, too: refused, unreadable, cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_login_is_not_shown() {
    let options =
        Options { operator_values: json!({"log": {"level": "trace"}}), start_operator: false, ..Options::default() };
    let mut world = World::start("p5-login", options).await;
    world
        .c1
        .faults(json!([
            {"operation": "token", "nth": 1, "fault": {"kind": "body", "how": "malformed"}},
            {"operation": "token", "nth": 2, "fault": {"kind": "tokenRefused"}},
            {"operation": "token", "nth": 3, "fault": {"kind": "body", "how": "cut"}},
        ]))
        .await;
    world.restart_operator(None).await;
    world.issuer_reason("default", Reason::Connected).await;
    for rule in world.c1.fault_counts().await {
        assert_eq!(rule["fired"], 1, "{rule}");
    }
    world.finish().await;
}

/// A template with every variable, and an alteration that makes the operator read the Secret's data.
#[tokio::test(flavor = "multi_thread")]
async fn templates_and_reads_of_the_secret_are_not_shown() {
    let options = Options { operator_values: json!({"log": {"level": "trace"}}), ..Options::default() };
    let world = World::start("p5-template", options).await;
    let namespace = world.namespace("ns").await;
    let data = json!({"ALL": "{{ clientId }} {{ clientSecret }} {{ tokenUrl }} {{ serverUrl }} {{ id }} {{ host }} {{ expiresTime }}"});
    namespace.create("client", json!({"secretTemplate": {"data": data}})).await;
    namespace.ready("client").await;
    namespace.patch("client", json!({"spec": {"secretTemplate": {"labels": {"a": "b"}}}})).await;
    namespace.ready("client").await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}
