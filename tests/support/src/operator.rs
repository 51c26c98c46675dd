//! The operator as a process of its own, under its own ServiceAccount.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use reqwest::Client;
use tokio::process::{Child, Command};

use crate::{
    cluster, eventually,
    wait::{operator_log_tail, show_log},
};

const READY_WITHIN: Duration = Duration::from_secs(30);
const KILLED_WITHIN: Duration = Duration::from_mins(1);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const SIGKILL: i32 = 9;

/// The operator's process, through all its lives. Dropping it ends the process.
pub struct Operator {
    /// `http://127.0.0.1:PORT`: /metrics, /livez, /readyz.
    pub url: String,
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    log: PathBuf,
    child: Option<Child>,
    http: Client,
}

impl Operator {
    pub(crate) fn new(listen: &str, args: Vec<String>, env: BTreeMap<String, String>, dir: &Path) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self {
            url: format!("http://{listen}"),
            program: cluster::program("c1-operator"),
            args,
            env,
            log: dir.join("operator.log"),
            child: None,
            http,
        }
    }

    /// Starts the process, which must not run. With a fault point it kills itself there.
    pub fn start(&mut self, fault_point: Option<&str>) {
        assert!(!self.is_alive(), "the operator runs already");
        show_log(&self.log);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env);
        if let Some(point) = fault_point {
            command.env(c1_operator::fault::VARIABLE, point);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().unwrap());
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// From its next start on it is this build of the operator: a release build kills itself at no fault point.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// From its next start on it reaches the API server as this kubeconfig says.
    pub(crate) fn set_kubeconfig(&mut self, file: &Path) {
        self.env.insert("KUBECONFIG".to_owned(), file.display().to_string());
    }

    /// Gives the flag of this name this value from its next start on.
    pub fn set_flag(&mut self, name: &str, value: &str) {
        let prefix = format!("{name}=");
        self.args.retain(|arg| !arg.starts_with(&prefix));
        self.args.push(prefix + value);
    }

    /// Another process like this one, not started yet, that listens elsewhere.
    pub(crate) fn twin(&self, listen: &str) -> Self {
        let mut args = self.args.clone();
        args.push(format!("--listen={listen}"));
        args.retain(|arg| !arg.starts_with("--listen=") || arg.ends_with(listen));
        Self {
            url: format!("http://{listen}"),
            program: self.program.clone(),
            args,
            env: self.env.clone(),
            log: self.log.clone(),
            child: None,
            http: self.http.clone(),
        }
    }

    /// Whether the process runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let stat = self.pid().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
        // The state stands after the program's name; Z has ended and is not waited for yet.
        stat.is_some_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z')))
    }

    /// The process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Waits until the process ended by SIGKILL, which is how it ends at a fault point. False when it did not within a minute:
    /// the point was not reached.
    pub async fn killed(&mut self) -> bool {
        let child = self.child.as_mut().expect("the operator was started");
        let Ok(ended) = tokio::time::timeout(KILLED_WITHIN, child.wait()).await else { return false };
        let status = ended.unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "the operator ended by itself, {status}\n{}", operator_log_tail());
        true
    }

    /// SIGKILL, as a node that loses power.
    pub async fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.start_kill();
            child.wait().await.unwrap();
        }
    }

    /// SIGTERM, as a kubelet that ends a pod. Panics when the process is still there after half a minute.
    pub async fn terminate(&mut self) -> ExitStatus {
        if self.pid().is_some() {
            self.signal("TERM").await;
        }
        self.ended().await
    }

    /// A signal by its name: `STOP`, `CONT`.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().expect("the operator runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// How the process ended. Panics when it is still there after half a minute.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the operator was started");
        let ended = tokio::time::timeout(STOPPED_WITHIN, child.wait()).await;
        let Ok(status) = ended else { panic!("the operator does not stop\n{}", operator_log_tail()) };
        status.unwrap()
    }

    /// All that it ever wrote to standard output and standard error, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let answer = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    /// What `/metrics` says, if it answers.
    pub async fn try_metrics(&self) -> Option<String> {
        self.http.get(format!("{}/metrics", self.url)).send().await.ok()?.text().await.ok()
    }

    /// The sum of all samples of a metric whose labels contain each of `labels` (`reason="Issued"`); none: it is not there.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = self.metrics().await;
        let samples = text.lines().filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (metric, of) = sample.split_once('{').unwrap_or((sample, ""));
            (metric == name && labels.iter().all(|label| of.contains(label))).then(|| value.parse::<f64>().unwrap())
        });
        samples.reduce(|a, b| a + b)
    }

    /// Resident memory.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        let pid = self.pid().expect("the operator runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        let died = self.ready_or_dead().await;
        assert!(!died, "the operator ended before it was ready\n{}", operator_log_tail());
    }

    /// Waits until `/readyz` says so, or the process has ended. Whether it has.
    pub(crate) async fn ready_or_dead(&self) -> bool {
        eventually("the operator's /readyz", READY_WITHIN, async || {
            if !self.is_alive() {
                return Ok(true);
            }
            let answer = self.http.get(format!("{}/readyz", self.url)).send().await;
            let answer = answer.and_then(reqwest::Response::error_for_status);
            answer.map(|_| false).map_err(|error| error.to_string())
        })
        .await
    }
}
