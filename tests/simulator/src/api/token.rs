//! The token endpoint (RFC 6749): client secret, signed assertion, device code.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::json;

use super::is_form;
use crate::{
    app::App,
    credential::{
        assertion::{self, Expected},
        secret,
    },
    exchange::Call,
    tenant::{LoginError, Poll},
    wire::Answer,
};

const CLIENT_CREDENTIALS: &str = "client_credentials";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An OAuth error: status, code, description.
pub struct OAuthError(pub StatusCode, pub &'static str, pub &'static str);

impl OAuthError {
    const fn request(description: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    const fn client(description: &'static str) -> Self {
        Self(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }
}

impl From<LoginError> for OAuthError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::NoSuchClient => Self::client("client is unknown, deleted or expired"),
            LoginError::SourceAddress => Self::client("client may not be used from this address"),
        }
    }
}

impl From<OAuthError> for Answer {
    fn from(OAuthError(status, error, description): OAuthError) -> Self {
        Self::json(status, &json!({"error": error, "error_description": description}))
    }
}

type Form = HashMap<String, String>;

/// Answers a request for a token.
pub fn grant(app: &App, call: &Call) -> Answer {
    let token = read(call).and_then(|form| match form.get("grant_type").map(String::as_str) {
        Some(CLIENT_CREDENTIALS) => client_credentials(app, call, &form),
        Some(DEVICE_CODE) => device_code(app, &form),
        Some(_) => Err(OAuthError(StatusCode::BAD_REQUEST, "unsupported_grant_type", "grant_type is not known")),
        None => Err(OAuthError::request("grant_type is missing")),
    });
    match token {
        Ok(token) => {
            app.secrets().note(&token);
            let expires_in = app.tenant().switches().token_lifetime;
            Answer::ok(&json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}))
        }
        Err(error) => error.into(),
    }
}

/// What bad credentials get.
pub fn invalid_client() -> Answer {
    OAuthError::client("client authentication failed").into()
}

/// Reads a form.
pub fn read(call: &Call) -> Result<Form, OAuthError> {
    if !is_form(&call.headers) {
        return Err(OAuthError::request("content type must be application/x-www-form-urlencoded"));
    }
    Ok(form_urlencoded::parse(&call.body).into_owned().collect())
}

fn client_credentials(app: &App, call: &Call, form: &Form) -> Result<String, OAuthError> {
    let field = |name: &str| form.get(name).map(String::as_str);
    let client_id = field("client_id").ok_or(OAuthError::request("client_id is missing"))?;
    let (key, hosts, now) = {
        let tenant = app.tenant();
        (tenant.key_of(client_id)?, tenant.audiences(client_id), tenant.now().as_second())
    };
    // Checked without the lock: a signature takes longer than all the rest.
    match (field("client_assertion"), field("client_secret")) {
        (Some(_), _) if field("client_assertion_type") != Some(JWT_BEARER) => {
            return Err(OAuthError::request("client_assertion_type is not jwt-bearer"));
        }
        (Some(jwt), _) => {
            assertion::verify(jwt, &key, &Expected { client_id, hosts: &hosts, now }).map_err(OAuthError::client)?;
        }
        (None, Some(secret)) if secret::public_key(secret) == Some(key) => {}
        (None, Some(_)) => return Err(OAuthError::client("client_secret is wrong")),
        (None, None) => return Err(OAuthError::client("client_secret or client_assertion is missing")),
    }
    Ok(app.tenant().log_in(client_id, call.peer)?)
}

fn device_code(app: &App, form: &Form) -> Result<String, OAuthError> {
    let code = form.get("device_code").ok_or(OAuthError::request("device_code is missing"))?;
    match app.tenant().poll_device(code) {
        Poll::Granted(token) => Ok(token),
        Poll::Pending => Err(OAuthError(StatusCode::BAD_REQUEST, "authorization_pending", "nobody approved yet")),
        Poll::Expired => Err(OAuthError(StatusCode::BAD_REQUEST, "expired_token", "the device code is not valid")),
    }
}
