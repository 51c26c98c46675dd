//! Who is who: roles, users, and the caller.

use serde::Serialize;
use serde_json::json;

use super::{authorize, clients::page};
use crate::{
    app::App,
    exchange::Call,
    tenant::{Permission, Refusal, Role, User},
    wire::{Answer, message::ListResponse, timestamp::WireTime},
};

type Reply = Result<Answer, Refusal>;

/// A role as answers hold it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleMessage<'a> {
    id: &'a str,
    name: &'a str,
    display_name: &'a str,
    permissions: Vec<&'static str>,
    service_roles: [&'static str; 0],
    system_builtin: bool,
    system_api_only: bool,
    created_at: WireTime,
    updated_at: WireTime,
    deleted_at: Option<WireTime>,
}

impl<'a> From<&'a Role> for RoleMessage<'a> {
    fn from(role: &'a Role) -> Self {
        Self {
            id: &role.id,
            name: &role.name,
            display_name: &role.display_name,
            permissions: role.permissions().iter().map(|permission| permission.name()).collect(),
            service_roles: [],
            system_builtin: role.system_builtin,
            system_api_only: false,
            created_at: WireTime(role.created_at),
            updated_at: WireTime(role.created_at),
            deleted_at: None,
        }
    }
}

pub(super) fn roles(app: &App, call: &Call) -> Reply {
    let tenant = app.tenant();
    authorize(&tenant, call, Permission::ReadRoles)?;
    let (list, next_page_token) = page(call)?.of(tenant.roles().iter().map(RoleMessage::from).enumerate());
    Ok(Answer::ok(&ListResponse { list, next_page_token }))
}

pub(super) fn role(app: &App, call: &Call, id: &str) -> Reply {
    let tenant = app.tenant();
    authorize(&tenant, call, Permission::ReadRoles)?;
    let role = tenant.roles().iter().find(|role| role.id == id).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(&json!({"role": RoleMessage::from(role)})))
}

/// Roles here are service roles, which are not the ids of IAM roles: those are in the user.
pub(super) fn introspect(app: &App, call: &Call) -> Reply {
    let tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::Introspect)?;
    let permissions: Vec<&str> = caller.rights().permissions().iter().map(|permission| permission.name()).collect();
    Ok(Answer::ok(&json!({
        "userId": caller.user_id,
        "principleId": caller.user_id,
        "tenantId": tenant.id(),
        "roles": ["role/c1.api.auth.v1.Auth:viewer"],
        "permissions": permissions,
        "features": [],
        "disabledModules": [],
        "deviceClientId": "",
    })))
}

/// Oneself, or as a Super Administrator anybody.
pub(super) fn user(app: &App, call: &Call, id: &str) -> Reply {
    let tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::ReadUsers)?;
    if caller.user_id != id && !caller.rights().allow(Permission::SearchClients) {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::ok(&json!({"userView": {"user": user_message(tenant.user(id)?)}})))
}

fn user_message(user: &User) -> serde_json::Value {
    json!({
        "id": user.id,
        "displayName": user.display_name,
        "email": user.email,
        "roleIds": user.role_ids,
        "status": if user.disabled { "DISABLED" } else { "ENABLED" },
        "createdAt": WireTime(user.created_at),
        "updatedAt": WireTime(user.created_at),
        "deletedAt": None::<WireTime>,
    })
}
