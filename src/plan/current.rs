//! Rows 12 and 13, in their order: what is done for the present credential, and what is said when it cannot be.

use super::{
    decide::Decision,
    moves::Moving,
    need::Bar,
    step::{Plan, Step},
};
use crate::api::Reason;

impl Decision<'_> {
    /// Rows 12 and 13; and when neither has anything to do, what is left of another issuer leaves the record.
    pub(super) fn current(&self) -> Plan {
        let plan = self.present();
        if plan.step == Step::Nothing { self.closing().unwrap_or(plan) } else { plan }
    }

    /// Rows 12 and 13. What the spec asks for and cannot be had is said first, unless the credential has expired, and holds up
    /// neither a renewal nor a change.
    fn present(&self) -> Plan {
        let blocked = match self.relocation() {
            Some(Moving::Goes(plan)) => return plan,
            Some(Moving::Waits(plan)) => Some(plan),
            None => self.refused(),
        };
        if let Some(past) = self.past() {
            let unsaid = Some(past).filter(|plan| plan.step != Step::Nothing);
            let rendering = || self.rendering().filter(|_| !self.is_misplaced());
            let rest = || unsaid.or_else(rendering).unwrap_or_else(|| self.steady());
            return self.new_client(false).unwrap_or_else(rest);
        }
        let change = self.update();
        let said = blocked.as_ref().is_none_or(|plan| plan.step == Step::Nothing);
        if let Some(plan) = blocked.as_ref().filter(|_| !said && !self.has_reasons_of_its_own(change.as_ref())) {
            return plan.clone();
        }
        self.new_client(change.is_some())
            .or(change)
            .or_else(|| self.rendering().filter(|_| !self.is_misplaced()))
            .or(blocked)
            .unwrap_or_else(|| self.steady())
    }

    /// A new spec that takes another client, or changes the present one, says by itself what stands in its way; whether there is a need
    /// must be known first.
    fn has_reasons_of_its_own(&self, change: Option<&Plan>) -> bool {
        let anew = self.need().is_some_and(|need| !need.is_ok_and(|(need, _)| need.is_renewal()));
        let acts = |plan: &Plan| !matches!(plan.step, Step::Nothing | Step::UpdateStatus(_));
        let unapplied = self.status.client.as_ref().is_some_and(|client| self.is_unapplied(client));
        anew || change.is_some_and(|change| unapplied || acts(change))
    }

    /// Row 12: a client is needed. `changes`: the present one is to be changed, which does not wait for one that cannot be had.
    fn new_client(&self, changes: bool) -> Option<Plan> {
        let need = match self.need()? {
            Ok((need, _)) => need,
            Err(look) => return Some(self.step(Step::Look(look))),
        };
        if let Some(step) = self.say_how_it_stands().filter(|_| need.is_renewal()) {
            return Some(self.step(step));
        }
        Some(match self.gate(need) {
            Ok(wanted) => self.owed().map_or_else(|| self.issue(need, wanted), |step| self.step(step)),
            Err(_) if need.is_renewal() && changes => return None,
            Err(bar) => self.barred(need.is_renewal(), bar),
        })
    }

    /// A new client is needed, or a change, and cannot be had now; whether the present one works, and is what the spec asks for.
    pub(super) fn barred(&self, works: bool, bar: Bar) -> Plan {
        let told = |reason, message: &str| {
            if works { self.cannot_be_replaced(reason, message) } else { self.not_ready(reason, message) }
        };
        let plan = match bar {
            Bar::Wait => self.nothing(),
            Bar::Pause(until) => Plan { step: Step::Nothing, wake: Some(until) },
            Bar::Because(reason, message) => told(reason, &message),
            Bar::Full => {
                let message =
                    "the replaced clients of earlier changes still live: this one waits until an overlap is over";
                told(Reason::Issuing, message)
            }
        };
        // While it cannot be replaced time goes on, and should it expire, that is said; and a new template is rendered.
        let plan = self.with_time(plan);
        let renders = works && plan.step == Step::Nothing && !self.is_misplaced();
        if renders { self.rendering().unwrap_or(plan) } else { plan }
    }
}
