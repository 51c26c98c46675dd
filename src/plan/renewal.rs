//! Rotation: when the current client is to be replaced because of time, and whether somebody asks for it.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{decide::Decision, digest, step::Need};
use crate::api::{
    DurationText, IssuedClient, PersonalClient, PersonalClientStatus, RenewalReason, Rotation, RotationPolicy,
    condition::to_seconds,
};

impl Decision<'_> {
    /// A reason to replace a client that works: it is asked for, or it is time.
    pub(super) fn renewal_need(&self, client: &IssuedClient) -> Option<Need> {
        if self.requested().is_some() {
            return Some(Need::Requested);
        }
        let (due, _) = due(&self.o.object, client)?;
        (due <= self.now && !self.clock_off()).then_some(Need::Renewal)
    }

    /// A request for a new credential that was not answered yet. Texts are compared, never with a clock.
    pub(super) fn requested(&self) -> Option<String> {
        self.o.object.rotate_request().filter(|text| self.status.last_handled_rotate_at.as_ref() != Some(text))
    }
}

/// When a client of this object is to be replaced, and why. By what C1 returned, not by when somebody looked: a restart
/// changes nothing.
pub(super) fn due(object: &PersonalClient, client: &IssuedClient) -> Option<(Timestamp, RenewalReason)> {
    let rotation = object.spec.rotation.as_ref();
    if rotation.and_then(|r| r.policy).unwrap_or_default() == RotationPolicy::Manual {
        return None;
    }
    let asked = |of: fn(&Rotation) -> &Option<DurationText>| {
        rotation.and_then(|r| of(r).as_ref()).and_then(|text| text.get().ok())
    };
    let created = client.created_at.as_ref()?.0;
    let by_expiry = client.expires_time.as_ref().and_then(|expires| {
        let lifetime = Duration::try_from(expires.0.duration_since(created)).ok()?;
        // C1 may have made it shorter than asked: what is due when it is made would be replaced without end.
        let before = asked(|r| &r.renew_before).filter(|before| *before < lifetime).unwrap_or(lifetime / 3);
        Some((lifetime.checked_sub(before)?, RenewalReason::Expiry))
    });
    let by_age = asked(|r| &r.max_age).map(|age| (age, RenewalReason::MaxAge));
    let (age, reason) = by_expiry.into_iter().chain(by_age).min_by_key(|(age, _)| *age)?;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    Some((to_seconds(created.checked_add(earlier(age, uid)).ok()?), reason))
}

/// Up to a tenth sooner, the same for an object each time: a thousand that were made together do not rotate together.
fn earlier(age: Duration, uid: &str) -> Duration {
    let share = u32::from_str_radix(&digest(&["renewal", uid])[..4], 16).unwrap_or(0);
    age.saturating_sub(age / 10 * share / 0xffff)
}

/// The status with the time of the next renewal.
pub(super) fn with_renewal(object: &PersonalClient, status: PersonalClientStatus) -> PersonalClientStatus {
    let next = status.client.as_ref().and_then(|client| due(object, client));
    PersonalClientStatus {
        renewal_time: next.map(|(time, _)| Time(time)),
        renewal_reason: next.map(|(_, reason)| reason),
        ..status
    }
}
