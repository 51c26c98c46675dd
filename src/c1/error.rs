//! What can go wrong with a call, and what is certain after it.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::api::Reason;

/// A call to C1 that did not succeed. It names the operation, the host, and what C1 said; never a body.
#[derive(Debug, Clone, Error)]
#[error("C1 ({host}), {operation}: {kind}")]
pub struct Error {
    /// Host of the tenant.
    pub host: String,
    /// The operation.
    pub operation: &'static str,
    /// What happened.
    pub kind: ErrorKind,
}

/// What happened.
#[derive(Debug, Clone, Error)]
pub enum ErrorKind {
    /// No connection came about, so nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The request was sent and no answer came.
    #[error("no answer: {0}")]
    Transport(String),
    /// The deadline passed after the request was sent.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// C1 asked for a pause, or too many calls are under way; nothing was sent.
    #[error("waiting because C1 asked for fewer requests")]
    Paused,
    /// C1 answered with another status than 200.
    #[error("status {status}{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Status {
        /// The HTTP status.
        status: u16,
        /// C1's message, without what changes from call to call.
        message: String,
    },
    /// The answer to a successful call could not be read.
    #[error("the answer cannot be read")]
    Body,
    /// No access token could be had, so nothing was sent.
    #[error("login: {0}")]
    Login(Box<ErrorKind>),
    /// The credentials cannot be used to log in.
    #[error("{0}")]
    Credentials(String),
}

/// What is certain about the effect of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It had none.
    NoEffect,
    /// It may have had one.
    Unknown,
}

impl Error {
    /// Nobody is logged in.
    #[must_use]
    pub fn not_connected() -> Self {
        Self { host: String::new(), operation: "call", kind: ErrorKind::Credentials("not connected".into()) }
    }

    /// What is certain about the effect. A refusal is one only where no proxy answers so after the effect: 408, 425 and
    /// 429 are not.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match &self.kind {
            ErrorKind::Connect(_) | ErrorKind::Paused | ErrorKind::Login(_) | ErrorKind::Credentials(_) => {
                Certainty::NoEffect
            }
            ErrorKind::Status { status: 408 | 425 | 429, .. } => Certainty::Unknown,
            ErrorKind::Status { status: 400..=499, .. } => Certainty::NoEffect,
            _ => Certainty::Unknown,
        }
    }

    /// The reason that a condition gives for it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.kind.reason()
    }
}

impl ErrorKind {
    fn reason(&self) -> Reason {
        match self {
            // A refused login, by whatever status, is about the credentials.
            Self::Login(kind) => match kind.as_ref() {
                Self::Status { status: 400 | 401 | 403 | 404, .. } => Reason::Unauthorized,
                other => other.reason(),
            },
            Self::Credentials(_) | Self::Status { status: 401, .. } => Reason::Unauthorized,
            Self::Status { status: 429, .. } | Self::Paused => Reason::Throttled,
            Self::Status { status: 404, .. } => Reason::RoleNotFound,
            // Answers of proxies, not of C1.
            Self::Status { status: 408 | 425, .. } => Reason::Unreachable,
            Self::Status { status: 400..=499, .. } => Reason::RequestRejected,
            _ => Reason::Unreachable,
        }
    }

    /// The same for a condition: without texts of the network stack, which change from call to call.
    #[must_use]
    pub fn for_condition(&self) -> String {
        match self {
            Self::Connect(why) if why.contains("certificate") => "its certificate is not trusted".into(),
            Self::Connect(_) => "no connection".into(),
            Self::Transport(_) | Self::Timeout(_) => "no answer".into(),
            Self::Login(kind) => format!("login: {}", kind.for_condition()),
            other => other.to_string(),
        }
    }
}

/// Error bodies: `google.rpc.Status` of the API, and OAuth 2.0 (RFC 6749 §5.2) of the token endpoint.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    message: String,
    error: String,
    error_description: String,
}

/// The message of an error body: cut, without the request id, and nothing at all should it look like a secret.
pub(super) fn message(body: &[u8]) -> String {
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let text = [body.message, body.error, body.error_description]
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(": ");
    let text = text.split(" (request-id:").next().unwrap_or_default();
    if text.contains("secret-token:") || text.contains("eyJ") {
        String::new()
    } else {
        text.chars().take(200).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Error {
        Error { host: "h".into(), operation: "create", kind: ErrorKind::Status { status, message: String::new() } }
    }

    #[test]
    fn only_a_refusal_is_certain() {
        for refused in [400, 401, 403, 404, 409, 422, 499] {
            assert_eq!(status(refused).certainty(), Certainty::NoEffect, "{refused}");
        }
        for unknown in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(status(unknown).certainty(), Certainty::Unknown, "{unknown}");
        }
        assert_eq!(Error { kind: ErrorKind::Connect("refused".into()), ..status(0) }.certainty(), Certainty::NoEffect);
        assert_eq!(Error { kind: ErrorKind::Timeout(Duration::ZERO), ..status(0) }.certainty(), Certainty::Unknown);
    }

    #[test]
    fn a_reason_says_who_has_to_do_something() {
        let login = |status| {
            let kind = ErrorKind::Status { status, message: String::new() };
            Error { host: "h".into(), operation: "list", kind: ErrorKind::Login(Box::new(kind)) }
        };
        assert_eq!(login(404).reason(), Reason::Unauthorized, "no role was asked for");
        assert_eq!(login(503).reason(), Reason::Unreachable);
        assert_eq!(status(404).reason(), Reason::RoleNotFound);
        assert_eq!(status(422).reason(), Reason::RequestRejected);
        assert_eq!(status(401).reason(), Reason::Unauthorized);
        assert_eq!(status(429).reason(), Reason::Throttled);
        assert_eq!(Error { kind: ErrorKind::Paused, ..status(0) }.reason(), Reason::Throttled);
        let credentials = ErrorKind::Credentials("no key".into());
        assert_eq!(Error { kind: credentials, ..status(0) }.reason(), Reason::Unauthorized);
        for passing in [408, 425, 502] {
            assert_eq!(status(passing).reason(), Reason::Unreachable, "{passing}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_named() {
        let connect = |why: &str| ErrorKind::Login(Box::new(ErrorKind::Connect(why.into()))).for_condition();
        assert_eq!(connect("invalid peer certificate: UnknownIssuer"), "login: its certificate is not trusted");
        assert_eq!(connect("connection refused (os error 111)"), "login: no connection");
    }

    #[test]
    fn messages_are_steady_and_hold_no_secret() {
        assert_eq!(message(br#"{"code":5,"message":"not found (request-id: abc)"}"#), "not found");
        assert_eq!(message(br#"{"error":"invalid_client","error_description":"no"}"#), "invalid_client: no");
        assert_eq!(message(b"<html>"), "");
        assert_eq!(message(br#"{"message":"bad secret-token:conductorone.com:v1:abc"}"#), "");
    }
}
