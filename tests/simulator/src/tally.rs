//! How many requests of each kind were answered how.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{exchange::Outcome, route::Operation};

/// `{"operations": {"create": {"200": 12, "429": 1, "cut": 2}}}`
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    operations: BTreeMap<Operation, BTreeMap<String, u64>>,
}

impl Tally {
    /// Counts one request.
    pub fn count(&mut self, operation: Operation, outcome: &Outcome) {
        let column = match outcome {
            Outcome::Answer(answer) => answer.status.as_str().to_owned(),
            Outcome::Cut => "cut".to_owned(),
        };
        *self.operations.entry(operation).or_default().entry(column).or_default() += 1;
    }
}
