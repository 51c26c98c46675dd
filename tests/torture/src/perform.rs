//! Mischief is done.

use std::time::{Duration, Instant};

use c1_operator::{api::ROTATE_ANNOTATION, plan::status::is_ready};
use serde_json::json;
use testkit::control_plane;

use crate::{
    mischief::{Mischief, Victim},
    stage::{OTHER_ISSUER, Place, Stage},
};

/// Longer than a lease and a retry.
const PAUSE: Duration = Duration::from_secs(8);
const UNSEEN: Duration = Duration::from_secs(2);
const CUT_OFF: Duration = Duration::from_secs(3);
const C1_STOPPED: Duration = Duration::from_secs(2);
/// Until the other replica leads, and has found what the first left: lease, budget, grace, and a list.
const RECOVERED: Duration = Duration::from_secs(14);
const PASSING_OBJECTS: usize = 5;
/// The only network from which somebody lets a client in.
pub const DRIFTED: &str = "0.0.0.0/1";
/// What an altered Secret holds.
pub const ALTERED: &str = "altered by hand";

/// What a client is called whose create C1 answers slowly.
pub fn slowly(object: usize) -> String {
    format!("slowly, {object}.")
}

impl Stage {
    /// Does it, and returns when it is over.
    pub async fn perform(&self, mischief: &Mischief) {
        self.journal.note(&format!("{mischief:?}"));
        let kind = mischief.kind();
        match mischief {
            Mischief::Kill(victim) => {
                let replica = self.victim(*victim).await;
                self.strikes(replica, kind, async || self.replicas[replica].kill().await).await;
            }
            Mischief::Terminate(victim) => {
                let replica = self.victim(*victim).await;
                self.strikes(replica, kind, async || self.replicas[replica].terminate().await).await;
            }
            Mischief::Pause(victim) => self.pause(self.victim(*victim).await, PAUSE, kind).await,
            Mischief::PauseInReissue(object) => self.pause_in_reissue(*object, kind).await,
            Mischief::DieAt(point) => {
                *self.replicas[0].die_at.lock().unwrap() = Some(point.clone());
                self.strikes(0, "terminate", async || self.replicas[0].terminate().await).await;
                // That it died there its kubelet counts. It comes to that point when it leads, so the other gives way.
                self.replicas[0].begun_anew().await;
                self.strikes(1, "terminate", async || self.replicas[1].terminate().await).await;
            }
            Mischief::RestartApiServer => {
                let from = Instant::now();
                control_plane::restart_api_server(&self.world.kube).await;
                self.journal.all_met(kind, from);
            }
            Mischief::StopC1 => {
                let from = Instant::now();
                self.world.c1.signal("STOP").await;
                tokio::time::sleep(C1_STOPPED).await;
                self.world.c1.signal("CONT").await;
                self.journal.all_met(kind, from);
            }
            Mischief::PassingNamespace(number, stays) => self.passing_namespace(*number, *stays, kind).await,
            // What comes of the next three, the proxy counts.
            Mischief::HoldWatches(replica) => {
                self.replicas[*replica].proxy.hold_watches(true);
                tokio::time::sleep(UNSEEN).await;
                self.replicas[*replica].proxy.hold_watches(false);
            }
            Mischief::Relist(replica) => self.replicas[*replica].proxy.relist(),
            Mischief::Partition(replica) => {
                self.replicas[*replica].proxy.partition(true);
                tokio::time::sleep(CUT_OFF).await;
                self.replicas[*replica].proxy.partition(false);
            }
            Mischief::Edit(_)
            | Mischief::EditInPlace(_)
            | Mischief::MoveSecret(_)
            | Mischief::MoveIssuer(_)
            | Mischief::Rotate(_)
            | Mischief::Suspend(..)
            | Mischief::Drift(_)
            | Mischief::Delete(_)
            | Mischief::Create(_)
            | Mischief::DeleteSecret(_)
            | Mischief::AlterSecret(_)
            | Mischief::StripLabels(_)
            | Mischief::DeleteClient(_) => self.meddle(mischief).await,
        }
    }

    /// Something happens to a replica. Only who leads has attempts in whose way it can come.
    async fn strikes(&self, replica: usize, kind: &str, strike: impl AsyncFnOnce()) {
        let (led, from) = (self.replicas[replica].leads().await, Instant::now());
        strike().await;
        if led {
            self.journal.all_met(kind, from);
        } else {
            self.journal.hit(kind);
        }
    }

    async fn victim(&self, victim: Victim) -> usize {
        let leader = self.leader().await;
        match victim {
            Victim::Leader => leader,
            Victim::Standby => 1 - leader,
        }
    }

    async fn pause(&self, replica: usize, long: Duration, kind: &str) {
        self.strikes(replica, kind, async || {
            if self.replicas[replica].pause().await {
                tokio::time::sleep(long).await;
                self.replicas[replica].go_on().await;
            }
        })
        .await;
    }

    /// C1 takes its time to answer a create of this name (a rule of the run): the leader is stopped when it has been sent, and
    /// before it can be delivered.
    async fn pause_in_reissue(&self, object: usize, kind: &str) {
        let Some(place) = self.ready_from(object).await else {
            return self.journal.note("no object is Ready, whose re-issue could be paused");
        };
        let spec = json!({"displayName": slowly(object), "expires": format!("{}h", 400 + object)});
        self.patch(&place, json!({"spec": spec})).await;
        let fired = async || {
            let rules = self.world.c1.fault_counts().await;
            rules.iter().any(|r| r["displayNameContains"] == slowly(object) && r["fired"].as_u64() > Some(0))
        };
        for _ in 0..200 {
            if fired().await {
                return self.pause(self.leader().await, RECOVERED, kind).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.journal.note(&format!("{place} was not issued again in time"));
    }

    /// The first object from this one on that is Ready, has nothing that retires, and is not going.
    async fn ready_from(&self, object: usize) -> Option<Place> {
        let all = self.all().await;
        let count = self.objects();
        let mut places = (0..count).map(|n| self.place((object + n) % count));
        places.find(|place| {
            all.get(place).is_some_and(|found| {
                let status = found.status.as_ref();
                found.metadata.deletion_timestamp.is_none()
                    && status.is_some_and(|status| is_ready(status) && status.retiring.is_empty())
            })
        })
    }

    /// A namespace with some objects, for a while.
    async fn passing_namespace(&self, number: usize, stays: Duration, kind: &str) {
        let namespace = self.passing(number);
        self.create_namespace(&namespace).await;
        for n in 0..PASSING_OBJECTS {
            self.create(&Place { namespace: namespace.clone(), name: format!("client-{n}") }).await;
        }
        tokio::time::sleep(stays).await;
        self.delete_namespace(&namespace).await;
        self.journal.hit(kind);
    }

    /// What people do.
    async fn meddle(&self, mischief: &Mischief) {
        let Some(object) = mischief.object() else { return };
        if matches!(mischief, Mischief::Create(_)) {
            self.moves(object);
        }
        let place = self.place(object);
        match mischief {
            Mischief::Delete(_) => self.delete(&place).await,
            Mischief::Create(_) => self.create(&place).await,
            Mischief::DeleteSecret(_) => self.delete_secret(&place).await,
            Mischief::AlterSecret(_) => {
                self.patch_secret(&place, json!({"stringData": {"clientSecret": ALTERED}})).await;
            }
            Mischief::StripLabels(_) => self.patch_secret(&place, json!({"metadata": {"labels": null}})).await,
            Mischief::DeleteClient(_) => self.delete_client(&place).await,
            Mischief::Rotate(_) => {
                let now = format!("after {:.3} s", self.journal.elapsed().as_secs_f64());
                self.patch(&place, json!({"metadata": {"annotations": {ROTATE_ANNOTATION: now}}})).await;
            }
            Mischief::Suspend(_, long) => {
                self.patch(&place, json!({"spec": {"suspend": true}})).await;
                tokio::time::sleep(*long).await;
                self.patch(&place, json!({"spec": {"suspend": null}})).await;
            }
            Mischief::Drift(_) => self.drift(&place).await,
            Mischief::MoveSecret(_) => {
                let named = self.get(&place).await.is_some_and(|object| object.spec.secret_name.is_some());
                let name = (!named).then(|| format!("{}-moved", place.name));
                self.patch(&place, json!({"spec": {"secretName": name}})).await;
            }
            Mischief::MoveIssuer(_) => {
                let named = self.get(&place).await.is_some_and(|object| object.spec.issuer_ref.is_some());
                let other = (!named).then(|| json!({"kind": "ClusterClientIssuer", "name": OTHER_ISSUER}));
                self.patch(&place, json!({"spec": {"issuerRef": other}})).await;
            }
            Mischief::EditInPlace(_) => {
                let name = format!("edited after {:.3} s", self.journal.elapsed().as_secs_f64());
                self.patch(&place, json!({"spec": {"displayName": name}})).await;
            }
            _ => {
                let expires = format!("{}s", 1_000_000 + self.journal.elapsed().as_millis());
                self.patch(&place, json!({"spec": {"expires": expires}})).await;
            }
        }
        self.journal.hit(mischief.kind());
    }

    async fn drift(&self, place: &Place) {
        let client = self.get(place).await.and_then(|o| o.status).and_then(|s| s.client);
        if let Some(client) = client
            && self.world.c1.client(&client.id).await.is_some_and(|c| c.live)
        {
            self.world.c1.patch_client(&client.id, json!({"allowSourceCidr": [DRIFTED]})).await;
        }
    }

    async fn delete_client(&self, place: &Place) {
        let client = self.get(place).await.and_then(|o| o.status).and_then(|s| s.client);
        if let Some(client) = client
            && self.world.c1.client(&client.id).await.is_some_and(|c| c.live)
        {
            self.journal.deleted_by_hand.lock().unwrap().insert(client.client_id);
            self.world.c1.delete_client(&client.id).await;
        }
    }
}
