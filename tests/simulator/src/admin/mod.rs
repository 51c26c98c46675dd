//! The admin port: what a test sees behind the curtain, and the strings it pulls. Plain HTTP, no authentication.

mod clients;
mod controls;
mod ledger;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{app::App, tenant::Refusal, wire::Answer};

/// The admin port's routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/ledger", get(ledger::show))
        .route("/requests", get(controls::requests).delete(controls::forget_requests))
        .route("/faults", get(controls::faults).put(controls::set_faults).delete(controls::forget_faults))
        .route("/switches", get(controls::switches).patch(controls::set_switches))
        .route("/clock", get(controls::clock).post(controls::advance_clock))
        .route("/revoke-tokens", post(controls::revoke_tokens))
        .route("/users", post(users::add))
        .route("/users/{id}", patch(users::edit))
        .route("/device/approve", post(users::approve_device))
        .route("/clients", post(clients::create))
        .route("/clients/{id}", delete(clients::delete).patch(clients::edit))
        .with_state(app)
}

/// What an admin call answers: a message, or why not.
type Reply = Result<Answer, AdminError>;

/// Why an admin call failed, as `{"error": …}`.
struct AdminError(StatusCode, String);

impl AdminError {
    fn bad_request(error: &impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        let status = if refusal == Refusal::NotFound { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self(status, refusal.to_string())
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        Answer::json(self.0, &json!({"error": self.1})).into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Reads a body, strictly: a misspelt field in a test would otherwise do nothing.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, AdminError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| AdminError::bad_request(&error))
}
