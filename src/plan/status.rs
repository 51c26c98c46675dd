//! The only place that writes conditions. Messages hold no volatile text (times, request ids): else each retry would be
//! a write.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::api::{
    ConditionType, IssuedClient, PersonalClient, PersonalClientStatus, Reason, RetiringClient,
    condition::{clear, find, set, to_seconds},
};

/// How things stand when the credential is not (or not yet) as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may come right by itself: `Reconciling`.
    Waiting,
    /// A person has to change something: `Stalled`.
    Stalled,
}

/// Whether a failure of this kind needs a person.
#[must_use]
pub fn standing(reason: Reason) -> Standing {
    match reason {
        Reason::DeniedByPolicy
        | Reason::RoleNotFound
        | Reason::RequestRejected
        | Reason::SecretConflict
        | Reason::MarkerTruncated
        | Reason::InventoryIncomplete
        | Reason::Expired
        | Reason::HostNotAllowed
        | Reason::InvalidConfiguration
        | Reason::Unauthorized
        | Reason::RevocationBlocked => Standing::Stalled,
        _ => Standing::Waiting,
    }
}

/// The status of an object whose Secret holds a credential that works and is what the spec asks for.
#[must_use]
pub fn ready(base: &PersonalClientStatus, secret_name: &str, generation: i64, now: Timestamp) -> PersonalClientStatus {
    let mut status = PersonalClientStatus { observed_generation: generation, ..base.clone() };
    let message = format!("Secret {secret_name} holds the credential");
    set(&mut status.conditions, ConditionType::Ready, true, Reason::Issued, &message, generation, now);
    clear(&mut status.conditions, ConditionType::Reconciling);
    clear(&mut status.conditions, ConditionType::Stalled);
    status
}

/// The status of an object whose credential is not there, or not as wanted.
#[must_use]
pub fn not_ready(
    base: &PersonalClientStatus,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> PersonalClientStatus {
    let mut status = PersonalClientStatus { observed_generation: generation, ..base.clone() };
    let (on, off) = match standing(reason) {
        Standing::Waiting => (ConditionType::Reconciling, ConditionType::Stalled),
        Standing::Stalled => (ConditionType::Stalled, ConditionType::Reconciling),
    };
    set(&mut status.conditions, ConditionType::Ready, false, reason, message, generation, now);
    set(&mut status.conditions, on, true, reason, message, generation, now);
    clear(&mut status.conditions, off);
    status
}

/// The status of an object, as it is now, of which a transaction failed that was begun for generation `tried`. A spec that was
/// changed meanwhile has not been tried yet, so nothing is said of it: it would wait out the pause of its predecessor.
#[must_use]
pub fn failure(
    object: &PersonalClient,
    tried: i64,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> PersonalClientStatus {
    let base = object.status_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        let generation = object.metadata.generation.unwrap_or_default();
        return not_ready(&base, Reason::RevocationBlocked, message, generation, now);
    }
    failed(&base, reason, message, tried.max(base.observed_generation), now)
}

/// The status of an object whose credential is not there, counted as a failed attempt to issue.
#[must_use]
pub fn failed(
    base: &PersonalClientStatus,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> PersonalClientStatus {
    // A new spec starts anew.
    let before = if base.observed_generation == generation { base.failed_issuance_attempts.unwrap_or(0) } else { 0 };
    let mut status = not_ready(base, reason, message, generation, now);
    status.failed_issuance_attempts = Some(before.saturating_add(1));
    status.last_failure_time = Some(Time(to_seconds(now)));
    status
}

/// Takes a client as the current one; the former one retires.
#[must_use]
pub fn record(
    base: &PersonalClientStatus,
    client: &IssuedClient,
    secret_name: &str,
    secret_resource_version: &str,
    retire: Option<RetiringClient>,
) -> PersonalClientStatus {
    let mut status = PersonalClientStatus {
        client: Some(client.clone()),
        secret_name: Some(secret_name.into()),
        secret_resource_version: Some(secret_resource_version.into()),
        ..base.clone()
    };
    status.retiring.retain(|r| r.id != client.id);
    if let Some(retire) = retire.filter(|r| status.retiring.iter().all(|have| have.id != r.id)) {
        status.retiring.push(retire);
    }
    status
}

/// A client as one that retires from `since` on.
#[must_use]
pub fn retiring(client: &IssuedClient, since: Timestamp, overlap: std::time::Duration) -> RetiringClient {
    RetiringClient {
        id: client.id.clone(),
        client_id: client.client_id.clone(),
        issuer_ref: client.issuer_ref.clone(),
        host: client.host.clone(),
        user_id: client.user_id.clone(),
        attempt: client.attempt.clone(),
        since: Time(to_seconds(since)),
        revoke_time: end_of(since, overlap),
    }
}

/// A client that retires from `since` on, whatever was said before: its consumers may never have seen a newer credential.
#[must_use]
pub fn retiring_anew(client: &RetiringClient, since: Timestamp, overlap: std::time::Duration) -> RetiringClient {
    RetiringClient { since: Time(to_seconds(since)), revoke_time: end_of(since, overlap), ..client.clone() }
}

/// Rounded up: never shorter than promised.
fn end_of(since: Timestamp, overlap: std::time::Duration) -> Time {
    Time(to_seconds(since + overlap + std::time::Duration::from_secs(1)))
}

/// Whether the status says that the credential works.
#[must_use]
pub fn is_ready(status: &PersonalClientStatus) -> bool {
    find(&status.conditions, ConditionType::Ready).is_some_and(|c| c.status == "True")
}

/// The reason of `Ready`.
#[must_use]
pub fn ready_reason(status: &PersonalClientStatus) -> Option<&str> {
    find(&status.conditions, ConditionType::Ready).map(|c| c.reason.as_str())
}
