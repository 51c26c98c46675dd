//! `make model`: checks the protocol exhaustively, within bounds, and shows that the check can fail.
//!
//! The shipped [`c1_operator::plan`] and its transactions run on an abstract API server, an abstract C1, and in an environment
//! that may do its worst between any two effects. What is abstracted, and how far it goes: `docs/protocol.md`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program whose output is its result")]

mod act;
mod api_server;
mod c1;
mod checks;
mod events;
mod look;
mod memo;
mod model;
mod ownership;
mod perform;
mod print;
mod promises;
mod replica;
mod rest;
mod rules;
mod situations;
mod starts;
mod story;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use checks::{Check, LARGE, SMALL, WITHOUT, WITHOUT_LARGE, Without};
use clap::{Parser, Subcommand};
use events::{EVENTS, Event};
use model::{Bounds, Protocol};
use rest::Known;
use rules::Rules;
use situations::Situation;
use starts::Start;
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};
use world::Left;

/// Values are cloned for every state, which is most of the work: C's own allocator takes a third of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Checks the protocol.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Where the counterexamples are written that appear without a rule.
    #[arg(long, global = true)]
    traces: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Everything: an hour and a half on two cores, and two gigabytes.
    All,
    /// What `make test` checks.
    Small,
    /// Of the large worlds those whose name contains this.
    Worlds {
        /// Part of the name.
        name: String,
    },
    /// Only what is shown without each rule, or without one.
    Without {
        /// Which.
        rule: Option<String>,
    },
    /// One world.
    One {
        /// Faults and interventions on a path.
        #[arg(long, default_value_t = 1)]
        events: u8,
        /// Times that time passes on a path.
        #[arg(long, default_value_t = 2)]
        ticks: u8,
        /// Backups taken on a path.
        #[arg(long, default_value_t = 0)]
        backups: u8,
        /// Replicas.
        #[arg(long, default_value_t = 1)]
        replicas: usize,
        /// How it begins.
        #[arg(long, value_enum, default_value = "new")]
        start: Start,
        /// Only faults, no interventions.
        #[arg(long)]
        faults_only: bool,
        /// Only these interventions, and no faults.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Event>,
        /// A shortest counterexample, in which replicas keep their names: more states, and all of them in memory.
        #[arg(long)]
        shortest: bool,
    },
}

/// In which order states are tried.
#[derive(Debug, Clone, Copy)]
enum Search {
    Deep,
    Shortest,
}

/// What was found.
#[derive(Debug, Default)]
struct Summary {
    states: usize,
    violated: bool,
    caught: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let search = match args.what {
        What::One { shortest: true, .. } => Search::Shortest,
        _ => Search::Deep,
    };
    let (checks, without): (Vec<Check>, Vec<Without>) = match &args.what {
        What::All => ([SMALL, LARGE].concat(), [WITHOUT, WITHOUT_LARGE].concat()),
        What::Small => (SMALL.to_vec(), WITHOUT.to_vec()),
        What::Worlds { name } => {
            (LARGE.iter().filter(|check| check.name.contains(name.as_str())).copied().collect(), vec![])
        }
        What::Without { rule } => return only_without(rule.as_deref(), args.traces.as_deref()),
        What::One { events, ticks, backups, replicas, start, faults_only, only, shortest: _ } => {
            let left = Left { events: *events, ticks: *ticks, backups: *backups };
            let (interventions, faults): (&[Event], bool) = match only.as_slice() {
                [] if *faults_only => (&[], true),
                [] => (EVENTS, true),
                only => (only.to_vec().leak(), false),
            };
            let starts = starts::STARTS.iter().position(|s| s == start).map_or(&[][..], |i| &starts::STARTS[i..=i]);
            let bounds = Bounds { replicas: *replicas, starts, left, faults, interventions };
            (vec![Check { name: "one world", bounds }], vec![])
        }
    };
    // Where a rule is left out nothing must break with it; in small worlds that is left to the large ones.
    let baselines = if matches!(args.what, What::All) { baselines(&checks, &without) } else { vec![] };
    let mut summary = Summary::default();
    for check in checks.iter().chain(&baselines) {
        let (states, violation) = exhaust(check, search);
        summary.states += states;
        summary.violated |= violation;
    }
    let missing = situations::missing();
    for without in &without {
        summary.caught += usize::from(shows(without, args.traces.as_deref()));
    }
    if matches!(args.what, What::All) {
        for situation in &missing {
            println!("never met: {situation}");
        }
    }
    println!(
        "states {}, exhaustive {}, situations {}/{}, guards {}/{} caught",
        summary.states,
        if summary.violated { "no" } else { "yes" },
        Situation::ALL.len() - missing.len(),
        Situation::ALL.len(),
        summary.caught,
        without.len(),
    );
    // Small worlds need not meet everything.
    let complete = !matches!(args.what, What::All) || missing.is_empty();
    if !summary.violated && complete && summary.caught == without.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The worlds in which rules are left out, and that no check tries.
fn baselines(checks: &[Check], without: &[Without]) -> Vec<Check> {
    let mut found: Vec<Check> = vec![];
    for bounds in without.iter().map(|without| without.bounds) {
        if checks.iter().chain(&found).all(|check| check.bounds != bounds) {
            found.push(Check { name: "where a rule is left out, with all of them", bounds });
        }
    }
    found
}

fn only_without(rule: Option<&str>, traces: Option<&Path>) -> ExitCode {
    let mut all = true;
    for without in WITHOUT.iter().chain(WITHOUT_LARGE).filter(|w| rule.is_none_or(|rule| rule == w.rule)) {
        all &= shows(without, traces);
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn checker(bounds: Bounds, rules: Rules, nameless: bool) -> CheckerBuilder<Protocol> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let protocol = Protocol { bounds, rules, nameless, known: Known::default() };
    protocol.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures)
}

/// Tries everything within bounds, with all rules: how many states there are, and whether a promise is broken in one.
fn exhaust(check: &Check, search: Search) -> (usize, bool) {
    match search {
        // Depth first, which keeps few states in memory.
        Search::Deep => report(check, &|| checker(check.bounds, Rules::ALL, true).spawn_dfs().join()),
        Search::Shortest => report(check, &|| checker(check.bounds, Rules::ALL, false).spawn_bfs().join()),
    }
}

fn report<C: Checker<Protocol>>(check: &Check, run: &dyn Fn() -> C) -> (usize, bool) {
    let begun = Instant::now();
    let checker = run();
    let violation = first_violation(&checker, &Rules::ALL);
    println!(
        "{}: {} states, {} transitions, at most {} deep, {:.1} s",
        check.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64(),
    );
    if let Some(story) = &violation {
        println!("{story}");
    }
    (checker.unique_state_count(), violation.is_some())
}

/// Whether a promise is broken when the rule is left out; the counterexample is a shortest one.
fn shows(without: &Without, traces: Option<&Path>) -> bool {
    let begun = Instant::now();
    let mut rules = Rules::ALL;
    (without.off)(&mut rules);
    let checker = checker(without.bounds, rules, false).spawn_bfs().join();
    let story = first_violation(&checker, &rules);
    let (states, seconds) = (checker.unique_state_count(), begun.elapsed().as_secs_f64());
    match (&story, traces) {
        (None, _) => println!("without {}: NOTHING breaks in {states} states, {seconds:.1} s", without.rule),
        (Some(_), None) => println!("without {}: caught after {states} states, {seconds:.1} s", without.rule),
        (Some(story), Some(traces)) => {
            let file = traces.join(format!("{}.txt", without.rule));
            fs::create_dir_all(traces).and_then(|()| fs::write(&file, story)).expect("the traces can be written");
            println!("without {}: caught, {}", without.rule, file.display());
        }
    }
    story.is_some()
}

/// A broken promise, told as the story that leads to it.
fn first_violation(checker: &impl Checker<Protocol>, rules: &Rules) -> Option<String> {
    let (name, path) = checker.discoveries().into_iter().next()?;
    let steps = path.into_vec();
    let mut lines = vec![format!("broken: {name}")];
    lines.extend(steps.iter().filter_map(|(state, action)| action.map(|action| state.tell(action))));
    let (last, _) = steps.last()?;
    if let Some(broken) = last.broken {
        lines.push(format!("=> {broken}"));
    } else {
        let rest = rest::tell(last, rules);
        if !rest.is_empty() {
            lines.push("-- and with no further faults:".into());
            lines.extend(rest);
        }
    }
    Some(lines.join("\n  "))
}
