//! Liveness, as a property of each single state: with no further faults it comes to rest, whoever goes first, and there all is as
//! it should be. (Model checkers that look for cycles overlook some; a run to the end overlooks none.)

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use c1_operator::{
    api::FINALIZER,
    plan::{Record, asked, claims, status},
};

use crate::{
    c1::AtC1,
    model::Action,
    print::fingerprint,
    promises,
    replica::{Answers, Mishap, Work},
    rules::Rules,
    world::{Delivery, End, LONG, Left, NAME, SHORT, State, is_deleting},
};

/// Effects and pauses until rest, at the most.
const MOST_STEPS: usize = 400;
/// Looks that one decision may need.
const MOST_LOOKS: usize = 20;
/// Longer than any pause after failures, in seconds.
const LONGEST_BACKOFF: u32 = 4000;
/// Pauses in which nobody finds anything to do, after which it is at rest.
const QUIET_PAUSES: usize = 4;

/// States from which it is known to come to rest, by their fingerprints. A run's next step depends on nothing but the state
/// that the last effect has left, so a run that meets another's may end there.
#[derive(Debug)]
pub struct Known([Mutex<HashSet<u64>>; 64]);

impl Default for Known {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Known {
    fn with<T>(&self, key: u64, f: impl FnOnce(&mut HashSet<u64>) -> T) -> T {
        let shard = usize::try_from(key % 64).unwrap_or(0);
        f(&mut self.0[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One run, and who listens to it.
struct Run<'a> {
    state: State,
    rules: &'a Rules,
    /// The replica with the higher number goes first.
    backwards: bool,
    known: &'a Known,
    passed: Vec<u64>,
    tell: &'a mut dyn FnMut(String),
}

/// Runs to rest in both orders, with a late create that takes effect at the end, and with one that takes effect now.
///
/// # Errors
/// What is wrong at the end, or that there is none.
pub fn comes_to_rest(state: &State, rules: &Rules, known: &Known) -> Result<(), String> {
    runs(state, rules, known, &mut |_| {})
}

/// The run that does not end well, told step by step; nothing if all do.
pub fn tell(state: &State, rules: &Rules) -> Vec<String> {
    let mut told = vec![];
    let result = runs(state, rules, &Known::default(), &mut |line| {
        if line.is_empty() { told.clear() } else { told.push(line) }
    });
    result.map_or_else(|wrong| [told, vec![format!("=> {wrong}")]].concat(), |()| vec![])
}

fn runs(state: &State, rules: &Rules, known: &Known, tell: &mut dyn FnMut(String)) -> Result<(), String> {
    if state.broken.is_some() {
        return Ok(());
    }
    let mut state = state.clone();
    state.left = Left { events: 0, ticks: 0, backups: 0 };
    state.backup = None;
    for replica in &mut state.replicas {
        // Going on with a half-made decision is a step of the model; here it is made anew, from a new list.
        (replica.looking, replica.list) = (None, None);
    }
    let orders: &[bool] = if state.replicas.len() > 1 { &[false, true] } else { &[false] };
    for &backwards in orders {
        let mut start = |state: State| {
            tell(String::new());
            Run { state, rules, backwards, known, passed: vec![], tell: &mut *tell }.go()
        };
        if !state.late.is_empty() {
            let mut landed = state.clone();
            while !landed.late.is_empty() {
                landed.land_late(0);
            }
            start(landed)?;
        }
        start(state.clone())?;
    }
    Ok(())
}

impl Run<'_> {
    /// Runs, and remembers what was passed if it ends well.
    fn go(mut self) -> Result<(), String> {
        self.run_to_rest()?;
        for key in self.passed {
            self.known.with(key, |known| known.insert(key));
        }
        Ok(())
    }

    /// Effects first, then looks, then time. Late creates take effect when it has come to rest; then it must come to rest again.
    fn run_to_rest(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        for _ in 0..MOST_STEPS {
            if quiet == 0 && self.is_known() {
                return Ok(());
            }
            if let Some(broken) = self.state.broken {
                return Err(broken.into());
            }
            if self.effect() || self.looks()? {
                quiet = 0;
            } else if quiet < QUIET_PAUSES {
                self.step(Action::Tick([SHORT, LONG].get(quiet).copied().unwrap_or(LONGEST_BACKOFF)));
                quiet += 1;
            } else {
                as_it_should_be(&self.state)?;
                if self.state.late.is_empty() {
                    return Ok(());
                }
                self.step(Action::Land(0));
                quiet = 0;
            }
        }
        Err("it does not come to rest".into())
    }

    fn is_known(&mut self) -> bool {
        let key = fingerprint(&(&self.state, self.backwards));
        self.passed.push(key);
        self.known.with(key, |known| known.contains(&key))
    }

    /// Whoever has something under way goes on with it.
    fn effect(&mut self) -> bool {
        let Some(r) = self.order().find(|r| self.state.replicas[*r].work.is_some()) else { return false };
        let over = match &self.state.replicas[r].work {
            Some(Work::Transaction { caller, .. }) => self.state.now >= caller.deadline,
            _ => false,
        };
        self.step(if over { Action::OutOfTime(r) } else { Action::Act(r, Mishap::None) });
        true
    }

    /// Each looks, until one has something to do.
    fn looks(&mut self) -> Result<bool, String> {
        let before = fingerprint(&self.state.object);
        for r in self.order() {
            self.step(Action::List(r, false));
            for look in 0.. {
                self.step(Action::Decide(r, Answers::Plain));
                if self.state.replicas[r].looking.is_none() {
                    break;
                }
                if look == MOST_LOOKS {
                    return Err("a decision never has enough evidence".into());
                }
            }
            let replica = &mut self.state.replicas[r];
            replica.list = None;
            if replica.work.is_some() || fingerprint(&self.state.object) != before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, backwards) = (self.state.replicas.len(), self.backwards);
        (0..count).map(move |n| if backwards { count - 1 - n } else { n })
    }

    fn step(&mut self, action: Action) {
        (self.tell)(self.state.tell(action));
        self.state.take(action, self.rules);
    }
}

/// A state that has come to rest.
///
/// # Errors
/// When it does not.
pub fn settled(state: State, rules: &Rules) -> Result<State, String> {
    let known = Known::default();
    let mut run = Run { state, rules, backwards: false, known: &known, passed: vec![], tell: &mut |_| {} };
    run.run_to_rest().map(|()| run.state)
}

/// Ready, the Secret works, one current client, no stray; or the object is gone, and so is everything.
fn as_it_should_be(state: &State) -> Result<(), String> {
    every_client_is_known(state)?;
    let Some(object) = &state.object else { return nothing_is_left(state) };
    if is_deleting(object) {
        let ours = object.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
        return if ours { Err("the object is not let go".into()) } else { Ok(()) };
    }
    let status = object.status_or_default();
    if !status.retiring.is_empty() {
        return Err("a client retires for ever".into());
    }
    if state.secret.as_ref().is_some_and(|s| s.delivered.is_none()) {
        return if status::is_ready(&status) { Err("Ready with a Secret of somebody else".into()) } else { Ok(()) };
    }
    if !status::is_ready(&status) || Some(status.observed_generation) != object.metadata.generation {
        return Err(format!("not Ready for the present spec: {:?}", status::ready_reason(&status)));
    }
    if object.rotate_request().is_some_and(|request| status.last_handled_rotate_at != Some(request)) {
        return Err("a request for a new credential is not answered".into());
    }
    let held = state.held().ok_or("Ready without an intact Secret")?;
    let client = state.client(&held).filter(|c| c.live).ok_or("the Secret's client does not live")?;
    let name = object.spec.display_name.as_deref().unwrap_or(NAME);
    if client.attempt().is_some() && !client.client.display_name.starts_with(&format!("{name} [k8s ")) {
        return Err("the client is not called as the spec asks".into());
    }
    if status.client.as_ref().is_none_or(|c| c.id != held) {
        return Err("P3: status names another client than the Secret holds".into());
    }
    if state.secret_name() != object.secret_name() {
        return Err("the Secret is not where the spec wants it".into());
    }
    if state.aside.is_some() {
        return Err("a former Secret stays".into());
    }
    let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
    if delivered.is_none_or(|d| d.asked != asked(object)) || !promises::is_intact(state) {
        return Err("the Secret holds a credential that the spec does not ask for".into());
    }
    Ok(())
}

/// The object is gone: its Secret too, unless it was to stay; then what it holds lives.
fn nothing_is_left(state: &State) -> Result<(), String> {
    if state.aside.as_ref().is_some_and(|s| s.delivered.is_some()) && matches!(state.end, End::Orderly | End::Retained)
    {
        return Err("the object is gone, and its former Secret is there".into());
    }
    let holds = state.secret.as_ref().is_some_and(|s| s.delivered.is_some());
    match state.end {
        End::Retained => {
            let works = state.held().is_none_or(|id| state.client(&id).is_some_and(|c| c.live || c.deleted_outside));
            if works { Ok(()) } else { Err("a Secret that was to stay holds a client that is gone".into()) }
        }
        // It was there before the object.
        End::Orderly if holds && state.delivery == Delivery::LeftAgain => Ok(()),
        // It was deleted before, and came back with the backup; or its maker slept through everything. Then it is dead.
        End::Orderly if holds && (state.restored_amid || (state.delivery == Delivery::Late && state.maker_left)) => {
            let lives = state.held().and_then(|id| state.client(&id)).is_some_and(AtC1::is_owned);
            if lives {
                Err("P2: the object is gone, and its Secret is there with a client that lives".into())
            } else {
                Ok(())
            }
        }
        End::Orderly if holds => Err("the object is gone, and its Secret is there".into()),
        End::Forced { secret: false, .. } if holds && !state.maker_left => {
            Err("the object is gone, and a Secret came after it".into())
        }
        End::Orderly | End::Forced { .. } => Ok(()),
    }
}

/// P2: beside the current client none lives that is ours; and what else carries our marker is reported.
fn every_client_is_known(state: &State) -> Result<(), String> {
    let current = state.object.as_ref().and_then(|o| o.status_or_default().client).map(|c| c.id);
    let held = state.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| d.client.id.clone());
    let current = current.or(held);
    for client in state.clients.iter().filter(|c| c.live) {
        let (Some(attempt), id) = (client.attempt(), &client.client.id) else { continue };
        if current.as_ref() == Some(id) {
            continue;
        }
        let open = state.object.as_ref().and_then(|o| Record::of(o).open).is_some_and(|o| o.attempt == attempt);
        let left_to_people = open && client.client.last_used_at.is_some();
        let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let named = delivered.is_some_and(|d| d.client.id == *id || d.replaces.iter().any(|r| r.id == *id));
        if client.renamed && named {
            // It was struck without its marker, and got it back: it ends with the next credential, or with the object.
            continue;
        }
        if client.is_owned() && !left_to_people {
            return Err(format!("P2: {id} lives, and is not the current client"));
        }
        // A Secret that was left, or was to stay, answers for what it names: an object that is made anew may adopt it.
        if state.object.as_ref().is_some_and(|object| named || claims(object, &client.client, &attempt)) {
            return Err(format!("P2: {id} lives, nobody answers for it, and it is not reported as an orphan"));
        }
    }
    Ok(())
}
