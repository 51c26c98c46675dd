//! The life of a client: rows 13, 14, 16, 17, 20, 21, 25 and 26.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, Simulator};

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_second_delete_is_not_found() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let item = format!("{CLIENTS}/{}", c1.create(&token, json!({})).await.id);
    assert_eq!(c1.delete(&item, &token).await.status, 200);
    assert_eq!(c1.delete(&item, &token).await.status, 404);
}

#[tokio::test]
async fn a_deleted_client_leaves_the_list_and_get_answers_as_the_switch_says() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({})).await;
    let item = format!("{CLIENTS}/{}", made.id);
    c1.delete(&item, &token).await;
    assert_eq!(c1.get(&item, &token).await.status, 404);
    c1.switch(json!({"getAfterDelete": "deletedAt"})).await;
    let gone = c1.get(&item, &token).await;
    assert_eq!(gone.status, 200);
    assert!(gone.body["client"]["deletedAt"].is_string());
    let list = c1.get(CLIENTS, &token).await.body;
    assert!(list["list"].as_array().unwrap().iter().all(|client| client["id"] != made.id));
}

#[tokio::test]
async fn expires_is_a_protobuf_duration_above_zero() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    for expires in ["1h", "24h", "PT1H", "3600", "0s", "-1s", "315576000000s"] {
        let reply = c1.post(CLIENTS, &token, json!({"expires": expires})).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!(3)), "{expires}");
    }
    assert_eq!(c1.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_client_expires_that_long_after_now_or_never() {
    let c1 = Simulator::start(&[]);
    c1.advance(100_000).await;
    let token = c1.token().await;
    let made = c1.post(CLIENTS, &token, json!({"expires": "3600.5s"})).await.body["client"].clone();
    let lifetime = time(&made["expiresTime"]).duration_since(time(&made["createdAt"]));
    assert_eq!(lifetime, SignedDuration::from_millis(3_600_500));
    assert!(time(&made["createdAt"]) > Timestamp::now());
    assert!(c1.post(CLIENTS, &token, json!({})).await.body["client"]["expiresTime"].is_null());
}

#[tokio::test]
async fn an_update_replaces_what_the_mask_names_and_nothing_else() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let role = c1.role(&token, "system:user").await;
    let made = c1.create(&token, json!({"displayName": "a", "scopedRoles": [role]})).await;
    let item = format!("{CLIENTS}/{}", made.id);
    let before = c1.get(&item, &token).await.body["client"].clone();

    let rename = json!({"client": {"displayName": "b", "scopedRoles": [], "id": "x"}, "updateMask": "displayName"});
    let renamed = c1.post(&item, &token, rename).await.body["client"].clone();
    assert_eq!((&renamed["displayName"], &renamed["scopedRoles"]), (&json!("b"), &json!([role])));
    assert_eq!(renamed["id"], made.id);
    assert!(time(&renamed["updatedAt"]) > time(&before["updatedAt"]));
    assert_eq!(renamed["createdAt"], before["createdAt"]);

    let clear = json!({"client": {"allow_source_cidr": ["10.0.0.0/8"]}, "update_mask": "scopedRoles,allowSourceCidr"});
    let cleared = c1.post(&item, &token, clear).await.body["client"].clone();
    assert_eq!((&cleared["displayName"], &cleared["scopedRoles"]), (&json!("b"), &json!([])));
    assert_eq!(cleared["allowSourceCidr"], json!(["10.0.0.0/8"]));
}

#[tokio::test]
async fn a_mask_that_makes_no_sense_changes_nothing() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({"displayName": "a"})).await;
    let item = format!("{CLIENTS}/{}", made.id);
    for mask in ["display_name", "displayName,nope", "client.displayName", "createdAt", ""] {
        let reply = c1.post(&item, &token, json!({"client": {"displayName": "b"}, "updateMask": mask})).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!(3)), "{mask}");
    }
    assert_eq!(c1.post(&item, &token, json!({"client": {"displayName": "b"}})).await.status, 400);
    let bad_role =
        json!({"client": {"displayName": "b", "scopedRoles": ["x"]}, "updateMask": "displayName,scopedRoles"});
    assert_eq!(c1.post(&item, &token, bad_role).await.status, 404);
    assert_eq!(c1.entry(&made.id).await["displayName"], "a");
}

#[tokio::test]
async fn expiry_can_be_updated_only_if_the_switch_says_so() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let item = format!("{CLIENTS}/{}", c1.create(&token, json!({"expires": "600s"})).await.id);
    let update = |end: Value| json!({"client": {"expiresTime": end}, "updateMask": "expiresTime"});
    assert_eq!(c1.post(&item, &token, update(json!("2099-01-01T00:00:00Z"))).await.status, 400);

    c1.switch(json!({"updateExpires": "accept"})).await;
    let extended = c1.post(&item, &token, update(json!("2099-01-01T00:00:00Z"))).await.body;
    assert_eq!(extended["client"]["expiresTime"], "2099-01-01T00:00:00Z");
    assert_eq!(c1.post(&item, &token, update(json!("2001-01-01T00:00:00Z"))).await.status, 400);
    assert!(c1.post(&item, &token, update(Value::Null)).await.body["client"]["expiresTime"].is_null());

    c1.switch(json!({"updatePolicy": "refuse"})).await;
    let refused = c1.post(&item, &token, update(Value::Null)).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!(9)));
}

#[tokio::test]
async fn two_equal_creates_make_two_clients() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let (first, second) =
        (c1.create(&token, json!({"displayName": "a"})).await, c1.create(&token, json!({"displayName": "a"})).await);
    assert_ne!(first.id, second.id);
    assert_ne!(first.secret, second.secret);
}

#[tokio::test]
async fn the_last_use_is_the_last_token() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({})).await;
    assert!(c1.entry(&made.id).await["lastUsedAt"].is_null());
    c1.log_in(&made).await;
    let first = c1.entry(&made.id).await;
    c1.advance(5).await;
    c1.log_in(&made).await;
    let second = c1.entry(&made.id).await;
    assert!(time(&second["lastUsedAt"]).duration_since(time(&first["lastUsedAt"])) >= SignedDuration::from_secs(5));
    assert_eq!(second["tokensIssued"], 2);
    assert_eq!(second["updatedAt"], first["updatedAt"]);
    let shown = c1.get(&format!("{CLIENTS}/{}", made.id), &token).await.body;
    assert_eq!(shown["client"]["lastUsedAt"], second["lastUsedAt"]);
}

#[tokio::test]
async fn long_names_are_refused_or_cut_as_the_switch_says() {
    let c1 = Simulator::start(&["--max-display-name", "5"]);
    let token = c1.token().await;
    assert_eq!(c1.post(CLIENTS, &token, json!({"displayName": "sechse"})).await.status, 400);
    c1.switch(json!({"longDisplayName": "truncate"})).await;
    let made = c1.post(CLIENTS, &token, json!({"displayName": "süßes Haus"})).await.body;
    assert_eq!(made["client"]["displayName"], "süßes");
}

#[tokio::test]
async fn a_quota_counts_what_is_not_deleted() {
    let c1 = Simulator::start(&[]);
    c1.switch(json!({"maxClientsPerUser": 2})).await;
    let token = c1.token().await;
    let made = c1.create(&token, json!({})).await;
    let over = c1.post(CLIENTS, &token, json!({})).await;
    assert_eq!((over.status, &over.body["code"]), (400, &json!(9)));
    c1.call(Method::DELETE, &format!("{CLIENTS}/{}", made.id), &token, Value::Null).await;
    c1.create(&token, json!({})).await;
}
