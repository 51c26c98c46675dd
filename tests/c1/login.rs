//! The token, and whom a session trusts.

use c1_operator::{
    api::Reason,
    c1::{Auth, Certainty, ErrorKind, Session},
};
use futures::future::join_all;
use serde_json::json;

use crate::bed::{Bed, request, status};

#[tokio::test]
async fn all_calls_share_one_token() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    for who in join_all((0..8).map(|_| session.user_id())).await {
        assert_eq!(who.unwrap(), bed.c1.user_id);
    }
    assert_eq!(bed.asked("token").await, 1);
}

#[tokio::test]
async fn a_token_that_has_died_is_got_anew_once() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    session.user_id().await.unwrap();
    bed.c1.revoke_tokens().await;
    session.create(&request("after")).await.unwrap();
    assert_eq!(bed.asked("token").await, 2);
    assert_eq!(bed.c1.live().await.len(), 1, "a refused token has no effect");

    bed.c1.reset_requests().await;
    bed.fault(json!({"operation": "introspect", "fault": {"kind": "tokenRefused"}})).await;
    let error = session.user_id().await.unwrap_err();
    assert_eq!(status(&error.kind), Some(401));
    assert_eq!(error.reason(), Reason::Unauthorized);
    assert_eq!((bed.asked("introspect").await, bed.asked("token").await), (2, 1));
}

#[tokio::test]
async fn a_refused_login_is_about_the_credentials_and_has_no_effect() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    bed.fault(json!({"operation": "token", "fault": {"kind": "tokenRefused"}})).await;
    let error = session.create(&request("no")).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Login(why) if status(why) == Some(401)), "{error:?}");
    assert_eq!((error.reason(), error.certainty()), (Reason::Unauthorized, Certainty::NoEffect));
    assert_eq!(bed.asked("create").await, 0);
}

#[tokio::test]
async fn a_ready_token_is_used_as_it_is() {
    let bed = Bed::new(&[]).await;
    let token = bed.c1.token(&bed.c1.client_id, &bed.c1.client_secret).await.unwrap();
    bed.c1.reset_requests().await;
    let session = bed.session_with(|settings| settings.auth = Auth::Bearer(token.into()));
    assert_eq!(session.user_id().await.unwrap(), bed.c1.user_id);
    bed.c1.revoke_tokens().await;
    assert_eq!(status(&session.user_id().await.unwrap_err().kind), Some(401));
    assert_eq!((bed.asked("introspect").await, bed.asked("token").await), (2, 0), "there is no other");
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_not_sent() {
    let bed = Bed::new(&[]).await;
    let session = bed.session_with(|settings| settings.auth = Auth::Bearer("two\nlines".into()));
    let error = session.user_id().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Credentials(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("lines"));
}

#[tokio::test]
async fn one_login_is_told_from_another() {
    let bed = Bed::new(&[]).await;
    let session = bed.session();
    assert!(session.is_login(&bed.oauth()));
    let other = Auth::OAuth { client_id: bed.c1.client_id.clone(), secret: "another".into() };
    assert!(!session.is_login(&other));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_not_trusted() {
    let (bed, other) = (Bed::new(&[]).await, Bed::new(&[]).await);
    let session = bed.session_with(|settings| settings.ca = other.settings().ca);
    let error = session.create(&request("no")).await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::NoEffect);
    assert_eq!(error.kind.for_condition(), "login: its certificate is not trusted");
    // Nor is it by the system.
    let session = bed.session_with(|settings| settings.ca = None);
    assert_eq!(session.user_id().await.unwrap_err().reason(), Reason::Unreachable);
    assert_eq!(bed.c1.requests().await.len(), 0);
}

#[tokio::test]
async fn certificates_and_credentials_that_cannot_be_used_make_no_session() {
    let bed = Bed::new(&[]).await;
    let refused = |change: fn(&mut c1_operator::c1::Settings)| {
        let mut settings = bed.settings();
        change(&mut settings);
        Session::new(settings).err().expect("no session").to_string()
    };
    assert!(refused(|s| s.ca = Some(vec![])).starts_with("caBundle: "));
    assert!(
        refused(|s| s.ca = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()))
            .contains("caBundle")
    );
    let elsewhere = refused(|s| s.host = "another.conductor.one".into());
    assert!(elsewhere.contains("not to another.conductor.one"), "{elsewhere}");
}

/// The secret must not travel in the clear, whatever an address says.
#[tokio::test]
async fn nothing_is_sent_without_tls() {
    let bed = Bed::new(&[]).await;
    let session = bed.session_with(|settings| settings.base = settings.base.replace("https:", "http:"));
    session.user_id().await.unwrap_err();
    assert_eq!(bed.c1.requests().await.len(), 0);
}
