//! Several watches of one kind, as one.
//!
//! A store takes the end of a list for the end of all lists, and drops what was not in it. So here a list that is begun anew is
//! told as what it changes: each object it holds, and the end of those that it does not hold any more.

use std::{collections::HashSet, hash::Hash, mem};

use futures::{Stream, StreamExt, stream};
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::{self, Event},
    },
};

/// One of the watches: what it knows, and what its present list has shown so far.
struct Part<K: Resource<DynamicType = ()>> {
    known: HashSet<ObjectRef<K>>,
    listed: HashSet<ObjectRef<K>>,
    filled: bool,
}

/// Tells the events of these watches as those of one, whose list is empty at first. `store` is where they end up; `filled` is
/// called when each part's first list is there.
pub fn union<K, S>(
    parts: Vec<S>,
    store: Store<K>,
    mut filled: impl FnMut() + Send + 'static,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    S: Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
{
    let mut states: Vec<Part<K>> = parts.iter().map(|_| Part::new()).collect();
    let numbered = parts.into_iter().enumerate().map(|(part, events)| events.map(move |event| (part, event)).boxed());
    let changes = stream::select_all(numbered).flat_map(move |(part, event)| {
        let told = match event {
            Ok(event) => {
                let (told, first) = states[part].tell(event, &store);
                // All that was told before is in the store by now: who polls for more has used it.
                if first && states.iter().all(|state| state.filled) {
                    filled();
                }
                told.into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(told)
    });
    // What waits for the store to be ready waits for `filled`, too.
    stream::iter([Ok(Event::Init), Ok(Event::InitDone)]).chain(changes)
}

impl<K: Resource<DynamicType = ()> + Clone> Part<K> {
    fn new() -> Self {
        Self { known: HashSet::new(), listed: HashSet::new(), filled: false }
    }

    /// What an event changes; and whether with it the first list is there.
    fn tell(&mut self, event: Event<K>, store: &Store<K>) -> (Vec<Event<K>>, bool)
    where
        K: 'static,
        ObjectRef<K>: Hash + Eq,
    {
        let mut first = false;
        let told = match event {
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                self.listed.insert(ObjectRef::from_obj(&object));
                vec![Event::Apply(object)]
            }
            Event::InitDone => {
                first = !mem::replace(&mut self.filled, true);
                let before = mem::replace(&mut self.known, mem::take(&mut self.listed));
                let gone = before.difference(&self.known).filter_map(|reference| store.get(reference));
                gone.map(|object| Event::Delete((*object).clone())).collect()
            }
            Event::Apply(object) => {
                self.known.insert(ObjectRef::from_obj(&object));
                vec![Event::Apply(object)]
            }
            Event::Delete(object) => {
                self.known.remove(&ObjectRef::from_obj(&object));
                vec![Event::Delete(object)]
            }
        };
        (told, first)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::{FutureExt, SinkExt, channel::mpsc};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::{
        ResourceExt,
        core::ObjectMeta,
        runtime::{WatchStreamExt, reflector},
    };

    use super::*;

    fn object(name: &str) -> Namespace {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Namespace { metadata, ..Namespace::default() }
    }

    /// The events of `parts`, in this order, through a store: what it holds after each, and how often it was said to be filled.
    fn through(events: Vec<(usize, Event<Namespace>)>) -> Vec<(String, usize)> {
        let (sender, receiver): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(8)).unzip();
        let mut senders: Vec<mpsc::Sender<Result<Event<Namespace>, watcher::Error>>> = sender;
        let (store, writer) = reflector::store();
        let filled = Arc::new(AtomicUsize::new(0));
        let count = filled.clone();
        let merged = union(receiver, store.clone(), move || _ = count.fetch_add(1, Ordering::Relaxed));
        let mut merged = Box::pin(merged.reflect(writer));
        let held = |store: &Store<Namespace>| {
            let mut names: Vec<String> = store.state().iter().map(|object| object.name_any()).collect();
            names.sort();
            names.join(" ")
        };
        let steps = events.into_iter().map(|(part, event)| {
            senders[part].send(Ok(event)).now_or_never().unwrap().unwrap();
            while merged.next().now_or_never().is_some() {}
            (held(&store), filled.load(Ordering::Relaxed))
        });
        steps.collect()
    }

    #[test]
    fn a_list_of_one_part_leaves_the_others_alone() {
        let (list, shows, end) = (|| Event::Init, |name| Event::InitApply(object(name)), || Event::InitDone);
        let held = through(vec![
            (0, list()),
            (0, shows("a")),
            (1, list()),
            (1, shows("b")),
            (0, end()),
            (0, Event::Apply(object("a2"))),
            (1, end()),
            // The second is listed anew: b went meanwhile, c came.
            (1, list()),
            (1, shows("c")),
            (1, end()),
            (0, Event::Delete(object("a"))),
            // And one list that ends before its end.
            (0, list()),
            (0, list()),
            (0, shows("a2")),
            (0, end()),
        ]);
        let expected = [
            ("", 0),
            ("a", 0),
            ("a", 0),
            ("a b", 0),
            ("a b", 0),
            ("a a2 b", 0),
            ("a a2 b", 1),
            ("a a2 b", 1),
            ("a a2 b c", 1),
            ("a a2 c", 1),
            ("a2 c", 1),
            ("a2 c", 1),
            ("a2 c", 1),
            ("a2 c", 1),
            ("a2 c", 1),
        ];
        assert_eq!(held, expected.map(|(names, filled)| (names.to_owned(), filled)));
    }
}
