//! What the record of attempts remembers, and for which clients an object answers.

use std::time::Duration;

use super::{super::*, case::Case};
use crate::{api::IssuerRef, c1::Client};

const HOUR: Duration = Duration::from_hours(1);
const SIX_DAYS: Duration = Duration::from_hours(6 * 24);
const WEEK: Duration = Duration::from_hours(7 * 24);

#[test]
fn an_object_answers_for_what_it_began_gave_up_or_names() {
    let mut case = Case::ready();
    let mut former = status::retiring(&case.current().clone(), case.now, HOUR);
    (former.id, former.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![former];
    case.begun("open", HOUR);
    case.given_up(&["given-up"]);
    let answers = |id: &str, attempt: &str, used: bool| {
        let last_used_at = used.then_some(case.now);
        claims(&case.o.object, &Client { id: id.into(), last_used_at, ..Client::default() }, attempt)
    };
    for used in [false, true] {
        assert!(answers("x", "given-up", used));
        assert!(answers("client-1", "x", used) && answers("x", "attempt1", used), "current");
        assert!(answers("client-0", "x", used) && answers("x", "former", used), "it retires");
        assert!(!answers("x", "x", used));
    }
    assert!(answers("x", "open", false));
    assert!(!answers("x", "open", true), "somebody has its secret: it will not be abandoned");
}

#[test]
fn what_was_given_up_is_remembered_for_a_week() {
    let mut case = Case::new();
    case.given_up(&["old"]);
    let (record, since) = (case.recorded_attempts(), case.now);
    for (ago, remembered) in [(SIX_DAYS, true), (WEEK, false)] {
        assert_eq!(record.lately(since + ago).count(), usize::from(remembered));
        assert_eq!(record.giving_up(&"new".into(), &IssuerRef::default(), since + ago).is_abandoned("old"), remembered);
    }
}

#[test]
fn what_is_recorded_names_the_secret_and_its_version() {
    let mut case = Case::ready();
    let client = case.current().clone();
    let recorded = status::record(&crate::api::PersonalClientStatus::default(), &client, "name", "7", None);
    assert_eq!(
        (recorded.secret_name.as_deref(), recorded.secret_resource_version.as_deref()),
        (Some("name"), Some("7"))
    );
    assert_eq!(recorded.client, Some(client));
}
