//! The decision table of `docs/protocol.md`, row by row.

use std::{cell::OnceCell, collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{
    guards::Guards,
    marker,
    need::lost,
    observed::{Observed, SecretView, current_secret},
    record::{Delivered, Record, SecretSeen},
    status,
    step::{Look, Plan, Step},
    wanted::Wanted,
};
use crate::api::{FINALIZER, PersonalClientStatus, Reason};

/// How soon a Secret that could not be read is read again.
pub(super) const SECRET_UNREADABLE: Duration = Duration::from_secs(30);

/// How many clients that nobody can use may live before they must go first.
const MOST_STRAYS: usize = 3;
/// After C1 did not answer a question about something else, the present credential goes first for so long.
pub const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// One decision being made.
pub(super) struct Decision<'a> {
    pub(super) o: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) guards: &'a Guards,
    pub(super) record: Record,
    /// Name of the Secret that counts.
    pub(super) secret_name: String,
    pub(super) status: PersonalClientStatus,
    pub(super) marker_owner: String,
    /// What the object asks for; asked several times a decision, and a million decisions a model.
    pub(super) wanted: OnceCell<Option<Wanted>>,
}

/// The Secret of the wanted name, as it concerns this object.
pub(super) enum Holding<'a> {
    Unknown,
    Absent,
    /// Not ours.
    Foreign,
    /// Ours.
    Ours(&'a SecretSeen, &'a Delivered),
    /// Of an object of this very name that does not live any more: a restored backup, or `Retain` and made again.
    Left(&'a SecretSeen, &'a Delivered),
}

impl<'a> Decision<'a> {
    pub(super) fn new(o: &'a Observed, now: Timestamp, guards: &'a Guards) -> Self {
        let metadata = &o.object.metadata;
        let text = |s: &Option<String>| s.clone().unwrap_or_default();
        let record = Record::of(&o.object);
        Self {
            o,
            now,
            guards,
            secret_name: current_secret(&o.object, &record),
            record,
            status: o.object.status_or_default(),
            marker_owner: marker::owner(&o.cluster, &text(&metadata.namespace), &text(&metadata.name)),
            wanted: OnceCell::new(),
        }
    }

    pub(super) fn decide(&self) -> Plan {
        if self.o.object.metadata.deletion_timestamp.is_some() {
            return self.removal();
        }
        if self.o.in_flight {
            return self.nothing();
        }
        if let SecretView::Unknown(_) = self.o.secret {
            // No evidence of anything: neither that the Secret is lost, nor that it does not hold a client.
            return Plan { step: Step::Nothing, wake: Some(self.now + SECRET_UNREADABLE) };
        }
        if self.o.object.is_suspended() {
            return self.suspended();
        }
        self.finalizer_torn_off()
            .or_else(|| self.secret_wins())
            .or_else(|| self.secret_left())
            .or_else(|| self.first_the_truth())
            .or_else(|| self.open_attempt())
            .unwrap_or_else(|| self.former_and_current())
    }

    /// Only what is known is written down, and overlaps end. No attempt is judged: this may be a copy of the cluster, and the
    /// attempt its original's.
    fn suspended(&self) -> Plan {
        let first = self.finalizer_torn_off().or_else(|| self.secret_wins()).or_else(|| self.first_the_truth());
        if let Some(plan) = first {
            return plan;
        }
        // Whoever still has to be restarted uses what was replaced.
        match self.retiring_due().filter(|_| !self.awaits_restart()) {
            Some(plan) if !self.is_held_up(&plan) => plan,
            held_up => Self::unless_idle(self.while_suspended(), held_up),
        }
    }

    /// What is said then.
    fn while_suspended(&self) -> Plan {
        let unapplied = |client| self.is_unfulfilled(client) || self.has_new_template();
        match self.need() {
            Some(Ok((need, _))) if !need.is_renewal() => self.not_ready(
                Reason::Suspended,
                "suspend is true: no credential is issued; set it to false, or take it away, to go on",
            ),
            Some(Err(look)) => self.step(Step::Look(look)),
            _ if self.past().is_none() && self.status.client.as_ref().is_some_and(unapplied) => {
                self.with_time(self.not_ready(
                    Reason::Suspended,
                    "suspend is true: the credential works, and what the spec asks for anew is not applied; set it to false, or take it away, to go on",
                ))
            }
            _ => self.steady(),
        }
    }

    /// What nobody uses goes before another comes. But what C1 does not delete, or does not tell of, holds up nothing else for a
    /// while; unless delivery fails as well, where each try would leave one more.
    fn former_and_current(&self) -> Plan {
        let rows: [fn(&Self) -> Option<Plan>; 3] = [Self::stray, Self::restart, Self::retiring_due];
        let mut former = rows.into_iter().filter_map(|row| row(self));
        let Some(first) = former.next() else { return self.current() };
        let strays: BTreeSet<&str> = self.strays().map(|(_, client, _)| client.id.as_str()).collect();
        if !self.is_held_up(&first) || strays.len() >= MOST_STRAYS {
            return first;
        }
        let free = former.find(|plan| !self.is_held_up(plan));
        free.unwrap_or_else(|| Self::unless_idle(self.current(), Some(first)))
    }

    /// This plan; or what was held up, tried again, when nothing else is to be done.
    fn unless_idle(plan: Plan, held_up: Option<Plan>) -> Plan {
        if plan.step == Step::Nothing { held_up.unwrap_or(plan) } else { plan }
    }

    /// The first of these that is not held up; else the first.
    pub(super) fn freest(&self, mut plans: impl Iterator<Item = Plan>) -> Option<Plan> {
        let first = plans.next()?;
        if !self.is_held_up(&first) {
            return Some(first);
        }
        Some(plans.find(|plan| !self.is_held_up(plan)).unwrap_or(first))
    }

    /// C1 was told or asked that a moment ago, and has not done it, or not answered.
    fn is_held_up(&self, plan: &Plan) -> bool {
        match &plan.step {
            Step::Look(look) => self.has_failed(look),
            Step::Revoke(id) => self.o.undeleted.contains(id),
            Step::Abandon(step) => self.o.undeleted.contains(&step.client_id),
            _ => false,
        }
    }

    /// C1 was asked that, and has not answered.
    pub(super) fn has_failed(&self, look: &Look) -> bool {
        self.o.failed_looks.contains(look)
    }

    // --- rows -----------------------------------------------------------------------------------------------------

    /// Row 3: `kubectl replace` took the finalizer away, while there is a client to answer for.
    fn finalizer_torn_off(&self) -> Option<Plan> {
        let client =
            self.status.client.is_some() || matches!(self.holding(), Holding::Ours(..)) || self.record.open.is_some();
        (client && !self.has_finalizer()).then(|| self.step(Step::AddFinalizer))
    }

    /// The credential that status names is lost, and status does not say so. Nothing else is done before it does: not even an
    /// attempt is resolved, whose maker may wake up and deliver what is then dead.
    fn first_the_truth(&self) -> Option<Plan> {
        let Ok((need, why)) = self.need()? else { return None };
        let reason = lost(need).filter(|_| self.guards.say_lost_first)?;
        let unsaid = status::ready_reason(&self.status)
            .is_none_or(|r| r == Reason::Issued.as_str() || r == Reason::Expired.as_str());
        // Also where something else was said of it: each loss counts.
        let (counted, failures) = (&self.status.lost_client_id, self.status.failed_issuance_attempts);
        let uncounted = *counted != self.status.client.as_ref().map(|client| client.id.clone())
            // Which those were that somebody counted who did not write that down, or who could not, nobody knows.
            && (counted.is_some() || failures.is_none())
            && status::ready_reason(&self.status) != Some(reason.as_str());
        (unsaid || uncounted).then(|| self.step(Step::UpdateStatus(Box::new(self.count_loss(reason, &why)))))
    }

    // --- small questions ------------------------------------------------------------------------------------------

    pub(super) fn holding(&self) -> Holding<'a> {
        let seen = match &self.o.secret {
            SecretView::Unknown(_) => return Holding::Unknown,
            SecretView::Absent => return Holding::Absent,
            SecretView::Present(seen) => seen.as_ref(),
        };
        let Some(delivered) = &seen.delivered else { return Holding::Foreign };
        if !delivered.is_of(&self.marker_owner) {
            Holding::Foreign
        } else if self.o.object.metadata.uid.as_ref() == Some(&delivered.owner.uid) {
            Holding::Ours(seen, delivered)
        } else {
            Holding::Left(seen, delivered)
        }
    }

    /// The Secret, when it is ours.
    pub(super) fn ours(&self) -> Option<(&'a SecretSeen, &'a Delivered)> {
        match self.holding() {
            Holding::Ours(seen, delivered) => Some((seen, delivered)),
            _ => None,
        }
    }

    /// Whether the Secret holds this very client: then it is never deleted, but for the deletion of the object.
    pub(super) fn secret_names(&self, id: &str) -> bool {
        matches!(self.holding(), Holding::Ours(_, d) | Holding::Left(_, d) if d.client.id == id)
    }

    /// Whether status names this very client, as current or as one that retires.
    pub(super) fn status_names(&self, id: &str) -> bool {
        self.status.client.as_ref().is_some_and(|c| c.id == id) || self.status.retiring.iter().any(|r| r.id == id)
    }

    /// Whether a client that status names is of this attempt.
    pub(super) fn status_carries(&self, attempt: &str) -> bool {
        self.status.client.as_ref().is_some_and(|c| c.attempt == attempt)
            || self.status.retiring.iter().any(|r| r.attempt == attempt)
    }

    /// Whether status or our Secret carry this attempt: then it is known what it made.
    pub(super) fn is_carried(&self, attempt: &str) -> bool {
        self.status_carries(attempt) || matches!(self.holding(), Holding::Ours(_, d) if d.client.attempt == attempt)
    }

    pub(super) fn is_abandoned(&self, attempt: &str) -> bool {
        self.guards.refuse_abandoned && self.record.is_abandoned(attempt)
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.o.object.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER)
    }

    pub(super) fn retain(&self) -> bool {
        self.o.object.retains()
    }

    pub(super) fn since(&self, time: Timestamp) -> Duration {
        self.now.duration_since(time).try_into().unwrap_or_default()
    }

    pub(super) fn generation(&self) -> i64 {
        self.o.object.metadata.generation.unwrap_or_default()
    }

    // --- plans ----------------------------------------------------------------------------------------------------

    #[allow(clippy::unused_self)] // reads as its siblings do
    pub(super) fn step(&self, step: Step) -> Plan {
        Plan { step, wake: None }
    }

    #[allow(clippy::unused_self)]
    pub(super) fn nothing(&self) -> Plan {
        Plan { step: Step::Nothing, wake: None }
    }

    /// Says what the spec asks for and the credential cannot have. That its renewal fails stays said beside it.
    pub(super) fn unfulfilled(&self, reason: Reason, message: &str) -> Plan {
        let fails = self.need().is_some_and(|need| need.is_ok_and(|(need, _)| need.is_renewal()));
        let renews = fails || self.update().is_some() || self.is_blind();
        let said = status::unfulfilled(&self.status, reason, message, self.generation(), self.now);
        self.says(if renews { said } else { status::nothing_failing(said) })
    }

    /// Says why the credential is not there or not as wanted. A status that says so already is not written again.
    pub(super) fn not_ready(&self, reason: Reason, message: &str) -> Plan {
        self.says(status::not_ready(&self.status, reason, message, self.generation(), self.now))
    }

    /// Says this, unless status does already.
    pub(super) fn says(&self, wanted: PersonalClientStatus) -> Plan {
        let step = if wanted == self.status { Step::Nothing } else { Step::UpdateStatus(Box::new(wanted)) };
        Plan { step, wake: None }
    }
}
