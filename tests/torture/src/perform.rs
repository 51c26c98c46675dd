//! Mischief is done.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::control_plane;

use crate::{
    mischief::{Mischief, Victim},
    stage::Stage,
};

/// Longer than a lease and a retry.
const PAUSE: Duration = Duration::from_secs(8);
const UNSEEN: Duration = Duration::from_secs(2);
const CUT_OFF: Duration = Duration::from_secs(3);
const C1_STOPPED: Duration = Duration::from_secs(3);
/// Until the other replica leads, and has found what the first left: lease, budget, grace, and a list.
const RECOVERED: Duration = Duration::from_secs(14);
/// What an altered Secret holds.
pub const ALTERED: &str = "altered by hand";

impl Stage {
    /// Does it, and returns when it is over.
    pub async fn perform(&self, mischief: &Mischief) {
        self.journal.note(&mischief.to_string());
        let from = Instant::now();
        match mischief {
            Mischief::Kill(victim) => self.replicas[self.victim(*victim).await].kill().await,
            Mischief::Terminate(victim) => self.replicas[self.victim(*victim).await].terminate().await,
            Mischief::Pause(victim) => {
                let victim = self.victim(*victim).await;
                return self.pause(victim, PAUSE, mischief.kind()).await;
            }
            Mischief::PauseInReissue(object) => return self.pause_in_reissue(*object, mischief.kind()).await,
            Mischief::DieAt(point) => {
                *self.replicas[0].die_at.lock().unwrap() = Some(point.clone());
                self.replicas[0].kill().await;
            }
            Mischief::RestartApiServer => control_plane::restart_api_server(&self.world.kube).await,
            Mischief::StopC1 => {
                self.world.c1.signal("STOP").await;
                tokio::time::sleep(C1_STOPPED).await;
                self.world.c1.signal("CONT").await;
            }
            Mischief::HoldWatches(replica) => {
                self.replicas[*replica].proxy.hold_watches(true);
                tokio::time::sleep(UNSEEN).await;
                self.replicas[*replica].proxy.hold_watches(false);
                return; // The proxy counts.
            }
            Mischief::Relist(replica) => return self.replicas[*replica].proxy.relist(),
            Mischief::Partition(replica) => {
                self.replicas[*replica].proxy.partition(true);
                tokio::time::sleep(CUT_OFF).await;
                self.replicas[*replica].proxy.partition(false);
                return;
            }
            _ => return self.meddle(mischief).await,
        }
        self.journal.all_met(mischief.kind(), from);
    }

    async fn victim(&self, victim: Victim) -> usize {
        let leader = self.leader().await;
        match victim {
            Victim::Leader => leader,
            Victim::Standby => 1 - leader,
        }
    }

    async fn pause(&self, replica: usize, long: Duration, kind: &str) {
        let from = Instant::now();
        if !self.replicas[replica].pause().await {
            return;
        }
        tokio::time::sleep(long).await;
        self.replicas[replica].go_on().await;
        self.journal.all_met(kind, from);
    }

    /// C1 takes its time with the second create for this object (the first rule of the run), so that the leader can be stopped
    /// before it hears of it.
    async fn pause_in_reissue(&self, object: usize, kind: &str) {
        let place = self.place(object);
        self.patch(&place, json!({"spec": {"displayName": "issue again, slowly"}})).await;
        for _ in 0..100 {
            if self.journal.chronicle.lock().unwrap().is_issuing(&place.namespace, &place.name) {
                let leader = self.leader().await;
                return self.pause(leader, RECOVERED, kind).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What people do.
    async fn meddle(&self, mischief: &Mischief) {
        let from = Instant::now();
        let path = match mischief {
            Mischief::Edit(object) => {
                let place = self.place(*object);
                let name = format!("edited after {:.3} s", self.journal.elapsed().as_secs_f64());
                self.patch(&place, json!({"spec": {"displayName": name}})).await;
                place
            }
            Mischief::Delete(object) => {
                let place = self.place(*object);
                self.delete(&place).await;
                place
            }
            Mischief::Create(object) => {
                self.moves(*object);
                let place = self.place(*object);
                self.create(&place).await;
                place
            }
            Mischief::DeleteSecret(object) => {
                let place = self.place(*object);
                self.delete_secret(&place).await;
                place
            }
            Mischief::AlterSecret(object) => {
                let place = self.place(*object);
                self.patch_secret(&place, json!({"stringData": {"clientSecret": ALTERED}})).await;
                place
            }
            Mischief::StripLabels(object) => {
                let place = self.place(*object);
                self.patch_secret(&place, json!({"metadata": {"labels": null}})).await;
                place
            }
            Mischief::DeleteClient(object) => {
                let place = self.place(*object);
                let client = self.get(&place).await.and_then(|o| o.status).and_then(|s| s.client);
                if let Some(client) = client
                    && self.world.c1.client(&client.id).await.is_some_and(|c| c.live)
                {
                    self.journal.deleted_by_hand.lock().unwrap().insert(client.client_id);
                    self.world.c1.delete_client(&client.id).await;
                }
                place
            }
            _ => return,
        };
        let path = format!("/namespaces/{}/personalclients/{}", path.namespace, path.name);
        self.journal.fault(crate::chronicle::Fault {
            from,
            to: Instant::now(),
            kind: mischief.kind().to_owned(),
            path: Some(path),
        });
    }
}
