//! Update: the current client is changed in place. Nothing is minted, and whoever does it twice does the same.
//!
//! Update the client, then write status. What C1 refuses for good is said, if the spec is new: then a new client is issued.

use k8s_openapi::jiff::Timestamp;

use super::{
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    status,
    step::UpdateStep,
};
use crate::{
    api::{PersonalClient, PersonalClientStatus, Reason},
    c1::{Client, Field, UpdateRequest},
};

/// A client being changed in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    step: UpdateStep,
    object: PersonalClient,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Update,
    /// The answer did not hold the display name as sent: the former one is put back, before anybody relies on it.
    PutBack,
    Record {
        status: Box<PersonalClientStatus>,
    },
}

impl Update {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: UpdateStep, object: PersonalClient) -> Next {
        let effect = Effect::Update(step.request.clone());
        (Flight::Update(Box::new(Self { step, object, state: State::Update })), Some(effect))
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Update(self), Some(effect))
    }

    pub(super) fn next(self: Box<Self>, answer: Answer, now: Timestamp) -> Next {
        match (self.state.clone(), answer) {
            (State::Update, Answer::Updated(client)) if self.is_cut(&client) => self.put_back(),
            (State::Update, Answer::Updated(client)) => self.updated(&client, now),
            (State::Update, Answer::Refused { reason: Reason::RequestRejected, message }) if self.step.edited => {
                self.refused(&message, now)
            }
            (State::Update, Answer::Refused { reason, message } | Answer::Unknown { reason, message }) => {
                // Of a new spec the same is said as of a new object.
                let what = format!("client {} cannot be changed: {message}", self.step.request.id);
                let message = if self.step.edited { message } else { what };
                landed(Outcome::Failed { reason, message, unsent: false })
            }
            (State::PutBack, Answer::Updated(_)) => cut(""),
            (State::PutBack, Answer::OutOfTime) => cut("; its former name could not be put back"),
            (State::PutBack, _) => self.put_back(),
            (State::Record { status }, Answer::Done(_)) => {
                let (fields, drifted) = (self.step.request.fields, self.step.drifted);
                landed(Outcome::Updated { status, fields, drifted })
            }
            // The client is gone, or the object is another by now: the next look decides.
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }

    /// C1 did not keep the end of the display name, where the marker is.
    fn is_cut(&self, client: &Client) -> bool {
        let request = &self.step.request;
        request.fields.contains(&Field::DisplayName) && client.display_name != request.display_name
    }

    /// Whether it takes back a name that C1 has cut.
    pub(super) fn puts_back(&self) -> bool {
        self.state == State::PutBack
    }

    fn put_back(self: Box<Self>) -> Next {
        let former = self.object.status.as_ref().and_then(|s| s.client.as_ref());
        let request = UpdateRequest {
            fields: vec![Field::DisplayName],
            display_name: former.map(|c| c.display_name.clone()).unwrap_or_default(),
            ..self.step.request.clone()
        };
        self.go(State::PutBack, Effect::Update(request))
    }

    fn updated(self: Box<Self>, client: &Client, now: Timestamp) -> Next {
        let base = self.object.status_or_default();
        let Some(mut current) = base.client.clone() else { return landed(Outcome::LookAgain { unsent: false }) };
        // Of the others the answer shows what somebody may have changed at C1: that is still to be put back.
        for field in &self.step.request.fields {
            match field {
                Field::DisplayName => current.display_name.clone_from(&client.display_name),
                Field::ScopedRoles => current.scoped_roles.clone_from(&client.scoped_roles),
                Field::AllowSourceCidr => current.allow_source_cidr.clone_from(&client.allow_source_cidr),
            }
        }
        current.requested.clone_from(&self.step.requested);
        let base = PersonalClientStatus {
            client: Some(current),
            failed_issuance_attempts: None,
            last_failure_time: None,
            last_failed_rotate_at: None,
            update_refused_generation: None,
            ..base
        };
        let name = base.secret_name.clone().unwrap_or_default();
        // Where the Secret is not what the spec asks for, it is not Ready: why, the next look says.
        let status = if self.step.placed { status::ready(&base, &name, self.generation(), now) } else { base };
        self.record(status)
    }

    fn refused(self: Box<Self>, why: &str, now: Timestamp) -> Next {
        let base = PersonalClientStatus {
            update_refused_generation: Some(self.generation()),
            ..self.object.status_or_default()
        };
        let message = format!("the client cannot be changed, so a new one is issued: {why}");
        let status = status::not_ready(&base, Reason::Issuing, &message, self.generation(), now);
        let mut this = self;
        this.step.request.fields.clear();
        this.step.drifted.clear();
        this.record(status)
    }

    fn record(self: Box<Self>, status: PersonalClientStatus) -> Next {
        let (at, status) = (Anchor::of(&self.object), Box::new(status));
        self.go(State::Record { status: status.clone() }, Effect::Record { at, status })
    }

    fn generation(&self) -> i64 {
        self.object.metadata.generation.unwrap_or_default()
    }
}

fn cut(rest: &str) -> Next {
    let message = format!(
        "C1 did not keep the display name as sent, so the client could not be recognised: use a shorter displayName{rest}"
    );
    landed(Outcome::Failed { reason: Reason::MarkerTruncated, message, unsent: false })
}
