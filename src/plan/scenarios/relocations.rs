//! How a move goes, step by step, and how a former Secret goes after it.

use super::{
    super::*,
    case::Case,
    moves::{copy, moved, moving, relocation, remembered, remembers},
    servers::GUARDS,
};
use crate::api::{DeletionPolicy, PersonalClientStatus, Reason};

fn done(version: &str) -> Answer {
    Answer::Done(Anchor { uid: "u".into(), resource_version: version.into() })
}

/// The move, as far as these answers bring it.
fn underway(case: &Case, answers: &[&str]) -> Next {
    let start = Relocate::start(relocation(case), case.o.object.clone());
    answers.iter().fold(start, |(flight, _), version| next(flight, done(version), case.now, GUARDS))
}

/// What it came to.
fn landed_as((flight, effect): Next) -> Outcome {
    match (flight, effect) {
        (Flight::Landed(outcome), None) => *outcome,
        other => panic!("it goes on: {other:?}"),
    }
}

#[test]
fn the_credential_is_copied_and_then_recorded() {
    let case = moving();
    let step = relocation(&case);
    assert_eq!(step.to, "elsewhere");
    assert_eq!(remembered(&step.record), ["deployer", "elsewhere"], "both are known before anything is written");
    let (flight, effect) = underway(&case, &[]);
    assert!(matches!(effect, Some(Effect::Burn { .. })) && !flight.cleans_up(), "nothing is to be taken back");
    let (_, effect) = underway(&case, &["8"]);
    assert!(matches!(&effect, Some(Effect::Copy { to, .. }) if to == "elsewhere"), "{effect:?}");
    let (_, effect) = underway(&case, &["8", "9"]);
    let Some(Effect::Record { at, status }) = effect else { panic!("{effect:?}") };
    assert_eq!(at.resource_version, "8", "on what was intended");
    let before = case.o.object.status.clone().unwrap();
    let after = PersonalClientStatus {
        secret_name: Some("elsewhere".into()),
        secret_resource_version: Some("9".into()),
        ..before
    };
    assert_eq!(*status, after, "where it is, and nothing of how it is");
    assert!(matches!(landed_as(underway(&case, &["8", "9", "10"])), Outcome::Moved { .. }));
}

#[test]
fn a_copy_that_is_refused_is_said_and_one_that_is_not_needed_any_more_is_looked_at() {
    let case = moving();
    let after = |answer: Answer| landed_as(next(underway(&case, &["8"]).0, answer, case.now, GUARDS));
    let refused = Answer::Refused { reason: Reason::SecretRefused, message: "quota".into() };
    assert!(matches!(after(refused), Outcome::Unmoved { .. }));
    for answer in [Answer::Conflict, Answer::Gone, Answer::OutOfTime] {
        assert!(matches!(after(answer), Outcome::LookAgain { .. }));
    }
    let burnt = next(underway(&case, &[]).0, Answer::Conflict, case.now, GUARDS);
    assert!(matches!(landed_as(burnt), Outcome::LookAgain { .. }), "somebody has changed the object");
}

/// An object that goes may have been judged when there was no copy yet.
#[test]
fn a_copy_that_is_not_recorded_is_taken_back_when_the_object_goes() {
    let unknown = || Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
    let case = moving();
    let object = |edit: &dyn Fn(&mut crate::api::PersonalClient)| {
        let mut object = case.o.object.clone();
        edit(&mut object);
        Answer::Object(Some(Box::new(object)))
    };
    let going = |object: &mut crate::api::PersonalClient| {
        object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
    };
    for record in [Answer::Conflict, Answer::Gone, unknown(), Answer::OutOfTime] {
        let looks = || {
            let (flight, effect) = next(underway(&case, &["8", "9"]).0, record.clone(), case.now, GUARDS);
            assert_eq!(effect, Some(Effect::ReadObject));
            assert!(flight.cleans_up());
            flight
        };
        let stays = next(looks(), object(&|_| ()), case.now, GUARDS);
        assert!(matches!(landed_as(stays), Outcome::LookAgain { .. }), "it has it on record");
        let recorded = |object: &mut crate::api::PersonalClient| {
            going(object);
            object.status.as_mut().unwrap().secret_name = Some("elsewhere".into());
        };
        assert!(matches!(landed_as(next(looks(), object(&recorded), case.now, GUARDS)), Outcome::LookAgain { .. }));
        for gone in [Answer::Object(None), object(&going)] {
            let (flight, effect) = next(looks(), gone, case.now, GUARDS);
            let at = Anchor { uid: "u".into(), resource_version: "9".into() };
            assert_eq!(effect, Some(Effect::DeleteSecret { name: "elsewhere".into(), at }));
            assert!(flight.cleans_up());
            let (again, effect) = next(flight.clone(), unknown(), case.now, GUARDS);
            assert!(again.cleans_up() && matches!(effect, Some(Effect::DeleteSecret { .. })));
            for ended in [done("9"), Answer::Gone] {
                let outcome = landed_as(next(flight.clone(), ended, case.now, GUARDS));
                assert!(matches!(outcome, Outcome::LookAgain { .. }));
            }
            let refused = Answer::Refused { reason: Reason::SecretRefused, message: "no".into() };
            for failed in [refused, Answer::Conflict, Answer::OutOfTime] {
                let outcome = landed_as(next(flight.clone(), failed, case.now, GUARDS));
                let Outcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
                assert!(message.contains("Secret elsewhere may have been written"), "{message}");
            }
        }
        let (flight, effect) = next(looks(), unknown(), case.now, GUARDS);
        assert!(flight.cleans_up() && effect == Some(Effect::ReadObject), "it looks once more");
        assert!(matches!(landed_as(next(flight, Answer::OutOfTime, case.now, GUARDS)), Outcome::Failed { .. }));
    }
}

#[test]
fn what_is_to_be_kept_is_not_taken_back() {
    let mut case = moving();
    case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    let (flight, _) = next(underway(&case, &["8", "9"]).0, Answer::Gone, case.now, GUARDS);
    let gone = next(flight, Answer::Object(None), case.now, GUARDS);
    assert!(matches!(landed_as(gone), Outcome::LookAgain { .. }), "it may have been recorded");
}

#[test]
fn a_copy_whose_answer_was_lost_is_told_when_nobody_remembers_it() {
    let unknown = Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
    let case = moving();
    let (flight, effect) = next(underway(&case, &["8"]).0, unknown, case.now, GUARDS);
    assert_eq!(effect, Some(Effect::ReadObject));
    let mut going = case.o.object.clone();
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
    for remembers in [case.o.object.clone(), going] {
        let read = Answer::Object(Some(Box::new(remembers)));
        assert!(matches!(landed_as(next(flight.clone(), read, case.now, GUARDS)), Outcome::LookAgain { .. }));
    }
    let outcome = landed_as(next(flight, Answer::Object(None), case.now, GUARDS));
    assert!(matches!(outcome, Outcome::Failed { reason: Reason::RevocationBlocked, .. }), "{outcome:?}");
}

/// Whoever moved the credential back meanwhile has written the object.
#[test]
fn a_former_secret_goes_on_the_version_that_was_decided_on() {
    let case = moved();
    let Step::Tidy(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(remembered(&step.record), ["elsewhere", "deployer"], "it is on record as long as it is there");
    let begin = || Tidy::start((*step).clone(), Anchor::of(&case.o.object));
    let (flight, effect) = begin();
    let at = Anchor::of(&case.o.object);
    assert_eq!(effect, Some(Effect::Burn { at, record: step.record.clone() }));
    assert!(!flight.cleans_up());
    for answer in [Answer::Conflict, Answer::Gone, Answer::OutOfTime] {
        assert!(matches!(landed_as(next(begin().0, answer, case.now, GUARDS)), Outcome::LookAgain { .. }));
    }
    let (flight, effect) = next(begin().0, done("8"), case.now, GUARDS);
    assert_eq!(effect, Some(Effect::DeleteSecret { name: "deployer".into(), at: step.at.clone() }));
    for gone in [done("9"), Answer::Gone] {
        let outcome = landed_as(next(flight.clone(), gone, case.now, GUARDS));
        assert_eq!(outcome, Outcome::Tidied { name: "deployer".into(), uid: step.at.uid.clone() });
    }
    let refused = || Answer::Refused { reason: Reason::SecretRefused, message: "no".into() };
    for flight in [begin().0, flight.clone()] {
        let outcome = landed_as(next(flight, refused(), case.now, GUARDS));
        assert_eq!(outcome, Outcome::Untidied { name: "deployer".into(), message: "no".into() });
    }
    assert!(matches!(landed_as(next(flight, Answer::Conflict, case.now, GUARDS)), Outcome::LookAgain { .. }));
}

/// The one who made it may be about to record it: the object is another version before it goes.
#[test]
fn a_copy_that_was_not_recorded_goes_before_another_is_made() {
    let mut case = moving();
    let copy = copy(&mut case);
    remembers(&mut case, &["deployer", "elsewhere"]);
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(copy.clone())));
    let step = relocation(&case);
    let at = Anchor { uid: copy.uid.clone(), resource_version: copy.resource_version.clone() };
    assert_eq!(step.over.as_ref(), Some(&at));
    let (flight, effect) = underway(&case, &["8"]);
    assert_eq!(effect, Some(Effect::DeleteSecret { name: "elsewhere".into(), at }));
    for gone in [done("77"), Answer::Gone] {
        let (_, effect) = next(flight.clone(), gone, case.now, GUARDS);
        assert!(matches!(effect, Some(Effect::Copy { .. })), "{effect:?}");
    }
    let refused = Answer::Refused { reason: Reason::SecretRefused, message: "no".into() };
    let outcome = landed_as(next(flight.clone(), refused, case.now, GUARDS));
    assert!(matches!(outcome, Outcome::Unmoved { .. }));
    assert!(matches!(landed_as(next(flight, Answer::Conflict, case.now, GUARDS)), Outcome::LookAgain { .. }));
}
