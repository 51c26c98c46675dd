//! What `plan` decides on: plain data, gathered by the shell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::{
    record::{Delivered, OpenAttempt, Record, SecretSeen},
    step::Look,
};
use crate::{
    api::{IssuedClient, IssuerDefaults, IssuerRef, Overlap, PersonalClient, Reason, RetiringClient},
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
    /// Those of [`other_issuers`] that exist.
    pub former: BTreeMap<IssuerRef, IssuerView>,
    /// Whether the namespace is being deleted.
    pub namespace_terminating: bool,
    /// The Secret of [`current_secret`].
    pub secret: SecretView,
    /// The Secrets of [`other_secrets`], by their names.
    pub others: BTreeMap<String, SecretView>,
    /// When the first evidence for this decision was fetched: what C1 did not know then it may know now.
    pub as_of: Timestamp,
    /// Reads of single clients at C1, made for this decision.
    pub reads: BTreeMap<String, ClientRead>,
    /// At which issuers a list was read for this very decision.
    pub listed: BTreeSet<IssuerRef>,
    /// A task of this process works on the object.
    pub in_flight: bool,
    /// The open attempt, when this process knows that no create was sent for it.
    pub unsent: Option<String>,
    /// Clients that this process has deleted: that C1 does not know them is no surprise.
    pub deleted: BTreeSet<String>,
    /// Clients that C1 has not deleted when it was told to, a few minutes ago at the most.
    pub undeleted: BTreeSet<String>,
    /// What C1 was asked for the object a moment ago, and has not answered.
    pub failed_looks: Vec<Look>,
    /// The API server did not let this very spec's template be rendered, a few minutes ago at the most, and why.
    pub render_refused: Option<Refusal>,
    /// The same of the move that this very spec asks for.
    pub move_refused: Option<Refusal>,
    /// The API server did not let a former Secret be deleted, a moment ago.
    pub tidy_failed: bool,
    /// The API server did not let consumers be restarted, a moment ago.
    pub restart_failed: bool,
    /// For how long this process has seen [`Record::begun`].
    pub open_seen: Duration,
    /// The name of a new attempt, should one be needed (the core has no randomness of its own).
    pub fresh_attempt: String,
    /// The operator's deadlines.
    pub timing: Timing,
}

/// What the API server does not let be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub message: String,
    /// When it is tried again.
    pub until: Timestamp,
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

impl Observed {
    /// The issuers that can be asked: the one that the object names, and the former ones that do not fail. One that does must
    /// not hold up what the other does.
    pub fn issuers(&self) -> impl Iterator<Item = (IssuerRef, &IssuerView)> {
        let named = self.issuer.iter().map(|view| (self.object.issuer_ref(), view));
        let former = self.former.iter().filter(|(_, view)| !view.fails());
        named.chain(former.map(|(at, view)| (at.clone(), view)))
    }

    /// What the Secrets say of themselves that are, or may be, the object's.
    pub fn delivered(&self) -> impl Iterator<Item = &Delivered> {
        std::iter::once(&self.secret).chain(self.others.values()).filter_map(SecretView::delivered)
    }

    /// The issuer through which a client can be reached as the user who made it: its own, or another of the same user.
    #[must_use]
    pub fn reach(&self, origin: &Origin<'_>) -> Option<(IssuerRef, &IssuerView)> {
        let same = |view: &IssuerView| {
            view.identity
                .as_ref()
                .is_some_and(|i| (i.host.as_str(), i.user_id.as_str()) == (origin.host, origin.user_id))
        };
        let mut found = None;
        for (at, view) in self.issuers().filter(|(_, view)| same(view)) {
            if at == *origin.issuer_ref {
                return Some((at, view));
            }
            found.get_or_insert((at, view));
        }
        found
    }

    /// Through which issuer a client is read and deleted, and as whom; `None`: it cannot be.
    #[must_use]
    pub fn caller(&self, id: &str) -> Option<(IssuerRef, Identity)> {
        let status = self.object.status.as_ref();
        let current = status.and_then(|s| s.client.as_ref()).into_iter().chain(self.delivered().map(|d| &d.client));
        let former = status.into_iter().flat_map(|s| &s.retiring).chain(self.delivered().flat_map(|d| &d.replaces));
        let mut named = current.filter(|c| c.id == id).map(Origin::from);
        let mut replaced = former.filter(|r| r.id == id).map(Origin::from);
        let lists = |view: &IssuerView| {
            view.identity.is_some() && view.inventory.as_ref().is_some_and(|i| i.client(id).is_some())
        };
        let (at, view) = match named.next().or_else(|| replaced.next()) {
            Some(origin) => self.reach(&origin)?,
            None => self.issuers().find(|(_, view)| lists(view))?,
        };
        Some((at, view.identity.clone()?))
    }
}

/// Where a client was asked for, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The issuer.
    pub issuer_ref: &'a IssuerRef,
    /// Host of the tenant.
    pub host: &'a str,
    /// The C1 user.
    pub user_id: &'a str,
}

impl<'a> From<&'a IssuedClient> for Origin<'a> {
    fn from(client: &'a IssuedClient) -> Self {
        Self { issuer_ref: &client.issuer_ref, host: &client.host, user_id: &client.user_id }
    }
}

impl<'a> From<&'a RetiringClient> for Origin<'a> {
    fn from(client: &'a RetiringClient) -> Self {
        Self { issuer_ref: &client.issuer_ref, host: &client.host, user_id: &client.user_id }
    }
}

impl<'a> From<&'a OpenAttempt> for Origin<'a> {
    fn from(open: &'a OpenAttempt) -> Self {
        Self { issuer_ref: &open.issuer_ref, host: &open.host, user_id: &open.user_id }
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
    /// Why that cannot be seen to: the operator's finalizer is refused.
    pub unheld: Option<String>,
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

impl IssuerView {
    /// It cannot be called now, and not because nobody has looked yet. One whose credentials were taken away still can, with the
    /// login that it has.
    #[must_use]
    pub fn fails(&self) -> bool {
        let login = self.identity.is_some();
        self.not_ready.as_ref().is_some_and(|(why, _)| !(login && *why == Reason::CredentialsNotFound))
    }
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

/// The issuers that an object needs: the one that it names, and those at which it still has something to end.
pub fn issuers_of(object: &PersonalClient) -> impl Iterator<Item = IssuerRef> + '_ {
    let clients = object
        .status
        .iter()
        .flat_map(|s| s.client.iter().map(|c| &c.issuer_ref).chain(s.retiring.iter().map(|r| &r.issuer_ref)).cloned());
    // The record is parsed only for who asks on.
    let open = std::iter::once_with(|| Record::of(object).open).flatten().map(|open| open.issuer_ref);
    std::iter::once(object.issuer_ref()).chain(clients).chain(open)
}

/// The issuers that concern an object: beside those that it needs, those at which something may come to light, of an attempt that was
/// given up.
pub fn issuers_near(object: &PersonalClient) -> impl Iterator<Item = IssuerRef> + '_ {
    let abandoned = std::iter::once_with(|| Record::of(object).abandoned).flatten().map(|a| a.issuer_ref);
    issuers_of(object).chain(abandoned)
}

/// Those beside the one that the object names; also by what its Secrets say of themselves.
#[must_use]
pub fn other_issuers<'a>(
    object: &PersonalClient,
    delivered: impl Iterator<Item = &'a Delivered>,
) -> BTreeSet<IssuerRef> {
    let held = delivered
        .flat_map(|d| std::iter::once(&d.client.issuer_ref).chain(d.replaces.iter().map(|r| &r.issuer_ref)).cloned());
    let mut others: BTreeSet<IssuerRef> = issuers_near(object).chain(held).collect();
    others.remove(&object.issuer_ref());
    others
}

/// The name of the Secret that counts: where an attempt is to deliver that may have done so; else where status says that the
/// credential is; else where an attempt has delivered; else where the spec wants it. Until it has moved it is another than the spec's.
#[must_use]
pub fn current_secret(object: &PersonalClient, record: &Record) -> String {
    let status = object.status.as_ref();
    let carries = |attempt: &str| {
        status.is_some_and(|s| {
            s.client.as_ref().is_some_and(|c| c.attempt == attempt) || s.retiring.iter().any(|r| r.attempt == attempt)
        })
    };
    let attempted = || record.open.as_ref().map(|open| (open.attempt.as_str(), open.secret_name.as_str()));
    let open = attempted().filter(|(attempt, _)| !carries(attempt));
    let named = open.map(|(_, name)| name).or_else(|| status.and_then(|s| s.secret_name.as_deref()));
    // A first client that was delivered, and that status only names as one that retires: there never was another Secret.
    named.or_else(|| attempted().map(|(_, name)| name)).unwrap_or_else(|| object.secret_name()).to_owned()
}

/// The names of Secrets, beside the current one, that may hold a client of the object, or are to hold it.
#[must_use]
pub fn other_secrets(object: &PersonalClient, record: &Record) -> BTreeSet<String> {
    let former = record.elsewhere.iter().map(|e| e.secret_name.clone());
    let mut names: BTreeSet<String> = former.chain([object.secret_name().to_owned()]).collect();
    names.remove(&current_secret(object, record));
    names
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

impl SecretView {
    /// What it says of itself.
    #[must_use]
    pub fn delivered(&self) -> Option<&Delivered> {
        match self {
            Self::Present(seen) => seen.delivered.as_ref(),
            Self::Unknown(_) | Self::Absent => None,
        }
    }
}

/// What a read of a client by id said.
#[derive(Debug, Clone)]
pub enum ClientRead {
    /// It exists.
    Live(Box<Client>),
    /// 404, or deleted, as the user who owned it.
    Gone,
}
