//! Stories of a maker that takes back what it has delivered, because its object goes, or is gone.

use std::{cell::RefCell, rc::Rc};

use super::{
    super::*,
    removal::held,
    servers::{GUARDS, Replica, Servers, delete, is_deliver, servers},
};
use crate::api::Reason;

/// A maker that is about to take its delivery back.
fn taking_back(until: impl Fn(&Effect) -> bool) -> (Rc<RefCell<Servers>>, Replica) {
    let servers = servers();
    let mut maker = Replica::new(&servers);
    maker.look();
    maker.run_until(is_deliver);
    delete(&servers);
    maker.run_until(until);
    (servers, maker)
}

/// The maker goes on with this answer; how it ends.
fn ends(maker: Replica, answer: Answer) -> Outcome {
    let now = maker.servers.borrow().now;
    let (flight, _) = maker.flight.expect("it is under way");
    match next(flight, answer, now, GUARDS) {
        (Flight::Landed(outcome), None) => *outcome,
        (_, effect) => panic!("it goes on: {effect:?}"),
    }
}

/// Somebody touches the Secret's metadata while its maker takes it back.
#[test]
fn what_is_taken_back_is_found_again_when_its_metadata_moved() {
    let (servers, mut maker) = taking_back(|e| matches!(e, Effect::DeleteSecret { .. }));
    let version = servers.borrow_mut().bump();
    servers.borrow_mut().secret.as_mut().expect("it was delivered").resource_version = version;
    maker.run_until(|_| false);
    assert_eq!(held(&servers), None);
    assert!(servers.borrow().live().is_empty());
}

/// An object that was made anew has taken the Secret over: its client is no longer its maker's to delete.
#[test]
fn what_another_object_has_taken_over_is_not_taken_back() {
    let (servers, mut maker) = taking_back(|e| matches!(e, Effect::DeleteSecret { .. }));
    {
        let mut servers = servers.borrow_mut();
        let version = servers.bump();
        let secret = servers.secret.as_mut().expect("it was delivered");
        secret.resource_version = version;
        secret.delivered.as_mut().expect("by us").owner.uid = "anew".into();
    }
    maker.run_until(|_| false);
    assert_eq!(held(&servers).as_deref(), Some("client-1"));
    assert_eq!(servers.borrow().live(), ["client-1"]);
}

/// The object may be gone by then: nobody but the maker could say that something stays.
#[test]
fn what_cannot_be_taken_back_is_said() {
    let refused = || Answer::Refused { reason: Reason::SecretRefused, message: "forbidden by a policy".into() };
    let said = |until: fn(&Effect) -> bool, answer: Answer| {
        let (_, maker) = taking_back(until);
        match ends(maker, answer) {
            Outcome::Failed { reason: Reason::RevocationBlocked, message, .. } => message,
            other => panic!("{other:?}"),
        }
    };
    let message = said(|e| matches!(e, Effect::DeleteSecret { .. }), refused());
    assert!(message.contains("client-1") && message.contains("Secret deployer") && message.contains("by a policy"));
    let message = said(|e| matches!(e, Effect::DeleteClient { .. }), refused());
    assert!(message.contains("client-1") && message.contains("by a policy"), "{message}");
    assert!(message.contains("may live on") && !message.contains("Secret"), "its Secret went: {message}");
    let message = said(|e| matches!(e, Effect::DeleteClient { .. }), Answer::Gone);
    assert!(message.contains("client-1") && message.contains("does not know it"), "{message}");
}

/// The answer to the delivery was lost, and the object is gone: past its time, too, the maker looks what became of it.
#[test]
fn a_maker_that_may_have_delivered_looks_back_past_its_time() {
    let servers = servers();
    let mut maker = Replica::new(&servers);
    maker.look();
    maker.run_until(is_deliver);
    maker.perform_and_hear(Answer::Unknown { reason: Reason::SecretRefused, message: "no answer".into() });
    assert!(matches!(&maker.flight, Some((flight, Some(Effect::ReadSecret))) if flight.cleans_up()));
    servers.borrow_mut().gone = true;
    maker.run_until(|e| matches!(e, Effect::Record { .. }));
    let (flight, _) = maker.flight.take().unwrap();
    maker.flight = Some(next(flight, Answer::OutOfTime, servers.borrow().now, GUARDS));
    maker.run_until(|_| false);
    assert_eq!(held(&servers), None);
    assert!(servers.borrow().live().is_empty());
}
