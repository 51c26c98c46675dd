//! One rule: which requests, how often, and what goes wrong.

use serde::{Deserialize, Serialize};

use crate::route::Operation;

/// Longest delay or lag: a day.
const MAX_SECONDS: f64 = 86_400.0;

/// A rule as the admin port takes it, and shows it together with its counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "RuleInput")]
pub struct Rule {
    operation: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name_contains: Option<String>,
    fault: Fault,
    matched: u64,
    fired: u64,
}

/// A rule before it was looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleInput {
    operation: Scope,
    probability: Option<f64>,
    nth: Option<u64>,
    times: Option<u64>,
    display_name_contains: Option<String>,
    fault: Fault,
}

/// An operation or `"*"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Scope {
    One(Operation),
    All(Star),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Star {
    #[serde(rename = "*")]
    Star,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// It takes longer.
    Latency {
        seconds: f64,
        #[serde(default)]
        when: When,
    },
    /// Another status is answered.
    Status {
        status: u16,
        when: When,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
    },
    /// The connection is closed without an answer.
    Cut { when: When },
    /// The effect happens, and the body of the answer is damaged.
    Body { how: Damage },
    /// The effect happens, and the body of the answer is as long as this.
    Padded { bytes: usize },
    /// 401, although the credentials are good.
    TokenRefused,
    /// The connection is closed, and the client comes into being later.
    LateCreate { seconds: f64 },
    /// Two clients are made, and the second is answered.
    DoubleCreate,
    /// List and search do not show the youngest clients.
    LagList { seconds: f64 },
    /// The last uses are not shown.
    LagLastUsed { seconds: f64 },
}

/// Before or after the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// The effect does not happen (a delay: it waits).
    #[default]
    Before,
    /// The effect has happened.
    After,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Damage {
    /// It ends before its content-length.
    Cut,
    /// It is no JSON.
    Malformed,
}

impl Rule {
    /// What goes wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Whether the rule is about such a request.
    pub fn matches(&self, operation: Operation, display_name: Option<&str>) -> bool {
        let in_scope = match self.operation {
            Scope::One(only) => only == operation,
            Scope::All(Star::Star) => true,
        };
        let named = self
            .display_name_contains
            .as_deref()
            .is_none_or(|part| display_name.is_some_and(|display_name| display_name.contains(part)));
        in_scope && named && self.fault.concerns(operation)
    }

    /// Counts a request that the rule is about, and says whether its turn has come. An `nth` that had to give way to
    /// another rule's misdeed is made up for.
    pub fn is_due(&mut self, dice: f64) -> bool {
        self.matched += 1;
        let left = self.times.is_none_or(|times| self.fired < times);
        let turn = match (self.nth, self.probability) {
            (Some(nth), _) => self.matched >= nth && self.fired == 0,
            (None, Some(probability)) => dice < probability,
            (None, None) => true,
        };
        left && turn
    }

    /// Notes whether it fired.
    pub fn note(&mut self, fired: bool) {
        self.fired += u64::from(fired);
    }
}

impl Fault {
    /// Whether such a request can go wrong this way.
    fn concerns(&self, operation: Operation) -> bool {
        match self {
            Self::LateCreate { .. } | Self::DoubleCreate => operation == Operation::Create,
            Self::LagList { .. } => matches!(operation, Operation::List | Operation::Search),
            Self::LagLastUsed { .. } => {
                matches!(operation, Operation::List | Operation::Search | Operation::Get | Operation::Update)
            }
            _ => true,
        }
    }

    fn seconds(&self) -> Option<f64> {
        match self {
            Self::Latency { seconds, .. }
            | Self::LateCreate { seconds }
            | Self::LagList { seconds }
            | Self::LagLastUsed { seconds } => Some(*seconds),
            _ => None,
        }
    }
}

impl TryFrom<RuleInput> for Rule {
    type Error = String;

    /// A rule that could never do what it says is refused, rather than left to puzzle a test's author.
    fn try_from(input: RuleInput) -> Result<Self, String> {
        let RuleInput { operation, probability, nth, times, display_name_contains, fault } = input;
        if probability.is_some() && nth.is_some() {
            return Err("a rule has a probability or an nth, not both".to_owned());
        }
        if probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
            return Err("a probability is between 0 and 1".to_owned());
        }
        if nth == Some(0) {
            return Err("nth counts from 1".to_owned());
        }
        if fault.seconds().is_some_and(|seconds| !(0.0..=MAX_SECONDS).contains(&seconds)) {
            return Err(format!("seconds are between 0 and {MAX_SECONDS}"));
        }
        if let Fault::Status { status, .. } = fault
            && !(400..=599).contains(&status)
        {
            return Err("a status fault is a 4xx or a 5xx".to_owned());
        }
        if let Scope::One(operation) = operation {
            if !fault.concerns(operation) {
                return Err("that fault cannot happen to that operation".to_owned());
            }
            if display_name_contains.is_some() && operation != Operation::Create {
                return Err("displayNameContains is for create only".to_owned());
            }
        }
        Ok(Self { operation, probability, nth, times, display_name_contains, fault, matched: 0, fired: 0 })
    }
}
