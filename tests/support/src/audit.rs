//! What a user asked of the API server, out of its audit log: nothing is watched, so measuring takes next to nothing.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::{cluster, eventually};

/// It is quiet when nothing was asked for this long: longer than the pause after which an object is looked at once more.
const QUIET: Duration = Duration::from_secs(5);

/// How often each request was made.
pub type Requests = BTreeMap<String, u64>;

/// One request.
#[derive(Debug)]
pub struct Call {
    /// `patch personalclients/status`, `create secrets (dry run)`
    pub request: String,
    /// Of the object.
    pub namespace: String,
    /// When it was answered; a watch: when it began.
    pub at: Timestamp,
}

impl Call {
    /// Whether it is about a Lease: who elects a leader always writes that.
    fn is_lease(&self) -> bool {
        self.request.ends_with(" leases")
    }
}

/// Whether something may have changed by a request.
#[must_use]
pub fn is_write(request: &str) -> bool {
    !["get ", "list ", "watch "].iter().any(|verb| request.starts_with(verb)) && !request.ends_with(" leases")
}

/// The log, from some point on.
pub struct Audit {
    log: File,
    user: String,
    incomplete: Vec<u8>,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    user: User,
    #[serde(rename = "requestURI")]
    uri: String,
    object_ref: Option<Object>,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
}

impl Audit {
    /// What this user asks from now on.
    #[must_use]
    pub fn of(user: &str) -> Self {
        let mut log = File::open(Path::new(&cluster::variable("CP_DIR")).join("log/audit.log")).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        Self { log, user: user.into(), incomplete: vec![], calls: vec![] }
    }

    /// Forgets what was asked so far.
    pub fn begin(&mut self) {
        self.read();
        self.calls.clear();
    }

    /// What was asked since then.
    pub fn calls(&mut self) -> &[Call] {
        self.read();
        &self.calls
    }

    /// How often what was asked since then, by the objects of this namespace or by all.
    pub fn requests(&mut self, namespace: Option<&str>) -> Requests {
        let mut requests = Requests::new();
        for call in self.calls().iter().filter(|call| namespace.is_none_or(|name| call.namespace == name)) {
            *requests.entry(call.request.clone()).or_default() += 1;
        }
        requests
    }

    /// Waits until a request was made this many times.
    pub async fn until(&mut self, request: &str, count: u64, within: Duration) {
        eventually(&format!("{count} requests: {request}"), within, async || {
            let made = self.requests(None).get(request).copied().unwrap_or(0);
            if made >= count { Ok(()) } else { Err(format!("there are {made}")) }
        })
        .await;
    }

    /// When a request was answered for the last time.
    pub fn last(&mut self, request: &str) -> Timestamp {
        self.calls().iter().filter(|call| call.request == request).map(|call| call.at).max().unwrap()
    }

    /// Waits until nothing but the Lease is asked for any more, and returns when the last request was answered.
    pub async fn quiet(&mut self, within: Duration) -> Timestamp {
        eventually("quiet", within, async || {
            let last = self.calls().iter().filter(|call| !call.is_lease()).map(|call| call.at).max();
            let last = last.ok_or("nothing was asked yet")?;
            let silent = Timestamp::now().duration_since(last).unsigned_abs();
            if silent >= QUIET { Ok(last) } else { Err(format!("{:?}", self.requests(None))) }
        })
        .await
    }

    fn read(&mut self) {
        self.log.read_to_end(&mut self.incomplete).unwrap();
        let end = self.incomplete.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.incomplete.drain(..end).collect();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).unwrap();
            if line.user.username == self.user {
                self.calls.extend(call(line));
            }
        }
    }
}

fn call(line: Line) -> Option<Call> {
    // A watch is written down twice, and its end is not a request.
    let counts = if line.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if line.stage != counts {
        return None;
    }
    let object = line.object_ref.unwrap_or_default();
    let of = if object.subresource.is_empty() { "" } else { "/" };
    let dry_run = if line.uri.contains("dryRun=All") { " (dry run)" } else { "" };
    let request = format!("{} {}{of}{}{dry_run}", line.verb, object.resource, object.subresource);
    Some(Call { request, namespace: object.namespace, at: line.stage_timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Option<String> {
        let line = format!(
            r#"{{"user":{{"username":"u"}},"stageTimestamp":"2026-01-01T00:00:00.000001Z","requestURI":"/x",{line}}}"#
        );
        call(serde_json::from_str(&line).unwrap()).map(|call| call.request)
    }

    #[test]
    fn a_watch_counts_when_it_begins_and_all_else_when_it_is_answered() {
        let object = r#""objectRef":{"resource":"secrets","namespace":"n"}"#;
        for (verb, stage, counts) in [
            ("watch", "ResponseStarted", true),
            ("watch", "ResponseComplete", false),
            ("get", "ResponseStarted", false),
            ("get", "ResponseComplete", true),
        ] {
            let of = request(&format!(r#""verb":"{verb}","stage":"{stage}",{object}"#));
            assert_eq!(of, counts.then(|| format!("{verb} secrets")));
        }
    }

    #[test]
    fn only_what_changes_something_is_a_write() {
        for write in ["create secrets", "patch personalclients/status", "deletecollection events"] {
            assert!(is_write(write), "{write}");
        }
        for read in ["get secrets", "list secrets", "watch secrets", "update leases"] {
            assert!(!is_write(read), "{read}");
        }
    }
}
