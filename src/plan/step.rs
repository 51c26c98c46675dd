//! The decision: one thing to do, and what to say.

use k8s_openapi::jiff::Timestamp;

use super::{
    flight::Anchor,
    observed::Identity,
    record::{Record, SecretSeen},
    status::Tried,
    wanted::Wanted,
};
use crate::{
    api::{IssuedClient, IssuerRef, PersonalClient, PersonalClientStatus, Workload},
    c1::{Field, UpdateRequest},
};

/// What to do next with one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The one thing to do.
    pub step: Step,
    /// When to look again at the latest, should nothing happen before.
    pub wake: Option<Timestamp>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Evidence is missing: get it, and ask again.
    Look(Look),
    /// Write this status.
    UpdateStatus(Box<PersonalClientStatus>),
    /// Put the finalizer back.
    AddFinalizer,
    /// Take over a Secret whose owner does not live any more, and whose client does.
    Claim(Box<SecretSeen>),
    /// Render the Secret anew from what it holds.
    Render(Box<SecretSeen>),
    /// Issue a client.
    Issue(Box<IssueStep>),
    /// Move the credential to a Secret of another name.
    Relocate(Box<RelocateStep>),
    /// Delete a Secret of ours under a name that does not count any more.
    Tidy(Box<TidyStep>),
    /// Change the current client in place.
    Update(Box<UpdateStep>),
    /// Take an attempt off the record that came to nothing, at an issuer that the object does not name any more.
    Close(Record),
    /// Restart the consumers that read the Secret only when they start.
    Restart(RestartStep),
    /// Delete a client whose secret nobody has.
    Abandon(AbandonStep),
    /// Delete a client whose overlap is over, then strike it from status.
    Revoke(String),
    /// Strike a retiring client from status: it is not ours to delete any more.
    Strike(String),
    /// Delete what there is, then let the object go.
    Remove(RemoveStep),
}

impl Step {
    /// What a transaction of this step is begun for. What is only replaced, or put back as it was, works: should that fail, whatever
    /// else is wrong stays as it is.
    #[must_use]
    pub fn tried(&self, object: &PersonalClient) -> Tried {
        let renewal = match self {
            Self::Issue(step) => step.need.is_renewal(),
            Self::Update(step) => !step.edited,
            _ => false,
        };
        Tried { renewal, ..Tried::of(object) }
    }
}

/// Missing evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Object and Secret from the API server.
    Live,
    /// A list of clients that begins now, of this issuer.
    List(IssuerRef),
    /// A client by id.
    Client(String),
}

/// Why a new client is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// There was none.
    First,
    /// The Secret is missing or altered.
    SecretLost,
    /// The client is gone at C1.
    Revoked,
    /// The spec asks for something else.
    SpecChanged,
    /// Somebody asks for it.
    Requested,
    /// It is time: the present one nears its expiry, or has reached its age.
    Renewal,
}

impl Need {
    /// The present credential works and is what the spec asks for: while it cannot be replaced it stays Ready.
    #[must_use]
    pub fn is_renewal(self) -> bool {
        matches!(self, Self::Requested | Self::Renewal)
    }
}

/// An issue: everything that its transaction needs ([`super::issue`]).
#[derive(Debug, Clone, PartialEq)]
pub struct IssueStep {
    /// Why.
    pub need: Need,
    /// The attempt: new, or one of ours for which nothing was sent.
    pub attempt: String,
    /// The record as it is to be intended.
    pub record: Record,
    /// What is asked of C1.
    pub wanted: Wanted,
    /// Display name with the marker.
    pub display_name: String,
    /// The issuer.
    pub issuer_ref: IssuerRef,
    /// As whom.
    pub identity: Identity,
    /// Name of the Secret.
    pub secret_name: String,
    /// The Secret as it was seen; `None`: there was none.
    pub secret: Option<Box<SecretSeen>>,
    /// The former client, which retires when the new one is recorded.
    pub replaces: Option<IssuedClient>,
    /// Status as it was read.
    pub status: PersonalClientStatus,
}

/// A move of the credential ([`super::relocate`]).
#[derive(Debug, Clone, PartialEq)]
pub struct RelocateStep {
    /// The Secret that holds it.
    pub from: Box<SecretSeen>,
    /// Name of the Secret that is to hold it.
    pub to: String,
    /// A copy there of a move that was not recorded, which goes first.
    pub over: Option<Anchor>,
    /// The record as it is to be intended: both names stand there.
    pub record: Record,
}

/// The end of a former Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TidyStep {
    /// Its name.
    pub name: String,
    /// UID and version of the Secret.
    pub at: Anchor,
    /// The record as it is to be written first.
    pub record: Record,
}

/// A change of the current client in place ([`super::update`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateStep {
    /// What changes. Roles by ids or names.
    pub request: UpdateRequest,
    /// Digests of all that is asked for.
    pub requested: String,
    /// Which of the fields somebody has changed at C1.
    pub drifted: Vec<Field>,
    /// The spec is new: should C1 refuse it in place, a new client is issued.
    pub edited: bool,
    /// The Secret is what the spec asks for: then the object is Ready.
    pub placed: bool,
}

/// A restart of consumers.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartStep {
    /// Which.
    pub workloads: Vec<Workload>,
    /// The client that they are to read.
    pub client_id: String,
}

/// A client that nobody can use, to be deleted ([`super::abandon`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonStep {
    /// Its attempt.
    pub attempt: String,
    /// The issuer that was asked for it.
    pub issuer_ref: IssuerRef,
    /// Its id at C1.
    pub client_id: String,
    /// Whether the attempt still has to be burnt.
    pub burn: bool,
    /// The Secret to which it was to be delivered.
    pub secret_name: String,
    /// Owner part of the object's markers: no other object's Secret is fenced.
    pub owner: String,
}

/// A client to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its id at C1.
    pub id: String,
    /// C1 may not know it everywhere yet: that it does not is no proof that it is gone.
    pub young: bool,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveStep {
    /// The Secret is another object's by now: does this one still exist?
    pub recheck: bool,
    /// The Secret that stays, and the attempt that must not overwrite it any more.
    pub fence: Option<(Box<SecretSeen>, String)>,
    /// The Secrets to delete: name, UID, version.
    pub secrets: Vec<(String, String, String)>,
    /// Clients to delete.
    pub victims: Vec<Victim>,
    /// Clients that stay although they should not, for the event: somebody allowed it, or their marker is gone.
    pub left_behind: Vec<String>,
}
