//! The end of an object: its Secret, its clients, then the finalizer. `docs/protocol.md`.
//!
//! The Secret goes first: nobody reads from it what is about to die, and an object that is made anew cannot adopt it, whose
//! client an unanswered delete may still end. Before that status names all that the Secret does.

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
    /// C1 does not know a client, and may not know it yet.
    unseen: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Recheck,
    Fence,
    DeleteSecret,
    DeleteClient,
    RemoveFinalizer,
}

impl Remove {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: RemoveStep, at: Anchor) -> Next {
        Box::new(Self { step, at, revoked: 0, unseen: false, state: State::Recheck }).onward()
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Remove(self), Some(effect))
    }

    fn onward(mut self: Box<Self>) -> Next {
        if std::mem::take(&mut self.step.recheck) {
            return self.go(State::Recheck, Effect::ReadObject);
        }
        if let Some((over, attempt)) = self.step.fence.take() {
            return self.go(State::Fence, Effect::Fence { over, attempt });
        }
        if let Some((name, uid, resource_version)) = self.step.secrets.pop() {
            return self.go(State::DeleteSecret, Effect::DeleteSecret { name, at: Anchor { uid, resource_version } });
        }
        if let Some(victim) = self.step.victims.get(self.revoked) {
            let effect = Effect::DeleteClient { id: victim.id.clone() };
            return self.go(State::DeleteClient, effect);
        }
        if self.unseen {
            // The next look waits.
            return landed(Outcome::LookAgain { unsent: false });
        }
        let effect = Effect::RemoveFinalizer { at: self.at.clone() };
        self.go(State::RemoveFinalizer, effect)
    }

    pub(super) fn next(mut self: Box<Self>, answer: Answer) -> Next {
        match (self.state, answer) {
            (State::Recheck, Answer::Object(Some(_)))
            | (State::Fence, Answer::Done(_))
            | (State::DeleteSecret, Answer::Done(_) | Answer::Gone) => self.onward(),
            (State::DeleteClient, answer @ (Answer::Done(_) | Answer::Gone)) => {
                let young = self.step.victims.get(self.revoked).is_some_and(|v| v.young);
                self.unseen |= young && matches!(answer, Answer::Gone);
                self.revoked += 1;
                self.onward()
            }
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
