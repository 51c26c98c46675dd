//! Rotation: when, why, what is said while it fails, and how long what was replaced lives on.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{super::*, case::Case};
use crate::api::{
    DurationText, PersonalClientStatus, ROTATE_ANNOTATION, Reason, RenewalReason, Rotation, RotationPolicy,
    condition::{ConditionType, find},
};

pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) fn text(duration: &str) -> DurationText {
    DurationText(duration.into())
}

/// Made so long ago, to live for so long.
pub(super) fn aged(age: Duration, lifetime: Duration) -> Case {
    let mut case = Case::ready();
    let created = case.ago(age);
    case.current().created_at = Some(Time(created));
    case.delivered().client.created_at = Some(Time(created));
    case.expires(created + lifetime);
    case
}

pub(super) fn rotates(case: &mut Case, rotation: Rotation) {
    case.o.object.spec.rotation = Some(rotation);
}

pub(super) fn asks(case: &mut Case, request: &str) {
    case.o.object.metadata.annotations.get_or_insert_default().insert(ROTATE_ANNOTATION.into(), request.into());
}

/// The status is as the last look has left it.
pub(super) fn settled(mut case: Case) -> Case {
    for _ in 0..3 {
        let Step::UpdateStatus(status) = case.step() else { break };
        case.o.object.status = Some(*status);
    }
    case
}

fn need(case: &Case) -> Option<Need> {
    match case.step() {
        Step::Issue(step) => Some(step.need),
        _ => None,
    }
}

fn renewal(case: Case) -> (Option<Timestamp>, Option<RenewalReason>) {
    let mut case = settled(case);
    let status = case.status();
    (status.renewal_time.as_ref().map(|t| t.0), status.renewal_reason)
}

fn says(status: &PersonalClientStatus, kind: ConditionType) -> Option<(String, String)> {
    find(&status.conditions, kind).map(|c| (c.reason.clone(), c.message.clone()))
}

/// How long before the plain time an object with this UID rotates.
fn earlier(uid: &str, age: Duration) -> Duration {
    let mut case = aged(HOUR, 30 * DAY);
    case.o.object.metadata.uid = Some(uid.into());
    case.delivered().owner.uid = uid.into();
    let created = case.ago(HOUR);
    rotates(&mut case, Rotation { max_age: Some(text(&format!("{}h", age.as_secs() / 3600))), ..Rotation::default() });
    let (time, reason) = renewal(case);
    assert_eq!(reason, Some(RenewalReason::MaxAge));
    (created + age).duration_since(time.expect("a time")).try_into().expect("never later")
}

#[test]
fn a_credential_is_replaced_when_a_third_of_its_life_is_left_or_a_little_earlier() {
    let case = aged(HOUR, 30 * DAY);
    let created = case.ago(HOUR);
    let (time, reason) = renewal(case);
    let age: Duration = time.expect("a time").duration_since(created).try_into().unwrap();
    assert!(18 * DAY <= age && age <= 20 * DAY, "{age:?}");
    assert_eq!(reason, Some(RenewalReason::Expiry));
    assert_eq!(need(&settled(aged(17 * DAY, 30 * DAY))), None);
    assert_eq!(need(&settled(aged(21 * DAY, 30 * DAY))), Some(Need::Renewal));
}

#[test]
fn the_renewal_is_waited_for() {
    let mut case = settled(aged(HOUR, 30 * DAY));
    let time = case.status().renewal_time.clone().expect("a time").0;
    assert_eq!(case.plan(), Plan { step: Step::Nothing, wake: Some(time) });
    case.now = time;
    case.o.as_of = time;
    assert_eq!(need(&case), Some(Need::Renewal));
}

#[test]
fn a_renewal_is_as_long_before_expiry_as_is_asked_or_at_the_age_that_is_asked() {
    let renewed = |age, rotation: Rotation| {
        let mut case = aged(age, 30 * DAY);
        rotates(&mut case, rotation);
        need(&settled(case)) == Some(Need::Renewal)
    };
    let before = |hours: &str| Rotation { renew_before: Some(text(hours)), ..Rotation::default() };
    assert!(!renewed(25 * DAY, before("24h")) && renewed(29 * DAY, before("24h")));
    assert!(!renewed(4 * DAY, before("600h")) && renewed(5 * DAY, before("600h")));
    let aged = |hours: &str| Rotation { max_age: Some(text(hours)), ..Rotation::default() };
    assert!(!renewed(6 * DAY, aged("168h")) && renewed(7 * DAY, aged("168h")));
}

/// C1 made it shorter than asked: to renew it 10 days before its end would be to renew it without end.
#[test]
fn a_credential_that_is_shorter_than_asked_is_not_replaced_when_it_is_made() {
    let mut case = aged(HOUR, 5 * DAY);
    rotates(&mut case, Rotation { renew_before: Some(text("240h")), ..Rotation::default() });
    assert_eq!(need(&settled(case)), None);
    let mut case = aged(4 * DAY, 5 * DAY);
    rotates(&mut case, Rotation { renew_before: Some(text("240h")), ..Rotation::default() });
    assert_eq!(need(&settled(case)), Some(Need::Renewal), "a third of its life is left");
}

#[test]
fn what_is_made_together_does_not_rotate_together_and_the_time_stays() {
    let age = 10 * DAY;
    let spread: Vec<Duration> = (0..40).map(|uid| earlier(&uid.to_string(), age)).collect();
    let (least, most) = (*spread.iter().min().unwrap(), *spread.iter().max().unwrap());
    assert!(most <= DAY, "a tenth at the most: {most:?}");
    assert!(most.checked_sub(least).unwrap() > DAY / 2, "{least:?} to {most:?}");
    assert_eq!(earlier("7", age), spread[7]);
}

#[test]
fn by_hand_it_is_replaced_only_when_asked() {
    let manual = Rotation { policy: Some(RotationPolicy::Manual), max_age: Some(text("1h")), ..Rotation::default() };
    let mut case = aged(29 * DAY, 30 * DAY);
    rotates(&mut case, manual.clone());
    assert_eq!(renewal(case), (None, None));
    let mut case = aged(29 * DAY, 30 * DAY);
    rotates(&mut case, manual);
    let mut case = settled(case);
    assert_eq!(need(&case), None);
    asks(&mut case, "now");
    assert_eq!(need(&case), Some(Need::Requested));
}

#[test]
fn nothing_is_replaced_because_of_time_while_the_clock_is_off() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    case.issuer().clock_off = true;
    assert_eq!(need(&case), None);
    asks(&mut case, "now");
    assert_eq!(need(&case), Some(Need::Requested), "a request is no matter of time");
}

// Requests

#[test]
fn a_request_is_answered_by_its_text() {
    let mut case = settled(Case::ready());
    asks(&mut case, "2020-01-01");
    let step = case.issue();
    assert_eq!(step.need, Need::Requested);
    assert_eq!(step.record.open.and_then(|open| open.answers).as_deref(), Some("2020-01-01"));
    case.status().last_handled_rotate_at = Some("2020-01-01".into());
    assert_eq!(need(&case), None);
    asks(&mut case, "");
    assert_eq!(need(&case), None, "no text asks for nothing");
}

/// The second request came while the first was being answered: the delivery answers the first only.
#[test]
fn a_request_during_a_rotation_is_neither_lost_nor_answered_twice() {
    let mut case = settled(Case::ready());
    asks(&mut case, "second");
    case.delivered().answers = Some("first".into());
    (case.delivered().client.id, case.delivered().client.attempt) = ("client-2".into(), "next".into());
    case.lists("client-2", "next");
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(status.client.as_ref().map(|c| c.id.as_str()), Some("client-2"));
    assert_eq!(status.last_handled_rotate_at.as_deref(), Some("first"));
    case.o.object.status = Some(*status);
    assert_eq!(need(&settled(case)), Some(Need::Requested));
}

#[test]
fn the_first_issue_answers_what_stands_there() {
    let mut case = Case::new();
    asks(&mut case, "now");
    assert_eq!(case.issue().record.open.and_then(|open| open.answers).as_deref(), Some("now"));
}

#[test]
fn a_new_request_does_not_wait_for_the_failure_of_another() {
    let mut case = settled(Case::ready());
    asks(&mut case, "first");
    let object = case.o.object.clone();
    case.o.object.status =
        Some(status::failure(&object, &status::Tried::of(&object), Reason::RoleNotFound, "why", case.now));
    assert_eq!(need(&case), None, "it waits");
    assert_eq!(case.status().failed_issuance_attempts, Some(1));
    asks(&mut case, "second");
    assert_eq!(need(&case), Some(Need::Requested));
    let object = case.o.object.clone();
    let again = status::failure(&object, &status::Tried::of(&object), Reason::RoleNotFound, "why", case.now);
    assert_eq!(again.failed_issuance_attempts, Some(1), "it starts anew");
    let more = status::failed(&status::Tried::of(&object), &again, Reason::RoleNotFound, "why", 1, case.now);
    assert_eq!(more.failed_issuance_attempts, Some(2));
}

#[test]
fn a_request_has_an_end() {
    let mut case = Case::ready();
    asks(&mut case, &"x".repeat(1000));
    assert_eq!(case.o.object.rotate_request().map(|r| r.len()), Some(64));
}

// While it fails

#[test]
fn while_it_cannot_be_replaced_it_stays_ready_and_that_is_said() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    case.issuer().namespace_selected = Some(false);
    let mut case = settled(case);
    assert!(status::is_ready(case.status()));
    let (reason, message) = says(case.status(), ConditionType::RenewalFailing).expect("it is said");
    assert_eq!(reason, "DeniedByPolicy");
    assert!(!message.contains("expires at"), "{message}");
    let plan = case.plan();
    let expires = case.current().expires_time.clone().map(|t| t.0);
    assert_eq!((plan.step, plan.wake), (Step::Nothing, expires), "said once; and when it expires, that");
    case.issuer().namespace_selected = Some(true);
    assert_eq!(need(&case), Some(Need::Renewal));
}

/// The spec asks for another name as well.
fn renamed(mut case: Case) -> Case {
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    case
}

#[test]
fn a_renewal_says_nothing_of_a_spec_that_it_is_to_fulfil() {
    let case = renamed(settled(aged(21 * DAY, 30 * DAY)));
    assert_eq!(need(&case), Some(Need::Renewal), "it asks for all that is new");
    let mut barred = renamed(settled(aged(21 * DAY, 30 * DAY)));
    barred.issuer().namespace_selected = Some(false);
    assert_eq!(barred.reason(), Reason::DeniedByPolicy.as_str(), "not Ready: this spec is not fulfilled");
}

#[test]
fn what_can_be_changed_in_place_does_not_wait_for_a_renewal_that_cannot_be() {
    let mut case = renamed(settled(aged(21 * DAY, 30 * DAY)));
    let (now, current) = (case.now, case.current().clone());
    case.status().retiring = (0..3)
        .map(|n| {
            let former = crate::api::IssuedClient { id: format!("former-{n}"), ..current.clone() };
            status::retiring(&former, now, 10 * HOUR)
        })
        .collect();
    assert!(matches!(case.step(), Step::Update(step) if step.edited), "{:?}", case.step());
}

#[test]
fn a_clock_that_is_off_is_no_reason_to_say_that_it_has_expired() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    asks(&mut case, "now");
    case.issuer().not_ready = Some((Reason::ClockSkew, "the clocks differ".into()));
    case.issuer().clock_off = true;
    case.now += 20 * DAY;
    let case = settled(case);
    let status = case.o.object.status.as_ref().unwrap();
    assert!(status::is_ready(status), "{status:?}");
    assert_eq!(
        says(status, ConditionType::RenewalFailing).map(|(reason, _)| reason).as_deref(),
        Some("IssuerNotReady")
    );
}

#[test]
fn an_expired_credential_that_cannot_be_replaced_is_said_once() {
    let mut case = aged(31 * DAY, 30 * DAY);
    case.issuer().not_ready = Some((Reason::Unauthorized, "C1 refuses".into()));
    let mut case = settled(case);
    assert_eq!(case.step(), Step::Nothing);
    case.now += HOUR;
    assert_eq!(case.step(), Step::Nothing, "not with each look");
}

#[test]
fn a_request_does_not_reset_the_count_of_losses() {
    let mut case = settled(Case::ready());
    for (losses, request) in ["one", "two", "three"].into_iter().enumerate() {
        asks(&mut case, request);
        case.o.secret = SecretView::Absent;
        let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
        assert_eq!(status.failed_issuance_attempts, i32::try_from(losses + 1).ok());
        case.o.object.status = Some(*status.clone());
        assert_eq!(need(&case).is_some(), losses == 0, "the first loss in a day does not wait");
        // Issued all the same, a while later.
        case.o.object.status = Some(status::works(&status, "holds", 1, case.now));
    }
}

#[test]
fn failures_are_counted_also_when_nobody_asks_any_more() {
    let mut case = Case::ready();
    case.status().last_failed_rotate_at = Some("x".into());
    case.status().last_handled_rotate_at = Some("y".into());
    let (object, now) = (case.o.object.clone(), case.now);
    let once = status::failed(&status::Tried::of(&object), case.status(), Reason::RoleNotFound, "why", 1, now);
    let twice = status::failed(&status::Tried::of(&object), &once, Reason::RoleNotFound, "why", 1, now);
    assert_eq!(twice.failed_issuance_attempts, Some(2));
}

#[test]
fn while_it_cannot_be_replaced_a_new_template_is_rendered() {
    let mut case = aged(21 * DAY, 30 * DAY);
    case.issuer().not_ready = Some((Reason::Unauthorized, "C1 refuses".into()));
    let mut case = settled(case);
    case.secret().content = Content::Intact { rendered: false };
    assert!(matches!(case.step(), Step::Render(_)), "{:?}", case.step());
}

#[test]
fn in_its_last_days_it_is_said_louder_and_then_that_it_has_expired() {
    let fails = |age| {
        let mut case = aged(age, 30 * DAY);
        case.issuer().not_ready = Some((Reason::Unauthorized, "C1 refuses".into()));
        let mut case = settled(case);
        case.status().clone()
    };
    let (_, calm) = says(&fails(21 * DAY), ConditionType::RenewalFailing).expect("said");
    let (_, nearly) = says(&fails(27 * DAY), ConditionType::RenewalFailing).expect("said");
    assert_eq!(nearly, calm, "its last tenth begins after that");
    let (_, loud) = says(&fails(28 * DAY), ConditionType::RenewalFailing).expect("said");
    assert!(loud.starts_with(&calm) && loud.contains("expires at"), "{loud}");
    let past = fails(31 * DAY);
    let (reason, message) = says(&past, ConditionType::Ready).expect("said");
    assert_eq!(reason, "Expired");
    assert!(message.contains("cannot be replaced") && message.contains("Unauthorized"), "{message}");
    assert!(!status::is_ready(&past));
}

#[test]
fn what_has_expired_is_replaced_all_the_same_and_said_first() {
    let mut case = aged(31 * DAY, 30 * DAY);
    assert_eq!(case.reason(), "Expired");
    let mut status = case.status().clone();
    status = status::not_ready(&status, Reason::Expired, "any", 1, case.now);
    case.o.object.status = Some(status);
    assert_eq!(need(&case), Some(Need::Renewal));
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    let (reason, message) = case.said();
    assert_eq!(reason, "Expired");
    assert!(message.contains("rotate-requested-at"), "{message}");
}

#[test]
fn a_failed_replacement_is_counted_and_what_works_stays_ready() {
    let case = settled(aged(21 * DAY, 30 * DAY));
    let object = &case.o.object;
    let said = status::failure(object, &status::Tried::of(object), Reason::Unreachable, "no answer", case.now);
    assert!(status::is_ready(&said));
    assert_eq!(says(&said, ConditionType::RenewalFailing).map(|(reason, _)| reason).as_deref(), Some("Unreachable"));
    assert_eq!(said.failed_issuance_attempts, Some(1));
    let mut later = object.clone();
    later.metadata.generation = Some(2);
    let said = status::failure(&later, &status::Tried::of(&later), Reason::Unreachable, "no answer", case.now);
    assert!(!status::is_ready(&said), "a new spec is not what it holds");
}

/// The spec was changed in what has no part in the credential, just when that was to be replaced.
#[test]
fn before_a_replacement_begins_status_says_of_this_spec_that_it_works() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    case.o.object.metadata.generation = Some(2);
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert!(status::is_ready(&status) && status.observed_generation == 2);
}

#[test]
fn while_the_clock_is_off_a_renewal_that_fails_is_not_forgotten() {
    let mut case = settled(aged(25 * DAY, 30 * DAY));
    case.issuer().namespace_selected = Some(false);
    let mut case = settled(case);
    let failing = |case: &mut Case| says(case.status(), ConditionType::RenewalFailing);
    assert!(failing(&mut case).is_some());
    case.issuer().clock_off = true;
    assert_eq!(case.step(), Step::Nothing);
    // When they agree again, what is not due any more does not fail.
    case.issuer().clock_off = false;
    case.expires(case.now + 300 * DAY);
    let mut case = settled(case);
    assert_eq!(failing(&mut case), None);
}

#[test]
fn what_is_not_asked_for_any_more_does_not_fail_any_more() {
    let mut case = settled(Case::ready());
    asks(&mut case, "now");
    let object = case.o.object.clone();
    case.o.object.status =
        Some(status::failure(&object, &status::Tried::of(&object), Reason::Unreachable, "no answer", case.now));
    case.o.object.metadata.annotations.as_mut().unwrap().remove(ROTATE_ANNOTATION);
    let mut case = settled(case);
    assert_eq!(says(case.status(), ConditionType::RenewalFailing), None);
}

#[test]
fn three_replaced_ones_are_as_many_as_may_live_unless_nothing_works() {
    let full = |age| {
        let mut case = aged(age, 30 * DAY);
        for n in 0..3 {
            let mut former = status::retiring(&case.current().clone(), case.ago(MINUTE), HOUR);
            former.id = format!("former-{n}");
            case.status().retiring.push(former);
        }
        settled(case)
    };
    let mut case = full(21 * DAY);
    assert_eq!(need(&case), None);
    let (_, message) = says(case.status(), ConditionType::RenewalFailing).expect("it is said");
    assert!(message.contains("until an overlap is over"), "{message}");
    assert!(status::is_ready(case.status()));
    assert!(case.plan().wake.is_some_and(|wake| wake <= case.now + HOUR));
    assert_eq!(need(&full(31 * DAY)), Some(Need::Renewal), "it has expired");
}

// Suspended

#[test]
fn while_suspended_nothing_is_begun_and_afterwards_it_happens() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    case.o.object.spec.suspend = Some(true);
    let mut case = settled(case);
    assert_eq!(case.step(), Step::Nothing);
    let (_, message) = says(case.status(), ConditionType::Ready).expect("said");
    assert!(status::is_ready(case.status()) && message.contains("suspend is true"), "{message}");
    case.o.object.spec.suspend = Some(false);
    assert_eq!(need(&settled(case)), Some(Need::Renewal));

    let mut new = Case::new();
    new.o.object.spec.suspend = Some(true);
    assert_eq!(new.reason(), "Suspended");
}

/// This may be a copy of the cluster, and the attempt its original's.
#[test]
fn while_suspended_no_attempt_is_judged_but_overlaps_end() {
    let mut case = Case::ready();
    case.begun("open", HOUR);
    case.given_up(&["stray"]);
    case.lists("made", "open");
    case.lists("lost", "stray");
    assert!(matches!(case.step(), Step::Abandon(_)));
    case.o.object.spec.suspend = Some(true);
    let mut case = settled(case);
    assert_eq!(case.step(), Step::Nothing);
    let mut former = status::retiring(&case.current().clone(), case.ago(2 * HOUR), HOUR);
    (former.id, former.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![former];
    case.lists("client-0", "former");
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
}

#[test]
fn while_suspended_a_secret_that_has_changed_is_looked_at_all_the_same() {
    let mut case = settled(Case::ready());
    case.o.object.spec.suspend = Some(true);
    case.secret().content = Content::Unread;
    case.secret().resource_version = "another".into();
    assert_eq!(case.step(), Step::Look(Look::Live));
}

#[test]
fn while_suspended_a_spec_that_is_not_applied_is_not_said_to_be() {
    let mut case = renamed(settled(Case::ready()));
    case.o.object.spec.suspend = Some(true);
    let (reason, message) = case.said();
    assert_eq!(reason, Reason::Suspended.as_str());
    assert!(message.contains("the credential works"), "{message}");
}

#[test]
fn what_would_be_due_when_it_is_made_is_replaced_after_two_thirds_of_its_life() {
    let mut case = aged(HOUR, 10 * DAY);
    rotates(&mut case, Rotation { renew_before: Some(text("240h")), ..Rotation::default() });
    let created = case.ago(HOUR);
    let (time, _) = renewal(case);
    let age: Duration = time.unwrap().duration_since(created).try_into().unwrap();
    assert!(age > 5 * DAY && age <= 10 * DAY * 2 / 3, "{age:?}");
}
