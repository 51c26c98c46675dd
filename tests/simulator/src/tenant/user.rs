//! Users: the owners of clients.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::random;

/// A user of the tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// 27 letters and digits.
    pub id: String,
    /// A name for people.
    pub display_name: String,
    /// An address that goes nowhere.
    pub email: String,
    /// Ids of the roles held.
    pub role_ids: Vec<String>,
    /// A disabled user's clients get no tokens, and their tokens are refused.
    pub disabled: bool,
    /// When the user came to be.
    pub created_at: Timestamp,
}

impl User {
    /// The `number`th user of the tenant.
    pub fn new(number: usize, role_ids: Vec<String>, now: Timestamp) -> Self {
        Self {
            id: random::ksuid(),
            display_name: format!("User {number}"),
            email: format!("user-{number}@example.com"),
            role_ids,
            disabled: false,
            created_at: now,
        }
    }
}
