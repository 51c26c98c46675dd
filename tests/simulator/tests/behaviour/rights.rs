//! Who may do what, and from where: rows 11, 12, 15, 22, 24 and 29.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, INTROSPECT, ROLES, SEARCH, Simulator};

#[tokio::test]
async fn a_missing_right_is_named_in_the_refusal() {
    let c1 = Simulator::start(&[]);
    let viewer = c1.role(&c1.token().await, "system:viewer").await;
    let (_, token) = c1.user(json!(["system:viewer", "system:user"])).await;
    let scoped = c1.create(&token, json!({"scopedRoles": [viewer]})).await;
    let reply = c1.post(CLIENTS, &c1.log_in(&scoped).await, json!({})).await;
    assert_eq!((reply.status, &reply.body["code"]), (403, &json!(7)));
    let message = reply.body["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Permission denied, missing permission/c1.api.iam.v1.PersonalClientService.Create (request-id: "
        )
    );
}

#[tokio::test]
async fn a_foreign_client_is_not_found() {
    let c1 = Simulator::start(&[]);
    let (user, token) = c1.user(json!(["system:owner"])).await;
    let item = format!("{CLIENTS}/{}", c1.bootstrap().id);
    assert_ne!(user["userId"], c1.text("userId"));
    assert_eq!(c1.get(&item, &token).await.status, 404);
    assert_eq!(c1.delete(&item, &token).await.status, 404);
    let update = json!({"client": {"displayName": "mine"}, "updateMask": "displayName"});
    assert_eq!(c1.post(&item, &token, update).await.status, 404);
}

#[tokio::test]
async fn an_unknown_role_makes_nothing() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let reply = c1.post(CLIENTS, &token, json!({"scopedRoles": ["0ujsszwN8NRY24YaXiTIE2VWDTS"]})).await;
    assert_eq!((reply.status, &reply.body["code"]), (404, &json!(5)));
    assert_eq!(c1.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_scope_without_overlap_is_made_and_can_do_nothing() {
    let c1 = Simulator::start(&[]);
    let owner = c1.role(&c1.token().await, "system:owner").await;
    let (_, token) = c1.user(json!(["system:user"])).await;
    let made = c1.create(&token, json!({"scopedRoles": [owner]})).await;
    let powerless = c1.log_in(&made).await;
    let item = format!("{CLIENTS}/{}", made.id);
    for path in [INTROSPECT, CLIENTS, ROLES, &item] {
        assert_eq!(c1.get(path, &powerless).await.status, 403, "{path}");
    }
    assert_eq!(c1.delete(&item, &powerless).await.status, 403);
    assert_eq!(c1.delete(&item, &token).await.status, 200);
}

#[tokio::test]
async fn rights_shrink_when_the_owners_do() {
    let c1 = Simulator::start(&[]);
    let (user, token) = c1.user(json!(["system:owner"])).await;
    let path = format!("/users/{}", user["userId"].as_str().unwrap());
    assert_eq!(c1.post(SEARCH, &token, json!({})).await.status, 200);
    c1.pull(Method::PATCH, &path, json!({"roles": ["system:user"]})).await;
    assert_eq!(c1.post(SEARCH, &token, json!({})).await.status, 403);
    c1.pull(Method::PATCH, &path, json!({"disabled": true})).await;
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 401);
}

#[tokio::test]
async fn networks_are_enforced_when_a_token_is_made_and_when_it_is_used() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let outside = c1.create(&token, json!({"allowSourceCidr": ["10.0.0.0/8", "2001:DB8::/32"]})).await;
    assert_eq!(c1.login_reply(&outside).await.body["error"], "invalid_client");
    assert_eq!(c1.entry(&outside.id).await["allowSourceCidr"], json!(["10.0.0.0/8", "2001:DB8::/32"]));

    let inside = c1.create(&token, json!({"allowSourceCidr": ["127.0.0.0/8"]})).await;
    let its_token = c1.log_in(&inside).await;
    assert_eq!(c1.get(INTROSPECT, &its_token).await.status, 200);
    let update = json!({"client": {"allowSourceCidr": ["10.0.0.0/8"]}, "updateMask": "allowSourceCidr"});
    c1.post(&format!("{CLIENTS}/{}", inside.id), &token, update).await;
    assert_eq!(c1.get(INTROSPECT, &its_token).await.status, 403);
}

#[tokio::test]
async fn bad_networks_and_too_many_are_refused() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let many: Vec<String> = (0..33).map(|n| format!("10.0.{n}.0/24")).collect();
    for networks in [json!(["10.0.0.0/33"]), json!(["10.0.0.1"]), json!(["office"]), json!(many)] {
        assert_eq!(c1.post(CLIENTS, &token, json!({"allowSourceCidr": networks})).await.status, 400, "{networks}");
    }
    assert_eq!(c1.post(CLIENTS, &token, json!({"allowSourceCidr": many[1..]})).await.status, 200);
}

#[tokio::test]
async fn search_is_for_super_administrators_unless_the_switch_says_own() {
    let c1 = Simulator::start(&[]);
    let (user, token) = c1.user(json!(["system:user"])).await;
    assert_eq!(c1.post(SEARCH, &token, json!({})).await.status, 403);
    c1.switch(json!({"searchByNonAdmin": "own"})).await;
    let list = c1.post(SEARCH, &token, json!({})).await.body["list"].as_array().unwrap().clone();
    assert_eq!(list.iter().map(|client| &client["userId"]).collect::<Vec<_>>(), [&user["userId"]]);
}

#[tokio::test]
async fn introspect_says_who_one_is_and_the_user_holds_the_role_ids() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let me = c1.get(INTROSPECT, &token).await.body;
    assert_eq!((&me["userId"], &me["principleId"]), (&c1.line["userId"], &c1.line["userId"]));
    let create = json!("permission/c1.api.iam.v1.PersonalClientService.Create");
    assert!(me["permissions"].as_array().unwrap().contains(&create));
    assert!(me["roles"][0].as_str().unwrap().starts_with("role/c1.api."));

    let user = c1.get(&format!("/api/v1/users/{}", c1.text("userId")), &token).await.body;
    let owner = c1.role(&token, "system:owner").await;
    assert_eq!(user["userView"]["user"]["roleIds"], json!([owner]));
    assert_eq!(c1.get("/api/v1/users/nobody", &token).await.status, 404);
}

#[tokio::test]
async fn roles_are_paged_and_read_by_id() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let first = c1.get(&format!("{ROLES}?page_size=10"), &token).await.body;
    assert_eq!(first["list"].as_array().unwrap().len(), 10);
    let next = first["nextPageToken"].as_str().unwrap();
    let second = c1.get(&format!("{ROLES}?page_size=10&page_token={next}"), &token).await.body;
    assert_eq!(second["nextPageToken"], "");
    let all: Vec<&Value> = [&first, &second].into_iter().flat_map(|page| page["list"].as_array().unwrap()).collect();
    let names: Vec<&str> = all.iter().map(|role| role["name"].as_str().unwrap()).collect();
    for name in [
        "system:owner",
        "system:viewer",
        "system:user",
        "system:application-admin",
        "system:campaign-admin",
        "system:system-logs-reader",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let id = all[0]["id"].as_str().unwrap();
    assert!(id.len() == 27 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(c1.get(&format!("{ROLES}/{id}"), &token).await.body["role"]["displayName"], "Super Administrator");
    assert_eq!(c1.get(&format!("{ROLES}/nothing"), &token).await.status, 404);
}

#[tokio::test]
async fn a_source_address_can_be_tested_beforehand() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let test = async |body| c1.post("/api/v1/settings/session/test-source-ip", &token, body).await;
    let inside = test(json!({"sourceIp": "10.1.2.3", "allowCidr": ["10.0.0.0/8"]})).await.body;
    assert_eq!((&inside["allowed"], &inside["checkedIp"]), (&json!(true), &json!("10.1.2.3")));
    assert_eq!(test(json!({"sourceIp": "11.1.2.3", "allowCidr": ["10.0.0.0/8"]})).await.body["allowed"], false);
    assert_eq!(test(json!({})).await.body["checkedIp"], "127.0.0.1");
    assert_eq!(test(json!({"sourceIp": "here"})).await.status, 400);
}
