//! Withdraw: a maker whose object goes, or is gone, takes back what it has delivered. Whoever lets the object go may have
//! looked before, and have seen no Secret.
//!
//! Burn the attempt on the object, so that its removal need not wait for a maker, and judges anew; then the Secret; then the
//! client.

use k8s_openapi::jiff::Timestamp;

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    observed::SecretView,
    record::{Record, SecretSeen},
};
use crate::api::{IssuedClient, PersonalClient, Reason};

/// A delivery being taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// UID of the object.
    uid: String,
    client: IssuedClient,
    secret_name: String,
    secret: Anchor,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ReadObject,
    Burn,
    DeleteSecret,
    /// The Secret is another by now: is it ours to delete?
    ReadSecret,
    DeleteClient,
}

impl Withdraw {
    /// The transaction, and its first effect; `object`: as it was just read.
    #[must_use]
    pub fn start(
        uid: String,
        client: IssuedClient,
        (secret_name, secret): (String, Anchor),
        object: Option<&PersonalClient>,
        now: Timestamp,
    ) -> Next {
        let state = State::ReadObject;
        Box::new(Self { uid, client, secret_name, secret, state }).object_read(object, now)
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Withdraw(self), Some(effect))
    }

    pub(super) fn next(self: Box<Self>, answer: Answer, now: Timestamp) -> Next {
        match (self.state, answer) {
            (State::ReadObject, Answer::Object(object)) => self.object_read(object.as_deref(), now),
            (State::ReadObject | State::Burn, Answer::Conflict | Answer::Gone | Answer::Unknown { .. }) => {
                self.go(State::ReadObject, Effect::ReadObject)
            }
            (State::Burn, Answer::Done(_)) => self.delete_secret(),
            (State::DeleteSecret, Answer::Conflict | Answer::Unknown { .. })
            | (State::ReadSecret, Answer::Unknown { .. }) => self.go(State::ReadSecret, Effect::ReadSecret),
            (State::ReadSecret, Answer::Secret(SecretView::Present(secret))) => self.secret_read(*secret),
            (State::ReadSecret, Answer::Secret(SecretView::Absent))
            | (State::DeleteSecret, Answer::Done(_) | Answer::Gone)
            | (State::DeleteClient, Answer::Unknown { .. }) => self.delete_client(),
            (State::DeleteClient, Answer::Done(_)) => landed(Outcome::Withdrawn { id: self.client.id }),
            (State::DeleteClient, Answer::Gone) => self.left("C1 does not know it, or not yet"),
            (State::DeleteSecret | State::ReadSecret | State::DeleteClient, Answer::Refused { message, .. }) => {
                self.left(&message)
            }
            (State::DeleteSecret | State::ReadSecret | State::DeleteClient, Answer::OutOfTime) => {
                self.left("there was no answer in time")
            }
            // The removal finds what is left: by the record, or by what the Secret says.
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }

    fn object_read(self: Box<Self>, object: Option<&PersonalClient>, now: Timestamp) -> Next {
        let Some(object) = object else { return self.delete_secret() };
        let record = Record::of(object);
        if record.is_abandoned(&self.client.attempt) {
            return self.delete_secret();
        }
        let (attempt, issuer_ref) = (&self.client.attempt, &self.client.issuer_ref);
        let record = record.leaving(attempt, issuer_ref, &self.secret_name, object, now);
        self.go(State::Burn, Effect::Burn { at: Anchor::of(object), record })
    }

    fn delete_secret(self: Box<Self>) -> Next {
        let effect = Effect::DeleteSecret { name: self.secret_name.clone(), at: self.secret.clone() };
        self.go(State::DeleteSecret, effect)
    }

    fn secret_read(mut self: Box<Self>, secret: SecretSeen) -> Next {
        let delivered = secret.delivered.as_ref();
        let holds = delivered.is_some_and(|d| d.client.id == self.client.id);
        let owes = delivered.is_some_and(|d| d.replaces.iter().any(|r| r.id == self.client.id));
        if holds && delivered.is_some_and(|d| d.owner.uid == self.uid) {
            // Only metadata moved, or somebody altered its data.
            self.secret = Anchor { uid: secret.uid, resource_version: secret.resource_version };
            return self.delete_secret();
        }
        if holds || owes {
            // An object that was made anew has taken it over, and answers for the client.
            return landed(Outcome::LookAgain { unsent: false });
        }
        self.delete_client()
    }

    /// If the object is gone by now, nobody remembers the client: people must be told.
    fn left(self: Box<Self>, why: &str) -> Next {
        let (id, name) = (&self.client.id, &self.secret_name);
        let what = match self.state {
            State::DeleteClient => format!("client {id} was made for an object that goes, and may live on: {why}"),
            _ => format!("Secret {name} with client {id} was delivered for an object that goes, and stays: {why}"),
        };
        let message = format!("{what}. The object's removal ends both; if it is gone already, delete them by hand");
        landed(Outcome::Failed { reason: Reason::RevocationBlocked, message, unsent: false })
    }

    fn delete_client(self: Box<Self>) -> Next {
        let effect = Effect::DeleteClient { id: self.client.id.clone() };
        self.go(State::DeleteClient, effect)
    }
}
