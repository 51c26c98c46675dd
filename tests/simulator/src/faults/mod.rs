//! Faults on demand: rules that say which requests go wrong, and how.

mod rule;

use std::time::Duration;

use axum::http::StatusCode;

pub use self::rule::{Damage, Fault, Rule, When};
use crate::{random, route::Operation};

/// How late an answer shows what has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    /// List and search leave out clients younger than this, by the real clock.
    pub list: Duration,
    /// Uses younger than this, by the tenant's clock, are not shown.
    pub last_used: Duration,
}

/// What goes wrong with one request. Delays and lags add to anything; of the misdeeds there is one at most.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Wait before the effect.
    pub delay_before: Duration,
    /// Wait after the effect.
    pub delay_after: Duration,
    /// Show old news.
    pub lag: Lag,
    /// Misbehave.
    pub misdeed: Option<Misdeed>,
}

/// What is done instead of answering well.
#[derive(Clone, Debug)]
pub enum Misdeed {
    /// Another status, before or after the effect.
    Status { status: StatusCode, when: When, retry_after: Option<String> },
    /// No answer, before or after the effect.
    Cut(When),
    /// The right answer, damaged.
    Body(Damage),
    /// The right answer, as long as this.
    Padded(usize),
    /// As if the credentials were bad.
    TokenRefused,
    /// No answer, and the effect comes later.
    LateCreate(Duration),
    /// The effect twice.
    DoubleCreate,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct FaultRules(Vec<Rule>);

impl FaultRules {
    /// Replaces all rules; their counts begin anew.
    pub fn replace(&mut self, rules: Vec<Rule>) {
        self.0 = rules;
    }

    /// The rules, with their counts.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// Decides about one request. The first rule with a misdeed wins; the others keep theirs for another request.
    pub fn judge(&mut self, operation: Operation, display_name: Option<&str>) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in &mut self.0 {
            if rule.matches(operation, display_name) && rule.is_due(random::unit()) {
                let pronounced = verdict.add(rule.fault());
                rule.note(pronounced);
            }
        }
        verdict
    }
}

impl Verdict {
    /// Adds a fault; false if it must wait because there is a misdeed already.
    fn add(&mut self, fault: &Fault) -> bool {
        let misdeed = match fault {
            Fault::Latency { seconds, when: When::Before } => return grow(&mut self.delay_before, *seconds),
            Fault::Latency { seconds, when: When::After } => return grow(&mut self.delay_after, *seconds),
            Fault::LagList { seconds } => return grow(&mut self.lag.list, *seconds),
            Fault::LagLastUsed { seconds } => return grow(&mut self.lag.last_used, *seconds),
            Fault::Status { status, when, retry_after } => Misdeed::Status {
                status: StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                when: *when,
                retry_after: retry_after.clone(),
            },
            Fault::Cut { when } => Misdeed::Cut(*when),
            Fault::Body { how } => Misdeed::Body(*how),
            Fault::Padded { bytes } => Misdeed::Padded(*bytes),
            Fault::TokenRefused => Misdeed::TokenRefused,
            Fault::LateCreate { seconds } => Misdeed::LateCreate(Duration::from_secs_f64(*seconds)),
            Fault::DoubleCreate => Misdeed::DoubleCreate,
        };
        let free = self.misdeed.is_none();
        if free {
            self.misdeed = Some(misdeed);
        }
        free
    }
}

fn grow(duration: &mut Duration, seconds: f64) -> bool {
    *duration = duration.saturating_add(Duration::from_secs_f64(seconds));
    true
}

#[cfg(test)]
mod tests;
