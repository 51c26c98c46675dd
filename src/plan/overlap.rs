//! Row 11: the end of a replaced client. It lives for its overlap, and on while C1 shows that it is used: some consumer has
//! not reread the Secret.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    decide::Decision,
    observed::ClientRead,
    step::{Look, Plan, Step},
};
use crate::api::{Overlap, RetiringClient, Rotation, condition::to_seconds};

/// That a replaced client is still used is said once a day.
const SAY_AGAIN: Duration = Duration::from_hours(24);

impl Decision<'_> {
    /// How long a client that is replaced now lives on.
    pub(super) fn overlap(&self) -> Overlap {
        Rotation::overlap(self.o.object.spec.rotation.as_ref(), self.o.timing.overlap)
    }

    /// A replaced client whose overlap is over. One that C1 may not know everywhere yet is not taken for gone; and while the
    /// clocks differ nothing counts as known.
    pub(super) fn retiring_due(&self) -> Option<Plan> {
        let past = |r: &&RetiringClient| !self.clock_off() && r.expires_time.as_ref().is_some_and(|t| t.0 <= self.now);
        let mine = |r: &&RetiringClient| self.is_mine(*r);
        // Where it cannot be ended it ends by itself.
        if let Some(ended) = self.status.retiring.iter().find(|r| past(r) && !mine(r)) {
            return Some(self.step(Step::Strike(ended.id.clone())));
        }
        let over = self.status.retiring.iter().filter(mine).filter(|r| r.revoke_time.0 <= self.now);
        let due = over.filter(|r| {
            self.used_until(r).is_none_or(|until| until <= self.now)
                && !self.secret_names(&r.id)
                && self.is_settled(r.since.0)
                // Only by its attempt is its twin known to be ours.
                && self.strays().all(|(_, _, stray)| stray.attempt != r.attempt)
        });
        // One that C1 does not end, or does not tell of, keeps no other alive.
        self.freest(due.filter_map(|r| self.end(r)))
    }

    /// The end of one that is due, or what must be looked at before.
    fn end(&self, due: &RetiringClient) -> Option<Plan> {
        // Should its create have taken effect twice, nobody remembers the other when it is struck: it must have been seen.
        let (at, view) = self.o.reach(&due.into())?;
        let inventory = view.inventory.as_ref();
        let seen = inventory.is_some_and(|i| i.began >= due.since.0 + self.o.timing.settle);
        let over = self.used_until(due).map_or(due.revoke_time.0, |until| until.max(due.revoke_time.0));
        let asked = self.o.reads.contains_key(&due.id) || inventory.is_some_and(|i| i.began >= over);
        Some(match self.marked(&due.id) {
            _ if !seen && !self.o.listed.contains(&at) => self.step(Step::Look(Look::List(at))),
            // Whoever has used it since the list was read would lose a credential that works.
            _ if !asked => self.step(Step::Look(Look::Client(due.id.clone()))),
            Some(true) => self.step(Step::Revoke(due.id.clone())),
            Some(false) => self.step(Step::Strike(due.id.clone())),
            None => self.step(Step::Look(Look::Client(due.id.clone()))),
        })
    }

    /// Until when use keeps a replaced client alive: for one more overlap after it was used last, and not beyond the most. But
    /// while a client of this object lives whose attempt we do not know, somebody else may have made it, with our identity and
    /// on another record, and still rely on what we replaced: then as long as it is used.
    fn used_until(&self, client: &RetiringClient) -> Option<Timestamp> {
        let used = self.used(client)?;
        let Overlap { least, most } = self.overlap();
        let promised = Duration::try_from(client.revoke_time.0.duration_since(client.since.0)).unwrap_or_default();
        let until = used + promised.max(least);
        let until = if self.has_orphan() { until } else { until.min(client.since.0 + most) };
        Some(client.expires_time.as_ref().map_or(until, |expires| until.min(expires.0)))
    }

    /// When it was used last after it was replaced, by all that is known.
    fn used(&self, client: &RetiringClient) -> Option<Timestamp> {
        let read = match self.o.reads.get(&client.id) {
            Some(ClientRead::Live(read)) => read.last_used_at,
            _ => None,
        };
        let listed = self.listed_as(&client.id).and_then(|c| c.last_used_at);
        let written = client.last_used_at.as_ref().map(|t| t.0);
        [read, listed, written].into_iter().flatten().max().filter(|used| *used > client.since.0)
    }

    fn has_orphan(&self) -> bool {
        let open = self.record.open.as_ref().map(|o| &o.attempt);
        self.listed().any(|(_, _, marker)| {
            let attempt = &marker.attempt;
            Some(attempt) != open && !self.record.is_abandoned(attempt) && !self.is_carried(attempt)
        })
    }

    /// What is kept alive by its use, is said so.
    pub(super) fn still_used(&self, retiring: &[RetiringClient]) -> Vec<RetiringClient> {
        let said = |r: &RetiringClient| {
            let kept = r.revoke_time.0 <= self.now && self.used_until(r).is_some_and(|until| until > self.now);
            let used = self.used(r).map(to_seconds).filter(|_| kept);
            let old = r.last_used_at.as_ref().map(|t| t.0);
            match (used, old) {
                (Some(used), None) => Some(Time(used)),
                (Some(used), Some(old)) if used >= old + SAY_AGAIN => Some(Time(used)),
                _ => r.last_used_at.clone(),
            }
        };
        retiring.iter().map(|r| RetiringClient { last_used_at: said(r), ..r.clone() }).collect()
    }

    /// When the next of the replaced clients is due: its overlap is over, it is not used any more, and C1 shows what it may
    /// show late.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let end = |r: &RetiringClient| {
            let promised = r.revoke_time.0.max(r.since.0 + self.o.timing.settle);
            self.used_until(r).map_or(promised, |until| until.max(promised))
        };
        self.status.retiring.iter().map(end).filter(|end| *end > self.now).min()
    }
}
