//! `c1-simulator` stands in for a ConductorOne tenant in tests and the demo.
//!
//! A request takes this way: [`server`] reads it, [`exchange`] lets the [`faults`] decide what goes wrong with it,
//! [`api`] answers it out of the [`tenant`], in the words of [`wire`]. The [`admin`] port is how a test looks behind
//! the curtain. Nothing but [`startup`] knows all the parts.
//!
//! [`login`] is the other side: a consumer, which shares nothing with the tenant but the binary.

mod admin;
mod api;
mod app;
mod args;
mod clock;
mod credential;
mod exchange;
mod faults;
mod login;
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

use args::Task;

#[tokio::main]
async fn main() -> ExitCode {
    // Both ring and another provider may be linked into a workspace build; rustls must be told which one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match Task::parse() {
        Task::Tenant(args) => startup::run(*args).await.map(|()| true),
        Task::Login(how) => login::run(&how).await,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE, // said already
        Err(error) => {
            eprintln!("c1-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}
