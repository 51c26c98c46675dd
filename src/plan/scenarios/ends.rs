//! Row 1: what a removal finds, and what it waits for.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::*,
    case::{Case, live},
};
use crate::api::{ABANDON_ANNOTATION, DeletionPolicy, FINALIZER, IssuerRef, Reason};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Deleted a moment ago; it had been Ready for an hour.
fn deleted() -> Case {
    let mut case = Case::ready();
    case.o.object.metadata.deletion_timestamp = Some(Time(case.now));
    case
}

/// … and asked for Secret and client to stay.
fn retained() -> Case {
    let mut case = deleted();
    case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    case
}

fn removal(case: &Case) -> RemoveStep {
    match case.step() {
        Step::Remove(step) => step,
        other => panic!("it is not let go, but {other:?}"),
    }
}

fn victims(case: &Case) -> Vec<(String, bool)> {
    removal(case).victims.into_iter().map(|v| (v.id, v.young)).collect()
}

fn ids(case: &Case) -> Vec<String> {
    victims(case).into_iter().map(|(id, _)| id).collect()
}

fn retiring(case: &mut Case, id: &str, since: Duration) {
    let mut former = status::retiring(&case.current().clone(), case.ago(since), HOUR);
    (former.id, former.attempt) = (id.into(), format!("attempt{id}"));
    case.status().retiring.push(former);
}

#[test]
fn what_is_not_ours_to_end_or_was_not_read_is_left() {
    let step = |change: fn(&mut Case)| {
        let mut case = deleted();
        change(&mut case);
        case.plan()
    };
    assert_eq!(step(|case| case.o.object.metadata.finalizers = None).step, Step::Nothing);
    assert_eq!(step(|case| case.o.in_flight = true).step, Step::Nothing);
    assert_eq!(step(|case| case.o.live = false).step, Step::Look(Look::Live));
    let unreadable = step(|case| case.o.secret = SecretView::Unknown("why".into()));
    assert!(matches!(unreadable.step, Step::UpdateStatus(_)) && unreadable.wake > Some(deleted().now));
}

#[test]
fn the_secret_and_its_client_go() {
    let mut case = deleted();
    let step = removal(&case);
    let secret = case.secret().clone();
    assert_eq!(step.secrets, [("deployer".into(), secret.uid, secret.resource_version)]);
    assert_eq!(ids(&case), ["client-1"]);
    assert!(step.left_behind.is_empty() && step.fence.is_none());
    assert!(!removal(&case).recheck);
    case.delivered().owner.uid = "another".into();
    assert_eq!(removal(&case).secrets, [], "it is not this object's");
    assert!(removal(&case).recheck, "an object that was made anew may have taken it over");
}

#[test]
fn everything_that_is_on_record_goes() {
    let mut case = deleted();
    retiring(&mut case, "retiring", HOUR);
    case.lists("retiring", "attemptretiring");
    case.lists("twin", "attempt1");
    case.lists("retirings-twin", "attemptretiring");
    case.lists("nobodys", "unknown");
    assert_eq!(ids(&case), ["client-1", "retiring", "twin", "retirings-twin"]);
    case.given_up(&["unknown"]);
    case.o.listed.insert(crate::api::IssuerRef::default());
    let mut record = case.recorded_attempts();
    record.abandoned[0].since = case.ago(HOUR);
    case.record(&record);
    assert!(ids(&case).contains(&"nobodys".to_owned()), "it was given up");
}

#[test]
fn what_only_the_secret_names_is_named_first() {
    let mut case = deleted();
    let mut owed = status::retiring(&case.current().clone(), case.ago(HOUR), HOUR);
    (owed.id, owed.attempt) = ("owed".into(), "owed".into());
    case.delivered().replaces = vec![owed];
    case.lists("owed", "owed");
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(status.retiring[0].id, "owed");
    case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    assert!(removal(&case).victims.is_empty(), "the Secret stays, and goes on naming it");
}

#[test]
fn what_is_to_stay_stays() {
    let mut case = retained();
    retiring(&mut case, "retiring", HOUR);
    case.lists("retiring", "attemptretiring");
    let step = removal(&case);
    assert_eq!((step.secrets.len(), step.fence), (0, None));
    assert!(step.victims.is_empty());
    case.lists("twin", "attempt1");
    assert_eq!(ids(&case), ["twin"], "nobody can use it");
}

#[test]
fn what_is_to_stay_is_fenced_where_an_attempt_was_given_up() {
    let given_up = |case: &mut Case| {
        let since = case.ago(HOUR);
        let abandoned =
            ["x", "y"].map(|a| AbandonedAttempt { attempt: a.into(), issuer_ref: IssuerRef::default(), since });
        case.record(&Record { abandoned: abandoned.into(), ..Record::default() });
        case.o.listed.insert(crate::api::IssuerRef::default());
    };
    let mut case = retained();
    given_up(&mut case);
    case.lists("stray", "y");
    let step = removal(&case);
    assert_eq!(step.fence.map(|(_, attempt)| attempt).as_deref(), Some("y"));
    assert_eq!(step.victims.len(), 1, "the stray does not stay");
    case.secret().fence = Some("y".into());
    assert_eq!(removal(&case).fence, None, "it is, already");
    case.begun("z", HOUR);
    case.inventory().began_ago = Duration::ZERO;
    assert_eq!(removal(&case).fence.map(|(_, attempt)| attempt).as_deref(), Some("z"));
    let mut gone = deleted();
    given_up(&mut gone);
    assert_eq!(removal(&gone).fence, None, "it goes");
}

#[test]
fn a_young_client_is_known_to_be_young() {
    let mut case = deleted();
    case.o.listed.insert(crate::api::IssuerRef::default());
    case.current().created_at = Some(Time(case.ago(9 * MINUTE)));
    assert_eq!(victims(&case), [("client-1".to_owned(), true)]);
    case.current().created_at = Some(Time(case.ago(10 * MINUTE)));
    assert_eq!(victims(&case), [("client-1".to_owned(), false)]);
}

#[test]
fn what_c1_does_not_know_yet_is_waited_for_after_the_others_went() {
    let mut case = deleted();
    case.o.listed.insert(crate::api::IssuerRef::default());
    case.current().created_at = Some(Time(case.ago(MINUTE)));
    case.listed().clear();
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(ClientRead::Gone);
    assert_eq!(case.reason(), Reason::Deleting.as_str());
    assert_eq!(case.plan().wake, Some(case.now + 9 * MINUTE));
    // It is old by now, and was not when C1 was asked.
    case.current().created_at = Some(Time(case.ago(10 * MINUTE)));
    case.o.as_of = case.ago(MINUTE);
    assert_eq!(case.plan().wake, Some(case.now + Duration::from_secs(1)));
    case.current().created_at = Some(Time(case.ago(MINUTE)));
    case.o.as_of = case.now;
    retiring(&mut case, "retiring", HOUR);
    case.lists("retiring", "attemptretiring");
    assert_eq!(victims(&case), [("retiring".to_owned(), false), ("client-1".to_owned(), true)]);
    case.status().retiring.clear();
    case.listed().clear();
    case.o.deleted.insert("client-1".into());
    assert!(victims(&case).is_empty(), "we have deleted it");
}

#[test]
fn what_is_gone_or_past_its_lifetime_needs_no_end() {
    let mut case = deleted();
    case.listed().clear();
    case.reads(ClientRead::Gone);
    assert!(victims(&case).is_empty());
    let mut case = deleted();
    let past = case.ago(MINUTE);
    case.expires(past);
    assert!(victims(&case).is_empty());
    case.issuer().clock_off = true;
    assert_eq!(ids(&case), ["client-1"], "no clock tells");
    let mut unreachable = deleted();
    unreachable.expires(past);
    unreachable.o.issuer = None;
    assert!(victims(&unreachable).is_empty(), "nobody need be asked");
}

#[test]
fn without_the_marker_it_is_not_ours() {
    let mut case = deleted();
    case.listed()[0].display_name = "renamed".into();
    let step = removal(&case);
    assert!(step.victims.is_empty());
    assert_eq!(step.left_behind, ["client-1"]);
    case.listed().clear();
    case.reads(live(false));
    assert_eq!(removal(&case).left_behind, ["client-1"]);
    case.reads(live(true));
    assert_eq!(ids(&case), ["client-1"]);
}

#[test]
fn who_cannot_be_asked_or_is_another_blocks() {
    let said = |change: fn(&mut Case)| {
        let mut case = deleted();
        change(&mut case);
        let (reason, message) = case.said();
        assert_eq!(reason, Reason::RevocationBlocked.as_str());
        assert!(message.contains(ABANDON_ANNOTATION), "{message}");
        message
    };
    assert!(said(|case| case.o.issuer = None).starts_with("ClusterClientIssuer default does not exist"));
    let message = said(|case| case.issuer().identity = None);
    assert!(message.contains("its tenant was not reached yet"), "{message}");
    let message = said(|case| {
        case.issuer().identity = None;
        case.issuer().not_ready = Some((Reason::Unauthorized, "why".into()));
    });
    assert!(message.contains("is not ready: Unauthorized: why"), "{message}");
    let message = said(|case| case.current().user_id = "another".into());
    assert!(message.contains("client client-1 was made as another C1 user"), "{message}");
    assert!(said(|case| case.current().host = "another".into()).contains("client-1"));
}

/// In a namespace that goes, it is looked again when its objects may go by themselves; nothing else happens by time.
#[test]
fn what_blocks_is_looked_at_again_when_time_lets_it_go() {
    let blocked = |deleted_ago: Duration, terminating: bool| {
        let mut case = deleted();
        case.current().user_id = "another".into();
        case.o.namespace_terminating = terminating;
        case.o.object.metadata.deletion_timestamp = Some(Time(case.ago(deleted_ago)));
        let decision = case.plan();
        assert!(matches!(decision.step, Step::UpdateStatus(_)));
        decision.wake.map(|wake| Duration::try_from(wake.duration_since(case.now)).unwrap())
    };
    assert_eq!(blocked(MINUTE, false), None);
    assert_eq!(blocked(MINUTE, true), Some(9 * MINUTE));
    assert_eq!(blocked(10 * MINUTE, true), None, "to wake now would be to wake for ever");
    assert_eq!(blocked(11 * MINUTE, true), None);
}

#[test]
fn attempts_are_resolved_before() {
    let open = |ago: Duration| {
        let mut case = deleted();
        case.begun("a", ago);
        case
    };
    let mut young = open(MINUTE);
    assert_eq!(young.reason(), Reason::Deleting.as_str());
    assert_eq!(young.plan().wake, Some(young.now + 2 * MINUTE));
    young.o.unsent = Some("a".into());
    assert_eq!(ids(&young), ["client-1"], "nothing was sent");
    let mut old = open(HOUR);
    old.inventory().began_ago = HOUR;
    assert_eq!(old.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    old.inventory().began_ago = Duration::ZERO;
    assert_eq!(old.step(), Step::Look(Look::List(crate::api::IssuerRef::default())), "for this very decision");
    old.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(ids(&old), ["client-1"]);
    old.inventory().began_ago = HOUR;
    assert_eq!(
        old.step(),
        Step::Look(Look::List(crate::api::IssuerRef::default())),
        "it was begun while the create may have been under way"
    );
    old.inventory().began_ago = Duration::ZERO;
    let now = old.now;
    old.lists("made", "a").last_used_at = Some(now);
    assert_eq!(ids(&old), ["client-1", "made"], "used or not: the object goes");
    let mut unproven = open(HOUR);
    unproven.inventory().complete = false;
    unproven.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(unproven.reason(), Reason::RevocationBlocked.as_str());
}

#[test]
fn what_attempts_made_must_have_come_to_light() {
    // Two minutes of budget, then ten until C1 shows it.
    let mut case = deleted();
    case.begun("a", 12 * MINUTE);
    case.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(ids(&case), ["client-1"]);
    case.begun("a", 11 * MINUTE);
    assert_eq!(case.reason(), Reason::Deleting.as_str());
    assert_eq!(case.plan().wake, Some(case.now + MINUTE));
    case.lists("made", "a");
    assert_eq!(ids(&case), ["client-1", "made"], "it has");
    let mut given_up = deleted();
    given_up.given_up(&["a"]);
    given_up.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(given_up.plan().wake, Some(given_up.now + 10 * MINUTE));
    given_up.o.listed.clear();
    let mut record = given_up.recorded_attempts();
    record.abandoned[0].since = given_up.ago(10 * MINUTE);
    given_up.record(&record);
    assert_eq!(given_up.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
}

#[test]
fn it_may_leave_when_told_so() {
    let mut case = deleted();
    case.o.issuer = None;
    let annotations = case.o.object.metadata.annotations.get_or_insert_default();
    annotations.insert(ABANDON_ANNOTATION.into(), "false".into());
    assert_eq!(case.reason(), Reason::RevocationBlocked.as_str());
    let annotations = case.o.object.metadata.annotations.get_or_insert_default();
    annotations.insert(ABANDON_ANNOTATION.into(), "true".into());
    let step = removal(&case);
    assert_eq!(step.left_behind, ["client-1"]);
    assert!(step.secrets.len() == 1 && step.victims.is_empty());
    case.o.deleted.insert("client-1".into());
    assert!(removal(&case).left_behind.is_empty(), "it was revoked");
    case.o.deleted.clear();
    let past = case.ago(MINUTE);
    case.expires(past);
    assert!(removal(&case).left_behind.is_empty(), "it is past its lifetime");
}

#[test]
fn a_namespace_does_not_hang_on_a_tenant_that_cannot_be_reached() {
    let terminating = |ago: Duration| {
        let mut case = deleted();
        case.o.namespace_terminating = true;
        case.o.object.metadata.deletion_timestamp = Some(Time(case.ago(ago)));
        case.issuer().identity = None;
        case.issuer().not_ready = Some((Reason::Unreachable, "why".into()));
        case
    };
    let mut case = terminating(9 * MINUTE);
    assert_eq!(case.plan().wake, Some(case.now + MINUTE));
    assert_eq!(case.reason(), Reason::RevocationBlocked.as_str());
    case = terminating(10 * MINUTE);
    assert_eq!(removal(&case).left_behind, ["client-1"]);
    case.o.namespace_terminating = false;
    assert_eq!(case.plan().wake, None);
    for patience in [Reason::Throttled, Reason::ClockSkew] {
        case.o.namespace_terminating = true;
        case.issuer().not_ready = Some((patience, "why".into()));
        assert_eq!(case.reason(), Reason::RevocationBlocked.as_str(), "{patience:?} passes");
    }
    case.issuer().not_ready = None;
    assert_eq!(case.reason(), Reason::RevocationBlocked.as_str(), "it was not reached yet");
    case.o.issuer = None;
    assert_eq!(removal(&case).left_behind, ["client-1"]);
}

#[test]
fn what_nobody_has_a_finalizer_of_ours_on_is_not_ours() {
    let mut case = deleted();
    case.o.object.metadata.finalizers = Some(vec!["another".into()]);
    assert_eq!(case.step(), Step::Nothing);
    case.o.object.metadata.finalizers = Some(vec!["another".into(), FINALIZER.into()]);
    assert_eq!(ids(&case), ["client-1"]);
}

/// C1 made two of one create, and shows both: who removes them has looked since it would.
#[test]
fn before_clients_go_a_list_has_shown_their_twins() {
    let mut case = deleted();
    case.inventory().began = case.ago(HOUR) + 10 * MINUTE;
    assert_eq!(ids(&case), ["client-1"]);
    case.inventory().began = case.ago(HOUR) + 9 * MINUTE;
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(ids(&case), ["client-1"]);
    case.o.listed.clear();
    case.current().created_at = Some(Time(case.ago(9 * MINUTE)));
    case.inventory().began = case.ago(MINUTE);
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())), "it may show by now");
    case.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(ids(&case), ["client-1"], "of a young one C1 need not show it: nobody waits for that");
    case.o.listed.clear();
    case.current().created_at = None;
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())), "how old it is is not known");
    case.current().created_at = Some(Time(case.ago(2 * HOUR)));
    // When one that retires was made is not known: before it retired.
    retiring(&mut case, "retiring", HOUR);
    case.lists("retiring", "attemptretiring");
    case.inventory().began = case.ago(51 * MINUTE);
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.inventory().began = case.ago(50 * MINUTE);
    assert_eq!(ids(&case), ["client-1", "retiring"]);
    case.status().retiring[0].since.0 = case.ago(MINUTE);
    assert_eq!(case.step(), Step::Look(Look::List(crate::api::IssuerRef::default())));
    case.o.listed.insert(crate::api::IssuerRef::default());
    assert_eq!(ids(&case), ["client-1", "retiring"]);
}
