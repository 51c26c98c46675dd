//! The processes of the control plane, for tests in which the API server ends and comes again.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, sync::Mutex};

use crate::{cluster, eventually};

const READY_WITHIN: Duration = Duration::from_mins(1);

/// One restart after the other: in the middle of one there is no process to end.
static RESTARTING: Mutex<()> = Mutex::const_new(());

/// SIGKILL for the API server, and another one like it on the same data. Returns when it answers again; until then nobody
/// reaches it, and all watches end.
pub async fn restart_api_server(client: &kube::Client) {
    let _one = RESTARTING.lock().await;
    let dir = PathBuf::from(cluster::variable("CP_DIR"));
    let pid_file = dir.join("pids/kube-apiserver.pid");
    let pid = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    let command_line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let words: Vec<&str> = command_line.trim_end_matches('\0').split('\0').collect();
    let killed = Command::new("kill").args(["-KILL", &pid]).status().await.unwrap();
    assert!(killed.success(), "the API server could not be killed");
    eventually("the API server is dead", READY_WITHIN, async || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
    })
    .await;
    let start = || {
        let log = OpenOptions::new().append(true).open(dir.join("log/kube-apiserver.log")).unwrap();
        // A session of its own, as tests/controlplane/up.sh gives it: it outlives this process.
        let mut server = Command::new("setsid");
        server.args(&words).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = server.spawn().unwrap();
        // setsid becomes the server itself where it leads no group, as here.
        fs::write(&pid_file, format!("{}\n", server.id().expect("it was started"))).unwrap();
        server
    };
    let mut server = start();
    eventually("the API server answers again", READY_WITHIN, async || {
        // Its port may have been somebody's for a moment, as that of an outgoing connection: then it ends at once.
        if let Some(ended) = server.try_wait().unwrap() {
            server = start();
            return Err(format!("it ended with {ended}"));
        }
        let request = http::Request::get("/readyz").body(vec![]).unwrap();
        client.request_text(request).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
