//! The tenant's state on disk, so that it survives a restart.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex as StdMutex,
};

use tokio::sync::Mutex;

use crate::{
    app::lock,
    tenant::{Estate, Tenant},
};

/// Where the estate is kept.
pub struct StateFile {
    path: PathBuf,
    /// The revision that is on disk. Its lock is also the queue of those who want to write: one write covers all of
    /// them, so the file costs a busy tenant less than a write a change.
    saved: Mutex<u64>,
}

impl StateFile {
    /// A state file that is still to be written.
    pub fn new(path: PathBuf) -> Self {
        Self { path, saved: Mutex::new(0) }
    }

    /// Reads what an earlier process left; `None` if there is nothing.
    pub fn load(path: &Path) -> io::Result<Option<Estate>> {
        match fs::read(path) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns once the estate as it is now, or a later one, is on disk.
    pub async fn save(&self, tenant: &StdMutex<Tenant>) {
        let wanted = lock(tenant).revision();
        let mut saved = self.saved.lock().await;
        if *saved >= wanted {
            return;
        }
        // Lets those who are about to change something do so first, and share this write.
        tokio::task::yield_now().await;
        let (revision, json) = {
            let tenant = lock(tenant);
            (tenant.revision(), serde_json::to_vec(tenant.estate()))
        };
        match json.map_err(io::Error::from).and_then(|json| replace(&self.path, &json)) {
            Ok(()) => *saved = revision,
            Err(error) => eprintln!("c1-simulator: cannot write {}: {error}", self.path.display()),
        }
    }
}

/// A reader finds the old file or the new one, never half of one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(fresh, path)
}
