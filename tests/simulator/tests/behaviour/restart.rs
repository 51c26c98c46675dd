//! What survives a restart, and how the process ends.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{CLIENTS, Login, Simulator};

/// A directory that outlives the first of two simulators.
fn place(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[tokio::test]
async fn a_restart_keeps_clients_clock_and_trust_and_never_had_private_keys() {
    let outer = place("restart");
    let state = outer.join("state.json");
    let flags = ["--host", "localhost:1", "--state", state.to_str().unwrap()];
    let start = || Simulator::start_in(&outer.join("ca"), &flags);

    let mut first = start();
    let bootstrap = first.bootstrap();
    first.advance(1000).await;
    let made = first.pull(reqwest::Method::POST, "/clients", json!({"displayName": "kept", "expires": "600s"})).await;
    let (ca, ledger) = (fs::read(first.text("caFile")).unwrap(), first.ledger().await);
    assert!(first.terminate());

    let saved = fs::read_to_string(&state).unwrap();
    for secret in [&bootstrap.secret, &Login::of(&made).secret] {
        let encoded = secret.rsplit(':').next().unwrap();
        let jwk: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap();
        assert!(!saved.contains(encoded) && !saved.contains(jwk["d"].as_str().unwrap()));
        assert!(saved.contains(jwk["x"].as_str().unwrap()));
    }

    let second = start();
    assert_eq!(second.text("clientId"), bootstrap.client_id);
    assert_eq!(second.line["clientSecret"], Value::Null);
    assert_eq!(fs::read(second.text("caFile")).unwrap(), ca);
    assert_eq!(second.ledger().await, ledger);
    fs::remove_dir_all(outer).unwrap();
}

#[tokio::test]
async fn after_a_kill_the_old_secrets_still_log_in_and_roles_have_their_ids() {
    let outer = place("relogin");
    let state = outer.join("state.json");
    let flags = ["--state", state.to_str().unwrap()];
    let first = Simulator::start(&flags);
    let token = first.token().await;
    let made = first.create(&token, json!({"displayName": "kept"})).await;
    let (bootstrap, role) = (first.bootstrap(), first.role(&token, "system:user").await);
    // Killed, not asked: what was answered must be on disk already.
    drop(first);
    let second = Simulator::start(&flags);
    second.log_in(&made).await;
    assert_eq!(second.get(CLIENTS, &token).await.status, 401, "access tokens die with the process");
    let token = second.log_in(&bootstrap).await;
    assert_eq!(second.get(CLIENTS, &token).await.body["list"].as_array().unwrap().len(), 2);
    assert_eq!(second.role(&token, "system:user").await, role);
    fs::remove_dir_all(outer).unwrap();
}
