//! An answer before it is put on the wire, and C1's error bodies.

use axum::{
    body::Bytes,
    http::{HeaderName, StatusCode, header},
};
use serde::Serialize;
use serde_json::json;

use crate::tenant::Refusal;

/// An HTTP answer with a body small enough to be in memory, so that faults can still spoil it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beyond those that every answer has.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether the connection ends in the middle of the body.
    pub body_cut: bool,
}

impl Answer {
    /// 200 with a message. C1 never answers 201 or 204.
    pub fn ok(message: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, message)
    }

    /// Any status with a JSON body.
    pub fn json(status: StatusCode, message: &impl Serialize) -> Self {
        match serde_json::to_vec(message) {
            Ok(body) => {
                let headers = vec![(header::CONTENT_TYPE, "application/json".to_owned())];
                Self { status, headers, body: body.into(), body_cut: false }
            }
            Err(_) => Self::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// A refusal as `google.rpc.Status`.
    pub fn refused(refusal: &Refusal, trace_id: &str) -> Self {
        let (status, code) = match refusal {
            Refusal::InvalidArgument(_) => (StatusCode::BAD_REQUEST, 3),
            Refusal::NotFound => (StatusCode::NOT_FOUND, 5),
            Refusal::PermissionDenied(_) => (StatusCode::FORBIDDEN, 7),
            Refusal::FailedPrecondition(_) => (StatusCode::BAD_REQUEST, 9),
            Refusal::Unauthenticated => (StatusCode::UNAUTHORIZED, 16),
        };
        Self::status_body(status, code, &refusal.to_string(), trace_id)
    }

    /// A failure that a fault asked for, in the form that C1's gateway would give it.
    pub fn failure(status: StatusCode, trace_id: &str) -> Self {
        let code = match status.as_u16() {
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            409 => 10,
            429 => 8,
            499 => 1,
            501 => 12,
            503 => 14,
            504 => 4,
            _ => 13,
        };
        Self::status_body(status, code, status.canonical_reason().unwrap_or("fault"), trace_id)
    }

    /// A redirect.
    pub fn redirect(status: StatusCode, to: String) -> Self {
        let mut answer = Self::empty(status);
        answer.headers.push((header::LOCATION, to));
        answer
    }

    /// This answer with one header more.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The first half of the body only: no JSON any more.
    #[must_use]
    pub fn malformed(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }

    /// White space is appended until the body is as long as this: the same JSON still.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Self {
        let mut body = self.body.to_vec();
        body.resize(bytes.max(body.len()), b' ');
        self.body = body.into();
        self
    }

    fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), body_cut: false }
    }

    fn status_body(status: StatusCode, code: u8, message: &str, trace_id: &str) -> Self {
        Self::json(status, &json!({"code": code, "message": format!("{message} (request-id: {trace_id})")}))
    }
}
