//! What must be exact: one issue costs what the protocol costs, and what is healthy costs nothing.

use serde::Serialize;
use testkit::audit::{Requests, is_write};

use crate::{
    floor::Floor,
    operator::{Cost, Idle, Issue, Restart},
};

/// What an issue asks of the API server, once each.
pub const OF_AN_ISSUE: [&str; 5] = [
    "create secrets (dry run)",
    "patch personalclients",
    "create secrets",
    "patch personalclients/status",
    "create events",
];
/// The floor writes no event.
const OF_THE_FLOOR: &[&str] = OF_AN_ISSUE.split_at(4).0;
/// What may be asked of C1 when nothing is to be done.
const OF_AN_INVENTORY: [&str; 2] = ["list", "token"];

/// A count, and what it has to be.
#[derive(Debug, Serialize)]
pub struct Count {
    /// Of what.
    pub what: String,
    /// What it has to be.
    pub wanted: u64,
    /// What it is.
    pub found: u64,
}

impl Count {
    /// Whether it is what it has to be.
    pub fn is_right(&self) -> bool {
        self.wanted == self.found
    }
}

/// All of them.
pub fn all(objects: u32, floor: &Floor, issue: &Issue, restart: &Restart, idle: &Idle) -> Vec<Count> {
    let objects = u64::from(objects);
    let mut counts = once_each("floor", OF_THE_FLOOR, &floor.requests, objects);
    counts.extend(once_each("issue", &OF_AN_ISSUE, &issue.requests_for_objects, objects));
    let creates = issue.cost.calls.get("create").copied().unwrap_or(0);
    let outcomes = [("creates at C1", creates), ("clients that live at C1", issue.live), ("Ready", issue.ready)];
    counts.extend(outcomes.map(|(what, found)| Count { what: format!("issue: {what}"), wanted: objects, found }));
    counts.extend(nothing("restart", &restart.cost));
    counts.extend(nothing("idle", &idle.cost));
    counts
}

/// These writes once for each object, and no others.
fn once_each(phase: &str, writes: &[&str], requests: &Requests, objects: u64) -> Vec<Count> {
    let count = |of: &str| requests.get(of).copied().unwrap_or(0);
    let each = writes.iter().map(|of| Count { what: format!("{phase}: {of}"), wanted: objects, found: count(of) });
    let others = requests.iter().filter(|(of, _)| is_write(of) && !writes.contains(&of.as_str()));
    let others = Count { what: format!("{phase}: other writes"), wanted: 0, found: others.map(|(_, n)| n).sum() };
    each.chain([others]).collect()
}

/// No write but the Lease's, and of C1 only its list.
fn nothing(phase: &str, cost: &Cost) -> [Count; 2] {
    let writes = cost.requests.iter().filter(|(of, _)| is_write(of)).map(|(_, n)| n).sum();
    let calls = cost.calls.iter().filter(|(of, _)| !OF_AN_INVENTORY.contains(&of.as_str())).map(|(_, n)| n).sum();
    [
        Count { what: format!("{phase}: writes but the Lease's"), wanted: 0, found: writes },
        Count { what: format!("{phase}: C1 calls but list and token"), wanted: 0, found: calls },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(requests: &[(&str, u64)]) -> Vec<String> {
        let requests = requests.iter().map(|(of, count)| ((*of).to_owned(), *count)).collect();
        let counts = once_each("issue", &OF_AN_ISSUE, &requests, 2);
        counts.into_iter().filter(|count| !count.is_right()).map(|count| count.what).collect()
    }

    #[test]
    fn a_write_that_is_missing_or_one_too_many_is_wrong() {
        let right = OF_AN_ISSUE.map(|of| (of, 2));
        assert_eq!(wrong(&right), [""; 0]);
        assert_eq!(wrong(&right[1..]), ["issue: create secrets (dry run)"]);
        assert_eq!(
            wrong(&[&right[..], &[("get secrets", 5), ("delete secrets", 1)]].concat()),
            ["issue: other writes"]
        );
    }
}
