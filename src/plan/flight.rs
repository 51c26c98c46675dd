//! The transactions, step by step: an effect to perform, its answer, the next effect. The shell performs and feeds back;
//! nothing here knows a clock, a socket or a client secret.
//!
//! ```text
//! issue    preflight → intend → create → deliver → record
//!                                           │         ↓ conflict, lost answer: read object; it goes, or is gone:
//! withdraw                                  │         burn → delete Secret → delete client
//!                                           ↓ conflict, lost answer: read Secret, read object, deliver again or
//! abandon  read object → burn → read Secret → fence → delete client
//!          └ no Secret: read object
//! tidy     burn → delete Secret
//! update   update → record
//! move     burn → copy → record
//!                          └ conflict, lost answer: read object; it goes, or is gone: delete the copy
//! remove   fence → delete Secret → delete clients → remove finalizer
//! ```

use k8s_openapi::jiff::Timestamp;

use super::{
    abandon::Abandon,
    guards::Guards,
    issue::Issue,
    observed::SecretView,
    record::{Delivered, Record, SecretSeen},
    relocate::Relocate,
    remove::Remove,
    tidy::Tidy,
    update::Update,
    withdraw::Withdraw,
};
use crate::{
    api::{PersonalClient, PersonalClientStatus, Reason},
    c1::{Client, CreateRequest, Field, UpdateRequest},
};

/// Which object, and which version of it: every write is conditional on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its UID: a name that was deleted and made again is another object.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

impl Anchor {
    /// Of an object as it was read.
    #[must_use]
    pub fn of(object: &PersonalClient) -> Self {
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Resolve the roles and write the Secret as a dry run: all that can be refused, is, before anything is intended.
    Preflight {
        /// Roles by ids or names.
        roles: Vec<String>,
        /// The Secret as it was seen.
        secret: Option<Box<SecretSeen>>,
    },
    /// Write record and finalizer, conditional.
    Intend {
        /// On which version.
        at: Anchor,
        /// The record.
        record: Record,
    },
    /// Make the client. Never repeated.
    Create(CreateRequest),
    /// Change a client in place.
    Update(UpdateRequest),
    /// Write the Secret, conditional: create it, or replace the version that was seen.
    Deliver {
        /// What the Secret says of itself; the shell adds the digest of the data.
        delivered: Box<Delivered>,
        /// The version to replace.
        over: Option<Box<SecretSeen>>,
    },
    /// Create another Secret with what the current one holds.
    Copy {
        /// The version of the current one.
        from: Anchor,
        /// Name of the other.
        to: String,
    },
    /// Write status, conditional.
    Record {
        /// On which version.
        at: Anchor,
        /// The status.
        status: Box<PersonalClientStatus>,
    },
    /// Read the Secret.
    ReadSecret,
    /// Read the object.
    ReadObject,
    /// Write the record, with an attempt abandoned or both names of a Secret that moves, conditional.
    Burn {
        /// On which version.
        at: Anchor,
        /// The record.
        record: Record,
    },
    /// Write the attempt into the Secret's fence, conditional.
    Fence {
        /// On which version.
        over: Box<SecretSeen>,
        /// The attempt.
        attempt: String,
    },
    /// Delete a client at C1.
    DeleteClient {
        /// Its id.
        id: String,
    },
    /// Delete a Secret, conditional.
    DeleteSecret {
        /// Its name.
        name: String,
        /// On which version.
        at: Anchor,
    },
    /// Take the finalizer away, conditional.
    RemoveFinalizer {
        /// On which version.
        at: Anchor,
    },
}

/// What an effect came to.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It took place; the object is at this version now.
    Done(Anchor),
    /// The roles, by id; the dry run went through.
    Ids(Vec<String>),
    /// The client was made.
    Created(Box<Client>),
    /// The client as it was changed.
    Updated(Box<Client>),
    /// The Secret as it is.
    Secret(SecretView),
    /// The object as it is; `None`: it is gone, or another of that name.
    Object(Option<Box<PersonalClient>>),
    /// It certainly did not take place.
    Refused {
        /// Why, for the condition.
        reason: Reason,
        /// The same for people.
        message: String,
    },
    /// It certainly did not take place: the version is another.
    Conflict,
    /// It certainly did not take place: the object is gone. For a delete: there is nothing left to delete.
    Gone,
    /// It may have taken place.
    Unknown {
        /// Why we do not know.
        reason: Reason,
        /// The same for people.
        message: String,
    },
    /// The budget is over; the effect was not begun.
    OutOfTime,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The client is delivered and recorded.
    Issued {
        /// Its id.
        id: String,
        /// The status as it was written.
        status: Box<PersonalClientStatus>,
    },
    /// It is delivered; the next look records it.
    Delivered,
    /// Nothing was issued.
    Failed {
        /// Why.
        reason: Reason,
        /// The same for people.
        message: String,
        /// No client of the attempt can exist: it may be used again.
        unsent: bool,
    },
    /// Somebody else was faster, or the API server did not answer: look again.
    LookAgain {
        /// No client of the attempt can exist: it may be used again.
        unsent: bool,
    },
    /// The client was changed in place, or it is said that it cannot be.
    Updated {
        /// The status as it was written.
        status: Box<PersonalClientStatus>,
        /// What was changed.
        fields: Vec<Field>,
        /// Which of these somebody had changed at C1.
        drifted: Vec<Field>,
    },
    /// A former Secret is gone, or going.
    Tidied {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A former Secret stays.
    Untidied {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
    /// The credential is in a Secret of another name.
    Moved {
        /// The status as it was written.
        status: Box<PersonalClientStatus>,
    },
    /// The API server does not let the new Secret be written, or what stands there be deleted.
    Unmoved {
        /// Why.
        message: String,
    },
    /// A client was deleted because nobody had its secret.
    Abandoned {
        /// Its id.
        id: String,
    },
    /// The object goes, or is gone: what was delivered for it is deleted, Secret and client.
    Withdrawn {
        /// The client's id.
        id: String,
    },
    /// The object was let go.
    Removed {
        /// How many clients were revoked.
        revoked: usize,
        /// What stays although it should not.
        left_behind: Vec<String>,
    },
}

/// A transaction under way.
#[derive(Debug, Clone, PartialEq)]
pub enum Flight {
    /// A client is being issued.
    Issue(Box<Issue>),
    /// A client is being changed in place.
    Update(Box<Update>),
    /// The credential is being moved.
    Relocate(Box<Relocate>),
    /// A former Secret goes.
    Tidy(Box<Tidy>),
    /// A client is being abandoned.
    Abandon(Box<Abandon>),
    /// A delivery is being taken back.
    Withdraw(Box<Withdraw>),
    /// An object is being let go.
    Remove(Box<Remove>),
    /// It is over.
    Landed(Box<Outcome>),
}

impl Flight {
    /// Whether it takes back what was made, or is about to see whether it must. When its time is over it needs a little more, and not to be told so.
    #[must_use]
    pub fn cleans_up(&self) -> bool {
        match self {
            Self::Abandon(_) | Self::Withdraw(_) => true,
            Self::Issue(issue) => issue.looks_back(),
            Self::Update(update) => update.puts_back(),
            Self::Relocate(relocate) => relocate.cleans_up(),
            Self::Tidy(_) | Self::Remove(_) | Self::Landed(_) => false,
        }
    }
}

/// A transaction and what it wants done next; `None`: it has landed.
pub type Next = (Flight, Option<Effect>);

/// The end of a transaction.
pub(super) fn landed(outcome: Outcome) -> Next {
    (Flight::Landed(Box::new(outcome)), None)
}

/// Takes the answer to the last effect and says what to do next.
#[must_use]
pub fn next(flight: Flight, answer: Answer, now: Timestamp, guards: &Guards) -> Next {
    match flight {
        Flight::Issue(issue) => issue.next(answer, now, guards),
        Flight::Update(update) => update.next(answer, now),
        Flight::Relocate(relocate) => relocate.next(answer),
        Flight::Tidy(tidy) => tidy.next(answer),
        Flight::Abandon(abandon) => abandon.next(answer, now, guards),
        Flight::Withdraw(withdraw) => withdraw.next(answer, now),
        Flight::Remove(remove) => remove.next(answer),
        landed @ Flight::Landed(_) => (landed, None),
    }
}
