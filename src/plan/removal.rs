//! The end of an object, as far as it is a decision: `docs/protocol.md`. It ends what status, the Secret that we own, and the
//! record together with the list name. Of the spec only `deletionPolicy` is read.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    decide::{Decision, Holding, SECRET_UNREADABLE},
    evidence::{Opened, Presence},
    observed::{IssuerView, Origin, SecretView},
    record::{AbandonedAttempt, Delivered, SecretSeen},
    step::{Look, Plan, RemoveStep, Step, Victim},
};
use crate::api::{ABANDON_ANNOTATION, IssuerRef, Reason};

/// A namespace that is being deleted must not hang on a tenant that cannot be reached.
const LONGEST_TERMINATING: Duration = Duration::from_mins(10);

/// A client that must end.
struct Doomed {
    id: String,
    issuer_ref: IssuerRef,
    host: String,
    user_id: String,
    expired: bool,
    /// When it was made, or at the latest.
    made: Option<Timestamp>,
}

impl<'a> From<&'a Doomed> for Origin<'a> {
    fn from(client: &'a Doomed) -> Self {
        Self { issuer_ref: &client.issuer_ref, host: &client.host, user_id: &client.user_id }
    }
}

impl Decision<'_> {
    pub(super) fn removal(&self) -> Plan {
        if !self.has_finalizer() || self.o.in_flight {
            return self.nothing();
        }
        if !self.o.live {
            return self.step(Step::Look(Look::Live));
        }
        let unknown = |view: &SecretView| matches!(view, SecretView::Unknown(_));
        let on_record = |name: &String| self.record.elsewhere.iter().any(|e| e.secret_name == *name);
        if unknown(&self.o.secret) || self.o.others.iter().any(|(name, view)| on_record(name) && unknown(view)) {
            let plan =
                self.not_ready(Reason::Deleting, "the Secret cannot be read, so what it holds cannot be revoked");
            return Plan { wake: Some(self.now + SECRET_UNREADABLE), ..plan };
        }
        let doomed = self.doomed();
        let (abandons, waited) = (self.abandons(), self.has_waited(&doomed));
        let leaves = |d: &Doomed| abandons || (waited && !self.is_mine(d));
        let (left, doomed): (Vec<_>, Vec<_>) = doomed.into_iter().partition(leaves);
        let living = |d: &&Doomed| !d.expired && !self.o.deleted.contains(&d.id);
        let mut left_behind: Vec<String> = left.iter().filter(living).map(|d| d.id.clone()).collect();
        if abandons {
            return self.remove(vec![], left_behind);
        }
        if let Some(plan) = self.unresolved(&doomed).filter(|_| !waited) {
            return plan;
        }
        // What only the Secret names would be forgotten with it.
        if let Some(step) = self.owed().filter(|_| !waited && !self.retain()) {
            return self.step(step);
        }
        let mut victims = vec![];
        let mut unseen = vec![];
        for client in doomed.iter().filter(living) {
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
            let formers = self.formers().map(|(_, _, delivered)| delivered);
            let delivered: Vec<_> = self.ours().map(|(_, delivered)| delivered).into_iter().chain(formers).collect();
            for client in self.status.client.iter().chain(delivered.iter().map(|d| &d.client)) {
                add(Doomed {
                    id: client.id.clone(),
                    issuer_ref: client.issuer_ref.clone(),
                    host: client.host.clone(),
                    user_id: client.user_id.clone(),
                    expired: self.expired(client),
                    made: client.created_at.as_ref().map(|created| created.0),
                });
            }
            // What only the Secret names was struck from status, or never reached it; another user's cannot be ended.
            let owed = delivered.iter().flat_map(|d| &d.replaces).filter(|r| self.is_mine(*r));
            for client in self.status.retiring.iter().chain(owed) {
                add(Doomed {
                    id: client.id.clone(),
                    issuer_ref: client.issuer_ref.clone(),
                    host: client.host.clone(),
                    user_id: client.user_id.clone(),
                    expired: !self.clock_off() && client.expires_time.as_ref().is_some_and(|t| t.0 <= self.now),
                    made: Some(client.since.0),
                });
            }
        }
        let open = self.record.open.as_ref().map(|o| &o.attempt);
        for (_, client, marker) in self.listed() {
            let ours = self.record.is_abandoned(&marker.attempt)
                || Some(&marker.attempt) == open
                || self.status_carries(&marker.attempt);
            let stays = self.retain() && (self.secret_names(&client.id) || self.status_names(&client.id));
            if ours && !stays {
                let caller = self.o.caller(&client.id);
                let (issuer_ref, host) = caller.map(|(at, identity)| (at, identity.host)).unwrap_or_default();
                add(Doomed {
                    id: client.id.clone(),
                    issuer_ref,
                    host,
                    user_id: client.user_id.clone(),
                    expired: false,
                    made: client.created_at,
                });
            }
        }
        doomed
    }

    /// An issuer whose list was not begun when C1 showed all that the creates have made of which status names a client; of a young
    /// one it never was. Should one have taken effect twice, nobody will remember the other.
    fn twins_unseen(&self) -> Option<IssuerRef> {
        let unseen = |origin: Origin<'_>, made: Option<Timestamp>| {
            let (at, view) = self.o.reach(&origin)?;
            let began = view.inventory.as_ref().map(|i| i.began);
            let seen = made.is_some_and(|made| began >= Some(made + self.o.timing.settle));
            (!seen && !self.o.listed.contains(&at)).then_some(at)
        };
        let current = self.status.client.as_ref();
        let current = current.and_then(|c| unseen(c.into(), c.created_at.as_ref().map(|made| made.0)));
        // Made before it retired; how long before is not known.
        current.or_else(|| self.status.retiring.iter().find_map(|r| unseen(r.into(), Some(r.since.0))))
    }

    /// An issuer at which an attempt may have made something, and that was not listed for this very decision.
    fn attempts_unseen(&self, open: Opened<'_>) -> Option<IssuerRef> {
        let unknown = !matches!(open, Opened::No | Opened::Unsent);
        let open = unknown.then(|| self.listing()).flatten();
        let abandoned = self.given_up().map(|a| a.issuer_ref.clone());
        open.into_iter().chain(abandoned).find(|at| self.is_usable(at) && !self.o.listed.contains(at))
    }

    /// Somebody allowed to leave what there is.
    fn abandons(&self) -> bool {
        let annotations = self.o.object.metadata.annotations.as_ref();
        annotations.and_then(|a| a.get(ABANDON_ANNOTATION)).is_some_and(|v| v == "true")
    }

    /// The namespace has waited long enough for an issuer that cannot be called.
    fn has_waited(&self, doomed: &[Doomed]) -> bool {
        let deleted_at = self.o.object.metadata.deletion_timestamp.as_ref();
        let waited = deleted_at.is_some_and(|t| self.since(t.0) >= LONGEST_TERMINATING);
        // No look yet is no evidence, nor is that C1 asks for patience.
        let failing = |issuer: &IssuerView| {
            let patience = |(why, _): &(Reason, String)| matches!(why, Reason::Throttled | Reason::ClockSkew);
            issuer.identity.is_none() && issuer.not_ready.as_ref().is_some_and(|why| !patience(why))
        };
        let former = |at: &IssuerRef| self.o.former.get(at).is_some_and(IssuerView::fails);
        let unreachable = |at: IssuerRef| self.view(&at).is_none_or(failing) || former(&at);
        let own = std::iter::once(self.o.object.issuer_ref());
        self.o.namespace_terminating && waited && own.chain(self.unusable(doomed)).any(unreachable)
    }

    /// What must be known or reachable before anything is deleted.
    fn unresolved(&self, doomed: &[Doomed]) -> Option<Plan> {
        let open = self.opened();
        let attempts = !matches!(open, Opened::No | Opened::Unsent) || self.given_up().next().is_some();
        if !attempts && doomed.iter().all(|d| d.expired) {
            return None;
        }
        if let Some(at) = self.unusable(doomed).first() {
            return Some(self.blocked_by_issuer(at));
        }
        if let Some(other) = doomed.iter().find(|d| !d.expired && !self.is_mine(*d)) {
            return Some(self.blocked(&format!(
                "client {} was made as another C1 user than the issuer's credentials belong to now: revoke it by hand, then set the annotation {ABANDON_ANNOTATION}=true",
                other.id
            )));
        }
        match open {
            Opened::Young(until) => return Some(self.waits(until)),
            Opened::NeedList => {
                let list = self.listing().map(|at| self.step(Step::Look(Look::List(at))));
                return Some(list.unwrap_or_else(|| self.nothing()));
            }
            Opened::Guess | Opened::Unproven => {
                return Some(self.blocked("C1's list of clients cannot be read to its end, so it is not known whether an attempt made a client"));
            }
            _ => {}
        }
        // When the object is gone nobody remembers its attempts: what they made must have come to light before.
        let unseen = self.record.open.as_ref().filter(|_| matches!(open, Opened::Nothing));
        let made = unseen.map(|o| o.started_at + self.o.timing.budget);
        let made = made.into_iter().chain(self.given_up().map(|a| a.since)).max();
        if let Some(until) = made.and_then(|made| self.settled_at(made)).filter(|_| self.guards.settle_for_removal) {
            return Some(self.waits(until));
        }
        if let Some(at) = self.twins_unseen() {
            return Some(self.step(Step::Look(Look::List(at))));
        }
        // Not by the deletion's time: it is another clock's, cut to seconds.
        let unseen = self.attempts_unseen(open).filter(|_| self.guards.list_for_removal);
        unseen.map(|at| self.step(Step::Look(Look::List(at))))
    }

    /// One text for all that only time resolves: two replicas that know different things must not overwrite each other's status.
    fn waits(&self, until: Timestamp) -> Plan {
        let message = "a client was made, or may have been, a moment ago: waiting until C1 would show it";
        Plan { wake: Some(until), ..self.not_ready(Reason::Deleting, message) }
    }

    /// The issuers that are needed, and cannot be called.
    fn unusable(&self, doomed: &[Doomed]) -> Vec<IssuerRef> {
        let clients = doomed.iter().filter(|d| !d.expired && !self.is_mine(*d)).map(|d| &d.issuer_ref);
        let unknown = !matches!(self.opened(), Opened::No | Opened::Unsent);
        let open =
            self.record.open.as_ref().filter(|open| unknown && !self.is_mine(*open)).map(|open| &open.issuer_ref);
        // Of a former issuer that is gone nobody will ever know what an attempt made there that was given up.
        let own = self.o.object.issuer_ref();
        let known = |at: &&IssuerRef| **at == own || self.o.former.contains_key(at);
        let abandoned = self.given_up().map(|a| &a.issuer_ref).filter(known);
        clients.chain(open).chain(abandoned).filter(|at| !self.is_usable(at)).cloned().collect()
    }

    fn is_usable(&self, at: &IssuerRef) -> bool {
        self.o.issuers().any(|(named, view)| named == *at && view.identity.is_some())
    }

    /// The attempts that were given up so lately that they may still make something.
    fn given_up(&self) -> impl Iterator<Item = &AbandonedAttempt> {
        self.record.lately(self.now)
    }

    fn blocked_by_issuer(&self, reference: &IssuerRef) -> Plan {
        let why = match self.view(reference).map(|i| &i.not_ready) {
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
        let named = |name: &str, seen: &SecretSeen| (name.to_owned(), seen.uid.clone(), seen.resource_version.clone());
        // What stays goes on being named: by the Secret that is kept, or by nothing.
        let known = |d: &Delivered| self.status_names(&d.client.id) || self.record.is_abandoned(&d.client.attempt);
        let formers = self.formers().filter(|(_, _, delivered)| !self.retain() || known(delivered));
        let formers = formers.map(|(name, seen, _)| named(name, seen));
        let current = self.ours().filter(|_| !self.retain()).map(|(seen, _)| named(&self.secret_name, seen));
        let secrets = current.into_iter().chain(formers).collect();
        // Who has taken the Secret over is made anew: then this object, which was read before, is gone.
        let recheck = matches!(self.holding(), Holding::Left(..)) && !victims.is_empty();
        self.step(Step::Remove(RemoveStep { recheck, fence: self.fence(), secrets, victims, left_behind }))
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
