//! Roles by name and by id.

use serde_json::json;

use crate::bed::{Bed, status};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[tokio::test]
async fn roles_are_found_by_name_and_by_id_and_keep_their_order() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let ids = session.role_ids(&names(&["system:viewer", "system:user"])).await.unwrap().unwrap();
    assert_ne!(ids[0], ids[1]);
    let again = session.role_ids(&[ids[1].clone(), "system:viewer".into()]).await.unwrap().unwrap();
    assert_eq!(again, [ids[1].clone(), ids[0].clone()]);
    let pages = bed.asked("roles").await;
    session.role_ids(&ids).await.unwrap().unwrap();
    assert_eq!(bed.asked("roles").await, pages, "what is known is not asked for");
}

#[tokio::test]
async fn no_roles_need_no_question() {
    let bed = Bed::new(&[]).await;
    assert_eq!(bed.session().role_ids(&[]).await.unwrap(), Ok(vec![]));
    assert_eq!(bed.c1.requests().await.len(), 0);
}

#[tokio::test]
async fn a_role_that_is_not_there_is_named_and_not_looked_up_at_once_again() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let wanted = names(&["system:viewer", "nobody", "nothing"]);
    assert_eq!(session.role_ids(&wanted).await.unwrap(), Err("nobody".into()));
    let pages = bed.asked("roles").await;
    assert_eq!(session.role_ids(&wanted).await.unwrap(), Err("nobody".into()));
    assert_eq!(bed.asked("roles").await, pages);
}

#[tokio::test]
async fn roles_that_cannot_be_read_are_an_error() {
    let bed = Bed::new(&[]).await;
    bed.fault(json!({"operation": "roles", "fault": {"kind": "status", "status": 503, "when": "before"}})).await;
    let error = bed.session().role_ids(&names(&["system:viewer"])).await.unwrap_err();
    assert_eq!(status(&error.kind), Some(503));
}
