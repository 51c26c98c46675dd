//! Timestamps as protobuf's JSON has them: UTC, `Z`, and 0, 3, 6 or 9 fractional digits.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::{Serialize, Serializer};

/// A timestamp that serialises as protobuf would.
#[derive(Clone, Copy, Debug)]
pub struct WireTime(pub Timestamp);

impl WireTime {
    /// The text of it.
    pub fn text(self) -> String {
        let digits = match self.0.subsec_nanosecond().unsigned_abs() {
            0 => 0,
            nanos if nanos % 1_000_000 == 0 => 3,
            nanos if nanos % 1_000 == 0 => 6,
            _ => 9,
        };
        DateTimePrinter::new().precision(Some(digits)).timestamp_to_string(&self.0)
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_0_3_6_or_9_digits() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:01Z"),
            (500_000_000, "1970-01-01T00:00:01.500Z"),
            (120_000, "1970-01-01T00:00:01.000120Z"),
            (7, "1970-01-01T00:00:01.000000007Z"),
        ] {
            assert_eq!(WireTime(Timestamp::new(1, nanos).unwrap()).text(), text);
        }
    }
}
