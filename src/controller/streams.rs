//! The watches. Each has its own back-off, and its errors end here: in kube's controller one failing watch would slow down
//! every object.

use futures::{Stream, StreamExt, TryStreamExt, future::ready};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;

use super::context::Filling;
use crate::api::{DELIVERED_ANNOTATION, FENCE_ANNOTATION};

/// A relist holds the old and the new objects: small pages keep the peak down.
const PAGE_SIZE: u32 = 100;

/// Watches a kind into a store, and tells what was touched.
pub fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    filling: Filling,
    prune: impl FnMut(&mut K) + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut filled = false;
    watcher(api, config.page_size(PAGE_SIZE))
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) && !std::mem::replace(&mut filled, true) {
                filling.done();
            }
        })
        .touched_objects()
        .filter_map(|result| {
            ready(match result {
                Ok(object) => Some(Ok(object)),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), why = why(&error), "watch interrupted; trying again");
                    None
                }
            })
        })
}

/// Why a watch was interrupted: the API server's own words, where it gave any. A CRD that has just come is not served at once.
fn why(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => format!("{}: {}", status.code, status.message),
        other => other.to_string(),
    }
}

/// Drops what nobody here reads.
pub fn prune<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// Of a Secret's annotations only ours.
pub fn prune_secret<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().retain(|key, _| key == DELIVERED_ANNOTATION || key == FENCE_ANNOTATION);
}

/// Of a namespace's metadata only the labels.
pub fn prune_namespace<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().clear();
}
