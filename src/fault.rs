//! Points before and after every effect, at which a test has the process kill itself. Release builds have none: there
//! [`reach`] is empty.

/// Everything that the operator does to a `PersonalClient`, its Secret and its clients, apart from reading and from events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EffectKind {
    /// The dry run of the Secret.
    Preflight,
    /// The record of a new attempt.
    Intend,
    /// The create at C1.
    Create,
    /// The Secret.
    Deliver,
    /// Status, after a delivery.
    Record,
    /// The record of an abandoned attempt, or of a Secret that moves.
    Burn,
    /// The Secret's fence.
    Fence,
    /// A change at C1.
    UpdateClient,
    /// A delete at C1.
    DeleteClient,
    /// The deletion of the Secret.
    DeleteSecret,
    /// The end of an object.
    RemoveFinalizer,
    /// Any other status.
    UpdateStatus,
    /// The finalizer, put back.
    AddFinalizer,
    /// A Secret that is taken over.
    Claim,
    /// A Secret that is rendered anew.
    Render,
    /// A workload that is restarted.
    Restart,
    /// A credential that is copied to a Secret of another name.
    Copy,
}

impl EffectKind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Preflight,
        Self::Intend,
        Self::Create,
        Self::Deliver,
        Self::Record,
        Self::Burn,
        Self::Fence,
        Self::UpdateClient,
        Self::DeleteClient,
        Self::DeleteSecret,
        Self::RemoveFinalizer,
        Self::UpdateStatus,
        Self::AddFinalizer,
        Self::Claim,
        Self::Render,
        Self::Restart,
        Self::Copy,
    ];
}

/// Before or after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// Nothing has happened yet.
    Before(EffectKind),
    /// It has happened, and nobody knows.
    After(EffectKind),
}

impl FaultPoint {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        EffectKind::ALL.into_iter().flat_map(|kind| [Self::Before(kind), Self::After(kind)]).collect()
    }
}

impl std::fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Before(kind) => write!(f, "before-{kind:?}"),
            Self::After(kind) => write!(f, "after-{kind:?}"),
        }
    }
}

/// The environment variable that names the point to die at.
pub const VARIABLE: &str = "C1_OPERATOR_FAULT_POINT";

/// Dies here, if this is the point.
#[cfg(feature = "fault-points")]
pub fn reach(point: FaultPoint) {
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == point.to_string()) {
        // As a node that loses power: no destructor runs, nothing is flushed.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing: release builds cannot be told to die.
#[cfg(not(feature = "fault-points"))]
pub fn reach(_: FaultPoint) {}
