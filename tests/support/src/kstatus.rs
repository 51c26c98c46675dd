//! What tools that wait (Flux, Argo CD, `kubectl wait` by kstatus) make of a status: the generic rules of kstatus.

use serde_json::Value;

/// What kstatus says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    /// It is as its spec says.
    Current,
    /// It is on its way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// Computes the status of an object, as JSON.
#[must_use]
pub fn compute(object: &Value) -> Kstatus {
    let status = &object["status"];
    let condition = |kind: &str| condition_status(object, kind);
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Kstatus::Terminating;
    }
    if let (Some(seen), Some(generation)) =
        (status["observedGeneration"].as_i64(), object["metadata"]["generation"].as_i64())
        && seen < generation
    {
        return Kstatus::InProgress;
    }
    if condition("Stalled") == Some("True") {
        Kstatus::Failed
    } else if condition("Reconciling") == Some("True") || matches!(condition("Ready"), Some("False" | "Unknown")) {
        Kstatus::InProgress
    } else {
        Kstatus::Current
    }
}

/// The status of a condition, if there is one of that type.
#[must_use]
pub fn condition_status<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

/// What is wrong with an object whose `Ready` and kstatus do not say the same.
///
/// # Errors
/// When they differ.
pub fn agrees_with_ready(object: &Value) -> Result<(), String> {
    let kstatus = compute(object);
    let ready = condition_status(object, "Ready") == Some("True");
    if kstatus == Kstatus::Terminating || ready == (kstatus == Kstatus::Current) {
        return Ok(());
    }
    let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
    Err(format!("kstatus takes {kind} {name} for {kstatus:?}, while Ready is {ready}: {}", object["status"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(observed: i64, conditions: &[(&str, &str)]) -> Value {
        let conditions: Vec<_> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}})
    }

    #[test]
    fn follows_the_rules_of_kstatus() {
        for (object, expected) in [
            (object(-1, &[]), Kstatus::InProgress),
            (object(1, &[("Ready", "True")]), Kstatus::InProgress),
            (object(2, &[("Ready", "True")]), Kstatus::Current),
            (object(2, &[("Ready", "False")]), Kstatus::InProgress),
            (object(2, &[("Ready", "False"), ("Stalled", "True")]), Kstatus::Failed),
            (object(2, &[("Ready", "True"), ("Reconciling", "True")]), Kstatus::InProgress),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), Kstatus::Terminating),
        ] {
            assert_eq!(compute(&object), expected, "{object}");
        }
    }

    #[test]
    fn a_ready_object_that_still_reconciles_is_a_contradiction() {
        assert!(agrees_with_ready(&object(2, &[("Ready", "True"), ("Reconciling", "True")])).is_err());
        assert!(agrees_with_ready(&object(2, &[("Ready", "True")])).is_ok());
        assert!(agrees_with_ready(&object(2, &[("Ready", "False"), ("Stalled", "True")])).is_ok());
    }
}
