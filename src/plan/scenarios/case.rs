//! One observation, and what is decided on it: for the rules that need no story.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    super::*,
    servers::{GUARDS, issued, servers, wait},
};
use crate::{
    api::{IssuedClient, IssuerRef, PersonalClientStatus, RECORD_ANNOTATION, Reason},
    c1::Client,
};

/// An observation of one object, its Secret and C1's list.
pub(super) struct Case {
    pub(super) o: Observed,
    pub(super) now: Timestamp,
}

impl Case {
    /// Of an object for which nothing was ever begun.
    pub(super) fn new() -> Self {
        let servers = servers();
        let mut replica = super::servers::Replica::new(&servers);
        replica.list();
        Self { o: replica.observed(), now: servers.borrow().now }
    }

    /// Of one that has been Ready for an hour, with `client-1`, which C1 lists.
    pub(super) fn ready() -> Self {
        let (servers, mut replica) = issued();
        wait(&servers, Duration::from_hours(1));
        replica.list();
        let o = replica.observed();
        let now = servers.borrow().now;
        Self { o, now }
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.o, self.now, GUARDS)
    }

    pub(super) fn step(&self) -> Step {
        self.plan().step
    }

    /// Reason and message of Ready, in the status that is to be written.
    pub(super) fn said(&self) -> (String, String) {
        match self.step() {
            Step::UpdateStatus(status) => {
                let ready = status.conditions.iter().find(|c| c.type_ == "Ready").cloned();
                ready.map(|c| (c.reason, c.message)).unwrap_or_default()
            }
            other => panic!("nothing is said, but {other:?}"),
        }
    }

    pub(super) fn reason(&self) -> String {
        self.said().0
    }

    /// The client that status is to name.
    pub(super) fn recorded(&self) -> Option<String> {
        match self.step() {
            Step::UpdateStatus(status) => status.client.map(|c| c.id),
            _ => None,
        }
    }

    pub(super) fn issue(&self) -> IssueStep {
        match self.step() {
            Step::Issue(step) => *step,
            other => panic!("nothing is issued, but {other:?}"),
        }
    }

    pub(super) fn ago(&self, duration: Duration) -> Timestamp {
        self.now - duration
    }

    pub(super) fn status(&mut self) -> &mut PersonalClientStatus {
        self.o.object.status.get_or_insert_default()
    }

    /// A failure to issue for the present spec is said.
    pub(super) fn fails(&mut self, reason: Reason) {
        let (generation, now) = (self.o.object.metadata.generation.unwrap_or_default(), self.now);
        let said = status::failed(&status::Tried::of(&self.o.object), self.status(), reason, "why", generation, now);
        self.o.object.status = Some(said);
    }

    pub(super) fn current(&mut self) -> &mut IssuedClient {
        self.status().client.as_mut().expect("it is Ready")
    }

    pub(super) fn secret(&mut self) -> &mut SecretSeen {
        match &mut self.o.secret {
            SecretView::Present(secret) => secret,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn delivered(&mut self) -> &mut Delivered {
        self.secret().delivered.as_mut().expect("it is ours")
    }

    pub(super) fn issuer(&mut self) -> &mut IssuerView {
        self.o.issuer.as_mut().expect("there is one")
    }

    pub(super) fn inventory(&mut self) -> &mut InventoryView {
        self.issuer().inventory.as_mut().expect("it was read")
    }

    /// C1's list as it shows `client-1`, or nothing.
    pub(super) fn listed(&mut self) -> &mut Vec<Client> {
        &mut self.inventory().clients
    }

    pub(super) fn record(&mut self, record: &Record) {
        let text = serde_json::to_string(record).unwrap();
        self.o.object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
    }

    pub(super) fn recorded_attempts(&self) -> Record {
        Record::of(&self.o.object)
    }

    /// An attempt was begun so long ago, by this process's clock and by the wall's.
    pub(super) fn begun(&mut self, attempt: &str, ago: Duration) {
        let open = OpenAttempt {
            attempt: attempt.into(),
            started_at: self.ago(ago),
            issuer_ref: self.o.object.issuer_ref(),
            host: "h".into(),
            user_id: "user".into(),
            secret_name: "deployer".into(),
            answers: None,
        };
        self.record(&Record { open: Some(open), ..self.recorded_attempts() });
        self.o.open_seen = ago;
    }

    /// Attempts were given up, now.
    pub(super) fn given_up(&mut self, attempts: &[&str]) {
        let abandoned = attempts
            .iter()
            .map(|a| AbandonedAttempt { attempt: (*a).into(), issuer_ref: IssuerRef::default(), since: self.now })
            .collect();
        self.record(&Record { abandoned, ..self.recorded_attempts() });
    }

    /// C1 lists a client of this attempt of the object.
    pub(super) fn lists(&mut self, id: &str, attempt: &str) -> &mut Client {
        let marker = Marker { owner: marker::owner("c", "ci", "deployer"), attempt: attempt.into() };
        let client = Client {
            id: id.into(),
            client_id: format!("{id}@h/pcc"),
            display_name: marker.append_to("name"),
            user_id: "user".into(),
            created_at: Some(self.ago(Duration::from_hours(1))),
            ..Client::default()
        };
        self.listed().push(client);
        self.listed().last_mut().expect("it was pushed")
    }

    /// C1 was asked for `client-1`, and this it said.
    pub(super) fn reads(&mut self, read: ClientRead) {
        self.o.reads.insert("client-1".into(), read);
    }

    pub(super) fn expires(&mut self, at: Timestamp) {
        self.current().expires_time = Some(Time(at));
        if let SecretView::Present(_) = self.o.secret {
            self.delivered().client.expires_time = Some(Time(at));
        }
    }
}

/// A read of a client that exists, with the marker of the object, or without.
pub(super) fn live(marked: bool) -> ClientRead {
    let ours = Marker { owner: marker::owner("c", "ci", "deployer"), attempt: "attempt1".into() };
    let display_name = if marked { ours.append_to("deployer") } else { "renamed".into() };
    ClientRead::Live(Box::new(Client { id: "client-1".into(), display_name, ..Client::default() }))
}
