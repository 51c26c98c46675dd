//! What `plan` decides on: plain data, gathered by the shell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::record::{Record, SecretSeen};
use crate::{
    api::{IssuerDefaults, Overlap, PersonalClient, Reason},
    c1::Client,
};

/// All that is known of one `PersonalClient` at one moment.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Observed {
    /// The object.
    pub object: PersonalClient,
    /// Whether object and Secret were read from the API server just now, after the inventory: only then may anything be
    /// done, but for what [`Observed::is_untouched`] says.
    pub live: bool,
    /// This cluster, as in markers.
    pub cluster: String,
    /// The issuer that the object names; `None`: there is none.
    pub issuer: Option<IssuerView>,
    /// Whether the namespace is being deleted.
    pub namespace_terminating: bool,
    /// The Secret of the name that the object wants.
    pub secret: SecretView,
    /// When the first evidence for this decision was fetched: what C1 did not know then it may know now.
    pub as_of: Timestamp,
    /// Reads of single clients at C1, made for this decision.
    pub reads: BTreeMap<String, ClientRead>,
    /// A list was read for this very decision.
    pub listed: bool,
    /// A task of this process works on the object.
    pub in_flight: bool,
    /// The open attempt, when this process knows that no create was sent for it.
    pub unsent: Option<String>,
    /// Clients that this process has deleted: that C1 does not know them is no surprise.
    pub deleted: BTreeSet<String>,
    /// C1 has refused to delete one, a few minutes ago at the most.
    pub delete_failed: bool,
    /// The API server did not let consumers be restarted, a moment ago.
    pub restart_failed: bool,
    /// For how long this process has seen the open attempt.
    pub open_seen: Duration,
    /// The name of a new attempt, should one be needed (the core has no randomness of its own).
    pub fresh_attempt: String,
    /// The operator's deadlines.
    pub timing: Timing,
}

impl Observed {
    /// Nothing was ever begun for the object, nor failed, and there is no Secret of the name that it wants. Its first issue
    /// may rest on caches: the writes before its create are conditional on this very version of the object, and on there
    /// being no Secret, so what the caches have missed costs a conflict or a refusal, before anything is sent to C1.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        Record::of(&self.object) == Record::default()
            && matches!(self.secret, SecretView::Absent)
            && self.object.status.as_ref().is_none_or(|status| {
                status.client.is_none() && status.retiring.is_empty() && status.failed_issuance_attempts.is_none()
            })
    }
}

/// Deadlines, all settable by flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The longest that a maker works on an attempt: create and delivery together.
    pub budget: Duration,
    /// How much longer an attempt must have been seen before its outcome is judged.
    pub grace: Duration,
    /// How much an attempt that we have not seen begin must have passed its budget, by wall clock: `grace`, and the
    /// difference that two clocks may have.
    pub skew: Duration,
    /// How long C1 may take to show a client everywhere. A younger one is never gone.
    pub settle: Duration,
    /// How long a replaced client lives on, where its object does not say.
    pub overlap: Overlap,
}

/// An issuer, as far as it matters for one object.
#[derive(Debug, Clone)]
pub struct IssuerView {
    /// Why it cannot issue now.
    pub not_ready: Option<(Reason, String)>,
    /// It cannot go while objects need it; else a client might outlive all that can revoke it.
    pub held: bool,
    /// As whom calls are made; `None`: none can be.
    pub identity: Option<Identity>,
    /// For what the object leaves out.
    pub defaults: IssuerDefaults,
    /// Whether the policy selects the object's namespace; `None`: the namespace was not seen yet.
    pub namespace_selected: Option<bool>,
    /// Whether clients without roles are allowed.
    pub full_permissions: bool,
    /// The operator's clock and C1's differ: nothing happens because of time.
    pub clock_off: bool,
    /// C1's list of clients, as far as it matters for the object; `None`: not read yet.
    pub inventory: Option<InventoryView>,
}

/// As whom calls at C1 are made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Host of the tenant.
    pub host: String,
    /// The C1 user.
    pub user_id: String,
}

/// C1's list of clients, as far as it matters for one object.
#[derive(Debug, Clone)]
pub struct InventoryView {
    /// When the list was begun, by wall clock.
    pub began: Timestamp,
    /// How long ago that is, by a clock that cannot be set.
    pub began_ago: Duration,
    /// Every page was read. Only then does absence mean anything.
    pub complete: bool,
    /// It holds no client at all, of nobody: good enough for a new attempt, never for the proof that one is gone.
    pub empty: bool,
    /// The clients that carry the object's marker, or whose ids its status or Secret names.
    pub clients: Vec<Client>,
}

impl InventoryView {
    /// The client of this id.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|c| c.id == id)
    }
}

/// A Secret, looked up by name.
#[derive(Debug, Clone)]
pub enum SecretView {
    /// It could not be read, which is no evidence of anything.
    Unknown(String),
    /// There is none.
    Absent,
    /// There is one.
    Present(Box<SecretSeen>),
}

/// What a read of a client by id said.
#[derive(Debug, Clone)]
pub enum ClientRead {
    /// It exists.
    Live(Box<Client>),
    /// 404, or deleted, as the user who owned it.
    Gone,
}
