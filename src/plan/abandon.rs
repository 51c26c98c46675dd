//! Abandon: the only way in which a client is deleted because nobody has its secret. `docs/protocol.md`, "Abandon".
//!
//! Burn the attempt on the object, so that its maker cannot record it; read the Secret, whose word is final; fence it, so
//! that its maker cannot deliver; then delete. Where there is no Secret to fence, status must not say Ready: what a sleeping
//! maker delivers after that is dead.

use k8s_openapi::jiff::Timestamp;

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    guards::Guards,
    observed::SecretView,
    record::Record,
    status,
    step::AbandonStep,
};
use crate::api::Reason;

/// A client being abandoned.
#[derive(Debug, Clone, PartialEq)]
pub struct Abandon {
    step: AbandonStep,
    /// Why the maker gives up; `None`: this is a repair.
    because: Option<(Reason, String)>,
    /// There is no object any more that would remember the client.
    gone: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ReadObject,
    Burn,
    ReadSecret,
    Fence,
    /// There is no Secret to fence: what does status say of that?
    Unfenced,
    DeleteClient,
}

impl Abandon {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: AbandonStep, because: Option<(Reason, String)>) -> Next {
        let abandon = Box::new(Self { step, because, gone: false, state: State::ReadObject });
        abandon.go(State::ReadObject, Effect::ReadObject)
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Abandon(self), Some(effect))
    }

    pub(super) fn next(mut self: Box<Self>, answer: Answer, now: Timestamp, guards: &Guards) -> Next {
        if matches!(answer, Answer::OutOfTime) {
            if self.is_last() {
                return self.left("there was no answer in time");
            }
            // Nothing is lost: the next look finds the attempt, open or abandoned, and goes on. What it knew of the object
            // may be long past.
            self.because = None;
            return self.land(false);
        }
        match self.state {
            State::ReadObject => self.object_read(answer, now, guards),
            State::Burn => self.burnt(&answer, guards),
            State::ReadSecret => self.secret_read(answer, guards),
            State::Fence => self.fenced(&answer),
            State::Unfenced => self.unfenced(&answer),
            State::DeleteClient => self.deleted(&answer),
        }
    }

    fn object_read(mut self: Box<Self>, answer: Answer, now: Timestamp, guards: &Guards) -> Next {
        match answer {
            Answer::Object(Some(object)) => {
                let status = object.status_or_default();
                let mut named = status.client.iter().map(|c| &c.id).chain(status.retiring.iter().map(|r| &r.id));
                if named.any(|id| *id == self.step.client_id) {
                    self.because = None;
                    return self.land(false);
                }
                let record = Record::of(&object);
                if record.open.as_ref().is_some_and(|o| o.attempt != self.step.attempt) {
                    // Somebody else is at it: that this one failed is not what is to be said of the object.
                    self.because = None;
                }
                if !self.step.burn || record.is_abandoned(&self.step.attempt) || !guards.burn {
                    return self.read_secret(guards);
                }
                let record =
                    record.leaving(&self.step.attempt, &self.step.issuer_ref, &self.step.secret_name, &object, now);
                self.go(State::Burn, Effect::Burn { at: Anchor::of(&object), record })
            }
            // Nobody can record it any more.
            Answer::Object(None) => {
                self.gone = true;
                self.read_secret(guards)
            }
            _ => self.go(State::ReadObject, Effect::ReadObject),
        }
    }

    fn burnt(mut self: Box<Self>, answer: &Answer, guards: &Guards) -> Next {
        self.gone |= matches!(answer, Answer::Gone);
        match answer {
            Answer::Done(_) | Answer::Gone => self.read_secret(guards),
            Answer::Refused { .. } => self.land(false),
            _ => self.go(State::ReadObject, Effect::ReadObject),
        }
    }

    fn read_secret(self: Box<Self>, guards: &Guards) -> Next {
        if guards.read_before_delete { self.go(State::ReadSecret, Effect::ReadSecret) } else { self.delete() }
    }

    fn secret_read(mut self: Box<Self>, answer: Answer, guards: &Guards) -> Next {
        match answer {
            // Another made the client, may wake up, and deliver it.
            Answer::Secret(SecretView::Absent) if self.because.is_none() && guards.say_lost_first => {
                self.go(State::Unfenced, Effect::ReadObject)
            }
            Answer::Secret(SecretView::Absent) => self.delete(),
            Answer::Secret(SecretView::Present(secret)) => match &secret.delivered {
                // The Secret's word is final: somebody delivered it; or delivered another, and gave this one an overlap.
                Some(d)
                    if d.client.id == self.step.client_id || d.replaces.iter().any(|r| r.id == self.step.client_id) =>
                {
                    self.because = None;
                    self.land(false)
                }
                Some(d)
                    if guards.fence
                        && d.is_of(&self.step.owner)
                        && d.client.attempt != self.step.attempt
                        && secret.fence.as_deref() != Some(&self.step.attempt) =>
                {
                    let attempt = self.step.attempt.clone();
                    self.go(State::Fence, Effect::Fence { over: secret, attempt })
                }
                // Fenced already; or not a Secret of ours, which its maker cannot overwrite either.
                _ => self.delete(),
            },
            _ => self.go(State::ReadSecret, Effect::ReadSecret),
        }
    }

    fn fenced(self: Box<Self>, answer: &Answer) -> Next {
        match answer {
            Answer::Done(_) => self.delete(),
            Answer::Refused { message, .. } if self.is_last() => self.left(message),
            Answer::Refused { .. } => self.land(false),
            _ => self.go(State::ReadSecret, Effect::ReadSecret),
        }
    }

    fn unfenced(self: Box<Self>, answer: &Answer) -> Next {
        match answer {
            // It is lost, which status must say first.
            Answer::Object(Some(object)) if status::is_ready(&object.status_or_default()) => self.land(false),
            Answer::Object(_) => self.delete(),
            _ => self.go(State::Unfenced, Effect::ReadObject),
        }
    }

    fn delete(self: Box<Self>) -> Next {
        let effect = Effect::DeleteClient { id: self.step.client_id.clone() };
        self.go(State::DeleteClient, effect)
    }

    fn deleted(self: Box<Self>, answer: &Answer) -> Next {
        match answer {
            Answer::Unknown { .. } if self.is_last() => self.delete(),
            Answer::Refused { message, .. } if self.is_last() => self.left(message),
            Answer::Gone if self.is_last() => self.left("C1 does not know it, or not yet"),
            // What was made a moment ago is there, if C1 shows it or not.
            Answer::Gone if self.because.is_some() => self.land(false),
            Answer::Done(_) | Answer::Gone => self.land(true),
            _ => self.land(false),
        }
    }

    /// Nobody but its maker knows of the client.
    fn is_last(&self) -> bool {
        self.gone && self.because.is_some()
    }

    fn left(self, why: &str) -> Next {
        let (reason, because) = self.because.unwrap_or((Reason::RevocationBlocked, String::new()));
        let id = self.step.client_id;
        let message = format!("{because}; its object is gone, and client {id} may live on ({why}): delete it by hand");
        landed(Outcome::Failed { reason, message, unsent: false })
    }

    /// By the record the next look knows that the client must go; should there be none, by now, people must.
    fn land(self, deleted: bool) -> Next {
        let id = self.step.client_id;
        landed(match self.because {
            Some((reason, message)) if deleted => Outcome::Failed { reason, message, unsent: false },
            Some((reason, why)) => {
                let message = format!("{why}; client {id} is not deleted yet");
                Outcome::Failed { reason, message, unsent: false }
            }
            None if deleted => Outcome::Abandoned { id },
            None => Outcome::LookAgain { unsent: false },
        })
    }
}
