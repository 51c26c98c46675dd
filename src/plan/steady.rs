//! Row 13 and what is under the table: a credential that works, what is said of it, and when time will change that.

use k8s_openapi::jiff::Timestamp;

use super::{
    decide::{Decision, Holding, LOOK_AGAIN},
    evidence::Presence,
    record::Content,
    renewal, status,
    step::{Look, Plan, Step},
};
use crate::api::{IssuedClient, PersonalClientStatus, Reason};

impl Decision<'_> {
    /// Before what works is replaced, status says that it does, and for this very spec; or that it is past its lifetime. Only
    /// so can be told, when the replacement fails, that nothing is wrong yet.
    pub(super) fn say_how_it_stands(&self) -> Option<Step> {
        let client = self.status.client.as_ref()?;
        let wanted = if !self.expired(client) {
            self.working(client)?
        } else if status::is_expired(&self.status) && self.status.observed_generation == self.generation() {
            return None;
        } else {
            let message = "the credential is past its lifetime: a new one is being issued";
            status::not_ready(&self.status, Reason::Expired, message, self.generation(), self.now)
        };
        (wanted != self.status).then(|| Step::UpdateStatus(Box::new(wanted)))
    }

    /// What works cannot be replaced, which is said beside `Ready`.
    pub(super) fn cannot_be_replaced(&self, reason: Reason, message: &str) -> Plan {
        let expired = self.status.client.as_ref().is_some_and(|client| self.expired(client));
        let how = (expired, self.generation(), self.now);
        self.says(status::cannot_be_replaced(&self.status, reason, message, how))
    }

    /// The credential is past its lifetime, which is said whatever else cannot be done.
    pub(super) fn past(&self) -> Option<Plan> {
        self.status.client.as_ref().filter(|client| self.expired(client)).map(|_| self.steady())
    }

    /// Row 13: the template changed, or somebody changed what it put there.
    pub(super) fn rendering(&self) -> Option<Plan> {
        let (seen, _) = self.ours()?;
        match seen.content {
            Content::Unread if self.has_new_template() => Some(self.step(Step::Look(Look::Live))),
            Content::Intact { rendered: false } if self.o.render_refused.is_none() => {
                Some(self.step(Step::Render(Box::new(seen.clone()))))
            }
            _ => None,
        }
    }

    /// All is as it should be; or the credential is past its lifetime, which is said.
    pub(super) fn steady(&self) -> Plan {
        let Some(client) = &self.status.client else { return self.nothing() };
        if self.expired(client) {
            return self.not_ready(
                Reason::Expired,
                "the credential is past its lifetime: ask for a new one with the annotation iam.conductor.one/rotate-requested-at, or change spec.expires",
            );
        }
        let Some(working) = self.working(client) else { return Plan { wake: self.next_time(), ..self.nothing() } };
        let said = if self.is_blind() { working } else { status::nothing_failing(working) };
        Plan { wake: self.next_time(), ..self.says(said) }
    }

    /// Nobody knows now whether a renewal is due, or a change: what fails is not taken back, to be said anew a moment later.
    pub(super) fn is_blind(&self) -> bool {
        let untold = self.status.client.as_ref().is_some_and(|c| self.has_failed(&Look::Client(c.id.clone())));
        let unread =
            self.o.issuer.as_ref().is_some_and(|issuer| issuer.inventory.is_none() && issuer.not_ready.is_none());
        self.clock_off() || untold || unread
    }

    /// What is to be said of a credential that works, whether or not it can be replaced; `None`: it was said that it does not,
    /// and nothing proves yet that it does; or it is not what this spec asks for.
    fn working(&self, client: &IssuedClient) -> Option<PersonalClientStatus> {
        let past = client.expires_time.as_ref().is_some_and(|t| t.0 <= self.now);
        let lives = matches!(self.presence(client), Presence::Live | Presence::MarkerLost);
        let proven = lives || self.is_said_of_the_spec(client);
        let unproven = !status::is_ready(&self.status) && (past || !proven || self.is_unrendered());
        if unproven || self.is_unfulfilled(client) {
            return None;
        }
        let mut base = self.status.clone();
        base.retiring = self.still_used(&base.retiring);
        if let Holding::Ours(seen, _) = self.holding()
            && seen.content == (Content::Intact { rendered: true })
        {
            base.secret_resource_version = Some(seen.resource_version.clone());
        }
        let base = renewal::with_renewal(&self.o.object, base);
        Some(status::works(&base, &self.holds(), self.generation(), self.now))
    }

    /// What was said last is of the spec, or of its Secret: the client itself worked all along.
    fn is_said_of_the_spec(&self, client: &IssuedClient) -> bool {
        let said = status::ready_reason(&self.status);
        let of_the_spec = [Reason::Suspended, Reason::SecretConflict, Reason::SecretRefused];
        of_the_spec.iter().any(|reason| said == Some(reason.as_str()))
            && self.status.lost_client_id.as_ref() != Some(&client.id)
    }

    pub(super) fn holds(&self) -> String {
        let holds = status::holds(&self.secret_name);
        if self.o.object.is_suspended() { format!("{holds}; suspend is true, so it is not replaced") } else { holds }
    }

    /// When something happens because of time: the credential is to be replaced, or expires, or a replaced one is to end.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        let client = self.status.client.as_ref();
        let expires = client.and_then(|c| c.expires_time.as_ref()).map(|t| t.0);
        let renewal = client.and_then(|c| renewal::due(&self.o.object, c)).map(|(time, _)| time);
        let renewal = renewal.filter(|_| !self.o.object.is_suspended());
        let restart = self.restart_due().filter(|_| !self.o.object.is_suspended());
        let again = client.filter(|c| self.has_failed(&Look::Client(c.id.clone()))).map(|_| self.now + LOOK_AGAIN);
        let refused = [&self.o.render_refused, &self.o.move_refused].into_iter().flatten().map(|refusal| refusal.until);
        let times = expires.into_iter().chain(renewal).chain(restart).chain(refused).filter(|time| *time > self.now);
        times.chain(again).chain(self.next_end()).min()
    }

    /// By the wall clock, as far as it can be believed.
    pub(super) fn expired(&self, client: &IssuedClient) -> bool {
        !self.clock_off() && client.expires_time.as_ref().is_some_and(|t| t.0 <= self.now)
    }
}
