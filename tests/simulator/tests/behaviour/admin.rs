//! The admin port: what it shows and what it moves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, INTROSPECT, Login, Simulator};

#[tokio::test]
async fn the_ledger_holds_every_client_ever_made_in_order() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let first = c1.create(&token, json!({"displayName": "first"})).await;
    c1.create(&token, json!({"displayName": "second", "expires": "60s"})).await;
    c1.delete(&format!("{CLIENTS}/{}", first.id), &token).await;
    let ledger = c1.ledger().await;
    let column = |name: &str| ledger.iter().map(|entry| entry[name].clone()).collect::<Vec<Value>>();
    assert_eq!(column("displayName"), ["bootstrap", "first", "second"]);
    assert_eq!(column("bootstrap"), [true, false, false]);
    assert_eq!(column("live"), [true, false, true]);
    assert!(ledger[1]["deletedAt"].is_string());
    c1.advance(61).await;
    assert_eq!(c1.ledger().await[2]["live"], false);
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status_and_forgotten_on_demand() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    c1.create(&token, json!({})).await;
    c1.get(&format!("{CLIENTS}/nobody"), &token).await;
    c1.get("/nowhere", "").await;
    let expected = json!({"create": {"200": 1}, "get": {"404": 1}, "other": {"404": 1}, "token": {"200": 1}});
    assert_eq!(c1.pull(Method::GET, "/requests", Value::Null).await["operations"], expected);
    c1.pull(Method::DELETE, "/requests", Value::Null).await;
    assert_eq!(c1.pull(Method::GET, "/requests", Value::Null).await["operations"], json!({}));
}

#[tokio::test]
async fn the_clock_moves_both_ways_and_the_date_header_follows() {
    let c1 = Simulator::start(&[]);
    let date = async || c1.get(INTROSPECT, "").await.headers["date"].to_str().unwrap().to_owned();
    c1.advance(400 * 86_400).await;
    let year = c1.pull(Method::GET, "/clock", Value::Null).await["now"].as_str().unwrap()[..4].to_owned();
    let ahead = date().await;
    assert!(ahead.contains(&year) && ahead.ends_with(" GMT"), "{ahead}");
    c1.advance(-400 * 86_400).await;
    assert_eq!(c1.pull(Method::GET, "/clock", Value::Null).await["offsetSeconds"], 0);
    assert!(!date().await.contains(&year));
    assert_eq!(c1.admin(Method::POST, "/clock", json!({"advanceSeconds": i64::MAX})).await.status, 400);
}

#[tokio::test]
async fn switches_are_shown_and_moved_and_a_misspelt_one_is_refused() {
    let c1 = Simulator::start(&["--token-lifetime", "600"]);
    let expected = json!({
        "getAfterDelete": "404", "updateExpires": "refuse", "deletedTokens": "die", "listPaging": "ignore",
        "searchByNonAdmin": "forbidden", "maxDisplayName": 0, "longDisplayName": "refuse", "tokenLifetime": 600,
        "maxClientsPerUser": 0, "updatePolicy": "accept", "latencyMs": 0,
    });
    assert_eq!(c1.pull(Method::GET, "/switches", Value::Null).await, expected);
    for wrong in [json!({"listPagging": "gap"}), json!({"listPaging": "gapp"})] {
        assert_eq!(c1.admin(Method::PATCH, "/switches", wrong).await.status, 400);
    }
    c1.switch(json!({"tokenLifetime": 30})).await;
    assert_eq!(c1.login_reply(&c1.bootstrap()).await.body["expires_in"], 30);
}

#[tokio::test]
async fn a_client_can_be_made_changed_and_deleted_by_hand() {
    let c1 = Simulator::start(&[]);
    let (user, _) = c1.user(json!(["system:user"])).await;
    let wish = json!({
        "userId": user["userId"], "displayName": "by hand", "expires": "60s", "scopedRoles": ["system:user"],
        "allowSourceCidr": ["127.0.0.0/8"],
    });
    let made = c1.pull(Method::POST, "/clients", wish).await;
    assert_eq!(made["client"]["userId"], user["userId"]);
    let login = Login::of(&made);
    let token = c1.log_in(&login).await;
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 200);

    let path = format!("/clients/{}", login.id);
    let edit = json!({"displayName": "renamed", "lastUsedAt": "2020-01-01T00:00:00Z"});
    let edited = c1.pull(Method::PATCH, &path, edit).await;
    assert_eq!((&edited["displayName"], &edited["lastUsedAt"]), (&json!("renamed"), &json!("2020-01-01T00:00:00Z")));
    let edited = c1.pull(Method::PATCH, &path, json!({"lastUsedAt": null})).await;
    assert_eq!((&edited["displayName"], &edited["lastUsedAt"]), (&json!("renamed"), &Value::Null));
    c1.pull(Method::DELETE, &path, Value::Null).await;
    assert_eq!(c1.admin(Method::DELETE, &path, Value::Null).await.status, 404);
    assert_eq!(c1.login_reply(&login).await.status, 401);

    let plain = c1.pull(Method::POST, "/clients", json!({"displayName": "of the first user"})).await;
    assert_eq!(plain["client"]["userId"], c1.text("userId"));
    assert_eq!(c1.admin(Method::POST, "/clients", json!({"name": "misspelt"})).await.status, 400);
}

#[tokio::test]
async fn the_secrets_file_holds_every_secret_even_those_never_delivered() {
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = dir.join(format!("secrets-{}", std::process::id()));
    let _ = fs::remove_file(&file);
    let c1 = Simulator::start(&["--secrets-file", file.to_str().unwrap()]);
    let token = c1.token().await;
    c1.fault("create", json!({"kind": "cut", "when": "after"})).await;
    assert!(c1.try_call(Method::POST, CLIENTS, &token, &json!({})).await.is_err());
    let secrets = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = secrets.lines().collect();
    assert_eq!(lines[..2], [c1.text("clientSecret"), &token]);
    assert!(lines.len() == 3 && lines[2].starts_with("secret-token:"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&file).unwrap();
}
