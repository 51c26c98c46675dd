//! A year (`make year`): many objects with a lifetime of 30 days live through it on a real API server and the C1 simulator, with
//! a clock that goes in steps of nearly one overlap. At each step a probe logs in with every current Secret, and with what was in
//! it nearly one overlap ago, as a consumer that rereads its Secret once an overlap; and C1's clients are counted. Every second
//! consumer also uses all along what it has. The others do not touch what was replaced before the overlap is nearly over: nothing
//! but the overlap keeps it alive.
//!
//! ```text
//!  stage  API server, C1, the operator with the rights of the chart, the objects
//!  probe  logging in as the consumers do
//!  rest   when all that a step has brought is done
//!  cost   what a rotation asks of the API server and of C1
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a run ends that could not be made; what it found goes to standard output"
)]

mod cost;
mod probe;
mod rest;
mod stage;

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use clap::Parser;
use testkit::SecretData;

use crate::{cost::Cost, probe::Probe, stage::Stage};

const HOUR: i64 = 3600;
/// How long a replaced credential works on.
const OVERLAP: i64 = 72 * HOUR;
/// How far the clock goes at once. An hour is left for what a step takes.
const STEP: i64 = OVERLAP - HOUR;
/// Of a credential, so that there are as many rotations as an operator meets in a year.
const LIFETIME: i64 = 30 * 24 * HOUR;

/// Lets a year pass on the control plane of tests/controlplane/run.sh.
#[derive(Debug, Parser)]
struct Args {
    /// How many objects.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    crs: u32,

    /// How many days.
    #[arg(long, default_value_t = 365)]
    days: i64,
}

/// Those whose consumers use what they have all along: every second.
fn busy(secrets: &BTreeMap<String, SecretData>) -> BTreeMap<String, SecretData> {
    secrets.iter().step_by(2).map(|(name, secret)| (name.clone(), secret.clone())).collect()
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let mut stage = Stage::make(args.crs).await;
    let mut probe = Probe::default();
    let steps = (args.days * 24 * HOUR + STEP - 1) / STEP;
    let mut cost = Cost::begin(&mut stage).await;
    let mut read = stage.secrets().await;
    for step in 1..=steps {
        let current = stage.secrets().await;
        stage.clock.advance(&stage.c1, STEP).await;
        // Before the operator has done anything, or while it does.
        probe.log_in(&stage, &format!("step {step}, read before it"), &busy(&current)).await;
        rest::until_done(&stage).await;
        // What the step before has replaced was replaced a step ago; whatever the operator ends now has ended.
        probe.log_in(&stage, &format!("step {step}, read an overlap before"), &read).await;
        probe.log_in(&stage, &format!("step {step}, current"), &stage.secrets().await).await;
        probe.log_in(&stage, &format!("step {step}, read before it, at its end"), &busy(&current)).await;
        read = current;
    }
    cost.end(&mut stage, &probe).await;
    stage.end().await;
    println!(
        "{} objects, {} days in {steps} steps of {} h, lifetime {} days, {:.0} s",
        args.crs,
        args.days,
        STEP / HOUR,
        LIFETIME / 24 / HOUR,
        began.elapsed().as_secs_f64()
    );
    cost.print(args.crs);
    for failure in probe.failures.iter().take(20) {
        println!("FAILED: {failure}");
    }
    println!("{} rotations, {} logins, {} failures", cost.rotations, probe.logins, probe.failures.len());
    // A year in which nothing was rotated has shown nothing.
    let enough = cost.rotations >= u64::from(args.crs) * (args.days * 24 * HOUR / LIFETIME).unsigned_abs();
    if probe.failures.is_empty() && enough { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
