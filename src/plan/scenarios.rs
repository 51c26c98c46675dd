//! Stories of the protocol on abstract servers: replicas that pause at the worst moment and go on. Each guard has one that
//! goes wrong without it; `make sabotage` shows that it does.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use super::*;
use crate::{
    api::{FINALIZER, IssuerDefaults, PersonalClient, PersonalClientSpec, RECORD_ANNOTATION, Reason},
    c1::Client,
};

const GUARDS: &Guards = &Guards::ALL;
const BUDGET: Duration = Duration::from_mins(2);
const GRACE: Duration = Duration::from_mins(1);

/// The API server and C1, as they are.
struct Servers {
    now: Timestamp,
    version: u64,
    object: PersonalClient,
    secret: Option<SecretSeen>,
    clients: BTreeMap<String, (Client, bool)>,
    attempts: u32,
    creates: u32,
}

/// One replica: what it remembers, and the transaction that it is in.
struct Replica {
    servers: Rc<RefCell<Servers>>,
    flight: Option<Next>,
    /// When it first saw the open attempt.
    seen: Option<(String, Timestamp)>,
    /// When its last list began, and what it showed.
    list: Option<(Timestamp, Vec<Client>)>,
}

fn servers() -> Rc<RefCell<Servers>> {
    let metadata = ObjectMeta {
        namespace: Some("ci".into()),
        name: Some("deployer".into()),
        uid: Some("uid".into()),
        generation: Some(1),
        resource_version: Some("1".into()),
        ..Default::default()
    };
    let spec = PersonalClientSpec { scoped_roles: Some(vec!["role".into()]), ..Default::default() };
    Rc::new(RefCell::new(Servers {
        now: Timestamp::from_second(1_000_000).unwrap(),
        version: 1,
        object: PersonalClient { metadata, spec, status: None },
        secret: None,
        clients: BTreeMap::new(),
        attempts: 0,
        creates: 0,
    }))
}

impl Servers {
    fn bump(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn is_at(&self, at: &Anchor) -> bool {
        self.object.metadata.resource_version.as_deref() == Some(&at.resource_version)
    }

    fn touch(&mut self) -> Answer {
        self.object.metadata.resource_version = Some(self.bump());
        Answer::Done(Anchor { uid: "uid".into(), resource_version: self.version.to_string() })
    }

    fn write_record(&mut self, at: &Anchor, record: &Record, finalizer: bool) -> Answer {
        if !self.is_at(at) {
            return Answer::Conflict;
        }
        let text = serde_json::to_string(record).unwrap();
        self.object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
        if finalizer {
            self.object.metadata.finalizers = Some(vec![FINALIZER.into()]);
        }
        self.touch()
    }

    fn live(&self) -> Vec<String> {
        self.clients.iter().filter(|(_, (_, live))| *live).map(|(id, _)| id.clone()).collect()
    }

    /// P1: who says Ready has a Secret that works; and what a Secret holds is never deleted under it.
    fn check(&self) {
        let status = self.object.status_or_default();
        let held = self.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone());
        if status::is_ready(&status) {
            let held = held.expect("Ready without a Secret");
            assert!(self.clients[&held].1, "Ready, and the Secret holds a client that was deleted");
        }
    }

    fn perform(&mut self, effect: &Effect) -> Answer {
        let answer = match effect {
            Effect::Preflight { roles, .. } => Answer::Ids(roles.clone()),
            Effect::Intend { at, record } => self.write_record(at, record, true),
            Effect::Burn { at, record } => self.write_record(at, record, false),
            Effect::Create(request) => {
                self.creates += 1;
                let id = format!("client-{}", self.creates);
                let client = Client {
                    client_id: format!("{id}@h/pcc"),
                    id: id.clone(),
                    display_name: request.display_name.clone(),
                    user_id: "user".into(),
                    created_at: Some(self.now),
                    ..Default::default()
                };
                self.clients.insert(id, (client.clone(), true));
                Answer::Created(Box::new(client))
            }
            Effect::Deliver { delivered, over } => {
                let version = self.secret.as_ref().map(|s| s.resource_version.clone());
                if version != over.as_ref().map(|o| o.resource_version.clone()) {
                    return Answer::Conflict;
                }
                let resource_version = self.bump();
                let fence = self.secret.take().and_then(|s| s.fence);
                self.secret = Some(SecretSeen {
                    uid: "secret".into(),
                    resource_version: resource_version.clone(),
                    labels: BTreeMap::new(),
                    annotations: BTreeMap::new(),
                    delivered: Some((**delivered).clone()),
                    fence,
                    content: Content::Intact { rendered: true },
                });
                Answer::Done(Anchor { uid: "secret".into(), resource_version })
            }
            Effect::Record { at, status } => {
                if !self.is_at(at) {
                    return Answer::Conflict;
                }
                self.object.status = Some((**status).clone());
                self.touch()
            }
            Effect::ReadSecret => Answer::Secret(self.read_secret()),
            Effect::ReadObject => Answer::Object(Some(Box::new(self.object.clone()))),
            Effect::Fence { over, attempt } => {
                let resource_version = self.bump();
                match &mut self.secret {
                    Some(secret) if secret.resource_version == over.resource_version => {
                        secret.fence = Some(attempt.clone());
                        secret.resource_version.clone_from(&resource_version);
                        Answer::Done(Anchor { uid: "secret".into(), resource_version })
                    }
                    _ => Answer::Conflict,
                }
            }
            Effect::DeleteClient { id } => {
                let held = self.secret.as_ref().and_then(|s| s.delivered.as_ref()).is_some_and(|d| d.client.id == *id);
                assert!(!held, "{id} was deleted while the Secret held it");
                self.clients.get_mut(id).unwrap().1 = false;
                Answer::Done(Anchor { uid: id.clone(), resource_version: String::new() })
            }
            Effect::DeleteSecret { .. } | Effect::RemoveFinalizer { .. } => Answer::Gone,
        };
        self.check();
        answer
    }

    fn read_secret(&self) -> SecretView {
        self.secret.clone().map_or(SecretView::Absent, |s| SecretView::Present(Box::new(s)))
    }
}

impl Replica {
    fn new(servers: &Rc<RefCell<Servers>>) -> Self {
        Self { servers: servers.clone(), flight: None, seen: None, list: None }
    }

    fn observed(&mut self) -> Observed {
        let mut servers = self.servers.borrow_mut();
        servers.attempts += 1;
        let open = Record::of(&servers.object).open.map(|o| o.attempt);
        if self.seen.as_ref().map(|s| &s.0) != open.as_ref() {
            self.seen = open.map(|o| (o, servers.now));
        }
        let ago = |since: Timestamp| Duration::try_from(servers.now.duration_since(since)).unwrap();
        Observed {
            object: servers.object.clone(),
            live: true,
            cluster: "c".into(),
            issuer: Some(IssuerView {
                not_ready: None,
                identity: Some(Identity { host: "h".into(), user_id: "user".into() }),
                defaults: IssuerDefaults::default(),
                namespace_selected: Some(true),
                full_permissions: false,
                clock_off: false,
                inventory: self.list.as_ref().map(|(began, clients)| InventoryView {
                    began: *began,
                    began_ago: ago(*began),
                    complete: true,
                    empty: false,
                    clients: clients.clone(),
                }),
            }),
            namespace_terminating: false,
            secret: servers.read_secret(),
            reads: BTreeMap::new(),
            listed: false,
            in_flight: false,
            unsent: None,
            open_seen: self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| ago(*since)),
            fresh_attempt: format!("attempt{}", servers.attempts),
            timing: Timing {
                budget: BUDGET,
                grace: GRACE,
                skew: Duration::from_mins(6),
                settle: Duration::from_mins(10),
                overlap: Duration::from_hours(1),
            },
        }
    }

    /// Reads C1's list.
    fn list(&mut self) {
        let servers = self.servers.borrow();
        let live = servers.clients.values().filter(|(_, live)| *live).map(|(c, _)| c.clone()).collect();
        self.list = Some((servers.now, live));
    }

    /// Looks, and begins what is to be done. Whether there was anything.
    fn look(&mut self) -> bool {
        if self.list.is_none() {
            self.list();
        }
        let observed = self.observed();
        let now = self.servers.borrow().now;
        match plan(&observed, now, GUARDS).step {
            Step::Nothing => return false,
            Step::Look(Look::List) => self.list(),
            Step::Look(look) => panic!("{look:?} has nothing to show here"),
            Step::UpdateStatus(status) => {
                let mut servers = self.servers.borrow_mut();
                servers.object.status = Some(*status);
                let _ = servers.touch();
                servers.check();
            }
            Step::Issue(step) => self.flight = Some(Issue::start(*step, observed.object, "c".into(), observed.timing)),
            Step::Abandon(step) => self.flight = Some(Abandon::start(step, None)),
            other => panic!("{other:?} is no part of these stories"),
        }
        true
    }

    /// Performs effects until the next one is of this kind; the replica stands still before it.
    fn run_until(&mut self, stop: impl Fn(&Effect) -> bool) {
        while let Some((flight, effect)) = self.flight.take() {
            match effect {
                None => return,
                Some(effect) if stop(&effect) => {
                    self.flight = Some((flight, Some(effect)));
                    return;
                }
                Some(effect) => {
                    let answer = self.servers.borrow_mut().perform(&effect);
                    if let (Effect::DeleteClient { id }, Some((_, listed))) = (&effect, &mut self.list) {
                        listed.retain(|c| c.id != *id);
                    }
                    let now = self.servers.borrow().now;
                    self.flight = Some(next(flight, answer, now, GUARDS));
                }
            }
        }
    }

    /// Looks and acts until nothing is to be done.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.run_until(|_| false);
            if !self.look() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.servers.borrow().object);
    }
}

fn wait(servers: &Rc<RefCell<Servers>>, duration: Duration) {
    let now = servers.borrow().now;
    servers.borrow_mut().now = now + duration;
}

/// All is quiet: one live client, which status names and the Secret holds.
fn one_for_one(servers: &Rc<RefCell<Servers>>) {
    let servers = servers.borrow();
    let status = servers.object.status_or_default();
    assert!(status::is_ready(&status), "{status:?}");
    let named: Vec<String> =
        status.client.iter().map(|c| c.id.clone()).chain(status.retiring.iter().map(|r| r.id.clone())).collect();
    let mut live = servers.live();
    live.sort();
    let mut named = named;
    named.sort();
    assert_eq!(live, named, "live clients, and those that status names");
}

fn issued() -> (Rc<RefCell<Servers>>, Replica) {
    let servers = servers();
    let mut replica = Replica::new(&servers);
    replica.settle();
    one_for_one(&servers);
    (servers, replica)
}

fn is_create(effect: &Effect) -> bool {
    matches!(effect, Effect::Create(_))
}

fn is_deliver(effect: &Effect) -> bool {
    matches!(effect, Effect::Deliver { .. })
}

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
    maker.run_until(is_create);
    for _ in 0..5 {
        wait(&servers, Duration::from_secs(20));
        other.list();
        other.look();
        assert!(other.flight.is_none(), "a second attempt, while the first is under way");
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
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
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
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
    // The other gives it up, and stops before it begins anew.
    while servers.borrow().live().len() == 1 {
        other.look();
        other.run_until(is_create);
    }
    maker.run_until(|_| false);
    servers.borrow().check();
    maker.settle();
    other.flight = None;
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
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
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
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
    servers.borrow_mut().object.spec.display_name = Some("changed".into());
    servers.borrow_mut().object.metadata.generation = Some(2);
    let _ = servers.borrow_mut().touch();
    while maker.flight.is_none() {
        maker.look();
    }
    maker.run_until(is_deliver);
    let mut other = Replica::new(&servers);
    other.look();
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
    while servers.borrow().live().len() == 2 {
        other.look();
        other.run_until(is_create);
    }
    maker.run_until(|_| false);
    servers.borrow().check();
    other.flight = None;
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
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
    wait(&servers, BUDGET + GRACE + Duration::from_secs(1));
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
    while maker.flight.is_none() {
        maker.look();
    }
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
    let (flight, effect) = maker.flight.take().unwrap();
    let _ = servers.borrow_mut().perform(&effect.unwrap());
    maker.flight = Some(next(flight, Answer::Conflict, servers.borrow().now, GUARDS));
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
    servers.borrow_mut().object.spec.display_name = Some("changed".into());
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
