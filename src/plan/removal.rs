//! The end of an object, as far as it is a decision: `docs/protocol.md`. It ends what status, the Secret that we own, and the
//! record together with the list name. Of the spec only `deletionPolicy` is read.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    decide::{Decision, Holding, SECRET_UNREADABLE},
    evidence::{Opened, Presence},
    observed::IssuerView,
    record::SecretSeen,
    step::{Look, Plan, RemoveStep, Step, Victim},
};
use crate::api::{ABANDON_ANNOTATION, Reason};

/// A namespace that is being deleted must not hang on a tenant that cannot be reached.
const LONGEST_TERMINATING: Duration = Duration::from_mins(10);

/// A client that must end.
struct Doomed {
    id: String,
    host: String,
    user_id: String,
    expired: bool,
    /// When it was made, or at the latest.
    made: Option<Timestamp>,
}

impl Decision<'_> {
    pub(super) fn removal(&self) -> Plan {
        if !self.has_finalizer() || self.o.in_flight {
            return self.nothing();
        }
        if !self.o.live {
            return self.step(Step::Look(Look::Live));
        }
        if let Holding::Unknown = self.holding() {
            let plan =
                self.not_ready(Reason::Deleting, "the Secret cannot be read, so what it holds cannot be revoked");
            return Plan { wake: Some(self.now + SECRET_UNREADABLE), ..plan };
        }
        let doomed = self.doomed();
        if self.may_leave() {
            let living = doomed.into_iter().filter(|d| !d.expired && !self.o.deleted.contains(&d.id));
            return self.remove(vec![], living.map(|d| d.id).collect());
        }
        if let Some(plan) = self.unresolved(&doomed) {
            return plan;
        }
        // What only the Secret names would be forgotten with it.
        if let Some(step) = self.owed().filter(|_| !self.retain()) {
            return self.step(step);
        }
        let mut victims = vec![];
        let mut left_behind = vec![];
        let mut unseen = vec![];
        for client in doomed.iter().filter(|d| !d.expired && !self.o.deleted.contains(&d.id)) {
            let gone = self.read(&client.id) == Some(Presence::Gone);
            match (self.marked(&client.id), client.made.and_then(|made| self.settled_at(made))) {
                (None, _) => return self.step(Step::Look(Look::Client(client.id.clone()))),
                (Some(true), None) if gone => {}
                (Some(true), Some(until)) if gone => unseen.push((client, until)),
                (Some(true), young) => victims.push(Victim { id: client.id.clone(), young: young.is_some() }),
                // Somebody took our marker away in C1's console: not ours to delete (P4).
                (Some(false), _) => left_behind.push(client.id.clone()),
            }
        }
        if let (true, Some(until)) = (victims.is_empty(), unseen.iter().map(|(_, until)| *until).max()) {
            return self.waits(until);
        }
        victims.extend(unseen.into_iter().map(|(client, _)| Victim { id: client.id.clone(), young: true }));
        self.remove(victims, left_behind)
    }

    /// The clients that must end, each once.
    fn doomed(&self) -> Vec<Doomed> {
        let mut doomed: Vec<Doomed> = vec![];
        let mut add = |d: Doomed| {
            if doomed.iter().all(|have| have.id != d.id) {
                doomed.push(d);
            }
        };
        if !self.retain() {
            let delivered = match self.holding() {
                Holding::Ours(_, delivered) => Some(delivered),
                _ => None,
            };
            for client in self.status.client.iter().chain(delivered.map(|d| &d.client)) {
                add(Doomed {
                    id: client.id.clone(),
                    host: client.host.clone(),
                    user_id: client.user_id.clone(),
                    expired: self.expired(client),
                    made: client.created_at.as_ref().map(|created| created.0),
                });
            }
            // What only the Secret names was struck from status, or never reached it; another user's cannot be ended.
            let owed = delivered.iter().flat_map(|d| &d.replaces).filter(|r| self.is_mine(&r.host, &r.user_id));
            for client in self.status.retiring.iter().chain(owed) {
                add(Doomed {
                    id: client.id.clone(),
                    host: client.host.clone(),
                    user_id: client.user_id.clone(),
                    expired: false,
                    made: Some(client.since.0),
                });
            }
        }
        let open = self.record.open.as_ref().map(|o| &o.attempt);
        for (client, marker) in self.listed() {
            let ours = self.record.is_abandoned(&marker.attempt)
                || Some(&marker.attempt) == open
                || self.status_carries(&marker.attempt);
            let stays = self.retain() && (self.secret_names(&client.id) || self.status_names(&client.id));
            if ours && !stays {
                let identity = self.identity();
                add(Doomed {
                    id: client.id.clone(),
                    host: identity.map(|i| i.host.clone()).unwrap_or_default(),
                    user_id: client.user_id.clone(),
                    expired: false,
                    made: client.created_at,
                });
            }
        }
        doomed
    }

    /// The list was begun when C1 showed all that the creates have made of which status names a client. Of a young one it never
    /// was.
    fn twins_seen(&self) -> bool {
        let began = self.inventory().map(|i| i.began);
        let settled = |made: Timestamp| began >= Some(made + self.o.timing.settle);
        // Made before it retired; how long before is not known.
        self.status.client.iter().all(|c| c.created_at.as_ref().is_some_and(|made| settled(made.0)))
            && self.status.retiring.iter().all(|r| settled(r.since.0))
    }

    /// Somebody allowed to leave them, or the namespace has waited long enough.
    fn may_leave(&self) -> bool {
        let metadata = &self.o.object.metadata;
        let abandon =
            metadata.annotations.as_ref().and_then(|a| a.get(ABANDON_ANNOTATION)).is_some_and(|v| v == "true");
        let waited = metadata.deletion_timestamp.as_ref().is_some_and(|t| self.since(t.0) >= LONGEST_TERMINATING);
        // No look yet is no evidence, nor is that C1 asks for patience.
        let failing = |issuer: &IssuerView| {
            issuer.identity.is_none()
                && issuer
                    .not_ready
                    .as_ref()
                    .is_some_and(|(why, _)| !matches!(why, Reason::Throttled | Reason::ClockSkew))
        };
        let unreachable = self.o.issuer.as_ref().is_none_or(failing);
        abandon || (self.o.namespace_terminating && waited && unreachable)
    }

    /// What must be known or reachable before anything is deleted.
    fn unresolved(&self, doomed: &[Doomed]) -> Option<Plan> {
        let open = self.opened();
        let attempts = !matches!(open, Opened::No | Opened::Unsent) || !self.record.abandoned.is_empty();
        if !attempts && doomed.iter().all(|d| d.expired) {
            return None;
        }
        let Some(identity) = self.identity() else { return Some(self.blocked_by_issuer()) };
        if let Some(other) =
            doomed.iter().find(|d| !d.expired && (&d.host, &d.user_id) != (&identity.host, &identity.user_id))
        {
            return Some(self.blocked(&format!(
                "client {} was made as another C1 user than the issuer's credentials belong to now: revoke it by hand, then set the annotation {ABANDON_ANNOTATION}=true",
                other.id
            )));
        }
        match open {
            Opened::Young(until) => return Some(self.waits(until)),
            Opened::NeedList => return Some(self.step(Step::Look(Look::List))),
            Opened::Guess | Opened::Unproven => {
                return Some(self.blocked("C1's list of clients cannot be read to its end, so it is not known whether an attempt made a client"));
            }
            _ => {}
        }
        // When the object is gone nobody remembers its attempts: what they made must have come to light before.
        let unseen = self.record.open.as_ref().filter(|_| matches!(open, Opened::Nothing));
        let made = unseen.map(|o| o.started_at + self.o.timing.budget);
        let made = made.into_iter().chain(self.record.abandoned.iter().map(|a| a.since)).max();
        if let Some(until) = made.and_then(|made| self.settled_at(made)).filter(|_| self.guards.settle_for_removal) {
            return Some(self.waits(until));
        }
        // Should a create have taken effect twice, nobody will remember the other: it must have been seen, if C1 shows it by now.
        if !self.o.listed && !self.twins_seen() {
            return Some(self.step(Step::Look(Look::List)));
        }
        // Not by the deletion's time: it is another clock's, cut to seconds.
        (attempts && !self.o.listed && self.guards.list_for_removal).then(|| self.step(Step::Look(Look::List)))
    }

    /// One text for all that only time resolves: two replicas that know different things must not overwrite each other's status.
    fn waits(&self, until: Timestamp) -> Plan {
        let message = "a client was made, or may have been, a moment ago: waiting until C1 would show it";
        Plan { wake: Some(until), ..self.not_ready(Reason::Deleting, message) }
    }

    fn blocked_by_issuer(&self) -> Plan {
        let reference = self.o.object.issuer_ref();
        let why = match self.o.issuer.as_ref().map(|i| &i.not_ready) {
            None => "does not exist".to_owned(),
            Some(Some((reason, message))) => format!("is not ready: {reason}: {message}"),
            Some(None) => "is not ready: its tenant was not reached yet".to_owned(),
        };
        self.blocked(&format!(
            "{reference} {why}; to let this object go without revoking, set the annotation {ABANDON_ANNOTATION}=true"
        ))
    }

    fn blocked(&self, message: &str) -> Plan {
        let deleted_at = self.o.object.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        let wake =
            deleted_at.map(|t| t + LONGEST_TERMINATING).filter(|t| self.o.namespace_terminating && *t > self.now);
        Plan { wake, ..self.not_ready(Reason::RevocationBlocked, message) }
    }

    fn remove(&self, victims: Vec<Victim>, left_behind: Vec<String>) -> Plan {
        let secret = match self.holding() {
            Holding::Ours(seen, _) if !self.retain() => {
                Some((self.o.object.secret_name().to_owned(), seen.uid.clone(), seen.resource_version.clone()))
            }
            _ => None,
        };
        // Who has taken the Secret over is made anew: then this object, which was read before, is gone.
        let recheck = matches!(self.holding(), Holding::Left(..)) && !victims.is_empty();
        self.step(Step::Remove(RemoveStep { recheck, fence: self.fence(), secret, victims, left_behind }))
    }

    /// A Secret that stays must not be overwritten, by a maker that stands still, with what its removal deletes.
    fn fence(&self) -> Option<(Box<SecretSeen>, String)> {
        let seen = match self.holding() {
            Holding::Ours(seen, _) | Holding::Left(seen, _) if self.retain() && self.guards.fence => seen,
            _ => return None,
        };
        let open = (!matches!(self.opened(), Opened::No)).then(|| self.record.open.as_ref().map(|o| &o.attempt));
        let attempt = open.flatten().or(self.record.abandoned.last().map(|a| &a.attempt))?;
        (seen.fence.as_ref() != Some(attempt)).then(|| (Box::new(seen.clone()), attempt.clone()))
    }
}
