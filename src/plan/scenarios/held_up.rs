//! What C1 does not delete, or does not tell of, holds up nothing else: neither another client's end, nor what is to be said or done
//! for the present credential.

use super::{
    super::*,
    blocked::{at_rest, expired, says},
    case::Case,
    moves::moved,
    overlaps::used,
    renewals::{HOUR, rotates, settled},
};
use crate::api::{ConditionType, Reason, Rotation, RotationPolicy, Workload, WorkloadKind};

/// Only what C1 is asked for waits for C1.
#[test]
fn while_c1_does_not_tell_of_a_replaced_client_the_present_one_goes_first() {
    let mut case = used(HOUR * 2);
    case.inventory().began = case.ago(HOUR * 3);
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    case.secret().content = Content::Intact { rendered: false };
    assert_eq!(case.step(), Step::Look(look.clone()), "what ended goes first");
    // Another question was answered since: this one was not.
    case.o.failed_looks = vec![Look::Client("client-1".into()), look];
    assert!(matches!(case.step(), Step::Render(_)), "{:?}", case.step());
    let case = expired(case);
    assert!(matches!(case.step(), Step::UpdateStatus(_)), "{:?}", case.step());
}

#[test]
fn while_c1_does_not_tell_of_an_open_attempt_an_expired_credential_is_said_to_be() {
    let mut case = Case::ready();
    case.begun("another", HOUR);
    case.inventory().began_ago = HOUR * 2;
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    case.o.failed_looks = vec![look];
    let plan = case.plan();
    assert_eq!((plan.step, plan.wake), (Step::Nothing, Some(case.now + LOOK_AGAIN)));
    let case = expired(case);
    assert_eq!(case.reason(), Reason::Expired.as_str());
    assert_eq!(case.plan().wake, Some(case.now + LOOK_AGAIN));
}

/// Two clients were replaced, and their overlap is over.
fn two_replaced() -> Case {
    let mut case = used(HOUR * 2);
    let mut second = case.status().retiring[0].clone();
    (second.id, second.attempt) = ("client-9".into(), "ninth".into());
    case.status().retiring.push(second);
    case.lists("client-9", "ninth");
    case
}

#[test]
fn a_replaced_client_of_which_c1_does_not_tell_keeps_no_other_alive() {
    let mut case = two_replaced();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    case.listed().retain(|client| client.id != "client-0");
    assert_eq!(case.step(), Step::Look(Look::Client("client-0".into())));
    case.o.failed_looks = vec![Look::Client("client-0".into())];
    assert_eq!(case.step(), Step::Revoke("client-9".into()));
}

#[test]
fn a_client_that_c1_does_not_delete_keeps_no_other_alive() {
    let mut case = two_replaced();
    case.o.undeleted = ["client-0".to_owned()].into();
    assert_eq!(case.step(), Step::Revoke("client-9".into()));
    case.o.undeleted.insert("client-9".into());
    assert_eq!(case.step(), Step::Revoke("client-0".into()), "there is nothing else to do");
}

/// Nobody can use it, and C1 does not delete it.
#[test]
fn a_stray_that_c1_does_not_delete_holds_up_neither_another_nor_a_restart_nor_an_overlap() {
    let mut case = two_replaced();
    case.given_up(&["lost", "found"]);
    case.lists("stray-1", "lost");
    let abandons = |case: &Case| match case.step() {
        Step::Abandon(step) => step.client_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(abandons(&case), "stray-1");
    case.o.undeleted = ["stray-1".to_owned()].into();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    let consumer = Workload { kind: WorkloadKind::Deployment, name: Some("app".into()), selector: None };
    rotates(&mut case, Rotation { restart: Some(vec![consumer]), ..Rotation::default() });
    case.status().restart_pending = Some(true);
    assert!(matches!(case.step(), Step::Restart(_)), "{:?}", case.step());
    case.lists("stray-2", "found");
    assert_eq!(abandons(&case), "stray-2");
}

/// Its create took effect twice: nobody would know the other for ours when the first is struck.
#[test]
fn a_replaced_client_does_not_end_before_its_twin() {
    let mut case = two_replaced();
    case.lists("twin", "former");
    assert!(matches!(case.step(), Step::Abandon(step) if step.client_id == "twin"), "{:?}", case.step());
    case.o.undeleted = ["twin".to_owned()].into();
    assert_eq!(case.step(), Step::Revoke("client-9".into()));
    case.status().retiring.pop();
    case.listed().retain(|client| client.id != "client-9");
    assert!(matches!(case.step(), Step::Abandon(step) if step.client_id == "twin"), "{:?}", case.step());
    case.listed().retain(|client| client.id != "twin");
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
}

#[test]
fn while_suspended_a_client_that_c1_does_not_end_hides_nothing() {
    let mut case = used(HOUR * 2);
    case.o.object.spec.suspend = Some(true);
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    case.o.undeleted = ["client-0".to_owned()].into();
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    let case = at_rest(expired(settled(case)));
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
    assert_eq!(case.step(), Step::Revoke("client-0".into()), "it is tried again");
}

/// What the former Secret replaced once is not listed any more, and C1 does not say whether it lives.
#[test]
fn what_a_former_secret_owes_waits_for_no_answer() {
    let mut case = moved();
    let replaced = status::retiring(&case.current().clone(), case.ago(HOUR * 3), HOUR);
    let replaced = crate::api::RetiringClient { id: "client-0".into(), attempt: "former".into(), ..replaced };
    let SecretView::Present(former) = case.o.others.get_mut("deployer").unwrap() else { panic!() };
    former.delivered.as_mut().unwrap().replaces = vec![replaced];
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(look, Look::Client("client-0".into()));
    case.o.failed_looks = vec![look];
    match case.step() {
        Step::UpdateStatus(status) => {
            assert_eq!(status.retiring[0].id, "client-0", "it may live");
            assert!(status.retiring[0].revoke_time.0 < case.now, "it keeps no place for an overlap that it has had");
        }
        other => panic!("{other:?}"),
    }
    let mut listed = Case { o: case.o.clone(), now: case.now };
    let client = listed.lists("client-0", "former").clone();
    let mut read = Case { o: case.o.clone(), now: case.now };
    read.o.reads.insert("client-0".into(), ClientRead::Live(Box::new(client)));
    for shown in [listed, read] {
        match shown.step() {
            Step::UpdateStatus(status) => {
                assert!(status.retiring[0].revoke_time.0 > shown.now, "it lives, and has its overlap");
            }
            other => panic!("{other:?}"),
        }
    }
    let case = settled(case);
    assert!(matches!(case.step(), Step::Tidy(_)), "{:?}", case.step());
}

/// The same of what the Secret itself holds, and status does not name.
#[test]
fn what_the_secret_holds_waits_for_no_answer_before_it_is_replaced() {
    let mut case = Case::ready();
    let held = case.delivered();
    (held.client.id, held.client.attempt) = ("client-0".into(), "given-up".into());
    case.given_up(&["given-up"]);
    let mut case = settled(case);
    case.listed().retain(|client| client.id != "client-0");
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(look, Look::Client("client-0".into()));
    case.o.failed_looks = vec![look];
    let case = settled(case);
    assert!(matches!(case.step(), Step::Issue(_)), "{:?}", case.step());
    assert_eq!(case.issue().status.retiring[0].id, "client-0");
}

/// Whether the Secret's client lives decides what counts: till then nothing is said to be lost.
#[test]
fn while_suspended_what_the_secret_holds_is_not_judged_without_an_answer() {
    let mut case = Case::ready();
    let held = case.delivered();
    (held.client.id, held.client.attempt) = ("client-2".into(), "second".into());
    case.o.object.spec.suspend = Some(true);
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    case.o.failed_looks = vec![look.clone()];
    assert_eq!(case.step(), Step::Look(look));
}
