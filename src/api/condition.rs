//! Conditions and their reasons. Both are API: `docs/reasons` has a page for each reason, and tests hold the
//! two together.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The conditions that we write, by the conventions of kstatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionType {
    /// The Secret holds a credential that works and that the spec asks for; an issuer can be used.
    Ready,
    /// There only while true: work is going on, or waits for something that may come by itself.
    Reconciling,
    /// There only while true: a person has to change something.
    Stalled,
    /// There only while true: the credential cannot be replaced although it is time, or somebody asks, or not be changed in place.
    RenewalFailing,
}

impl ConditionType {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::RenewalFailing => "RenewalFailing",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition has its status; also the reason of the event that reports it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name),)* }
            }
        }
    };
}

reasons! {
    /// The Secret holds a working credential.
    Issued,
    /// A credential is being issued; an earlier attempt whose outcome is unknown is being resolved first.
    Issuing,
    /// The issuer that `issuerRef` names does not exist.
    IssuerNotFound,
    /// The issuer exists but cannot be used now.
    IssuerNotReady,
    /// The issuer's policy does not allow what is asked.
    DeniedByPolicy,
    /// A role in `scopedRoles` does not exist at the tenant.
    RoleNotFound,
    /// C1 refused the request.
    RequestRejected,
    /// A Secret of that name exists and is not ours.
    SecretConflict,
    /// The API server does not let the Secret be written.
    SecretRefused,
    /// The Secret is missing, or its content was altered.
    SecretLost,
    /// C1 asks for fewer requests.
    Throttled,
    /// C1 does not answer.
    Unreachable,
    /// The credential is past its lifetime.
    Expired,
    /// The client was deleted at C1, outside the operator.
    Revoked,
    /// `suspend` keeps a credential from being issued.
    Suspended,
    /// A replaced client is still used after its overlap: some consumer has not reread the Secret.
    StillUsed,
    /// A replaced client was revoked: its overlap is over.
    Retired,
    /// The client was changed in place.
    Updated,
    /// Somebody had changed the client at C1, and that was put back.
    Drifted,
    /// The workloads that read the Secret only when they start were restarted.
    Restarted,
    /// Some of them could not be.
    RestartFailed,
    /// C1 did not keep the display name that carries the marker.
    MarkerTruncated,
    /// C1's list of clients cannot be read to its end, so that lost answers cannot be resolved.
    InventoryIncomplete,
    /// The object is being deleted.
    Deleting,
    /// A client cannot be revoked now.
    RevocationBlocked,
    /// Live clients carry this cluster's marker and belong to nobody that the operator knows.
    OrphanedClients,
    /// An issuer is connected to its tenant.
    Connected,
    /// The Secret with an issuer's credentials, or a key in it, does not exist.
    CredentialsNotFound,
    /// C1 refuses an issuer's credentials.
    Unauthorized,
    /// The issuer's host is not one that this operator may call.
    HostNotAllowed,
    /// A field of an issuer cannot be used.
    InvalidConfiguration,
    /// The operator's clock and C1's differ by more than five minutes.
    ClockSkew,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The condition of this type.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Sets a condition, in place of the one of its type. `lastTransitionTime` moves only with the status.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: ConditionType,
    status: bool,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let status = if status { "True" } else { "False" };
    let since = find(conditions, kind).filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
    let condition = Condition {
        type_: kind.as_str().into(),
        status: status.into(),
        reason: reason.as_str().into(),
        message: message.into(),
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or_else(|| Time(to_seconds(now))),
    };
    match conditions.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Takes a condition away.
pub fn clear(conditions: &mut Vec<Condition>, kind: ConditionType) {
    conditions.retain(|c| c.type_ != kind.as_str());
}

/// Kubernetes writes times in whole seconds; what is compared with what it stored must be, too.
#[must_use]
pub fn to_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = vec![];
        let at = |s| Timestamp::from_second(s).unwrap();
        set(&mut conditions, ConditionType::Ready, false, Reason::Issuing, "a", 1, at(10));
        set(&mut conditions, ConditionType::Ready, false, Reason::Throttled, "b", 1, at(20));
        assert_eq!(conditions[0].last_transition_time, Time(at(10)));
        set(&mut conditions, ConditionType::Ready, true, Reason::Issued, "c", 1, at(30));
        assert_eq!(conditions[0].last_transition_time, Time(at(30)));
        assert_eq!(conditions.len(), 1);
    }
}
