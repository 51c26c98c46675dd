//! Torture (`make torture`): two replicas of the real operator on a real API server and the C1 simulator, 200 objects, and a
//! random history of all that can go wrong, which a seed reproduces; then quiet, and every promise is held against every
//! object. What was written is in target/torture/.
//!
//! ```text
//!  mischief   what can go wrong, and the schedule of a seed
//!  foreign    what must be left alone
//!  stage      API server, C1, two replicas behind proxies, the objects
//!  replica    a process, and the kubelet that starts it again
//!  perform    mischief is done
//!  probe      P1 and P8 all along: logging in with every Secret
//!  chronicle  lives of objects: what is a history, and when it counts
//!  journal    what happened, and what was violated
//!  verdict    every promise, when all is quiet
//!  run        one run from beginning to end
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    reason = "a panic is how a run ends that could not be made; what it found goes to standard output"
)]

mod chronicle;
mod foreign;
mod journal;
mod mischief;
mod perform;
mod probe;
mod replica;
mod run;
mod stage;
mod verdict;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Tortures the operator on the control plane of tests/controlplane/run.sh; results are appended to target/torture.jsonl.
#[derive(Debug, Parser)]
pub struct Args {
    /// How many runs.
    #[arg(long, default_value_t = 1)]
    runs: u64,

    /// Seed of the first run; the next has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many objects.
    #[arg(long, default_value_t = 200)]
    objects: usize,

    /// For how many seconds everything goes wrong.
    #[arg(long, default_value_t = 40)]
    seconds: u64,

    /// A release build of the operator, for the second replica.
    #[arg(long)]
    release: Option<PathBuf>,

    /// Append nothing to target/torture.jsonl.
    #[arg(long)]
    unrecorded: bool,

    /// End with the first run that finds a violation.
    #[arg(long)]
    until_violation: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (mut histories, mut violations) = (0, 0);
    for seed in args.seed..args.seed + args.runs {
        let result = run::run(&args, seed).await;
        println!("{}", result.line());
        if !args.unrecorded {
            result.append();
        }
        histories += result.histories;
        violations += result.violations.len();
        if args.until_violation && violations > 0 {
            break;
        }
    }
    println!("{histories} histories, {violations} violations");
    if violations == 0 && histories > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
