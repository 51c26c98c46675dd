//! The port that serves `/metrics`, `/livez` and `/readyz`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::{controller::Stores, leader::Leadership};

/// What the port shows.
#[derive(Clone)]
pub struct Served {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The caches: ready once they are filled.
    pub stores: Stores,
    /// A replica that stands by fills none, and is ready for what it is there for.
    pub leadership: Leadership,
}

/// Opens the port.
///
/// # Errors
/// When it is taken.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`.
///
/// # Errors
/// When the port fails.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served);
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    if !served.leadership.is_current() {
        (StatusCode::OK, "standing by")
    } else if served.stores.filled.now() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled")
    }
}

async fn metrics(State(served): State<Served>) -> ([(&'static str, &'static str); 1], String) {
    let states = served.stores.personal_clients.state();
    served.metrics.personal_clients(states.iter().filter_map(|object| object.0.as_ref().ok()?.status.as_ref()));
    served.metrics.leader(served.leadership.is_current());
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], served.metrics.text())
}
