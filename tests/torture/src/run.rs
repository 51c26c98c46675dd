//! One run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use c1_operator::api::PersonalClient;
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use kube::{
    Api, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::{cluster, proxy::Weather};

use crate::{
    Args,
    chronicle::Fault,
    foreign::BLOCKED,
    mischief::{Mischief, Schedule},
    perform::slowly,
    probe::probe,
    stage::{Place, Stage},
};

/// By when the operator must have begun to issue. It has only the weather against it by then.
const ISSUES_WITHIN: Duration = Duration::from_mins(2);

/// What came of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    seed: u64,
    seconds: u64,
    lives: usize,
    /// Lives in which a fault fell between the intent and the record of an attempt.
    pub histories: usize,
    hits: BTreeMap<String, usize>,
    /// What was not kept, in words, and when.
    pub violations: Vec<String>,
}

impl Outcome {
    /// For people.
    #[must_use]
    pub fn line(&self) -> String {
        let hits: Vec<String> = self.hits.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let violations: Vec<String> = self.violations.iter().map(|v| format!("\n  {v}")).collect();
        let (seed, seconds, lives, histories) = (self.seed, self.seconds, self.lives, self.histories);
        format!(
            "seed {seed}: {histories} histories of {lives} lives in {seconds} s; {}{}",
            hits.join(", "),
            violations.concat()
        )
    }

    /// Appends it to target/torture.jsonl.
    pub fn append(&self) {
        let file = cluster::target().join("torture.jsonl");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{}", serde_json::to_string(self).unwrap()).unwrap();
    }
}

/// A run, from an empty cluster to an empty cluster.
pub async fn run(args: &Args, seed: u64) -> Outcome {
    let begun = Instant::now();
    let schedule = Schedule::new(seed, args.objects, Duration::from_secs(args.seconds));
    let stage = Stage::set(args.objects, args.release.as_deref()).await;
    let papers = cluster::target().join(format!("torture/seed-{seed}"));
    let _ = fs::remove_dir_all(&papers);
    fs::create_dir_all(&papers).unwrap();
    fs::write(papers.join("schedule"), format!("{schedule:#?}\n")).unwrap();
    tokio::select! {
        () = stage.play(&schedule) => {}
        () = stage.replicas[0].keep(&stage.journal) => {}
        () = stage.replicas[1].keep(&stage.journal) => {}
        () = watch(&stage) => {}
        () = probe(&stage) => {}
    }
    for hit in stage.replicas.iter().flat_map(|replica| replica.proxy.hits()) {
        let kind = format!("API server: {:?}", hit.trouble);
        stage.journal.fault(&kind, Fault { from: hit.at, to: hit.at, path: Some(hit.path) });
    }
    let (lives, histories) = stage.journal.chronicle.lock().unwrap().count(&stage.journal.faults());
    let Stage { mut world, replicas: [first, second], journal, .. } = stage;
    fs::write(papers.join("journal"), journal.text()).unwrap();
    second.operator.lock().await.kill().await;
    world.operator = first.operator.into_inner();
    // The end of a world takes its files away.
    fs::copy(world.dir.join("operator.log"), papers.join("operator.log")).unwrap();
    if !journal.violations().is_empty() {
        println!("seed {seed}: schedule, journal and log are in {}", papers.display());
    }
    // It panics with all that is wrong: a secret in a log, a status that GitOps tools misunderstand.
    let last = AssertUnwindSafe(world.finish()).catch_unwind().await;
    let mut violations: Vec<String> =
        journal.violations().iter().map(|v| format!("after {:.1} s: {}", v.after.as_secs_f64(), v.what)).collect();
    if let Err(panic) = last {
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "the end failed".to_owned());
        violations.push(format!("in the end: {words}"));
    }
    Outcome { seed, seconds: begun.elapsed().as_secs(), lives, histories, hits: journal.hits(), violations }
}

impl Stage {
    /// Everything that happens to the objects, from the first create to the last delete.
    async fn play(&self, schedule: &Schedule) {
        self.world.c1.faults(self.c1_faults(schedule)).await;
        for (replica, seed) in self.replicas.iter().zip(schedule.weather) {
            let longest_delay = Duration::from_millis(300);
            replica.proxy.weather(Weather { delayed: 0.1, longest_delay, refused: 0.05, cut: 0.04, lost: 0.08, seed });
        }
        for object in 0..self.objects() {
            let place = self.place(object);
            self.create(&place).await;
        }
        for namespace in &self.namespaces {
            self.create(&Place { namespace: namespace.name.clone(), name: BLOCKED.into() }).await;
        }
        let begun = self.first_attempt().await;
        let mut underway = FuturesUnordered::new();
        for (at, mischief) in &schedule.events {
            underway.push(self.later(*at, mischief.clone(), begun));
        }
        while underway.next().await.is_some() {}
        drop(underway);
        self.calm().await;
        self.judge().await;
    }

    /// Waits until the operator issues, and returns when: mischief that is over before a slow machine has a leader meets no attempt.
    async fn first_attempt(&self) -> Instant {
        let deadline = Instant::now() + ISSUES_WITHIN;
        while !self.journal.chronicle.lock().unwrap().has_begun() {
            assert!(Instant::now() < deadline, "no attempt in {ISSUES_WITHIN:?}: does the operator run?");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.journal.note("the first attempt is open");
        Instant::now()
    }

    async fn later(&self, at: Duration, mischief: Mischief, begun: Instant) {
        tokio::time::sleep((begun + at).saturating_duration_since(Instant::now())).await;
        self.perform(&mischief).await;
    }

    /// The rules of C1 for this schedule, each once.
    fn c1_faults(&self, schedule: &Schedule) -> Value {
        let slow = json!({"kind": "latency", "seconds": 1.5, "when": "after"});
        let reissues = schedule.events.iter().filter_map(|(_, what)| match what {
            Mischief::PauseInReissue(object) => Some((slowly(*object), slow.clone(), 1)),
            _ => None,
        });
        let faults = schedule.faults.iter().map(|(object, nth, fault)| {
            let place = self.place(*object);
            (format!("/{}/{} ", place.namespace, place.name), fault.clone(), *nth)
        });
        let rules = reissues.chain(faults).map(|(name, fault, nth)| {
            json!({"operation": "create", "nth": nth, "times": 1, "fault": fault, "displayNameContains": name})
        });
        Value::Array(rules.collect())
    }
}

/// Writes down the lives of the objects.
async fn watch(stage: &Stage) {
    let api: Api<PersonalClient> = Api::all(stage.world.kube.clone());
    let mut changes = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(change) = changes.next().await {
        let mut chronicle = stage.journal.chronicle.lock().unwrap();
        match change {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                chronicle.see(&object, Instant::now());
            }
            Ok(watcher::Event::Delete(object)) => chronicle.gone(&object.uid().unwrap_or_default(), Instant::now()),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
    }
}
