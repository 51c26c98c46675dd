//! Which operation a request is.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// A kind of request, as faults and counts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `POST /api/v1/iam/personal_clients`
    Create,
    /// `GET /api/v1/iam/personal_clients`
    List,
    /// `GET /api/v1/iam/personal_clients/{id}`
    Get,
    /// `POST /api/v1/iam/personal_clients/{id}`
    Update,
    /// `DELETE /api/v1/iam/personal_clients/{id}`
    Delete,
    /// `POST /api/v1/search/iam/personal_clients`
    Search,
    /// `POST /auth/v1/token`
    Token,
    /// `GET /api/v1/iam/roles`
    Roles,
    /// `GET /api/v1/iam/roles/{id}`
    Role,
    /// `GET /api/v1/auth/introspect`
    Introspect,
    /// `GET /api/v1/users/{id}`
    User,
    /// `POST /api/v1/settings/session/test-source-ip`
    TestSourceIp,
    /// The rest
    Other,
}

/// An operation with what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Make a client.
    Create,
    /// One's own clients.
    List,
    /// A client.
    Get(String),
    /// Change a client.
    Update(String),
    /// Delete a client.
    Delete(String),
    /// All users' clients.
    Search,
    /// Log in.
    Token,
    /// Begin the device flow.
    DeviceAuthorization,
    /// The roles.
    Roles,
    /// A role.
    Role(String),
    /// Who am I?
    Introspect,
    /// A user.
    User(String),
    /// Would that address be let in?
    TestSourceIp,
    /// A path with a slash too many, and the path without.
    TrailingSlash(String),
    /// Nothing is there.
    Unknown,
}

impl Route {
    /// Reads method and path.
    pub fn of(method: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), segments.as_slice()) {
            ("POST", ["auth", "v1", "token"]) => Self::Token,
            ("POST", ["auth", "v1", "device_authorization"]) => Self::DeviceAuthorization,
            // An empty id ends here: C1 sends it on to the collection, which a careless client takes for an answer.
            (_, ["api", "v1", .., _, ""]) => Self::TrailingSlash(path.trim_end_matches('/').to_owned()),
            (method, ["api", "v1", rest @ ..]) => Self::below_api(method, rest),
            _ => Self::Unknown,
        }
    }

    fn below_api(method: &str, segments: &[&str]) -> Self {
        match (method, segments) {
            ("POST", ["iam", "personal_clients"]) => Self::Create,
            ("GET", ["iam", "personal_clients"]) => Self::List,
            ("GET", ["iam", "personal_clients", id]) => Self::Get((*id).to_owned()),
            ("POST", ["iam", "personal_clients", id]) => Self::Update((*id).to_owned()),
            ("DELETE", ["iam", "personal_clients", id]) => Self::Delete((*id).to_owned()),
            ("POST", ["search", "iam", "personal_clients"]) => Self::Search,
            ("GET", ["iam", "roles"]) => Self::Roles,
            ("GET", ["iam", "roles", id]) => Self::Role((*id).to_owned()),
            ("GET", ["auth", "introspect"]) => Self::Introspect,
            ("GET", ["users", id]) => Self::User((*id).to_owned()),
            ("POST", ["settings", "session", "test-source-ip"]) => Self::TestSourceIp,
            _ => Self::Unknown,
        }
    }

    /// The kind of request.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create => Operation::Create,
            Self::List => Operation::List,
            Self::Get(_) => Operation::Get,
            Self::Update(_) => Operation::Update,
            Self::Delete(_) => Operation::Delete,
            Self::Search => Operation::Search,
            Self::Token => Operation::Token,
            Self::Roles => Operation::Roles,
            Self::Role(_) => Operation::Role,
            Self::Introspect => Operation::Introspect,
            Self::User(_) => Operation::User,
            Self::TestSourceIp => Operation::TestSourceIp,
            Self::DeviceAuthorization | Self::TrailingSlash(_) | Self::Unknown => Operation::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_and_path_make_the_operation() {
        for (method, path, route) in [
            (Method::POST, "/api/v1/iam/personal_clients", Route::Create),
            (Method::POST, "/api/v1/iam/personal_clients/a-b-1", Route::Update("a-b-1".into())),
            (Method::PATCH, "/api/v1/iam/personal_clients/a-b-1", Route::Unknown),
            (Method::GET, "/api/v1/iam/personal_clients/a/b", Route::Unknown),
            (Method::GET, "/api/v1/iam/personal_clients/", Route::TrailingSlash("/api/v1/iam/personal_clients".into())),
            (Method::POST, "/auth/v1/token", Route::Token),
            (Method::GET, "/", Route::Unknown),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }
}
