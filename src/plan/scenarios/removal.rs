//! Stories of the end of an object, and of what C1 does not show or do yet.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    super::*,
    servers::{
        GUARDS, Replica, Servers, delete, edit, is_create, is_deliver, issued, one_for_one, servers, wait,
        wait_until_old,
    },
};
use crate::api::{DeletionPolicy, Expires, IssuerRef, Reason};

/// A replica that rotates the credential, and stands still before it delivers.
fn asleep_in_a_rotation(policy: Option<DeletionPolicy>) -> (Rc<RefCell<Servers>>, Replica) {
    let (servers, mut maker) = issued();
    servers.borrow_mut().object.spec.deletion_policy = policy;
    edit(&servers);
    maker.begin();
    maker.run_until(is_deliver);
    (servers, maker)
}

/// Looks and acts for so long that everything has come to light.
fn settle_for_long(replica: &mut Replica) {
    for _ in 0..4 {
        replica.settle();
        wait(&replica.servers.clone(), Duration::from_mins(20));
        replica.list();
    }
    replica.settle();
}

pub(super) fn held(servers: &Rc<RefCell<Servers>>) -> Option<String> {
    servers.borrow().secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone())
}

#[test]
fn an_object_that_goes_takes_everything_with_it() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_hours(1));
    delete(&servers);
    replica.settle();
    assert!(servers.borrow().gone && servers.borrow().secret.is_none() && servers.borrow().live().is_empty());
}

/// The Secret stays, and works. A maker that wakes up late must not put there what the removal has deleted.
#[test]
fn a_secret_that_stays_is_not_overwritten_by_a_sleeper() {
    let (servers, mut maker) = asleep_in_a_rotation(Some(DeletionPolicy::Retain));
    delete(&servers);
    let mut other = Replica::new(&servers);
    other.look();
    wait_until_old(&servers);
    settle_for_long(&mut other);
    assert!(servers.borrow().gone);
    maker.run_until(|_| false);
    let held = held(&servers).expect("the Secret stays");
    assert!(servers.borrow().clients[&held].1, "it holds {held}, which was deleted");
}

/// There was no Secret to fence, nor one to keep: what a late maker delivers may be dead already.
#[test]
fn a_first_credential_is_not_retained_by_a_sleeper() {
    let servers = servers();
    let mut maker = Replica::new(&servers);
    servers.borrow_mut().object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    maker.look();
    maker.run_until(is_deliver);
    delete(&servers);
    let mut other = Replica::new(&servers);
    other.look();
    wait_until_old(&servers);
    settle_for_long(&mut other);
    maker.run_until(|_| false);
    assert_eq!(held(&servers), None, "a Secret was left whose client was deleted");
}

/// The same where somebody deletes the Secret of a rotation: the maker delivers again, and there is none to keep.
#[test]
fn a_secret_that_is_made_anew_is_not_retained_by_a_sleeper() {
    let (servers, mut maker) = asleep_in_a_rotation(Some(DeletionPolicy::Retain));
    (servers.borrow_mut().secret, servers.borrow_mut().taken) = (None, true);
    maker.run_until(|e| matches!(e, Effect::Deliver { over: None, .. }));
    delete(&servers);
    let mut other = Replica::new(&servers);
    other.look();
    wait_until_old(&servers);
    settle_for_long(&mut other);
    assert!(servers.borrow().gone);
    maker.run_until(|_| false);
    assert_eq!(held(&servers), None, "a Secret was left whose client was deleted");
}

/// A delete that C1 has not answered may take effect later: what an object that is made anew could adopt is gone by then.
#[test]
fn the_secret_goes_before_its_clients() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_hours(1));
    delete(&servers);
    replica.list();
    replica.begin();
    replica.run_until(|e| matches!(e, Effect::DeleteClient { .. }));
    assert!(replica.flight.is_some(), "no client was deleted");
    assert_eq!(held(&servers), None);
}

/// What only the Secret names would be forgotten with it, should the process end before it has deleted the clients.
#[test]
fn status_names_what_the_secret_does_before_that_goes() {
    let (servers, mut maker) = asleep_in_a_rotation(None);
    maker.run_until(|e| matches!(e, Effect::Record { .. }));
    drop(maker);
    delete(&servers);
    let mut other = Replica::new(&servers);
    while held(&servers).is_some() {
        other.look();
        other.run_until(|e| matches!(e, Effect::DeleteClient { .. }));
    }
    let status = servers.borrow().object.status_or_default();
    let named: Vec<_> =
        status.client.iter().map(|c| &c.id).chain(status.retiring.iter().map(|r| &r.id)).cloned().collect();
    assert_eq!(servers.borrow().live().len(), 2);
    assert!(servers.borrow().live().iter().all(|id| named.contains(id)), "{named:?}");
    let mut third = Replica::new(&servers);
    settle_for_long(&mut third);
    assert!(servers.borrow().gone && servers.borrow().live().is_empty());
}

/// C1 does not know the client yet that it has just made: that is no proof that it is gone.
#[test]
fn a_young_client_that_c1_does_not_know_keeps_its_object() {
    let (servers, mut replica) = issued();
    servers.borrow_mut().unseen = true;
    delete(&servers);
    replica.settle();
    assert!(!servers.borrow().gone, "let go, and its client lives");
    let said = servers.borrow().object.status_or_default();
    assert!(
        [Reason::RevocationBlocked, Reason::Deleting].map(|r| Some(r.as_str())).contains(&status::ready_reason(&said))
    );
    wait(&servers, Duration::from_mins(10));
    servers.borrow_mut().unseen = false;
    replica.list();
    replica.settle();
    assert!(servers.borrow().gone && servers.borrow().live().is_empty());
}

/// That C1 does not know what this process has deleted is no surprise.
#[test]
fn what_was_deleted_is_not_waited_for() {
    let (servers, mut replica) = issued();
    edit(&servers);
    replica.settle();
    delete(&servers);
    replica.list();
    replica.begin();
    replica.run_until(|e| matches!(e, Effect::RemoveFinalizer { .. }));
    // Somebody else writes the object meanwhile.
    let _ = servers.borrow_mut().touch();
    replica.settle();
    assert!(servers.borrow().gone, "{:?}", servers.borrow().object.status);
}

/// When the object is gone nobody remembers its attempts: what they made must have come to light before.
#[test]
fn an_object_waits_until_its_attempt_has_come_to_light() {
    let servers = servers();
    let mut maker = Replica::new(&servers);
    maker.look();
    maker.run_until(is_deliver);
    drop(maker);
    servers.borrow_mut().unseen = true;
    delete(&servers);
    let mut other = Replica::new(&servers);
    other.look();
    wait_until_old(&servers);
    other.list();
    other.settle();
    assert!(!servers.borrow().gone, "let go, and its client lives");
    servers.borrow_mut().unseen = false;
    settle_for_long(&mut other);
    assert!(servers.borrow().gone && servers.borrow().live().is_empty());
}

/// A read is as old as the moment at which it was made: the replica stands still before it judges.
#[test]
fn what_was_unknown_while_young_is_not_gone_later() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_mins(3));
    servers.borrow_mut().unseen = true;
    replica.list();
    let mut observed = replica.observed();
    observed.reads.insert("client-1".into(), ClientRead::Gone);
    wait(&servers, Duration::from_mins(30));
    assert_eq!(plan(&observed, servers.borrow().now, GUARDS).step, Step::Nothing, "it was taken for gone");
}

/// C1 refuses to delete what was replaced. A credential that is lost then must not wait for that.
#[test]
fn a_lost_credential_does_not_wait_for_a_delete_that_fails() {
    let (servers, mut replica) = issued();
    edit(&servers);
    replica.settle();
    wait(&servers, Duration::from_hours(2));
    servers.borrow_mut().refusing = true;
    servers.borrow_mut().secret = None;
    replica.list();
    for _ in 0..12 {
        replica.look();
        replica.run_until(|_| false);
    }
    assert_eq!(servers.borrow().creates, 3, "nothing was issued");
    servers.borrow_mut().refusing = false;
    replica.settle();
    one_for_one(&servers);
    assert_eq!(held(&servers).as_deref(), Some("client-3"));
}

/// Two objects ask for a Secret of the same name. The one that cannot have it must not fence the other's.
#[test]
fn another_objects_secret_is_not_fenced() {
    let (servers, _) = issued();
    let secret = servers.borrow().secret.clone().map(Box::new).expect("it was issued");
    let step = |owner: &str| AbandonStep {
        attempt: "a".into(),
        issuer_ref: IssuerRef::default(),
        secret_name: "deployer".into(),
        client_id: "client-9".into(),
        burn: false,
        owner: marker::owner("c", "ci", owner),
    };
    let fences = |owner: &str| {
        let (flight, _) = Abandon::start(step(owner), None);
        let now = servers.borrow().now;
        let object = Answer::Object(Some(Box::new(servers.borrow().object.clone())));
        let (flight, _) = next(flight, object, now, GUARDS);
        let (_, effect) = next(flight, Answer::Secret(SecretView::Present(secret.clone())), now, GUARDS);
        matches!(effect, Some(Effect::Fence { .. }))
    };
    assert!(fences("deployer"));
    assert!(!fences("another"));
}

/// The Secret goes while another's attempt is given up: status says so before its client is deleted, since the maker may
/// wake up and deliver it.
#[test]
fn a_secret_that_goes_meanwhile_is_said_first() {
    let (servers, mut maker) = asleep_in_a_rotation(None);
    // Old by the clock alone: nobody has looked before.
    wait(&servers, Duration::from_mins(9));
    let mut other = Replica::new(&servers);
    other.list();
    other.begin();
    other.run_until(|e| matches!(e, Effect::ReadSecret));
    (servers.borrow_mut().secret, servers.borrow_mut().taken) = (None, true);
    other.run_until(is_create);
    assert_eq!(servers.borrow().live().len(), 2, "deleted, while status said Ready");
    other.look();
    assert!(!status::is_ready(&servers.borrow().object.status_or_default()));
    other.settle();
    maker.run_until(|_| false);
    other.list();
    other.settle();
    one_for_one(&servers);
}

/// A create that took effect twice: the other client is found also when the first has been replaced meanwhile.
#[test]
fn a_double_is_found_after_its_twin_was_replaced() {
    let (servers, mut replica) = issued();
    let mut double = servers.borrow().clients["client-1"].0.clone();
    double.id = "double".into();
    servers.borrow_mut().clients.insert("double".into(), (double, true));
    edit(&servers);
    replica.settle();
    wait(&servers, Duration::from_hours(2));
    replica.settle();
    assert_eq!(servers.borrow().live(), ["client-2"]);
}

/// Where neither delete nor delivery works, each try would leave one more: then nothing is made any more.
#[test]
fn clients_that_nobody_can_use_do_not_pile_up() {
    let (servers, mut replica) = issued();
    let twin = servers.borrow().clients["client-1"].0.clone();
    servers.borrow_mut().refusing = true;
    let mut observed = replica.observed();
    observed.undeleted = (0..3).map(|n| format!("stray-{n}")).collect();
    observed.object.spec.expires = Some(Expires("1h".into()));
    let mut look = |strays: usize| {
        let mut listed = vec![twin.clone(); strays + 1];
        for (n, stray) in listed.iter_mut().skip(1).enumerate() {
            stray.id = format!("stray-{n}");
        }
        observed.issuer.as_mut().unwrap().inventory.as_mut().unwrap().clients = listed;
        plan(&observed, servers.borrow().now, GUARDS).step
    };
    assert!(matches!(look(2), Step::Issue(_)));
    assert!(matches!(look(3), Step::Abandon(_)));
}

/// The same, with a client that somebody deleted at C1: it does not retire, so the record must remember its attempt.
#[test]
fn a_double_is_found_after_its_twin_was_lost() {
    let (servers, mut replica) = issued();
    let mut double = servers.borrow().clients["client-1"].0.clone();
    double.id = "double".into();
    wait(&servers, Duration::from_hours(2));
    {
        let mut servers = servers.borrow_mut();
        servers.clients.insert("double".into(), (double, true));
        servers.clients.get_mut("client-1").unwrap().1 = false;
        (servers.refusing, servers.taken) = (true, true);
    }
    replica.list();
    for _ in 0..12 {
        replica.look();
        replica.run_until(|_| false);
    }
    assert_eq!(held(&servers).as_deref(), Some("client-2"), "a lost credential waits for a delete that fails");
    servers.borrow_mut().refusing = false;
    settle_for_long(&mut replica);
    assert_eq!(servers.borrow().live(), ["client-2"]);
}

/// The object was let go by force, made anew, and has adopted the Secret, while the removal stood still before it read that.
#[test]
fn what_the_next_object_has_taken_over_does_not_end_with_the_former() {
    let (servers, mut replica) = issued();
    wait(&servers, Duration::from_hours(1));
    delete(&servers);
    replica.list();
    servers.borrow_mut().secret.as_mut().and_then(|s| s.delivered.as_mut()).expect("by us").owner.uid = "anew".into();
    replica.begin();
    servers.borrow_mut().gone = true;
    replica.run_until(|_| false);
    assert_eq!(servers.borrow().live(), ["client-1"]);
}
