//! The tenant's clock: the real one, moved by whatever a test asked for.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Real time plus an offset, so that a test can let credentials expire without waiting.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Clock {
    offset: SignedDuration,
}

impl Clock {
    /// The tenant's time, in whole microseconds as a database would keep it.
    pub fn now(self) -> Timestamp {
        let now = Timestamp::now();
        let shifted = now.checked_add(self.offset).unwrap_or(now);
        Timestamp::from_microsecond(shifted.as_microsecond()).unwrap_or(shifted)
    }

    /// Moves the clock, also backwards. A jump out of the range of timestamps is refused.
    pub fn advance(&mut self, by: SignedDuration) -> Result<(), jiff::Error> {
        let offset = self.offset.checked_add(by).unwrap_or(SignedDuration::MAX);
        Timestamp::now().checked_add(offset)?;
        self.offset = offset;
        Ok(())
    }

    /// How far it is ahead of real time.
    pub fn offset(self) -> SignedDuration {
        self.offset
    }
}
