//! Rows 4 and 5: a Secret that holds a client which status does not name, and what is written when it becomes the current one.

use super::{
    decide::{Decision, Holding, SECRET_UNREADABLE},
    evidence::Presence,
    moves::mistyped,
    record::{Content, Delivered, SecretSeen},
    renewal, restart, status,
    step::{Look, Plan, Step},
    wanted::asked,
};
use crate::api::{PersonalClientStatus, Reason, RetiringClient};

impl Decision<'_> {
    /// Row 4: the Secret holds a client that status does not name. It is the truth.
    pub(super) fn secret_wins(&self) -> Option<Plan> {
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
        if self.is_first_look(&client.issuer_ref) {
            return Some(self.nothing());
        }
        if !self.is_mine(client) {
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
    pub(super) fn secret_left(&self) -> Option<Plan> {
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
            // Whoever deletes the object from now on must find us waiting; and whoever renames its Secret, this one.
            (_, Some(_)) if !self.has_finalizer() => Some(self.step(Step::AddFinalizer)),
            (_, Some(_)) if self.status.secret_name.as_ref() != Some(&self.secret_name) => {
                let secret_name = Some(self.secret_name.clone());
                let status = PersonalClientStatus { secret_name, ..self.status.clone() };
                Some(self.step(Step::UpdateStatus(Box::new(status))))
            }
            (_, Some(_)) => Some(self.step(Step::Claim(Box::new(seen.clone())))),
            (_, None) => Some(self.step(Step::Look(Look::Client(client.id.clone())))),
        }
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
        let overlap = self.overlap().least;
        let former = self.status.client.as_ref().map(|c| status::retiring(c, self.now, overlap));
        let name = self.secret_name.as_str();
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
        if delivered.answers.is_some() {
            status.last_handled_rotate_at.clone_from(&delivered.answers);
        }
        status.update_refused_generation = None;
        status.restart_pending = restart::pending(&self.o.object, &self.status, &delivered.client);
        let status = renewal::with_renewal(&self.o.object, status);
        let stale = if delivered.asked != asked(&self.o.object) {
            Some("a new one is being issued")
        } else if self.is_misplaced() {
            Some("it is being moved")
        } else if self.edited(&delivered.client).is_empty() {
            None
        } else {
            Some("it is being changed")
        };
        if let Some(next) = stale {
            let message = format!("the credential of an earlier spec was delivered: {next}");
            return status::not_ready(&status, Reason::Issuing, &message, self.generation(), self.now);
        }
        if let Some(is) = delivered.template.unlike(self.o.object.spec.secret_template.as_ref()) {
            let message = mistyped(&self.secret_name, is);
            return status::not_ready(&status, Reason::SecretRefused, &message, self.generation(), self.now);
        }
        status::nothing_failing(status::works(&status, &self.holds(), self.generation(), self.now))
    }
}
