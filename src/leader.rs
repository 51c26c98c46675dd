//! Leader election by Lease: client-go's algorithm, on a clock that counts the time in which the machine slept.
//!
//! Advisory: that each object gets exactly one credential rests on conditional writes (`docs/protocol.md`), whoever leads. The
//! election keeps replicas from doing everything twice, and a replica that wakes up late from acting on what it knew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{sleep, timeout};

use crate::{api::FIELD_MANAGER, clock::BootInstant};

/// Until when this process leads, by the time since boot.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Nanoseconds since boot; 0: it does not lead.
    until: Arc<AtomicU64>,
}

impl Leadership {
    /// Of a process that asks nobody.
    #[must_use]
    pub fn alone() -> Self {
        Self { until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn none() -> Self {
        Self { until: Arc::default() }
    }

    /// Whether this process still leads: asked before each effect, since it may have stood still for any time before it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        nanoseconds(since_boot()) < self.until.load(Ordering::Acquire)
    }

    fn lead_until(&self, time: Duration) {
        self.until.store(nanoseconds(time), Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The time since boot, including the time in which the machine was suspended.
fn since_boot() -> Duration {
    BootInstant::now().since_boot()
}

/// How the election is held. `retry_period` < `renew_deadline` < `lease_duration`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// As whom: no other process may have the same.
    pub identity: String,
    /// How long others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long after its last renewal a leader acts on.
    pub renew_deadline: Duration,
    /// Between tries.
    pub retry_period: Duration,
}

/// A candidate, or the leader.
pub struct Elector {
    api: Api<Lease>,
    settings: Settings,
    leadership: Leadership,
    /// The Lease as it was read or written last, and when it was first seen like this.
    seen: Option<(Lease, Duration)>,
    /// Labels and annotations that it had last: should it be deleted, it is made again with them, or Helm would not take it
    /// for its own any more.
    marks: ObjectMeta,
}

impl Elector {
    /// A candidate.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, leadership: Leadership::none(), seen: None, marks: ObjectMeta::default() }
    }

    /// What each effect asks.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt(self.settings.renew_deadline).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(why) => tracing::warn!(lease = self.settings.name, why, "the lease could not be read or taken"),
            }
            sleep(spread(self.settings.retry_period)).await;
        }
    }

    /// Leads until the lease is another's, or could not be renewed in time.
    pub async fn keep(&mut self) {
        loop {
            sleep(self.settings.retry_period).await;
            // A request that hangs must leave time for another.
            let result = self.attempt(self.settings.renew_deadline / 2).await;
            match result {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) if !self.leadership.is_current() => {
                    tracing::error!(lease = self.settings.name, why, "the lease could not be renewed in time");
                    break;
                }
                Err(why) => tracing::warn!(lease = self.settings.name, why, "the lease could not be renewed"),
            }
        }
        self.leadership.lead_until(Duration::ZERO);
    }

    /// Gives the lease up, so that another need not wait for its end.
    pub async fn release(&mut self) {
        let held = self.leadership.is_current();
        self.leadership.lead_until(Duration::ZERO);
        let Some((mut lease, _)) = self.seen.take().filter(|_| held) else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        match timeout(self.settings.retry_period, self.write(&lease)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = self.settings.name, %error, "the lease was not given up: another replica waits until it is over");
            }
            Err(_) => {
                tracing::warn!(lease = self.settings.name, "no answer: another replica waits until the lease is over");
            }
        }
    }

    async fn attempt(&mut self, within: Duration) -> Result<bool, String> {
        match timeout(within, self.take_or_renew()).await {
            Ok(Ok(leads)) => Ok(leads),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// One try. Whether the lease is ours now.
    async fn take_or_renew(&mut self) -> Result<bool, kube::Error> {
        // The leader knows what it wrote last, and need not read.
        let ours = self.seen.as_ref().is_some_and(|(lease, _)| self.is_ours(lease));
        if ours && self.leadership.is_current() && self.write_ours().await? {
            return Ok(true);
        }
        let found = self.api.get_opt(&self.settings.name).await?;
        let deleted = found.is_none();
        if let Some(lease) = found {
            self.see(lease);
        }
        // One that was deleted is still its holder's, who makes it again: until it would be over, no other takes it.
        let free = self.seen.as_ref().is_none_or(|(lease, since)| self.is_ours(lease) || is_over(lease, *since));
        if free && deleted {
            self.seen = None;
        }
        if free { self.write_ours().await } else { Ok(false) }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(self.settings.identity.as_str())
    }

    /// Whoever looks at a Lease times it by its own clock, from when it last saw a change.
    fn see(&mut self, lease: Lease) {
        let since = match &self.seen {
            Some((seen, since)) if seen.spec == lease.spec => *since,
            _ => since_boot(),
        };
        let (labels, annotations) = (lease.metadata.labels.clone(), lease.metadata.annotations.clone());
        self.marks = ObjectMeta { labels, annotations, ..ObjectMeta::default() };
        self.seen = Some((lease, since));
    }

    /// Writes the Lease as ours, on the version that was seen. `false`: somebody was faster.
    async fn write_ours(&mut self) -> Result<bool, kube::Error> {
        // What others see of the write they see later, so the time that is ours is counted from before it.
        let began = since_boot();
        let seen = self.seen.as_ref().map(|(lease, _)| lease);
        let mut wanted = ours(seen, &self.settings, Timestamp::now());
        if seen.is_none() {
            wanted.metadata = ObjectMeta { name: wanted.metadata.name, ..self.marks.clone() };
        }
        match self.write(&wanted).await {
            Ok(written) => {
                self.seen = Some((written, began));
                self.leadership.lead_until(began + self.settings.renew_deadline);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        if lease.metadata.resource_version.is_some() {
            self.api.replace(&self.settings.name, &params, lease).await
        } else {
            self.api.create(&params, lease).await
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Nobody holds it, or its holder has not renewed it for its whole duration, which is the holder's own word.
fn is_over(lease: &Lease, since: Duration) -> bool {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    holder(lease).is_none() || since_boot() > since + duration
}

/// The Lease, taken or renewed.
fn ours(seen: Option<&Lease>, settings: &Settings, now: Timestamp) -> Lease {
    let before = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let renewed = before.holder_identity.as_ref() == Some(&settings.identity);
    let seconds = settings.lease_duration.as_secs() + u64::from(settings.lease_duration.subsec_nanos() > 0);
    let transitions = before.lease_transitions.unwrap_or(0);
    let spec = LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
        acquire_time: before.acquire_time.clone().filter(|_| renewed).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if renewed || seen.is_none() { transitions } else { transitions.saturating_add(1) }),
        ..before
    };
    let metadata = seen.map_or_else(
        || ObjectMeta { name: Some(settings.name.clone()), ..ObjectMeta::default() },
        |lease| lease.metadata.clone(),
    );
    Lease { metadata, spec: Some(spec) }
}

/// Up to a fifth more, so that candidates do not ask all at once.
fn spread(period: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    period + period / 5 * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(identity: &str) -> Settings {
        Settings {
            namespace: "ns".into(),
            name: "lease".into(),
            identity: identity.into(),
            lease_duration: Duration::from_millis(14_500),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    #[test]
    fn a_lease_is_over_when_its_holder_let_it_go_or_did_not_renew_it() {
        let held = ours(None, &settings("a"), Timestamp::UNIX_EPOCH);
        let now = since_boot();
        assert!(!is_over(&held, now), "what was written long ago by a clock that is off is not over");
        assert!(is_over(&held, now.saturating_sub(Duration::from_secs(16))));
        let mut free = held;
        free.spec.as_mut().unwrap().holder_identity = None;
        assert!(is_over(&free, now));
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired_and_a_takeover_counts() {
        let (first, later) =
            (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + k8s_openapi::jiff::SignedDuration::from_secs(9));
        let taken = ours(None, &settings("a"), first);
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        assert_eq!(
            spec(&taken).lease_duration_seconds,
            Some(15),
            "whole seconds, rounded up: never shorter than meant"
        );
        assert_eq!(spec(&taken).lease_transitions, Some(0));
        let renewed = ours(Some(&taken), &settings("a"), later);
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(first)));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(later)));
        let over = ours(Some(&renewed), &settings("b"), later);
        assert_eq!((spec(&over).acquire_time, spec(&over).lease_transitions), (Some(MicroTime(later)), Some(1)));
    }

    #[test]
    fn leadership_ends_by_itself() {
        let leadership = Leadership::none();
        assert!(!leadership.is_current());
        leadership.lead_until(since_boot() + Duration::from_hours(1));
        assert!(leadership.is_current());
        leadership.lead_until(since_boot());
        assert!(!leadership.is_current());
        assert!(Leadership::alone().is_current());
    }
}
