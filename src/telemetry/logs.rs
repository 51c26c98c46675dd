//! Logs, to standard error.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::args::LogFormat;

/// Appended to whatever the user asks for: at WARN this part of the client logs bodies that it cannot parse, and a body may
/// be a Secret.
const NEVER: &str = "kube_client::client=error";

/// Starts logging.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(filter: &str, format: LogFormat) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::builder().parse(format!("{filter},{NEVER}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_current_span(false).with_span_list(false).with_writer(std::io::stderr))
            .try_init()?,
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()?,
    }
    Ok(())
}
