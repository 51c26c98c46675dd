//! What was computed lately. Decisions and the steps of transactions depend on little of a state, and its neighbours share that.

use std::{
    cell::RefCell,
    hash::{DefaultHasher, Hash, Hasher},
    thread::LocalKey,
};

/// Values by fingerprints of all that they depend on; of those that fall together the last one stays.
pub struct Memo<V>(Vec<Option<(u64, V)>>);

/// Values that are kept, per thread.
const SLOTS: usize = 1 << 14;

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| None).collect())
    }
}

/// The value that depends on nothing but this.
pub fn of<V: Clone>(memo: &'static LocalKey<RefCell<Memo<V>>>, on: &impl Hash, make: impl FnOnce() -> V) -> V {
    let mut hasher = DefaultHasher::new();
    on.hash(&mut hasher);
    let key = hasher.finish();
    let slot = usize::try_from(key).unwrap_or_default() % SLOTS;
    let found = memo.with_borrow(|memo| match &memo.0[slot] {
        Some((of, value)) if *of == key => Some(value.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| {
        let value = make();
        memo.with_borrow_mut(|memo| memo.0[slot] = Some((key, value.clone())));
        value
    })
}
