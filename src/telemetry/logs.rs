//! Logs, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::args::LogFormat;

/// Appended to whatever the user asks for. At WARN this part of the client logs bodies that it cannot parse, and a body may
/// be a Secret. The verifier logs each certificate that it refuses at ERROR; the issuer's condition says that.
const NEVER: &str = "kube_client::client=error,rustls_platform_verifier=off";

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
        LogFormat::Text => {
            let stderr = std::io::stderr;
            registry.with(fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr)).try_init()?;
        }
    }
    Ok(())
}
