//! TLS, verbs, statuses, the form of answers: rows 1 to 4, 12, 19 and 28.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, INTROSPECT, SEARCH, Simulator};

#[tokio::test]
async fn the_tenant_speaks_tls_of_its_own_authority_only() {
    let c1 = Simulator::start(&[]);
    assert_eq!(c1.get(INTROSPECT, &c1.token().await).await.status, 200);

    let empty = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    assert!(empty.get(c1.text("url")).send().await.is_err());
    let plain = c1.text("url").replace("https://", "http://");
    assert!(reqwest::Client::builder().tls_certs_only([]).build().unwrap().get(plain).send().await.is_err());
}

#[tokio::test]
async fn the_certificate_is_good_for_whatever_host_the_tenant_has() {
    for host in ["acme.example", "10.244.0.1:8443", "localhost"] {
        let c1 = Simulator::start(&["--host", host]);
        let received = c1.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(received.starts_with("HTTP/1.1 404"), "{host}: {received}");
    }
}

#[tokio::test]
async fn the_six_routes_answer_200_and_other_verbs_404() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let id = c1.create(&token, json!({"displayName": "a"})).await.id;
    let item = format!("{CLIENTS}/{id}");

    assert_eq!(c1.get(CLIENTS, &token).await.status, 200);
    assert_eq!(c1.get(&item, &token).await.status, 200);
    let update = json!({"client": {"displayName": "b"}, "updateMask": "displayName"});
    for verb in [Method::PATCH, Method::PUT] {
        assert_eq!(c1.call(verb, &item, &token, update.clone()).await.status, 404);
    }
    assert_eq!(c1.post(&item, &token, update).await.body["client"]["displayName"], "b");
    assert_eq!(c1.post(SEARCH, &token, json!({})).await.status, 200);
    let deleted = c1.delete(&item, &token).await;
    assert_eq!((deleted.status, deleted.body), (200, json!({})));
}

#[tokio::test]
async fn every_field_is_rendered_whatever_its_value() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let id = c1.create(&token, Value::Null).await.id;
    let client = c1.get(&format!("{CLIENTS}/{id}"), &token).await.body["client"].clone();

    let fields: BTreeSet<&str> = client.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "id clientId displayName userId scopedRoles allowSourceCidr expiresTime createdAt updatedAt deletedAt \
                    lastUsedAt";
    assert_eq!(fields, expected.split(' ').collect());
    assert_eq!(client["displayName"], "");
    assert_eq!((&client["scopedRoles"], &client["allowSourceCidr"]), (&json!([]), &json!([])));
    assert!(["expiresTime", "deletedAt", "lastUsedAt"].iter().all(|field| client[field].is_null()));
    assert!(client["createdAt"].as_str().unwrap().ends_with('Z'));
    let empty = c1.post(SEARCH, &token, json!({"query": "nothing is called so"})).await.body;
    assert_eq!(empty, json!({"list": [], "nextPageToken": ""}));
}

#[tokio::test]
async fn an_unknown_id_is_not_found_and_the_message_carries_the_request_id() {
    let c1 = Simulator::start(&[]);
    let reply = c1.get(&format!("{CLIENTS}/calm-otter-00000"), &c1.token().await).await;
    let trace = reply.headers["c1-trace-id"].to_str().unwrap();
    assert_eq!(reply.status, 404);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.body, json!({"code": 5, "message": format!("not found (request-id: {trace})")}));
}

#[tokio::test]
async fn unknown_fields_are_refused_but_snake_case_null_and_empty_bodies_are_not() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let unknown = c1.post(CLIENTS, &token, json!({"displayName": "a", "labels": {}})).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (400, &json!(3)));
    assert!(unknown.body["message"].as_str().unwrap().contains("unknown field"));

    let snake = c1.post(CLIENTS, &token, json!({"display_name": "a", "scoped_roles": null, "expires": null})).await;
    assert_eq!(snake.body["client"]["displayName"], "a");
    assert_eq!(c1.post(CLIENTS, &token, Value::Null).await.status, 200);
    for wrong in [json!([]), json!("{"), json!({"displayName": 1})] {
        assert_eq!(c1.post(CLIENTS, &token, wrong).await.status, 400);
    }
    let item = format!("{CLIENTS}/{}", Simulator::bootstrap(&c1).id);
    assert_eq!(c1.call(Method::DELETE, &item, &token, json!({"force": true})).await.status, 400);
    assert_eq!(c1.call(Method::DELETE, &item, &token, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_body_beyond_four_mebibytes_is_too_large() {
    let c1 = Simulator::start(&[]);
    let name = "x".repeat(4 * 1024 * 1024);
    let reply = c1.post(CLIENTS, &c1.token().await, json!({"displayName": name})).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body["message"].as_str().unwrap().starts_with("request body too large"));
}

#[tokio::test]
async fn an_empty_id_is_redirected_to_the_collection() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let path = format!("{CLIENTS}/");
    let get = c1.get(&path, &token).await;
    assert_eq!((get.status, get.headers["location"].to_str().unwrap()), (301, CLIENTS));
    let delete = c1.delete(&path, &token).await;
    assert_eq!((delete.status, delete.headers["location"].to_str().unwrap()), (307, CLIENTS));
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let c1 = Simulator::start(&[]);
    let request = |end| format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {end}\r\n\r\n");
    let received = c1.raw(&(request("keep-alive") + &request("close"))).await;
    assert_eq!(received.matches("HTTP/1.1 404").count(), 2, "{received}");
}
