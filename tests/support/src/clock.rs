//! Wall time that a test moves: the operator's (in the fault-point build) and the tenant's together.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::{Simulator, World};

/// Names the file; as `c1_operator::clock` has it in the fault-point build.
const CLOCK_FILE_VARIABLE: &str = "C1_OPERATOR_CLOCK_FILE";

/// The machine's clock, and as many seconds more as a file says.
pub struct TestClock {
    file: PathBuf,
}

impl TestClock {
    /// A clock that nobody has moved yet.
    #[must_use]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("c1-operator-clock-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(name);
        fs::write(&file, "0").unwrap();
        Self { file }
    }

    /// The values of the chart by which an operator goes by this clock.
    #[must_use]
    pub fn values(&self) -> Value {
        json!({"extraEnv": [{"name": CLOCK_FILE_VARIABLE, "value": self.file}]})
    }

    /// The clock by which a world's operator goes.
    #[must_use]
    pub fn of(world: &World) -> Self {
        Self { file: PathBuf::from(world.operator.env(CLOCK_FILE_VARIABLE).expect("it goes by a clock of the test's")) }
    }

    /// Moves both, by seconds.
    pub async fn advance(&self, c1: &Simulator, seconds: i64) {
        c1.advance_clock(seconds).await;
        self.step(seconds);
    }

    /// Moves the operator's alone, forth or back.
    pub fn step(&self, seconds: i64) {
        let now: i64 = fs::read_to_string(&self.file).unwrap().trim().parse().unwrap();
        // Whoever reads it meanwhile must not find half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, (now + seconds).to_string()).unwrap();
        fs::rename(new, &self.file).unwrap();
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}
