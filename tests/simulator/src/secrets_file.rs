//! For tests that look for leaks: every secret ever made, one a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Mutex,
};

use crate::app::lock;

/// The file, if one is wanted.
pub struct SecretsFile(Option<Mutex<File>>);

impl SecretsFile {
    /// Opens it for appending; only its owner may read it.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Mutex::new);
        path.map(open).transpose().map(Self)
    }

    /// Notes a secret before anybody gets it. A secret that a leak test would not know is worse than a noisy log.
    pub fn note(&self, secret: &str) {
        if let Some(file) = &self.0
            && let Err(error) = lock(file).write_all(format!("{secret}\n").as_bytes())
        {
            eprintln!("c1-simulator: cannot write the secrets file: {error}");
        }
    }
}
