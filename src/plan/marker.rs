//! The marker that ends the display name of every client that we make:
//! `CI deployer [k8s prod-3f9a2c1d/ci/ci-deployer 7f3k9q2m5xw4a]`.
//!
//! By it a client is recognised whose id we never learned, because the answer to its create was lost.

use super::digest;

/// Namespace and name together may be this long before a digest stands in for them: C1 documents no limit for display
/// names, and the shorter the marker, the likelier it is kept.
const LONGEST_OWNER: usize = 80;

/// Whose client, and of which attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker {
    /// `cluster/namespace/name`, or `cluster/~digest` where that is long.
    pub owner: String,
    /// The attempt, random.
    pub attempt: String,
}

/// The owner part of the markers of one `PersonalClient`.
#[must_use]
pub fn owner(cluster: &str, namespace: &str, name: &str) -> String {
    if namespace.len() + name.len() > LONGEST_OWNER {
        format!("{cluster}/~{}", &digest(&[namespace, name])[..24])
    } else {
        format!("{cluster}/{namespace}/{name}")
    }
}

/// What tells one cluster from another: the digest of its id. The name before it is for people, and may change.
#[must_use]
pub fn cluster_id(cluster: &str) -> &str {
    cluster.rsplit('-').next().unwrap_or_default()
}

/// What tells one object from another: its owner part without the cluster's name.
#[must_use]
pub fn owner_id(owner: &str) -> &str {
    let cluster = owner.split('/').next().unwrap_or_default();
    &owner[cluster.len() - cluster_id(cluster).len()..]
}

impl Marker {
    /// Whether it is of this owner, whatever the cluster was called when it was made.
    #[must_use]
    pub fn is_of(&self, owner: &str) -> bool {
        owner_id(&self.owner) == owner_id(owner)
    }

    /// The display name to ask for: what the user wants, then the marker.
    #[must_use]
    pub fn append_to(&self, display_name: &str) -> String {
        format!("{display_name} [k8s {} {}]", self.owner, self.attempt)
    }

    /// The marker of a display name. Only the last bracket counts: a person may have written others.
    #[must_use]
    pub fn parse(display_name: &str) -> Option<Self> {
        let (_, bracket) = display_name.strip_suffix(']')?.rsplit_once('[')?;
        let (owner, attempt) = bracket.strip_prefix("k8s ")?.split_once(' ')?;
        let plain = !owner.is_empty() && !attempt.is_empty() && !attempt.contains(' ');
        plain.then(|| Self { owner: owner.into(), attempt: attempt.into() })
    }

    /// The cluster's part of the owner.
    #[must_use]
    pub fn cluster(&self) -> &str {
        self.owner.split('/').next().unwrap_or_default()
    }

    /// Namespace and name of the owner, where the marker spells them out.
    #[must_use]
    pub fn object(&self) -> Option<(&str, &str)> {
        let (_, object) = self.owner.split_once('/')?;
        object.split_once('/').filter(|(namespace, _)| !namespace.starts_with('~'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn round_trips_and_only_the_last_bracket_counts() {
        let marker = Marker { owner: owner("prod-3f9a2c1d", "ci", "deployer"), attempt: "7f3k9q2m5xw4a".into() };
        let name = marker.append_to("CI [k8s x/y/z old]");
        assert_eq!(name, "CI [k8s x/y/z old] [k8s prod-3f9a2c1d/ci/deployer 7f3k9q2m5xw4a]");
        assert_eq!(Marker::parse(&name).as_ref(), Some(&marker));
        assert_eq!(marker.object(), Some(("ci", "deployer")));
        assert_eq!(marker.cluster(), "prod-3f9a2c1d");
    }

    #[test]
    fn long_names_become_a_digest() {
        let spelled_out = |namespace: &str, name: usize| !owner("c", namespace, &"x".repeat(name)).contains('~');
        assert!(spelled_out("ci", LONGEST_OWNER - 2), "both together as long as may be");
        assert!(!spelled_out("ci", LONGEST_OWNER - 1));
        let owner = owner("c", "ci", &"x".repeat(200));
        assert!(owner.len() < 40, "{owner}");
        assert_eq!(Marker { owner, attempt: "a".into() }.object(), None);
    }

    #[test]
    fn a_cluster_may_be_renamed_and_is_told_from_others_by_its_id() {
        let marker = Marker { owner: owner("prod-eu-3f9a2c1d", "ci", "deployer"), attempt: "a".into() };
        assert!(marker.is_of(&owner("prod-3f9a2c1d", "ci", "deployer")));
        assert!(!marker.is_of(&owner("prod-eu-00000000", "ci", "deployer")));
        assert!(!marker.is_of(&owner("prod-eu-3f9a2c1d", "ci", "other")));
        assert_eq!(owner_id("c/ci/with-dash"), "c/ci/with-dash");
    }

    #[test]
    fn other_names_have_none() {
        for name in ["", "CI", "CI [x]", "CI [k8s ]", "CI [k8s a/b/c]", "CI [k8s a/b/c d] ", "CI [k8s a/b/c d e]"] {
            assert_eq!(Marker::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(name in "\\PC*") {
            let _ = Marker::parse(&name);
        }

        /// Of any object, after whatever people want to read before it.
        #[test]
        fn round_trips(
            cluster in "[a-z0-9-]{1,20}", namespace in "[a-z0-9-]{1,63}", name in "[a-z0-9.-]{1,253}", attempt in "[a-z0-9]{1,20}",
            display_name in "\\PC*",
        ) {
            let marker = Marker { owner: owner(&cluster, &namespace, &name), attempt };
            let parsed = Marker::parse(&marker.append_to(&display_name));
            prop_assert_eq!(parsed.as_ref(), Some(&marker));
            if let Some(object) = marker.object() {
                prop_assert_eq!(object, (namespace.as_str(), name.as_str()));
            }
        }
    }
}
