//! The rows of the decision table, one by one: what is found, and what is done.

use std::time::Duration;

use super::{
    super::*,
    case::{Case, live},
};
use crate::{
    api::{Expires, FINALIZER, IssuerRef, Reason, Rotation, RotationPolicy},
    c1::Client,
    plan::SecretView::Absent,
};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The object is another one than that for which the Secret was delivered.
fn left() -> Case {
    let mut case = Case::ready();
    case.o.object.status = None;
    case.o.object.metadata.annotations = None;
    case.delivered().owner.uid = "former".into();
    case
}

/// The Secret holds `client-1`, and status names none.
fn unrecorded() -> Case {
    let mut case = Case::ready();
    case.o.object.status = None;
    case
}

/// … or another one.
fn against_another() -> Case {
    let mut case = Case::ready();
    case.current().id = "client-0".into();
    case.status().secret_resource_version = None;
    case.listed().clear();
    case.inventory().complete = false;
    case
}

// Row 2

#[test]
fn what_a_task_works_on_is_left_to_it() {
    let mut case = Case::new();
    case.o.in_flight = true;
    assert_eq!(case.step(), Step::Nothing);
}

// Row 3

#[test]
fn a_finalizer_that_was_torn_off_is_put_back_where_there_is_a_client() {
    let mut ready = Case::ready();
    ready.o.object.metadata.finalizers = None;
    assert_eq!(ready.step(), Step::AddFinalizer);
    ready.o.object.metadata.finalizers = Some(vec!["another".into()]);
    assert_eq!(ready.step(), Step::AddFinalizer);
    ready.o.secret = Absent;
    ready.record(&Record::default());
    assert_eq!(ready.step(), Step::AddFinalizer, "status names a client");

    let mut unrecorded = unrecorded();
    unrecorded.o.object.metadata.finalizers = None;
    unrecorded.record(&Record::default());
    assert_eq!(unrecorded.step(), Step::AddFinalizer, "the Secret holds one");

    let mut begun = Case::new();
    begun.begun("a", MINUTE);
    assert_eq!(begun.step(), Step::AddFinalizer, "an attempt may have made one");
    assert!(matches!(Case::new().step(), Step::Issue(_)), "nothing is there");
}

// Row 4

#[test]
fn what_the_secret_holds_is_recorded() {
    let case = unrecorded();
    assert_eq!(case.recorded().as_deref(), Some("client-1"));
    assert_eq!(case.reason(), Reason::Issued.as_str());
}

#[test]
fn where_status_names_none_the_word_of_the_secret_is_enough() {
    let mut case = unrecorded();
    case.listed().clear();
    case.inventory().complete = false;
    assert_eq!(case.recorded().as_deref(), Some("client-1"));
}

#[test]
fn a_secret_is_recorded_only_intact_and_read() {
    let mut case = unrecorded();
    case.secret().content = Content::Unread;
    assert_eq!(case.step(), Step::Look(Look::Live));
    case.secret().content = Content::Altered;
    assert_eq!(case.recorded(), None);
}

#[test]
fn a_secret_of_an_abandoned_attempt_is_not_recorded() {
    let mut case = unrecorded();
    case.given_up(&["attempt1"]);
    assert_eq!(case.recorded(), None);
}

#[test]
fn of_an_earlier_spec_it_is_recorded_and_a_new_one_is_on_its_way() {
    let mut case = unrecorded();
    case.o.object.spec.expires = Some(Expires("1h".into()));
    assert_eq!(case.recorded().as_deref(), Some("client-1"));
    assert_eq!(case.reason(), Reason::Issuing.as_str());
}

#[test]
fn a_secret_whose_rendering_is_old_is_recorded_and_not_vouched_for() {
    let mut case = unrecorded();
    let version = |case: &Case| match case.step() {
        Step::UpdateStatus(status) => status.secret_resource_version,
        other => panic!("{other:?}"),
    };
    assert!(version(&case).is_some());
    case.secret().content = Content::Intact { rendered: false };
    assert_eq!(version(&case), None);
}

#[test]
fn against_another_current_client_it_must_be_shown() {
    let mut case = against_another();
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(live(true));
    assert_eq!(case.recorded().as_deref(), Some("client-1"));
    case.reads(live(false));
    assert_eq!(case.reason(), Reason::SecretLost.as_str(), "somebody took the marker away");
    case.reads(ClientRead::Gone);
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
}

#[test]
fn what_it_owes_an_end_gets_the_whole_overlap_and_what_retires_beside_it_stays() {
    let mut case = against_another();
    case.reads(live(true));
    let since = case.ago(2 * HOUR);
    let former = |case: &mut Case, id: &str| {
        let mut former = status::retiring(&case.current().clone(), since, HOUR);
        (former.id, former.attempt) = (id.into(), id.into());
        former
    };
    let (owed, beside) = (former(&mut case, "owed"), former(&mut case, "beside"));
    case.delivered().replaces = vec![owed.clone()];
    case.o.reads.insert("owed".into(), live(true));
    case.status().retiring = vec![owed, beside];
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    let mut retiring: Vec<_> = status.retiring.iter().map(|r| (r.id.as_str(), r.revoke_time.0)).collect();
    retiring.sort_unstable();
    // Written in whole seconds, and never shorter than promised.
    let rounded = HOUR + Duration::from_secs(1);
    let (over, whole) = (since + rounded, case.now + rounded);
    assert_eq!(retiring, [("beside", over), ("client-0", whole), ("owed", whole)]);
}

#[test]
fn against_another_current_client_a_young_one_is_waited_for() {
    let mut case = against_another();
    case.delivered().client.created_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.ago(MINUTE)));
    case.reads(ClientRead::Gone);
    let decision = case.plan();
    assert_eq!(decision.step, Step::Nothing);
    assert!(decision.wake.is_some_and(|wake| wake > case.now && wake < case.now + MINUTE));
}

/// C1 did not say when it was made: it was not before its attempt.
#[test]
fn how_young_it_is_the_record_tells_as_well() {
    let mut case = against_another();
    case.delivered().client.created_at = None;
    case.reads(ClientRead::Gone);
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
    case.begun("attempt1", MINUTE);
    assert_eq!(case.step(), Step::Nothing);
    case.begun("attempt1", HOUR);
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
    case.begun("another", MINUTE);
    assert_ne!(case.step(), Step::Nothing);
}

#[test]
fn against_another_current_client_the_issuer_is_waited_for() {
    let mut case = against_another();
    case.reads(live(true));
    case.issuer().identity = None;
    assert_eq!(case.step(), Step::Nothing);
    let mut case = against_another();
    case.reads(live(true));
    case.issuer().inventory = None;
    assert_eq!(case.step(), Step::Nothing);
}

#[test]
fn against_another_current_client_another_users_cannot_be_shown() {
    let mut case = against_another();
    case.reads(live(true));
    case.delivered().client.user_id = "former".into();
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
}

// Row 5

#[test]
fn a_secret_that_was_left_is_adopted_when_its_client_lives() {
    let mut case = left();
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(live(true));
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(
        status.secret_name.as_deref(),
        Some("deployer"),
        "whoever renames its Secret from now on must not lose it"
    );
    case.o.object.status = Some(*status);
    assert!(matches!(case.step(), Step::Claim(_)));
    case.o.object.metadata.finalizers = None;
    assert_eq!(case.step(), Step::AddFinalizer, "who deletes the object from now on must find us waiting");
    case.o.object.metadata.finalizers = Some(vec![FINALIZER.into()]);
    case.secret().content = Content::Unread;
    assert_eq!(case.step(), Step::Look(Look::Live));
}

#[test]
fn a_secret_that_was_left_is_overwritten_when_nothing_lives_in_it() {
    let issued = |change: fn(&mut Case)| {
        let mut case = left();
        case.reads(live(true));
        change(&mut case);
        let step = case.issue();
        assert!(step.secret.is_some() && step.replaces.is_none());
    };
    issued(|case| case.reads(ClientRead::Gone));
    issued(|case| case.reads(live(false)));
    issued(|case| case.secret().content = Content::Altered);
    issued(|case| case.delivered().client.host = "another".into());
    issued(|case| case.delivered().client.user_id = "another".into());
    issued(|case| {
        let past = case.ago(MINUTE);
        case.delivered().client.expires_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(past));
    });
    issued(|case| case.given_up(&["attempt1"]));
}

#[test]
fn a_secret_that_was_left_is_no_credential_of_an_object_that_had_one() {
    let mut case = Case::ready();
    case.delivered().owner.uid = "former".into();
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
}

// Rows 6 to 9

fn begun(ago: Duration) -> Case {
    let mut case = Case::new();
    case.o.object.metadata.finalizers = Some(vec![FINALIZER.into()]);
    case.begun("a", ago);
    case
}

#[test]
fn a_young_attempt_is_waited_for() {
    let case = begun(MINUTE);
    let decision = case.plan();
    assert_eq!(case.reason(), Reason::Issuing.as_str());
    // Budget and grace are three minutes.
    assert_eq!(decision.wake, Some(case.now + 2 * MINUTE));
    let mut ready = Case::ready();
    ready.begun("a", MINUTE);
    assert_eq!(ready.step(), Step::Nothing, "what works goes on being Ready");
    ready.o.object.metadata.generation = Some(2);
    assert_eq!(ready.reason(), Reason::Issuing.as_str(), "what is asked for since does not");
}

#[test]
fn an_attempt_is_old_by_what_was_seen_of_it_or_by_its_start() {
    let mut case = begun(MINUTE);
    // Two minutes of budget, and six of skew.
    case.begun("a", 8 * MINUTE);
    case.o.open_seen = Duration::ZERO;
    assert_eq!(case.plan().wake, None);
    case.begun("a", Duration::from_secs(8 * 60 - 1));
    case.o.open_seen = Duration::ZERO;
    assert_eq!(case.plan().wake, Some(case.now + Duration::from_secs(1)));
    // A clock that is off, or was, tells nothing.
    case.issuer().clock_off = true;
    assert_eq!(case.plan().wake, Some(case.now + 3 * MINUTE));
    let mut future = begun(MINUTE);
    let ahead = future.now + HOUR;
    let mut record = future.recorded_attempts();
    record.open.as_mut().unwrap().started_at = ahead;
    future.record(&record);
    future.o.open_seen = 3 * MINUTE;
    assert_eq!(future.plan().wake, None);
}

#[test]
fn an_old_attempt_is_judged_by_a_list_that_began_later() {
    let mut case = begun(HOUR);
    // Of its hour it was young for three minutes.
    case.inventory().began_ago = 57 * MINUTE;
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.inventory().began_ago = 56 * MINUTE;
    assert!(matches!(case.step(), Step::Issue(_)));
    case.issuer().inventory = None;
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.issuer().identity = None;
    case.issuer().not_ready = Some((Reason::Unreachable, "no answer".into()));
    assert_eq!(case.reason(), Reason::IssuerNotReady.as_str());
}

#[test]
fn a_client_that_nobody_used_is_abandoned() {
    let mut case = begun(HOUR);
    case.lists("made", "a");
    let Step::Abandon(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!((step.attempt.as_str(), step.client_id.as_str(), step.burn), ("a", "made", true));
    assert_eq!(step.owner, marker::owner("c", "ci", "deployer"));
}

#[test]
fn a_client_that_was_used_is_left_to_people() {
    let mut case = begun(HOUR);
    let now = case.now;
    case.lists("made", "a").last_used_at = Some(now);
    let left = |case: &Case| {
        let record = case.issue().record;
        assert_eq!(record.open.as_ref().unwrap().attempt, case.o.fresh_attempt);
        assert!(!Record { open: None, ..record }.is_abandoned("a"));
    };
    left(&case);
    // Of a list and a read either may lag behind the other.
    let used = case.listed().last_mut().unwrap().clone();
    let unused = Client { last_used_at: None, ..used.clone() };
    for (listed, read, is_used) in [(&used, &unused, true), (&unused, &used, true), (&unused, &unused, false)] {
        case.listed().last_mut().unwrap().clone_from(listed);
        case.o.reads.insert("made".into(), ClientRead::Live(Box::new(read.clone())));
        if is_used {
            left(&case);
        } else {
            assert!(matches!(case.step(), Step::Abandon(_)));
        }
    }
}

#[test]
fn an_attempt_that_made_nothing_is_given_up_with_the_next() {
    let mut case = begun(HOUR);
    let record = case.issue().record;
    assert!(record.is_abandoned("a"), "a late create must be known");
    case.o.unsent = Some("a".into());
    let again = case.issue();
    assert_eq!(again.attempt, "a", "for which nothing was sent is tried again");
    assert!(!again.record.is_abandoned("a"));
    let given_up = case.recorded_attempts().giving_up(&"a".into(), &IssuerRef::default(), case.now);
    case.record(&given_up);
    assert_eq!(case.issue().attempt, case.o.fresh_attempt, "unless somebody gave it up");
    case.record(&Record::default());
    assert_eq!(case.issue().attempt, case.o.fresh_attempt, "or destroyed the record, which may have said so");
}

#[test]
fn three_attempts_may_stay_unproven() {
    let mut case = begun(HOUR);
    case.inventory().complete = false;
    case.given_up(&["x", "y"]);
    assert!(case.issue().record.is_abandoned("a"));
    case.given_up(&["x", "y", "z"]);
    assert_eq!(case.reason(), Reason::InventoryIncomplete.as_str());
    // What another user made is not shown to this one, ever.
    let mut record = case.recorded_attempts();
    record.open.as_mut().unwrap().user_id = "another".into();
    case.record(&record);
    assert!(matches!(case.step(), Step::Issue(_)));
}

#[test]
fn an_attempt_that_is_carried_is_closed() {
    let mut case = Case::ready();
    for attempt in ["attempt1", "former"] {
        case.begun(attempt, MINUTE);
        let mut former = status::retiring(&case.current().clone(), case.now, HOUR);
        (former.id, former.attempt) = ("client-0".into(), "former".into());
        case.status().retiring = vec![former];
        assert_eq!(case.step(), Step::Nothing, "{attempt}");
        assert!(case.plan().wake.is_some_and(|wake| wake > case.now + 3 * MINUTE), "{attempt}");
    }
}

// Row 10

#[test]
fn strays_go_by_the_record_and_no_others() {
    let mut case = Case::ready();
    case.lists("clone", "nobodys");
    assert_eq!(case.step(), Step::Nothing, "nobody asked for it");
    case.given_up(&["gone"]);
    case.lists("stray", "gone");
    let Step::Abandon(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!((step.client_id.as_str(), step.burn), ("stray", false));
    case.issuer().identity = None;
    assert!(!matches!(case.step(), Step::Abandon(_)), "nobody can delete it");
}

#[test]
fn the_second_of_a_known_attempt_is_a_stray() {
    let mut case = Case::ready();
    case.lists("twin", "attempt1");
    assert!(matches!(case.step(), Step::Abandon(step) if step.client_id == "twin"));
    let mut retiring = status::retiring(&case.current().clone(), case.now, HOUR);
    (retiring.id, retiring.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![retiring];
    case.listed().pop();
    case.lists("client-0", "former");
    assert_eq!(case.step(), Step::Nothing, "it retires");
    case.lists("twin", "former");
    assert!(matches!(case.step(), Step::Abandon(step) if step.client_id == "twin"));
}

// Row 11

fn retiring() -> Case {
    let mut case = Case::ready();
    let mut former = status::retiring(&case.current().clone(), case.ago(2 * HOUR), HOUR);
    (former.id, former.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![former];
    case.lists("client-0", "former");
    case
}

#[test]
fn a_retiring_client_goes_when_its_overlap_is_over() {
    let mut case = retiring();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    case.status().retiring[0].revoke_time.0 = case.now + MINUTE;
    let decision = case.plan();
    assert_eq!((decision.step, decision.wake), (Step::Nothing, Some(case.now + MINUTE)));
}

#[test]
fn a_retiring_client_stays_while_the_clock_is_off_or_it_cannot_be_deleted() {
    let stays = |change: fn(&mut Case)| {
        let mut case = retiring();
        change(&mut case);
        assert!(!matches!(case.step(), Step::Revoke(_) | Step::Strike(_)), "{:?}", case.step());
    };
    stays(|case| case.issuer().clock_off = true);
    stays(|case| case.issuer().identity = None);
    stays(|case| case.status().retiring[0].host = "another".into());
    stays(|case| case.status().retiring[0].user_id = "another".into());
    stays(|case| case.status().retiring[0].since.0 = case.ago(MINUTE));
    stays(|case| case.status().retiring[0].id = "client-1".into());
}

#[test]
fn a_retiring_client_without_marker_is_struck_and_one_not_listed_is_read() {
    let mut case = retiring();
    case.listed().last_mut().unwrap().display_name = "renamed".into();
    assert_eq!(case.step(), Step::Strike("client-0".into()));
    case.listed().pop();
    assert_eq!(case.step(), Step::Look(Look::Client("client-0".into())));
    case.o.reads.insert("client-0".into(), ClientRead::Gone);
    assert_eq!(case.step(), Step::Revoke("client-0".into()), "deleting it again does no harm");
}

#[test]
fn before_a_retiring_client_goes_a_list_has_shown_its_twin() {
    let mut case = retiring();
    // Settled ten minutes after it was replaced.
    let settled = case.status().retiring[0].since.0 + 10 * MINUTE;
    case.inventory().began = settled;
    case.o.reads.insert("client-0".into(), live(true));
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    case.inventory().began = settled - Duration::from_secs(1);
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(case.step(), Step::Revoke("client-0".into()), "there is no younger one");
}

#[test]
fn a_retiring_client_that_waits_does_not_keep_anybody_awake() {
    let mut case = retiring();
    case.status().retiring[0].revoke_time.0 = case.now;
    case.status().retiring[0].user_id = "another".into();
    assert_eq!((case.step(), case.plan().wake), (Step::Nothing, None), "nobody can delete it");
    case.status().retiring[0].user_id = "user".into();
    case.status().retiring[0].since.0 = case.ago(MINUTE);
    let settled = case.now + 9 * MINUTE;
    assert_eq!((case.step(), case.plan().wake), (Step::Nothing, Some(settled)), "C1 may not show its twin yet");
}

/// What a refused delete leaves is not waited for, until there is too much of it.
#[test]
fn after_a_refused_delete_the_present_comes_first() {
    let mut case = retiring();
    case.o.undeleted = ["client-0".to_owned()].into();
    assert_eq!(case.step(), Step::Revoke("client-0".into()), "there is nothing else to do");
    case.o.object.spec.expires = Some(Expires("1h".into()));
    assert!(matches!(case.step(), Step::Issue(_)));
    case.o.undeleted.clear();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
}

// Row 13 and rest

#[test]
fn the_template_is_rendered_anew_where_it_is_not_what_is_there() {
    let mut case = Case::ready();
    case.secret().content = Content::Intact { rendered: false };
    assert!(matches!(case.step(), Step::Render(_)));
    case.secret().content = Content::Unread;
    assert_eq!(case.step(), Step::Nothing, "status vouches for it");
    case.delivered().template.digest = "of another".into();
    assert_eq!(case.step(), Step::Look(Look::Live));
}

#[test]
fn past_its_lifetime_it_is_said_to_be() {
    let mut case = Case::ready();
    case.o.object.spec.rotation = Some(Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    let (past, ahead) = (case.ago(MINUTE), case.now + MINUTE);
    case.expires(past);
    assert_eq!(case.reason(), Reason::Expired.as_str());
    case.issuer().clock_off = true;
    assert_eq!(case.step(), Step::Nothing);
    let now = case.now;
    case.expires(now);
    assert_eq!(case.plan().wake, None, "nothing changes then: to wake now would be to wake for ever");
    case.issuer().clock_off = false;
    case.expires(ahead);
    let decision = case.plan();
    assert_eq!((decision.step, decision.wake), (Step::Nothing, Some(ahead)));
}

#[test]
fn ready_is_said_again_when_it_is_shown_to_work() {
    let mut case = Case::ready();
    let (generation, now) = (case.status().observed_generation, case.now);
    let said = status::not_ready(case.status(), Reason::Throttled, "m", generation, now);
    case.o.object.status = Some(said);
    assert_eq!(case.reason(), Reason::Issued.as_str());
    let past = case.ago(MINUTE);
    case.expires(past);
    case.issuer().clock_off = true;
    assert_eq!(case.step(), Step::Nothing, "it may be past its lifetime");
    let mut unproven = Case::ready();
    unproven.o.object.status = case.o.object.status.clone();
    unproven.current().expires_time = None;
    unproven.listed().clear();
    unproven.inventory().complete = false;
    assert_eq!(unproven.step(), Step::Nothing, "nothing shows that it lives");
}
