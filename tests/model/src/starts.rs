//! How a world begins: what a rotation, a removal or a repair meets takes many steps from a new object.

use c1_operator::{api::DeletionPolicy, plan::Effect};
use clap::ValueEnum;

use crate::{
    events::Event,
    replica::{Answers, Mishap, Replica, Work},
    rest,
    rules::Rules,
    world::{Left, State},
};

/// How a world begins. Nobody remembers what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// With a new object.
    New,
    /// The object is Ready.
    Ready,
    /// It was Ready, and somebody deleted its Secret.
    Lost,
    /// It was Ready, and its spec was edited.
    Edited,
    /// The same, by what can be had in place.
    EditedInPlace,
    /// It was Ready, and is to have another Secret.
    Renamed,
    /// It was Ready, and is to have another issuer.
    Reissued,
    /// It was Ready, and somebody asked for a new credential.
    Requested,
    /// Its spec was edited, and it asks for client and Secret to stay when it goes.
    Retaining,
    /// The new credential was issued; the former one retires.
    Rotated,
    /// The new client was made; its maker was killed before it delivered.
    Open,
    /// Of a new object the client was made; its maker was killed before it delivered.
    FirstOpen,
}

/// All of them.
pub const STARTS: &[Start] = &[
    Start::New,
    Start::Ready,
    Start::Lost,
    Start::Edited,
    Start::EditedInPlace,
    Start::Renamed,
    Start::Reissued,
    Start::Requested,
    Start::Retaining,
    Start::Rotated,
    Start::Open,
    Start::FirstOpen,
];

impl Start {
    /// The state.
    pub fn state(self, replicas: usize, left: Left) -> State {
        let new = State::new(replicas, Left { events: u8::MAX, ticks: 0, backups: 0 });
        let mut state = match self {
            Self::New => new,
            Self::Ready => ready(new),
            Self::Lost => after(Event::DeleteSecret, new),
            Self::Edited => edited(new),
            Self::EditedInPlace => after(Event::EditInPlace, new),
            Self::Renamed => after(Event::MoveSecret, new),
            Self::Reissued => after(Event::MoveIssuer, new),
            Self::Requested => after(Event::Rotate, new),
            Self::Retaining => retaining(edited(new)),
            Self::Rotated => rotated(edited(new)),
            Self::Open => open(edited(new)),
            Self::FirstOpen => open(new),
        };
        state.left = left;
        state.replicas.fill(Replica::default());
        state
    }
}

fn ready(new: State) -> State {
    let left = new.left;
    State { left, ..rest::settled(new, &Rules::ALL).expect("a new object comes to rest") }
}

/// It was Ready, and then this happened.
fn after(event: Event, new: State) -> State {
    let mut state = ready(new);
    state.happen(event);
    state
}

fn edited(new: State) -> State {
    after(Event::EditSpec, new)
}

fn retaining(mut state: State) -> State {
    let mut object = state.object.as_deref().cloned().expect("it is there");
    object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    state.put_object(object);
    state
}

fn rotated(mut state: State) -> State {
    let former = state.held();
    while state.held() == former || state.replicas[0].work.is_some() {
        go_on(&mut state);
    }
    state
}

fn open(mut state: State) -> State {
    let delivers = |work: &Work| match work {
        Work::Transaction { flight, .. } => matches!(flight.1, Effect::Deliver { .. }),
        _ => false,
    };
    while !state.replicas[0].work.as_ref().is_some_and(delivers) {
        go_on(&mut state);
    }
    state
}

fn go_on(state: &mut State) {
    if state.replicas[0].work.is_some() {
        state.act(0, Mishap::None, &Rules::ALL);
    } else {
        state.list(0, false);
        state.decide(0, Answers::Plain, &Rules::ALL);
    }
}
