//! Personal clients.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Cidr;
use crate::credential::PublicKey;

/// A personal client. Of its secret only the verification key is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "client_id is C1's and OAuth's name for it")]
pub struct Client {
    /// Its cutename.
    pub id: String,
    /// The OAuth client id, `<id>@<host>/pcc`.
    pub client_id: String,
    /// A name for people; not unique.
    pub display_name: String,
    /// Its owner.
    pub user_id: String,
    /// Ids of the roles to which it is narrowed; empty: not narrowed.
    pub scoped_roles: Vec<String>,
    /// Networks that may use it; empty: all.
    pub allow_source_cidr: Vec<Cidr>,
    /// When it ends; none: never.
    pub expires_time: Option<Timestamp>,
    /// When it was made, by the tenant's clock.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// When it was made, by the real clock: what lists that lag go by, so that they catch up by themselves.
    pub born: Timestamp,
    /// Made with its user, for a test to begin with.
    pub bootstrap: bool,
    /// How many access tokens it got.
    pub tokens_issued: u64,
    /// When it was used: all times, so that an answer may lag.
    pub(super) uses: Vec<Timestamp>,
    pub(super) key: PublicKey,
}

impl Client {
    /// The last use that is known at `horizon`.
    pub fn last_used(&self, horizon: Timestamp) -> Option<Timestamp> {
        self.uses.iter().copied().filter(|used| *used <= horizon).max()
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_time.is_some_and(|end| end <= now)
    }

    /// Whether it gets tokens.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.deleted_at.is_none() && !self.has_expired(now)
    }
}

/// What somebody wants a new client to be.
#[derive(Clone, Debug, Default)]
pub struct ClientWish {
    /// See [`Client`].
    pub display_name: String,
    /// Its lifetime from now; none: for ever.
    pub lifetime: Option<SignedDuration>,
    /// See [`Client`].
    pub scoped_roles: Vec<String>,
    /// See [`Client`].
    pub allow_source_cidr: Vec<Cidr>,
}

/// One change of a client.
#[derive(Clone, Debug)]
pub enum ClientEdit {
    /// Another name.
    DisplayName(String),
    /// Another scope; empty: none.
    ScopedRoles(Vec<String>),
    /// Other networks; empty: all.
    AllowSourceCidr(Vec<Cidr>),
    /// Another end; none: never.
    ExpiresTime(Option<Timestamp>),
    /// Another last use, as no API but a test may want it.
    LastUsedAt(Option<Timestamp>),
}
