//! The API server, C1 and replicas, as far as the stories need them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

use super::super::*;
use crate::{
    api::{Expires, FINALIZER, IssuerDefaults, Overlap, PersonalClient, PersonalClientSpec, RECORD_ANNOTATION, Reason},
    c1::Client,
};

pub(super) const GUARDS: &Guards = &Guards::ALL;
const BUDGET: Duration = Duration::from_mins(2);
const GRACE: Duration = Duration::from_mins(1);
/// Of one transaction, if it comes to an end.
const MOST_EFFECTS: usize = 100;
/// Of one replica in a story.
const MOST_LOOKS: usize = 1000;

/// The API server and C1, as they are.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Servers {
    pub(super) now: Timestamp,
    pub(super) version: u64,
    pub(super) object: PersonalClient,
    pub(super) secret: Option<SecretSeen>,
    pub(super) clients: BTreeMap<String, (Client, bool)>,
    pub(super) attempts: u32,
    pub(super) creates: u32,
    /// The object was let go.
    pub(super) gone: bool,
    /// Somebody took the Secret or its client away: that status says Ready for a moment is nobody's fault.
    pub(super) taken: bool,
    /// C1 shows no client yet, in no way.
    pub(super) unseen: bool,
    /// C1 deletes nothing.
    pub(super) refusing: bool,
}

/// One replica: what it remembers, and the transaction that it is in.
pub(super) struct Replica {
    pub(super) servers: Rc<RefCell<Servers>>,
    pub(super) flight: Option<Next>,
    /// When it first saw the open attempt.
    pub(super) seen: Option<(String, Timestamp)>,
    /// When its last list began, and what it showed.
    pub(super) list: Option<(Timestamp, Vec<Client>)>,
    /// Clients that it read by id.
    pub(super) reads: BTreeMap<String, ClientRead>,
    /// It read a list for the decision that it makes; when it began to look for it.
    pub(super) listed: BTreeSet<crate::api::IssuerRef>,
    pub(super) as_of: Option<Timestamp>,
    /// Clients that it has deleted, and those that it could not.
    pub(super) deleted: BTreeSet<String>,
    pub(super) undeleted: BTreeSet<String>,
    looks: usize,
}

pub(super) fn servers() -> Rc<RefCell<Servers>> {
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
        gone: false,
        taken: false,
        unseen: false,
        refusing: false,
    }))
}

impl Servers {
    pub(super) fn bump(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    pub(super) fn is_at(&self, at: &Anchor) -> bool {
        !self.gone && self.object.metadata.resource_version.as_deref() == Some(&at.resource_version)
    }

    pub(super) fn touch(&mut self) -> Answer {
        self.object.metadata.resource_version = Some(self.bump());
        Answer::Done(Anchor { uid: "uid".into(), resource_version: self.version.to_string() })
    }

    pub(super) fn write_record(&mut self, at: &Anchor, record: &Record, finalizer: bool) -> Answer {
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

    pub(super) fn live(&self) -> Vec<String> {
        self.clients.iter().filter(|(_, (_, live))| *live).map(|(id, _)| id.clone()).collect()
    }

    /// P1: who says Ready has a Secret that works; and what a Secret holds is never deleted under it.
    pub(super) fn check(&self) {
        let status = self.object.status_or_default();
        let held = self.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone());
        let taken = self.taken && held.as_ref().is_none_or(|held| !self.clients[held].1);
        if status::is_ready(&status) && !taken && self.object.metadata.deletion_timestamp.is_none() {
            let held = held.expect("Ready without a Secret");
            assert!(self.clients[&held].1, "Ready, and the Secret holds a client that was deleted");
        }
    }

    pub(super) fn perform(&mut self, effect: &Effect) -> Answer {
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
            Effect::Update(request) => match self.clients.get_mut(&request.id) {
                Some((client, true)) => {
                    client.display_name.clone_from(&request.display_name);
                    Answer::Updated(Box::new(client.clone()))
                }
                _ => Answer::Gone,
            },
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
            Effect::ReadObject => Answer::Object((!self.gone).then(|| Box::new(self.object.clone()))),
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
                if self.refusing {
                    return Answer::Unknown { reason: Reason::Unreachable, message: "500".into() };
                }
                if self.unseen || !self.clients[id].1 {
                    return Answer::Gone;
                }
                self.clients.get_mut(id).unwrap().1 = false;
                Answer::Done(Anchor { uid: id.clone(), resource_version: String::new() })
            }
            Effect::DeleteSecret { at, .. } => match &self.secret {
                None => Answer::Gone,
                Some(secret) if secret.resource_version != at.resource_version => Answer::Conflict,
                Some(_) => {
                    self.secret = None;
                    Answer::Done(at.clone())
                }
            },
            Effect::RemoveFinalizer { at } if self.is_at(at) => {
                self.gone = true;
                Answer::Done(at.clone())
            }
            // Of one Secret only: nothing moves here.
            Effect::Copy { .. } | Effect::RemoveFinalizer { .. } => Answer::Conflict,
        };
        self.check();
        answer
    }

    pub(super) fn read_secret(&self) -> SecretView {
        self.secret.clone().map_or(SecretView::Absent, |s| SecretView::Present(Box::new(s)))
    }
}

impl Replica {
    pub(super) fn new(servers: &Rc<RefCell<Servers>>) -> Self {
        Self {
            servers: servers.clone(),
            flight: None,
            seen: None,
            list: None,
            reads: BTreeMap::new(),
            listed: BTreeSet::new(),
            as_of: None,
            deleted: BTreeSet::new(),
            undeleted: BTreeSet::new(),
            looks: 0,
        }
    }

    pub(super) fn observed(&mut self) -> Observed {
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
                held: true,
                unheld: None,
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
            former: BTreeMap::new(),
            namespace_terminating: false,
            secret: servers.read_secret(),
            others: BTreeMap::new(),
            as_of: self.as_of.unwrap_or(servers.now),
            reads: self.reads.clone(),
            listed: self.listed.clone(),
            in_flight: false,
            unsent: None,
            deleted: self.deleted.clone(),
            tidy_failed: false,
            restart_failed: false,
            undeleted: self.undeleted.clone(),
            failed_looks: vec![],
            render_refused: None,
            move_refused: None,
            open_seen: self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| ago(*since)),
            fresh_attempt: format!("attempt{}", servers.attempts),
            timing: Timing {
                budget: BUDGET,
                grace: GRACE,
                skew: Duration::from_mins(6),
                settle: Duration::from_mins(10),
                overlap: Overlap { least: Duration::from_hours(1), most: Duration::from_hours(168) },
            },
        }
    }

    /// Reads C1's list.
    pub(super) fn list(&mut self) {
        let servers = self.servers.borrow();
        let shown = servers.clients.values().filter(|(_, live)| *live && !servers.unseen);
        let live = shown.map(|(c, _)| c.clone()).collect();
        self.list = Some((servers.now, live));
    }

    /// Looks, and begins what is to be done. Whether there was anything.
    pub(super) fn look(&mut self) -> bool {
        self.looks += 1;
        assert!(self.looks < MOST_LOOKS, "it looks without end: {:?}", self.servers.borrow().object);
        if self.servers.borrow().gone {
            return false;
        }
        if self.list.is_none() {
            self.list();
        }
        let observed = self.observed();
        let now = self.servers.borrow().now;
        let step = plan(&observed, now, GUARDS).step;
        if let Step::Look(_) = &step {
            self.as_of = self.as_of.or(Some(now));
        } else {
            (self.as_of, self.listed) = (None, BTreeSet::new());
        }
        match step {
            Step::Nothing => {
                self.reads.clear();
                return false;
            }
            Step::Look(Look::List(at)) => {
                self.list();
                self.listed.insert(at);
            }
            Step::Look(Look::Client(id)) => {
                let servers = self.servers.borrow();
                let read = match &servers.clients[&id] {
                    (client, true) if !servers.unseen => ClientRead::Live(Box::new(client.clone())),
                    _ => ClientRead::Gone,
                };
                self.reads.insert(id, read);
            }
            Step::Look(look) => panic!("{look:?} has nothing to show here"),
            Step::UpdateStatus(status) => {
                let mut servers = self.servers.borrow_mut();
                servers.object.status = Some(*status);
                let _ = servers.touch();
                servers.check();
            }
            Step::Revoke(id) if self.servers.borrow().refusing => {
                self.remember_delete(&id, &Answer::Conflict);
            }
            Step::Revoke(id) => {
                self.undeleted.remove(&id);
                let mut servers = self.servers.borrow_mut();
                servers.clients.get_mut(&id).unwrap().1 = false;
                let mut status = servers.object.status_or_default();
                status.retiring.retain(|r| r.id != id);
                servers.object.status = Some(status);
                let _ = servers.touch();
            }
            Step::Issue(step) => self.flight = Some(Issue::start(*step, observed.object, "c".into(), observed.timing)),
            Step::Abandon(step) => self.flight = Some(Abandon::start(step, None)),
            Step::Remove(step) => self.flight = Some(Remove::start(step, Anchor::of(&observed.object))),
            other => panic!("{other:?} is no part of these stories"),
        }
        true
    }

    /// Looks until a transaction is under way.
    pub(super) fn begin(&mut self) {
        while self.flight.is_none() {
            self.look();
        }
    }

    /// Performs the next effect, but this is the answer that it gets.
    pub(super) fn perform_and_hear(&mut self, answer: Answer) {
        let (flight, effect) = self.flight.take().expect("it is under way");
        let _ = self.servers.borrow_mut().perform(&effect.expect("it has not ended"));
        let now = self.servers.borrow().now;
        self.flight = Some(next(flight, answer, now, GUARDS));
    }

    /// Performs the next effect, if there is one.
    pub(super) fn perform_one(&mut self) {
        let done = std::cell::Cell::new(false);
        self.run_until(|_| done.replace(true));
    }

    /// Performs effects until the next one is of this kind; the replica stands still before it.
    pub(super) fn run_until(&mut self, stop: impl Fn(&Effect) -> bool) {
        for _ in 0..MOST_EFFECTS {
            let Some((flight, effect)) = self.flight.take() else { return };
            match effect {
                None => return,
                Some(effect) if stop(&effect) => {
                    self.flight = Some((flight, Some(effect)));
                    return;
                }
                Some(effect) => {
                    let answer = self.servers.borrow_mut().perform(&effect);
                    if let Effect::DeleteClient { id } = &effect {
                        self.remember_delete(id, &answer);
                    }
                    let now = self.servers.borrow().now;
                    self.flight = Some(next(flight, answer, now, GUARDS));
                }
            }
        }
        panic!("a transaction goes round: {:?}", self.flight);
    }

    fn remember_delete(&mut self, id: &str, answer: &Answer) {
        if !matches!(answer, Answer::Done(_) | Answer::Gone) {
            self.undeleted.insert(id.to_owned());
            return;
        }
        self.undeleted.remove(id);
        if matches!(answer, Answer::Done(_)) {
            self.deleted.insert(id.to_owned());
        }
        if let Some((_, listed)) = &mut self.list {
            listed.retain(|c| c.id != id);
        }
    }

    /// Looks and acts until nothing is to be done.
    pub(super) fn settle(&mut self) {
        for _ in 0..40 {
            self.run_until(|_| false);
            if !self.look() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.servers.borrow().object);
    }
}

pub(super) fn wait(servers: &Rc<RefCell<Servers>>, duration: Duration) {
    let now = servers.borrow().now;
    servers.borrow_mut().now = now + duration;
}

/// All is quiet: the Secret's client is the current one and lives, and whatever else lives retires.
pub(super) fn one_for_one(servers: &Rc<RefCell<Servers>>) {
    let servers = servers.borrow();
    let status = servers.object.status_or_default();
    assert!(status::is_ready(&status), "{status:?}");
    let current = status.client.as_ref().map(|c| c.id.clone()).unwrap_or_default();
    let held = servers.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone());
    assert_eq!(held.as_ref(), Some(&current), "what the Secret holds, and what status names");
    let live = servers.live();
    assert!(live.contains(&current), "{current} does not live");
    let retiring: Vec<_> = status.retiring.iter().map(|r| &r.id).collect();
    let stray = live.iter().find(|id| **id != current && !retiring.contains(id));
    assert_eq!(stray, None, "beside {current} and {retiring:?}");
}

pub(super) fn issued() -> (Rc<RefCell<Servers>>, Replica) {
    let servers = servers();
    let mut replica = Replica::new(&servers);
    replica.settle();
    one_for_one(&servers);
    (servers, replica)
}

/// Somebody asks for something else.
pub(super) fn edit(servers: &Rc<RefCell<Servers>>) {
    let mut servers = servers.borrow_mut();
    let generation = servers.object.metadata.generation.unwrap_or(1) + 1;
    servers.object.spec.expires = Some(Expires(format!("{generation}h")));
    servers.object.metadata.generation = Some(generation);
    let _ = servers.touch();
}

/// Somebody deletes the object.
pub(super) fn delete(servers: &Rc<RefCell<Servers>>) {
    let mut servers = servers.borrow_mut();
    servers.object.metadata.deletion_timestamp = Some(Time(servers.now));
    let _ = servers.touch();
}

pub(super) fn is_create(effect: &Effect) -> bool {
    matches!(effect, Effect::Create(_))
}

pub(super) fn is_deliver(effect: &Effect) -> bool {
    matches!(effect, Effect::Deliver { .. })
}

/// Lets so much time pass that no maker can be at work any more on what was seen before.
pub(super) fn wait_until_old(servers: &Rc<RefCell<Servers>>) {
    wait(servers, BUDGET + GRACE + Duration::from_secs(1));
}
