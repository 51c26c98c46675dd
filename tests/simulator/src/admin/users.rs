//! Users, and the devices that they approve.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;

use super::{Reply, read};
use crate::{app::App, wire::Answer};

type Simulator = State<Arc<App>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// Names or ids of roles.
    roles: Vec<String>,
}

pub(super) async fn add(State(app): Simulator, body: Bytes) -> Reply {
    let NewUser { roles } = read(&body)?;
    let answer = {
        let mut tenant = app.tenant();
        let roles = tenant.role_ids(&roles)?;
        let user = tenant.add_user(roles);
        let (position, secret) = tenant.create_bootstrap(&user.id)?;
        app.secrets().note(&secret);
        let client_id = &tenant.client_at(position).client_id;
        Answer::ok(&json!({"userId": user.id, "clientId": client_id, "clientSecret": secret}))
    };
    app.persist().await;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEdit {
    roles: Option<Vec<String>>,
    disabled: Option<bool>,
}

pub(super) async fn edit(State(app): Simulator, Path(id): Path<String>, body: Bytes) -> Reply {
    let UserEdit { roles, disabled } = read(&body)?;
    let answer = {
        let mut tenant = app.tenant();
        let roles = roles.map(|roles| tenant.role_ids(&roles)).transpose()?;
        let user = tenant.edit_user(&id, roles, disabled)?;
        Answer::ok(&json!({"userId": user.id, "roleIds": user.role_ids, "disabled": user.disabled}))
    };
    app.persist().await;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Approval {
    user_code: String,
    /// Who approves; absent: the first user.
    user_id: Option<String>,
}

pub(super) async fn approve_device(State(app): Simulator, body: Bytes) -> Reply {
    let Approval { user_code, user_id } = read(&body)?;
    let mut tenant = app.tenant();
    let user_id = match user_id {
        Some(user_id) => user_id,
        None => tenant.first_user()?.id.clone(),
    };
    tenant.approve_device(&user_code, user_id)?;
    Ok(Answer::ok(&json!({})))
}
