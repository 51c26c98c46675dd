//! The end of an object: its clients, then its Secret, then the finalizer. `docs/protocol.md`.

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    step::RemoveStep,
};

/// An object being let go.
#[derive(Debug, Clone, PartialEq)]
pub struct Remove {
    step: RemoveStep,
    at: Anchor,
    /// Clients deleted so far.
    revoked: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    DeleteClient,
    DeleteSecret,
    RemoveFinalizer,
}

impl Remove {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: RemoveStep, at: Anchor) -> Next {
        Box::new(Self { step, at, revoked: 0, state: State::DeleteClient }).onward()
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Remove(self), Some(effect))
    }

    fn onward(mut self: Box<Self>) -> Next {
        if let Some(victim) = self.step.victims.get(self.revoked) {
            let effect = Effect::DeleteClient { id: victim.id.clone() };
            return self.go(State::DeleteClient, effect);
        }
        if let Some((name, uid, resource_version)) = self.step.secret.take() {
            return self.go(State::DeleteSecret, Effect::DeleteSecret { name, at: Anchor { uid, resource_version } });
        }
        let effect = Effect::RemoveFinalizer { at: self.at.clone() };
        self.go(State::RemoveFinalizer, effect)
    }

    pub(super) fn next(mut self: Box<Self>, answer: Answer) -> Next {
        match (self.state, answer) {
            (State::DeleteClient, Answer::Done(_) | Answer::Gone) => {
                self.revoked += 1;
                self.onward()
            }
            (State::DeleteSecret, Answer::Done(_) | Answer::Gone) => self.onward(),
            (State::RemoveFinalizer, Answer::Done(_) | Answer::Gone) => {
                landed(Outcome::Removed { revoked: self.revoked, left_behind: self.step.left_behind })
            }
            (_, Answer::Refused { reason, message } | Answer::Unknown { reason, message }) => {
                landed(Outcome::Failed { reason, message, unsent: false })
            }
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }
}
