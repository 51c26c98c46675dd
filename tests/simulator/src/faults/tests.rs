//! Which requests a rule picks.

use serde_json::{Value, json};

use super::*;

fn rules(json: Value) -> FaultRules {
    let mut rules = FaultRules::default();
    rules.replace(serde_json::from_value(json).unwrap());
    rules
}

fn fired(rules: &mut FaultRules, operation: Operation, times: usize) -> Vec<bool> {
    (0..times).map(|_| rules.judge(operation, None).misdeed.is_some()).collect()
}

#[test]
fn nth_fires_once_and_only_then() {
    let mut rules = rules(json!([{"operation": "get", "nth": 2, "fault": {"kind": "cut", "when": "before"}}]));
    assert_eq!(fired(&mut rules, Operation::List, 3), [false, false, false]);
    assert_eq!(fired(&mut rules, Operation::Get, 4), [false, true, false, false]);
}

#[test]
fn times_is_the_most_that_a_rule_fires() {
    let mut rules = rules(json!([{"operation": "*", "times": 2, "fault": {"kind": "tokenRefused"}}]));
    assert_eq!(fired(&mut rules, Operation::Token, 3), [true, true, false]);
}

#[test]
fn probability_0_never_fires_and_1_always() {
    let rule = |probability| json!([{"operation": "*", "probability": probability, "fault": {"kind": "tokenRefused"}}]);
    assert_eq!(fired(&mut rules(rule(0.0)), Operation::Get, 3), [false; 3]);
    assert_eq!(fired(&mut rules(rule(1.0)), Operation::Get, 3), [true; 3]);
}

#[test]
fn a_name_is_looked_for_in_the_display_name() {
    let mut rules =
        rules(json!([{"operation": "create", "displayNameContains": "ci", "fault": {"kind": "doubleCreate"}}]));
    assert!(rules.judge(Operation::Create, Some("my ci key")).misdeed.is_some());
    assert!(rules.judge(Operation::Create, Some("other")).misdeed.is_none());
    assert!(rules.judge(Operation::Create, None).misdeed.is_none());
}

#[test]
fn delays_add_up_and_a_second_misdeed_waits_for_another_request() {
    let mut rules = rules(json!([
        {"operation": "*", "fault": {"kind": "latency", "seconds": 1.0}},
        {"operation": "get", "fault": {"kind": "latency", "seconds": 2.0}},
        {"operation": "get", "times": 1, "fault": {"kind": "tokenRefused"}},
        {"operation": "get", "nth": 1, "fault": {"kind": "cut", "when": "after"}},
    ]));
    let first = rules.judge(Operation::Get, None);
    assert_eq!(first.delay_before, Duration::from_secs(3));
    assert!(matches!(first.misdeed, Some(Misdeed::TokenRefused)));
    assert!(matches!(rules.judge(Operation::Get, None).misdeed, Some(Misdeed::Cut(When::After))));
    assert!(rules.judge(Operation::Get, None).misdeed.is_none());
}

#[test]
fn rules_that_could_not_do_what_they_say_are_refused() {
    for rule in [
        json!({"operation": "get", "fault": {"kind": "doubleCreate"}}),
        json!({"operation": "get", "nth": 1, "probability": 0.5, "fault": {"kind": "tokenRefused"}}),
        json!({"operation": "get", "nth": 0, "fault": {"kind": "tokenRefused"}}),
        json!({"operation": "get", "probability": 2, "fault": {"kind": "tokenRefused"}}),
        json!({"operation": "get", "displayNameContains": "x", "fault": {"kind": "tokenRefused"}}),
        json!({"operation": "get", "fault": {"kind": "status", "status": 200, "when": "after"}}),
        json!({"operation": "get", "fault": {"kind": "latency", "seconds": -1}}),
        json!({"operation": "get", "fault": {"kind": "gremlin"}}),
        json!({"operation": "post", "fault": {"kind": "tokenRefused"}}),
    ] {
        assert!(serde_json::from_value::<Rule>(rule.clone()).is_err(), "{rule}");
    }
}
