//! The lives of objects as a watch of our own shows them: when an attempt was intended, and when its outcome was recorded. What
//! went wrong in between makes a life a counted history.

use std::{collections::BTreeMap, time::Instant};

use c1_operator::{api::PersonalClient, plan::Record};
use kube::ResourceExt as _;

/// What is known of one object, from its creation to its end.
#[derive(Debug, Default)]
pub struct Life {
    /// Where it is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    spans: Vec<(Instant, Instant)>,
    open: Option<(String, Instant)>,
    /// C1 failed one of its creates.
    pub failed_at_c1: bool,
}

/// Something went wrong, for one object or for all.
#[derive(Debug, Clone)]
pub struct Fault {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// With which request; nothing: it concerned all.
    pub path: Option<String>,
}

/// All lives, by UID.
#[derive(Debug, Default)]
pub struct Chronicle {
    lives: BTreeMap<String, Life>,
}

impl Chronicle {
    /// The object is so now.
    pub fn see(&mut self, object: &PersonalClient, now: Instant) {
        let life = self.lives.entry(object.uid().unwrap_or_default()).or_insert_with(|| Life {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            ..Life::default()
        });
        let carried = object.status.as_ref().and_then(|s| s.client.as_ref()).map(|c| c.attempt.clone());
        let open = Record::of(object).open.map(|o| o.attempt).filter(|a| carried.as_ref() != Some(a));
        if life.open.as_ref().map(|(attempt, _)| attempt) == open.as_ref() {
            return;
        }
        life.close(now);
        life.open = open.map(|attempt| (attempt, now));
    }

    /// The object is gone.
    pub fn gone(&mut self, uid: &str, now: Instant) {
        if let Some(life) = self.lives.get_mut(uid) {
            life.close(now);
        }
    }

    /// C1 failed a create for the object of this name: of its first life, for each such fault fires once.
    pub fn failed_at_c1(&mut self, namespace: &str, name: &str) {
        let life = self.lives.values_mut().find(|l| l.namespace == namespace && l.name == name);
        if let Some(life) = life {
            life.failed_at_c1 = true;
        }
    }

    /// Whether an attempt has been seen.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.lives.values().any(|life| life.open.is_some() || !life.spans.is_empty())
    }

    /// How many lives there were, and how many of them met a fault between the intent and the record of an attempt.
    #[must_use]
    pub fn count(&self, faults: &[Fault]) -> (usize, usize) {
        let counted = self.lives.values().filter(|life| life.failed_at_c1 || faults.iter().any(|f| life.met(f)));
        (self.lives.len(), counted.count())
    }
}

impl Life {
    fn close(&mut self, now: Instant) {
        if let Some((_, from)) = self.open.take() {
            self.spans.push((from, now));
        }
    }

    fn met(&self, fault: &Fault) -> bool {
        let concerned = fault.path.as_ref().is_none_or(|path| concerns(path, &self.namespace, &self.name));
        concerned && self.spans.iter().any(|(from, to)| *from <= fault.to && fault.from <= *to)
    }
}

/// Whether a request is about the object of this name, or its Secret. A watch, or a Lease, is about none.
fn concerns(path: &str, namespace: &str, name: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let Some((_, rest)) = path.split_once(&format!("/namespaces/{namespace}/")) else { return false };
    let mut words = rest.split('/');
    matches!(words.next(), Some("personalclients" | "secrets")) && words.next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_concerns_the_object_that_it_names() {
        assert!(concerns("/apis/g/v1/namespaces/ns/personalclients/a/status?fieldManager=x", "ns", "a"));
        assert!(concerns("/api/v1/namespaces/ns/secrets/a", "ns", "a"));
        assert!(concerns("/api/v1/namespaces/ns/secrets/a?dryRun=All", "ns", "a"), "a create, as the proxy names it");
        assert!(!concerns("/api/v1/namespaces/ns/secrets?dryRun=All", "ns", "a"));
        assert!(!concerns("/api/v1/namespaces/ns/secrets/b", "ns", "a"));
        assert!(!concerns("/api/v1/namespaces/other/secrets/a", "ns", "a"));
        assert!(!concerns("/apis/g/v1/personalclients?watch=1", "ns", "a"));
    }
}
