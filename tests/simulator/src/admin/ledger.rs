//! The ledger: every client that ever came to be.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    app::App,
    tenant::{Cidr, Client},
    wire::{Answer, timestamp::WireTime},
};

/// A client as it is, whatever the API would show of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    id: &'a str,
    client_id: &'a str,
    display_name: &'a str,
    user_id: &'a str,
    created_at: WireTime,
    updated_at: WireTime,
    deleted_at: Option<WireTime>,
    expires_time: Option<WireTime>,
    last_used_at: Option<WireTime>,
    scoped_roles: &'a [String],
    allow_source_cidr: &'a [Cidr],
    tokens_issued: u64,
    live: bool,
    bootstrap: bool,
}

impl<'a> Entry<'a> {
    /// The client at a moment of the tenant's time.
    pub(super) fn new(client: &'a Client, now: Timestamp) -> Self {
        Self {
            id: &client.id,
            client_id: &client.client_id,
            display_name: &client.display_name,
            user_id: &client.user_id,
            created_at: WireTime(client.created_at),
            updated_at: WireTime(client.updated_at),
            deleted_at: client.deleted_at.map(WireTime),
            expires_time: client.expires_time.map(WireTime),
            last_used_at: client.last_used(Timestamp::MAX).map(WireTime),
            scoped_roles: &client.scoped_roles,
            allow_source_cidr: &client.allow_source_cidr,
            tokens_issued: client.tokens_issued,
            live: client.is_live(now),
            bootstrap: client.bootstrap,
        }
    }
}

#[derive(Serialize)]
struct Ledger<'a> {
    clients: Vec<Entry<'a>>,
}

pub(super) async fn show(State(app): State<Arc<App>>) -> Answer {
    let tenant = app.tenant();
    let now = tenant.now();
    Answer::ok(&Ledger { clients: tenant.clients().map(|(_, client)| Entry::new(client, now)).collect() })
}
