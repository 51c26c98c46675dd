//! Stories of the protocol on abstract servers: replicas that pause at the worst moment and go on. Each guard has one that
//! goes wrong without it; `make sabotage` shows that it does.

mod abandons;
mod blocked;
mod case;
mod ends;
mod held_up;
mod issuers;
mod issues;
mod moves;
mod needs;
mod observations;
mod overlaps;
mod properties;
mod records;
mod relocations;
mod removal;
mod removes;
mod renewals;
mod restarts;
mod rows;
mod servers;
mod stories;
mod updates;
mod withdrawal;

use std::time::Duration;

use servers::{GUARDS, Replica, is_create, is_deliver, issued, one_for_one, servers, wait, wait_until_old};

use super::*;
use crate::api::{Expires, Reason};

#[test]
fn an_issue_makes_three_writes_and_one_client() {
    let (servers, _) = issued();
    assert_eq!(servers.borrow().creates, 1);
    // Intend, deliver, record.
    assert_eq!(servers.borrow().version, 4);
}

/// The maker is slow. Another replica must not take its attempt for dead: that would be a second one under way.
#[test]
fn a_young_attempt_is_left_to_its_maker() {
    let servers = servers();
    let (mut maker, mut other) = (Replica::new(&servers), Replica::new(&servers));
    maker.look();
    for stop in [is_create, is_deliver] {
        maker.run_until(stop);
        for _ in 0..4 {
            wait(&servers, Duration::from_secs(20));
            other.list();
            other.look();
            assert!(other.flight.is_none(), "somebody meddles with an attempt that is under way");
        }
    }
    maker.settle();
    other.settle();
    one_for_one(&servers);
    assert_eq!(servers.borrow().creates, 1);
}

/// The list was read before the create landed: that it shows nothing proves nothing.
#[test]
fn an_old_list_is_no_evidence() {
    let servers = servers();
    let (mut maker, mut other) = (Replica::new(&servers), Replica::new(&servers));
    maker.look();
    maker.run_until(is_create);
    other.list();
    other.look();
    // The create lands; its maker dies with the secret.
    maker.run_until(is_deliver);
    drop(maker);
    wait_until_old(&servers);
    let creates = servers.borrow().creates;
    for _ in 0..3 {
        other.look();
        other.run_until(is_create);
        if other.flight.is_some() {
            break;
        }
    }
    assert!(
        servers.borrow().live().is_empty() || other.flight.is_none(),
        "a second client, while the first was not resolved"
    );
    assert_eq!(servers.borrow().creates, creates);
    other.settle();
    one_for_one(&servers);
}

/// The maker sleeps between create and delivery until others have given its attempt up, and then goes on. No Secret is
/// there, so nothing keeps it from delivering; but it must not record.
#[test]
fn a_maker_that_wakes_up_late_does_not_record() {
    let servers = servers();
    let (mut maker, mut other) = (Replica::new(&servers), Replica::new(&servers));
    maker.look();
    maker.run_until(is_deliver);
    other.look();
    wait_until_old(&servers);
    // The other gives it up, and stops before it begins anew.
    while servers.borrow().live().len() == 1 {
        other.look();
        other.run_until(is_create);
    }
    maker.run_until(|_| false);
    servers.borrow().check();
    maker.settle();
    other.flight = None;
    wait_until_old(&servers);
    other.settle();
    one_for_one(&servers);
}

/// What a late maker delivered holds a client of an abandoned attempt: it is never taken for good.
#[test]
fn a_secret_of_an_abandoned_attempt_counts_as_lost() {
    let servers = servers();
    let (mut maker, mut other) = (Replica::new(&servers), Replica::new(&servers));
    maker.look();
    maker.run_until(is_deliver);
    other.look();
    wait_until_old(&servers);
    while servers.borrow().live().len() == 1 {
        other.look();
        other.run_until(|_| false);
    }
    maker.run_until(|e| matches!(e, Effect::Record { .. }));
    drop(maker);
    let mut third = Replica::new(&servers);
    third.settle();
    one_for_one(&servers);
}

/// During a rotation the Secret works: a late maker must not overwrite it with a client that was deleted.
#[test]
fn a_maker_that_wakes_up_late_does_not_overwrite_a_working_secret() {
    let (servers, mut maker) = issued();
    servers.borrow_mut().object.spec.expires = Some(Expires("1h".into()));
    servers.borrow_mut().object.metadata.generation = Some(2);
    let _ = servers.borrow_mut().touch();
    maker.begin();
    maker.run_until(is_deliver);
    let mut other = Replica::new(&servers);
    other.look();
    wait_until_old(&servers);
    while servers.borrow().live().len() == 2 {
        other.look();
        other.run_until(is_create);
    }
    maker.run_until(|_| false);
    servers.borrow().check();
    let held =
        servers.borrow().secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone()).unwrap();
    assert!(servers.borrow().clients[&held].1, "the Secret, which worked, holds a client that was deleted");
    other.flight = None;
    wait_until_old(&servers);
    other.settle();
    one_for_one(&servers);
}

/// The maker delivers in the moment in which another gives its attempt up: the Secret's word is final.
#[test]
fn what_the_secret_holds_is_not_deleted() {
    let servers = servers();
    let (mut maker, mut other) = (Replica::new(&servers), Replica::new(&servers));
    maker.look();
    maker.run_until(is_deliver);
    other.look();
    wait_until_old(&servers);
    other.list();
    other.look();
    other.run_until(|e| matches!(e, Effect::Burn { .. }));
    maker.run_until(|e| matches!(e, Effect::Record { .. }));
    // `perform` holds that no client is deleted while the Secret holds it.
    other.run_until(|_| false);
    drop(maker);
    other.settle();
    one_for_one(&servers);
}

/// The Secret is lost, so nothing can be fenced: before a new attempt begins, status must have ceased to say Ready.
#[test]
fn a_lost_secret_is_said_before_a_new_attempt_begins() {
    let (servers, mut maker) = issued();
    servers.borrow_mut().secret = None;
    // Nobody is to blame for this moment.
    maker.begin();
    maker.run_until(|e| matches!(e, Effect::Intend { .. }));
    assert!(
        !status::is_ready(&servers.borrow().object.status_or_default()),
        "an attempt begins while status says Ready"
    );
    maker.settle();
    one_for_one(&servers);
}

/// The answer to the delivery is lost, and its repetition is a conflict: with our own write.
#[test]
fn a_conflict_with_our_own_delivery_is_read_back() {
    let servers = servers();
    let mut maker = Replica::new(&servers);
    maker.look();
    maker.run_until(is_deliver);
    maker.perform_and_hear(Answer::Conflict);
    maker.run_until(|_| false);
    one_for_one(&servers);
    assert_eq!(servers.borrow().creates, 1);
}

/// Absent from a list as another user, or soon after it was made, is not gone.
#[test]
fn absent_is_not_gone() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_mins(30));
    servers.borrow_mut().object.status.as_mut().unwrap().client.as_mut().unwrap().user_id = "former".into();
    replica.list = Some((servers.borrow().now, vec![]));
    assert!(!replica.look(), "it was taken for gone");
    let (servers, mut young) = issued();
    wait(&servers, Duration::from_mins(5));
    young.list = Some((servers.borrow().now, vec![]));
    assert!(!young.look(), "it was taken for gone");
}

/// What is as it should be needs nothing, however often it is looked at.
#[test]
fn a_settled_object_is_left_alone() {
    let (servers, mut replica) = issued();
    let version = servers.borrow().version;
    for _ in 0..3 {
        wait(&servers, Duration::from_hours(1));
        replica.list();
        assert!(!replica.look());
    }
    assert_eq!(servers.borrow().version, version);
}

/// A Secret that cannot be read (the API server's encryption is down) is neither lost nor empty.
#[test]
fn an_unreadable_secret_proves_nothing() {
    let (servers, mut replica) = issued();
    let mut observed = replica.observed();
    observed.secret = SecretView::Unknown("500".into());
    let decision = plan(&observed, servers.borrow().now, GUARDS);
    assert_eq!(decision.step, Step::Nothing);
    assert!(decision.wake.is_some(), "nobody looks again");
}

/// An empty list may be a tenant under repair: it is never the proof that a client is gone.
#[test]
fn an_empty_list_is_no_proof() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_hours(1));
    replica.list = Some((servers.borrow().now, vec![]));
    let mut observed = replica.observed();
    let look = |observed: &Observed| plan(observed, servers.borrow().now, GUARDS).step;
    assert_eq!(look(&observed), Step::Look(Look::Client("client-1".into())), "a list of others asks for a read");
    observed.issuer.as_mut().unwrap().inventory.as_mut().unwrap().empty = true;
    assert_eq!(look(&observed), Step::Nothing);
}

/// The Secret goes on naming what it replaced. That must not bring back what was revoked long ago.
#[test]
fn what_was_revoked_stays_revoked_however_often_it_is_rotated() {
    let (servers, mut replica) = issued();
    for generation in 2..8 {
        servers.borrow_mut().object.spec.expires = Some(Expires(format!("{generation}h")));
        servers.borrow_mut().object.metadata.generation = Some(generation);
        let _ = servers.borrow_mut().touch();
        replica.list();
        replica.settle();
        assert_eq!(servers.borrow().object.status_or_default().retiring.len(), 1, "generation {generation}");
        one_for_one(&servers);
        wait(&servers, Duration::from_hours(2));
        replica.list();
        replica.settle();
        assert!(servers.borrow().object.status_or_default().retiring.is_empty());
        one_for_one(&servers);
    }
}

/// An issuer that could go at any moment might take the only login with it that can revoke what it made.
#[test]
fn nothing_is_issued_before_the_issuer_is_held() {
    let servers = servers();
    let mut replica = Replica::new(&servers);
    replica.list();
    let mut observed = replica.observed();
    let look = |observed: &Observed| plan(observed, servers.borrow().now, GUARDS).step;
    assert!(matches!(look(&observed), Step::Issue(_)));
    observed.issuer.as_mut().unwrap().held = false;
    assert_eq!(look(&observed), Step::Nothing);
}

/// It was said that the client is gone. After a restart nothing is known of C1 yet: that is no reason to say Ready.
#[test]
fn ready_is_said_only_with_proof() {
    let (servers, mut replica) = issued();
    let mut observed = replica.observed();
    observed.object.spec.scoped_roles = Some(vec!["role".into()]);
    let status = observed.object.status_or_default();
    observed.object.status = Some(status::not_ready(&status, Reason::Throttled, "", 1, servers.borrow().now));
    observed.issuer.as_mut().unwrap().inventory = None;
    assert_eq!(plan(&observed, servers.borrow().now, GUARDS).step, Step::Nothing);
    // Shown by a list, it is.
    replica.list();
    let shown = replica.observed();
    observed.issuer = shown.issuer;
    assert!(matches!(plan(&observed, servers.borrow().now, GUARDS).step, Step::UpdateStatus(_)));
}

/// Our clock stepped: while it differs from C1's nothing ends because of time.
#[test]
fn nothing_ends_because_of_a_clock_that_is_off() {
    let (servers, mut replica) = issued();
    servers.borrow_mut().object.spec.expires = Some(Expires("1h".into()));
    replica.settle();
    assert_eq!(servers.borrow().object.status_or_default().retiring.len(), 1);
    wait(&servers, Duration::from_hours(2));
    replica.list();
    let mut observed = replica.observed();
    let look = |observed: &Observed| plan(observed, servers.borrow().now, GUARDS).step;
    assert!(matches!(look(&observed), Step::Revoke(_)), "its overlap is over");
    observed.issuer.as_mut().unwrap().clock_off = true;
    assert_eq!(look(&observed), Step::Nothing);
}

#[test]
fn only_what_was_never_begun_rests_on_caches() {
    let new = Observed { secret: SecretView::Absent, ..Replica::new(&servers()).observed() };
    assert!(new.is_untouched());
    let (_, mut settled) = issued();
    assert!(!settled.observed().is_untouched());

    let mut failed = new.clone();
    let status = status::failed(
        &status::Tried::of(&new.object),
        &new.object.status_or_default(),
        Reason::SecretRefused,
        "quota",
        1,
        Timestamp::UNIX_EPOCH,
    );
    failed.object.status = Some(status);
    assert!(!failed.is_untouched(), "a refusal may come of what the caches have missed");
    let mut begun = new.clone();
    let record = Record {
        abandoned: vec![AbandonedAttempt {
            attempt: "a".into(),
            issuer_ref: crate::api::IssuerRef::default(),
            since: Timestamp::UNIX_EPOCH,
        }],
        ..Record::default()
    };
    let text = serde_json::to_string(&record).unwrap();
    begun.object.metadata.annotations.get_or_insert_default().insert(crate::api::RECORD_ANNOTATION.into(), text);
    assert!(!begun.is_untouched());
}
