//! `spec.rotation`: when a credential is replaced, and how long the replaced one lives on.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    DurationText, Workload,
    duration::{self, PATTERN},
};

/// When the credential is replaced by a new one, and how long the replaced one lives on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": format!("!has(self.overlap) || !has(self.maxOverlap) || !self.overlap.matches('{PATTERN}') || !self.maxOverlap.matches('{PATTERN}') || self.overlap == '' || self.maxOverlap == '' || duration(self.overlap) <= duration(self.maxOverlap)"),
    "message": "overlap must not be longer than maxOverlap",
    "fieldPath": ".overlap",
}])))]
pub struct Rotation {
    /// `Automatic` (when absent): before the credential expires and by its age. `Manual`: neither; only when it is asked for,
    /// when `expires` changes, or when the credential is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RotationPolicy>,
    /// How long before its expiry the credential is replaced, such as 240h: a third of its lifetime when absent, or when that is not
    /// shorter than the lifetime that C1 gave. Up to a tenth of the time until then earlier, the same for an object each time, so that many objects do not rotate together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "renew_before_schema")]
    pub renew_before: Option<DurationText>,
    /// At which age the credential is replaced, also when it does not expire; up to a tenth earlier, as with `renewBefore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_age_schema")]
    pub max_age: Option<DurationText>,
    /// How long a replaced credential works on at least, so that consumers can reread the Secret: 1h when absent (the
    /// operator's `--overlap`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "overlap_schema")]
    pub overlap: Option<DurationText>,
    /// How long it works on at most while C1 shows that it is still used, which is: within the last `overlap`. 168h when
    /// absent (the operator's `--max-overlap`), and never less than `overlap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "overlap_schema")]
    pub max_overlap: Option<DurationText>,
    /// Workloads of this namespace that read the Secret only when they start, as environment variables: they are restarted when
    /// the Secret holds another client than before, and only then. The operator needs a permission for it, which the chart
    /// gives with `rbac.restartWorkloads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub restart: Option<Vec<Workload>>,
}

/// Whether the operator replaces a credential by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RotationPolicy {
    /// Before it expires, and by its age.
    #[default]
    Automatic,
    /// Only when asked, when `expires` changes, or when the credential is gone.
    Manual,
}

/// How long a replaced client lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// At least.
    pub least: Duration,
    /// At most, while it is used.
    pub most: Duration,
}

/// Why the credential will be replaced at `renewalTime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RenewalReason {
    /// It expires some time after that.
    Expiry,
    /// It has reached `maxAge` then, or nearly.
    MaxAge,
}

impl Rotation {
    /// The overlap that is asked for, where it says, or else the operator's. A text that is no duration, which the CRD
    /// refuses, says nothing.
    #[must_use]
    pub fn overlap(rotation: Option<&Self>, otherwise: Overlap) -> Overlap {
        let asked = |of: fn(&Self) -> &Option<DurationText>| {
            rotation.and_then(|r| of(r).as_ref()).and_then(|text| text.get().ok())
        };
        let least = asked(|r| &r.overlap).unwrap_or(otherwise.least);
        Overlap { least, most: asked(|r| &r.max_overlap).unwrap_or(otherwise.most).max(least) }
    }
}

fn renew_before_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    duration::schema("duration", "1m", "87600h")
}

fn max_age_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    duration::schema("duration", "1h", "87600h")
}

fn overlap_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    duration::schema("duration", "1s", "87600h")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: Overlap = Overlap { least: Duration::from_hours(1), most: Duration::from_hours(168) };

    fn asked(overlap: Option<&str>, max_overlap: Option<&str>) -> Overlap {
        let text = |t: Option<&str>| t.map(|t| DurationText(t.into()));
        let rotation = Rotation { overlap: text(overlap), max_overlap: text(max_overlap), ..Rotation::default() };
        Rotation::overlap(Some(&rotation), OPERATORS)
    }

    #[test]
    fn an_overlap_is_the_objects_or_else_the_operators() {
        let hours = |least, most| Overlap { least: Duration::from_hours(least), most: Duration::from_hours(most) };
        assert_eq!(Rotation::overlap(None, OPERATORS), OPERATORS);
        assert_eq!(asked(None, None), OPERATORS);
        assert_eq!(asked(Some("2h"), None), hours(2, 168));
        assert_eq!(asked(None, Some("24h")), hours(1, 24));
        assert_eq!(asked(Some("not"), Some("")), OPERATORS);
    }

    #[test]
    fn the_most_is_never_less_than_the_least() {
        assert_eq!(asked(Some("200h"), None).most, Duration::from_hours(200));
        assert_eq!(asked(None, Some("10m")).most, Duration::from_hours(1));
    }
}
