//! Row 12: why a client is needed, what stands between that and its issue, and the issue itself.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Marker,
    decide::{Decision, Holding},
    digest,
    evidence::{Opened, Presence},
    observed::SecretView,
    record::{Content, Delivered, OpenAttempt},
    status::{self, Tried},
    step::{IssueStep, Look, Need, Plan, Step},
    wanted::{Wanted, asked},
};
use crate::api::{IssuedClient, PersonalClientStatus, Reason, RetiringClient};

/// What stands between a need and its issue.
pub(super) enum Bar {
    /// Something is under way that will tell.
    Wait,
    /// The last attempt failed: the next one waits until then.
    Pause(Timestamp),
    /// A person has to change something, or it comes right by itself.
    Because(Reason, String),
    /// As many replaced clients live as may.
    Full,
}

/// How many replaced clients may live at once; while there are that many, further rotations wait.
const MOST_RETIRING: usize = 3;
/// A loss or failure is forgotten after a day of health.
const BACKOFF_MEMORY: Duration = Duration::from_hours(24);
const BACKOFF_LONGEST: Duration = Duration::from_hours(1);

impl Decision<'_> {
    /// Why a new client is needed, or what must be looked at to know.
    pub(super) fn need(&self) -> Option<Result<(Need, String), Look>> {
        let name = &self.secret_name;
        let need = |need, why: String| Some(Ok((need, why)));
        let Some(client) = &self.status.client else { return need(Need::First, String::new()) };
        match self.holding() {
            Holding::Unknown => return None,
            Holding::Absent => return need(Need::SecretLost, format!("Secret {name} is missing")),
            Holding::Foreign => return need(Need::SecretLost, format!("Secret {name} is not the operator's any more")),
            Holding::Left(..) => {
                return need(Need::SecretLost, format!("Secret {name} is of an earlier object of this name"));
            }
            Holding::Ours(seen, delivered) => match seen.content {
                Content::Unread if self.status.secret_resource_version.as_ref() != Some(&seen.resource_version) => {
                    return Some(Err(Look::Live));
                }
                Content::Altered => {
                    return need(Need::SecretLost, format!("the credential in Secret {name} was altered"));
                }
                _ if self.presence(client) == Presence::Gone => {}
                _ if delivered.client.id != client.id || self.is_abandoned(&delivered.client.attempt) => {
                    return need(Need::SecretLost, format!("Secret {name} holds a client that cannot be used"));
                }
                // What does not work any more does not wait until an overlap is over.
                _ if self.is_asked_anew(client, delivered) && self.is_full() && self.asks(client) => {
                    return Some(Err(Look::Client(client.id.clone())));
                }
                _ if self.is_asked_anew(client, delivered) => return need(Need::SpecChanged, String::new()),
                _ => {}
            },
        }
        let renewal = || self.renewal_need(client).map(|need| Ok((need, String::new())));
        match self.presence(client) {
            Presence::Ask if self.asks(client) => Some(Err(Look::Client(client.id.clone()))),
            Presence::Gone if !self.expired(client) => {
                need(Need::Revoked, format!("client {} was deleted at C1", client.id))
            }
            // It was said; that C1 does not answer now takes nothing back.
            Presence::Ask if !self.expired(client) && self.is_said_revoked() => {
                need(Need::Revoked, format!("client {} was deleted at C1", client.id))
            }
            // It was proven once; that another user cannot see it takes nothing back.
            Presence::Unproven if self.is_said_revoked() => {
                need(Need::Revoked, format!("client {} was deleted at C1", client.id))
            }
            _ => renewal(),
        }
    }

    /// Only that very reason is a proof: what was lost once in another way may be there again.
    fn is_said_revoked(&self) -> bool {
        status::ready_reason(&self.status) == Some(Reason::Revoked.as_str())
    }

    /// The spec asks for what cannot be had by a change.
    fn is_asked_anew(&self, client: &IssuedClient, delivered: &Delivered) -> bool {
        delivered.asked != asked(&self.o.object) || self.cannot_be_changed(client)
    }

    /// A read would tell whether the client is gone, and that matters: what is past its lifetime is replaced all the same.
    fn asks(&self, client: &IssuedClient) -> bool {
        let look = Look::Client(client.id.clone());
        !self.expired(client) && self.presence(client) == Presence::Ask && !self.has_failed(&look)
    }

    /// As many replaced clients live as may. Those of another user never end by themselves.
    fn is_full(&self) -> bool {
        self.status.retiring.iter().filter(|r| self.is_mine(*r)).count() >= MOST_RETIRING
    }

    /// What is to be asked, when the issuer is usable and allows it.
    pub(super) fn allowed(&self) -> Result<Wanted, Bar> {
        self.issuer_bars()?;
        let Some(issuer) = &self.o.issuer else { return Err(Bar::Wait) };
        let reference = self.o.object.issuer_ref();
        let wanted = Wanted::of(&self.o.object, &issuer.defaults)
            .map_err(|error| Bar::Because(Reason::RequestRejected, error.to_string()))?;
        let namespace = self.o.object.metadata.namespace.clone().unwrap_or_default();
        if issuer.namespace_selected.is_none() {
            return Err(Bar::Wait);
        }
        if let Some(message) = wanted.denied(&reference, issuer, &namespace) {
            return Err(Bar::Because(Reason::DeniedByPolicy, message));
        }
        Ok(wanted)
    }

    /// The same, when nothing stands between a need and its issue.
    pub(super) fn gate(&self, need: Need) -> Result<Wanted, Bar> {
        let wanted = self.allowed()?;
        self.target_bars(self.target(need))?;
        if let Some(until) = self.backoff(lost(need)) {
            return Err(Bar::Pause(until));
        }
        // A credential that does not work any more does not wait for them.
        let works = self.status.client.as_ref().is_some_and(|client| !self.expired(client));
        if self.is_full() && works && (need == Need::SpecChanged || need.is_renewal()) {
            return Err(Bar::Full);
        }
        Ok(wanted)
    }

    /// The issuer is not there, or not usable.
    fn issuer_bars(&self) -> Result<(), Bar> {
        let reference = self.o.object.issuer_ref();
        let Some(issuer) = &self.o.issuer else {
            return Err(Bar::Because(Reason::IssuerNotFound, format!("{reference} does not exist")));
        };
        match &issuer.not_ready {
            Some((reason, message)) => {
                Err(Bar::Because(Reason::IssuerNotReady, format!("{reference} is not ready: {reason}: {message}")))
            }
            None if issuer.unheld.is_some() && !issuer.held => {
                let why = issuer.unheld.as_deref().unwrap_or_default();
                Err(Bar::Because(Reason::IssuerNotReady, format!("{reference} cannot be held: {why}")))
            }
            // Its first look, or the write of its finalizer, is under way, and tells all objects when it is over.
            None if issuer.identity.is_none() || issuer.inventory.is_none() || !issuer.held => Err(Bar::Wait),
            None => Ok(()),
        }
    }

    /// What is said while the issuer is not there, or not usable.
    pub(super) fn issuer_missing(&self) -> Option<Plan> {
        match self.issuer_bars() {
            Err(Bar::Because(reason, message)) => Some(self.not_ready(reason, &message)),
            Err(_) => Some(self.nothing()),
            Ok(()) => None,
        }
    }

    pub(super) fn issue(&self, need: Need, wanted: Wanted) -> Plan {
        let Some(identity) = self.identity() else { return self.nothing() };
        // Only while it is open on record. Somebody may have abandoned it meanwhile, and be about to delete what it makes; that
        // may have been on a record that somebody else has destroyed since.
        let open = self.record.open.as_ref().map(|o| &o.attempt);
        let unsent = self.o.unsent.clone().filter(|a| open == Some(a));
        let attempt = unsent.unwrap_or_else(|| self.o.fresh_attempt.clone());
        if attempt.is_empty() {
            return self.nothing();
        }
        let marker = Marker { owner: self.marker_owner.clone(), attempt: attempt.clone() };
        let secret_name = self.target(need).to_owned();
        let mut record = match self.opened() {
            // It needs no end: no client of it exists, or one that status or Secret names. Or its secret was used by somebody (a
            // backup was restored): not ours to delete, so it leaves the record.
            Opened::Unsent | Opened::No | Opened::Used => self.record.clone(),
            _ => self.record.burnt(self.now),
        };
        // What is gone does not retire, so no status will name its attempt: should that have made a second one, it must be known.
        let gone = self.status.client.as_ref().filter(|c| need == Need::Revoked && !record.is_abandoned(&c.attempt));
        if let Some(gone) = gone {
            record = record.giving_up(&gone.attempt, &gone.issuer_ref, self.now);
        }
        // What is there, or what an earlier attempt still delivers, must not stay; nor what this one does, should its client only
        // retire when it comes to light, so that the former name counts again.
        if secret_name != self.secret_name {
            let names = self.formers().map(|(name, ..)| name).chain([self.secret_name.as_str(), secret_name.as_str()]);
            record = record.remembering(names, self.now);
        }
        record.open = Some(OpenAttempt {
            attempt: attempt.clone(),
            started_at: self.now,
            issuer_ref: self.o.object.issuer_ref(),
            host: identity.host.clone(),
            user_id: identity.user_id.clone(),
            secret_name: secret_name.clone(),
            answers: self.o.object.rotate_request(),
        });
        let secret = match self.view_of(&secret_name) {
            Some(SecretView::Present(seen)) => Some(seen.clone()),
            _ => None,
        };
        let replaces = self.status.client.clone().filter(|_| need != Need::Revoked);
        self.step(Step::Issue(Box::new(IssueStep {
            need,
            attempt,
            record,
            display_name: marker.append_to(&wanted.display_name),
            wanted,
            issuer_ref: self.o.object.issuer_ref(),
            identity: identity.clone(),
            secret_name,
            secret,
            replaces,
            status: self.status.clone(),
        })))
    }

    /// What our Secret holds or owes an end, and status does not name: a credential of an abandoned attempt that was delivered
    /// all the same, or one that was altered before it was recorded. The next attempt overwrites it, so status must name it
    /// first; and somebody may have read it, so it gets an overlap like any that is replaced.
    pub(super) fn owed(&self) -> Option<Step> {
        let formers = self.formers().map(|(_, _, delivered)| delivered);
        self.ours().map(|(_, delivered)| delivered).into_iter().chain(formers).find_map(|d| self.owed_by(d))
    }

    /// The same, of one Secret.
    pub(super) fn owed_by(&self, delivered: &Delivered) -> Option<Step> {
        if !self.guards.name_owed {
            return None;
        }
        let unnamed = |id: &str| !self.status_names(id);
        let overlap = self.overlap().least;
        let held = Some(&delivered.client).filter(|held| unnamed(&held.id));
        let held = match held.map(|held| (held, self.may_live(held))) {
            Some((held, None)) if !self.has_failed(&Look::Client(held.id.clone())) => {
                return Some(Step::Look(Look::Client(held.id.clone())));
            }
            // While C1 does not tell it may.
            Some((held, None | Some(true))) => Some(status::retiring(held, self.now, overlap)),
            _ => None,
        };
        let replaced = match self.replaced(delivered) {
            Ok(replaced) => replaced,
            Err(look) => return Some(Step::Look(look)),
        };
        let replaced = replaced.into_iter().filter(|r| unnamed(&r.id));
        // Of which C1 does not tell is most likely gone: it ends when that is known, and keeps no place until an overlap is over.
        let anew = |r: &RetiringClient| {
            if self.is_untold(r) { r.clone() } else { status::retiring_anew(r, self.now, overlap) }
        };
        let owed: Vec<_> = held.into_iter().chain(replaced.map(anew)).collect();
        if owed.is_empty() {
            return None;
        }
        let mut status = self.status.clone();
        status.retiring.extend(owed);
        Some(Step::UpdateStatus(Box::new(status)))
    }

    /// The clients that may live and that the Secret still owes an end; what was struck from status stays written there until the
    /// next delivery. Another user's cannot be ended. While C1 does not tell of one, nothing else waits for that: it may live.
    pub(super) fn replaced<'a>(&self, delivered: &'a Delivered) -> Result<Vec<&'a RetiringClient>, Look> {
        let mut living = vec![];
        for client in delivered.replaces.iter().filter(|r| r.id != delivered.client.id && self.is_mine(*r)) {
            match self.read(&client.id) {
                _ if self.is_listed(&client.id) || !self.is_settled(client.since.0) => living.push(client),
                None if self.is_untold(client) => living.push(client),
                None => return Err(Look::Client(client.id.clone())),
                Some(Presence::Gone) => {}
                Some(_) => living.push(client),
            }
        }
        Ok(living)
    }

    /// C1 was asked whether it lives, has not answered, and shows it in no other way. One that it shows is owed its overlap.
    fn is_untold(&self, client: &RetiringClient) -> bool {
        let shown = self.is_listed(&client.id) || !self.is_settled(client.since.0) || self.read(&client.id).is_some();
        !shown && self.has_failed(&Look::Client(client.id.clone()))
    }

    /// Whether a client lives, as far as can be known; `None`: a read would tell.
    pub(super) fn may_live(&self, client: &IssuedClient) -> Option<bool> {
        let young = client.created_at.as_ref().is_some_and(|created| !self.is_settled(created.0));
        if !self.is_mine(client) || self.is_listed(&client.id) || young {
            return Some(true);
        }
        self.read(&client.id).map(|presence| presence != Presence::Gone)
    }

    pub(super) fn count_loss(&self, reason: Reason, why: &str) -> PersonalClientStatus {
        let mut base = self.status.clone();
        let recent = base.last_failure_time.as_ref().is_some_and(|t| self.since(t.0) < BACKOFF_MEMORY);
        if !recent {
            base.failed_issuance_attempts = None;
        }
        base.observed_generation = self.generation();
        // No request resets it: whoever loses what he asks for again and again waits as well.
        base.lost_client_id = base.client.as_ref().map(|client| client.id.clone());
        let tried = Tried { request: None, ..Tried::of(&self.o.object) };
        status::failed(&tried, &base, reason, why, self.generation(), self.now)
    }

    /// Until when the next attempt waits: a minute (or five seconds, where it may come right by itself), doubling to an hour. A new spec
    /// does not wait, nor a new request, but for what was lost; nor does the first loss in a day.
    pub(super) fn backoff(&self, loss: Option<Reason>) -> Option<Timestamp> {
        let failures = u32::try_from(self.status.failed_issuance_attempts?).unwrap_or(0);
        let last = self.status.last_failure_time.as_ref()?.0;
        let asked_anew = self.requested().is_some_and(|text| self.status.last_failed_rotate_at.as_ref() != Some(&text));
        let reason = status::failing_reason(&self.status).unwrap_or_default();
        let is = |r: Reason| reason == r.as_str();
        if !loss.is_some_and(is) && (self.status.observed_generation != self.generation() || asked_anew) {
            return None;
        }
        let doublings = if loss.is_some_and(is) { failures.checked_sub(2)? } else { failures.checked_sub(1)? };
        // What a person has to change, or has done, is not tried often; all else may be over soon.
        let slow = Reason::ALL.iter().any(|r| is(*r) && status::standing(*r) == status::Standing::Stalled)
            || is(Reason::SecretRefused)
            || loss.is_some();
        let base = if slow { Duration::from_mins(1) } else { Duration::from_secs(5) };
        let pause = base.saturating_mul(1 << doublings.min(12)).min(BACKOFF_LONGEST);
        let until = last + spread(pause, self.o.object.metadata.uid.as_deref().unwrap_or_default());
        (until > self.now).then_some(until)
    }
}

/// The condition that says that a credential is lost.
pub(super) fn lost(need: Need) -> Option<Reason> {
    match need {
        Need::SecretLost => Some(Reason::SecretLost),
        Need::Revoked => Some(Reason::Revoked),
        Need::First | Need::SpecChanged | Need::Requested | Need::Renewal => None,
    }
}

/// Up to a tenth more, the same for an object each time, so that many that failed together do not come back together.
fn spread(pause: Duration, uid: &str) -> Duration {
    let seed = u32::from_str_radix(&digest(&[uid])[..4], 16).unwrap_or(0);
    pause + pause / 10 * seed / 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_over_a_tenth_and_stay_the_same() {
        let pause = Duration::from_secs(1000);
        let spreads: Vec<Duration> = (0..50).map(|uid| spread(pause, &uid.to_string())).collect();
        let (least, most) = (*spreads.iter().min().unwrap(), *spreads.iter().max().unwrap());
        assert!(least >= pause && most <= pause + pause / 10);
        assert!(most.checked_sub(least).unwrap() > pause / 20, "{least:?} to {most:?}");
        assert_eq!(spread(pause, "7"), spreads[7]);
    }
}
