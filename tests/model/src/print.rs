//! Values with a fingerprint: the types of Kubernetes know no hash, and comparing them whole would take most of the time.

use std::{
    cell::RefCell,
    fmt::{self, Debug, Write},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// A shared value, told from others by a fingerprint of all that it holds.
#[derive(Clone)]
pub struct Printed<T> {
    value: Arc<T>,
    print: u64,
}

impl<T: Debug> Printed<T> {
    /// Takes a value.
    pub fn new(value: T) -> Self {
        let print = print(&value);
        Self::with(value, print)
    }
}

impl<T> Printed<T> {
    /// Takes a value whose fingerprint is known, or that of another which differs if this does.
    pub fn with(value: T, print: u64) -> Self {
        Self { value: Arc::new(value), print }
    }

    /// The fingerprint.
    pub fn print(&self) -> u64 {
        self.print
    }
}

/// The fingerprint of a value, by what `Debug` shows of it, which for plain data is everything.
pub fn print(value: &impl Debug) -> u64 {
    thread_local! { static TEXT: RefCell<String> = RefCell::default(); }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        // A String takes all that is written to it.
        let _ = write!(text, "{value:?}");
        fingerprint(text)
    })
}

/// The fingerprint of what can be hashed.
pub fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<T> Deref for Printed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Printed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl<T> Eq for Printed<T> {}

impl<T> Hash for Printed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.print);
    }
}

impl<T: Debug> Debug for Printed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
