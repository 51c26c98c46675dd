//! P1 and P8, all along: whoever read the Secret of a Ready object can log in with it, and goes on to for the overlap.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use c1_operator::{
    api::{DELIVERED_ANNOTATION, PersonalClient},
    plan::{Delivered, SecretOwner, status},
};
use futures::{StreamExt as _, stream};
use testkit::SecretData;

use crate::{
    perform::ALTERED,
    stage::{OVERLAP, Place, Stage, secret_place},
};

const AT_ONCE: usize = 4;
/// Lists of everything are most of what the API server does here.
const PAUSE: Duration = Duration::from_secs(1);

/// A credential that consumers may hold.
struct Held {
    place: Place,
    owner: String,
    secret: SecretData,
    /// It certainly stood there, and its object was Ready, then or later.
    last: Instant,
}

/// Logs in with all that is held, again and again.
pub async fn probe(stage: &Stage) {
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    let mut logins = 0_u64;
    loop {
        let now = Instant::now();
        let objects = stage.all().await;
        for (at, secret) in stage.all_secrets().await {
            let Some(owner) = owner(&secret) else { continue };
            let place = Place { namespace: at.namespace, name: owner.name };
            let ready = objects.get(&place).is_some_and(|object| vouches_for(object, &secret));
            if ready && secret.client_secret() != ALTERED {
                let id = secret.client_id().to_owned();
                held.insert(id, Held { owner: owner.uid, place, secret, last: now });
            }
        }
        held.retain(|_, h| h.last.elapsed() < OVERLAP);
        logins += held.len() as u64;
        stream::iter(held.values()).for_each_concurrent(AT_ONCE, |held| stage.log_in(held)).await;
        if logins % 1000 < held.len() as u64 {
            stage.journal.note(&format!("{logins} logins"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether an object says that this very Secret works.
fn vouches_for(object: &PersonalClient, secret: &SecretData) -> bool {
    let Some(said) = &object.status else { return false };
    object.metadata.deletion_timestamp.is_none()
        && status::is_ready(said)
        && said.client.as_ref().is_some_and(|client| client.client_id == secret.client_id())
}

/// The object that a Secret was delivered for.
fn owner(secret: &SecretData) -> Option<SecretOwner> {
    let delivered: Delivered = serde_json::from_str(secret.annotation(DELIVERED_ANNOTATION)?).ok()?;
    Some(delivered.owner)
}

impl Stage {
    async fn log_in(&self, held: &Held) {
        // Of many of these the object is gone by now, and its client with it: no news.
        let Err(why) = self.world.c1.logs_in(&held.secret).await else { return };
        let ended = Instant::now();
        let id = held.secret.client_id();
        if self.journal.deleted_by_hand.lock().unwrap().contains(id) {
            return;
        }
        let object = self.get(&held.place).await;
        let Some(object) = object.filter(|o| o.metadata.uid.as_ref() == Some(&held.owner)) else { return };
        if object.metadata.deletion_timestamp.is_some() {
            return;
        }
        let (place, late) = (&held.place, ended.duration_since(held.last));
        let secret = self.secret(&secret_place(place, &object)).await;
        if secret.is_some_and(|now| vouches_for(&object, &now) && now.data == held.secret.data) {
            self.journal
                .violated(format!("P1: {place} is Ready, and its Secret with client {id} does not log in: {why}"));
        } else if late < OVERLAP {
            self.journal.violated(format!(
                "P8: client {id} stood in the Secret of {place}, which was Ready, and {late:?} later does not log in: {why}"
            ));
        }
    }
}
