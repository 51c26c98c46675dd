//! What a rotation asks of the API server and of C1, with all that the time between rotations asks.

use std::collections::BTreeMap;

use testkit::audit::Requests;

use crate::{probe::Probe, stage::Stage};

/// What C1 is asked by the probe as well as by the operator.
const OF_THE_PROBE: [&str; 2] = ["token", "introspect"];

/// What was asked since the objects are there.
pub struct Cost {
    /// How many clients were made.
    pub rotations: u64,
    api: Requests,
    c1: BTreeMap<String, u64>,
    made: usize,
}

impl Cost {
    /// Counts from now on.
    pub async fn begin(stage: &mut Stage) -> Self {
        stage.audit.begin();
        stage.c1.reset_requests().await;
        Self { rotations: 0, api: Requests::new(), c1: BTreeMap::new(), made: stage.made().await }
    }

    /// Counts until now.
    pub async fn end(&mut self, stage: &mut Stage, probe: &Probe) {
        assert!(probe.logins > 0, "somebody has logged in");
        self.rotations = (stage.made().await - self.made) as u64;
        self.api = stage.audit.requests(None);
        let answers = stage.c1.requests().await.into_iter();
        self.c1 = answers.map(|(operation, by_status)| (operation, by_status.into_values().sum())).collect();
    }

    /// As a table.
    pub fn print(&self, objects: u32) {
        println!("per rotation ({:.1} of each object):", ratio(self.rotations, objects.into()));
        let c1 = self.c1.iter().filter(|(operation, _)| !OF_THE_PROBE.contains(&operation.as_str()));
        let api = self.api.iter().filter(|(request, _)| !request.ends_with(" leases"));
        for (request, count) in api {
            println!("  API server  {:7.3}  {request}", ratio(*count, self.rotations));
        }
        for (operation, count) in c1 {
            println!("  C1          {:7.3}  {operation}", ratio(*count, self.rotations));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of this size are exact")]
fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}
