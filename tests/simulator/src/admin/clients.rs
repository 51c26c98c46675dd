//! Clients by hand, as a person would make, edit and delete them in C1's console.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::{Reply, ledger::Entry, read};
use crate::{
    api,
    app::App,
    tenant::{Cidr, ClientEdit},
    wire::{
        Answer,
        message::{CreateRequest, CreateResponse, PersonalClient},
    },
};

type Simulator = State<Arc<App>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewClient {
    /// Its owner; absent: the first user.
    user_id: Option<String>,
    display_name: Option<String>,
    expires: Option<String>,
    /// Names or ids of roles.
    scoped_roles: Option<Vec<String>>,
    allow_source_cidr: Option<Vec<String>>,
}

pub(super) async fn create(State(app): Simulator, body: Bytes) -> Reply {
    let NewClient { user_id, display_name, expires, scoped_roles, allow_source_cidr } = read(&body)?;
    let answer = {
        let mut tenant = app.tenant();
        let owner = match user_id {
            Some(user_id) => user_id,
            None => tenant.first_user()?.id.clone(),
        };
        let scoped_roles = Some(tenant.role_ids(&scoped_roles.unwrap_or_default())?);
        let request = CreateRequest { display_name, expires, scoped_roles, allow_source_cidr };
        let (position, secret) = tenant.create_client(&owner, api::wish(request)?)?;
        app.secrets().note(&secret);
        let client = PersonalClient::seen_at(tenant.client_at(position), Timestamp::MAX);
        Answer::ok(&CreateResponse { client, client_secret: &secret })
    };
    app.persist().await;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Edit {
    display_name: Option<String>,
    /// Names or ids of roles.
    scoped_roles: Option<Vec<String>>,
    allow_source_cidr: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    last_used_at: Option<LastUse>,
}

/// A last use, or null: never.
#[derive(Deserialize)]
#[serde(untagged)]
enum LastUse {
    At(Timestamp),
    Never(()),
}

/// Told apart from absence, where an `Option` alone would take null for it.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LastUse>, D::Error> {
    LastUse::deserialize(value).map(Some)
}

pub(super) async fn edit(State(app): Simulator, Path(id): Path<String>, body: Bytes) -> Reply {
    let Edit { display_name, scoped_roles, allow_source_cidr, last_used_at } = read(&body)?;
    let name = display_name.map(ClientEdit::DisplayName);
    let networks = allow_source_cidr.map(Cidr::list).transpose()?.map(ClientEdit::AllowSourceCidr);
    let used = last_used_at.map(|used| match used {
        LastUse::At(time) => ClientEdit::LastUsedAt(Some(time)),
        LastUse::Never(()) => ClientEdit::LastUsedAt(None),
    });
    let answer = {
        let mut tenant = app.tenant();
        let position = tenant.position(&id)?;
        let roles = scoped_roles.map(|roles| tenant.role_ids(&roles)).transpose()?.map(ClientEdit::ScopedRoles);
        tenant.edit_client(position, [name, roles, networks, used].into_iter().flatten().collect())?;
        Answer::ok(&Entry::new(tenant.client_at(position), tenant.now()))
    };
    app.persist().await;
    Ok(answer)
}

pub(super) async fn delete(State(app): Simulator, Path(id): Path<String>) -> Reply {
    {
        let mut tenant = app.tenant();
        let owner = tenant.client_at(tenant.position(&id)?).user_id.clone();
        let position = tenant.own_position(&owner, &id)?;
        tenant.delete_client(position);
    }
    app.persist().await;
    Ok(Answer::ok(&json!({})))
}
