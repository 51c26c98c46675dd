//! What can keep a reconcile from its decision. Outcomes are no errors: they are in status.

use std::time::Duration;

use thiserror::Error;

/// A reconcile that could not decide or do its step.
#[derive(Debug, Error)]
pub enum Error {
    /// A call to the API server failed.
    #[error("{action} {object}: {source}")]
    Kubernetes {
        /// What was attempted.
        action: &'static str,
        /// On what.
        object: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// A call to the API server took too long.
    #[error("{action} {object}: no answer within {within:?}")]
    Timeout {
        /// What was attempted.
        action: &'static str,
        /// On what.
        object: String,
        /// The deadline.
        within: Duration,
    },
    /// A call to C1 failed.
    #[error(transparent)]
    C1(#[from] crate::c1::Error),
    /// A Secret could not be written as the template says.
    #[error("Secret of {object}: {message}")]
    Secret {
        /// Whose.
        object: String,
        /// What went wrong.
        message: String,
    },
    /// The task that worked on the object ended early: the process is shutting down, or it panicked.
    #[error("the transaction on {0} did not end")]
    Task(String),
    /// What was found did not become clear after several looks.
    #[error("{0} keeps changing while it is looked at")]
    Restless(String),
}

/// No call to the API server may hang in a dead connection.
pub const API_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a call to the API server under a deadline, and says what it was about should it fail.
///
/// # Errors
/// When the call fails or takes too long.
pub async fn kubernetes<T>(
    action: &'static str,
    object: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(API_DEADLINE, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Kubernetes { action, object: object.into(), source: Box::new(source) }),
        Err(_) => Err(Error::Timeout { action, object: object.into(), within: API_DEADLINE }),
    }
}

impl Error {
    /// A short name for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Timeout { .. } => "timeout",
            Self::C1(_) => "c1",
            Self::Secret { .. } => "secret",
            Self::Task(_) => "task",
            Self::Restless(_) => "restless",
        }
    }

    /// The API server's own answer, where it gave one.
    #[must_use]
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Kubernetes { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}
