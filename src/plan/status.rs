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

/// What a transaction was begun for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tried {
    /// The generation of the object then.
    pub generation: i64,
    /// The request for a new credential that stood on it.
    pub request: Option<String>,
    /// What works was to be replaced: whatever else is wrong stays as it is.
    pub renewal: bool,
}

impl Tried {
    /// Of an object as it was read.
    #[must_use]
    pub fn of(object: &PersonalClient) -> Self {
        Self {
            generation: object.metadata.generation.unwrap_or_default(),
            request: object.rotate_request(),
            renewal: false,
        }
    }
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
        | Reason::Suspended
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
    nothing_failing(works(base, &holds(secret_name), generation, now))
}

/// What `Ready` says of a credential that works.
#[must_use]
pub fn holds(secret_name: &str) -> String {
    format!("Secret {secret_name} holds the credential")
}

/// The same, whether or not its replacement fails.
#[must_use]
pub fn works(base: &PersonalClientStatus, message: &str, generation: i64, now: Timestamp) -> PersonalClientStatus {
    let mut status = PersonalClientStatus { observed_generation: generation, ..base.clone() };
    set(&mut status.conditions, ConditionType::Ready, true, Reason::Issued, message, generation, now);
    clear(&mut status.conditions, ConditionType::Reconciling);
    clear(&mut status.conditions, ConditionType::Stalled);
    status
}

/// No replacement fails, or none is wanted any more.
#[must_use]
pub fn nothing_failing(mut status: PersonalClientStatus) -> PersonalClientStatus {
    clear(&mut status.conditions, ConditionType::RenewalFailing);
    status
}

/// The status of an object whose credential works, or has worked until it expired (as far as the clock can be believed), and
/// cannot be replaced. Nothing is wrong until then: `Ready` stays.
#[must_use]
pub fn cannot_be_replaced(
    base: &PersonalClientStatus,
    reason: Reason,
    message: &str,
    (is_past, generation, now): (bool, i64, Timestamp),
) -> PersonalClientStatus {
    let client = base.client.as_ref();
    let expires = client.and_then(|c| c.expires_time.as_ref()).map(|t| t.0);
    let mut status = if is_past {
        let message = format!("the credential is past its lifetime, and cannot be replaced: {message}");
        unfulfilled(base, Reason::Expired, &message, generation, now)
    } else {
        PersonalClientStatus { observed_generation: generation, ..base.clone() }
    };
    let created = client.and_then(|c| c.created_at.as_ref()).map(|t| t.0);
    let message = match (created, expires) {
        // In the last tenth of its life it is said again, louder.
        (Some(created), Some(expires)) if expires.duration_since(now) * 10 < expires.duration_since(created) => {
            format!("{message} (the credential expires at {expires})")
        }
        _ => message.to_owned(),
    };
    set(&mut status.conditions, ConditionType::RenewalFailing, true, reason, &message, generation, now);
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
    nothing_failing(unfulfilled(base, reason, message, generation, now))
}

/// The same, whether or not the replacement of one that works fails.
#[must_use]
pub fn unfulfilled(
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

/// The status of an object, as it is now, of which a transaction failed that was begun for it as it was when `tried`. A spec
/// that was changed meanwhile has not been tried yet, so nothing is said of it: it would wait out the pause of its predecessor.
#[must_use]
pub fn failure(
    object: &PersonalClient,
    tried: &Tried,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> PersonalClientStatus {
    let base = object.status_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        let generation = object.metadata.generation.unwrap_or_default();
        return not_ready(&base, Reason::RevocationBlocked, message, generation, now);
    }
    let generation = tried.generation.max(base.observed_generation);
    // Only what was wrong already, or a new spec, makes a failure of more than the replacement.
    let works = (is_ready(&base) || is_expired(&base) || tried.renewal) && base.observed_generation == generation;
    let said = if works {
        cannot_be_replaced(&base, reason, message, (is_expired(&base), generation, now))
    } else {
        not_ready(&base, reason, message, generation, now)
    };
    counted(tried, &base, said, now)
}

/// The status of an object whose credential is not there, counted as a failed attempt to issue.
#[must_use]
pub fn failed(
    tried: &Tried,
    base: &PersonalClientStatus,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> PersonalClientStatus {
    counted(tried, base, not_ready(base, reason, message, generation, now), now)
}

/// One more failed attempt.
fn counted(
    tried: &Tried,
    base: &PersonalClientStatus,
    said: PersonalClientStatus,
    now: Timestamp,
) -> PersonalClientStatus {
    // A new spec starts anew, and so does a new request.
    let request = &tried.request;
    let same = base.observed_generation == said.observed_generation
        && (request.is_none() || *request == base.last_failed_rotate_at || *request == base.last_handled_rotate_at);
    let before = base.failed_issuance_attempts.filter(|_| same).unwrap_or(0);
    PersonalClientStatus {
        failed_issuance_attempts: Some(before.saturating_add(1)),
        last_failure_time: Some(Time(to_seconds(now))),
        last_failed_rotate_at: request.clone().or_else(|| base.last_failed_rotate_at.clone()),
        ..said
    }
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
        revoke_time: end_of(since, overlap, client.expires_time.as_ref()),
        expires_time: client.expires_time.clone(),
        last_used_at: None,
    }
}

/// A client that retires from `since` on, whatever was said before: its consumers may never have seen a newer credential.
#[must_use]
pub fn retiring_anew(client: &RetiringClient, since: Timestamp, overlap: std::time::Duration) -> RetiringClient {
    RetiringClient {
        since: Time(to_seconds(since)),
        revoke_time: end_of(since, overlap, client.expires_time.as_ref()),
        last_used_at: None,
        ..client.clone()
    }
}

/// Rounded up: never shorter than promised. What is past its lifetime before that need not be kept.
fn end_of(since: Timestamp, overlap: std::time::Duration, expires: Option<&Time>) -> Time {
    let end = to_seconds(since + overlap + std::time::Duration::from_secs(1));
    Time(expires.map_or(end, |expires| end.min(expires.0)))
}

/// Whether the status says that the credential works.
#[must_use]
pub fn is_ready(status: &PersonalClientStatus) -> bool {
    find(&status.conditions, ConditionType::Ready).is_some_and(|c| c.status == "True")
}

/// Whether the status says that the credential is past its lifetime.
#[must_use]
pub fn is_expired(status: &PersonalClientStatus) -> bool {
    ready_reason(status) == Some(Reason::Expired.as_str())
}

/// Why the last attempt to issue failed, be it the first one or a replacement.
#[must_use]
pub fn failing_reason(status: &PersonalClientStatus) -> Option<&str> {
    let renewal = find(&status.conditions, ConditionType::RenewalFailing).map(|c| c.reason.as_str());
    renewal.or_else(|| ready_reason(status))
}

/// The reason of `Ready`.
#[must_use]
pub fn ready_reason(status: &PersonalClientStatus) -> Option<&str> {
    find(&status.conditions, ConditionType::Ready).map(|c| c.reason.as_str())
}
