//! Metrics. `docs/reference/metrics.md` explains each; a test holds the two together.

use std::{sync::atomic::AtomicU64, time::Duration};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::{ConditionType, PersonalClientStatus, condition::find},
    c1::CallObserver,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    /// 0: no answer.
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    ready: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    namespace: String,
    name: String,
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    call_seconds: Family<Operation, Histogram>,
    issued: Counter,
    deleted: Counter,
    abandoned: Counter,
    left_behind: Counter,
    failures: Family<Category, Counter>,
    personal_clients: Family<State, Gauge>,
    renewals_failing: Gauge,
    replaced_used: Gauge,
    earliest_expiry: Gauge,
    issuer_ready: Family<IssuerLabels, Gauge>,
    inventory_time: Family<IssuerLabels, Gauge<f64, AtomicU64>>,
    orphans: Family<IssuerLabels, Gauge>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let mut metrics = Self {
            registry: Registry::with_prefix("c1_operator"),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
            issued: Counter::default(),
            deleted: Counter::default(),
            abandoned: Counter::default(),
            left_behind: Counter::default(),
            failures: Family::default(),
            personal_clients: Family::default(),
            renewals_failing: Gauge::default(),
            replaced_used: Gauge::default(),
            earliest_expiry: Gauge::default(),
            issuer_ready: Family::default(),
            inventory_time: Family::default(),
            orphans: Family::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("c1_calls", "Calls to C1 by operation and HTTP status; 0: no answer", self.calls.clone());
        r.register("c1_call_duration_seconds", "How long calls to C1 took", self.call_seconds.clone());
        r.register("clients_issued", "Clients issued", self.issued.clone());
        r.register("clients_deleted", "Clients deleted at C1", self.deleted.clone());
        r.register("clients_abandoned", "Clients deleted because nobody had their secret", self.abandoned.clone());
        r.register(
            "clients_left_behind",
            "Clients that stayed at C1 when their object was let go",
            self.left_behind.clone(),
        );
        r.register("reconcile_failures", "Reconciles that could not decide or do their step", self.failures.clone());
        r.register(
            "personal_clients",
            "PersonalClients by the status and reason of Ready",
            self.personal_clients.clone(),
        );
        r.register(
            "renewals_failing",
            "PersonalClients whose credential works and cannot be replaced although it is time",
            self.renewals_failing.clone(),
        );
        r.register(
            "replaced_clients_used",
            "Replaced clients that are still used after their overlap",
            self.replaced_used.clone(),
        );
        r.register(
            "earliest_expiry_timestamp_seconds",
            "When the first of all current credentials expires, or did; 0: none does",
            self.earliest_expiry.clone(),
        );
        r.register("issuer_ready", "Whether an issuer is ready", self.issuer_ready.clone());
        r.register("issuer_inventory_timestamp_seconds", "When C1's list was last read", self.inventory_time.clone());
        r.register(
            "issuer_orphaned_clients",
            "Live clients with this cluster's marker that belong to nobody",
            self.orphans.clone(),
        );
        r.register("leader", "Whether this replica acts", self.leader.clone());
    }

    /// Whether this replica acts. Asked for when the metrics are.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A client was issued.
    pub fn client_issued(&self) {
        self.issued.inc();
    }

    /// A client was deleted at C1.
    pub fn client_deleted(&self) {
        self.deleted.inc();
    }

    /// A client was deleted because nobody had its secret.
    pub fn client_abandoned(&self) {
        self.abandoned.inc();
    }

    /// Clients stay at C1 although they should not.
    pub fn clients_left_behind(&self, count: usize) {
        self.left_behind.inc_by(count as u64);
    }

    /// A reconcile failed.
    pub fn reconcile_failed(&self, category: &'static str) {
        self.failures.get_or_create(&Category { category }).inc();
    }

    /// An issuer was looked at.
    pub fn issuer_looked(&self, name: &str, namespace: Option<&str>, ready: bool, now: Timestamp) {
        let labels = labels(name, namespace);
        self.issuer_ready.get_or_create(&labels).set(i64::from(ready));
        if ready {
            self.inventory_time.get_or_create(&labels).set(now.as_duration().as_secs_f64());
        }
    }

    /// An issuer does not exist any more, or is not this operator's to look at.
    pub fn issuer_gone(&self, name: &str, namespace: Option<&str>) {
        let labels = labels(name, namespace);
        self.issuer_ready.remove(&labels);
        self.inventory_time.remove(&labels);
        self.orphans.remove(&labels);
    }

    /// An issuer's orphans were counted.
    pub fn orphans(&self, name: &str, namespace: Option<&str>, count: usize) {
        self.orphans.get_or_create(&labels(name, namespace)).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The `PersonalClient`s as they stand, by the status of each. Counted when asked for.
    pub fn personal_clients<'a>(&self, all: impl Iterator<Item = &'a PersonalClientStatus>) {
        self.personal_clients.clear();
        let (mut failing, mut used, mut earliest) = (0, 0, None);
        for status in all {
            if let Some(ready) = find(&status.conditions, ConditionType::Ready) {
                let reason = ready.reason.clone();
                let ready = if ready.status == "True" { "true" } else { "false" };
                self.personal_clients.get_or_create(&State { ready, reason }).inc();
            }
            failing += i64::from(find(&status.conditions, ConditionType::RenewalFailing).is_some());
            used += status.retiring.iter().filter(|r| r.last_used_at.is_some()).count();
            let expires = status.client.as_ref().and_then(|c| c.expires_time.as_ref()).map(|t| t.0.as_second());
            earliest = earliest.into_iter().chain(expires).min();
        }
        self.renewals_failing.set(failing);
        self.replaced_used.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.earliest_expiry.set(earliest.unwrap_or(0));
    }

    /// All of them, in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn labels(name: &str, namespace: Option<&str>) -> IssuerLabels {
    IssuerLabels { namespace: namespace.unwrap_or_default().into(), name: name.into() }
}

impl CallObserver for Metrics {
    fn called(&self, operation: &'static str, status: u16, took: Duration) {
        self.calls.get_or_create(&Call { operation, status }).inc();
        self.call_seconds.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{
        api::{IssuedClient, IssuerRef, Reason},
        plan::status,
    };

    fn ready() -> PersonalClientStatus {
        status::ready(&PersonalClientStatus::default(), "name", 1, Timestamp::UNIX_EPOCH)
    }

    fn issued(expires: i64) -> IssuedClient {
        IssuedClient {
            id: "id".into(),
            client_id: "id@host/pcc".into(),
            attempt: "attempt".into(),
            issuer_ref: IssuerRef::default(),
            host: "host".into(),
            user_id: "user".into(),
            display_name: "name".into(),
            created_at: None,
            expires_time: Timestamp::from_second(expires).ok().map(Time),
            scoped_roles: vec![],
            allow_source_cidr: vec![],
            requested: String::new(),
        }
    }

    #[test]
    fn what_goes_wrong_with_rotations_is_counted_anew_each_time() {
        let now = Timestamp::from_second(100).unwrap();
        let expiring = |at| PersonalClientStatus { client: Some(issued(at)), ..ready() };
        let failing = status::cannot_be_replaced(&expiring(500), Reason::Unreachable, "why", (false, 1, now));
        let mut used = expiring(300);
        used.retiring = vec![status::retiring(&issued(300), now, Duration::from_mins(1))];
        used.retiring[0].last_used_at = Some(Time(now));
        let metrics = Metrics::default();
        let says = |lines: [&str; 3]| {
            let text = metrics.text();
            lines.iter().all(|line| text.lines().any(|l| l == format!("c1_operator_{line}")))
        };
        metrics.personal_clients([&failing, &used].into_iter());
        assert!(
            says(["renewals_failing 1", "replaced_clients_used 1", "earliest_expiry_timestamp_seconds 300"]),
            "{}",
            metrics.text()
        );
        metrics.personal_clients(std::iter::once(&ready()));
        assert!(says(["renewals_failing 0", "replaced_clients_used 0", "earliest_expiry_timestamp_seconds 0"]));
    }

    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../docs/reference/metrics.md");
        let metrics = Metrics::default();
        metrics.called("list", 200, Duration::ZERO);
        metrics.reconcile_failed("c1");
        metrics.issuer_looked("name", None, true, Timestamp::UNIX_EPOCH);
        metrics.orphans("name", None, 0);
        metrics.personal_clients(std::iter::once(&ready()));
        let text = metrics.text();
        let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(names.len(), 15, "{text}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "docs/reference/metrics.md does not explain {name}");
        }
    }
}
