//! Durations as users write them: `720h`, `1h30m`, `never`.
//!
//! Not `kube::core::Duration`: it panics on overflow, and an object that it cannot hold would crash the operator at
//! every start. These keep the user's text and are read fallibly.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The grammar of a duration; the bounds on the digits keep the sum far from overflow.
pub const PATTERN: &str = "^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$";

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{text}\" is not a duration: use hours, minutes and seconds, such as 720h (30 days) or 1h30m")]
pub struct InvalidDuration {
    text: String,
}

/// Reads hours, minutes and seconds, in this order, each at most once: `720h`, `1h30m`, `45s`.
///
/// # Errors
/// When the text does not follow [`PATTERN`] or is empty.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.chars().take(40).collect() };
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, digits, factor) in [('h', 5, 3600), ('m', 7, 60), ('s', 9, 1)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        if number.is_empty() || number.len() > digits || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        seconds += number.parse::<u64>().map_err(|_| invalid())? * factor;
        rest = after;
    }
    if text.is_empty() || !rest.is_empty() { Err(invalid()) } else { Ok(Duration::from_secs(seconds)) }
}

/// A duration in a spec, in the user's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl DurationText {
    /// The duration.
    ///
    /// # Errors
    /// When the text is none; the CRD refuses it first.
    pub fn get(&self) -> Result<Duration, InvalidDuration> {
        parse(&self.0)
    }
}

/// How long a client lives, in the user's own words: a duration or `never`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expires(pub String);

/// How long a client lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted.
    Never,
    /// This long from its creation.
    After(Duration),
}

impl Expires {
    /// The lifetime.
    ///
    /// # Errors
    /// When the text is no lifetime; the CRD refuses it first.
    pub fn get(&self) -> Result<Lifetime, InvalidDuration> {
        if self.0 == "never" { Ok(Lifetime::Never) } else { parse(&self.0).map(Lifetime::After) }
    }
}

/// One CEL rule that checks the grammar first: `duration()` on anything else reports a type error instead of ours.
fn rule(kind: &str, never: bool, least: &str, most: &str) -> serde_json::Value {
    let shape = format!(
        "self.matches('{PATTERN}') && self != '' && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    );
    let rule = if never { format!("self == 'never' || ({shape})") } else { shape };
    let or = if never { ", or never" } else { "" };
    let text = format!(
        "is not a {kind}: use hours, minutes and seconds, such as 720h (30 days) or 1h30m, from {least} to {most}{or}"
    );
    serde_json::json!([{
        "rule": rule,
        "message": format!("this {text}"),
        "messageExpression": format!("'\"' + self + '\" {text}'"),
    }])
}

impl JsonSchema for Expires {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expires".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 24,
            "x-kubernetes-validations": rule("lifetime", true, "10m", "87600h"),
        })
    }
}

/// A duration between these two, in a field of its own bounds.
pub(super) fn schema(kind: &str, least: &str, most: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 24,
        "x-kubernetes-validations": rule(kind, false, least, most),
    })
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema("duration", "1s", "8760h")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_hours_minutes_and_seconds() {
        for (text, seconds) in [("720h", 2_592_000), ("1h30m", 5400), ("45s", 45), ("0s", 0), ("99999h", 359_996_400)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "h",
            "30d",
            "1.5h",
            "30m1h",
            "-5m",
            " 1h",
            "1h ",
            "100000h",
            "99999999999999999999999h",
            "1h1h",
            "never",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn never_is_a_lifetime() {
        assert_eq!(Expires("never".into()).get(), Ok(Lifetime::Never));
        assert_eq!(Expires("10m".into()).get(), Ok(Lifetime::After(Duration::from_mins(10))));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_it_accepts_it_reads_right(h in 0_u64..100_000, m in 0_u64..10_000_000, s in 0_u64..1_000_000_000) {
            prop_assert_eq!(parse(&format!("{h}h{m}m{s}s")), Ok(Duration::from_secs(h * 3600 + m * 60 + s)));
        }
    }
}
