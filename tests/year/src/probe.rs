//! Consumers: they log in with what they read, by client secret and by signed assertion, and call the API.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use testkit::SecretData;

use crate::stage::Stage;

/// How many log in at once.
const AT_ONCE: usize = 8;

/// All logins so far.
#[derive(Default)]
pub struct Probe {
    /// How many.
    pub logins: u64,
    /// Who was not let in, when, and why.
    pub failures: Vec<String>,
}

impl Probe {
    /// Logs in with each.
    pub async fn log_in(&mut self, stage: &Stage, when: &str, secrets: &BTreeMap<String, SecretData>) {
        let each = stream::iter(secrets).map(async |(name, secret)| (name, stage.c1.logs_in(secret).await));
        let answers: Vec<_> = each.buffer_unordered(AT_ONCE).collect().await;
        for (name, answer) in answers {
            self.logins += 1;
            if let Err(why) = answer {
                self.failures.push(format!("{when}: {name}: {why}"));
            }
        }
    }
}
