//! The spec wants the Secret under another name than it has: the credential moves there, and no copy stays behind.

use k8s_openapi::jiff::Timestamp;

use super::{
    decide::{Decision, SECRET_UNREADABLE},
    evidence::Opened,
    flight::Anchor,
    need::{Bar, lost},
    observed::SecretView,
    record::{Content, Delivered, FormerSecret, Record, SecretSeen},
    step::{Look, Need, Plan, RelocateStep, Step, TidyStep},
    wanted::template_digest,
};
use crate::api::{IssuedClient, Reason};

/// What a move comes to now.
pub(super) enum Moving {
    /// This is to be done for it.
    Goes(Plan),
    /// It cannot go on now, which must not hold up a renewal.
    Waits(Plan),
}

impl Decision<'_> {
    /// Whether the credential is not where the spec wants it.
    pub(super) fn is_misplaced(&self) -> bool {
        self.o.object.secret_name() != self.secret_name
    }

    /// The credential works, and the spec asks for something that is changed without a new one.
    pub(super) fn is_unfulfilled(&self, client: &IssuedClient) -> bool {
        self.is_misplaced() || self.cannot_become() || self.is_unapplied(client)
    }

    /// The Secret is where the spec wants it, and cannot become what it asks for.
    fn cannot_become(&self) -> bool {
        self.is_mistyped().is_some() || (self.o.render_refused.is_some() && self.is_unrendered())
    }

    /// The Secret is what the spec asks for, or becomes it.
    pub(super) fn is_placed(&self) -> bool {
        !self.is_misplaced() && !self.cannot_become() && !self.is_unrendered()
    }

    /// The Secret's type, when the spec asks for another: Kubernetes never lets it be changed.
    fn is_mistyped(&self) -> Option<&str> {
        let (_, delivered) = self.ours()?;
        delivered.template.unlike(self.o.object.spec.secret_template.as_ref())
    }

    /// What the API server does not let the Secret become, as the spec asks: another type, or what its template says.
    pub(super) fn refused(&self) -> Option<Plan> {
        if !self.is_whole() {
            return None;
        }
        let message = match self.is_mistyped() {
            Some(is) => mistyped(&self.secret_name, is),
            None => self.o.render_refused.as_ref().filter(|_| self.is_unrendered())?.message.clone(),
        };
        Some(self.with_time(self.unfulfilled(Reason::SecretRefused, &message)))
    }

    /// Known only when the Secret was read: no cache holds its content.
    pub(super) fn is_unrendered(&self) -> bool {
        self.ours().is_some_and(|(seen, _)| seen.content == Content::Intact { rendered: false })
    }

    /// The template is not the one by which the Secret was rendered.
    pub(super) fn has_new_template(&self) -> bool {
        let wanted = template_digest(self.o.object.spec.secret_template.as_ref());
        self.ours().is_some_and(|(_, delivered)| delivered.template.digest != wanted)
    }

    /// Where a new client is delivered. What is lost, or was never there, has nothing to move first.
    pub(super) fn target(&self, need: Need) -> &str {
        if need == Need::First || lost(need).is_some() { self.o.object.secret_name() } else { &self.secret_name }
    }

    pub(super) fn view_of(&self, secret_name: &str) -> Option<&SecretView> {
        if secret_name == self.secret_name { Some(&self.o.secret) } else { self.o.others.get(secret_name) }
    }

    /// A credential that can be moved is, before it is replaced or changed; former Secrets go before that.
    pub(super) fn relocation(&self) -> Option<Moving> {
        let from = self.movable()?;
        if self.is_former_unknown() && !self.o.live {
            return Some(Moving::Goes(self.step(Step::Look(Look::Live))));
        }
        if let Some(plan) = self.tidying().filter(|_| !self.o.tidy_failed) {
            return Some(Moving::Goes(plan));
        }
        self.is_misplaced().then(|| self.relocate(from))
    }

    /// The Secret, when it is known to hold the client that status names.
    fn movable(&self) -> Option<&SecretSeen> {
        let (seen, _) = self.ours()?;
        let whole = self.need().is_none_or(|need| need.is_ok_and(|(need, _)| lost(need).is_none()));
        (whole && self.status.client.is_some()).then_some(seen)
    }

    /// Nothing says that the credential is lost. Unlike [`Self::movable`], also while that is not known.
    pub(super) fn is_whole(&self) -> bool {
        self.need().is_none_or(|need| !need.is_ok_and(|(need, _)| lost(need).is_some()))
    }

    fn relocate(&self, from: &SecretSeen) -> Moving {
        let to = self.o.object.secret_name();
        let wait = |until| Moving::Waits(self.with_time(Plan { step: Step::Nothing, wake: Some(until) }));
        match self.view_of(to) {
            Some(SecretView::Absent) => {}
            Some(SecretView::Present(seen)) => {
                let Some(delivered) = self.former(to, seen) else {
                    return Moving::Waits(self.with_time(self.taken(to)));
                };
                if let Some(step) = self.owed_by(delivered) {
                    return Moving::Goes(self.step(step));
                }
            }
            None | Some(SecretView::Unknown(_)) => return wait(self.now + SECRET_UNREADABLE),
        }
        if let Some(refusal) = &self.o.move_refused {
            return Moving::Waits(self.with_time(self.unfulfilled(Reason::SecretRefused, &refusal.message)));
        }
        if let Some(until) = self.moved_by_another() {
            return wait(until);
        }
        let over = match self.view_of(to) {
            Some(SecretView::Present(seen)) => {
                Some(Anchor { uid: seen.uid.clone(), resource_version: seen.resource_version.clone() })
            }
            _ => None,
        };
        let mut record = self.remembering(self.without_open(), &[&self.secret_name, to]);
        record.moving = Some(FormerSecret { secret_name: to.into(), since: self.now });
        let step = RelocateStep { from: Box::new(from.clone()), to: to.into(), over, record };
        Moving::Goes(self.step(Step::Relocate(Box::new(step))))
    }

    fn taken(&self, to: &str) -> Plan {
        let message = format!(
            "Secret {to} exists and was not made by the operator for this object, so the credential stays in Secret {}: delete or rename it, or choose another secretName",
            self.secret_name
        );
        self.unfulfilled(Reason::SecretConflict, &message)
    }

    /// Whatever keeps it from what it asks for, time goes on.
    pub(super) fn with_time(&self, plan: Plan) -> Plan {
        Plan { wake: plan.wake.into_iter().chain(self.next_time()).min(), ..plan }
    }

    /// The record without an open attempt: a maker that stands still must not write the Secret that is left, nor make it anew.
    fn without_open(&self) -> Record {
        match self.opened() {
            // It made nothing, or it is not known what.
            Opened::Nothing | Opened::Guess => self.record.burnt(self.now),
            // It needs no end; or its client is used by somebody, and not ours to delete.
            _ => Record { open: None, ..self.record.clone() },
        }
    }

    /// An attempt that came to nothing at an issuer that the object names no more: it would be held for it until the next one.
    pub(super) fn closing(&self) -> Option<Plan> {
        self.record.open.as_ref().filter(|open| open.issuer_ref != self.o.object.issuer_ref())?;
        let ended = !matches!(self.opened(), Opened::No | Opened::Young(_) | Opened::NeedList | Opened::Unproven);
        ended.then(|| self.step(Step::Close(self.without_open())))
    }

    /// A former Secret, which nobody needs any more.
    fn tidying(&self) -> Option<Plan> {
        let wanted = self.o.object.secret_name();
        self.formers()
            .find(|(name, ..)| *name != wanted)
            .map(|(name, seen, delivered)| self.tidy(name, seen, delivered))
    }

    /// What only it names would be forgotten with it.
    fn tidy(&self, name: &str, seen: &SecretSeen, delivered: &Delivered) -> Plan {
        let at = Anchor { uid: seen.uid.clone(), resource_version: seen.resource_version.clone() };
        let record = self.remembering(self.record.clone(), &[]);
        let step = TidyStep { name: name.to_owned(), at, record };
        self.step(self.owed_by(delivered).unwrap_or(Step::Tidy(Box::new(step))))
    }

    /// The record with the former Secrets that are there, and these.
    fn remembering(&self, record: Record, names: &[&str]) -> Record {
        let there = self.formers().map(|(name, ..)| name).filter(|name| !names.contains(name));
        record.remembering(there.chain(names.iter().copied()), self.now)
    }

    /// Until when the move that is wanted may be under way, by another.
    fn moved_by_another(&self) -> Option<Timestamp> {
        let moving = self.record.moving.as_ref().filter(|moving| moving.secret_name == self.o.object.secret_name())?;
        let old_in = self.old_in(moving.since);
        (!old_in.is_zero() && self.guards.wait_for_move).then(|| self.now + old_in)
    }

    /// Whether a Secret that stands on record may be there, and only a look can tell.
    fn is_former_unknown(&self) -> bool {
        let wanted = self.o.object.secret_name();
        self.record
            .elsewhere
            .iter()
            .map(|e| &e.secret_name)
            .filter(|name| *name != wanted)
            .any(|name| matches!(self.o.others.get(name), Some(SecretView::Unknown(_))))
    }

    /// The Secrets of ours that stand on record under a name that does not count any more.
    pub(super) fn formers(&self) -> impl Iterator<Item = (&str, &SecretSeen, &Delivered)> {
        self.o.others.iter().filter_map(|(name, view)| match view {
            SecretView::Present(seen) => Some((name.as_str(), seen.as_ref(), self.former(name, seen)?)),
            _ => None,
        })
    }

    fn former<'b>(&self, name: &str, seen: &'b SecretSeen) -> Option<&'b Delivered> {
        let uid = self.o.object.metadata.uid.as_ref();
        let on_record = self.record.elsewhere.iter().any(|e| e.secret_name == name);
        seen.delivered.as_ref().filter(|d| on_record && d.is_of(&self.marker_owner) && uid == Some(&d.owner.uid))
    }

    /// Whether something that is not ours, or not known to be, stands where a new client would be delivered.
    pub(super) fn target_bars(&self, target: &str) -> Result<(), Bar> {
        match self.view_of(target) {
            None | Some(SecretView::Unknown(_)) => Err(Bar::Pause(self.now + SECRET_UNREADABLE)),
            Some(SecretView::Present(seen)) if !self.may_deliver_over(target, seen) => {
                let message = format!(
                    "Secret {target} exists and was not made by the operator for this object: delete or rename it, or choose another secretName"
                );
                Err(Bar::Because(Reason::SecretConflict, message))
            }
            Some(_) => Ok(()),
        }
    }

    /// One that is ours, or of an object of this very name that does not live any more.
    fn may_deliver_over(&self, target: &str, seen: &SecretSeen) -> bool {
        let ours = seen.delivered.as_ref().filter(|d| d.is_of(&self.marker_owner));
        let uid = self.o.object.metadata.uid.as_ref();
        let copied = |d: &Delivered| uid == Some(&d.owner.uid) && target != self.secret_name;
        ours.is_some_and(|d| !copied(d) || self.former(target, seen).is_some())
    }
}

/// What is said of a Secret of another type than the spec asks for.
pub(super) fn mistyped(name: &str, is: &str) -> String {
    format!(
        "the type of Secret {name} is {is}, and cannot be changed: choose another secretName, or delete the Secret, which issues a new credential"
    )
}
