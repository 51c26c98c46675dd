//! Move: the credential goes to a Secret of another name. Nothing is minted, and until status names the new Secret the old one is
//! the one that counts.
//!
//! Write both names on the object, and with that take away the attempt whose maker might write the old Secret again; copy; then
//! write status on that version of the object: from then on the old one is a former Secret, which goes. Another begins again only when
//! the move is old, and writes the object first, so that the copy that he finds cannot be recorded any more: it goes. A copy is never
//! written over: the same content would be no new version, and a delete of the version before, by a replica that stood still, would
//! hit what counts by then.

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    observed::current_secret,
    record::Record,
    step::RelocateStep,
};
use crate::api::{PersonalClient, PersonalClientStatus, Reason};

/// A credential being moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Relocate {
    step: RelocateStep,
    object: PersonalClient,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Burn,
    /// A copy of a move that was not recorded goes.
    Discard {
        at: Anchor,
    },
    Copy {
        at: Anchor,
    },
    Record {
        status: Box<PersonalClientStatus>,
        copy: Anchor,
    },
    /// It was not recorded, or nobody knows: is the object still there? `None`: nor is it known whether there is a copy.
    Confirm {
        copy: Option<Anchor>,
    },
    /// The object goes, or is gone.
    TakeBack {
        copy: Anchor,
    },
}

impl Relocate {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: RelocateStep, object: PersonalClient) -> Next {
        let effect = Effect::Burn { at: Anchor::of(&object), record: step.record.clone() };
        (Flight::Relocate(Box::new(Self { step, object, state: State::Burn })), Some(effect))
    }

    /// It has, or may have, written a copy that nobody else will take back.
    pub(super) fn cleans_up(&self) -> bool {
        matches!(self.state, State::Confirm { .. } | State::TakeBack { .. })
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Relocate(self), Some(effect))
    }

    pub(super) fn next(self: Box<Self>, answer: Answer) -> Next {
        match (self.state.clone(), answer) {
            (State::Burn, Answer::Done(at)) => match self.step.over.clone() {
                Some(over) => self.discard(at, over),
                None => self.copy(at),
            },
            (State::Discard { at }, Answer::Done(_) | Answer::Gone) => self.copy(at),
            (State::Copy { at }, Answer::Done(copy)) => self.record(at, copy),
            (State::Discard { .. } | State::Copy { .. }, Answer::Refused { message, .. }) => {
                landed(Outcome::Unmoved { message })
            }
            (State::Copy { .. }, Answer::Unknown { .. }) => self.confirm(None),
            (State::Record { status, .. }, Answer::Done(_)) => landed(Outcome::Moved { status }),
            (State::Record { copy, .. }, _) => self.confirm(Some(copy)),
            (State::Confirm { copy }, Answer::Object(object)) => self.confirmed(copy, object.as_deref()),
            (State::Confirm { copy }, Answer::Unknown { .. }) => self.confirm(copy),
            (State::TakeBack { copy }, Answer::Unknown { .. }) => self.take_back(copy),
            (State::TakeBack { .. }, Answer::Refused { message, .. }) => self.left(&message),
            (State::TakeBack { .. }, Answer::Conflict) => self.left("somebody has changed it"),
            (State::Confirm { .. } | State::TakeBack { .. }, Answer::OutOfTime) => {
                self.left("there was no answer in time")
            }
            // The object or one of the Secrets is another by now: the next look decides.
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }

    fn discard(self: Box<Self>, at: Anchor, over: Anchor) -> Next {
        let effect = Effect::DeleteSecret { name: self.step.to.clone(), at: over };
        self.go(State::Discard { at }, effect)
    }

    fn copy(self: Box<Self>, at: Anchor) -> Next {
        let from = self.step.from.clone();
        let from = Anchor { uid: from.uid, resource_version: from.resource_version };
        let effect = Effect::Copy { from, to: self.step.to.clone() };
        self.go(State::Copy { at }, effect)
    }

    /// Only where the credential is: whether it is as the spec asks the next look says.
    fn record(self: Box<Self>, at: Anchor, copy: Anchor) -> Next {
        let status = Box::new(PersonalClientStatus {
            secret_name: Some(self.step.to.clone()),
            secret_resource_version: Some(copy.resource_version.clone()),
            ..self.object.status_or_default()
        });
        self.go(State::Record { status: status.clone(), copy }, Effect::Record { at, status })
    }

    fn confirm(self: Box<Self>, copy: Option<Anchor>) -> Next {
        self.go(State::Confirm { copy }, Effect::ReadObject)
    }

    /// An object that stays has the copy on record. One that goes may have been judged before there was a copy.
    fn confirmed(self: Box<Self>, copy: Option<Anchor>, object: Option<&PersonalClient>) -> Next {
        let again = || landed(Outcome::LookAgain { unsent: false });
        match (object, copy) {
            (Some(object), _) if object.metadata.deletion_timestamp.is_none() => again(),
            // It was recorded after all, and may be what is to be kept.
            (Some(object), _) if current_secret(object, &Record::of(object)) == self.step.to => again(),
            (None, _) if self.object.retains() => again(),
            (_, Some(copy)) => self.take_back(copy),
            (Some(_), None) => again(),
            (None, None) => self.left("the answer to its write was lost"),
        }
    }

    fn take_back(self: Box<Self>, copy: Anchor) -> Next {
        let effect = Effect::DeleteSecret { name: self.step.to.clone(), at: copy.clone() };
        self.go(State::TakeBack { copy }, effect)
    }

    /// If the object is gone by now, nobody remembers the copy: people must be told.
    fn left(self: Box<Self>, why: &str) -> Next {
        let name = self.step.to;
        let message = format!(
            "Secret {name} may have been written for an object that goes, and may stay: {why}. If the object is gone already, delete it by hand"
        );
        landed(Outcome::Failed { reason: Reason::RevocationBlocked, message, unsent: false })
    }
}
