//! Logs, metrics, events, and the port that serves health.

mod events;
mod logs;
mod metrics;
pub mod server;

pub use events::Events;
pub use logs::init;
pub use metrics::Metrics;
