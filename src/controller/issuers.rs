//! The issuers as this process knows them: connected or not, as whom, and the last inventory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    api::{IssuerKind, IssuerRef, PersonalClient, Reason},
    c1::{self, Client, Session, UpdateRequest},
    clock::BootInstant,
    clock::Clock,
    inventory::Inventory,
    plan::{Identity, issuers_near, issuers_of},
};

/// C1's clock and ours may differ by this much.
const LARGEST_SKEW: Duration = Duration::from_mins(5);

/// Which issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuerKey {
    /// `None`: cluster-scoped.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl IssuerKey {
    /// The issuer that an object of this namespace means.
    #[must_use]
    pub fn of(reference: &IssuerRef, namespace: &str) -> Self {
        let namespace = match reference.kind {
            IssuerKind::ClientIssuer => Some(namespace.to_owned()),
            IssuerKind::ClusterClientIssuer => None,
        };
        Self { namespace, name: reference.name.clone() }
    }
}

/// The issuers that an object needs.
pub fn needed_by(object: &PersonalClient) -> impl Iterator<Item = IssuerKey> + '_ {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    issuers_of(object).map(move |at| IssuerKey::of(&at, namespace))
}

/// The issuers that concern an object.
pub fn near(object: &PersonalClient) -> impl Iterator<Item = IssuerKey> + '_ {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    issuers_near(object).map(move |at| IssuerKey::of(&at, namespace))
}

/// All issuers.
#[derive(Default)]
pub struct Issuers {
    all: Mutex<HashMap<IssuerKey, Arc<Issuer>>>,
}

impl Issuers {
    /// The issuer, as this process knows it; `None`: not looked at yet, or gone.
    #[must_use]
    pub fn get(&self, key: &IssuerKey) -> Option<Arc<Issuer>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The issuer, made if need be.
    #[must_use]
    pub fn entry(&self, key: &IssuerKey) -> Arc<Issuer> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(key.clone()).or_default().clone()
    }

    /// Forgets issuers that do not exist any more, their tokens and inventories, and says which.
    #[must_use]
    pub fn retain(&self, exists: impl Fn(&IssuerKey) -> bool) -> Vec<IssuerKey> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<IssuerKey> = all.keys().filter(|key| !exists(key)).cloned().collect();
        all.retain(|key, _| !gone.contains(key));
        gone
    }

    /// The next look of all of them is due now. What is known stays: above all when C1 said how late it is.
    pub fn look_soon(&self) {
        for issuer in self.all.lock().unwrap_or_else(PoisonError::into_inner).values() {
            issuer.look_soon();
        }
    }

    /// Forgets an issuer, its token and its inventory.
    pub fn forget(&self, key: &IssuerKey) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// One issuer.
#[derive(Default)]
pub struct Issuer {
    state: Mutex<State>,
    /// One list at a time; who waits for it meanwhile shares it.
    listing: tokio::sync::Mutex<()>,
}

/// What is known of one issuer.
#[derive(Default, Clone)]
pub struct State {
    /// How to call its tenant; kept while its Secret cannot be read, so that a namespace that is being deleted can still
    /// revoke.
    pub session: Option<Arc<Session>>,
    /// As whom.
    pub identity: Option<Identity>,
    /// Our finalizer keeps it from going while objects need it. Nothing is issued before.
    pub held: bool,
    /// Why our finalizer cannot be written.
    pub unheld: Option<String>,
    /// Why it cannot issue now.
    pub not_ready: Option<(Reason, String)>,
    /// The last list.
    pub inventory: Option<Arc<Inventory>>,
    /// The last look: at which generation, when, and how many have failed in a row.
    looked: Option<Looked>,
}

/// Which spec of which object: a name that was deleted and made again begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecVersion {
    /// UID of the object.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
}

#[derive(Clone)]
struct Looked {
    version: SpecVersion,
    at: Instant,
    failures: u32,
    longest_retry: Duration,
    /// Something has happened since: the next look is due.
    is_old: bool,
}

impl Issuer {
    /// What is known.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known.
    pub fn update(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes a new session: identity and inventory were another's.
    pub fn connect(&self, session: Session) {
        self.update(|state| {
            let (looked, held, unheld) = (state.looked.take(), state.held, state.unheld.take());
            *state = State { session: Some(Arc::new(session)), looked, held, unheld, ..State::default() };
        });
    }

    /// Whether the last look was at this spec.
    #[must_use]
    pub fn is_of(&self, version: &SpecVersion) -> bool {
        self.state().looked.is_some_and(|l| l.version == *version)
    }

    /// Forgets all that was known of another object of this name.
    pub fn begin(&self, uid: &str) {
        self.update(|state| {
            if state.looked.as_ref().is_some_and(|l| l.version.uid != uid) {
                *state = State::default();
            }
        });
    }

    /// The next look is due now. What is known stays.
    pub fn look_soon(&self) {
        self.update(|state| {
            if let Some(looked) = &mut state.looked {
                looked.is_old = true;
            }
        });
    }

    /// Remembers a look.
    pub fn looked(&self, version: SpecVersion, ok: bool, longest_retry: Duration) {
        self.update(|state| {
            let failures = if ok { 0 } else { state.looked.as_ref().map_or(0, |l| l.failures).saturating_add(1) };
            state.looked = Some(Looked { version, at: Instant::now(), failures, longest_retry, is_old: false });
        });
    }

    /// How long until the next look is due; `None`: it is. After failures a second, doubling.
    #[must_use]
    pub fn not_due(&self, version: &SpecVersion, interval: Duration) -> Option<Duration> {
        let looked = self.state().looked.filter(|l| l.version == *version && !l.is_old)?;
        let pause = match looked.failures {
            0 => interval,
            n => Duration::from_secs(1 << (n - 1).min(9)).min(looked.longest_retry),
        };
        pause.checked_sub(looked.at.elapsed()).filter(|left| !left.is_zero())
    }

    /// Whether C1's clock and ours differ too much.
    #[must_use]
    pub fn clock_off(&self) -> bool {
        self.state().session.is_some_and(|s| s.clock_skew() > LARGEST_SKEW)
    }

    /// Deletes a client at C1, which is then not listed any more. `false`: there was none to delete.
    ///
    /// # Errors
    /// When C1 did not confirm.
    pub async fn delete(&self, session: &Session, id: &str) -> Result<bool, c1::Error> {
        let deleted = session.delete(id).await?;
        if let Some(inventory) = self.state().inventory {
            inventory.forget(id);
        }
        Ok(deleted)
    }

    /// Changes a client at C1, which is then listed as it was changed; `None`: there is none.
    ///
    /// # Errors
    /// When C1 did not confirm.
    pub async fn change(&self, session: &Session, request: &UpdateRequest) -> Result<Option<Client>, c1::Error> {
        let changed = session.update(request).await?;
        if let (Some(client), Some(inventory)) = (&changed, self.state().inventory) {
            inventory.replace(client);
        }
        Ok(changed)
    }

    /// A list that was begun no earlier than `since`: the last one, if it will do, else one read now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list_since(&self, since: BootInstant, clock: &dyn Clock) -> Result<Arc<Inventory>, c1::Error> {
        let _one_at_a_time = self.listing.lock().await;
        let state = self.state();
        if let Some(inventory) = state.inventory.filter(|i| i.began_at >= since) {
            return Ok(inventory);
        }
        let Some(session) = state.session else {
            return Err(c1::Error::not_connected());
        };
        let (began, began_at) = (clock.now(), BootInstant::now());
        let inventory = Arc::new(Inventory::new(began, began_at, session.list().await?));
        // The list tells as whom it was read; only an empty one does not.
        let user_id = match inventory.user_id() {
            Some(user_id) => user_id.to_owned(),
            None => session.user_id().await?,
        };
        let identity = Identity { host: session.host().to_owned(), user_id };
        self.update(|state| {
            if state.session.as_ref().is_some_and(|s| Arc::ptr_eq(s, &session)) {
                state.identity = Some(identity);
                state.inventory = Some(inventory.clone());
            }
        });
        Ok(inventory)
    }
}
