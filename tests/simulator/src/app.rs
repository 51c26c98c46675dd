//! Everything that the tenant's port and the admin port share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{faults::FaultRules, secrets_file::SecretsFile, state_file::StateFile, tally::Tally, tenant::Tenant};

/// The simulator's state. Each lock is held for the length of one calculation, never over an await.
pub struct App {
    tenant: Mutex<Tenant>,
    faults: Mutex<FaultRules>,
    tally: Mutex<Tally>,
    secrets: SecretsFile,
    state: Option<StateFile>,
}

impl App {
    /// Puts it together.
    pub fn new(tenant: Tenant, secrets: SecretsFile, state: Option<StateFile>) -> Self {
        Self { tenant: Mutex::new(tenant), faults: Mutex::default(), tally: Mutex::default(), secrets, state }
    }

    /// The tenant.
    pub fn tenant(&self) -> MutexGuard<'_, Tenant> {
        lock(&self.tenant)
    }

    /// The fault rules in force.
    pub fn faults(&self) -> MutexGuard<'_, FaultRules> {
        lock(&self.faults)
    }

    /// The count of requests.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// Where secrets are noted as they are made.
    pub fn secrets(&self) -> &SecretsFile {
        &self.secrets
    }

    /// Brings the state file up to date; without one, or with nothing new, it does nothing.
    pub async fn persist(&self) {
        if let Some(state) = &self.state {
            state.save(&self.tenant).await;
        }
    }
}

/// A panic elsewhere has already failed the test; what it left locked is still worth reading.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
