//! Create, get, list, change, delete, as they should go.

use std::time::Duration;

use c1_operator::c1::{CreateRequest, Field, UpdateRequest};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::bed::{Bed, made, status};

#[tokio::test]
async fn a_client_is_made_as_asked_and_its_secret_lets_in() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let roles = session.role_ids(&["system:viewer".into()]).await.unwrap().unwrap();
    let request = CreateRequest {
        display_name: "one [k8s c/n/o a]".into(),
        expires: Some(Duration::from_hours(2)),
        scoped_roles: roles.clone(),
        allow_source_cidr: vec!["127.0.0.0/8".into()],
    };
    let made = session.create(&request).await.unwrap();
    assert!(bed.c1.login_secret(&made.client.client_id, made.secret.expose_secret()).await);

    let there = bed.c1.client(&made.client.id).await.unwrap();
    assert_eq!(there.display_name, "one [k8s c/n/o a]");
    assert_eq!(there.scoped_roles, roles);
    assert_eq!(there.allow_source_cidr, ["127.0.0.0/8"]);
    assert_eq!(there.expires_time.unwrap().duration_since(there.created_at).as_secs(), 7200);
    assert_eq!(made.client.expires_time, there.expires_time);
    assert_eq!(made.client.user_id, session.user_id().await.unwrap());
}

#[tokio::test]
async fn a_deleted_client_is_neither_read_nor_listed() {
    for after in ["404", "deletedAt"] {
        let bed = Bed::new(&[]).await;
        bed.c1.switches(json!({"getAfterDelete": after})).await;
        let session = bed.session();
        let id = made(&session, "one").await.client.id;
        assert_eq!(session.get(&id).await.unwrap().unwrap().display_name, "one");
        assert!(session.list().await.unwrap().clients.iter().any(|c| c.id == id));

        assert!(session.delete(&id).await.unwrap());
        assert!(!session.delete(&id).await.unwrap(), "there was none any more");
        assert_eq!(session.get(&id).await.unwrap(), None, "{after}");
        assert!(session.list().await.unwrap().clients.iter().all(|c| c.id != id));
    }
}

#[tokio::test]
async fn a_client_is_changed_in_place_as_far_as_is_asked() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let before = made(&session, "one").await.client;
    let change = |id: &str, fields: &[Field]| UpdateRequest {
        id: id.into(),
        fields: fields.to_vec(),
        display_name: "two".into(),
        scoped_roles: vec![],
        allow_source_cidr: vec!["127.0.0.0/8".into()],
    };
    let after = session.update(&change(&before.id, &[Field::DisplayName])).await.unwrap().unwrap();
    assert_eq!((&after.id, after.display_name.as_str()), (&before.id, "two"));
    assert_eq!(after.allow_source_cidr, before.allow_source_cidr, "that was not asked for");
    assert_eq!(session.get(&before.id).await.unwrap(), Some(after), "what is answered is what there is");
    let after = session.update(&change(&before.id, &[Field::AllowSourceCidr])).await.unwrap().unwrap();
    assert_eq!(after.allow_source_cidr, ["127.0.0.0/8"]);
    session.delete(&before.id).await.unwrap();
    assert_eq!(session.update(&change(&before.id, &[Field::DisplayName])).await.unwrap(), None);
    let other = made(&session, "other").await.client.id;
    bed.fault(json!({"operation": "update", "fault": {"kind": "status", "status": 403, "when": "before"}})).await;
    let refused = session.update(&change(&other, &[Field::DisplayName])).await.unwrap_err();
    assert_eq!(status(&refused.kind), Some(403));
}

#[tokio::test]
async fn what_cannot_be_read_or_deleted_is_an_error() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    let id = made(&session, "one").await.client.id;
    bed.fault(json!({"operation": "*", "fault": {"kind": "status", "status": 403, "when": "before"}})).await;
    assert_eq!(status(&session.get(&id).await.unwrap_err().kind), Some(403));
    assert_eq!(status(&session.delete(&id).await.unwrap_err().kind), Some(403));
}

/// C1 redirects the path of an empty id to that of all clients.
#[tokio::test]
async fn an_id_that_would_be_another_path_is_not_sent() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    for id in ["", ".", "..", "a/b", "a?b", "a%2fb", "ä", "a b"] {
        assert!(session.delete(id).await.is_err(), "{id:?}");
        assert!(session.get(id).await.is_err(), "{id:?}");
    }
    assert_eq!(bed.c1.requests().await.len(), 0);
    assert!(!session.delete("plain-name_1").await.unwrap());
}

#[tokio::test]
async fn a_session_says_with_whom_it_talks() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    assert_eq!((session.host(), session.base()), (bed.c1.host.as_str(), bed.c1.url.as_str()));
}

#[tokio::test]
async fn every_call_is_counted_with_its_status() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    session.user_id().await.unwrap();
    assert_eq!(bed.told.take(), [("token", 200), ("introspect", 200)]);
    bed.fault(json!({"operation": "list", "fault": {"kind": "cut", "when": "before"}})).await;
    session.list().await.err().unwrap();
    assert_eq!(bed.told.take(), [("list", 0)]);
    assert!(!session.delete("nobody-1").await.unwrap());
    assert_eq!(bed.told.take(), [("delete", 404)]);
}

#[tokio::test]
async fn how_far_c1s_clock_is_from_ours_is_known_from_its_last_answer() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    assert_eq!(session.clock_skew(), Duration::ZERO, "nothing is known yet");
    session.user_id().await.unwrap();
    assert!(session.clock_skew() < Duration::from_secs(10));
    bed.c1.advance_clock(200).await;
    session.user_id().await.unwrap();
    let skew = session.clock_skew();
    assert!(Duration::from_secs(190) < skew && skew < Duration::from_secs(210), "{skew:?}");
}
