//! The field mask of an update: camelCase paths, joined by commas, relative to the client.

use crate::tenant::Refusal;

/// A field that an update may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `displayName`
    DisplayName,
    /// `scopedRoles`
    ScopedRoles,
    /// `allowSourceCidr`
    AllowSourceCidr,
    /// `expiresTime`
    ExpiresTime,
}

/// Reads a mask. What an absent or empty one does at C1 is not known; here it is refused, so that nobody relies on it.
pub fn parse(mask: Option<&str>) -> Result<Vec<Field>, Refusal> {
    let mask = mask.filter(|mask| !mask.is_empty());
    let mask = mask.ok_or_else(|| Refusal::invalid("update_mask must name at least one field"))?;
    mask.split(',').map(field).collect()
}

fn field(path: &str) -> Result<Field, Refusal> {
    match path {
        "displayName" => Ok(Field::DisplayName),
        "scopedRoles" => Ok(Field::ScopedRoles),
        "allowSourceCidr" => Ok(Field::AllowSourceCidr),
        "expiresTime" => Ok(Field::ExpiresTime),
        _ if path.contains('_') => Err(Refusal::invalid(format!("updateMask contains invalid path: {path:?}"))),
        _ => Err(Refusal::invalid(format!("updateMask: {path:?} is no field that can be updated"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_comma_list() {
        assert_eq!(parse(Some("displayName,scopedRoles")).unwrap(), [Field::DisplayName, Field::ScopedRoles]);
    }

    #[test]
    fn snake_case_unknown_read_only_and_missing_paths_are_refused() {
        for mask in [Some("display_name"), Some("nope"), Some("createdAt"), Some("displayName, expiresTime"), None] {
            assert!(parse(mask).is_err(), "{mask:?}");
        }
    }
}
