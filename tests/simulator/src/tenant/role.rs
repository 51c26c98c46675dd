//! IAM roles. Their names are the same in every tenant; their ids are not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Permission;
use crate::random;

/// Super Administrator.
pub const OWNER: &str = "system:owner";
/// Read-Only Administrator.
pub const VIEWER: &str = "system:viewer";
/// Basic User.
pub const USER: &str = "system:user";

/// Name, display name, built in. The first six names are C1's; the next four are made up for display names that its
/// documentation has; the last two are a tenant's own. Twelve, so that a page of ten is not the whole list.
const CATALOGUE: [(&str, &str, bool); 12] = [
    (OWNER, "Super Administrator", true),
    (VIEWER, "Read-Only Administrator", true),
    (USER, "Basic User", true),
    ("system:application-admin", "Application Administrator", true),
    ("system:campaign-admin", "Campaign Administrator", true),
    ("system:system-logs-reader", "Read-Only to System Logs", true),
    ("system:access-request-helpdesk", "Access Request Helpdesk", true),
    ("system:access-request-admin", "Access Request Administrator", true),
    ("system:ai-governance-admin", "AI Governance Administrator", true),
    ("system:connector-admin", "Connector Administrator", true),
    ("auditors", "Auditors", false),
    ("release-engineers", "Release Engineers", false),
];

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// 27 letters and digits.
    pub id: String,
    /// The internal name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Whether it came with the tenant.
    pub system_builtin: bool,
    /// When it came to be.
    pub created_at: Timestamp,
}

impl Role {
    /// What the role permits.
    pub fn permissions(&self) -> &'static [Permission] {
        match self.name.as_str() {
            OWNER => &Permission::ALL,
            VIEWER => &Permission::OF_VIEWERS,
            USER => &Permission::OF_USERS,
            _ => &Permission::OF_ANYONE,
        }
    }
}

/// The roles of a new tenant.
pub fn catalogue(now: Timestamp) -> Vec<Role> {
    let role = |(name, display_name, system_builtin): (&str, &str, bool)| Role {
        id: random::ksuid(),
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        system_builtin,
        created_at: now,
    };
    CATALOGUE.into_iter().map(role).collect()
}
