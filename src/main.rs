//! The operator's binary.

use std::{io::Write, process::ExitCode};

use c1_operator::{
    api::crds,
    args::{Cli, Command},
    runtime, telemetry,
};
use clap::Parser;
use kube::ResourceExt;

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "c1-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    match cli.command {
        Command::Crds { dir } => {
            for crd in crds()? {
                let yaml = serde_saphyr::to_string(&crd)?;
                match &dir {
                    Some(dir) => std::fs::write(dir.join(format!("{}.yaml", crd.spec.names.plural)), yaml)?,
                    None => writeln!(std::io::stdout(), "---\n# {}\n{yaml}", crd.name_any())?,
                }
            }
            Ok(())
        }
        Command::Run(args) => {
            telemetry::init(&args.log_level, args.log_format)?;
            rustls::crypto::ring::default_provider()
                .install_default()
                .map_err(|_| "the TLS provider was installed already")?;
            // What it does is waiting, and one thread does that with less memory and less handing over.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(runtime::run(*args))?)
        }
    }
}
