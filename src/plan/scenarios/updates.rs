//! Changes in place: of what the spec asks for anew, and of what somebody changed at C1.

use super::{
    super::*,
    case::{Case, live},
    servers::GUARDS,
};
use crate::{
    api::{ConditionType, PersonalClientStatus, Reason, condition::find},
    c1::{Client, Field, UpdateRequest},
};

/// An object whose spec asks for another name.
fn renamed() -> Case {
    let mut case = Case::ready();
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    case
}

/// Somebody has given the client other networks at C1, and a read shows it.
fn drifted() -> Case {
    let mut case = Case::ready();
    case.listed()[0].allow_source_cidr = vec!["10.0.0.0/8".into()];
    let shown = case.listed()[0].clone();
    case.reads(ClientRead::Live(Box::new(shown)));
    case
}

fn update(case: &Case) -> UpdateStep {
    match case.step() {
        Step::Update(step) => *step,
        other => panic!("nothing is changed, but {other:?}"),
    }
}

/// The transaction, up to the answer to the update.
fn answered(case: &Case, answer: impl FnOnce(&UpdateRequest) -> Answer) -> Next {
    let (flight, effect) = Update::start(update(case), case.o.object.clone());
    let Some(Effect::Update(request)) = effect else { panic!("{effect:?}") };
    next(flight, answer(&request), case.now, GUARDS)
}

fn done(case: &Case, request: &UpdateRequest) -> Answer {
    let mut client = case.o.issuer.as_ref().unwrap().inventory.as_ref().unwrap().clients[0].clone();
    client.display_name.clone_from(&request.display_name);
    client.allow_source_cidr.clone_from(&request.allow_source_cidr);
    Answer::Updated(Box::new(client))
}

fn recorded(next: &Next) -> &PersonalClientStatus {
    match &next.1 {
        Some(Effect::Record { status, .. }) => status,
        other => panic!("nothing is recorded, but {other:?}"),
    }
}

fn refusal(message: &str) -> Answer {
    Answer::Refused { reason: Reason::RequestRejected, message: message.into() }
}

#[test]
fn what_the_spec_asks_for_anew_is_changed_and_nothing_else() {
    let case = renamed();
    let step = update(&case);
    assert_eq!(step.request.fields, [Field::DisplayName]);
    assert!(step.request.display_name.starts_with("another [k8s ") && step.edited && step.drifted.is_empty());
    let attempt = Marker::parse(&step.request.display_name).map(|marker| marker.attempt);
    assert_eq!(attempt.as_ref(), case.o.object.status.as_ref().unwrap().client.as_ref().map(|c| &c.attempt));
    let next = answered(&case, |request| done(&case, request));
    let status = recorded(&next);
    let client = status.client.as_ref().unwrap();
    assert_eq!((&client.display_name, &client.requested), (&step.request.display_name, &step.requested));
    assert!(status::is_ready(status) && status.observed_generation == 2);
    let mut after = renamed();
    after.o.object.status = Some(status.clone());
    after.listed()[0].display_name.clone_from(&step.request.display_name);
    assert_eq!(after.step(), Step::Nothing);
}

#[test]
fn what_drifted_is_read_before_it_is_put_back() {
    let mut case = drifted();
    assert_eq!(
        (update(&case).request.fields, update(&case).drifted),
        (vec![Field::AllowSourceCidr], vec![Field::AllowSourceCidr])
    );
    case.o.reads.clear();
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(live(true));
    assert_eq!(case.step(), Step::Nothing, "the list is old");
    case.listed()[0].display_name = "somebody's own".into();
    case.o.reads.clear();
    assert_eq!(case.step(), Step::Nothing, "without the marker it is not ours");
}

#[test]
fn a_lifetime_is_not_changed_in_place() {
    let mut case = renamed();
    case.o.object.spec.expires = Some(crate::api::Expires("1h".into()));
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::SpecChanged));
}

#[test]
fn of_a_client_without_the_marker_a_new_spec_gets_a_new_one() {
    let mut case = renamed();
    case.listed()[0].display_name = "somebody's own".into();
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::SpecChanged));
    // Also after a look that could not do it, and said so of this very spec.
    case.status().observed_generation = 2;
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::SpecChanged));
    let mut defaults = Case::ready();
    defaults.listed()[0].display_name = "somebody's own".into();
    defaults.issuer().defaults.allow_source_cidr = Some(vec!["10.0.0.0/8".into()]);
    assert_eq!(defaults.step(), Step::Nothing, "for the issuer's defaults none is issued");
}

#[test]
fn a_spec_stays_new_until_it_is_applied() {
    let mut case = renamed();
    case.fails(Reason::Unreachable);
    case.now += std::time::Duration::from_hours(2);
    assert!(update(&case).edited, "should C1 refuse it now, a new client is issued");
}

#[test]
fn what_drifted_of_another_field_is_still_to_be_put_back() {
    let case = renamed();
    let next = answered(&case, |request| {
        let opened = Client { scoped_roles: vec!["everything".into()], ..Client::default() };
        Answer::Updated(Box::new(Client { display_name: request.display_name.clone(), ..opened }))
    });
    let client = recorded(&next).client.clone().unwrap();
    assert_eq!(
        Some(&client.scoped_roles),
        case.o.object.status.as_ref().unwrap().client.as_ref().map(|c| &c.scoped_roles)
    );
    assert!(client.display_name.starts_with("another "));
}

#[test]
fn what_c1_refuses_of_a_new_spec_is_issued_anew() {
    let case = renamed();
    let next = answered(&case, |_| refusal("status 400"));
    let status = recorded(&next).clone();
    assert_eq!(status.update_refused_generation, Some(2));
    assert!(find(&status.conditions, ConditionType::Ready).unwrap().message.contains("status 400"));
    let mut after = renamed();
    after.o.object.status = Some(status);
    assert!(matches!(after.step(), Step::Issue(step) if step.need == Need::SpecChanged));
    // What is refused of anything else stays as it is.
    let next = answered(&drifted(), |_| refusal("status 400"));
    assert!(matches!(next.0, Flight::Landed(outcome) if matches!(*outcome, Outcome::Failed { .. })));
}

#[test]
fn what_may_come_right_is_tried_again() {
    let lost = || Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
    let refused = || Answer::Refused { reason: Reason::RoleNotFound, message: "no such role".into() };
    let said = |case: &Case, answer| match answered(case, |_| answer) {
        (Flight::Landed(outcome), None) => match *outcome {
            Outcome::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&renamed(), lost()), "no answer");
    assert_eq!(said(&renamed(), refused()), "no such role");
    assert_eq!(said(&drifted(), refused()), "client client-1 cannot be changed: no such role");
    let (flight, _) = answered(&renamed(), |_| Answer::Gone);
    assert!(matches!(flight, Flight::Landed(outcome) if matches!(*outcome, Outcome::LookAgain { .. })));
}

#[test]
fn a_name_that_was_cut_is_put_back_as_long_as_there_is_time() {
    let mut case = renamed();
    case.o.object.spec.allow_source_cidr = Some(vec!["10.0.0.0/8".into()]);
    let (flight, _) = Update::start(update(&case), case.o.object.clone());
    assert!(!flight.cleans_up(), "nothing is to be put back yet");
    let cut =
        |_: &UpdateRequest| Answer::Updated(Box::new(Client { display_name: "anoth".into(), ..Client::default() }));
    let (flight, effect) = answered(&case, cut);
    let former = case.o.object.status.as_ref().unwrap().client.as_ref().unwrap().display_name.clone();
    let is_former = |effect: &Option<Effect>| matches!(effect, Some(Effect::Update(request)) if request.display_name == former && request.fields == [Field::DisplayName]);
    assert!(is_former(&effect) && flight.cleans_up());
    let lost = Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
    let (flight, effect) = next(flight, lost, case.now, GUARDS);
    assert!(is_former(&effect), "it is tried again");
    for (answer, words) in
        [(Answer::Updated(Box::default()), "use a shorter"), (Answer::OutOfTime, "could not be put back")]
    {
        let (flight, _) = next(flight.clone(), answer, case.now, GUARDS);
        let Flight::Landed(outcome) = flight else { panic!("{flight:?}") };
        let Outcome::Failed { reason, message, .. } = *outcome else { panic!("{outcome:?}") };
        assert!(reason == Reason::MarkerTruncated && message.contains(words), "{message}");
    }
}

#[test]
fn what_the_issuer_does_not_allow_is_said() {
    let mut case = renamed();
    case.issuer().namespace_selected = Some(false);
    assert_eq!(case.reason(), Reason::DeniedByPolicy.as_str());
    let mut defaults = drifted();
    defaults.issuer().namespace_selected = Some(false);
    let Step::UpdateStatus(status) = defaults.step() else { panic!("{:?}", defaults.step()) };
    assert!(status::is_ready(&status) && find(&status.conditions, ConditionType::RenewalFailing).is_some());
}

#[test]
fn while_suspended_nothing_is_changed() {
    for mut case in [renamed(), drifted()] {
        case.o.object.spec.suspend = Some(true);
        assert!(!matches!(case.step(), Step::Update(_)));
    }
}

#[test]
fn roles_are_the_same_in_any_order() {
    let roles = |roles: &[&str]| roles.iter().map(|&role| role.to_owned()).collect::<Vec<_>>();
    let shown = |shown: &[&str]| {
        let mut case = Case::ready();
        case.current().scoped_roles = roles(&["a", "b"]);
        case.listed()[0].scoped_roles = roles(shown);
        let client = case.listed()[0].clone();
        case.reads(ClientRead::Live(Box::new(client)));
        case
    };
    assert_eq!(update(&shown(&["a", "c"])).drifted, [Field::ScopedRoles]);
    assert_eq!(shown(&["b", "a"]).step(), Step::Nothing);
}

#[test]
fn a_change_ends_what_failed_before_it() {
    let mut case = renamed();
    case.fails(Reason::Unreachable);
    case.status().last_failed_rotate_at = Some("x".into());
    case.status().update_refused_generation = Some(1);
    case.now += std::time::Duration::from_hours(2);
    let (flight, effect) = answered(&case, |request| done(&case, request));
    let Some(Effect::Record { status, .. }) = effect else { panic!("{effect:?}") };
    assert_eq!((status.failed_issuance_attempts, &status.last_failure_time), (None, &None));
    assert_eq!((&status.last_failed_rotate_at, status.update_refused_generation), (&None, None));
    let written = Answer::Done(Anchor { uid: "uid".into(), resource_version: "9".into() });
    match next(flight, written, case.now, GUARDS) {
        (Flight::Landed(outcome), None) => {
            assert!(matches!(*outcome, Outcome::Updated { fields, .. } if fields == [Field::DisplayName]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_changed_for_the_issuer_is_said_of_the_present_spec() {
    let mut case = Case::ready();
    case.o.object.metadata.generation = Some(2);
    case.issuer().defaults.allow_source_cidr = Some(vec!["10.0.0.0/8".into()]);
    case.issuer().namespace_selected = Some(false);
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert!(status::is_ready(&status) && status.observed_generation == 2);
    assert!(find(&status.conditions, ConditionType::RenewalFailing).is_some());
}

#[test]
fn a_change_that_has_to_wait_does_not_wait_beyond_the_expiry() {
    let mut case = renamed();
    let expires = case.now + std::time::Duration::from_hours(24);
    case.expires(expires);
    // The list shows it, a read does not: C1 may not know it everywhere yet.
    case.reads(ClientRead::Gone);
    let plan = case.plan();
    assert!(plan.step == Step::Nothing && plan.wake.is_some_and(|wake| wake <= expires), "{plan:?}");
}
