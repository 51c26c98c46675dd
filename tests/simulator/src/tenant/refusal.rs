//! Why the tenant says no.

use std::fmt;

/// A refusal; the wire turns it into a gRPC code and an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request makes no sense.
    InvalidArgument(String),
    /// It makes sense, but not here and now.
    FailedPrecondition(String),
    /// There is no such thing, or none that the caller may see.
    NotFound,
    /// The caller is known and may not.
    PermissionDenied(String),
    /// The caller is not known.
    Unauthenticated,
}

impl Refusal {
    /// The request makes no sense, because of this.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument(message.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(message) | Self::FailedPrecondition(message) | Self::PermissionDenied(message) => {
                f.write_str(message)
            }
            Self::NotFound => f.write_str("not found"),
            Self::Unauthenticated => f.write_str("unauthenticated"),
        }
    }
}
