//! One replica: the shell around the shipped core, effect by effect. What it remembers is lost when it crashes.

use std::{collections::BTreeMap, time::Duration};

use c1_operator::{
    api::{FINALIZER, IssuerDefaults, PersonalClient, PersonalClientStatus, Reason},
    c1::Client,
    plan::{
        Abandon, Anchor, Answer, ClientRead, Content, Delivered, Effect, Flight, Guards, Identity, InventoryView,
        Issue, IssuerView, Look, Marker, Next, Observed, Outcome, Record, Remove, SecretSeen, SecretView, Step, next,
        plan, status,
    },
};

use crate::{
    print::Printed,
    situations::{Situation, reached},
    world::{AtC1, CLUSTER, Delivery, HOST, State, TIMING, USER, anchor, is_deleting, owner, time},
};

/// What a maker whose time is over has left to clean up, in seconds.
const CLEAN_UP: u32 = 2;
/// How long after its budget an attempt counts as old.
const GRACE: u32 = 4;

/// What a replica remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Replica {
    /// C1's list as it was read last.
    pub list: Option<Printed<List>>,
    /// The decision that is being made.
    pub looking: Option<Looking>,
    /// The effect that comes next.
    pub work: Option<Work>,
    /// The open attempt with its start, and since when it was seen.
    seen: Option<(String, u32)>,
    /// The open attempt, while nothing was sent for it.
    unsent: Option<String>,
}

/// A list of clients.
#[derive(Debug, Clone)]
pub struct List {
    /// When it was begun.
    pub began: u32,
    /// What it shows.
    pub clients: Vec<Client>,
}

/// A decision that is being made: the object was read, the Secret not yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Looking {
    /// The object; `None`: it has to be read again, after evidence was fetched.
    object: Option<Printed<PersonalClient>>,
    reads: Printed<BTreeMap<String, ClientRead>>,
    listed: bool,
}

/// The effect that comes next: its caller has looked at the time, and may stand still before it for as long as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// Of a transaction.
    Transaction {
        /// The transaction and its effect.
        flight: Printed<(Flight, Effect)>,
        /// Its time is over then.
        deadline: u32,
        /// It has been told so.
        extended: bool,
        /// Its caller looked at the time then.
        looked: u32,
        /// The object that it is about.
        uid: String,
    },
    /// A write of the status, of an object as it was seen.
    Status(Printed<(Anchor, PersonalClientStatus)>),
    /// The finalizer, put back.
    AddFinalizer(Printed<Anchor>),
    /// A Secret that is taken over.
    Claim(Printed<SecretView>, String),
    /// A retiring client's end; then it is struck from status.
    Revoke(Printed<(String, PersonalClient)>),
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// Nothing.
    None,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It never arrives.
    RequestLost,
    /// A create whose caller gives up before it takes effect.
    Late,
}

impl Replica {
    /// What it is about to do, for people.
    pub fn next_effect(&self) -> String {
        match &self.work {
            None => "look".into(),
            Some(Work::Status(s)) => {
                let said = status::ready_reason(&s.1).unwrap_or("nothing").to_owned();
                format!("write status ({said})")
            }
            Some(Work::AddFinalizer(_)) => "put the finalizer back".into(),
            Some(Work::Claim(..)) => "claim the Secret".into(),
            Some(Work::Revoke(r)) => format!("delete {} at C1, whose overlap is over", r.0),
            Some(Work::Transaction { flight, .. }) => describe(&flight.1),
        }
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Preflight { .. } => "preflight".into(),
        Effect::Intend { record, .. } => {
            let attempt = record.open.as_ref().map(|o| o.attempt.as_str()).unwrap_or_default();
            format!("intend attempt {attempt}")
        }
        Effect::Create(request) => format!("create \"{}\" at C1", request.display_name),
        Effect::Deliver { delivered, .. } => format!("deliver {} into the Secret", delivered.client.id),
        Effect::Record { status, .. } => {
            format!("record {} in status", status.client.as_ref().map(|c| c.id.as_str()).unwrap_or_default())
        }
        Effect::ReadSecret => "read the Secret".into(),
        Effect::ReadObject => "read the object".into(),
        Effect::Burn { .. } => "burn the attempt on the object".into(),
        Effect::Fence { attempt, .. } => format!("fence the Secret against attempt {attempt}"),
        Effect::DeleteClient { id } => format!("delete {id} at C1"),
        Effect::DeleteSecret { .. } => "delete the Secret".into(),
        Effect::RemoveFinalizer { .. } => "remove the finalizer".into(),
    }
}

impl State {
    // --- looking --------------------------------------------------------------------------------------------------

    /// Reads C1's list; `lags`: clients that are younger than C1 may need are not shown.
    pub fn list(&mut self, r: usize, lags: bool) {
        let young = |c: &Client| c.created_at.is_some_and(|t| t >= time(self.now.saturating_sub(1)));
        let live = self.clients.iter().filter(|c| c.live);
        let clients = live.map(|c| Client::clone(&c.client)).filter(|c| !lags || !young(c)).collect();
        self.replicas[r].list = Some(Printed::new(List { began: self.now, clients }));
    }

    /// Reads the object from the API server.
    pub fn read_object(&mut self, r: usize) {
        let object = self.object.clone();
        let replica = &mut self.replicas[r];
        replica.looking = object.map(|object| {
            let before = replica.looking.take();
            Looking {
                object: Some(object),
                listed: before.as_ref().is_some_and(|l| l.listed),
                reads: before.map_or_else(|| Printed::new(BTreeMap::new()), |l| l.reads),
            }
        });
    }

    /// What a replica would begin whose caches hold the object as it was read, and no Secret: a first issue, or nothing.
    fn first_issue(&self, r: usize, guards: &Guards) -> Option<(Step, Observed)> {
        let looking = self.replicas[r].looking.as_ref()?;
        let mut observed = self.observe(r, looking.object.as_ref()?, looking);
        (observed.secret, observed.live) = (SecretView::Absent, false);
        let step = observed.is_untouched().then(|| plan(&observed, time(self.now), guards).step);
        step.filter(|step| matches!(step, Step::Issue(_))).map(|step| (step, observed))
    }

    /// Whether a cache that has missed the Secret would make a difference.
    pub fn may_decide_blindly(&self, r: usize, guards: &Guards) -> bool {
        self.secret.is_some() && self.first_issue(r, guards).is_some()
    }

    /// Decides by caches that have missed the Secret.
    pub fn decide_blindly(&mut self, r: usize, guards: &Guards) {
        let Some((step, observed)) = self.first_issue(r, guards) else { return };
        reached(Situation::Blind);
        self.replicas[r].looking = None;
        self.begin(r, step, observed, guards);
    }

    /// Reads the Secret, decides, and begins what is to be done; evidence that is missing is fetched.
    pub fn decide(&mut self, r: usize, guards: &Guards) {
        let Some(looking) = self.replicas[r].looking.take() else { return };
        let Some(object) = looking.object.clone() else { return };
        self.notice(r, &object);
        let observed = self.observe(r, &object, &looking);
        match plan(&observed, time(self.now), guards).step {
            Step::Nothing => {}
            Step::Look(look) => self.fetch(r, looking, look),
            step => self.begin(r, step, observed, guards),
        }
    }

    /// Remembers since when the open attempt was seen.
    fn notice(&mut self, r: usize, object: &PersonalClient) {
        let open = Record::of(object).open.map(|o| format!("{} {}", o.attempt, o.started_at));
        let seen = &mut self.replicas[r].seen;
        if seen.as_ref().map(|s| &s.0) != open.as_ref() {
            *seen = open.map(|open| (open, self.now));
        }
    }

    fn observe(&self, r: usize, object: &PersonalClient, looking: &Looking) -> Observed {
        let (now, secret) = (self.now, self.read_secret(object.status.as_ref()));
        let replica = &self.replicas[r];
        let open_seen = replica.seen.as_ref().map_or(0, |(_, since)| now - since);
        let (unsent, list) = (replica.unsent.clone(), replica.list.clone());
        let inventory = list.map(|list| InventoryView {
            began: time(list.began),
            began_ago: Duration::from_secs(u64::from(now - list.began)),
            complete: true,
            // Other clients of the user are there as well.
            empty: false,
            clients: list.clients.clone(),
        });
        let identity = Identity { host: HOST.into(), user_id: USER.into() };
        let issuer = IssuerView {
            not_ready: None,
            held: true,
            identity: inventory.as_ref().map(|_| identity),
            defaults: IssuerDefaults::default(),
            namespace_selected: Some(true),
            full_permissions: false,
            clock_off: false,
            inventory,
        };
        Observed {
            object: object.clone(),
            live: true,
            cluster: CLUSTER.into(),
            issuer: Some(issuer),
            namespace_terminating: false,
            secret,
            reads: BTreeMap::clone(&looking.reads),
            listed: looking.listed,
            in_flight: false,
            unsent,
            open_seen: Duration::from_secs(u64::from(open_seen)),
            fresh_attempt: format!("n{}", self.names + 1),
            timing: TIMING,
        }
    }

    fn fetch(&mut self, r: usize, mut looking: Looking, look: Look) {
        looking.object = None;
        match look {
            Look::Live => {}
            Look::List => {
                self.list(r, false);
                looking.listed = true;
            }
            Look::Client(id) => {
                let found = self.client(&id).filter(|c| c.live);
                let read = found.map_or(ClientRead::Gone, |c| ClientRead::Live(Box::new(Client::clone(&c.client))));
                let mut reads = BTreeMap::clone(&looking.reads);
                reads.insert(id, read);
                looking.reads = Printed::new(reads);
            }
        }
        self.replicas[r].looking = Some(looking);
    }

    fn begin(&mut self, r: usize, step: Step, observed: Observed, guards: &Guards) {
        self.check_evidence(&step, &observed);
        let object = observed.object;
        let at = anchor(&object);
        self.replicas[r].work = Some(match step {
            Step::Nothing | Step::Look(_) | Step::Render(_) => return,
            Step::UpdateStatus(status) => Work::Status(Printed::new((at, *status))),
            Step::AddFinalizer => Work::AddFinalizer(Printed::new(at)),
            Step::Claim(seen) => {
                reached(Situation::Adoption);
                Work::Claim(Printed::new(SecretView::Present(seen)), at.uid)
            }
            Step::Strike(id) => Work::Status(Printed::new((at, struck(&object, &id)))),
            Step::Revoke(victim) => Work::Revoke(Printed::new((victim.id, object))),
            Step::Issue(step) => {
                self.pursue(r, Issue::start(*step, object, CLUSTER.into(), TIMING), at.uid);
                // A dry run changes nothing: no need to stand still before it.
                self.act(r, Mishap::None, guards);
                // The attempt's name is taken only when it is intended.
                self.names += u8::from(self.replicas[r].work.is_some());
                return;
            }
            Step::Abandon(step) => {
                return self.pursue(r, Abandon::start(step, None), at.uid);
            }
            Step::Remove(step) => {
                let uid = at.uid.clone();
                return self.pursue(r, Remove::start(step, at), uid);
            }
        });
    }

    /// P4: what is to be deleted must be named by what the replica read: status, Secret or record.
    fn check_evidence(&mut self, step: &Step, observed: &Observed) {
        let doomed: Vec<&str> = match step {
            Step::Abandon(step) => vec![&step.client_id],
            Step::Revoke(victim) => vec![&victim.id],
            Step::Remove(step) => step.victims.iter().map(|v| v.id.as_str()).collect(),
            _ => vec![],
        };
        let (record, status) = (Record::of(&observed.object), observed.object.status_or_default());
        let delivered = match &observed.secret {
            SecretView::Present(seen) => seen.delivered.as_ref(),
            _ => None,
        };
        let issued = || status.client.iter().chain(delivered.map(|d| &d.client));
        let retiring = || status.retiring.iter().chain(delivered.iter().flat_map(|d| &d.replaces));
        // By what the replica knows: between a read at C1 and a delete there is always time.
        let known = |id: &str| match observed.reads.get(id) {
            Some(ClientRead::Live(client)) => Some(&**client),
            Some(ClientRead::Gone) => None,
            None => observed.issuer.as_ref()?.inventory.as_ref()?.client(id),
        };
        for id in doomed {
            let attempt = self.client(id).and_then(AtC1::attempt).unwrap_or_default();
            let named = issued().any(|c| c.id == id || c.attempt == attempt)
                || retiring().any(|r| r.id == id)
                || record.is_abandoned(&attempt)
                || record.open.as_ref().is_some_and(|o| o.attempt == attempt);
            if !named {
                self.broken.get_or_insert("P4: a client that is on no record is to be deleted");
            }
            if known(id).is_some_and(|c| Marker::parse(&c.display_name).is_none_or(|m| m.owner != owner())) {
                self.broken.get_or_insert("P4: a client without the object's marker is to be deleted");
            }
        }
    }

    fn pursue(&mut self, r: usize, (flight, effect): Next, uid: String) {
        let budget = u32::try_from(TIMING.budget.as_secs()).unwrap_or(u32::MAX);
        self.replicas[r].work = effect.map(|effect| Work::Transaction {
            flight: Printed::new((flight, effect)),
            deadline: self.now + budget,
            extended: false,
            looked: self.now,
            uid,
        });
    }

    // --- acting ---------------------------------------------------------------------------------------------------

    /// Performs the effect that comes next.
    pub fn act(&mut self, r: usize, mishap: Mishap, guards: &Guards) {
        let Some(work) = self.replicas[r].work.take() else { return };
        let happens = !matches!(mishap, Mishap::RequestLost | Mishap::Late);
        match work {
            Work::Transaction { flight, deadline, extended, uid, .. } => {
                let old = self.now >= deadline + GRACE;
                let answer = self.perform(r, &flight.1, &uid, (matches!(flight.0, Flight::Remove(_)), old), mishap);
                self.go_on(r, flight.0.clone(), answer, (deadline, extended, uid), guards);
            }
            Work::Status(write) => {
                if happens {
                    self.write_status(&write.0, &write.1);
                }
            }
            Work::AddFinalizer(at) => {
                if happens && self.object.as_ref().is_some_and(|o| !is_deleting(o)) {
                    self.write_object(&at, |o| o.metadata.finalizers = Some(vec![FINALIZER.into()]));
                }
            }
            Work::Claim(seen, uid) => {
                if let (true, SecretView::Present(seen)) = (happens, &*seen) {
                    self.annotate_secret(seen, |secret| {
                        if let Some(delivered) = &mut secret.delivered {
                            delivered.owner.uid = uid;
                        }
                    });
                }
            }
            Work::Revoke(what) => {
                let (id, object) = (&what.0, &what.1);
                if happens {
                    reached(Situation::OverlapEnds);
                    self.delete_client(r, id, false);
                }
                if mishap == Mishap::None {
                    self.replicas[r].work = Some(Work::Status(Printed::new((anchor(object), struck(object, id)))));
                }
            }
        }
    }

    /// The transaction's caller looks at the time, and it is over.
    pub fn out_of_time(&mut self, r: usize, guards: &Guards) {
        let Some(Work::Transaction { flight, deadline, extended, uid, .. }) = self.replicas[r].work.take() else {
            return;
        };
        reached(Situation::OutOfTime);
        if extended {
            self.leave(&flight.0);
        }
        let deadline = if extended { deadline } else { self.now + CLEAN_UP };
        self.go_on(r, flight.0.clone(), Answer::OutOfTime, (deadline, true, uid), guards);
    }

    /// A replica is killed, and starts anew.
    pub fn crash(&mut self, r: usize) {
        if let Some(Work::Transaction { flight, .. }) = std::mem::take(&mut self.replicas[r]).work {
            self.leave(&flight.0);
        }
    }

    /// Whoever made the client does nothing more.
    fn leave(&mut self, flight: &Flight) {
        if self.delivery == Delivery::Late && matches!(flight, Flight::Issue(_)) {
            self.delivery = Delivery::LateAndLeft;
        }
    }

    fn go_on(
        &mut self,
        r: usize,
        flight: Flight,
        answer: Answer,
        (deadline, extended, uid): (u32, bool, String),
        guards: &Guards,
    ) {
        let (flight, effect) = next(flight, answer, time(self.now), guards);
        let Some(effect) = effect else { return self.land(r, flight) };
        let flight = Printed::new((flight, effect));
        self.replicas[r].work = Some(Work::Transaction { flight, deadline, extended, looked: self.now, uid });
    }

    /// What the shell does when a transaction is over: a failure is written down.
    fn land(&mut self, r: usize, flight: Flight) {
        let Flight::Landed(outcome) = flight else { return };
        match *outcome {
            Outcome::Failed { reason, message, unsent } => {
                if !unsent {
                    self.replicas[r].unsent = None;
                }
                let Some(object) = &self.object else { return };
                let (base, generation) = (object.status_or_default(), object.metadata.generation.unwrap_or_default());
                let said = if is_deleting(object) {
                    status::not_ready(&base, Reason::RevocationBlocked, &message, generation, time(self.now))
                } else {
                    status::failed(&base, reason, &message, generation, time(self.now))
                };
                self.replicas[r].work = Some(Work::Status(Printed::new((anchor(object), said))));
            }
            Outcome::Abandoned { .. } => reached(Situation::Abandoned),
            Outcome::Removed { .. } => reached(Situation::Removed),
            Outcome::Issued { .. } | Outcome::Delivered | Outcome::LookAgain { .. } => {}
        }
    }

    fn perform(
        &mut self,
        r: usize,
        effect: &Effect,
        uid: &str,
        (removal, old): (bool, bool),
        mishap: Mishap,
    ) -> Answer {
        let lost = Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
        if let Effect::Intend { record, .. } = effect {
            self.replicas[r].unsent = record.open.as_ref().map(|o| o.attempt.clone());
        }
        if matches!(effect, Effect::Create(_)) {
            self.replicas[r].unsent = None;
        }
        if mishap == Mishap::RequestLost {
            return lost;
        }
        let answer = match effect {
            Effect::Preflight { roles, secret } => {
                let there = self.secret.as_ref().map(|s| (&s.uid, &s.resource_version));
                let seen = secret.as_ref().map(|s| (&s.uid, &s.resource_version));
                if there == seen { Answer::Ids(roles.clone()) } else { Answer::Conflict }
            }
            Effect::Intend { at, record } => self.write_record(at, record, true),
            Effect::Burn { at, record } => self.write_record(at, record, false),
            Effect::Create(request) if mishap == Mishap::Late => {
                self.late.push(request.display_name.clone());
                return lost;
            }
            Effect::Create(request) => Answer::Created(Box::new(self.create(&request.display_name, old))),
            Effect::Deliver { delivered, over } => self.deliver(delivered, over.as_deref(), old),
            Effect::Record { at, status } => self.write_status(at, status),
            Effect::ReadSecret => Answer::Secret(self.read_secret(None)),
            Effect::ReadObject => Answer::Object(self.object_of(uid)),
            Effect::Fence { over, attempt } => {
                let answer = self.annotate_secret(over, |secret| secret.fence = Some(attempt.clone()));
                if matches!(answer, Answer::Done(_)) {
                    reached(Situation::Fenced);
                }
                answer
            }
            Effect::DeleteClient { id } => self.delete_client(r, id, removal),
            Effect::DeleteSecret { at, .. } => self.delete_secret(at),
            Effect::RemoveFinalizer { at } => self.write_object(at, |o| o.metadata.finalizers = None),
        };
        if matches!(answer, Answer::Conflict) {
            match effect {
                Effect::Intend { .. } => reached(Situation::TwoIntend),
                Effect::Deliver { .. } => reached(Situation::DeliverConflict),
                Effect::Record { .. } => reached(Situation::RecordConflict),
                _ => {}
            }
        }
        if mishap == Mishap::AnswerLost { lost } else { answer }
    }

    /// The object, as the shell reads it in a transaction: another of its name is none.
    fn object_of(&self, uid: &str) -> Option<Box<PersonalClient>> {
        let object = self.object.as_ref().filter(|o| o.metadata.uid.as_deref() == Some(uid));
        object.map(|o| Box::new(PersonalClient::clone(o)))
    }

    fn deliver(&mut self, delivered: &Delivered, over: Option<&SecretSeen>, old: bool) -> Answer {
        let (uid, fence) = match (&self.secret, over) {
            (None, None) => (self.name(), None),
            (None, Some(_)) => return Answer::Gone,
            (Some(_), None) => return Answer::Conflict,
            (Some(secret), Some(over)) => {
                if (&secret.uid, &secret.resource_version) != (&over.uid, &over.resource_version) {
                    return Answer::Conflict;
                }
                if secret.delivered.is_none() {
                    self.broken.get_or_insert("P4: a Secret of somebody else was written");
                }
                (secret.uid.clone(), over.fence.clone())
            }
        };
        let (now, former) = (self.now, self.held());
        let record = self.object.as_ref().map(|o| Record::of(o)).unwrap_or_default();
        if let Some(client) = former.and_then(|id| self.client_mut(&id)).filter(|c| c.live) {
            // Of an abandoned attempt, delivered late where no Secret could be fenced: it never was the object's credential.
            // It gets an overlap, too, but a replica that stood still before its delete may cut that short.
            if client.attempt().is_some_and(|attempt| !record.is_abandoned(&attempt)) {
                client.replaced.get_or_insert(now);
            }
        }
        self.secret_disturbed = false;
        self.delivery = if old { Delivery::Late } else { Delivery::InTime };
        self.put_secret(SecretSeen {
            uid,
            resource_version: String::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            delivered: Some(delivered.clone()),
            fence,
            content: Content::Intact { rendered: true },
        });
        self.secret_anchor()
    }

    fn delete_secret(&mut self, at: &Anchor) -> Answer {
        let Some(secret) = &self.secret else { return Answer::Gone };
        if (&secret.uid, &secret.resource_version) != (&at.uid, &at.resource_version) {
            return Answer::Conflict;
        }
        if secret.delivered.is_none() {
            self.broken.get_or_insert("P4: a Secret of somebody else was deleted");
        }
        self.secret = None;
        Answer::Done(at.clone())
    }

    /// Deletes a client at C1; here the promises are broken, if they are.
    fn delete_client(&mut self, r: usize, id: &str, wanted: bool) -> Answer {
        let (now, held) = (self.now, self.held().as_deref() == Some(id));
        let object = self.object.as_ref().filter(|o| !is_deleting(o) && !wanted);
        let in_use = object.is_some();
        // What a maker delivers after its attempt was given up counts as lost: status has said so, or never named it.
        let named = object.and_then(|o| o.status.as_ref()?.client.as_ref()).is_some_and(|c| c.id == id);
        if let Some(list) = self.replicas[r].list.clone() {
            let mut list = List::clone(&list);
            list.clients.retain(|c| c.id != id);
            self.replicas[r].list = Some(Printed::new(list));
        }
        let overlap = u32::try_from(TIMING.overlap.as_secs()).unwrap_or(u32::MAX);
        let Some(client) = self.client_mut(id).filter(|c| c.live) else { return Answer::Gone };
        client.live = false;
        let broken = if client.foreign {
            Some("P4: a client that the operator did not make was deleted")
        } else if named && held {
            Some("P1: the client that the Secret holds was deleted")
        } else if in_use && client.replaced.is_some_and(|since| now < since + overlap) {
            Some("P8: a replaced client was deleted before its overlap was over")
        } else {
            None
        };
        if let Some(broken) = broken {
            self.broken.get_or_insert(broken);
        }
        Answer::Done(Anchor { uid: id.into(), resource_version: String::new() })
    }
}

/// The status without a retiring client.
fn struck(object: &PersonalClient, id: &str) -> PersonalClientStatus {
    let mut status = object.status_or_default();
    status.retiring.retain(|r| r.id != id);
    status
}
