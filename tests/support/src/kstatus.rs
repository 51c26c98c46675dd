//! What GitOps tools make of our objects: kstatus, by which Flux and kpt wait, and Argo CD with
//! `docs/gitops/argocd-health.lua`, both asked by their own libraries (`tests/status`). And what those do not look at.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use c1_operator::api::FIELD_MANAGER;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster;

/// What kstatus says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kstatus {
    /// It is as its spec says.
    Current,
    /// It is on its way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// What Argo CD says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Health {
    /// It is as its spec says.
    Healthy,
    /// It is on its way.
    Progressing,
    /// It will not get there by itself.
    Degraded,
    /// It waits for somebody to let it go on.
    Suspended,
    /// It is not there.
    Missing,
    /// The script failed.
    Unknown,
}

/// What the tools say of one object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// By kstatus.
    pub kstatus: Kstatus,
    /// By Argo CD.
    pub argo: ArgoVerdict,
}

/// What Argo CD shows of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ArgoVerdict {
    /// The health.
    pub status: Health,
    /// Why.
    pub message: String,
}

/// Asks the tools about objects, in their order.
#[must_use]
pub fn verdicts(objects: &[Value]) -> Vec<Verdict> {
    let mut child = Command::new(cluster::variable("STATUS_TOOL"))
        .arg("--argo")
        .arg(cluster::root().join("docs/gitops/argocd-health.lua"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut stdin = child.stdin.take().unwrap();
    // Beside the reading: it answers while it reads.
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the status tool: {}; it says why above", output.status);
    writer.join().unwrap().unwrap();
    let answers = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    let answers: Vec<Verdict> = answers.map(Result::unwrap).collect();
    assert_eq!(answers.len(), objects.len(), "the status tool answers each line");
    answers
}

/// What is wrong with versions of objects, whoever saw them: a tool says another thing than we mean, or the status
/// contradicts itself, or we took a part of the spec for ours.
#[must_use]
pub fn problems(objects: &[Value]) -> Vec<String> {
    let verdicts = verdicts(objects);
    objects.iter().zip(&verdicts).flat_map(|(object, verdict)| wrong(object, verdict)).collect()
}

/// Where an object stands, for people.
#[must_use]
pub fn place(object: &Value) -> String {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}

/// That the operator has not looked at the present spec: tools wait, and do not know for what.
#[must_use]
pub fn unobserved(object: &Value) -> Option<String> {
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    (!deleting && !observed(object)).then(|| {
        let (place, status) = (place(object), &object["status"]);
        format!("{place} was not looked at since its spec changed: {status}")
    })
}

/// What we mean by a status, in the words of kstatus. Short on purpose: how kstatus gets there is its own matter.
fn meant(object: &Value) -> Kstatus {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        Kstatus::Terminating
    } else if observed(object) && is_true(object, "Ready") {
        Kstatus::Current
    } else if observed(object) && is_true(object, "Stalled") {
        Kstatus::Failed
    } else {
        Kstatus::InProgress
    }
}

fn wrong(object: &Value, verdict: &Verdict) -> Vec<String> {
    let mut wrong = contradictions(object);
    let meant = meant(object);
    if verdict.kstatus != meant {
        wrong.push(format!("kstatus says {:?}, and {meant:?} is meant", verdict.kstatus));
    }
    let health = match meant {
        Kstatus::Current => Health::Healthy,
        Kstatus::Failed => Health::Degraded,
        Kstatus::InProgress | Kstatus::Terminating => Health::Progressing,
    };
    if verdict.argo.status != health || verdict.argo.message.is_empty() {
        wrong.push(format!("Argo CD says {:?}, and {health:?} with a message is meant", verdict.argo));
    }
    if owns(object, "f:spec") {
        wrong.push(format!("{FIELD_MANAGER} owns a part of spec"));
    }
    let (place, metadata) = (place(object), &object["metadata"]);
    let (version, generation) = (&metadata["resourceVersion"], &metadata["generation"]);
    let at = format!("{place}, version {version}, generation {generation}, status {}", object["status"]);
    wrong.into_iter().map(|what| format!("{what}: {at}")).collect()
}

/// What a status must not say, although kstatus takes it.
fn contradictions(object: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let status = &object["status"];
    let seen = &status["observedGeneration"];
    if seen.as_i64() > object["metadata"]["generation"].as_i64() {
        wrong.push("a generation was observed that there is not yet".to_owned());
    }
    let conditions: Vec<&Value> = status["conditions"].as_array().into_iter().flatten().collect();
    if conditions.is_empty() {
        return wrong;
    }
    let kinds: Vec<&str> =
        ["Ready", "Reconciling", "Stalled"].into_iter().filter(|kind| is_true(object, kind)).collect();
    if kinds.len() != 1 {
        wrong.push(format!("exactly one of Ready, Reconciling and Stalled is true, and not {kinds:?}"));
    }
    for condition in conditions {
        if condition["type"] != "Ready" && condition["status"] != "True" {
            wrong.push(format!("{} is there only while true", condition["type"]));
        }
        if condition["observedGeneration"] != *seen {
            wrong.push(format!("{} is about another generation than the status", condition["type"]));
        }
    }
    wrong
}

/// Whether the operator owns a field of an object.
#[must_use]
pub fn owns(object: &Value, field: &str) -> bool {
    let managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    managers.filter(|entry| entry["manager"] == FIELD_MANAGER).any(|entry| !entry["fieldsV1"][field].is_null())
}

fn observed(object: &Value) -> bool {
    let seen = object["status"]["observedGeneration"].as_i64();
    seen.is_some() && seen == object["metadata"]["generation"].as_i64()
}

fn is_true(object: &Value, kind: &str) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}
