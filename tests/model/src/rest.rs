//! Liveness, as a property of each single state: with no further faults it comes to rest, whoever goes first, and there all is as
//! it should be. (Model checkers that look for cycles overlook some; a run to the end overlooks none.)

use std::{cell::RefCell, collections::HashSet};

use c1_operator::{
    api::FINALIZER,
    plan::{Guards, asked, status},
};

use crate::{
    model::Action,
    print::print,
    promises,
    replica::{Mishap, Work},
    world::{AtC1, LONG, Left, SHORT, State, is_deleting},
};

/// Steps that one replica may need until it has nothing to do.
const MOST_STEPS: usize = 60;
/// Rounds in which both go to their end, and time passes.
const MOST_ROUNDS: usize = 40;
/// Longer than any pause after failures, in seconds.
const LONGEST_BACKOFF: u32 = 4000;
/// Rounds without any change, after which it is at rest.
const QUIET_ROUNDS: usize = 4;

thread_local! {
    /// States from which it is known to come to rest.
    static GOOD: RefCell<HashSet<u64>> = RefCell::default();
    /// What is being told.
    static TOLD: RefCell<Option<Vec<String>>> = RefCell::default();
}

/// Runs to rest in both orders, with a late create that never takes effect, takes effect now, or at the end.
///
/// # Errors
/// What is wrong at the end, or that there is none.
pub fn comes_to_rest(state: &State, guards: &Guards) -> Result<(), String> {
    if state.broken.is_some() {
        return Ok(());
    }
    let mut state = state.clone();
    state.left = Left { events: 0, ticks: 0, backups: 0 };
    state.backup = None;
    let orders: &[bool] = if state.replicas.len() > 1 { &[false, true] } else { &[false] };
    for &backwards in orders {
        TOLD.with_borrow_mut(|told| told.iter_mut().for_each(Vec::clear));
        run(state.clone(), guards, backwards)?;
        if !state.late.is_empty() {
            let mut landed = state.clone();
            while !landed.late.is_empty() {
                landed.land_late(0);
            }
            run(landed, guards, backwards)?;
        }
    }
    Ok(())
}

/// One run. Late creates take effect when it has come to rest; then it must come to rest again.
fn run(mut state: State, guards: &Guards, backwards: bool) -> Result<(), String> {
    let mut passed = vec![];
    let mut quiet = 0;
    for _ in 0..MOST_ROUNDS {
        let key = print(&(&state, *guards, backwards, quiet));
        if GOOD.with_borrow(|good| good.contains(&key)) {
            quiet = QUIET_ROUNDS;
        } else {
            passed.push(key);
        }
        if quiet >= QUIET_ROUNDS {
            if state.late.is_empty() || GOOD.with_borrow(|good| good.contains(&key)) {
                if !GOOD.with_borrow(|good| good.contains(&key)) {
                    as_it_should_be(&state)?;
                }
                GOOD.with_borrow_mut(|good| good.extend(passed));
                return Ok(());
            }
            as_it_should_be(&state)?;
            state.land_late(0);
            quiet = 0;
        }
        let before = settled(&state);
        let count = state.replicas.len();
        for n in 0..count {
            to_its_end(&mut state, if backwards { count - 1 - n } else { n }, guards)?;
        }
        if let Some(broken) = state.broken {
            return Err(broken.into());
        }
        quiet = if settled(&state) == before { quiet + 1 } else { 0 };
        step(&mut state, Action::Tick([SHORT, LONG].get(quiet).copied().unwrap_or(LONGEST_BACKOFF)), guards);
    }
    Err("it does not come to rest".into())
}

/// One step, which is told when somebody wants to know.
fn step(state: &mut State, action: Action, guards: &Guards) {
    TOLD.with_borrow_mut(|told| {
        if let Some(told) = told {
            told.push(state.tell(action));
        }
    });
    state.take(action, guards);
}

/// The run that does not end well, told step by step.
pub fn tell(state: &State, guards: &Guards) -> Vec<String> {
    TOLD.set(Some(vec![]));
    let result = comes_to_rest(state, guards);
    let mut told = TOLD.take().unwrap_or_default();
    told.extend(result.err());
    told
}

/// What counts as change: all but the replicas' memories, and time.
fn settled(state: &State) -> u64 {
    print(&(&state.object, &state.secret, &state.clients))
}

/// One replica finishes what it has under way, and looks until there is nothing to do.
fn to_its_end(state: &mut State, r: usize, guards: &Guards) -> Result<(), String> {
    let mut idle = 0;
    for _ in 0..MOST_STEPS {
        let over = match &state.replicas[r].work {
            Some(Work::Transaction { deadline, .. }) => state.now >= *deadline,
            _ => false,
        };
        if over {
            step(state, Action::OutOfTime(r), guards);
        } else if state.replicas[r].work.is_some() {
            step(state, Action::Act(r, Mishap::None), guards);
        } else {
            if state.replicas[r].looking.is_none() {
                if idle == 1 {
                    return Ok(());
                }
                idle += 1;
                step(state, Action::List(r, false), guards);
            }
            step(state, Action::Look(r), guards);
            step(state, Action::Decide(r), guards);
            if state.replicas[r].work.is_some() {
                idle = 0;
            }
        }
    }
    Err(format!("a replica is never done: {}", state.replicas[r].next_effect()))
}

/// Ready, the Secret works, one current client, no stray; or the object is gone, and so is everything.
fn as_it_should_be(state: &State) -> Result<(), String> {
    let living = |c: &&AtC1| c.live && !c.foreign && c.attempt().is_some();
    // Nobody who looked could know of it: it is reported as an orphan.
    let orphan = |c: &AtC1| !c.recorded || state.record_destroyed;
    let Some(object) = &state.object else {
        if let Some(client) = state.clients.iter().filter(living).find(|c| !orphan(c) && !c.late) {
            return Err(format!("P2: the object is gone, and {} lives", client.client.id));
        }
        let held = state.secret.as_ref().is_some_and(|s| s.delivered.is_some());
        return if held && !state.record_destroyed {
            Err("the object is gone, and its Secret is there".into())
        } else {
            Ok(())
        };
    };
    if is_deleting(object) {
        let ours = object.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
        return if ours { Err("the object is not let go".into()) } else { Ok(()) };
    }
    let status = object.status_or_default();
    if state.secret.as_ref().is_some_and(|s| s.delivered.is_none()) {
        return if status::is_ready(&status) { Err("Ready with a Secret of somebody else".into()) } else { Ok(()) };
    }
    if !status::is_ready(&status) || Some(status.observed_generation) != object.metadata.generation {
        return Err(format!("not Ready for the present spec: {:?}", status::ready_reason(&status)));
    }
    let held = state.held().ok_or("Ready without an intact Secret")?;
    let current = state.client(&held).filter(|c| c.live).ok_or("the Secret's client does not live")?;
    if status.client.as_ref().is_none_or(|c| c.id != held) {
        return Err("P3: status names another client than the Secret holds".into());
    }
    let delivered = state.secret.as_ref().and_then(|s| s.delivered.as_ref());
    if delivered.is_none_or(|d| d.asked != asked(&object.spec)) || !promises::is_intact(state) {
        return Err("the Secret holds a credential that the spec does not ask for".into());
    }
    if let Some(stray) = state.clients.iter().filter(living).find(|c| c.client.id != current.client.id && !orphan(c)) {
        return Err(format!("P2: {} lives beside the current client", stray.client.id));
    }
    if status.retiring.is_empty() { Ok(()) } else { Err("a client retires for ever".into()) }
}
