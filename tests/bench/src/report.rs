//! The table for people, and the JSON for machines.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde::Serialize;
use testkit::audit::Requests;

use crate::{
    Args,
    counts::Count,
    floor::Floor,
    operator::{Idle, Issue, Restart},
};

/// Of the floor's speed.
const AIM_RATIO: f64 = 0.75;
const AIM_RESIDENT_MIB: f64 = 25.0;
const AIM_CPU_SECONDS_PER_1000: f64 = 2.5;

/// All that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many, by each of the two.
    pub objects: u32,
    /// On how many objects the bare client worked at once.
    pub workers: usize,
    /// On how many the operator did; none: its own default.
    pub concurrency: Option<u16>,
    /// How long C1 took for a create.
    pub latency_milliseconds: u32,
    /// How many processes wanted a CPU before it began: speeds are only those of this machine when it was few.
    pub load_average: f64,
    /// The operator's speed, from the start of its process, in units of the floor's.
    pub ratio: f64,
    /// The operator's CPU for a thousand objects.
    pub cpu_seconds_per_1000: f64,
    /// The bare client.
    pub floor: Floor,
    /// The operator issues.
    pub issue: Issue,
    /// It starts over what it issued.
    pub restart: Restart,
    /// Nothing happens.
    pub idle: Idle,
    /// What must be exact.
    pub counts: Vec<Count>,
}

impl Report {
    /// Puts it together.
    pub fn new(
        args: &Args,
        load_average: f64,
        floor: Floor,
        issue: Issue,
        restart: Restart,
        idle: Idle,
        counts: Vec<Count>,
    ) -> Self {
        Self {
            objects: args.objects,
            workers: args.workers,
            concurrency: args.concurrency,
            latency_milliseconds: args.latency,
            load_average,
            ratio: issue.per_second / floor.per_second,
            cpu_seconds_per_1000: issue.cost.usage.cpu_seconds / f64::from(args.objects) * 1000.0,
            floor,
            issue,
            restart,
            idle,
            counts,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { objects, latency_milliseconds, load_average, .. } = self;
        writeln!(
            out,
            "\n{objects} PersonalClients; C1 takes {latency_milliseconds} ms for a create, and no time for other calls; load \
             average before: {load_average:.2}\n"
        )?;
        self.print_speeds(out)?;
        self.print_costs(out)?;
        self.print_requests(out)?;
        self.print_counts(out)
    }

    fn print_speeds(&self, out: &mut impl Write) -> io::Result<()> {
        let (floor, issue) = (&self.floor, &self.issue);
        let workers = format!("bare client, {} at once", self.workers);
        let operator = self.concurrency.map_or("operator".into(), |n| format!("operator, {n} at once"));
        writeln!(out, "{:<44}{:>10}{:>10}", "speed", "seconds", "objects/s")?;
        writeln!(out, "{workers:<44}{:>10.2}{:>10.1}", floor.seconds, floor.per_second)?;
        writeln!(out, "{operator:<44}{:>10.2}{:>10.1}", issue.seconds, issue.per_second)?;
        let from_filled = issue.seconds - issue.filled_seconds;
        writeln!(out, "{:<44}{from_filled:>10.2}{:>10.1}", "  from filled caches", issue.per_second_from_filled)?;
        writeln!(out, "{:<44}{:>20.2}   aim: at least {AIM_RATIO}\n", "ratio to the bare client", self.ratio)
    }

    fn print_costs(&self, out: &mut impl Write) -> io::Result<()> {
        let idle = format!("{} s idle", self.idle.seconds);
        let costs = [&self.issue.cost.usage, &self.restart.cost.usage, &self.idle.cost.usage];
        let row = |values: [f64; 3]| values.map(|value| format!("{value:>10.2}")).concat();
        writeln!(out, "{:<34}{:>10}{:>10}{idle:>10}", "the operator's process", "issue", "restart")?;
        let filled = format!("{:>10.2}{:>10.2}", self.issue.filled_seconds, self.restart.filled_seconds);
        writeln!(out, "{:<34}{filled}", "seconds until its caches are filled")?;
        writeln!(out, "{:<34}{:>20.2}", "seconds until it is quiet", self.restart.quiet_seconds)?;
        writeln!(out, "{:<34}{}", "CPU seconds", row(costs.map(|usage| usage.cpu_seconds)))?;
        let per_1000 = format!("{:>10.2}", self.cpu_seconds_per_1000);
        writeln!(out, "{:<34}{per_1000}{:>20}   aim: at most {AIM_CPU_SECONDS_PER_1000}", "  for 1000", "")?;
        let resident = row(costs.map(|usage| usage.resident_mib));
        writeln!(out, "{:<34}{resident}   aim: at most {AIM_RESIDENT_MIB}", "MiB resident at the end")?;
        writeln!(out, "{:<34}{}\n", "  at the peak", row(costs.map(|usage| usage.peak_mib)))
    }

    fn print_requests(&self, out: &mut impl Write) -> io::Result<()> {
        let costs = [&self.issue.cost, &self.restart.cost, &self.idle.cost];
        let columns = format!("{:>10}{:>10}{:>10}{:>10}", "floor", "issue", "restart", "idle");
        writeln!(out, "{:<34}{columns}", "asked of the API server")?;
        let [issue, restart, idle] = costs.map(|cost| &cost.requests);
        self.print_matrix(out, [&self.floor.requests, issue, restart, idle])?;
        writeln!(out, "asked of C1")?;
        let [issue, restart, idle] = costs.map(|cost| &cost.calls);
        self.print_matrix(out, [&Requests::new(), issue, restart, idle])?;
        writeln!(out)
    }

    /// A row for each request; where every object has its own, for each object.
    fn print_matrix(&self, out: &mut impl Write, columns: [&Requests; 4]) -> io::Result<()> {
        let names: BTreeSet<&String> = columns.iter().flat_map(|column| column.keys()).collect();
        for name in names {
            let cells = columns.map(|column| format!("{:>10}", column.get(name).map_or("-".into(), |n| self.cell(*n))));
            writeln!(out, "  {name:<32}{}", cells.concat())?;
        }
        Ok(())
    }

    fn cell(&self, count: u64) -> String {
        let objects = u64::from(self.objects);
        if count.is_multiple_of(objects) && count > 0 { format!("{} each", count / objects) } else { count.to_string() }
    }

    fn print_counts(&self, out: &mut impl Write) -> io::Result<()> {
        let wrong: Vec<&Count> = self.counts.iter().filter(|count| !count.is_right()).collect();
        for Count { what, wanted, found } in &wrong {
            writeln!(out, "WRONG {what}: {found} instead of {wanted}")?;
        }
        writeln!(out, "{} counts, {} of them wrong", self.counts.len(), wrong.len())
    }
}
