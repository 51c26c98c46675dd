//! How fast, how small and how quiet the operator is, beside a bare client that does the same writes: in one run on one
//! control plane (`make bench`). Speeds are printed beside what is aimed at, and not judged; a count that is off fails the
//! run.
//!
//! ```text
//!  floor    the writes of an issue by a bare client
//!  operator the operator: an issue, a restart over what was issued, a time in which nothing happens
//!  bed      what all of them run on: API server, chart, C1 simulator, issuer
//!  process  CPU and memory of the operator; its end
//!  counts   what must be exact
//!  report   the table and the JSON
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a measurement fails that could not be made"
)]

mod bed;
mod counts;
mod floor;
mod operator;
mod process;
mod report;

use std::{fs, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{bed::Bed, report::Report};

/// Measures the operator on the control plane of tests/controlplane/run.sh; the results are also in target/bench.json.
#[derive(Debug, Parser)]
pub struct Args {
    /// How many `PersonalClient`s are issued, by each of the two.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    objects: u32,

    /// How many objects the bare client works on at once.
    #[arg(long, default_value_t = 32)]
    workers: usize,

    /// How many objects the operator works on at once: its own default when absent.
    #[arg(long)]
    concurrency: Option<u16>,

    /// How long C1 takes for a create, in milliseconds; it takes no time for other calls.
    #[arg(long, default_value_t = 20)]
    latency: u32,

    /// For how many seconds nothing happens.
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

impl Args {
    fn latency(&self) -> Duration {
        Duration::from_millis(self.latency.into())
    }
}

// As many threads as the operator has.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    process::end_children_on_panic();
    let report = measure(&args).await;
    fs::write(testkit::cluster::target().join("bench.json"), serde_json::to_vec_pretty(&report).unwrap()).unwrap();
    report.print(&mut std::io::stdout()).unwrap();
    if report.counts.iter().all(counts::Count::is_right) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(args: &Args) -> Report {
    let load_average = process::load_average();
    let mut bed = Bed::make(args).await;
    let sample = bed.warm_up().await;
    let floor = floor::measure(&mut bed, args, &sample).await;
    let issue = operator::issue(&mut bed, args).await;
    let restart = operator::restart(&mut bed).await;
    let idle = operator::idle(&mut bed, args).await;
    bed.operator.terminate().await;
    let counts = counts::all(args.objects, &floor, &issue, &restart, &idle);
    Report::new(args, load_average, floor, issue, restart, idle, counts)
}
