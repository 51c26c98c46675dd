//! What a caller may do: the client's scope and its owner's roles, whichever is less.

use super::{Client, Role, Tenant, User};

/// Something that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Ask who one is.
    Introspect,
    /// See the roles.
    ReadRoles,
    /// See a user.
    ReadUsers,
    /// Test an address against networks.
    TestSourceIp,
    /// Make a client of one's own.
    CreateClient,
    /// List one's own clients.
    ListClients,
    /// See a client of one's own.
    GetClient,
    /// Change a client of one's own.
    UpdateClient,
    /// Delete a client of one's own.
    DeleteClient,
    /// Search the clients of all users.
    SearchClients,
}

impl Permission {
    /// Everything: a Super Administrator's.
    pub const ALL: [Self; 10] = [
        Self::Introspect,
        Self::ReadRoles,
        Self::ReadUsers,
        Self::TestSourceIp,
        Self::CreateClient,
        Self::ListClients,
        Self::GetClient,
        Self::UpdateClient,
        Self::DeleteClient,
        Self::SearchClients,
    ];
    /// A Basic User's, and what full rights give to anybody: one's own clients.
    pub const OF_USERS: [Self; 9] = [
        Self::Introspect,
        Self::ReadRoles,
        Self::ReadUsers,
        Self::TestSourceIp,
        Self::CreateClient,
        Self::ListClients,
        Self::GetClient,
        Self::UpdateClient,
        Self::DeleteClient,
    ];
    /// A Read-Only Administrator's.
    pub const OF_VIEWERS: [Self; 3] = [Self::Introspect, Self::ReadRoles, Self::ReadUsers];
    /// What is left with any other role.
    pub const OF_ANYONE: [Self; 1] = [Self::Introspect];

    /// Its name in introspect and in refusals. That of `Introspect` was seen, the others follow its pattern.
    pub fn name(self) -> &'static str {
        match self {
            Self::Introspect => "permission/c1.api.auth.v1.Auth.Introspect",
            Self::ReadRoles => "permission/c1.api.iam.v1.Roles.List",
            Self::ReadUsers => "permission/c1.api.user.v1.UserService.Get",
            Self::TestSourceIp => "permission/c1.api.settings.v1.SessionSettingsService.TestSourceIP",
            Self::CreateClient => "permission/c1.api.iam.v1.PersonalClientService.Create",
            Self::ListClients => "permission/c1.api.iam.v1.PersonalClientService.List",
            Self::GetClient => "permission/c1.api.iam.v1.PersonalClientService.Get",
            Self::UpdateClient => "permission/c1.api.iam.v1.PersonalClientService.Update",
            Self::DeleteClient => "permission/c1.api.iam.v1.PersonalClientService.Delete",
            Self::SearchClients => "permission/c1.api.iam.v1.PersonalClientSearchService.Search",
        }
    }
}

/// What a caller may do.
#[derive(Clone, Debug)]
pub struct Rights(Vec<Permission>);

impl Rights {
    /// Those of a device token: making a client, and nothing else.
    pub fn of_device() -> Self {
        Self(vec![Permission::CreateClient])
    }

    /// Whether this is allowed.
    pub fn allow(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// All of them.
    pub fn permissions(&self) -> &[Permission] {
        &self.0
    }
}

impl Tenant {
    /// What a client may do now. No overlap of scope and owner's roles leaves nothing at all, not even introspect.
    pub(super) fn rights(&self, client: &Client, owner: &User) -> Rights {
        let scope = &client.scoped_roles;
        let held = |role: &Role| owner.role_ids.contains(&role.id);
        // A Super Administrator's rights cover those of every role.
        let all = self.estate.roles.iter().any(|role| role.name == "system:owner" && held(role));
        let in_force = |role: &&Role| {
            if scope.is_empty() { held(role) } else { scope.contains(&role.id) && (all || held(role)) }
        };
        let roles: Vec<&Role> = self.estate.roles.iter().filter(in_force).collect();
        let full = if scope.is_empty() && !roles.is_empty() { &Permission::OF_USERS[..] } else { &[] };
        let given = |permission: &Permission| {
            full.contains(permission) || roles.iter().any(|role| role.permissions().contains(permission))
        };
        Rights(Permission::ALL.into_iter().filter(given).collect())
    }
}
