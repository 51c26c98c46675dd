//! Row 12: why a client is needed, what stands in between, and what is asked for.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::*,
    case::{Case, live},
};
use crate::api::{Expires, Reason};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A spec that asks for another name than the credential was made for.
fn edited() -> Case {
    let mut case = Case::ready();
    case.o.object.spec.expires = Some(Expires("1h".into()));
    case.o.object.metadata.generation = Some(2);
    case
}

/// It was said that the credential is lost, for the first time in a long while.
fn lost(reason: Reason) -> Case {
    let mut case = Case::ready();
    case.fails(reason);
    if reason == Reason::SecretLost {
        case.o.secret = SecretView::Absent;
    } else {
        case.listed().clear();
        case.reads(ClientRead::Gone);
    }
    case
}

// Why

#[test]
fn what_is_lost_is_said_with_its_cause() {
    let said = |change: fn(&mut Case)| {
        let mut case = Case::ready();
        change(&mut case);
        case.said()
    };
    let lost = |text: &str| (Reason::SecretLost.as_str().to_owned(), text.to_owned());
    assert_eq!(said(|case| case.o.secret = SecretView::Absent), lost("Secret deployer is missing"));
    let foreign = "Secret deployer is not the operator's any more";
    assert_eq!(said(|case| case.secret().delivered = None), lost(foreign));
    assert_eq!(said(|case| case.delivered().owner.name = "another".into()), lost(foreign));
    let left = "Secret deployer is of an earlier object of this name";
    assert_eq!(said(|case| case.delivered().owner.uid = "former".into()), lost(left));
    let altered = "the credential in Secret deployer was altered";
    assert_eq!(said(|case| case.secret().content = Content::Altered), lost(altered));
    let unusable = "Secret deployer holds a client that cannot be used";
    assert_eq!(said(|case| case.given_up(&["attempt1"])), lost(unusable));
    let revoked = (Reason::Revoked.as_str().to_owned(), "client client-1 was deleted at C1".to_owned());
    let gone = |case: &mut Case| {
        case.listed().clear();
        case.reads(ClientRead::Gone);
    };
    assert_eq!(said(gone), revoked);
}

#[test]
fn a_secret_that_was_not_read_is_read_unless_status_vouches_for_it() {
    let mut case = Case::ready();
    case.secret().content = Content::Unread;
    assert_eq!(case.step(), Step::Nothing);
    case.status().secret_resource_version = Some("another".into());
    assert_eq!(case.step(), Step::Look(Look::Live));
}

#[test]
fn that_a_client_is_gone_takes_a_list_and_a_read_as_its_owner_when_it_is_old() {
    let gone = |change: fn(&mut Case)| {
        let mut case = Case::ready();
        case.listed().clear();
        case.reads(ClientRead::Gone);
        change(&mut case);
        case.step()
    };
    assert!(matches!(gone(|_| ()), Step::UpdateStatus(_)));
    assert_eq!(gone(|case| case.o.reads.clear()), Step::Look(Look::Client("client-1".into())));
    for proof in [
        |case: &mut Case| case.reads(live(true)),
        |case: &mut Case| case.reads(live(false)),
        |case: &mut Case| case.inventory().complete = false,
        |case: &mut Case| case.inventory().empty = true,
        |case: &mut Case| case.issuer().inventory = None,
        |case: &mut Case| case.issuer().identity = None,
        |case: &mut Case| case.current().host = "another".into(),
        |case: &mut Case| case.current().user_id = "another".into(),
        |case: &mut Case| case.current().created_at = None,
        |case: &mut Case| case.current().created_at = Some(Time(case.ago(9 * MINUTE))),
        // Two minutes after it was made, at the least, the list began.
        |case: &mut Case| case.inventory().began = case.ago(HOUR) + Duration::from_secs(119),
        |case: &mut Case| case.o.as_of = case.ago(HOUR) + 9 * MINUTE,
        |case: &mut Case| case.issuer().clock_off = true,
    ] {
        assert_eq!(gone(proof), Step::Nothing);
    }
    assert!(matches!(gone(|case| case.inventory().began = case.ago(HOUR) + 2 * MINUTE), Step::UpdateStatus(_)));
    assert!(matches!(gone(|case| case.o.as_of = case.ago(HOUR) + 10 * MINUTE), Step::UpdateStatus(_)));
}

#[test]
fn one_that_is_past_its_lifetime_is_not_missed() {
    let mut case = Case::ready();
    case.listed().clear();
    case.reads(ClientRead::Gone);
    let past = case.ago(MINUTE);
    case.expires(past);
    assert_eq!(case.reason(), Reason::Expired.as_str());
}

#[test]
fn what_was_proven_gone_stays_so_when_another_user_asks() {
    let mut case = lost(Reason::Revoked);
    case.o.reads.clear();
    case.issuer().identity.as_mut().unwrap().user_id = "another".into();
    assert_eq!(case.issue().need, Need::Revoked);
}

// What stands in between

#[test]
fn an_issuer_that_cannot_issue_is_named() {
    let said = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        case.said()
    };
    let (reason, message) = said(|case| case.o.issuer = None);
    assert_eq!((reason.as_str(), message.as_str()), ("IssuerNotFound", "ClusterClientIssuer default does not exist"));
    let (reason, message) = said(|case| {
        case.issuer().identity = None;
        case.issuer().not_ready = Some((Reason::Unauthorized, "why".into()));
    });
    assert_eq!(reason, "IssuerNotReady");
    assert_eq!(message, "ClusterClientIssuer default is not ready: Unauthorized: why");
    for waits in [
        |case: &mut Case| case.issuer().held = false,
        |case: &mut Case| case.issuer().identity = None,
        |case: &mut Case| case.issuer().inventory = None,
        |case: &mut Case| case.issuer().namespace_selected = None,
    ] {
        let mut case = Case::new();
        waits(&mut case);
        assert_eq!(case.step(), Step::Nothing, "its first look tells");
    }
}

#[test]
fn what_the_issuer_does_not_allow_is_not_issued() {
    let mut case = Case::new();
    case.issuer().namespace_selected = Some(false);
    assert_eq!(case.reason(), "DeniedByPolicy");
    let mut case = Case::new();
    case.o.object.spec.scoped_roles = None;
    assert_eq!(case.reason(), "DeniedByPolicy");
    case.issuer().full_permissions = true;
    assert!(case.issue().wanted.scoped_roles.is_empty());
    case.issuer().defaults.scoped_roles = Some(vec!["default".into()]);
    case.issuer().full_permissions = false;
    assert_eq!(case.issue().wanted.scoped_roles, ["default"]);
}

#[test]
fn a_lifetime_that_is_none_is_refused() {
    let mut case = Case::new();
    case.o.object.spec.expires = Some(Expires("soon".into()));
    assert_eq!(case.reason(), "RequestRejected");
}

#[test]
fn somebody_elses_secret_is_not_overwritten() {
    let mut case = Case::ready();
    case.o.object.status = None;
    case.o.object.metadata.annotations = None;
    case.secret().delivered = None;
    let (reason, message) = case.said();
    assert_eq!(reason, "SecretConflict");
    assert!(message.starts_with("Secret deployer exists and was not made by the operator"), "{message}");
}

/// The pause of this many failures, and a tenth more at the most.
fn paused(case: &Case) -> Option<Duration> {
    let plan = case.plan();
    if matches!(plan.step, Step::Issue(_)) {
        return None;
    }
    assert_eq!(plan.step, Step::Nothing);
    Some(plan.wake.expect("a time to wake at").duration_since(case.now).try_into().unwrap())
}

fn failed(reason: Reason, times: i32) -> Case {
    let mut case = Case::new();
    for _ in 0..times {
        case.fails(reason);
    }
    case
}

fn is_about(duration: Option<Duration>, expected: Duration) -> bool {
    duration.is_some_and(|d| expected <= d && d <= expected + expected / 10)
}

#[test]
fn after_failures_the_pause_doubles_up_to_an_hour() {
    for (reason, times, pause) in [
        (Reason::Unreachable, 1, Duration::from_secs(5)),
        (Reason::Unreachable, 2, Duration::from_secs(10)),
        (Reason::Unreachable, 4, Duration::from_secs(40)),
        (Reason::Unreachable, 40, HOUR),
        (Reason::RoleNotFound, 1, MINUTE),
        (Reason::RoleNotFound, 2, 2 * MINUTE),
        (Reason::RoleNotFound, 6, 32 * MINUTE),
        (Reason::RoleNotFound, 7, HOUR),
        (Reason::SecretRefused, 1, MINUTE),
    ] {
        let waits = paused(&failed(reason, times));
        assert!(is_about(waits, pause), "{reason:?} {times} times: {waits:?}");
    }
}

#[test]
fn a_pause_ends_and_a_new_spec_does_not_wait() {
    let mut case = failed(Reason::RoleNotFound, 1);
    case.o.object.metadata.generation = Some(2);
    assert_eq!(paused(&case), None);
    let mut case = failed(Reason::RoleNotFound, 1);
    case.now += paused(&case).expect("it waits");
    case.o.as_of = case.now;
    assert_eq!(paused(&case), None, "it ends when it was to");
}

/// The spec was changed while it was tried as it was before.
#[test]
fn a_spec_does_not_wait_for_the_failure_of_its_predecessor() {
    let mut case = failed(Reason::RoleNotFound, 1);
    case.o.object.metadata.generation = Some(2);
    let said = |case: &Case, generation| {
        let mut tried = case.o.object.clone();
        tried.metadata.generation = Some(generation);
        status::failure(&case.o.object, &status::Tried::of(&tried), Reason::RoleNotFound, "why", case.now)
    };
    case.o.object.status = Some(said(&case, 1));
    assert_eq!(paused(&case), None);
    case.o.object.status = Some(said(&case, 2));
    assert!(is_about(paused(&case), MINUTE), "it was tried itself");
    case.o.object.status = Some(said(&case, 1));
    assert_eq!(case.status().observed_generation, 2, "what was seen stays seen");
}

#[test]
fn of_an_object_that_goes_a_failure_says_that_it_cannot_go() {
    let mut case = failed(Reason::RoleNotFound, 1);
    case.o.object.metadata.deletion_timestamp = Some(Time(case.now));
    case.o.object.metadata.generation = Some(2);
    let said =
        status::failure(&case.o.object, &status::Tried::of(&case.o.object), Reason::Unreachable, "why", case.now);
    assert_eq!(status::ready_reason(&said), Some(Reason::RevocationBlocked.as_str()));
    assert_eq!((said.observed_generation, said.failed_issuance_attempts), (2, Some(1)), "it is no failure to issue");
}

/// Whoever keeps deleting the Secret does not make us mint without end; but once is no matter.
#[test]
fn a_first_loss_is_made_good_at_once_and_repeated_ones_are_not() {
    for reason in [Reason::SecretLost, Reason::Revoked] {
        let mut case = lost(reason);
        assert!(matches!(case.step(), Step::Issue(_)), "{reason:?}");
        case.status().failed_issuance_attempts = Some(2);
        assert!(is_about(paused(&case), MINUTE), "{reason:?}: {:?}", paused(&case));
        case.status().failed_issuance_attempts = Some(3);
        assert!(is_about(paused(&case), 2 * MINUTE), "{reason:?}");
    }
}

#[test]
fn losses_are_counted_for_a_day() {
    let count = |ago: Duration| {
        let mut case = Case::ready();
        case.o.secret = SecretView::Absent;
        case.status().failed_issuance_attempts = Some(3);
        case.status().last_failure_time = Some(Time(case.ago(ago)));
        match case.step() {
            Step::UpdateStatus(status) => status.failed_issuance_attempts,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(count(23 * HOUR), Some(4));
    assert_eq!(count(24 * HOUR), Some(1));
}

#[test]
fn while_three_retire_a_rotation_waits_and_a_loss_does_not() {
    let mut case = edited();
    for n in 0..3 {
        let mut former = status::retiring(&case.current().clone(), case.now, HOUR);
        former.id = format!("former-{n}");
        former.attempt = former.id.clone();
        former.revoke_time.0 = case.now + (n + 1) * HOUR;
        case.status().retiring.push(former);
    }
    let plan = case.plan();
    assert_eq!(case.reason(), "Issuing");
    assert_eq!(plan.wake, Some(case.now + HOUR));
    // Its overlap is over, and C1 may not yet show whether there are two of it.
    case.status().retiring[0].revoke_time.0 = case.now;
    let settled = case.status().retiring[0].since.0 + 10 * MINUTE;
    assert_eq!(case.plan().wake, Some(settled));
    case.status().retiring[0].user_id = "another".into();
    assert!(matches!(case.step(), Step::Issue(_)), "what another user made never ends by itself");
    case.status().retiring[0].user_id = "user".into();
    case.o.secret = SecretView::Absent;
    case.fails(Reason::SecretLost);
    assert_eq!(case.issue().need, Need::SecretLost);
}

// What is asked for

#[test]
fn an_issue_names_what_it_replaces_and_what_it_overwrites() {
    let mut case = edited();
    let step = case.issue();
    assert_eq!(step.need, Need::SpecChanged);
    assert_eq!(step.replaces.map(|c| c.id).as_deref(), Some("client-1"));
    assert!(step.secret.is_some());
    assert_eq!(step.attempt, case.o.fresh_attempt);
    assert_eq!(Marker::parse(&step.display_name).map(|m| m.attempt), Some(step.attempt));
    let open = step.record.open.unwrap();
    assert_eq!((open.host.as_str(), open.user_id.as_str(), open.started_at), ("h", "user", case.now));
    case.o.fresh_attempt = String::new();
    assert_eq!(case.step(), Step::Nothing, "without a name there is no attempt");

    let revoked = lost(Reason::Revoked);
    assert_eq!(revoked.issue().replaces, None, "it is gone");
    assert!(revoked.issue().record.is_abandoned("attempt1"), "should it have made another");
}

/// Its attempt is given up with the next issue, should it have made a second one; and that fails.
#[test]
fn what_is_gone_stays_revoked_while_another_cannot_be_made() {
    let mut case = lost(Reason::Revoked);
    case.given_up(&["attempt1"]);
    assert_eq!(case.issue().need, Need::Revoked);
}

/// The Secret is to be overwritten: what only it names must be named by status first.
#[test]
fn what_only_the_secret_names_is_named_before_it_is_overwritten() {
    let retiring = |case: &Case| match case.step() {
        Step::UpdateStatus(status) => status.retiring.into_iter().map(|r| r.id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    // What it replaced, and lives.
    let mut case = edited();
    let owed = |case: &mut Case, since| {
        let mut owed = status::retiring(&case.current().clone(), since, HOUR);
        (owed.id, owed.attempt) = ("owed".into(), "owed".into());
        case.delivered().replaces = vec![owed];
    };
    let since = case.ago(HOUR);
    owed(&mut case, since);
    assert_eq!(case.step(), Step::Look(Look::Client("owed".into())));
    case.o.reads.insert("owed".into(), ClientRead::Gone);
    assert!(matches!(case.step(), Step::Issue(_)), "it is gone");
    case.o.reads.insert("owed".into(), live(true));
    assert_eq!(retiring(&case), ["owed"]);
    case.o.reads.clear();
    let young = case.ago(MINUTE);
    owed(&mut case, young);
    assert_eq!(retiring(&case), ["owed"], "C1 may not show it yet");
    case.delivered().replaces[0].user_id = "another".into();
    assert!(matches!(case.step(), Step::Issue(_)), "another user's cannot be ended");

    // What it holds, of an abandoned attempt or altered before it was recorded.
    let mut case = Case::ready();
    case.o.object.status = None;
    case.given_up(&["attempt1"]);
    case.listed().clear();
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(ClientRead::Gone);
    assert!(matches!(case.step(), Step::Issue(_)));
    case.reads(live(true));
    assert_eq!(retiring(&case), ["client-1"]);
    case.o.reads.clear();
    let (old, young) = (case.delivered().client.created_at.clone(), Time(case.ago(MINUTE)));
    case.delivered().client.created_at = Some(young);
    assert_eq!(retiring(&case), ["client-1"], "C1 may not show it yet");
    case.delivered().client.created_at = old;
    case.delivered().client.user_id = "another".into();
    assert_eq!(retiring(&case), ["client-1"], "C1 would not show it");
}
