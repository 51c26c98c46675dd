//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::switches::Switches;

/// What to be.
pub enum Task {
    /// The tenant.
    Tenant(Box<Args>),
    /// One of its consumers.
    Login(Login),
}

impl Task {
    /// From the command line; ends the process when that is wrong.
    pub fn parse() -> Self {
        let command = Args::command().subcommand(Login::command());
        let matches = command.args_conflicts_with_subcommands(true).subcommand_negates_reqs(true).get_matches();
        let task = match matches.subcommand() {
            Some((_, matches)) => Login::from_arg_matches(matches).map(Self::Login),
            None => Args::from_arg_matches(&matches).map(Box::new).map(Self::Tenant),
        };
        task.unwrap_or_else(|error| error.exit())
    }
}

/// Log in at a tenant with the credential in the environment, and say in one line of JSON who that is
#[derive(Debug, Parser)]
#[command(name = "login")]
pub struct Login {
    /// Again each second until SIGTERM, whatever comes of it
    #[arg(long)]
    pub repeat: bool,
}

/// Stands in for a C1 tenant: real HTTP over TLS, real OAuth, a ledger, and faults on demand.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Where the tenant listens (HTTPS)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Where the admin port listens (plain HTTP, no authentication: keep it on loopback)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,

    /// Host of the tenant as written in client ids, with a port if it is not 443; by default localhost and the
    /// port of --listen
    #[arg(long, value_name = "NAME[:PORT]")]
    pub host: Option<String>,

    /// Where ca.pem and ca.key are written; those already there are used again
    #[arg(long)]
    pub dir: PathBuf,

    /// Keeps users, roles and clients over a restart (never private keys; access tokens die with the process)
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// For tests: every client secret and access token ever made, delivered or not, one a line
    #[arg(long, value_name = "FILE")]
    pub secrets_file: Option<PathBuf>,

    /// What is only assumed of C1, each way
    #[command(flatten)]
    pub switches: Switches,
}
