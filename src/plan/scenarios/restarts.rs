//! The restart of consumers that read the Secret only when they start.

use std::time::Duration;

use super::{
    super::*,
    case::Case,
    renewals::{DAY, HOUR, MINUTE, asks, rotates, settled},
};
use crate::api::{IssuedClient, Reason, Rotation, Workload, WorkloadKind};

/// Ready with a client that has replaced another so long ago, whose overlap is this; its consumer waits for a restart.
fn restarting(ago: Duration, overlap: Duration) -> Case {
    let mut case = settled(Case::ready());
    let workload = Workload { kind: WorkloadKind::Deployment, name: Some("consumer".into()), selector: None };
    rotates(&mut case, Rotation { restart: Some(vec![workload]), ..Rotation::default() });
    let since = case.ago(ago);
    let former = IssuedClient { id: "former".into(), attempt: "former".into(), ..case.current().clone() };
    case.lists("former", "former").created_at = Some(since - HOUR);
    case.status().retiring = vec![status::retiring(&former, since, overlap)];
    case.status().restart_pending = Some(true);
    case
}

#[test]
fn consumers_are_restarted_a_little_after_the_last_replacement() {
    let soon = restarting(Duration::from_secs(3), HOUR);
    let plan = soon.plan();
    assert!(!matches!(plan.step, Step::Restart(_)));
    let due = soon.o.object.status.as_ref().unwrap().retiring[0].since.0 + Duration::from_secs(10);
    assert_eq!(plan.wake, Some(due));
    let mut case = restarting(Duration::from_secs(11), HOUR);
    let id = case.current().id.clone();
    match case.step() {
        Step::Restart(step) => assert_eq!((step.client_id, step.workloads.len()), (id, 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn consumers_are_restarted_before_what_was_replaced_ends() {
    let case = restarting(Duration::from_secs(5), Duration::from_secs(2));
    assert!(matches!(case.step(), Step::Restart(_)), "{:?}", case.step());
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_consumers_from_their_restart() {
    let mut case = restarting(Duration::ZERO, HOUR);
    case.status().retiring[0].since.0 += DAY;
    assert!(matches!(case.step(), Step::Restart(_)), "{:?}", case.step());
}

#[test]
fn consumers_wait_while_the_credential_is_lost() {
    let mut case = restarting(Duration::from_secs(11), HOUR);
    case.o.secret = SecretView::Absent;
    assert!(!matches!(case.step(), Step::Restart(_)));
    let mut case = restarting(Duration::from_secs(11), HOUR);
    case.delivered().client.id = "another".into();
    assert!(!matches!(case.step(), Step::Restart(_)));
    let mut case = restarting(Duration::from_secs(11), HOUR);
    case.secret().content = Content::Altered;
    let case = settled(case);
    assert!(!matches!(case.step(), Step::Restart(_)), "it was altered");
    // What only is to be replaced is whole.
    let mut case = restarting(Duration::from_secs(11), HOUR);
    asks(&mut case, "now");
    assert!(matches!(case.step(), Step::Restart(_)), "{:?}", case.step());
}

#[test]
fn where_nobody_is_to_be_restarted_any_more_nobody_waits() {
    let mut case = restarting(Duration::from_secs(3), HOUR);
    rotates(&mut case, Rotation::default());
    match case.step() {
        Step::UpdateStatus(status) => assert_eq!(status.restart_pending, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn while_suspended_nobody_wakes_for_a_restart() {
    let mut case = restarting(Duration::from_secs(11), HOUR);
    case.o.object.spec.suspend = Some(true);
    let case = settled(case);
    assert!(case.plan().wake.is_none_or(|wake| wake > case.now), "{:?}", case.plan());
}

#[test]
fn a_restart_that_failed_holds_nothing_up() {
    let mut case = restarting(2 * HOUR, HOUR);
    case.o.restart_failed = true;
    case.inventory().began = case.now;
    assert!(matches!(case.step(), Step::Revoke(id) if id == "former"), "{:?}", case.step());
    case.status().retiring.clear();
    let case = settled(case);
    assert!(case.plan().wake.is_some_and(|wake| wake > case.now && wake <= case.now + MINUTE), "it is tried again");
}

/// What they use ends with its overlap, whatever else is wrong with the object.
#[test]
fn consumers_are_restarted_also_while_the_object_is_not_ready() {
    let mut case = restarting(Duration::from_secs(11), HOUR);
    case.fails(Reason::SecretConflict);
    assert!(matches!(case.step(), Step::Restart(_)), "{:?}", case.step());
}

#[test]
fn while_suspended_what_consumers_may_still_use_does_not_end() {
    let mut case = restarting(2 * HOUR, HOUR);
    case.o.object.spec.suspend = Some(true);
    let case = settled(case);
    assert_eq!(case.step(), Step::Nothing);
    let mut restarted = case;
    restarted.status().restart_pending = None;
    assert_eq!(restarted.step(), Step::Revoke("former".into()));
}
