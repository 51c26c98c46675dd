//! What goes wrong between an operator and the API server, at random.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

/// How often a request meets what, each from 0 to 1; watches meet none of it.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// It comes to the API server later.
    pub delayed: f64,
    /// By at most this.
    pub longest_delay: Duration,
    /// It is refused, without effect: 429, 500, or if it would change something 409.
    pub refused: f64,
    /// The connection ends before it comes to the API server.
    pub cut: f64,
    /// It has its effect, and the answer is lost: 504, or the connection ends.
    pub lost: f64,
    /// What the dice begin with.
    pub seed: u64,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// A request came later.
    Delayed,
    /// 409 without effect.
    Conflict,
    /// 429 without effect.
    TooManyRequests,
    /// 500 without effect.
    InternalError,
    /// No answer, and no effect.
    CutBefore,
    /// 504 after the effect, as by a load balancer that lost patience.
    GatewayTimeout,
    /// The connection ends in the middle of the answer, after the effect.
    CutAfter,
    /// What a watch said came later.
    HeldBack,
    /// A watch ended, and had to list anew.
    Relisted,
    /// The operator was cut off.
    Partitioned,
}

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Delayed,
        Self::Conflict,
        Self::TooManyRequests,
        Self::InternalError,
        Self::CutBefore,
        Self::GatewayTimeout,
        Self::CutAfter,
        Self::HeldBack,
        Self::Relisted,
        Self::Partitioned,
    ];
}

/// Something went wrong.
#[derive(Debug, Clone)]
pub struct Hit {
    /// When.
    pub at: Instant,
    /// What.
    pub trouble: Trouble,
    /// With which request: path and query.
    pub path: String,
}

/// What a request meets.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub delay: Option<Duration>,
    pub before: Option<Trouble>,
    pub after: Option<Trouble>,
}

/// The weather as it is, and what has come of it.
pub(super) struct Sky {
    dice: Mutex<(Weather, StdRng)>,
    /// Watches are held back.
    pub held: watch::Sender<bool>,
    /// Nothing comes through.
    pub partitioned: watch::Sender<bool>,
    /// How often all watches were to list anew.
    pub relists: watch::Sender<u64>,
    /// Of which of these each watch was told last.
    told: Mutex<BTreeMap<String, u64>>,
    pub hits: Mutex<Vec<Hit>>,
}

impl Default for Sky {
    fn default() -> Self {
        Self {
            dice: Mutex::new((Weather::default(), StdRng::seed_from_u64(0))),
            held: watch::Sender::new(false),
            partitioned: watch::Sender::new(false),
            relists: watch::Sender::new(0),
            told: Mutex::default(),
            hits: Mutex::default(),
        }
    }
}

impl Sky {
    pub(super) fn set(&self, weather: Weather) {
        let dice = StdRng::seed_from_u64(weather.seed);
        *self.dice.lock().unwrap() = (weather, dice);
    }

    /// Writes down what went wrong.
    pub(super) fn hit(&self, trouble: Trouble, path: &str) {
        self.hits.lock().unwrap().push(Hit { at: Instant::now(), trouble, path: path.to_owned() });
    }

    /// Throws the dice for a request.
    pub(super) fn fate(&self, changes: bool) -> Fate {
        let (weather, dice) = &mut *self.dice.lock().unwrap();
        let delay = dice.random_bool(weather.delayed).then(|| weather.longest_delay.mul_f64(dice.random()));
        let before = if dice.random_bool(weather.cut) {
            Some(Trouble::CutBefore)
        } else if dice.random_bool(weather.refused) {
            let refusals = [Trouble::TooManyRequests, Trouble::InternalError, Trouble::Conflict];
            let known = if changes { refusals.len() } else { refusals.len() - 1 };
            Some(refusals[dice.random_range(0..known)])
        } else {
            None
        };
        let lost = [Trouble::GatewayTimeout, Trouble::CutAfter][usize::from(dice.random_bool(0.5))];
        let after = dice.random_bool(weather.lost).then_some(lost);
        Fate { delay, before, after }
    }

    /// Whether a watch that begins has to list anew first.
    pub(super) fn must_relist(&self, watch: &str) -> bool {
        let count = *self.relists.borrow();
        let before = self.told.lock().unwrap().insert(watch.to_owned(), count);
        before.is_some_and(|before| before < count)
    }

    /// Waits while watches are held back, or nothing comes through.
    pub(super) async fn clear(&self, path: &str) {
        if *self.held.borrow() {
            self.hit(Trouble::HeldBack, path);
        }
        until(&mut self.held.subscribe(), false).await;
        until(&mut self.partitioned.subscribe(), false).await;
    }

    /// Waits until a partition is over. Whether there was one.
    pub(super) async fn partition_passes(&self, path: &str) -> bool {
        if !*self.partitioned.borrow() {
            return false;
        }
        self.hit(Trouble::Partitioned, path);
        until(&mut self.partitioned.subscribe(), false).await;
        true
    }

    /// Waits for what ends a watch: all are to list anew, or a partition, which is noticed when it is over.
    pub(super) fn watch_ends(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut relists, mut partitioned) = (self.relists.subscribe(), self.partitioned.subscribe());
        let partition = async move {
            until(&mut partitioned, true).await;
            until(&mut partitioned, false).await;
        };
        async move {
            tokio::select! {
                _ = relists.changed() => {}
                () = partition => {}
            }
        }
    }
}

async fn until(switch: &mut watch::Receiver<bool>, wanted: bool) {
    // It is never dropped while somebody asks.
    let _ = switch.wait_for(|on| *on == wanted).await.is_ok();
}
