//! The functional core: no async, no clock, no I/O, no randomness. Two functions decide everything that the operator
//! does to a `PersonalClient`:
//!
//! * [`plan`] looks at all that is known of one object and says the one thing to do next (the table of `docs/protocol.md`, in its order);
//! * [`next`] runs a transaction (issue, move, tidy, update, abandon, withdraw, removal) step by step (`docs/protocol.md`).
//!
//! The shell ([`crate::controller`]) gathers, performs, and feeds answers back.

mod abandon;
mod attempts;
mod current;
mod decide;
mod evidence;
mod flight;
mod guards;
mod in_place;
mod issue;
pub mod marker;
mod moves;
mod need;
pub mod observed;
mod overlap;
mod record;
mod relocate;
mod removal;
mod remove;
mod renewal;
mod restart;
#[cfg(test)]
mod scenarios;
pub mod status;
mod steady;
mod step;
mod take_over;
mod tidy;
mod update;
mod wanted;
mod withdraw;

use std::fmt::Write;

pub use abandon::Abandon;
pub use decide::LOOK_AGAIN;
pub use flight::{Anchor, Answer, Effect, Flight, Next, Outcome, next};
pub use guards::Guards;
pub use issue::Issue;
use k8s_openapi::jiff::Timestamp;
pub use marker::Marker;
pub use observed::{
    ClientRead, Identity, InventoryView, IssuerView, Observed, Refusal, SecretView, Timing, current_secret,
    issuers_near, issuers_of, other_issuers, other_secrets,
};
pub use record::{
    AbandonedAttempt, Content, Delivered, FormerSecret, OpenAttempt, Record, RenderedTemplate, SecretOwner, SecretSeen,
    claims,
};
pub use relocate::Relocate;
pub use remove::Remove;
pub use restart::RESTART_AGAIN;
use sha2::{Digest, Sha256};
pub use step::{
    AbandonStep, IssueStep, Look, Need, Plan, RelocateStep, RemoveStep, RestartStep, Step, TidyStep, UpdateStep, Victim,
};
pub use tidy::Tidy;
pub use update::Update;
pub use wanted::{Wanted, asked, template_digest};
pub use withdraw::Withdraw;

/// What to do next with one object, and when to look again.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp, guards: &Guards) -> Plan {
    decide::Decision::new(observed, now, guards).decide()
}

/// SHA-256 over the parts, each with its length before it, in hex.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Bytes in hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
