//! A tenant, and sessions with it.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use c1_operator::{
    c1::{Auth, CallObserver, CreateRequest, Created, Deadlines, ErrorKind, Session, Settings},
    clock::SystemClock,
};
use serde_json::Value;
use testkit::Simulator;

/// What the observer was told: operation and status.
#[derive(Default)]
pub struct Told(Mutex<Vec<(&'static str, u16)>>);

impl CallObserver for Told {
    fn called(&self, operation: &'static str, status: u16, _: Duration) {
        self.0.lock().unwrap().push((operation, status));
    }
}

impl Told {
    pub fn take(&self) -> Vec<(&'static str, u16)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A tenant of one's own; its directory goes with it.
pub struct Bed {
    pub c1: Simulator,
    pub told: Arc<Told>,
    dir: PathBuf,
}

impl Bed {
    pub async fn new(flags: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("c1-{}-{number}", std::process::id()));
        let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        Self { c1: Simulator::launch_forgetful(&dir, &flags).await, told: Arc::default(), dir }
    }

    pub fn oauth(&self) -> Auth {
        Auth::OAuth { client_id: self.c1.client_id.clone(), secret: self.c1.client_secret.clone().into() }
    }

    /// What a session with this tenant needs, as its first user.
    pub fn settings(&self) -> Settings {
        Settings {
            base: self.c1.url.clone(),
            host: self.c1.host.clone(),
            ca: Some(fs::read(&self.c1.ca_file).unwrap()),
            auth: self.oauth(),
            deadlines: Deadlines { create: Duration::from_secs(30), call: Duration::from_secs(20) },
            clock: Arc::new(SystemClock),
            observer: self.told.clone(),
        }
    }

    pub fn session(&self) -> Session {
        self.session_with(|_| {})
    }

    pub fn session_with(&self, change: impl FnOnce(&mut Settings)) -> Session {
        let mut settings = self.settings();
        change(&mut settings);
        Session::new(settings).map_err(|e| e.to_string()).unwrap()
    }

    /// How often the tenant was asked for this.
    pub async fn asked(&self, operation: &str) -> u64 {
        self.c1.requests().await.get(operation).map_or(0, |statuses| statuses.values().sum())
    }

    /// One rule.
    pub async fn fault(&self, rule: Value) {
        self.c1.faults(Value::Array(vec![rule])).await;
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn request(name: &str) -> CreateRequest {
    CreateRequest { display_name: name.into(), expires: None, scoped_roles: vec![], allow_source_cidr: vec![] }
}

pub async fn made(session: &Session, name: &str) -> Created {
    session.create(&request(name)).await.unwrap()
}

/// The status of a refusal.
pub fn status(kind: &ErrorKind) -> Option<u16> {
    match kind {
        ErrorKind::Status { status, .. } => Some(*status),
        _ => None,
    }
}
