//! The only source of wall time and of requeues. Deadlines of HTTP calls never use it: they are tokio's.

use std::{pin::Pin, time::Duration};

use k8s_openapi::jiff::Timestamp;

/// A future of a [`Clock`].
pub type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// No sleep is longer: a machine that was suspended looks at the wall clock again soon.
pub const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// Wall time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits until this time, at most [`LONGEST_SLEEP`].
    fn sleep_until(&self, time: Timestamp) -> Waiting<'_>;

    /// Waits until wall time was set: then every object is looked at again.
    fn changed(&self) -> Waiting<'_>;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

/// How often the wall clock is compared with a clock that cannot be set, and by how much they may drift apart.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);
const LARGEST_STEP: Duration = Duration::from_secs(5);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, time: Timestamp) -> Waiting<'_> {
        let pause: Duration = time.duration_since(self.now()).try_into().unwrap_or_default();
        Box::pin(tokio::time::sleep(pause.min(LONGEST_SLEEP)))
    }

    /// The wall clock was set, or the machine slept (its monotonic clock then stands still): both show as a difference.
    fn changed(&self) -> Waiting<'_> {
        Box::pin(async {
            loop {
                let (wall, steady) = (self.now(), tokio::time::Instant::now());
                tokio::time::sleep(WATCH_INTERVAL).await;
                let steady = steady.elapsed();
                let wall: Duration = self.now().duration_since(wall).try_into().unwrap_or_default();
                if wall.abs_diff(steady) > LARGEST_STEP {
                    return;
                }
            }
        })
    }
}
