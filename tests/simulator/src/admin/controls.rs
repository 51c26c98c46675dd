//! Counts, faults, switches, the clock.

use std::sync::Arc;

use axum::{body::Bytes, extract::State};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{AdminError, Reply, read};
use crate::{app::App, faults::Rule, tally::Tally, tenant::Tenant, wire::Answer, wire::timestamp::WireTime};

type Simulator = State<Arc<App>>;

pub(super) async fn requests(State(app): Simulator) -> Answer {
    Answer::ok(&*app.tally())
}

pub(super) async fn forget_requests(State(app): Simulator) -> Answer {
    *app.tally() = Tally::default();
    Answer::ok(&json!({}))
}

pub(super) async fn faults(State(app): Simulator) -> Answer {
    Answer::ok(&app.faults().rules())
}

pub(super) async fn set_faults(State(app): Simulator, body: Bytes) -> Reply {
    let rules: Vec<Rule> = read(&body)?;
    let mut faults = app.faults();
    faults.replace(rules);
    Ok(Answer::ok(&faults.rules()))
}

pub(super) async fn forget_faults(State(app): Simulator) -> Answer {
    app.faults().replace(Vec::new());
    Answer::ok(&json!([]))
}

pub(super) async fn switches(State(app): Simulator) -> Answer {
    Answer::ok(app.tenant().switches())
}

pub(super) async fn set_switches(State(app): Simulator, body: Bytes) -> Reply {
    let patch: Map<String, Value> = read(&body)?;
    let mut tenant = app.tenant();
    let switches = tenant.switches().patched(patch).map_err(|error| AdminError::bad_request(&error))?;
    tenant.set_switches(switches);
    Ok(Answer::ok(tenant.switches()))
}

pub(super) async fn clock(State(app): Simulator) -> Answer {
    Answer::ok(&clock_message(&app.tenant()))
}

/// By how much to move the clock.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

pub(super) async fn advance_clock(State(app): Simulator, body: Bytes) -> Reply {
    let Advance { advance_seconds } = read(&body)?;
    let message = {
        let mut tenant = app.tenant();
        let by = SignedDuration::from_secs(advance_seconds);
        tenant.advance_clock(by).map_err(|error| AdminError::bad_request(&error))?;
        clock_message(&tenant)
    };
    app.persist().await;
    Ok(Answer::ok(&message))
}

fn clock_message(tenant: &Tenant) -> Value {
    json!({"now": WireTime(tenant.now()), "offsetSeconds": tenant.clock_offset().as_secs()})
}

pub(super) async fn revoke_tokens(State(app): Simulator) -> Answer {
    app.tenant().revoke_tokens();
    Answer::ok(&json!({}))
}
