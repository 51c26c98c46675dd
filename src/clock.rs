//! The only source of wall time and of requeues. Deadlines of HTTP calls never use it: they are tokio's.
//! What must not be outlived by a suspended machine is measured from its boot.

use std::{
    ops::{Add, Sub},
    pin::Pin,
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// A future of a [`Clock`].
pub type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// No sleep is longer: a machine that was suspended looks at the wall clock again soon.
pub const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// Wall time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// How long until this time, at most [`LONGEST_SLEEP`]: the pause before what waits for it is looked at again. A little
    /// late, never early, so that the time is then past.
    fn until(&self, time: Timestamp) -> Duration {
        let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        left.min(LONGEST_SLEEP) + Duration::from_millis(50)
    }

    /// Waits until wall time was set: then every object is looked at again.
    fn changed(&self) -> Waiting<'_>;
}

/// A moment on a clock that nobody can set, and that goes on while the machine is suspended (`CLOCK_BOOTTIME`; that of
/// [`std::time::Instant`] stands still then, and a maker that slept with its machine would take itself for young).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        Self(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// The time since boot.
    #[must_use]
    pub fn since_boot(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for BootInstant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
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

    /// The wall clock was set, or the machine slept (its monotonic clock then stands still): both show as a difference.
    fn changed(&self) -> Waiting<'_> {
        Box::pin(async {
            loop {
                let (wall, steady) = (self.now(), tokio::time::Instant::now());
                tokio::time::sleep(WATCH_INTERVAL).await;
                if was_set(self.now().duration_since(wall), steady.elapsed()) {
                    return;
                }
            }
        })
    }
}

/// Whether a wall clock that went on by so much, while one that cannot be set went on by so much, was set meanwhile.
fn was_set(wall: SignedDuration, steady: Duration) -> bool {
    Duration::try_from(wall).unwrap_or_default().abs_diff(steady) > LARGEST_STEP
}

/// A clock that a test moves: the machine's, and as many seconds more (or fewer) as a file says. Not in release builds.
#[cfg(feature = "fault-points")]
#[derive(Debug, Clone)]
pub struct SteppedClock {
    file: std::path::PathBuf,
}

/// The environment variable that names the file.
#[cfg(feature = "fault-points")]
pub const CLOCK_FILE_VARIABLE: &str = "C1_OPERATOR_CLOCK_FILE";

#[cfg(feature = "fault-points")]
impl SteppedClock {
    /// By this file.
    #[must_use]
    pub fn new(file: std::path::PathBuf) -> Self {
        Self { file }
    }

    fn offset(&self) -> SignedDuration {
        let seconds = std::fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse().ok());
        SignedDuration::from_secs(seconds.unwrap_or(0))
    }
}

#[cfg(feature = "fault-points")]
impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.offset()
    }

    fn changed(&self) -> Waiting<'_> {
        Box::pin(async {
            let before = self.offset();
            while self.offset() == before {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    }
}

/// The clock to run with.
#[must_use]
pub fn clock() -> std::sync::Arc<dyn Clock> {
    #[cfg(feature = "fault-points")]
    if let Ok(file) = std::env::var(CLOCK_FILE_VARIABLE) {
        return std::sync::Arc::new(SteppedClock::new(file.into()));
    }
    std::sync::Arc::new(SystemClock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sleep_is_longer_than_an_hour() {
        let clock = SystemClock;
        let slack = Duration::from_secs(1);
        for (hours, longest) in [(240, LONGEST_SLEEP), (-240, Duration::ZERO)] {
            let sleep = clock.until(clock.now() + SignedDuration::from_hours(hours));
            assert!((longest..longest + slack).contains(&sleep), "{hours} h: {sleep:?}");
        }
        let soon = clock.until(clock.now() + Duration::from_mins(1));
        assert!((Duration::from_secs(59)..Duration::from_secs(61)).contains(&soon), "{soon:?}");
    }

    #[test]
    fn a_clock_that_was_set_and_a_machine_that_slept_both_show() {
        let interval = WATCH_INTERVAL.as_secs_f64();
        let set = |wall: f64| was_set(SignedDuration::from_secs_f64(wall), WATCH_INTERVAL);
        assert!(!set(interval) && !set(interval + 4.0) && !set(interval - 4.0), "no two clocks go alike");
        assert!(set(interval + 6.0), "set forth; or the machine slept, and the other clock stood still");
        assert!(set(interval - 6.0) && set(-3600.0), "set back");
    }

    /// Tokio's time goes on at once here, and wall time does not: as if somebody set it back by what was slept.
    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_set_is_noticed_within_half_a_minute() {
        let before = tokio::time::Instant::now();
        SystemClock.changed().await;
        assert!(before.elapsed() <= WATCH_INTERVAL + Duration::from_secs(1), "{:?}", before.elapsed());
    }
}
