//! Faults on demand: row 27. Each kind, seen by the client and in the ledger.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, INTROSPECT, SEARCH, Simulator, TOKEN, until};

/// Clients in the ledger besides the bootstrap client.
async fn made(c1: &Simulator) -> usize {
    c1.ledger().await.len() - 1
}

fn shows(page: &Value, id: &str) -> bool {
    page["list"].as_array().unwrap().iter().any(|client| client["id"] == id)
}

async fn count(c1: &Simulator, operation: &str, column: &str) -> u64 {
    let requests = c1.pull(Method::GET, "/requests", Value::Null).await;
    requests["operations"][operation][column].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn latency_delays_the_answer() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("introspect", json!({"kind": "latency", "seconds": 0.2})).await;
    let begun = Instant::now();
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200));

    c1.heal().await;
    c1.switch(json!({"latencyMs": 150})).await;
    let begun = Instant::now();
    c1.get(CLIENTS, &token).await;
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn what_a_client_no_longer_waits_for_happens_all_the_same() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "latency", "seconds": 0.2})).await;
    let patience = Duration::from_millis(20);
    assert!(tokio::time::timeout(patience, c1.post(CLIENTS, &token, json!({}))).await.is_err());
    until(async || (made(&c1).await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_delay_after_the_effect_lets_it_be_seen_before_the_answer() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "latency", "seconds": 3600, "when": "after"})).await;
    let seen = until(async || (made(&c1).await == 1).then_some(()));
    tokio::select! {
        () = seen => {}
        _ = c1.post(CLIENTS, &token, json!({})) => panic!("answered too early"),
    }
}

#[tokio::test]
async fn a_status_comes_before_or_after_the_effect_with_or_without_retry_after() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    for status in [429, 500, 502, 503, 504] {
        c1.fault("create", json!({"kind": "status", "status": status, "when": "before"})).await;
        let reply = c1.post(CLIENTS, &token, json!({})).await;
        assert_eq!((reply.status, reply.headers.get("retry-after")), (status, None));
        assert!(reply.body["code"].is_u64() && reply.body["message"].is_string());
    }
    assert_eq!(made(&c1).await, 0);

    let after = json!({"kind": "status", "status": 429, "when": "after", "retryAfter": "2"});
    c1.fault("create", after).await;
    let reply = c1.post(CLIENTS, &token, json!({})).await;
    assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (429, "2"));
    assert_eq!(made(&c1).await, 1);
    assert_eq!(count(&c1, "create", "429").await, 2);
}

#[tokio::test]
async fn a_cut_closes_the_connection_without_a_byte_before_or_after_the_effect() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let request = format!(
        "POST {CLIENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    for (when, clients) in [("before", 0), ("after", 1)] {
        c1.fault("create", json!({"kind": "cut", "when": when})).await;
        assert_eq!(c1.raw(&request).await, "");
        assert_eq!(made(&c1).await, clients);
    }
    assert!(c1.try_call(Method::POST, CLIENTS, &token, &json!({})).await.is_err());
    assert_eq!(count(&c1, "create", "cut").await, 3);
}

#[tokio::test]
async fn a_cut_body_is_shorter_than_its_content_length() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "body", "how": "cut"})).await;
    let request = format!(
        "POST {CLIENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let received = c1.raw(&request).await;
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"));
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let length: usize = length.parse().unwrap();
    assert!(!body.is_empty() && body.len() < length, "{} of {length}", body.len());
    assert!(c1.try_call(Method::POST, CLIENTS, &token, &json!({})).await.is_err());
    assert_eq!(made(&c1).await, 2);
}

#[tokio::test]
async fn a_malformed_body_is_whole_but_no_json() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "body", "how": "malformed"})).await;
    let reply = c1.post(CLIENTS, &token, json!({})).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.is_string(), "{reply:?}");
    assert_eq!(made(&c1).await, 1);
}

#[tokio::test]
async fn a_padded_body_is_longer_and_says_the_same() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "padded", "bytes": 100_000})).await;
    let reply = c1.post(CLIENTS, &token, json!({})).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body["clientSecret"].is_string(), "{reply:?}");
    assert_eq!(reply.headers["content-length"], "100000");
}

#[tokio::test]
async fn a_refused_token_looks_like_bad_credentials() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("*", json!({"kind": "tokenRefused"})).await;
    let login = c1.login_reply(&c1.bootstrap()).await;
    assert_eq!((login.status, &login.body["error"]), (401, &json!("invalid_client")));
    let call = c1.get(INTROSPECT, &token).await;
    assert_eq!((call.status, &call.body["code"]), (401, &json!(16)));
    c1.heal().await;
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 200);
}

#[tokio::test]
async fn a_late_create_is_cut_at_once_and_comes_into_being_afterwards() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "lateCreate", "seconds": 0.3})).await;
    assert!(c1.try_call(Method::POST, CLIENTS, &token, &json!({"displayName": "late"})).await.is_err());
    assert_eq!(made(&c1).await, 0);
    until(async || (made(&c1).await == 1).then_some(())).await;
    assert_eq!(c1.ledger().await[1]["displayName"], "late");
}

#[tokio::test]
async fn a_double_create_makes_two_and_answers_the_second() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "doubleCreate"})).await;
    let answered = c1.create(&token, json!({"displayName": "twice"})).await;
    let ledger = c1.ledger().await;
    assert_eq!(ledger.len(), 3);
    assert_eq!(ledger[2]["id"], answered.id);
    assert_eq!((&ledger[1]["displayName"], &ledger[2]["displayName"]), (&json!("twice"), &json!("twice")));
    c1.log_in(&answered).await;
}

#[tokio::test]
async fn a_lagging_list_does_not_show_the_youngest_until_they_are_old_enough() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.fault("*", json!({"kind": "lagList", "seconds": 3600})).await;
    let id = c1.create(&token, json!({})).await.id;
    assert!(!shows(&c1.get(CLIENTS, &token).await.body, &id));
    assert!(!shows(&c1.post(SEARCH, &token, json!({})).await.body, &id));
    assert_eq!(c1.get(&format!("{CLIENTS}/{id}"), &token).await.status, 200);

    c1.fault("*", json!({"kind": "lagList", "seconds": 0.2})).await;
    until(async || shows(&c1.get(CLIENTS, &token).await.body, &id).then_some(())).await;
}

#[tokio::test]
async fn a_lagging_last_use_shows_an_older_one() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({})).await;
    let item = format!("{CLIENTS}/{}", made.id);
    let last_used = async || c1.get(&item, &token).await.body["client"]["lastUsedAt"].clone();
    c1.log_in(&made).await;
    let first = last_used().await;
    c1.advance(100).await;
    c1.log_in(&made).await;

    c1.fault("get", json!({"kind": "lagLastUsed", "seconds": 60})).await;
    assert_eq!(last_used().await, first);
    c1.fault("get", json!({"kind": "lagLastUsed", "seconds": 600})).await;
    assert_eq!(last_used().await, Value::Null);
    c1.heal().await;
    assert_eq!(last_used().await, c1.entry(&made.id).await["lastUsedAt"]);
}

#[tokio::test]
async fn rules_are_shown_with_how_often_they_fired() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let rules = json!([
        {"operation": "create", "displayNameContains": "bad", "times": 1, "fault": {"kind": "cut", "when": "before"}},
        {"operation": "introspect", "nth": 2, "fault": {"kind": "status", "status": 503, "when": "before"}},
    ]);
    c1.pull(Method::PUT, "/faults", rules).await;
    c1.create(&token, json!({"displayName": "good"})).await;
    assert!(c1.try_call(Method::POST, CLIENTS, &token, &json!({"displayName": "a bad one"})).await.is_err());
    c1.create(&token, json!({"displayName": "a bad one"})).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(c1.get(INTROSPECT, &token).await.status);
    }
    assert_eq!(statuses, [200, 503, 200]);
    let rules = c1.pull(Method::GET, "/faults", Value::Null).await;
    assert_eq!((&rules[0]["fired"], &rules[0]["matched"]), (&json!(1), &json!(2)));
    assert_eq!((&rules[1]["fired"], &rules[1]["matched"]), (&json!(1), &json!(3)));
    assert_eq!(rules[1]["fault"]["status"], 503);
}

#[tokio::test]
async fn all_tokens_can_be_revoked_in_the_middle_of_their_lives() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.pull(Method::POST, "/revoke-tokens", Value::Null).await;
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 401);
    assert_eq!(c1.get(INTROSPECT, &c1.token().await).await.status, 200);
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_and_changes_nothing() {
    let c1 = Simulator::start(&[]);
    c1.fault("token", json!({"kind": "tokenRefused"})).await;
    let wrong = json!([{"operation": "list", "fault": {"kind": "doubleCreate"}}]);
    let reply = c1.admin(Method::PUT, "/faults", wrong).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body["error"].is_string());
    assert_eq!(c1.form(TOKEN, &[]).await.status, 401);
}
