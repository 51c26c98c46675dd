//! The server-side check of an address against networks.

use std::net::IpAddr;

use serde_json::json;

use super::authorize;
use crate::{
    app::App,
    exchange::Call,
    tenant::{Cidr, Permission, Refusal},
    wire::{
        Answer,
        message::{self, TestSourceIpRequest},
    },
};

pub(super) fn test(app: &App, call: &Call) -> Result<Answer, Refusal> {
    authorize(&app.tenant(), call, Permission::TestSourceIp)?;
    let request: TestSourceIpRequest = message::read(&call.body)?;
    let address: IpAddr = match request.source_ip.as_deref() {
        None | Some("") => call.peer.to_canonical(),
        Some(text) => text.parse().map_err(|_| Refusal::invalid(format!("{text:?} is no IP address")))?,
    };
    let networks = Cidr::list(request.allow_cidr.unwrap_or_default())?;
    let allowed = Cidr::admits(&networks, address);
    let details = if allowed { "address is allowed" } else { "address is in none of the networks" };
    Ok(Answer::ok(&json!({"allowed": allowed, "checkedIp": address, "details": details})))
}
