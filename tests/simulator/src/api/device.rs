//! The beginning of the device flow (RFC 8628).

use serde_json::json;

use super::token;
use crate::{app::App, exchange::Call, wire::Answer};

/// Hands out the codes; a person approves on the admin port.
pub fn authorize(app: &App, call: &Call) -> Answer {
    match token::read(call) {
        Err(error) => error.into(),
        Ok(form) if !form.contains_key("client_id") => token::invalid_client(),
        Ok(_) => {
            let mut tenant = app.tenant();
            let grant = tenant.begin_device_grant();
            let page = format!("https://{}/device", tenant.host().authority());
            Answer::ok(&json!({
                "device_code": grant.device_code,
                "user_code": grant.user_code,
                "verification_uri": page,
                "verification_uri_complete": format!("{page}?user_code={}", grant.user_code),
                "expires_in": 900,
                "interval": 1,
            }))
        }
    }
}
