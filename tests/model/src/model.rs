//! The transitions: everything that replicas, servers and environment may do next, in any order.

use c1_operator::plan::{Effect, Record};
use stateright::{Model, Property};

use crate::{
    c1::AtC1,
    events::Event,
    print::fingerprint,
    promises,
    replica::{Answers, Mishap, Replica, Work},
    rest::{self, Known},
    rules::Rules,
    situations::{Situation, reached},
    starts::Start,
    world::{LONG, Left, SHORT, State},
};

/// Which interventions the environment may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Replicas.
    pub replicas: usize,
    /// How it begins: each of these is tried.
    pub starts: &'static [Start],
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
    /// It reads the Secret, the object before that if it has not, and decides, by what C1 answers.
    Decide(usize, Answers),
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

impl Action {
    /// The same, if nothing goes wrong in it at C1.
    fn undisturbed(self) -> Option<Self> {
        match self {
            Self::List(r, true) => Some(Self::List(r, false)),
            Self::Decide(r, Answers::Lagging | Answers::Missing) => Some(Self::Decide(r, Answers::Plain)),
            _ => None,
        }
    }
}

/// Of UIDs and attempts on one path, if it does not go on and on.
const MOST_NAMES: u8 = 40;

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.bounds.starts.iter().map(|start| start.state(self.bounds.replicas, self.bounds.left)).collect()
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
        if let Some(same) = action.undisturbed() {
            // Only where it makes a difference.
            let mut plain = last.clone();
            plain.take(same, &self.rules);
            (plain.left, plain.mishaps) = (state.left, state.mishaps);
            if plain == state {
                return None;
            }
        }
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
            Property::always("P3 no second one comes to life without need", |_, state: &State| {
                promises::bounded(state)
            }),
            Property::always("it does not go on and on", |_, state: &State| state.names < MOST_NAMES),
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
                actions.push(Action::Decide(r, Answers::Plain));
                if faults {
                    actions.extend([Answers::Lagging, Answers::Missing].map(|answers| Action::Decide(r, answers)));
                }
                if state.may_decide_blindly(r, &self.rules) {
                    actions.push(Action::DecideBlindly(r));
                }
            }
            Some(work) => {
                let (mut may_act, mut may_end) = (true, false);
                if let Work::Transaction { caller, .. } = work {
                    may_act = caller.looked < caller.deadline;
                    may_end = state.now >= caller.deadline;
                }
                if may_act {
                    actions.push(Action::Act(r, Mishap::None));
                }
                if may_end {
                    actions.push(Action::OutOfTime(r));
                }
                if may_act && faults {
                    actions.extend(work.mishaps().iter().map(|mishap| Action::Act(r, *mishap)));
                }
            }
        }
        if faults && *replica != Replica::default() {
            actions.push(Action::Crash(r));
        }
    }
}

impl State {
    /// Does it.
    pub fn take(&mut self, action: Action, rules: &Rules) {
        match action {
            Action::List(r, lags) => {
                self.list(r, lags);
                self.spend(lags);
                self.mishaps += u8::from(lags);
            }
            Action::Look(r) => self.read_object(r),
            Action::Decide(r, answers) => {
                self.decide(r, answers, rules);
                self.spend(answers != Answers::Plain);
                self.mishaps += u8::from(answers == Answers::Lagging);
            }
            Action::DecideBlindly(r) => self.decide_blindly(r, rules),
            Action::Act(r, mishap) => {
                self.note_late_delivery(r, mishap);
                self.act(r, mishap, rules);
                self.spend(mishap != Mishap::None);
                self.mishaps += u8::from(mishap != Mishap::None);
            }
            Action::OutOfTime(r) => self.out_of_time(r, rules),
            Action::Crash(r) => {
                self.crash(r);
                self.spend(true);
            }
            Action::Land(index) => self.land_late(index),
            Action::Tick(seconds) => {
                self.now += seconds;
                // Either leap is longer than that is remembered.
                self.replicas.iter_mut().for_each(|replica| replica.unanswered.clear());
                self.left.ticks = self.left.ticks.saturating_sub(1);
            }
            Action::Event(event) => self.happen(event),
        }
        self.own_again();
        if self.clients.iter().filter(|c| c.live && !c.foreign && c.attempt().is_some()).count() > 1 {
            reached(Situation::TwoAlive);
        }
    }

    /// One event less may happen.
    pub fn spend(&mut self, really: bool) {
        self.left.events -= u8::from(really);
    }

    fn note_late_delivery(&self, r: usize, mishap: Mishap) {
        if let Some(Work::Transaction { flight, caller }) = &self.replicas[r].work
            && matches!(flight.1, Effect::Deliver { .. })
            && mishap == Mishap::None
            && self.now > caller.deadline
        {
            reached(Situation::PausedDelivers);
        }
    }

    /// A create takes effect, long after its caller gave up.
    pub fn land_late(&mut self, index: usize) {
        let (name, user_id, old_at) = self.late.remove(index);
        let old = self.now >= old_at;
        self.create(&name, user_id, old);
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
}
