//! The watches. Each has its own back-off, and its errors end here: in kube's controller one failing watch would slow down
//! every object.

use futures::{Stream, StreamExt, TryStreamExt, future::ready, stream};
use kube::{
    Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;

use super::{context::Filling, shard::Places, union::union};
use crate::api::{DELIVERED_ANNOTATION, FENCE_ANNOTATION};

/// A relist holds the old and the new objects: small pages keep the peak down.
const PAGE_SIZE: u32 = 100;

/// Watches a kind into a store, and tells what was touched.
pub fn watch<K>(
    places: Places<K>,
    writer: Writer<K>,
    filling: Filling,
    prune: impl Fn(&mut K) + Clone + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let several = places.len() > 1;
    let events: Vec<_> = places
        .into_iter()
        .map(|(api, config)| watcher(api, config.page_size(PAGE_SIZE)).default_backoff().modify(prune.clone()))
        .collect();
    let events = if several {
        union(events, writer.as_reader(), move || filling.done()).reflect(writer).left_stream()
    } else {
        let mut filled = false;
        let watched = stream::iter(events).flatten().reflect(writer);
        let watched = watched.inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) && !std::mem::replace(&mut filled, true) {
                filling.done();
            }
        });
        watched.right_stream()
    };
    events.touched_objects().filter_map(|result| {
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
