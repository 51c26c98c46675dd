//! `c1-simulator` stands in for a ConductorOne tenant in tests and the demo.
//!
//! A request takes this way: [`server`] reads it, [`exchange`] lets the [`faults`] decide what goes wrong with it,
//! [`api`] answers it out of the [`tenant`], in the words of [`wire`]. The [`admin`] port is how a test looks behind
//! the curtain. Nothing but [`startup`] knows all the parts.

mod admin;
mod api;
mod app;
mod args;
mod clock;
mod credential;
mod exchange;
mod faults;
mod random;
mod route;
mod secrets_file;
mod server;
mod startup;
mod state_file;
mod switches;
mod tally;
mod tenant;
mod tls;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    // Both ring and another provider may be linked into a workspace build; rustls must be told which one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match startup::run(args::Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("c1-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}
