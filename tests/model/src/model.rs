//! The transitions: everything that replicas, servers and environment may do next, in any order.

use std::fmt;

use c1_operator::{
    api::RECORD_ANNOTATION,
    c1::Client,
    plan::{Content, Effect, Record, SecretSeen},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stateright::{Model, Property};

use crate::{
    print::{Printed, fingerprint},
    promises,
    replica::{Mishap, Replica, Work},
    rest::{self, Known},
    rules::Rules,
    situations::{Situation, reached},
    world::{AtC1, LONG, Left, SHORT, State, TIMING, is_deleting, owner, time},
};

/// Which interventions the environment may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Replicas.
    pub replicas: usize,
    /// What the environment may do, in sum.
    pub left: Left,
    /// Processes die, networks and lists fail.
    pub faults: bool,
    /// What people and programs may do to the object, the Secret and the client.
    pub interventions: &'static [Event],
}

/// The model.
#[derive(Debug)]
pub struct Protocol {
    /// How far it goes.
    pub bounds: Bounds,
    /// The rules that are kept.
    pub rules: Rules,
    /// Replicas have no names: which of them did what makes no other state. Stories read better with names.
    pub nameless: bool,
    /// What is known of runs to rest.
    pub known: Known,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A replica reads C1's list; whether the newest clients are missing there.
    List(usize, bool),
    /// A replica reads the object.
    Look(usize),
    /// It reads the Secret, the object before that if it has not, and decides.
    Decide(usize),
    /// It decides by its caches, which have missed the Secret.
    DecideBlindly(usize),
    /// It performs its next effect.
    Act(usize, Mishap),
    /// It finds that its time is over.
    OutOfTime(usize),
    /// It is killed, and starts anew.
    Crash(usize),
    /// A late create takes effect.
    Land(usize),
    /// Time passes.
    Tick(u32),
    /// Somebody does something.
    Event(Event),
}

/// What people and other programs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Asks for something else.
    EditSpec,
    /// Deletes the object.
    Delete,
    /// Makes it anew.
    Recreate,
    /// `kubectl replace` without finalizer and record.
    TearOff,
    /// Changes the Secret's data.
    AlterSecret,
    /// Deletes the Secret.
    DeleteSecret,
    /// Puts a Secret of his own there.
    ForeignSecret,
    /// Deletes the current client in C1's console.
    DeleteClient,
    /// Takes the marker from the current client.
    Rename,
    /// A clone of the cluster makes a client with the object's marker.
    Clone,
    /// A consumer logs in with what the Secret holds.
    Use,
    /// A backup is taken.
    Backup,
    /// It is restored.
    Restore,
}

/// All of them.
pub const EVENTS: &[Event] = &[
    Event::EditSpec,
    Event::Delete,
    Event::Recreate,
    Event::TearOff,
    Event::AlterSecret,
    Event::DeleteSecret,
    Event::ForeignSecret,
    Event::DeleteClient,
    Event::Rename,
    Event::Clone,
    Event::Use,
    Event::Backup,
    Event::Restore,
];

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds.replicas, self.bounds.left)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for (r, replica) in state.replicas.iter().enumerate() {
            self.replica_actions(state, r, replica, actions);
        }
        actions.extend((0..state.late.len()).map(Action::Land));
        if state.left.ticks > 0 {
            actions.extend([SHORT, LONG].map(Action::Tick));
        }
        let interventions = self.bounds.interventions.iter().copied();
        actions.extend(interventions.filter(|e| state.is_possible(*e)).map(Action::Event));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.take(action, &self.rules);
        if self.nameless && state.replicas.len() > 1 {
            state.replicas.sort_by_cached_key(fingerprint);
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no effect breaks a promise", |_, state: &State| state.broken.is_none()),
            Property::always("P1 nothing is lost", |_, state: &State| promises::nothing_is_lost(state)),
            Property::always("P2 every client is answered for", |_, state: &State| promises::answered_for(state)),
            Property::always("P3 at most one attempt is unresolved", |_, state: &State| promises::bounded(state)),
            Property::always("it comes to rest, as it should", |model: &Self, state: &State| {
                rest::comes_to_rest(state, &model.rules, &model.known).is_ok()
            }),
        ]
    }
}

impl Protocol {
    fn replica_actions(&self, state: &State, r: usize, replica: &Replica, actions: &mut Vec<Action>) {
        let faults = self.bounds.faults && state.left.events > 0;
        match &replica.work {
            None => {
                actions.push(Action::List(r, false));
                if faults {
                    actions.push(Action::List(r, true));
                }
                // Whoever is alone reads object and Secret at once: what happens in between is tried with one replica.
                let alone = (0..state.replicas.len()).all(|other| other == r || state.replicas[other].work.is_none());
                if (state.replicas.len() == 1 || !alone) && !replica.has_object() {
                    actions.push(Action::Look(r));
                }
                actions.push(Action::Decide(r));
                if state.may_decide_blindly(r, &self.rules) {
                    actions.push(Action::DecideBlindly(r));
                }
            }
            Some(work) => {
                let (mut may_act, mut may_end) = (true, false);
                if let Work::Transaction { deadline, looked, .. } = work {
                    may_act = looked < deadline;
                    may_end = state.now >= *deadline;
                }
                if may_act {
                    actions.push(Action::Act(r, Mishap::None));
                }
                if may_end {
                    actions.push(Action::OutOfTime(r));
                }
                if may_act && faults {
                    actions.extend([Mishap::AnswerLost, Mishap::RequestLost].map(|m| Action::Act(r, m)));
                    if replica.creates() {
                        actions.push(Action::Act(r, Mishap::Late));
                    }
                }
            }
        }
        if faults && *replica != Replica::default() {
            actions.push(Action::Crash(r));
        }
    }
}

impl Replica {
    fn creates(&self) -> bool {
        matches!(&self.work, Some(Work::Transaction { flight, .. }) if matches!(flight.1, Effect::Create(_)))
    }
}

impl State {
    /// Does it.
    pub fn take(&mut self, action: Action, rules: &Rules) {
        match action {
            Action::List(r, lags) => {
                self.list(r, lags);
                self.spend(lags);
            }
            Action::Look(r) => self.read_object(r),
            Action::Decide(r) => self.decide(r, rules),
            Action::DecideBlindly(r) => self.decide_blindly(r, rules),
            Action::Act(r, mishap) => {
                self.note_late_delivery(r, mishap);
                self.act(r, mishap, rules);
                self.spend(mishap != Mishap::None);
            }
            Action::OutOfTime(r) => self.out_of_time(r, rules),
            Action::Crash(r) => {
                self.crash(r);
                self.spend(true);
            }
            Action::Land(index) => self.land_late(index),
            Action::Tick(seconds) => {
                self.now += seconds;
                self.left.ticks = self.left.ticks.saturating_sub(1);
            }
            Action::Event(event) => self.happen(event),
        }
        if self.clients.iter().filter(|c| c.live && !c.foreign && c.attempt().is_some()).count() > 1 {
            reached(Situation::TwoAlive);
        }
    }

    fn spend(&mut self, really: bool) {
        self.left.events -= u8::from(really);
    }

    fn note_late_delivery(&self, r: usize, mishap: Mishap) {
        if let Some(Work::Transaction { flight, deadline, .. }) = &self.replicas[r].work
            && matches!(flight.1, Effect::Deliver { .. })
            && mishap == Mishap::None
            && self.now > *deadline
        {
            reached(Situation::PausedDelivers);
        }
    }

    /// A create takes effect, long after its caller gave up.
    pub fn land_late(&mut self, index: usize) {
        let name = self.late.remove(index);
        self.create(&name, true);
        reached(match &self.object {
            None => Situation::LateAfterRemoval,
            Some(object) => {
                let attempt = self.clients.last().and_then(AtC1::attempt).unwrap_or_default();
                if Record::of(object).is_abandoned(&attempt) {
                    Situation::LateAfterAbandon
                } else {
                    Situation::LateCreate
                }
            }
        });
    }

    fn is_possible(&self, event: Event) -> bool {
        let object = self.object.as_ref().filter(|o| !is_deleting(o));
        let current = object.and_then(|o| o.status.as_ref()?.client.clone()).and_then(|c| self.client(&c.id).cloned());
        let current = current.filter(|c| c.live && c.attempt().is_some());
        let ours = self.secret.as_ref().is_some_and(|s| s.delivered.is_some());
        (self.left.events > 0 || matches!(event, Event::Use | Event::Backup))
            && match event {
                Event::EditSpec => object.is_some_and(|o| o.metadata.generation.is_some_and(|g| g < 3)),
                Event::Delete => object.is_some(),
                Event::Recreate => self.object.is_none(),
                Event::TearOff => object.is_some_and(|o| o.metadata.finalizers.is_some()),
                Event::AlterSecret => ours && self.held().is_some(),
                Event::DeleteSecret => self.secret.is_some(),
                Event::ForeignSecret => self.secret.is_none(),
                Event::DeleteClient | Event::Rename => current.is_some(),
                Event::Clone => self.clients.iter().all(|c| !c.foreign),
                // Whether a client was used matters only where its attempt may be open, or be so again.
                Event::Use => {
                    let held = self.held().and_then(|id| self.client(&id).cloned());
                    let named = current.is_some_and(|c| Some(&c.client.id) == held.as_ref().map(|h| &h.client.id));
                    (self.backup.is_some() || !named) && held.is_some_and(|c| c.live && c.client.last_used_at.is_none())
                }
                Event::Backup => self.left.backups > 0 && self.left.events > 0,
                Event::Restore => {
                    self.backup.as_ref().is_some_and(|b| *b != (self.object.clone(), self.secret.clone()))
                }
            }
    }

    fn happen(&mut self, event: Event) {
        self.spend(!matches!(event, Event::Use | Event::Backup));
        let object = self.object.as_deref().cloned();
        let secret = self.secret.as_deref().cloned();
        match (event, object, secret) {
            (Event::EditSpec, Some(mut object), _) => {
                let generation = object.metadata.generation.unwrap_or(1) + 1;
                object.metadata.generation = Some(generation);
                object.spec.display_name = Some(format!("edit {generation}"));
                self.put_object(object);
            }
            (Event::Delete, Some(mut object), _) => {
                object.metadata.deletion_timestamp = Some(Time(time(self.now)));
                self.put_object(object);
            }
            (Event::Recreate, None, _) => self.make_object(),
            (Event::TearOff, Some(mut object), _) => {
                if Record::of(&object).open.is_some() {
                    reached(Situation::Torn);
                }
                object.metadata.finalizers = None;
                object.metadata.annotations.get_or_insert_default().remove(RECORD_ANNOTATION);
                self.record_destroyed = true;
                self.put_object(object);
            }
            (Event::AlterSecret, _, Some(mut secret)) => {
                secret.content = Content::Altered;
                self.secret_disturbed = true;
                self.put_secret(secret);
            }
            (Event::DeleteSecret, ..) => {
                self.secret = None;
                self.secret_disturbed = true;
            }
            (Event::ForeignSecret, ..) => self.foreign_secret(),
            (Event::DeleteClient, Some(object), _) => self.change_current(&object.status_or_default(), |client| {
                client.live = false;
                client.deleted_outside = true;
            }),
            (Event::Rename, Some(object), _) => self.change_current(&object.status_or_default(), |client| {
                let renamed = Client { display_name: "renamed".into(), ..Client::clone(&client.client) };
                client.client = Printed::new(renamed);
            }),
            (Event::Clone, ..) => {
                self.create(&format!("deployer [k8s {} clone]", owner()), true);
                if let Some(client) = self.clients.last_mut() {
                    client.foreign = true;
                }
                reached(Situation::CloneClient);
            }
            (Event::Use, ..) => {
                let (now, held) = (self.now, self.held().unwrap_or_default());
                if let Some(client) = self.client_mut(&held) {
                    let used = Client { last_used_at: Some(time(now)), ..Client::clone(&client.client) };
                    client.client = Printed::new(used);
                }
            }
            (Event::Backup, ..) => {
                self.left.backups -= 1;
                self.backup = Some((self.object.clone(), self.secret.clone()));
            }
            (Event::Restore, ..) => self.restore(),
            _ => {}
        }
    }

    fn foreign_secret(&mut self) {
        let uid = self.name();
        self.secret_disturbed = true;
        self.put_secret(SecretSeen {
            uid,
            resource_version: String::new(),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            delivered: None,
            fence: None,
            content: Content::Unread,
        });
    }

    fn change_current(&mut self, status: &c1_operator::api::PersonalClientStatus, change: impl FnOnce(&mut AtC1)) {
        let Some(current) = &status.client else { return };
        if let Some(client) = self.client_mut(&current.id) {
            change(client);
        }
    }

    /// The cluster as it was: object and Secret with their UIDs. What was written since is forgotten, but not by C1.
    fn restore(&mut self) {
        let Some((object, secret)) = self.backup.take() else { return };
        (self.object, self.secret) = (object, secret);
        self.secret_disturbed = true;
        self.record_destroyed = true;
        if self.held().and_then(|id| self.client(&id)).is_some_and(|c| !c.live) {
            reached(Situation::RestoredGone);
        }
        if let Some(open) = self.object.as_ref().and_then(|o| Record::of(o).open) {
            let used = |c: &AtC1| c.attempt().as_ref() == Some(&open.attempt) && c.client.last_used_at.is_some();
            if self.clients.iter().any(used) {
                reached(Situation::RestoredUsed);
            }
        }
    }

    /// What an action does here, for people.
    pub fn tell(&self, action: Action) -> String {
        let name = |r: usize| {
            if self.replicas.len() > 1 { format!("replica {}", ["A", "B", "C"][r]) } else { "the operator".into() }
        };
        match action {
            Action::List(r, lags) => {
                format!("{} reads C1's list{}", name(r), if lags { ", which lags" } else { "" })
            }
            Action::Look(r) => format!("{} reads the object", name(r)),
            Action::Decide(r) if self.replicas[r].has_object() => format!("{} reads the Secret and decides", name(r)),
            Action::Decide(r) => format!("{} looks", name(r)),
            Action::DecideBlindly(r) => format!("{} decides by caches that have missed the Secret", name(r)),
            Action::Act(r, mishap) => format!("{}: {}{mishap}", name(r), self.replicas[r].next_effect()),
            Action::OutOfTime(r) => format!("{}: its time is over before: {}", name(r), self.replicas[r].next_effect()),
            Action::Crash(r) => format!("{} is killed before: {}", name(r), self.replicas[r].next_effect()),
            Action::Land(index) => {
                format!("C1 makes the client of a create that was given up: \"{}\"", self.late[index])
            }
            Action::Tick(SHORT) => "time passes: an attempt that was seen is old".into(),
            Action::Tick(seconds) => format!("{seconds} s pass: overlaps of {} s are over", TIMING.overlap.as_secs()),
            Action::Event(event) => format!("somebody: {event:?}"),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::AnswerLost => " (done; the answer is lost)",
            Self::RequestLost => " (the request is lost)",
            Self::Late => " (no answer; it may take effect later)",
        })
    }
}
