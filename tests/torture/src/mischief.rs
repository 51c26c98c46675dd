//! What can go wrong, and a schedule of it that a seed reproduces.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Something that is done to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mischief {
    /// SIGKILL for a replica.
    Kill(Victim),
    /// SIGTERM for a replica.
    Terminate(Victim),
    /// A replica stands still for longer than its lease lasts.
    Pause(Victim),
    /// The leader stands still between the create of a re-issue and its delivery, until the other replica leads: of this
    /// object, or the next that is Ready.
    PauseInReissue(usize),
    /// The replica with fault points begins anew, and dies at this one.
    DieAt(String),
    /// The API server is killed, and comes again.
    RestartApiServer,
    /// C1 stands still.
    StopC1,
    /// Watches of a replica say nothing for a while.
    HoldWatches(usize),
    /// All watches of a replica have to list anew.
    Relist(usize),
    /// A replica is cut off from the API server.
    Partition(usize),
    /// A spec is changed.
    Edit(usize),
    /// … as it can be had in place.
    EditInPlace(usize),
    /// Another name for the Secret, or the former one again.
    MoveSecret(usize),
    /// Another issuer, or the former one again.
    MoveIssuer(usize),
    /// A new credential is asked for.
    Rotate(usize),
    /// It is suspended for a while.
    Suspend(usize, Duration),
    /// Somebody changes the client in C1's console.
    Drift(usize),
    /// An object is deleted.
    Delete(usize),
    /// … and made anew.
    Create(usize),
    /// A Secret is deleted by hand.
    DeleteSecret(usize),
    /// … or altered.
    AlterSecret(usize),
    /// … or loses its labels.
    StripLabels(usize),
    /// A client is deleted in C1's console.
    DeleteClient(usize),
    /// A namespace comes, with some objects, and goes after a while.
    PassingNamespace(usize, Duration),
}

/// Which replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The one that leads.
    Leader,
    /// The one that stands by.
    Standby,
}

impl Mischief {
    /// The object that people meddle with.
    #[must_use]
    pub fn object(&self) -> Option<usize> {
        match self {
            Self::Edit(object)
            | Self::EditInPlace(object)
            | Self::MoveSecret(object)
            | Self::MoveIssuer(object)
            | Self::Rotate(object)
            | Self::Suspend(object, _)
            | Self::Drift(object)
            | Self::Delete(object)
            | Self::Create(object)
            | Self::DeleteSecret(object)
            | Self::AlterSecret(object)
            | Self::StripLabels(object)
            | Self::DeleteClient(object) => Some(*object),
            _ => None,
        }
    }

    /// Its kind, for the count.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Terminate(_) => "terminate",
            Self::Pause(_) => "pause",
            Self::PauseInReissue(_) => "pause in a re-issue",
            Self::DieAt(_) => "fault point",
            Self::RestartApiServer => "restart of the API server",
            Self::StopC1 => "C1 stands still",
            Self::HoldWatches(_) => "watches held",
            Self::Relist(_) => "relist",
            Self::Partition(_) => "partition",
            Self::Edit(_) => "edit",
            Self::EditInPlace(_) => "edit in place",
            Self::MoveSecret(_) => "Secret renamed",
            Self::MoveIssuer(_) => "issuer changed",
            Self::Rotate(_) => "rotation requested",
            Self::Suspend(..) => "suspended for a while",
            Self::Drift(_) => "client changed in the console",
            Self::Delete(_) => "delete",
            Self::Create(_) => "create",
            Self::DeleteSecret(_) => "Secret deleted",
            Self::AlterSecret(_) => "Secret altered",
            Self::StripLabels(_) => "labels stripped",
            Self::DeleteClient(_) => "client deleted by hand",
            Self::PassingNamespace(..) => "namespace deleted",
        }
    }
}

/// What happens in a run, and when.
#[derive(Debug)]
pub struct Schedule {
    /// When counted from the first attempt on; in order.
    pub events: Vec<(Duration, Mischief)>,
    /// What C1 does to creates: of this object, to the create of this number, this.
    pub faults: Vec<(usize, u64, serde_json::Value)>,
    /// Seed of the weather before each replica.
    pub weather: [u64; 2],
}

/// In such a time all that can befall the whole system does.
const A_ROUND: Duration = Duration::from_mins(1);

/// How much later than its request a create may take effect: when its attempt has been given up already, which takes six
/// seconds here, and while the object that goes still waits.
pub const LATE: Duration = Duration::from_secs(7);

/// How C1 can fail a create.
fn c1_faults() -> Vec<serde_json::Value> {
    use serde_json::json;
    vec![
        json!({"kind": "cut", "when": "before"}),
        json!({"kind": "cut", "when": "after"}),
        json!({"kind": "status", "status": 503, "when": "before"}),
        json!({"kind": "status", "status": 504, "when": "after"}),
        json!({"kind": "status", "status": 429, "when": "after", "retryAfter": "1"}),
        json!({"kind": "body", "how": "cut"}),
        json!({"kind": "body", "how": "malformed"}),
        json!({"kind": "latency", "seconds": 3, "when": "after"}),
        json!({"kind": "lateCreate", "seconds": LATE.as_secs()}),
        json!({"kind": "doubleCreate"}),
    ]
}

/// What happens, and when.
#[derive(Default)]
struct Events(Vec<(Duration, Mischief)>);

impl Events {
    /// Some time, once. The dice are thrown for the time first.
    fn once(&mut self, dice: &mut StdRng, lasts: Duration, what: impl FnOnce(&mut StdRng) -> Mischief) {
        let at = lasts.mul_f64(dice.random());
        let what = what(dice);
        self.0.push((at, what));
    }

    /// What befalls the whole system, each kind at least once.
    fn round(&mut self, dice: &mut StdRng, lasts: Duration, objects: usize) {
        let points = c1_operator::fault::FaultPoint::all();
        for _ in 0..2 {
            self.once(dice, lasts, |_| Mischief::Kill(Victim::Leader));
            for replica in 0..2 {
                self.once(dice, lasts, |_| Mischief::HoldWatches(replica));
                self.once(dice, lasts, |_| Mischief::Relist(replica));
                self.once(dice, lasts, |_| Mischief::Partition(replica));
            }
        }
        self.once(dice, lasts, |_| Mischief::Kill(Victim::Standby));
        self.once(dice, lasts, |_| Mischief::Terminate(Victim::Leader));
        self.once(dice, lasts, |_| Mischief::Pause(Victim::Leader));
        self.once(dice, lasts, |_| Mischief::Pause(Victim::Standby));
        // Of many of these nothing comes: that point is not reached in time, that object is not issued anew.
        for _ in 0..3 {
            self.once(dice, lasts, |dice| Mischief::DieAt(points[dice.random_range(0..points.len())].to_string()));
            self.once(dice, lasts, |dice| Mischief::PauseInReissue(dice.random_range(0..objects)));
        }
        self.once(dice, lasts, |_| Mischief::RestartApiServer);
        self.once(dice, lasts, |_| Mischief::StopC1);
    }
}

impl Schedule {
    /// Of `objects` objects, over a time; the same for the same seed.
    #[must_use]
    pub fn new(seed: u64, objects: usize, lasts: Duration) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut events = Events::default();
        for _ in 0..lasts.as_secs().div_ceil(A_ROUND.as_secs()) {
            events.round(&mut dice, lasts, objects);
        }
        for number in 0..objects.div_ceil(40) {
            events.once(&mut dice, lasts, |dice| {
                Mischief::PassingNamespace(number, Duration::from_secs(5).mul_f64(dice.random()))
            });
        }
        for _ in 0..objects {
            events.once(&mut dice, lasts, |dice| Mischief::Edit(dice.random_range(0..objects)));
        }
        for _ in 0..objects / 2 {
            events.once(&mut dice, lasts, |dice| Mischief::EditInPlace(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::Rotate(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::MoveSecret(dice.random_range(0..objects)));
        }
        for _ in 0..objects / 4 {
            events.once(&mut dice, lasts, |dice| Mischief::MoveIssuer(dice.random_range(0..objects)));
        }
        for _ in 0..objects / 10 {
            events.once(&mut dice, lasts, |dice| Mischief::DeleteSecret(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::AlterSecret(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::StripLabels(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::DeleteClient(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| Mischief::Drift(dice.random_range(0..objects)));
            events.once(&mut dice, lasts, |dice| {
                let object = dice.random_range(0..objects);
                Mischief::Suspend(object, Duration::from_secs(10).mul_f64(dice.random()))
            });
        }
        for _ in 0..objects * 3 / 4 {
            let (object, at, pause) = (dice.random_range(0..objects), lasts.mul_f64(dice.random()), dice.random());
            events.0.push((at, Mischief::Delete(object)));
            events.0.push((at + Duration::from_secs(8).mul_f64(pause), Mischief::Create(object)));
        }
        let mut events = events.0;
        events.sort_by_key(|(at, _)| *at);
        let kinds = c1_faults();
        let mut faults = vec![];
        for object in 0..objects {
            for nth in 1..=2 {
                if dice.random_bool(0.4) {
                    faults.push((object, nth, kinds[dice.random_range(0..kinds.len())].clone()));
                }
            }
        }
        Self { events, faults, weather: [dice.random(), dice.random()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_reproduces_the_schedule() {
        let of = |seed| format!("{:?}", Schedule::new(seed, 200, Duration::from_secs(40)));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
