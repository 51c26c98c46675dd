//! Waiting, with a deadline and a message.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(50);
const TAIL_LINES: usize = 40;
const WIDEST_LINE: usize = 400;

/// The log of the operator that was started last, for messages. Tests with an operator run one after the other.
static OPERATOR_LOG: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Whether the tail stands in a message already.
static TAIL_SHOWN: AtomicBool = AtomicBool::new(false);

/// Asks every 50 ms until the answer is `Ok`. Panics after `within` with `what` was waited for, the last error and the
/// tail of the operator's log.
pub async fn eventually<T, F: AsyncFnMut() -> Result<T, String>>(what: &str, within: Duration, mut f: F) -> T {
    let begun = Instant::now();
    loop {
        match f().await {
            Ok(value) => return value,
            Err(last) if begun.elapsed() >= within => {
                TAIL_SHOWN.store(true, Ordering::Relaxed);
                panic!("waited {within:?} in vain: {what}\nlast: {last}\n{}", operator_log_tail())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// From now on the tail of this log stands in messages.
pub(crate) fn show_log(path: &Path) {
    *OPERATOR_LOG.lock().unwrap() = Some(path.to_owned());
}

/// The end of the operator's log, unless it was shown since this was asked last.
pub(crate) fn tail_not_shown_yet() -> String {
    if TAIL_SHOWN.swap(false, Ordering::Relaxed) { String::new() } else { operator_log_tail() }
}

/// The end of the operator's log, with its path.
pub(crate) fn operator_log_tail() -> String {
    let Some(path) = OPERATOR_LOG.lock().unwrap().clone() else { return "no operator was started".into() };
    let log = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].iter();
    let tail: Vec<String> = tail.map(|line| line.chars().take(WIDEST_LINE).collect()).collect();
    format!("--- the operator's log ends so ({}) ---\n{}\n---", path.display(), tail.join("\n"))
}
