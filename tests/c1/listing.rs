//! All clients of the user, and whether they really are all.

use c1_operator::c1::{ErrorKind, Listing};
use serde_json::json;

use crate::bed::{Bed, status};

fn names(listing: &Listing) -> Vec<&str> {
    let mut names: Vec<&str> =
        listing.clients.iter().map(|c| c.display_name.as_str()).filter(|n| n.starts_with("client ")).collect();
    names.sort_unstable();
    names
}

async fn clients(bed: &Bed, user: &str, count: usize) {
    for n in 0..count {
        bed.c1.create_client(json!({"userId": user, "displayName": format!("client {n:03}")})).await;
    }
}

#[tokio::test]
async fn a_list_shows_the_users_clients_and_no_others() {
    let bed = Bed::new(&[]).await;
    let other = bed.c1.create_user().await;
    clients(&bed, &bed.c1.user_id, 3).await;
    bed.c1.create_client(json!({"userId": other.user_id, "displayName": "client of another"})).await;
    let listing = bed.session().list().await.unwrap();
    assert!(listing.complete);
    assert_eq!(names(&listing), ["client 000", "client 001", "client 002"]);
    assert_eq!(bed.asked("search").await, 0);
}

#[tokio::test]
async fn a_list_that_comes_in_pages_is_read_to_its_end() {
    let bed = Bed::new(&[]).await;
    bed.c1.switches(json!({"listPaging": "page"})).await;
    clients(&bed, &bed.c1.user_id, 250).await;
    let listing = bed.session().list().await.unwrap();
    assert!(listing.complete);
    assert_eq!(names(&listing).len(), 250);
    assert_eq!((bed.asked("list").await, bed.asked("search").await), (3, 0), "a hundred at a time");
}

#[tokio::test]
async fn a_list_that_never_ends_is_completed_by_the_search_for_the_users_own() {
    let bed = Bed::new(&[]).await;
    bed.c1.switches(json!({"listPaging": "gap"})).await;
    let other = bed.c1.create_user().await;
    clients(&bed, &other.user_id, 5).await;
    clients(&bed, &bed.c1.user_id, 150).await;
    let listing = bed.session().list().await.unwrap();
    assert!(listing.complete);
    assert_eq!(names(&listing).len(), 150);
    assert!(listing.clients.iter().all(|c| c.user_id == bed.c1.user_id));
    assert_eq!(bed.asked("search").await, 2);
}

#[tokio::test]
async fn a_list_that_nothing_completes_says_so() {
    let bed = Bed::new(&[]).await;
    bed.c1.switches(json!({"listPaging": "gap"})).await;
    clients(&bed, &bed.c1.user_id, 60).await;
    let session = bed.session();
    for refusal in [403, 404, 501] {
        bed.fault(json!({"operation": "search", "fault": {"kind": "status", "status": refusal, "when": "before"}}))
            .await;
        let listing = session.list().await.unwrap();
        assert!(!listing.complete, "{refusal}");
        assert!(!listing.clients.is_empty() && names(&listing).len() < 60);
    }
    for failure in [408, 425, 429, 500, 502, 503] {
        bed.fault(json!({"operation": "search", "fault": {"kind": "status", "status": failure, "when": "before", "retryAfter": "0"}}))
            .await;
        assert_eq!(status(&session.list().await.err().unwrap().kind), Some(failure), "it may work the next time");
    }
}

/// Nobody is there whose clients the search could be asked for: then C1 is asked who we are.
#[tokio::test]
async fn a_list_that_is_empty_and_never_ends_is_completed_as_well() {
    let bed = Bed::new(&[]).await;
    bed.c1.switches(json!({"listPaging": "gap"})).await;
    bed.fault(json!({"operation": "list", "fault": {"kind": "lagList", "seconds": 600}})).await;
    clients(&bed, &bed.c1.user_id, 3).await;
    let listing = bed.session().list().await.unwrap();
    assert!(listing.complete);
    assert_eq!(names(&listing).len(), 3);
    assert_eq!(bed.asked("introspect").await, 1);
}

#[tokio::test]
async fn a_page_that_does_not_come_is_an_error() {
    let bed = Bed::new(&[]).await;
    bed.c1.switches(json!({"listPaging": "page"})).await;
    clients(&bed, &bed.c1.user_id, 250).await;
    let cut = json!({"operation": "list", "nth": 2, "fault": {"kind": "cut", "when": "before"}});
    bed.fault(cut).await;
    let error = bed.session().list().await.err().unwrap();
    assert!(matches!(error.kind, ErrorKind::Transport(_)), "{error:?}");
}
