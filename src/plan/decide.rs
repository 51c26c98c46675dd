//! The decision table of `docs/protocol.md`, row by row.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Marker,
    evidence::{Opened, Presence},
    guards::Guards,
    marker,
    need::lost,
    observed::{Observed, SecretView},
    record::{Content, Delivered, Record, SecretSeen},
    status,
    step::{AbandonStep, Look, Plan, Step},
    wanted::{asked, template_digest},
};
use crate::{
    api::{FINALIZER, IssuedClient, PersonalClientStatus, Reason, RetiringClient},
    c1::Client,
};

/// How soon a Secret that could not be read is read again.
pub(super) const SECRET_UNREADABLE: Duration = Duration::from_secs(30);

/// How many clients that nobody can use may live before they must go first.
const MOST_STRAYS: usize = 3;

/// One decision being made.
pub(super) struct Decision<'a> {
    pub(super) o: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) guards: &'a Guards,
    pub(super) record: Record,
    pub(super) status: PersonalClientStatus,
    pub(super) marker_owner: String,
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
        Self {
            o,
            now,
            guards,
            record: Record::of(&o.object),
            status: o.object.status_or_default(),
            marker_owner: marker::owner(&o.cluster, &text(&metadata.namespace), &text(&metadata.name)),
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
        self.finalizer_torn_off()
            .or_else(|| self.secret_wins())
            .or_else(|| self.secret_left())
            .or_else(|| self.first_the_truth())
            .or_else(|| self.open_attempt())
            .unwrap_or_else(|| self.former_and_current())
    }

    /// What nobody uses goes before another comes. But for a while after C1 refused to delete it, the present credential does
    /// not wait for that; unless delivery fails as well, where each try would leave one more.
    fn former_and_current(&self) -> Plan {
        let current = || self.new_client().or_else(|| self.rendering()).unwrap_or_else(|| self.steady());
        let former = || self.strays().or_else(|| self.retiring_due());
        let strays = self.listed().filter(|(client, marker)| self.is_stray(client, marker)).count();
        if !self.o.delete_failed || strays >= MOST_STRAYS {
            return former().unwrap_or_else(current);
        }
        let current = current();
        if current.step == Step::Nothing { former().unwrap_or(current) } else { current }
    }

    // --- rows -----------------------------------------------------------------------------------------------------

    /// Row 3: `kubectl replace` took the finalizer away, while there is a client to answer for.
    fn finalizer_torn_off(&self) -> Option<Plan> {
        let client =
            self.status.client.is_some() || matches!(self.holding(), Holding::Ours(..)) || self.record.open.is_some();
        (client && !self.has_finalizer()).then(|| self.step(Step::AddFinalizer))
    }

    /// Row 4: the Secret holds a client that status does not name. It is the truth.
    fn secret_wins(&self) -> Option<Plan> {
        let Holding::Ours(seen, delivered) = self.holding() else { return None };
        let client = &delivered.client;
        if self.status.client.as_ref().is_some_and(|c| c.id == client.id) || self.is_abandoned(&client.attempt) {
            return None;
        }
        match seen.content {
            Content::Unread => return Some(self.step(Step::Look(Look::Live))),
            Content::Altered => return None,
            Content::Intact { .. } => {}
        }
        match self.presence(client) {
            Presence::Gone | Presence::MarkerLost => None,
            Presence::Ask => Some(self.step(Step::Look(Look::Client(client.id.clone())))),
            // Against a client that is known to be current, only one that is known to live.
            Presence::Unproven if self.status.client.is_some() && self.guards.prove_takeover => {
                self.prove(seen, delivered)
            }
            Presence::Live | Presence::Unproven => Some(self.take_over(seen, delivered)),
        }
    }

    /// What the list does not show, a read may.
    fn prove(&self, seen: &SecretSeen, delivered: &Delivered) -> Option<Plan> {
        let client = &delivered.client;
        if self.identity().is_none() || self.inventory().is_none() {
            // The issuer's first look is under way, and tells.
            return Some(self.nothing());
        }
        if !self.is_mine(&client.host, &client.user_id) {
            return None;
        }
        match self.read(&client.id) {
            None => Some(self.step(Step::Look(Look::Client(client.id.clone())))),
            Some(Presence::Live) => Some(self.take_over(seen, delivered)),
            Some(Presence::MarkerLost) => None,
            // C1 may not show it yet. A new one is issued when it certainly is not there.
            Some(_) => {
                let open = self.record.open.as_ref().filter(|o| o.attempt == client.attempt).map(|o| o.started_at);
                let made = client.created_at.as_ref().map(|t| t.0).or(open);
                let young = made.is_some_and(|made| !self.is_settled(made));
                young.then(|| Plan { step: Step::Nothing, wake: Some(self.now + SECRET_UNREADABLE) })
            }
        }
    }

    /// Row 5: a Secret whose owner does not live any more. Adopted when its client lives; else a normal attempt takes it over.
    fn secret_left(&self) -> Option<Plan> {
        let Holding::Left(seen, delivered) = self.holding() else { return None };
        let client = &delivered.client;
        if self.status.client.is_some() || self.is_abandoned(&client.attempt) || self.expired(client) {
            return None;
        }
        let identity = self.o.issuer.as_ref()?.identity.as_ref()?;
        if (&client.host, &client.user_id) != (&identity.host, &identity.user_id) {
            return None;
        }
        if seen.content == Content::Unread {
            return Some(self.step(Step::Look(Look::Live)));
        }
        match (seen.content, self.read(&client.id)) {
            (Content::Altered, _) | (_, Some(Presence::Gone | Presence::MarkerLost)) => None,
            // Whoever deletes the object from now on must find us waiting.
            (_, Some(_)) if !self.has_finalizer() => Some(self.step(Step::AddFinalizer)),
            (_, Some(_)) => Some(self.step(Step::Claim(Box::new(seen.clone())))),
            (_, None) => Some(self.step(Step::Look(Look::Client(client.id.clone())))),
        }
    }

    /// The credential that status names is lost, and status does not say so. Nothing else is done before it does: not even an
    /// attempt is resolved, whose maker may wake up and deliver what is then dead.
    fn first_the_truth(&self) -> Option<Plan> {
        let Ok((need, why)) = self.need()? else { return None };
        let reason = lost(need).filter(|_| self.guards.say_lost_first)?;
        let unsaid = status::ready_reason(&self.status)
            .is_none_or(|r| r == Reason::Issued.as_str() || r == Reason::Expired.as_str());
        unsaid.then(|| self.step(Step::UpdateStatus(Box::new(self.count_loss(reason, &why)))))
    }

    /// Rows 6 to 9: an attempt whose outcome nobody knows.
    fn open_attempt(&self) -> Option<Plan> {
        match self.opened() {
            Opened::No | Opened::Unsent | Opened::Nothing | Opened::Guess | Opened::Used => None,
            Opened::Young(until) => Some(self.issuing(Some(until))),
            Opened::NeedList if self.identity().is_some() => Some(self.step(Step::Look(Look::List))),
            Opened::NeedList => self.issuer_missing().or_else(|| Some(self.issuing(None))),
            Opened::Unproven => Some(self.not_ready(
                Reason::InventoryIncomplete,
                "C1's list of clients cannot be read to its end, so it is not known whether earlier attempts made clients",
            )),
            Opened::Found(client) => {
                let attempt = self.record.open.as_ref().map(|o| o.attempt.clone()).unwrap_or_default();
                Some(self.abandon(attempt, client, true))
            }
        }
    }

    fn abandon(&self, attempt: String, client: &Client, burn: bool) -> Plan {
        let owner = self.marker_owner.clone();
        self.step(Step::Abandon(AbandonStep { attempt, client_id: client.id.clone(), burn, owner }))
    }

    /// Row 10: clients that we asked for and that nobody can use: of an abandoned attempt, or made twice for a known one.
    fn strays(&self) -> Option<Plan> {
        self.identity()?;
        let (client, marker) = self.listed().find(|(client, marker)| self.is_stray(client, marker))?;
        Some(self.abandon(marker.attempt, client, false))
    }

    /// Row 11: a retiring client whose overlap is over. One that C1 may not know everywhere yet is not taken for gone.
    fn retiring_due(&self) -> Option<Plan> {
        let issuer = self.o.issuer.as_ref().filter(|i| !i.clock_off)?;
        let identity = issuer.identity.as_ref()?;
        let due = self.status.retiring.iter().find(|r| {
            r.revoke_time.0 <= self.now
                && (&r.host, &r.user_id) == (&identity.host, &identity.user_id)
                && !self.secret_names(&r.id)
                && self.is_settled(r.since.0)
        })?;
        // Should its create have taken effect twice, nobody remembers the other when it is struck: it must have been seen.
        let seen = self.inventory().is_some_and(|i| i.began >= due.since.0 + self.o.timing.settle);
        Some(match self.marked(&due.id) {
            _ if !seen && !self.o.listed => self.step(Step::Look(Look::List)),
            None => self.step(Step::Look(Look::Client(due.id.clone()))),
            Some(true) => self.step(Step::Revoke(due.id.clone())),
            Some(false) => self.step(Step::Strike(due.id.clone())),
        })
    }

    /// Row 12: a client is needed.
    fn new_client(&self) -> Option<Plan> {
        let need = match self.need()? {
            Ok((need, _)) => need,
            Err(look) => return Some(self.step(Step::Look(look))),
        };
        let wanted = match self.gate(need) {
            Ok(plan) => return Some(plan),
            Err(wanted) => wanted,
        };
        Some(self.owed().map_or_else(|| self.issue(need, wanted), |step| self.step(step)))
    }

    /// Row 13: the template changed, or somebody changed what it put there.
    fn rendering(&self) -> Option<Plan> {
        let Holding::Ours(seen, delivered) = self.holding() else { return None };
        let wanted = template_digest(self.o.object.spec.secret_template.as_ref());
        match seen.content {
            Content::Unread if delivered.template.digest != wanted => Some(self.step(Step::Look(Look::Live))),
            Content::Intact { rendered: false } => Some(self.step(Step::Render(Box::new(seen.clone())))),
            _ => None,
        }
    }

    /// All is as it should be; or the credential is past its lifetime, which is said.
    fn steady(&self) -> Plan {
        let Some(client) = &self.status.client else { return self.nothing() };
        if self.expired(client) {
            return self.not_ready(
                Reason::Expired,
                "the credential is past its lifetime: change spec.expires to issue a new one",
            );
        }
        let past = client.expires_time.as_ref().is_some_and(|t| t.0 <= self.now);
        let lives = matches!(self.presence(client), Presence::Live | Presence::MarkerLost);
        if !status::is_ready(&self.status) && (past || !lives) {
            // It was said that it does not work, and nothing proves yet that it does.
            return self.nothing();
        }
        let mut base = self.status.clone();
        if let Holding::Ours(seen, _) = self.holding()
            && matches!(seen.content, Content::Intact { .. })
        {
            base.secret_resource_version = Some(seen.resource_version.clone());
        }
        let wanted = status::ready(&base, self.o.object.secret_name(), self.generation(), self.now);
        let expires = client.expires_time.as_ref().map(|t| t.0).filter(|time| *time > self.now);
        let wake = expires.into_iter().chain(self.next_end()).min();
        let step = if wanted == self.status { Step::Nothing } else { Step::UpdateStatus(Box::new(wanted)) };
        Plan { step, wake }
    }

    /// When the next of the retiring clients is due: its overlap is over, and C1 shows what it may show late.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let ends = self.status.retiring.iter().map(|r| r.revoke_time.0.max(r.since.0 + self.o.timing.settle));
        ends.filter(|end| *end > self.now).min()
    }

    /// Takes the Secret's client for the current one.
    fn take_over(&self, seen: &SecretSeen, delivered: &Delivered) -> Plan {
        match self.replaced(delivered) {
            Ok(replaced) => self.step(Step::UpdateStatus(Box::new(self.with_current(seen, delivered, &replaced)))),
            Err(look) => self.step(Step::Look(look)),
        }
    }

    fn with_current(
        &self,
        seen: &SecretSeen,
        delivered: &Delivered,
        replaced: &[&RetiringClient],
    ) -> PersonalClientStatus {
        let overlap = self.o.timing.overlap;
        let former = self.status.client.as_ref().map(|c| status::retiring(c, self.now, overlap));
        let name = self.o.object.secret_name();
        let mut status = status::record(&self.status, &delivered.client, name, &seen.resource_version, former);
        for owed in replaced {
            // Whoever was replaced by this delivery gets the whole overlap from now on: the consumers may never have seen
            // the new credential. Which those are cannot be told here.
            status.retiring.retain(|r| r.id != owed.id);
            status.retiring.push(status::retiring_anew(owed, self.now, overlap));
        }
        if !matches!(seen.content, Content::Intact { rendered: true }) {
            status.secret_resource_version = None;
        }
        if delivered.asked != asked(&self.o.object.spec) {
            let message = "the credential of an earlier spec was delivered: a new one is being issued";
            return status::not_ready(&status, Reason::Issuing, message, self.generation(), self.now);
        }
        status::ready(&status, name, self.generation(), self.now)
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

    fn is_stray(&self, client: &Client, marker: &Marker) -> bool {
        if self.secret_names(&client.id) || self.status_names(&client.id) {
            return false;
        }
        self.record.is_abandoned(&marker.attempt) || self.is_carried(&marker.attempt)
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

    /// By the wall clock, as far as it can be believed.
    pub(super) fn expired(&self, client: &IssuedClient) -> bool {
        !self.clock_off() && client.expires_time.as_ref().is_some_and(|t| t.0 <= self.now)
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

    /// Says why the credential is not there or not as wanted. A status that says so already is not written again.
    pub(super) fn not_ready(&self, reason: Reason, message: &str) -> Plan {
        let wanted = status::not_ready(&self.status, reason, message, self.generation(), self.now);
        let step = if wanted == self.status { Step::Nothing } else { Step::UpdateStatus(Box::new(wanted)) };
        Plan { step, wake: None }
    }

    /// An attempt is being resolved. What works goes on being Ready, and a failure that is told stays told.
    fn issuing(&self, wake: Option<Timestamp>) -> Plan {
        if status::ready_reason(&self.status).is_some() && self.status.observed_generation == self.generation() {
            return Plan { step: Step::Nothing, wake };
        }
        let plan = self.not_ready(
            Reason::Issuing,
            "the outcome of an earlier attempt is not known: waiting until it can be resolved",
        );
        Plan { wake, ..plan }
    }
}
