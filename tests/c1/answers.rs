//! What is certain after an answer that is no answer.

use std::time::{Duration, Instant};

use c1_operator::{
    api::Reason,
    c1::{Certainty, Deadlines, ErrorKind},
};
use serde_json::{Value, json};

use crate::bed::{Bed, made, request, status};

async fn clients_named(bed: &Bed, name: &str) -> usize {
    bed.c1.live().await.iter().filter(|c| c.display_name == name).count()
}

/// Each: the fault, how many clients there are then, what is certain.
#[tokio::test]
async fn a_create_that_fails_says_whether_it_may_have_had_an_effect() {
    const LONGEST: usize = 4 << 20;
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    session.user_id().await.unwrap();
    bed.fault(json!({"operation": "create", "fault": {"kind": "padded", "bytes": LONGEST}})).await;
    session.create(&request("as long as may be")).await.unwrap();
    let cases: &[(&str, Value, usize, Certainty)] = &[
        ("too long", json!({"kind": "padded", "bytes": LONGEST + 1}), 1, Certainty::Unknown),
        ("cut before", json!({"kind": "cut", "when": "before"}), 0, Certainty::Unknown),
        ("cut after", json!({"kind": "cut", "when": "after"}), 1, Certainty::Unknown),
        ("half a body", json!({"kind": "body", "how": "cut"}), 1, Certainty::Unknown),
        ("no JSON", json!({"kind": "body", "how": "malformed"}), 1, Certainty::Unknown),
        ("500", json!({"kind": "status", "status": 500, "when": "after"}), 1, Certainty::Unknown),
        ("504", json!({"kind": "status", "status": 504, "when": "before"}), 0, Certainty::Unknown),
        ("400", json!({"kind": "status", "status": 400, "when": "before"}), 0, Certainty::NoEffect),
        ("403", json!({"kind": "status", "status": 403, "when": "before"}), 0, Certainty::NoEffect),
    ];
    for (name, fault, clients, certainty) in cases {
        bed.fault(json!({"operation": "create", "fault": fault})).await;
        let error = session.create(&request(name)).await.unwrap_err();
        assert_eq!(error.certainty(), *certainty, "{name}: {error}");
        assert_eq!(clients_named(&bed, name).await, *clients, "{name}");
    }
}

/// Whoever repeats a create makes a second client.
#[tokio::test]
async fn a_create_is_sent_once() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    for when in ["before", "after"] {
        for fault in [json!({"kind": "cut", "when": when}), json!({"kind": "status", "status": 503, "when": when})] {
            bed.fault(json!({"operation": "create", "fault": fault})).await;
            bed.c1.reset_requests().await;
            session.create(&request("once")).await.unwrap_err();
            assert_eq!(bed.asked("create").await, 1, "{fault}");
        }
    }
}

#[tokio::test]
async fn a_call_ends_with_its_deadline() {
    let bed = Bed::new(&[]).await;
    let deadlines = Deadlines { create: Duration::from_millis(1500), call: Duration::from_millis(500) };
    let session = bed.session_with(|settings| settings.deadlines = deadlines);
    session.user_id().await.unwrap();
    bed.fault(json!({"operation": "*", "fault": {"kind": "latency", "seconds": 20, "when": "after"}})).await;
    let begun = Instant::now();
    assert!(matches!(session.user_id().await.unwrap_err().kind, ErrorKind::Timeout(_)));
    assert!(begun.elapsed() < Duration::from_millis(1400), "that of a call");
    let begun = Instant::now();
    let error = session.create(&request("late")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Timeout(_)) && error.certainty() == Certainty::Unknown, "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(1400), "that of a create");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_tenant_that_asks_for_patience_is_not_asked_again_before() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    session.user_id().await.unwrap();
    let rule = json!({"operation": "list", "nth": 1,
                      "fault": {"kind": "status", "status": 429, "when": "before", "retryAfter": "2"}});
    bed.fault(rule).await;
    let begun = Instant::now();
    let error = session.list().await.err().unwrap();
    assert_eq!(error.reason(), Reason::Throttled);
    session.user_id().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(1900), "all calls to the tenant wait");
}

#[tokio::test]
async fn a_call_whose_deadline_passes_while_it_waits_is_not_sent() {
    let bed = Bed::new(&[]).await;
    let deadlines = Deadlines { create: Duration::from_millis(300), call: Duration::from_secs(20) };
    let session = bed.session_with(|settings| settings.deadlines = deadlines);
    let rule = json!({"operation": "list", "nth": 1,
                      "fault": {"kind": "status", "status": 429, "when": "before", "retryAfter": "600"}});
    bed.fault(rule).await;
    session.list().await.err().unwrap();
    let error = session.create(&request("never")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Paused) && error.certainty() == Certainty::NoEffect, "{error}");
    assert_eq!(bed.asked("create").await, 0);
}

#[tokio::test]
async fn a_refusal_says_what_c1_says() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let mut wrong = request("lifetime");
    wrong.expires = Some(Duration::ZERO);
    let error = session.create(&wrong).await.unwrap_err();
    assert_eq!(status(&error.kind), Some(400));
    assert_eq!(error.reason(), Reason::RequestRejected);
    let text = error.to_string();
    assert!(text.contains(&bed.c1.host) && text.contains("create") && text.contains("Expires"), "{text}");
}

#[tokio::test]
async fn who_is_not_there_was_sent_nothing() {
    let mut bed = Bed::new(&[]).await;
    let session = bed.session();
    made(&session, "before").await;
    bed.c1.kill().await;
    // The connection that was kept is closed: that is noticed before a request is sent, or while.
    let mut error = session.create(&request("after")).await.unwrap_err();
    if !matches!(error.kind, ErrorKind::Connect(_)) {
        error = session.create(&request("after")).await.unwrap_err();
    }
    assert!(matches!(error.kind, ErrorKind::Connect(_)), "{error:?}");
    assert_eq!(error.certainty(), Certainty::NoEffect);
    assert_eq!(error.reason(), Reason::Unreachable);
}
