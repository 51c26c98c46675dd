//! `make model`: checks the protocol exhaustively, within bounds, and shows that the check can fail.
//!
//! The shipped [`c1_operator::plan`] and its transactions run on an abstract API server, an abstract C1, and in an environment
//! that may do its worst between any two effects. What is abstracted, and how far it goes: `docs/protocol.md`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program whose output is its result")]

mod model;
mod print;
mod promises;
mod replica;
mod rest;
mod situations;
mod world;

use std::{process::ExitCode, time::Instant};

use c1_operator::plan::Guards;
use clap::Parser;
use model::{Bounds, Protocol};
use rest::Known;
use stateright::{Checker, HasDiscoveries, Model};
use world::Left;

/// Checks the protocol.
#[derive(Debug, Parser)]
struct Args {
    /// Faults and interventions on a path.
    #[arg(long, default_value_t = 2)]
    events: u8,
    /// Times that time passes on a path.
    #[arg(long, default_value_t = 2)]
    ticks: u8,
    /// Backups taken on a path.
    #[arg(long, default_value_t = 0)]
    backups: u8,
    /// Replicas.
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Only faults, no interventions.
    #[arg(long)]
    faults_only: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let left = Left { events: args.events, ticks: args.ticks, backups: args.backups };
    let bounds = Bounds { replicas: args.replicas, left, faults: true, interventions: !args.faults_only };
    let begun = Instant::now();
    let checker = Protocol { bounds, guards: Guards::ALL, known: Known::default() }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    println!(
        "states {}, unique {}, depth {}, {:?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
    let mut failed = false;
    for (name, path) in checker.discoveries() {
        failed = true;
        println!("--- {name}");
        let steps: Vec<_> = path.into_vec();
        for (state, action) in &steps {
            if let Some(action) = action {
                println!("  {}", state.tell(*action));
            }
        }
        if let Some((state, _)) = steps.last() {
            println!("  -- with no further faults:");
            for line in rest::tell(state, &Guards::ALL) {
                println!("  {line}");
            }
            println!("  => {:?}", state.broken);
        }
    }
    println!("missing: {:?}", situations::missing());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
