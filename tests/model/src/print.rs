//! Values with a fingerprint: the types of Kubernetes know no hash, and comparing them whole would take most of the time.

use std::{
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
        Self { value: Arc::new(value), print }
    }
}

/// The fingerprint of a value, by what `Debug` shows of it, which for plain data is everything.
pub fn print(value: &impl Debug) -> u64 {
    struct Feed(DefaultHasher);
    impl Write for Feed {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut feed = Feed(DefaultHasher::new());
    // Feed never fails.
    let _ = write!(feed, "{value:?}");
    feed.0.finish()
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
