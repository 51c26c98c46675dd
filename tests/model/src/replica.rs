//! One replica, as far as it is state: what it remembers, which is lost when it crashes, and what it is about to do.

use std::collections::{BTreeMap, BTreeSet};

use c1_operator::{
    api::{IssuerRef, PersonalClient, PersonalClientStatus},
    c1::Client,
    plan::{
        Anchor, ClientRead, Effect, Flight, Look, Record, SecretView,
        status::{self, Tried},
    },
};

use crate::print::Printed;

/// What a replica remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Replica {
    /// C1's list as it was read last.
    pub list: Option<Printed<List>>,
    /// The decision that is being made.
    pub looking: Option<Looking>,
    /// The effect that comes next.
    pub work: Option<Work>,
    /// The open attempt with its start, and since when it was seen.
    pub seen: Option<(String, u32)>,
    /// The open attempt, while nothing was sent for it.
    pub unsent: Option<String>,
    /// Clients that it has deleted.
    pub deleted: BTreeSet<String>,
    /// Those whose deletion C1 did not confirm.
    pub undeleted: BTreeSet<String>,
    /// What C1 did not answer a moment ago, and for which object.
    pub unanswered: BTreeSet<(String, Question)>,
}

/// What C1 is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// A list, by this issuer.
    List(IssuerRef),
    /// A client by id.
    Client(String),
}

impl Question {
    /// Of a look at C1.
    pub fn of(look: &Look) -> Option<Self> {
        match look {
            Look::Live => None,
            Look::List(at) => Some(Self::List(at.clone())),
            Look::Client(id) => Some(Self::Client(id.clone())),
        }
    }

    /// The look that asks it.
    pub fn look(&self) -> Look {
        match self {
            Self::List(at) => Look::List(at.clone()),
            Self::Client(id) => Look::Client(id.clone()),
        }
    }
}

/// What C1 answers to the question of a decision, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answers {
    /// All that it has.
    Plain,
    /// Not what is so new that it need not show it yet.
    Lagging,
    /// Nothing.
    Missing,
}

impl Replica {
    /// It has told C1 to delete this client, and C1 has confirmed that, or not.
    pub fn told_to_delete(&mut self, id: &str, confirmed: bool) {
        if confirmed {
            self.undeleted.remove(id)
        } else {
            self.undeleted.insert(id.to_owned())
        };
    }
}

/// A list of clients.
#[derive(Debug, Clone)]
pub struct List {
    /// When it was begun.
    pub began: u32,
    /// What it shows.
    pub clients: Vec<Client>,
}

/// A decision that is being made: the object was read, the Secret not yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Looking {
    /// The object; `None`: it has to be read again, after evidence was fetched.
    pub object: Option<Printed<PersonalClient>>,
    /// When the first evidence for it was fetched.
    pub as_of: Option<u32>,
    /// Clients that were read for it.
    pub reads: Printed<BTreeMap<String, ClientRead>>,
    /// At which issuers a list was read for it.
    pub listed: Printed<BTreeSet<IssuerRef>>,
    /// What C1 did not answer while it was being made.
    pub missed: BTreeSet<Question>,
}

impl Looking {
    /// One that has seen nothing yet.
    pub fn begin() -> Self {
        Self {
            object: None,
            as_of: None,
            reads: Printed::new(BTreeMap::new()),
            listed: Printed::new(BTreeSet::new()),
            missed: BTreeSet::new(),
        }
    }
}

/// The effect that comes next: its caller has looked at the time, and may stand still before it for as long as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// Of a transaction.
    Transaction {
        /// The transaction and its effect.
        flight: Printed<(Flight, Effect)>,
        /// Who performs it.
        caller: Caller,
    },
    /// A write of the status, of an object as it was seen.
    Status(Printed<(Anchor, PersonalClientStatus)>),
    /// The finalizer, put back.
    AddFinalizer(Printed<Anchor>),
    /// A Secret that is taken over.
    Claim(Printed<SecretView>, String),
    /// An attempt that came to nothing is closed.
    Close(Printed<(Anchor, Record)>),

    /// A retiring client's end; then it is struck from status.
    Revoke(Printed<(String, PersonalClient)>),
}

/// Who performs the effects of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its time is over then.
    pub deadline: u32,
    /// It has been told so.
    pub extended: bool,
    /// And once more.
    pub slept: bool,
    /// It looked at the time then.
    pub looked: u32,
    /// The object that it is about.
    pub uid: String,
    /// The Secret that it delivers to, reads and fences.
    pub secret_name: String,
    /// As whom it makes clients.
    pub user_id: &'static str,
    /// … and what it was begun for.
    pub tried: Tried,
    /// The client that it has made.
    pub made: Option<String>,
    /// What it has delivered.
    pub delivered: Option<String>,
}

impl Work {
    /// Whether it may come to a delete at C1 that was decided on already.
    pub fn may_delete(&self) -> bool {
        match self {
            Self::Transaction { flight, .. } => !matches!(flight.0, Flight::Issue(_)),
            Self::Revoke(_) => true,
            Self::Status(_) | Self::AddFinalizer(_) | Self::Claim(..) | Self::Close(_) => false,
        }
    }

    /// What may go wrong with its next request.
    pub fn mishaps(&self) -> &'static [Mishap] {
        match self {
            Self::Transaction { flight, .. } => match flight.1 {
                // Without an answer it is the same whether a read took place.
                Effect::ReadObject | Effect::ReadSecret | Effect::Preflight { .. } => &[Mishap::RequestLost],
                Effect::Create(_) => {
                    &[Mishap::AnswerLost, Mishap::RequestLost, Mishap::Refused, Mishap::Late, Mishap::Doubled]
                }
                Effect::DeleteClient { .. } => {
                    &[Mishap::AnswerLost, Mishap::RequestLost, Mishap::Refused, Mishap::Unseen]
                }
                _ => &[Mishap::AnswerLost, Mishap::RequestLost, Mishap::Refused],
            },
            Self::Revoke(_) => &[Mishap::AnswerLost, Mishap::RequestLost, Mishap::Unseen],
            // Nothing follows its answer.
            Self::Status(_) | Self::AddFinalizer(_) | Self::Claim(..) | Self::Close(_) => &[Mishap::RequestLost],
        }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// Nothing.
    None,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It never arrives.
    RequestLost,
    /// It is refused.
    Refused,
    /// A create whose caller gives up before it takes effect.
    Late,
    /// A create takes effect twice.
    Doubled,
    /// C1 does not know the client yet that is to be deleted.
    Unseen,
}

impl Replica {
    /// The object was read for the decision that is being made.
    pub fn has_object(&self) -> bool {
        self.looking.as_ref().is_some_and(|looking| looking.object.is_some())
    }

    /// What it is about to do, for people.
    pub fn next_effect(&self) -> String {
        match &self.work {
            None => "anything".into(),
            Some(Work::Status(s)) => {
                let said = status::ready_reason(&s.1).unwrap_or("nothing").to_owned();
                format!("write status ({said})")
            }
            Some(Work::AddFinalizer(_)) => "put the finalizer back".into(),
            Some(Work::Claim(..)) => "claim the Secret".into(),
            Some(Work::Close(_)) => "close an attempt at another issuer".into(),

            Some(Work::Revoke(r)) => format!("delete {} at C1, whose overlap is over", r.0),
            Some(Work::Transaction { flight, .. }) => describe(&flight.1),
        }
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Preflight { .. } => "preflight".into(),
        Effect::Intend { record, .. } => {
            let attempt = record.open.as_ref().map(|o| o.attempt.as_str()).unwrap_or_default();
            format!("intend attempt {attempt}")
        }
        Effect::Create(request) => format!("create \"{}\" at C1", request.display_name),
        Effect::Update(request) => format!("change {} at C1 to \"{}\"", request.id, request.display_name),
        Effect::Deliver { delivered, .. } => format!("deliver {} into the Secret", delivered.client.id),
        Effect::Record { status, .. } => {
            format!("record {} in status", status.client.as_ref().map(|c| c.id.as_str()).unwrap_or_default())
        }
        Effect::ReadSecret => "read the Secret".into(),
        Effect::ReadObject => "read the object".into(),
        Effect::Burn { .. } => "burn the attempt on the object".into(),
        Effect::Fence { attempt, .. } => format!("fence the Secret against attempt {attempt}"),
        Effect::DeleteClient { id } => format!("delete {id} at C1"),
        Effect::DeleteSecret { name, .. } => format!("delete Secret {name}"),
        Effect::RemoveFinalizer { .. } => "remove the finalizer".into(),
        Effect::Copy { to, .. } => format!("copy the credential into Secret {to}"),
    }
}

/// The status after its consumers were restarted.
pub fn restarted(object: &PersonalClient) -> PersonalClientStatus {
    PersonalClientStatus { restart_pending: None, ..object.status_or_default() }
}

/// The status without a retiring client.
pub fn struck(object: &PersonalClient, id: &str) -> PersonalClientStatus {
    let mut status = object.status_or_default();
    status.retiring.retain(|r| r.id != id);
    status
}
