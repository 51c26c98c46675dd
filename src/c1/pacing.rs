//! How much is asked of one tenant at once, and the pauses that it asks for.

use std::{sync::Mutex, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout},
};

use super::error::ErrorKind;

/// Calls under way at once. With answers after 20 ms this is some hundred calls a second.
const CONCURRENCY: usize = 16;
/// The longest that a call waits for its turn before it gives up, unsent.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// A tenant may ask for a longer pause; we ask again after this.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// When C1 says "fewer" and not how long.
const UNSAID_PAUSE: Duration = Duration::from_secs(2);

/// The turn of each call to one tenant. All calls of an issuer share it.
pub(super) struct Pacing {
    permits: Semaphore,
    paused_until: Mutex<Option<Instant>>,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self { permits: Semaphore::new(CONCURRENCY), paused_until: Mutex::new(None) }
    }

    /// Waits for a turn. Nothing has been sent when it fails.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, ErrorKind> {
        let wait = async {
            let permit = self.permits.acquire().await.map_err(|_| ErrorKind::Paused)?;
            while let Some(until) = self.pause() {
                sleep_until(until).await;
            }
            Ok(permit)
        };
        timeout(LONGEST_WAIT, wait).await.unwrap_or(Err(ErrorKind::Paused))
    }

    /// C1 answered 429, with `Retry-After` or without.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let until = Instant::now() + retry_after.unwrap_or(UNSAID_PAUSE).min(LONGEST_PAUSE);
        if let Ok(mut paused) = self.paused_until.lock() {
            *paused = Some(paused.map_or(until, |already| already.max(until)));
        }
    }

    fn pause(&self) -> Option<Instant> {
        let until = (*self.paused_until.lock().ok()?)?;
        (until > Instant::now()).then_some(until)
    }
}

/// `Retry-After` in seconds, or as a date (RFC 9110 §10.2.3) relative to the answer's own `Date`.
pub(super) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| k8s_openapi::jiff::fmt::rfc2822::parse(text).ok().map(|z| z.timestamp());
    let now = date(headers.get(http::header::DATE)?.to_str().ok()?)?;
    date(value)?.duration_since(now).try_into().ok()
}

/// How far C1's clock is from ours, when it said this date so long ago.
pub(super) fn skew(date: Timestamp, ago: Duration, now: Timestamp) -> Duration {
    now.duration_since(date + ago).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_grows_old() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minute = Duration::from_mins(1);
        assert_eq!(skew(at(0), minute, at(60)), Duration::ZERO);
        assert_eq!(skew(at(0), Duration::ZERO, at(60)), minute);
        assert_eq!(skew(at(120), Duration::ZERO, at(60)), minute, "ahead of ours");
    }

    #[test]
    fn reads_seconds_and_dates() {
        let headers = |retry: &str| {
            let mut map = http::HeaderMap::new();
            map.insert("retry-after", retry.parse().unwrap());
            map.insert("date", "Tue, 24 Nov 2026 20:00:00 GMT".parse().unwrap());
            map
        };
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Tue, 24 Nov 2026 20:01:00 GMT")), Some(Duration::from_mins(1)));
        assert_eq!(retry_after(&headers("soon")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_out_the_pause() {
        let pacing = Pacing::new();
        pacing.throttled(Some(Duration::from_secs(5)));
        let begun = Instant::now();
        let _turn = pacing.turn().await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(5));
    }
}
