//! List and search: rows 23 and 24.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, SEARCH, Simulator};

async fn fill(c1: &Simulator, token: &str, count: usize) {
    for n in 0..count {
        c1.create(token, json!({"displayName": format!("Key {n}")})).await;
    }
}

fn rows(page: &Value) -> usize {
    page["list"].as_array().unwrap().len()
}

#[tokio::test]
async fn list_shows_ones_own_on_one_page_whatever_is_asked() {
    let c1 = Simulator::start(&[]);
    c1.user(json!(["system:user"])).await;
    let token = c1.token().await;
    fill(&c1, &token, 29).await;
    let page = c1.get(&format!("{CLIENTS}?page_size=10&page_token=zzz&nonsense=1"), &token).await.body;
    assert_eq!((rows(&page), &page["nextPageToken"]), (30, &json!("")));
    assert!(page["list"].as_array().unwrap().iter().all(|client| client["userId"] == c1.text("userId")));
}

#[tokio::test]
async fn list_with_the_gap_is_never_complete() {
    let c1 = Simulator::start(&["--list-paging", "gap"]);
    let token = c1.token().await;
    fill(&c1, &token, 29).await;
    let first = c1.get(CLIENTS, &token).await.body;
    let next = first["nextPageToken"].as_str().unwrap();
    assert!(rows(&first) == 25 && !next.is_empty());
    assert_eq!(c1.get(&format!("{CLIENTS}?page_token={next}"), &token).await.body, first);
}

#[tokio::test]
async fn list_that_pages_shows_everything_once() {
    let c1 = Simulator::start(&["--list-paging=page"]);
    let token = c1.token().await;
    fill(&c1, &token, 29).await;
    let first = c1.get(CLIENTS, &token).await.body;
    let next = first["nextPageToken"].as_str().unwrap();
    let second = c1.get(&format!("{CLIENTS}?page_size=25&page_token={next}"), &token).await.body;
    assert_eq!((rows(&first), rows(&second), &second["nextPageToken"]), (25, 5, &json!("")));
    assert_eq!(c1.get(&format!("{CLIENTS}?page_size=-1"), &token).await.status, 400);
    assert_eq!(c1.get(&format!("{CLIENTS}?page_token=zzz"), &token).await.status, 400);
}

#[tokio::test]
async fn search_pages_over_all_users_and_filters() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let (user, _) = c1.user(json!(["system:user"])).await;
    fill(&c1, &token, 12).await;
    let search = async |body| c1.post(SEARCH, &token, body).await.body;

    let first = search(json!({"pageSize": 3})).await;
    let second = search(json!({"page_size": 3, "page_token": first["nextPageToken"]})).await;
    assert_eq!((rows(&first), rows(&second)), (10, 4), "sizes below ten are raised to ten");
    assert_eq!(rows(&search(json!({"query": "kEY 1"})).await), 3);
    let theirs = search(json!({"users": [{"id": user["userId"]}]})).await;
    assert_eq!((rows(&theirs), &theirs["list"][0]["userId"]), (1, &user["userId"]));
    assert_eq!(c1.post(SEARCH, &token, json!({"pageSize": -1})).await.status, 400);
}

#[tokio::test]
async fn a_delete_between_two_pages_hides_no_client() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    fill(&c1, &token, 19).await;
    let first = c1.post(SEARCH, &token, json!({"pageSize": 10})).await.body;
    let id = first["list"][3]["id"].as_str().unwrap();
    c1.call(Method::DELETE, &format!("{CLIENTS}/{id}"), &token, Value::Null).await;
    let second = c1.post(SEARCH, &token, json!({"pageSize": 10, "pageToken": first["nextPageToken"]})).await.body;
    assert_eq!(rows(&second), 10);
}
