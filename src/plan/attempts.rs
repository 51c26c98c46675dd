//! Rows 6 to 10: attempts whose outcome nobody knows, and clients that nobody can use.

use k8s_openapi::jiff::Timestamp;

use super::{
    Marker,
    decide::{Decision, LOOK_AGAIN},
    evidence::Opened,
    observed::IssuerView,
    status,
    step::{AbandonStep, Look, Plan, Step},
};
use crate::{
    api::{IssuerRef, Reason},
    c1::Client,
};

impl<'a> Decision<'a> {
    /// Rows 6 to 9: an attempt whose outcome nobody knows.
    pub(super) fn open_attempt(&self) -> Option<Plan> {
        match self.opened() {
            Opened::No | Opened::Unsent | Opened::Nothing | Opened::Guess | Opened::Used => None,
            Opened::Young(until) => Some(self.issuing(Some(until))),
            Opened::NeedList => match self.listing() {
                // Whoever waits for C1 still says that what he has is past its lifetime.
                Some(at) if self.has_failed(&Look::List(at.clone())) => Some(self.issuing(Some(self.now + LOOK_AGAIN))),
                Some(at) => Some(self.step(Step::Look(Look::List(at)))),
                // What works goes on being Ready.
                None if status::is_ready(&self.status) => Some(self.with_time(self.issuing(None))),
                None => self.issuer_missing().or_else(|| Some(self.issuing(None))),
            },
            Opened::Unproven => {
                let message = "C1's list of clients cannot be read to its end, so it is not known whether earlier attempts made clients";
                // What works goes on being Ready, for what was asked for then.
                let said = status::is_ready(&self.status) || status::is_expired(&self.status);
                let works = said && self.status.observed_generation == self.generation();
                let tell = if works { Self::cannot_be_replaced } else { Self::not_ready };
                Some(self.with_time(tell(self, Reason::InventoryIncomplete, message)))
            }
            Opened::Found(client) => {
                let open = self.record.open.as_ref()?;
                Some(self.abandon(open.attempt.clone(), open.issuer_ref.clone(), client, true))
            }
        }
    }

    fn abandon(&self, attempt: String, issuer_ref: IssuerRef, client: &Client, burn: bool) -> Plan {
        let owner = self.marker_owner.clone();
        let (client_id, secret_name) = (client.id.clone(), self.secret_name.clone());
        self.step(Step::Abandon(AbandonStep { attempt, issuer_ref, client_id, burn, secret_name, owner }))
    }

    /// Row 10: clients that we asked for and that nobody can use: of an abandoned attempt, or made twice for a known one.
    pub(super) fn stray(&self) -> Option<Plan> {
        self.freest(self.strays().filter_map(|(_, client, marker)| {
            let (at, _) = self.o.caller(&client.id)?;
            Some(self.abandon(marker.attempt, at, client, false))
        }))
    }

    pub(super) fn strays(&self) -> impl Iterator<Item = (&'a IssuerView, &'a Client, Marker)> {
        self.listed().filter(|(_, client, marker)| self.is_stray(client, marker))
    }

    /// Where a list is read that tells of the open attempt.
    pub(super) fn listing(&self) -> Option<IssuerRef> {
        let open = self.record.open.as_ref()?;
        if let Some((at, _)) = self.o.reach(&open.into()) {
            return Some(at);
        }
        let own = self.identity().is_some() && !self.is_first_look(&open.issuer_ref);
        own.then(|| self.o.object.issuer_ref())
    }

    fn is_stray(&self, client: &Client, marker: &Marker) -> bool {
        if self.secret_names(&client.id) || self.status_names(&client.id) {
            return false;
        }
        self.record.is_abandoned(&marker.attempt) || self.is_carried(&marker.attempt)
    }

    /// An attempt is being resolved. What works goes on being Ready, and a failure that is told stays told.
    fn issuing(&self, wake: Option<Timestamp>) -> Plan {
        if let Some(plan) = self.past().filter(|_| status::is_ready(&self.status)) {
            return Plan { wake, ..plan };
        }
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
