//! Which part of a cluster this operator serves: all of it, some namespaces, or the objects that a label selects. Several
//! operators may share a cluster, each with a part of its own.

use std::fmt::Debug;

use kube::{Api, Client, Resource, core::NamespaceResourceScope, runtime::watcher};
use serde::de::DeserializeOwned;

use super::issuers::IssuerKey;
use crate::{api::FINALIZER, plan::digest};

/// What the finalizers of shards begin with.
const SHARD_FINALIZER: &str = "iam.conductor.one/shard-";

/// Where a kind is watched: a watch each.
pub type Places<K> = Vec<(Api<K>, watcher::Config)>;

/// A part of the cluster.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Only these; none: all.
    namespaces: Vec<String>,
    /// Only `PersonalClient`s with such labels.
    selector: Option<String>,
    finalizer: String,
}

impl Shard {
    /// The part that these namespaces and this selector leave. `name` tells this shard from others of the cluster, through
    /// restarts and changes of its part.
    #[must_use]
    pub fn new(namespaces: &[String], selector: Option<&str>, name: &str) -> Self {
        let mut namespaces: Vec<String> = namespaces.iter().filter(|n| !n.is_empty()).cloned().collect();
        namespaces.sort();
        namespaces.dedup();
        let selector = selector.filter(|s| !s.is_empty()).map(str::to_owned);
        let whole = namespaces.is_empty() && selector.is_none();
        let finalizer =
            if whole { FINALIZER.to_owned() } else { format!("{SHARD_FINALIZER}{}", &digest(&[name])[..8]) };
        Self { namespaces, selector, finalizer }
    }

    /// Whether it is all of the cluster.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.namespaces.is_empty() && self.selector.is_none()
    }

    /// The finalizer of issuers that objects of this shard need: each shard lets go for itself.
    #[must_use]
    pub fn finalizer(&self) -> &str {
        &self.finalizer
    }

    /// Whether a finalizer of an issuer is for this operator to remove, when none of its objects needs the issuer: its own. Who
    /// serves all of the cluster sees every object, and answers for all shards that there were. A shard does not answer for the
    /// whole: where one runs beside it, by mistake, they would take turns for ever.
    #[must_use]
    pub fn removes(&self, finalizer: &str) -> bool {
        finalizer == self.finalizer || self.is_whole() && finalizer.starts_with(SHARD_FINALIZER)
    }

    /// Whether it can tell if a live client belongs to nobody: of an issuer that other shards use too, their objects would
    /// have to be known.
    #[must_use]
    pub fn judges_orphans(&self, issuer: &IssuerKey) -> bool {
        self.selector.is_none() && (self.namespaces.is_empty() || issuer.namespace.is_some())
    }

    /// Whether an issuer is this operator's to log in with and to report on. One for the whole cluster that no object here
    /// needs is another shard's.
    #[must_use]
    pub fn serves(&self, issuer: &IssuerKey, users: usize) -> bool {
        self.is_whole() || users > 0 || (issuer.namespace.is_some() && self.selector.is_none())
    }

    /// Where `PersonalClient`s are watched.
    #[must_use]
    pub fn personal_clients<K>(&self, client: &Client) -> Places<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let config = watcher::Config { label_selector: self.selector.clone(), ..watcher::Config::default() };
        self.within(client, &config)
    }

    /// Where another kind of a namespace is watched.
    #[must_use]
    pub fn within<K>(&self, client: &Client, config: &watcher::Config) -> Places<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.namespaces.is_empty() {
            return vec![(Api::all(client.clone()), config.clone())];
        }
        self.namespaces.iter().map(|name| (Api::namespaced(client.clone(), name), config.clone())).collect()
    }

    /// Where namespaces themselves are watched: each by its name, which a role can be limited to.
    #[must_use]
    pub fn namespaces<K>(&self, client: &Client) -> Places<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        if self.namespaces.is_empty() {
            return vec![(Api::all(client.clone()), watcher::Config::default())];
        }
        let by_name = |name| watcher::Config::default().fields(&format!("metadata.name={name}"));
        self.namespaces.iter().map(|name| (Api::all(client.clone()), by_name(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(namespaces: &[&str], selector: Option<&str>) -> Shard {
        let namespaces: Vec<String> = namespaces.iter().map(|&n| n.to_owned()).collect();
        Shard::new(&namespaces, selector, "c1-system/a")
    }

    fn issuer(namespace: Option<&str>) -> IssuerKey {
        IssuerKey { namespace: namespace.map(Into::into), name: "i".into() }
    }

    #[test]
    fn each_shard_has_a_finalizer_of_its_own_and_the_whole_removes_all() {
        let (whole, one) = (shard(&[], None), shard(&["x", "", "x"], None));
        let other = Shard::new(&[], Some("a=b"), "c1-system/b");
        assert!(whole.is_whole() && shard(&[""], Some("")).is_whole() && !one.is_whole() && !other.is_whole());
        assert_eq!(whole.finalizer(), FINALIZER);
        assert_ne!(one.finalizer(), other.finalizer());
        assert_eq!(one.finalizer(), shard(&["y"], Some("a=b")).finalizer(), "through changes of its part");
        for (remover, finalizer, removes) in [
            (&whole, FINALIZER, true),
            (&whole, one.finalizer(), true),
            (&one, one.finalizer(), true),
            (&one, FINALIZER, false),
            (&one, other.finalizer(), false),
            (&whole, "example.com/other", false),
        ] {
            assert_eq!(remover.removes(finalizer), removes, "{remover:?} {finalizer}");
        }
    }

    #[test]
    fn a_shard_judges_and_serves_only_what_it_can_know_all_of() {
        for (shard, of, judges, serves_unused) in [
            (shard(&[], None), None, true, true),
            (shard(&[], None), Some("x"), true, true),
            (shard(&["x"], None), None, false, false),
            (shard(&["x"], None), Some("x"), true, true),
            (shard(&[], Some("a")), None, false, false),
            (shard(&["x"], Some("a")), Some("x"), false, false),
        ] {
            assert_eq!(shard.judges_orphans(&issuer(of)), judges, "{shard:?} {of:?}");
            assert_eq!(shard.serves(&issuer(of), 0), serves_unused, "{shard:?} {of:?}");
            assert!(shard.serves(&issuer(of), 1));
        }
    }
}
