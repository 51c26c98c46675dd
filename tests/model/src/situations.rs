//! Situations that a check must have met, or it has not checked much.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! situations {
    ($($name:ident: $text:literal,)*) => {
        /// A named situation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Situation { $(#[doc = $text] $name,)* }

        impl Situation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For people.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

situations! {
    TwoIntend: "of two replicas that intend, one gets 409",
    Blind: "a first issue begins, and the caches have missed the Secret",
    Doubled: "a create takes effect twice",
    ChangedInPlace: "a client is changed in place",
    Copied: "a credential is copied to a Secret of another name",
    Tidied: "a former Secret goes",
    EndedElsewhere: "a client is ended at another issuer than the object names",
    TwoAlive: "two of the object's clients are alive",
    LateCreate: "a create takes effect after its caller gave up",
    LateAfterAbandon: "a create takes effect after its attempt was abandoned",
    LateAfterRemoval: "a create takes effect after the object is gone",
    DeliverConflict: "a delivery meets a Secret that is another by now",
    RecordConflict: "a record meets an object that is another by now",
    Fenced: "a working Secret is fenced against an abandoned attempt",
    Abandoned: "a client is deleted because nobody has its secret",
    PausedDelivers: "a replica that stood still past its budget delivers",
    OutOfTime: "a maker runs out of time",
    OverlapEnds: "a replaced client's overlap ends",
    Adoption: "a Secret without a living owner is taken over",
    CloneClient: "a client with the marker, made by a clone, lives beside the object's own",
    Withdrawn: "a maker takes back what it delivered for an object that goes",
    Removed: "an object is let go",
    Torn: "finalizer and record are torn off while an attempt is open",
    RestoredUsed: "after a restore, the open attempt's client was used",
    Unanswered: "C1 does not answer a question",
    UseUnseen: "a client is abandoned that somebody uses, which C1 does not show yet",
    RestoredGone: "after a restore, the Secret holds a client that is gone",
}

static REACHED: AtomicU64 = AtomicU64::new(0);

/// Notes that a situation was met.
pub fn reached(situation: Situation) {
    REACHED.fetch_or(1 << situation as u64, Ordering::Relaxed);
}

/// The situations that were not met since the start.
pub fn missing() -> Vec<&'static str> {
    let reached = REACHED.load(Ordering::Relaxed);
    Situation::ALL.iter().filter(|s| reached & (1 << **s as u64) == 0).map(|s| s.text()).collect()
}
