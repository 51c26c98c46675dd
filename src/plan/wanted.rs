//! What is asked of C1, from spec and issuer, and whether the issuer allows it.

use std::time::Duration;

use super::{digest, observed::IssuerView};
use crate::{
    api::{InvalidDuration, IssuerDefaults, IssuerRef, Lifetime, PersonalClient, PersonalClientSpec, SecretTemplate},
    c1::Field,
};

/// 90 days, as C1 recommends: when neither the spec nor the issuer says.
const DEFAULT_LIFETIME: Lifetime = Lifetime::After(Duration::from_hours(90 * 24));

/// The request, with the issuer's defaults filled in, before roles are resolved and the marker is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Display name, without the marker.
    pub display_name: String,
    /// How long the client lives.
    pub lifetime: Lifetime,
    /// Roles, by ids or names; empty: all rights of the user.
    pub scoped_roles: Vec<String>,
    /// Source networks; empty: every one.
    pub allow_source_cidr: Vec<String>,
    /// Digest of what the spec itself says of the three that can be changed in place, without the issuer's defaults.
    pub own: String,
}

impl Wanted {
    /// What the object asks.
    ///
    /// # Errors
    /// When a duration is none; the CRD refuses it first.
    pub fn of(object: &PersonalClient, defaults: &IssuerDefaults) -> Result<Self, InvalidDuration> {
        let spec = &object.spec;
        let lifetime = match spec.expires.as_ref().or(defaults.expires.as_ref()) {
            Some(expires) => expires.get()?,
            None => DEFAULT_LIFETIME,
        };
        let list = |own: &Option<Vec<String>>, default: &Option<Vec<String>>| {
            own.as_ref().or(default.as_ref()).cloned().unwrap_or_default()
        };
        Ok(Self {
            display_name: spec.display_name.clone().or_else(|| object.metadata.name.clone()).unwrap_or_default(),
            lifetime,
            scoped_roles: list(&spec.scoped_roles, &defaults.scoped_roles),
            allow_source_cidr: list(&spec.allow_source_cidr, &defaults.allow_source_cidr),
            own: own(spec),
        })
    }

    /// Digests of what can be changed in place, in the order of [`Field::ALL`], and of what the spec itself says of it.
    #[must_use]
    pub fn requested(&self) -> String {
        format!("{}.{}", Field::ALL.map(|field| self.digest(field)).join("."), self.own)
    }

    /// Which fields differ from those that were asked for when these were the digests.
    #[must_use]
    pub fn unlike(&self, requested: &str) -> Vec<Field> {
        let mut before = requested.split('.');
        Field::ALL.into_iter().filter(|field| before.next() != Some(self.digest(*field).as_str())).collect()
    }

    fn digest(&self, field: Field) -> String {
        let parts = match field {
            Field::DisplayName => std::slice::from_ref(&self.display_name),
            Field::ScopedRoles => &self.scoped_roles,
            Field::AllowSourceCidr => &self.allow_source_cidr,
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        digest(&parts)[..16].to_owned()
    }

    /// Why the issuer does not allow it; `None`: it does.
    #[must_use]
    pub fn denied(&self, reference: &IssuerRef, issuer: &IssuerView, namespace: &str) -> Option<String> {
        if issuer.namespace_selected == Some(false) {
            return Some(format!("{reference}: policy.namespaceSelector does not select namespace {namespace}"));
        }
        if self.scoped_roles.is_empty() && !issuer.full_permissions {
            return Some(format!(
                "{reference}: policy.allowed.fullPermissions is not true, so scopedRoles must name at least one role"
            ));
        }
        None
    }
}

/// Whether the spec itself, and not only the issuer's defaults, says something else than when these were the digests of
/// [`Wanted::requested`].
#[must_use]
pub fn is_edited(spec: &PersonalClientSpec, requested: &str) -> bool {
    requested.split('.').nth(Field::ALL.len()) != Some(&own(spec))
}

fn own(spec: &PersonalClientSpec) -> String {
    let own = (&spec.display_name, &spec.scoped_roles, &spec.allow_source_cidr);
    digest(&[&serde_json::to_string(&own).unwrap_or_default()])[..16].to_owned()
}

/// Digest of what the spec asks that cannot be changed in place: how long, and of which issuer. Not of that one's defaults: an
/// edited issuer re-issues nothing.
#[must_use]
pub fn asked(object: &PersonalClient) -> String {
    digest(&[object.spec.expires.as_ref().map_or("", |e| e.0.as_str()), &object.issuer_ref().to_string()])
}

/// Digest of a template.
#[must_use]
pub fn template_digest(template: Option<&SecretTemplate>) -> String {
    let text = template.and_then(|t| serde_json::to_string(t).ok()).unwrap_or_default();
    digest(&[&text])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_says_a_client_lives_for_ninety_days() {
        let object = PersonalClient::new("name", PersonalClientSpec::default());
        let wanted = Wanted::of(&object, &IssuerDefaults::default()).unwrap();
        assert_eq!(wanted.lifetime, Lifetime::After(Duration::from_hours(2160)));
        assert_eq!(wanted.display_name, "name");
    }

    #[test]
    fn what_is_asked_for_anew_is_told_field_by_field() {
        let of = |name: &str, roles: &[&str], networks: &[&str]| Wanted {
            display_name: name.into(),
            lifetime: Lifetime::Never,
            scoped_roles: roles.iter().map(|&role| role.into()).collect(),
            allow_source_cidr: networks.iter().map(|&network| network.into()).collect(),
            own: "own".into(),
        };
        let before = of("a", &["r"], &["10.0.0.0/8"]).requested();
        assert_eq!(of("a", &["r"], &["10.0.0.0/8"]).unlike(&before), []);
        assert_eq!(of("b", &["r"], &["10.0.0.0/8"]).unlike(&before), [Field::DisplayName]);
        assert_eq!(of("a", &["r", "s"], &[]).unlike(&before), [Field::ScopedRoles, Field::AllowSourceCidr]);
        assert_eq!(of("a", &["r"], &["10.0.0.0/8"]).unlike(""), Field::ALL, "nobody wrote down what was asked for");
    }

    #[test]
    fn what_the_spec_itself_says_anew_is_told_from_what_its_issuer_says() {
        let mut object = PersonalClient::new("name", PersonalClientSpec::default());
        let roles = IssuerDefaults { scoped_roles: Some(vec!["role".into()]), ..IssuerDefaults::default() };
        let before = Wanted::of(&object, &IssuerDefaults::default()).unwrap().requested();
        assert!(!Wanted::of(&object, &roles).unwrap().unlike(&before).is_empty());
        assert!(!is_edited(&object.spec, &before), "it is the issuer that says so");
        object.spec.display_name = Some("another".into());
        assert!(is_edited(&object.spec, &before));
    }

    #[test]
    fn templates_that_differ_have_digests_that_do() {
        let of = |kind: &str| SecretTemplate { type_: Some(kind.into()), ..SecretTemplate::default() };
        let (one, two) = (of("example.com/one"), of("example.com/two"));
        let digests = [None, Some(&one), Some(&two)].map(template_digest);
        assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
        assert_eq!(template_digest(Some(&one.clone())), digests[1]);
    }
}
