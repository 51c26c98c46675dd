//! What every reconcile shares.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    jiff::Timestamp,
};
use kube::{
    Client,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::reflector::Store,
};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    issuers::{IssuerKey, Issuers},
    shard::Shard,
};
use crate::{
    api::{ClientIssuer, ClusterClientIssuer, PersonalClient},
    c1::Deadlines,
    clock::BootInstant,
    clock::Clock,
    leader::Leadership,
    plan::{Look, Refusal, Timing},
    secret::Secrets,
    telemetry::{Events, Metrics},
};

/// What the flags say, ready for use.
#[derive(Debug, Clone)]
pub struct Config {
    /// This cluster, as in markers: name and digest of its id.
    pub cluster: String,
    /// The operator's own namespace.
    pub namespace: String,
    /// Hosts that issuers may name beside C1's own.
    pub allowed_hosts: Vec<String>,
    /// Whether namespaced issuers may, too.
    pub allowed_hosts_namespaced: bool,
    /// Deadlines of the protocol.
    pub timing: Timing,
    /// Deadlines of calls to C1.
    pub deadlines: Deadlines,
    /// How often C1's list is read, where the issuer does not say.
    pub inventory_interval: Duration,
    /// How many objects are worked on at once.
    pub concurrency: u16,
    /// Which of the cluster's objects.
    pub shard: Shard,
}

/// The caches. Of Secrets only metadata, and only of those with our label.
#[derive(Clone)]
pub struct Stores {
    /// All objects; one that cannot be read does not stop the others.
    pub personal_clients: Store<DeserializeGuard<PersonalClient>>,
    /// All namespaced issuers.
    pub issuers: Store<DeserializeGuard<ClientIssuer>>,
    /// All cluster-scoped issuers.
    pub cluster_issuers: Store<DeserializeGuard<ClusterClientIssuer>>,
    /// Our Secrets.
    pub secrets: Store<PartialObjectMeta<Secret>>,
    /// Labels of namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
    /// Whether all are filled.
    pub filled: Filled,
}

/// Whether the caches are filled: before, an issuer that is not there yet would be missing. Not `Store::wait_until_ready`: it
/// wakes only the last of several who wait.
#[derive(Clone)]
pub struct Filled {
    missing: watch::Receiver<usize>,
}

/// Its other end: each cache tells once.
#[derive(Clone)]
pub struct Filling {
    missing: Arc<watch::Sender<usize>>,
}

impl Filled {
    /// For this many caches.
    #[must_use]
    pub fn of(caches: usize) -> (Filling, Self) {
        let (sender, missing) = watch::channel(caches);
        (Filling { missing: Arc::new(sender) }, Self { missing })
    }

    /// Whether they are.
    #[must_use]
    pub fn now(&self) -> bool {
        *self.missing.borrow() == 0
    }

    /// Waits until they are. The other end goes only when the process ends.
    pub async fn wait(&self) {
        let _ = self.missing.clone().wait_for(|missing| *missing == 0).await;
    }
}

impl Filling {
    /// One more is.
    pub fn done(&self) {
        self.missing.send_modify(|missing| *missing = missing.saturating_sub(1));
    }
}

/// How long a cache may lag behind our own writes.
const CACHE_LAG: Duration = Duration::from_secs(30);
/// Between renderings of a Secret that somebody keeps changing.
pub const RENDER_PAUSE: Duration = Duration::from_mins(1);
/// What somebody changes at C1 is put back at once so often; then after this pause, doubling to an hour or so, until a day
/// without.
const PUT_BACK_AT_ONCE: u32 = 3;
/// The first pause.
pub const PUT_BACK_PAUSE: Duration = Duration::from_mins(5);
const PUT_BACK_MEMORY: Duration = Duration::from_hours(24);

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Its Secrets.
    pub secrets: Secrets,
    /// What the flags say.
    pub config: Config,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The end of the process has begun: nothing new is begun.
    pub stop: CancellationToken,
    /// Whether this process may act.
    pub leadership: Leadership,
    /// The caches.
    pub stores: Stores,
    /// The issuers, connected.
    pub issuers: Issuers,
    /// What this process alone knows of objects.
    pub memory: Memory,
    /// Tells people.
    pub events: Events,
    /// Tells machines.
    pub metrics: Arc<Metrics>,
    /// Transactions under way: a shutdown waits for them.
    pub tasks: TaskTracker,
    /// Has the objects of an issuer looked at again, or all.
    pub look_again: broadcast::Sender<Option<IssuerKey>>,
}

/// What this process alone knows of objects. Losing it costs time, never a credential.
#[derive(Default)]
pub struct Memory {
    objects: Mutex<HashMap<String, Known>>,
}

/// What this process alone knows of one object.
#[derive(Default, Clone)]
pub struct Known {
    /// A transaction is under way.
    pub in_flight: bool,
    /// The open attempt, when no create was sent for it.
    pub unsent: Option<String>,
    /// The open attempt, with the time of its intent, and when it was first seen: one that is used again is young again.
    pub seen: Option<(String, BootInstant)>,
    /// The version that we wrote last, and when: a cache that is older decides nothing.
    pub written: Option<(u64, Instant)>,
    /// How often the Secret was rendered in a row, and when last.
    pub rendered: Option<(u32, Instant)>,
    /// Fruitless looks in a row.
    pub failures: u32,
    /// Clients that this process has deleted: that C1 does not know them is no surprise.
    pub deleted: BTreeSet<String>,
    /// Those that C1 did not delete, and when it was told to.
    pub undeleted: HashMap<String, BootInstant>,
    /// What C1 was asked for the object and did not answer, and when.
    pub failed_looks: Vec<(Look, BootInstant)>,
    /// The API server did not let the template be rendered.
    pub render_refused: Option<Refused>,
    /// The API server did not let the credential be moved.
    pub move_refused: Option<Refused>,
    /// UID of the former Secret that was deleted last.
    pub tidied: Option<String>,
    /// Names under which a look has found no Secret of the object's: should it write one there, that has the label by which caches
    /// see it, and the next look takes the name off.
    pub vacant: BTreeSet<String>,
    /// When the API server did not let a former Secret be deleted.
    pub tidy_failed: Option<BootInstant>,
    /// When the API server did not let consumers be restarted.
    pub restart_failed: Option<BootInstant>,
    /// How often what somebody changed at C1 was put back, and when it was last.
    put_back: Option<(u32, BootInstant)>,
}

/// What the API server does not let be done for a spec.
#[derive(Debug, Clone)]
pub struct Refused {
    generation: Option<i64>,
    message: String,
    at: BootInstant,
}

impl Refused {
    /// For what this object asks, now.
    #[must_use]
    pub fn now(object: &PersonalClient, message: String) -> Self {
        Self { generation: object.metadata.generation, message, at: BootInstant::now() }
    }

    /// Why, for as long as it is not tried again: not for another spec, nor after that time.
    #[must_use]
    pub fn still(&self, object: &PersonalClient, long: Duration, now: Timestamp) -> Option<Refusal> {
        let left = long.saturating_sub(self.at.elapsed());
        let holds = self.generation == object.metadata.generation && !left.is_zero();
        holds.then(|| Refusal { message: self.message.clone(), until: now + left })
    }
}

impl Context {
    /// Waits until the caches are filled. `false`: the process ends before they are.
    pub async fn is_filled(&self) -> bool {
        tokio::select! {
            () = self.stores.filled.wait() => true,
            () = self.stop.cancelled() => false,
        }
    }

    /// Whether something new may be begun.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.leadership.is_current() && !self.stop.is_cancelled()
    }
}

impl Memory {
    /// Reads or changes what is known of an object.
    pub fn with<T>(&self, uid: &str, f: impl FnOnce(&mut Known) -> T) -> T {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        f(objects.entry(uid.to_owned()).or_default())
    }

    /// Forgets objects that do not exist any more.
    pub fn retain(&self, living: &HashSet<String>) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.retain(|uid, known| known.in_flight || living.contains(uid));
    }

    /// Whether the cache has not yet seen our own last write. Versions are compared as numbers only to save looks: what
    /// cannot be compared is never stale.
    #[must_use]
    pub fn is_stale(&self, uid: &str, cached: Option<&str>) -> bool {
        let cached: Option<u64> = cached.and_then(|v| v.parse().ok());
        self.with(uid, |known| match (known.written, cached) {
            // After a while it is believed: the API server may have been restored from a backup.
            (Some((written, at)), Some(cached)) => cached < written && at.elapsed() < CACHE_LAG,
            _ => false,
        })
    }

    /// Remembers our own last write.
    pub fn wrote(&self, uid: &str, version: Option<&str>) {
        let version = version.and_then(|v| v.parse().ok());
        self.with(uid, |known| known.written = version.map(|v| (v, Instant::now())));
    }

    /// Whether the Secret may be rendered again: somebody may undo it each time. Three times in a row at once, then each
    /// minute.
    #[must_use]
    pub fn may_render(&self, uid: &str) -> bool {
        self.with(uid, |known| {
            let (times, last) = known.rendered.unwrap_or((0, Instant::now()));
            let times = if last.elapsed() > RENDER_PAUSE { 0 } else { times };
            let may = times < 3;
            if may {
                known.rendered = Some((times + 1, Instant::now()));
            }
            may
        })
    }

    /// Whether what somebody changed at C1 may be put back now. Whoever changes it again and again waits longer and longer, so
    /// that two who want different things do not go on without end.
    #[must_use]
    pub fn may_put_back(&self, uid: &str) -> bool {
        self.with(uid, |known| {
            let times =
                known.put_back.filter(|(_, last)| last.elapsed() < PUT_BACK_MEMORY).map_or(0, |(times, _)| times);
            let pause = match times {
                ..PUT_BACK_AT_ONCE => Duration::ZERO,
                _ => PUT_BACK_PAUSE.saturating_mul(1 << (times - PUT_BACK_AT_ONCE).min(4)),
            };
            let may = known.put_back.is_none_or(|(_, last)| last.elapsed() >= pause);
            if may {
                known.put_back = Some((times + 1, BootInstant::now()));
            }
            may
        })
    }

    /// For how long the open attempt has been seen.
    #[must_use]
    pub fn open_seen(&self, uid: &str, attempt: Option<&str>) -> Duration {
        let Some(attempt) = attempt else { return Duration::ZERO };
        self.with(uid, |known| match &known.seen {
            Some((seen, since)) if seen == attempt => since.elapsed(),
            _ => {
                known.seen = Some((attempt.into(), BootInstant::now()));
                Duration::ZERO
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drifts_again_and_again_is_put_back_less_and_less_often() {
        let memory = Memory::default();
        let at_once: Vec<bool> = (0..5).map(|_| memory.may_put_back("uid")).collect();
        assert_eq!(at_once, [true, true, true, false, false]);
        assert!(memory.may_put_back("another"));
    }

    #[test]
    fn a_cache_older_than_our_write_is_stale() {
        let memory = Memory::default();
        assert!(!memory.is_stale("u", Some("5")));
        memory.wrote("u", Some("7"));
        assert!(
            memory.is_stale("u", Some("5")) && !memory.is_stale("u", Some("7")) && !memory.is_stale("u", Some("x"))
        );
    }

    #[test]
    fn an_attempt_is_seen_from_its_first_sight_on() {
        let memory = Memory::default();
        assert_eq!(memory.open_seen("u", Some("a")), Duration::ZERO);
        let earlier = BootInstant::now() - Duration::from_secs(5);
        memory.with("u", |known| known.seen.as_mut().unwrap().1 = earlier);
        assert!(memory.open_seen("u", Some("a")) >= Duration::from_secs(5));
        assert_eq!(memory.open_seen("u", Some("b")), Duration::ZERO);
    }
}
