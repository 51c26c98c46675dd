//! What happened in a run, written down by all who take part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::chronicle::{Chronicle, Fault};

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub struct Violation {
    /// When, from the start of the run.
    pub after: Duration,
    /// What, in words.
    pub what: String,
}

/// What happened in a run.
#[derive(Debug)]
pub struct Journal {
    begun: Instant,
    /// The lives of the objects.
    pub chronicle: Mutex<Chronicle>,
    faults: Mutex<Vec<Fault>>,
    hits: Mutex<BTreeMap<String, usize>>,
    violations: Mutex<Vec<Violation>>,
    /// OAuth 2.0 client ids that somebody deleted in C1's console.
    pub deleted_by_hand: Mutex<BTreeSet<String>>,
    lines: Mutex<Vec<String>>,
}

impl Journal {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            chronicle: Mutex::default(),
            faults: Mutex::default(),
            hits: Mutex::default(),
            violations: Mutex::default(),
            deleted_by_hand: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// How long it has been since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes a line.
    pub fn note(&self, line: &str) {
        let line = format!("{:8.3} {line}", self.begun.elapsed().as_secs_f64());
        self.lines.lock().unwrap().push(line);
    }

    /// Something was done that makes no history count: nothing came in the way of an attempt, or it cannot be told of which.
    pub fn hit(&self, kind: &str) {
        *self.hits.lock().unwrap().entry(kind.to_owned()).or_default() += 1;
    }

    /// A fault, which makes each history count in whose way it came.
    pub fn fault(&self, kind: &str, fault: Fault) {
        self.hit(kind);
        self.faults.lock().unwrap().push(fault);
    }

    /// A fault for all from then until now.
    pub fn all_met(&self, kind: &str, from: Instant) {
        self.fault(kind, Fault { from, to: Instant::now(), path: None });
    }

    /// A promise was not kept. The same is said once.
    pub fn violated(&self, what: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.iter().all(|v| v.what != what) {
            self.note(&format!("VIOLATION {what}"));
            violations.push(Violation { after: self.begun.elapsed(), what });
        }
    }

    /// All faults until now.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.lock().unwrap().clone()
    }

    /// How often what went wrong.
    #[must_use]
    pub fn hits(&self) -> BTreeMap<String, usize> {
        self.hits.lock().unwrap().clone()
    }

    /// All promises that were not kept.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.violations.lock().unwrap().clone()
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n") + "\n"
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}
