//! Durations as protobuf's JSON has them: decimal seconds and an `s`. Not Go's `1h`, not ISO 8601.

use jiff::SignedDuration;

/// protobuf's own bound: about ten thousand years.
const MAX_SECONDS: i64 = 315_576_000_000;

/// Reads `"3600s"` or `"-1.5s"`; at most nine fractional digits.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let seconds = text.strip_suffix('s')?;
    let (negative, seconds) = seconds.strip_prefix('-').map_or((false, seconds), |rest| (true, rest));
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|whole| *whole <= MAX_SECONDS)?;
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let duration = SignedDuration::new(whole, nanos);
    Some(if negative { -duration } else { duration })
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_durations() {
        assert_eq!(parse("3600s"), Some(SignedDuration::from_hours(1)));
        assert_eq!(parse("1.5s"), Some(SignedDuration::from_millis(1500)));
        assert_eq!(parse("-0.000000001s"), Some(SignedDuration::from_nanos(-1)));
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["1h", "24h", "PT1H", "3600", "s", "", "1.s", ".5s", "1.0000000001s", "1e3s", "315576000001s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
