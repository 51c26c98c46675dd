//! A replica of the operator, and the kubelet that starts it again whenever it has ended.

use std::{
    os::unix::process::ExitStatusExt as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use testkit::{Operator, proxy::ApiProxy};

use crate::journal::Journal;

const SIGKILL: i32 = 9;
const RESTARTED_AFTER: Duration = Duration::from_millis(200);

/// One of the two.
pub struct Replica {
    /// The process.
    pub operator: tokio::sync::Mutex<Operator>,
    /// What is between it and the API server.
    pub proxy: ApiProxy,
    /// Where it is to kill itself in its next life.
    pub die_at: Mutex<Option<String>>,
    /// Where it is to kill itself in this one.
    dies_at: Mutex<Option<String>>,
    paused: AtomicBool,
}

impl Replica {
    /// Not started yet.
    #[must_use]
    pub fn new(operator: Operator, proxy: ApiProxy) -> Self {
        Self {
            operator: tokio::sync::Mutex::new(operator),
            proxy,
            die_at: Mutex::default(),
            dies_at: Mutex::default(),
            paused: AtomicBool::new(false),
        }
    }

    /// Starts it again whenever it has ended.
    pub async fn keep(&self, journal: &Journal) {
        loop {
            let seen_alive = Instant::now();
            tokio::time::sleep(RESTARTED_AFTER).await;
            let mut operator = self.operator.lock().await;
            if operator.is_alive() {
                continue;
            }
            let dies_at = self.dies_at.lock().unwrap().take();
            if let Some(point) = dies_at
                && operator.ended().await.signal() == Some(SIGKILL)
            {
                journal.note(&format!("died {point}"));
                journal.all_met("fault point", seen_alive);
            }
            let point = self.die_at.lock().unwrap().take();
            operator.start(point.as_deref());
            *self.dies_at.lock().unwrap() = point;
        }
    }

    /// Waits until its next life has begun, in which it is to die somewhere; not long, for it may be kept from it.
    pub async fn begun_anew(&self) {
        for _ in 0..100 {
            if self.die_at.lock().unwrap().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether it leads, as far as it says so.
    pub async fn leads(&self) -> bool {
        if self.paused.load(Ordering::Relaxed) {
            return false;
        }
        let operator = self.operator.lock().await;
        let metrics = operator.try_metrics().await.unwrap_or_default();
        metrics.lines().any(|line| line.starts_with("c1_operator_leader") && line.ends_with(" 1"))
    }

    /// SIGKILL.
    pub async fn kill(&self) {
        let mut operator = self.operator.lock().await;
        // It does not come to its fault point any more.
        *self.dies_at.lock().unwrap() = None;
        operator.kill().await;
    }

    /// SIGTERM, if it runs.
    pub async fn terminate(&self) {
        let operator = self.operator.lock().await;
        if operator.is_alive() && !self.paused.load(Ordering::Relaxed) {
            operator.signal("TERM").await;
        }
    }

    /// Stops it, if it runs and is not stopped; whether it did.
    pub async fn pause(&self) -> bool {
        let operator = self.operator.lock().await;
        let pauses = operator.is_alive() && !self.paused.swap(true, Ordering::Relaxed);
        if pauses {
            operator.signal("STOP").await;
        }
        pauses
    }

    /// Lets it go on.
    pub async fn go_on(&self) {
        let operator = self.operator.lock().await;
        if operator.is_alive() {
            operator.signal("CONT").await;
        }
        self.paused.store(false, Ordering::Relaxed);
    }
}
