//! `c1-simulator login`, the consumer.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Login, Simulator};

/// With these variables and no others.
fn log_in(variables: &[(&str, &str)]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c1-simulator"));
    let output = command.arg("login").env_clear().envs(variables.iter().copied()).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output, report)
}

#[tokio::test]
async fn says_as_whom_it_was_let_in_and_not_with_what() {
    let c1 = Simulator::start(&[]);
    let made = c1.pull(reqwest::Method::POST, "/clients", json!({"scopedRoles": ["system:viewer"]})).await;
    let login = Login::of(&made);
    let ca = ("SSL_CERT_FILE", c1.text("caFile"));
    let sdk = [ca, ("CONDUCTORONE_CLIENT_ID", &login.client_id), ("CONDUCTORONE_CLIENT_SECRET", &login.secret)];
    let token_url = format!("{}/auth/v1/token", c1.text("url"));
    let keys = [
        ca,
        ("clientId", login.client_id.as_str()),
        ("clientSecret", &login.secret),
        ("serverUrl", c1.text("url")),
        ("tokenUrl", &token_url),
    ];
    for variables in [&sdk[..], &keys[..]] {
        let (output, report) = log_in(variables);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(report["clientId"], login.client_id);
        assert_eq!(report["userId"], c1.text("userId"));
        assert_eq!(report["tenantId"].as_str().map(str::is_empty), Some(false));
        let permissions = report["permissions"].as_array().unwrap();
        assert_eq!(permissions.len(), 3, "a viewer's: {report}");
        assert!(permissions.contains(&json!("permission/c1.api.iam.v1.Roles.List")));
        assert!(!String::from_utf8_lossy(&output.stdout).contains(&login.secret));
    }
}

#[tokio::test]
async fn says_that_it_was_refused() {
    let c1 = Simulator::start(&[]);
    let login = c1.bootstrap();
    let wrong =
        c1.pull(reqwest::Method::POST, "/clients", json!({})).await["clientSecret"].as_str().unwrap().to_owned();
    let ca = ("SSL_CERT_FILE", c1.text("caFile"));
    let (output, report) =
        log_in(&[ca, ("CONDUCTORONE_CLIENT_ID", &login.client_id), ("CONDUCTORONE_CLIENT_SECRET", &wrong)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report, json!({"clientId": login.client_id, "error": "token: status 401"}));
}
