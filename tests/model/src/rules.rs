//! The rules of the protocol, each of which a check may leave out.

use c1_operator::plan::Guards;

/// The rules that are kept.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Rules {
    /// Those of the shipped decision and transactions.
    pub plan: Guards,
    /// Those of the requests that its shell sends.
    pub requests: Requests,
}

/// What the shell's requests hold. There it is no switch; here it is, to show what each is for.
#[derive(Debug, Clone, Copy, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "switches, not state")]
pub struct Requests {
    /// The attempt is written down before its create is sent.
    pub intend_first: bool,
    /// … and with it the finalizer.
    pub finalizer_first: bool,
    /// … conditional on the version of the object that was decided on.
    pub intent_at_version: bool,
    /// The Secret is written on what was seen of it.
    pub delivery_on_seen: bool,
    /// Status is written on the version that the intent returned.
    pub record_at_version: bool,
    /// Any other status is written on the version that was decided on.
    pub status_at_version: bool,
    /// An attempt is burnt on the version of the object that was read.
    pub burn_at_version: bool,
    /// The Secret is fenced as it was read.
    pub fence_on_seen: bool,
    /// The Secret is taken over as it was seen.
    pub claim_on_seen: bool,
    /// The Secret is deleted as it was seen.
    pub delete_on_seen: bool,
    /// The finalizer is removed from the version of the object that was decided on.
    pub release_at_version: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        plan: Guards::ALL,
        requests: Requests {
            intend_first: true,
            finalizer_first: true,
            intent_at_version: true,
            delivery_on_seen: true,
            record_at_version: true,
            status_at_version: true,
            burn_at_version: true,
            fence_on_seen: true,
            claim_on_seen: true,
            delete_on_seen: true,
            release_at_version: true,
        },
    };
}
