//! The operator: an issue, a restart over what was issued, and a time in which nothing happens.

use std::{collections::BTreeMap, time::Duration};

use c1_operator::plan::status::is_ready;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use testkit::{Namespace, audit::Requests};
use tokio::time::sleep;

use crate::{
    Args,
    bed::{self, Bed},
    process::{self, Usage},
};

/// The write that makes an object Ready.
const RECORD: &str = "patch personalclients/status";
/// Far more than it takes.
const DONE_WITHIN: Duration = Duration::from_mins(10);

/// What was asked meanwhile, and what it took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Of the API server.
    pub requests: Requests,
    /// Of C1, by operation.
    pub calls: BTreeMap<String, u64>,
    /// CPU only of this time, memory at its end.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Objects that were there before the operator started, until all is quiet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// From the start of the process to filled caches.
    pub filled_seconds: f64,
    /// From the start of the process to the last Ready.
    pub seconds: f64,
    /// Objects a second.
    pub per_second: f64,
    /// Objects a second, counted from filled caches.
    pub per_second_from_filled: f64,
    /// How many are Ready.
    pub ready: u64,
    /// How many clients live at C1.
    pub live: u64,
    /// Of all of it.
    #[serde(flatten)]
    pub cost: Cost,
    /// What was asked of the API server for the objects.
    pub requests_for_objects: Requests,
}

/// A start over healthy objects, until all is quiet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// From the start of the process to filled caches.
    pub filled_seconds: f64,
    /// From the start of the process to the last request.
    pub quiet_seconds: f64,
    /// Of all of it.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A time in which nothing happens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// How long.
    pub seconds: u64,
    /// Of all of it.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Issues all.
pub async fn issue(bed: &mut Bed, args: &Args) -> Issue {
    let namespace = Namespace::alone(&bed.kube, "bench").await;
    bed::create(&namespace, args.objects).await;
    let started = bed.start().await;
    bed.audit.until(RECORD, args.objects.into(), DONE_WITHIN).await;
    bed.audit.quiet(DONE_WITHIN).await;
    let last = bed.audit.last(RECORD);
    let cost = cost(bed, 0.0).await;
    let ready = namespace.list().await.iter().filter(|object| object.status.as_ref().is_some_and(is_ready)).count();
    let objects = f64::from(args.objects);
    Issue {
        filled_seconds: seconds(started.at, started.filled),
        seconds: seconds(started.at, last),
        per_second: objects / seconds(started.at, last),
        per_second_from_filled: objects / seconds(started.filled, last),
        ready: ready as u64,
        live: bed.c1.live().await.len() as u64,
        cost,
        requests_for_objects: bed.audit.requests(Some(&namespace.name)),
    }
}

/// Ends it as a kubelet does, and starts it again.
pub async fn restart(bed: &mut Bed) -> Restart {
    bed.operator.terminate().await;
    let started = bed.start().await;
    let quiet = bed.audit.quiet(DONE_WITHIN).await;
    Restart {
        filled_seconds: seconds(started.at, started.filled),
        quiet_seconds: seconds(started.at, quiet),
        cost: cost(bed, 0.0).await,
    }
}

/// Watches it doing nothing.
pub async fn idle(bed: &mut Bed, args: &Args) -> Idle {
    bed.begin().await;
    let before = process::usage(bed.operator.pid().unwrap()).cpu_seconds;
    sleep(Duration::from_secs(args.idle)).await;
    Idle { seconds: args.idle, cost: cost(bed, before).await }
}

async fn cost(bed: &mut Bed, cpu_before: f64) -> Cost {
    let mut usage = process::usage(bed.operator.pid().expect("the operator runs"));
    usage.cpu_seconds -= cpu_before;
    let answers = bed.c1.requests().await.into_iter();
    let calls = answers.map(|(operation, by_status)| (operation, by_status.into_values().sum())).collect();
    Cost { requests: bed.audit.requests(None), calls, usage }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
