//! When all is quiet again, every promise is held against every object.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use c1_operator::{
    api::{ConditionType, DELIVERED_ANNOTATION, Lifetime, Reason, condition},
    plan::status,
};
use futures::{StreamExt as _, stream};
use serde_json::json;
use testkit::{LedgerClient, SecretData, proxy::Weather};

use crate::{
    foreign::BLOCKED,
    perform::DRIFTED,
    stage::{Place, Stage, secret_place},
};

const READY_WITHIN: Duration = Duration::from_mins(2);
/// What has not come right by itself by then is in a pause.
const SOON: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 8;
const CLEAN_WITHIN: Duration = Duration::from_mins(1);

impl Stage {
    /// Ends all that goes wrong.
    pub async fn calm(&self) {
        for replica in &self.replicas {
            *replica.die_at.lock().unwrap() = None;
            replica.proxy.weather(Weather::default());
            replica.proxy.hold_watches(false);
            replica.proxy.partition(false);
            replica.go_on().await;
        }
        for rule in self.world.c1.fault_counts().await {
            let Some(marker) = rule["displayNameContains"].as_str().filter(|text| text.starts_with('/')) else {
                continue;
            };
            let mut words = marker.trim().rsplit('/');
            if rule["fired"].as_u64() > Some(0)
                && let (Some(name), Some(namespace)) = (words.next(), words.next())
            {
                self.journal.chronicle.lock().unwrap().failed_at_c1(namespace, name);
                self.journal.hit(&format!("C1: {}", rule["fault"]));
            }
        }
        self.world.c1.clear_faults().await;
        self.journal.note("all is quiet");
    }

    /// A namespace can go without its objects: the namespace controller asks an API server that has just begun which kinds there
    /// are, and it does not say ours yet. Nothing can be written in it then. People make it anew, and delete it again.
    async fn bury(&self) {
        let there = self.namespaces_there().await;
        let stranded: BTreeSet<String> = self.all().await.into_keys().map(|place| place.namespace).collect();
        for namespace in stranded.difference(&there) {
            self.journal.note(&format!("{namespace} went without its objects"));
            self.journal.hit("namespace gone without its objects");
            self.create_namespace(namespace).await;
            self.delete_namespace(namespace).await;
        }
    }

    /// All that must be so for every object, in the end.
    pub async fn judge(&self) {
        self.bury().await;
        // What failed waits a minute before it is tried again, unless its spec changes.
        for last in ["the end", "the very end"] {
            for place in self.not_ready().await.keys() {
                self.patch(place, json!({"spec": {"displayName": last}})).await;
            }
            self.ready_soon().await;
        }
        self.within(READY_WITHIN, async || self.not_ready().await.into_values().collect()).await;
        self.within(CLEAN_WITHIN, async || self.not_one_each().await).await;
        let mut secrets = self.all_secrets().await;
        secrets.retain(|_, secret| secret.annotation(DELIVERED_ANNOTATION).is_some());
        stream::iter(secrets).for_each_concurrent(AT_ONCE, |(place, secret)| self.logs_in_at_last(place, secret)).await;
        for place in self.all().await.keys() {
            self.delete(place).await;
        }
        self.within(CLEAN_WITHIN, async || self.all().await.keys().map(|p| format!("P2: {p} does not go")).collect())
            .await;
        self.within(CLEAN_WITHIN, async || self.not_one_each().await).await;
        let stays = |name| format!("P2: namespace {name} does not go");
        self.within(CLEAN_WITHIN, async || self.passing_left().await.into_iter().map(stays).collect()).await;
        self.foreign.touched(&self.world).await.into_iter().for_each(|what| self.journal.violated(what));
    }

    async fn logs_in_at_last(&self, place: Place, secret: SecretData) {
        if let Err(why) = self.world.c1.logs_in(&secret).await {
            self.journal.violated(format!("P1: in the end the Secret of {place} does not log in: {why}"));
        }
    }

    /// Waits a little until all are Ready.
    async fn ready_soon(&self) {
        let begun = Instant::now();
        while begun.elapsed() < SOON && !self.not_ready().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until nothing is wrong any more; what still is in the end is a violation.
    async fn within(&self, long: Duration, mut wrong: impl AsyncFnMut() -> Vec<String>) {
        let begun = Instant::now();
        loop {
            let found = wrong().await;
            if found.is_empty() {
                return;
            }
            if begun.elapsed() > long {
                return found.into_iter().for_each(|what| self.journal.violated(what));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn not_ready(&self) -> BTreeMap<Place, String> {
        let mut wrong = BTreeMap::new();
        for (place, object) in self.all().await {
            let said = object.status.clone().unwrap_or_default();
            let present = Some(said.observed_generation) == object.metadata.generation;
            if place.name == BLOCKED {
                let told = condition::find(&said.conditions, ConditionType::Ready).map(|c| c.reason.as_str());
                if told != Some(Reason::SecretConflict.as_str()) {
                    let what = format!("P4: {place}, whose Secret is another's, says {told:?}");
                    wrong.insert(place, what);
                }
                continue;
            }
            let request = object.rotate_request();
            let unanswered = request.is_some() && request != said.last_handled_rotate_at;
            if object.metadata.deletion_timestamp.is_some() || !present || !status::is_ready(&said) || unanswered {
                let said = serde_json::to_string(&said).unwrap();
                let what = format!("P1: {place} is not Ready, or asks in vain, long after all was quiet: {said}");
                wrong.insert(place, what);
            }
        }
        wrong
    }

    /// The live clients are exactly the current ones of the objects, and stand in their Secrets.
    async fn not_one_each(&self) -> Vec<String> {
        let mut wrong = vec![];
        let mut current: BTreeMap<String, Place> = BTreeMap::new();
        let mut secrets = self.all_secrets().await;
        secrets.retain(|_, secret| secret.annotation(DELIVERED_ANNOTATION).is_some());
        for (place, object) in self.all().await {
            let secret = secrets.remove(&secret_place(&place, &object));
            let Some(client) = object.status.and_then(|s| s.client) else { continue };
            if secret.is_none_or(|secret| secret.client_id() != client.client_id) {
                wrong.push(format!("P1: the Secret of {place} does not hold {}, which status names", client.client_id));
            }
            current.insert(client.id, place);
        }
        wrong.extend(secrets.into_keys().map(|place| format!("P2: Secret {place} stays, and is nobody's")));
        let live = self.world.c1.live().await;
        let ours = live.iter().filter(|client| client.display_name.contains("[k8s") && !self.foreign.holds(&client.id));
        for client in ours.filter(|client| !current.contains_key(&client.id)) {
            let LedgerClient { id, display_name, created_at, .. } = client;
            let others = self.others_of_its_attempt(client).await;
            wrong.push(format!(
                "P2: client {id} ({display_name}), made at {created_at}, lives, and is nobody's{others}"
            ));
        }
        for client in live.iter().filter(|client| client.allow_source_cidr.iter().any(|network| network == DRIFTED)) {
            if let Some(place) = current.get(&client.id) {
                wrong.push(format!("client {} of {place} is as somebody has changed it in the console", client.id));
            }
        }
        wrong.extend(self.not_as_asked(&live).await);
        let live: BTreeSet<&String> = live.iter().map(|client| &client.id).collect();
        for (id, place) in current.iter().filter(|(id, _)| !live.contains(id)) {
            wrong.push(format!("P1: client {id} of {place} does not live"));
        }
        wrong
    }

    /// Objects whose Secret is not under the name that they want, or whose client is not what they ask for, or was made elsewhere.
    async fn not_as_asked(&self, live: &[LedgerClient]) -> Vec<String> {
        let mut wrong = vec![];
        for (place, object) in self.all().await {
            let status = object.status_or_default();
            let Some(client) = &status.client else { continue };
            if status.secret_name.as_deref() != Some(object.secret_name()) {
                wrong.push(format!("{place} has its Secret under the name {:?}", status.secret_name));
            }
            if client.issuer_ref != object.issuer_ref() {
                wrong.push(format!("{place} has a client of {}", client.issuer_ref));
            }
            let Some(shown) = live.iter().find(|shown| shown.id == client.id) else { continue };
            let name = object.spec.display_name.as_deref().unwrap_or(&place.name);
            if !shown.display_name.starts_with(&format!("{name} [k8s ")) {
                wrong.push(format!("{place} has a client that is called {}", shown.display_name));
            }
            let lifetime = object.spec.expires.as_ref().and_then(|expires| match expires.get() {
                Ok(Lifetime::After(lifetime)) => Some(lifetime),
                _ => None,
            });
            let lives =
                shown.expires_time.and_then(|end| Duration::try_from(end.duration_since(shown.created_at)).ok());
            if lifetime.is_some_and(|asked| lives.is_none_or(|lives| lives.abs_diff(asked) > Duration::from_secs(2))) {
                wrong.push(format!("{place} asks for {lifetime:?}, and has a client that lives for {lives:?}"));
            }
        }
        wrong
    }

    /// What C1 made of the same create, or of one that was sent again.
    async fn others_of_its_attempt(&self, client: &LedgerClient) -> String {
        let marker =
            |client: &LedgerClient| client.display_name.split_once("[k8s").map(|(_, marker)| marker.to_owned());
        let ledger = self.world.c1.ledger().await;
        let others = ledger.iter().filter(|other| other.id != client.id && marker(other) == marker(client));
        let tell = |other: &LedgerClient| {
            let ended = other.deleted_at.map_or("lives".to_owned(), |at| format!("was deleted at {at}"));
            format!("; of the same attempt {}, made at {}, {ended}", other.id, other.created_at)
        };
        others.map(tell).collect()
    }
}
