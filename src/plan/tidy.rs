//! Tidy: a former Secret goes.
//!
//! The object is written first, on the version that was decided on. Whoever has moved the credential back meanwhile has written it
//! before, and is noticed; whoever does after that makes the Secret anew, with a UID that this delete does not hit.

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    step::TidyStep,
};

/// A former Secret that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tidy {
    step: TidyStep,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Burn,
    DeleteSecret,
}

impl Tidy {
    /// The transaction, and its first effect; `at`: the version of the object that was decided on.
    #[must_use]
    pub fn start(step: TidyStep, at: Anchor) -> Next {
        let effect = Effect::Burn { at, record: step.record.clone() };
        (Flight::Tidy(Box::new(Self { step, state: State::Burn })), Some(effect))
    }

    pub(super) fn next(mut self: Box<Self>, answer: Answer) -> Next {
        let TidyStep { name, at, .. } = self.step.clone();
        match (self.state, answer) {
            (State::Burn, Answer::Done(_)) => {
                self.state = State::DeleteSecret;
                let effect = Effect::DeleteSecret { name, at };
                (Flight::Tidy(self), Some(effect))
            }
            (State::DeleteSecret, Answer::Done(_) | Answer::Gone) => landed(Outcome::Tidied { name, uid: at.uid }),
            (_, Answer::Refused { message, .. }) => landed(Outcome::Untidied { name, message }),
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }
}
