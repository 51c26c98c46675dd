//! The world: an API server with one `PersonalClient` and its Secret, a C1 tenant, two replicas, and what the environment may
//! still do. Everything that the operator decides is decided by the shipped code; here is only what surrounds it.

use std::{collections::BTreeSet, time::Duration};

use c1_operator::{
    api::{FINALIZER, PersonalClient, PersonalClientSpec, PersonalClientStatus, RECORD_ANNOTATION},
    c1::Client,
    plan::{Anchor, Answer, Content, Delivered, Marker, Record, SecretSeen, SecretView, Timing, marker},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

use crate::{
    print::{Printed, print},
    replica::Replica,
};

/// The cluster, as in markers.
pub const CLUSTER: &str = "c";
/// The tenant.
pub const HOST: &str = "h";
/// The issuer's C1 user.
pub const USER: &str = "user";
const NAMESPACE: &str = "ci";
const NAME: &str = "deployer";

/// The operator's deadlines, as small as they can be and still differ in their order.
pub const TIMING: Timing = Timing {
    budget: Duration::from_secs(4),
    grace: Duration::from_secs(4),
    skew: Duration::from_secs(8),
    settle: Duration::from_secs(20),
    overlap: Duration::from_secs(30),
};
/// Long enough for an attempt that a replica has seen to be old; not by wall clock alone, nor for an overlap to end.
pub const SHORT: u32 = 9;
/// More failures are not told apart: the pauses after them only grow.
const MOST_FAILURES: i32 = 4;
/// Long enough for everything.
pub const LONG: u32 = 40;

/// A client at C1.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AtC1 {
    /// As C1 shows it.
    pub client: Printed<Client>,
    /// Not deleted.
    pub live: bool,
    /// It came into being when its attempt could count as old: whoever judged the attempt may have seen nothing of it.
    pub late: bool,
    /// Not the operator made it: a clone of the cluster, or a person.
    pub foreign: bool,
    /// When a delivery replaced it, while it worked, in the Secret; and nothing has happened since that made it unknown.
    pub replaced: Option<u32>,
    /// Not the operator, but somebody else deleted it; or a backup brought back what was being deleted.
    pub deleted_outside: bool,
    /// Its create took effect twice, and this is the one that nobody was told of.
    pub double: bool,
    /// Whoever decided to let the object go could not know of it: it had come to life so late, or was made twice, so shortly before
    /// that C1 need not have shown it.
    pub unknowable: bool,
    /// Somebody destroyed what named it, or uses it without being named: it is an orphan, to be reported.
    pub disowned: bool,
    /// Somebody has destroyed a record since its attempt began, which may have named it.
    pub torn: bool,
}

impl AtC1 {
    /// The operator made it and has to answer for it.
    pub fn is_owned(&self) -> bool {
        self.live && !self.foreign && !self.disowned
    }

    /// The attempt in its marker, if it carries the object's.
    pub fn attempt(&self) -> Option<String> {
        let marker = Marker::parse(&self.client.display_name)?;
        (marker.owner == owner()).then_some(marker.attempt)
    }
}

/// What the environment may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Faults and interventions of any kind.
    pub events: u8,
    /// Times that time passes.
    pub ticks: u8,
    /// Backups to take.
    pub backups: u8,
}

/// A backup of the cluster.
pub type Backup = (Option<Printed<PersonalClient>>, Option<Printed<SecretSeen>>);

/// How the Secret's credential was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// While nobody could take its attempt for old.
    InTime,
    /// By a maker that had stood still for so long that its object may have been let go meanwhile.
    Late,
    /// It was left, and taken over for an object that was being let go at that moment: it stays what it was.
    LeftAgain,
}

/// How an object came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// It has not, or as it should.
    Orderly,
    /// It, or the one whose Secret is still there, asked for client and Secret to stay.
    Retained,
    /// Somebody took the finalizer away.
    Forced {
        /// There was a Secret then.
        secret: bool,
        /// Which was to stay.
        retains: bool,
    },
}

/// Everything.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Seconds.
    pub now: u32,
    /// The object.
    pub object: Option<Printed<PersonalClient>>,
    /// The Secret of the name that it wants.
    pub secret: Option<Printed<SecretSeen>>,
    /// The clients at C1, in the order in which they were made.
    pub clients: Vec<AtC1>,
    /// Creates whose callers gave up, and that may still take effect: display names, and when their attempts count as old.
    pub late: Vec<(String, u32)>,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// A backup that may be restored.
    pub backup: Option<Backup>,
    /// What the environment may still do.
    pub left: Left,
    /// Names of attempts and UIDs that were given out.
    pub names: u8,
    /// Somebody took the Secret away, or put another there, and the operator has neither delivered nor taken it over since.
    pub secret_disturbed: bool,
    /// How the Secret's credential was delivered.
    pub delivery: Delivery,
    /// Its maker has died, or slept away also the time to clean up.
    pub maker_left: bool,
    /// Requests that were lost, answered wrongly, or done twice, lists that lagged, and transactions that were cut off by time.
    pub mishaps: u8,
    /// A backup was restored while something was under way that had been decided on before.
    pub restored_amid: bool,
    /// Attempts that no record names any more, because somebody destroyed it, or its object is gone.
    pub forgotten: BTreeSet<String>,
    /// Somebody took the finalizer from the object, and it was not put back.
    pub torn_off: bool,
    /// What has become of an object that is gone.
    pub end: End,
    /// The first promise that an effect broke.
    pub broken: Option<&'static str>,
}

/// The owner in the object's marker.
pub fn owner() -> String {
    marker::owner(CLUSTER, NAMESPACE, NAME)
}

/// Wall time.
pub fn time(seconds: u32) -> Timestamp {
    Timestamp::from_second(1_000_000 + i64::from(seconds)).expect("small")
}

/// Whether somebody wants the object gone.
pub fn is_deleting(object: &PersonalClient) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

impl State {
    /// A new object, nothing else.
    pub fn new(replicas: usize, left: Left) -> Self {
        let mut state = Self {
            now: 0,
            object: None,
            secret: None,
            clients: vec![],
            late: vec![],
            replicas: vec![Replica::default(); replicas],
            backup: None,
            left,
            names: 0,
            secret_disturbed: false,
            delivery: Delivery::InTime,
            maker_left: false,
            mishaps: 0,
            restored_amid: false,
            forgotten: BTreeSet::new(),
            torn_off: false,
            end: End::Orderly,
            broken: None,
        };
        state.make_object();
        state
    }

    /// `kubectl apply`.
    pub fn make_object(&mut self) {
        self.end = End::Orderly;
        let metadata = ObjectMeta {
            namespace: Some(NAMESPACE.into()),
            name: Some(NAME.into()),
            uid: Some(self.name()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        let spec = PersonalClientSpec { scoped_roles: Some(vec!["role".into()]), ..PersonalClientSpec::default() };
        self.put_object(PersonalClient { metadata, spec, status: None });
    }

    /// A name that was never used.
    pub fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    // --- API server -----------------------------------------------------------------------------------------------

    /// Stores the object. Its version is a fingerprint of its content, so that paths that lead to the same meet again.
    pub fn put_object(&mut self, mut object: PersonalClient) {
        let finalizers = object.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
        if is_deleting(&object) && finalizers {
            let before = self.object.take();
            self.forget_attempts(before.as_deref());
            self.note_unknowable();
            for client in self.clients.iter_mut().filter(|c| c.live) {
                // An overlap ends with its object, and so does its record: what stays, only the Secret names.
                (client.replaced, client.torn) = (None, true);
                // Beside what is to stay nobody looks at C1.
                client.disowned |= client.unknowable || (object.retains() && (client.late || client.double));
            }
            // What stays of an object before it is not this one's to take away.
            let owner = self.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| &d.owner.uid);
            let stays = owner.is_some_and(|owner| object.metadata.uid.as_ref() != Some(owner));
            self.end = if object.retains() || stays { End::Retained } else { End::Orderly };
            if self.torn_off {
                self.end = End::Forced { secret: self.secret.is_some(), retains: object.retains() };
                self.clients.iter_mut().filter(|c| c.live).for_each(|c| c.disowned = true);
            }
            return;
        }
        self.torn_off &= finalizers;
        if let Some(status) = &mut object.status {
            // Nobody decides by these.
            status.conditions.iter_mut().for_each(|c| c.last_transition_time = Time(time(0)));
            // Of two replicas that believe different lists each may take back what the other says, and it be counted each time.
            status.failed_issuance_attempts = status.failed_issuance_attempts.map(|count| count.min(MOST_FAILURES));
        }
        object.metadata.resource_version = None;
        object.metadata.resource_version = Some(format!("{:x}", print(&object)));
        self.object = Some(Printed::new(object));
    }

    /// Stores the Secret.
    pub fn put_secret(&mut self, mut secret: SecretSeen) {
        secret.resource_version = String::new();
        secret.resource_version = format!("{:x}", print(&secret));
        self.secret = Some(Printed::new(secret));
    }

    /// A write of the object, conditional on what was seen of it.
    pub fn write_object(&mut self, at: &Anchor, change: impl FnOnce(&mut PersonalClient)) -> Answer {
        let Some(object) = &self.object else { return Answer::Gone };
        if Anchor::of(object) != *at {
            return Answer::Conflict;
        }
        let mut object = PersonalClient::clone(object);
        change(&mut object);
        self.put_object(object);
        Answer::Done(self.object.as_ref().map_or_else(|| at.clone(), |o| Anchor::of(o)))
    }

    /// A write of the status.
    pub fn write_status(&mut self, at: &Anchor, status: &PersonalClientStatus) -> Answer {
        let named = |status: &PersonalClientStatus| status.client.as_ref().map(|c| c.id.clone());
        let before = self.object.as_ref().and_then(|o| named(&o.status_or_default()));
        let answer = self.write_object(at, |object| object.status = Some(status.clone()));
        // Whoever takes the Secret's client for the current one from now on vouches for it.
        if matches!(answer, Answer::Done(_)) && named(status) != before && named(status) == self.held() {
            self.secret_disturbed = false;
        }
        answer
    }

    /// A write of the record; with the finalizer, when it begins an attempt.
    pub fn write_record(&mut self, at: &Anchor, record: &Record, finalizer: bool) -> Answer {
        if finalizer && self.object.as_ref().is_some_and(|o| is_deleting(o)) {
            return Answer::Conflict;
        }
        let text = serde_json::to_string(record).expect("plain data");
        self.write_object(at, |object| {
            object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
            if finalizer {
                object.metadata.finalizers = Some(vec![FINALIZER.into()]);
            }
        })
    }

    /// A write of the Secret's annotations, conditional.
    pub fn annotate_secret(&mut self, over: &SecretSeen, change: impl FnOnce(&mut SecretSeen)) -> Answer {
        let Some(secret) = &self.secret else { return Answer::Gone };
        if (&secret.uid, &secret.resource_version) != (&over.uid, &over.resource_version) {
            return Answer::Conflict;
        }
        let mut secret = SecretSeen::clone(secret);
        change(&mut secret);
        self.put_secret(secret);
        self.secret_anchor()
    }

    /// The Secret's UID and version.
    pub fn secret_anchor(&self) -> Answer {
        self.secret.as_ref().map_or(Answer::Gone, |s| {
            Answer::Done(Anchor { uid: s.uid.clone(), resource_version: s.resource_version.clone() })
        })
    }

    /// The Secret, as the shell reads it: its data only when status does not vouch for this version.
    pub fn read_secret(&self, status: Option<&PersonalClientStatus>) -> SecretView {
        let Some(secret) = &self.secret else { return SecretView::Absent };
        let mut seen = SecretSeen::clone(secret);
        let vouched = status.and_then(|s| s.secret_resource_version.as_ref());
        if seen.delivered.is_none() || vouched == Some(&seen.resource_version) {
            seen.content = Content::Unread;
        }
        SecretView::Present(Box::new(seen))
    }

    /// The client that the Secret holds, intact and for the object that is there.
    pub fn held(&self) -> Option<String> {
        let secret = self.secret.as_ref()?;
        let intact = matches!(secret.content, Content::Intact { .. });
        secret.delivered.as_ref().filter(|_| intact).map(|d| d.client.id.clone())
    }

    /// The clients that the Secret names, whatever was done to its data: what it holds, and what that replaces.
    pub fn said_by_secret(&self) -> Vec<String> {
        let delivered = self.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let replaced = delivered.iter().flat_map(|d| &d.replaces).map(|r| &r.id);
        delivered.iter().map(|d| &d.client.id).chain(replaced).cloned().collect()
    }

    /// Whether status, Secret or record name a client.
    pub fn names(&self, client: &AtC1) -> bool {
        self.named_by(client, self.secret.as_ref().and_then(|s| s.delivered.as_ref()))
    }

    fn named_by(&self, client: &AtC1, delivered: Option<&Delivered>) -> bool {
        let Some(attempt) = client.attempt() else { return true };
        let (record, status) = match &self.object {
            Some(object) => (Record::of(object), object.status_or_default()),
            None => (Record::default(), PersonalClientStatus::default()),
        };
        let id = &client.client.id;
        record.is_abandoned(&attempt)
            || record.open.as_ref().is_some_and(|o| o.attempt == attempt)
            || status.client.iter().chain(delivered.map(|d| &d.client)).any(|c| c.id == *id || c.attempt == attempt)
            || status
                .retiring
                .iter()
                .chain(delivered.iter().flat_map(|d| &d.replaces))
                .any(|r| r.id == *id || r.attempt == attempt)
    }

    /// Who decides now to let the object go, or has decided before, cannot know of these.
    pub fn note_unknowable(&mut self) {
        let young: Vec<bool> = self.clients.iter().map(|c| self.is_young(c)).collect();
        for (client, young) in self.clients.iter_mut().zip(young) {
            client.unknowable |= young && (client.late || client.double);
        }
    }

    /// What nobody names now that somebody has destroyed a record is an orphan.
    pub fn disown(&mut self) {
        let unnamed: Vec<bool> = self.clients.iter().map(|c| c.live && !self.names(c)).collect();
        for (client, unnamed) in self.clients.iter_mut().zip(unnamed) {
            client.disowned |= unnamed;
            client.torn |= client.live;
        }
    }

    /// Attempts that a record does not name any more, because somebody destroyed it or its object: what they make is an orphan.
    pub fn forget_attempts(&mut self, before: Option<&PersonalClient>) {
        let named = |object: &PersonalClient| {
            let record = Record::of(object);
            let open = record.open.map(|o| o.attempt);
            open.into_iter().chain(record.abandoned.into_iter().map(|a| a.attempt)).collect::<BTreeSet<_>>()
        };
        let now = self.object.as_deref().map(named).unwrap_or_default();
        self.forgotten.extend(before.map(named).unwrap_or_default().difference(&now).cloned());
    }

    /// The Secret is taken away. What status or record should name as well they must; but for what only the Secret has named
    /// since somebody destroyed the record, and for what was to stay without its object.
    pub fn lose_secret(&mut self) {
        let said = self.said_by_secret();
        self.secret = None;
        let goes = self.object.as_ref().is_none_or(|o| is_deleting(o) && o.retains());
        let unnamed: Vec<bool> = self.clients.iter().map(|c| !self.names(c)).collect();
        for (client, unnamed) in self.clients.iter_mut().zip(unnamed) {
            client.disowned |= (client.torn && unnamed) || (goes && said.contains(&client.client.id));
        }
    }

    /// What is named again is answered for again: by status, record, or a Secret that the object has adopted.
    pub fn own_again(&mut self) {
        let Some(object) = self.object.as_ref().filter(|o| !is_deleting(o)) else { return };
        if self.clients.iter().all(|c| !c.disowned) {
            return;
        }
        let delivered = self.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let adopted = delivered.filter(|d| object.metadata.uid.as_ref() == Some(&d.owner.uid));
        let named: Vec<bool> = self.clients.iter().map(|c| self.named_by(c, adopted)).collect();
        for (client, named) in self.clients.iter_mut().zip(named) {
            client.disowned &= !named;
        }
    }

    // --- C1 -------------------------------------------------------------------------------------------------------

    /// Makes a client.
    pub fn create(&mut self, display_name: &str, late: bool) -> Client {
        let id = format!("client-{}", self.clients.len() + 1);
        let client = Client {
            client_id: format!("{id}@{HOST}/pcc"),
            id,
            display_name: display_name.into(),
            user_id: USER.into(),
            created_at: Some(time(self.now)),
            ..Client::default()
        };
        let attempt = Marker::parse(display_name).map(|m| m.attempt).unwrap_or_default();
        let disowned = self.forgotten.contains(&attempt);
        self.clients.push(AtC1 {
            client: Printed::new(client.clone()),
            live: true,
            late,
            foreign: false,
            replaced: None,
            deleted_outside: false,
            double: false,
            unknowable: false,
            disowned,
            torn: disowned,
        });
        client
    }

    /// A client by its id.
    pub fn client(&self, id: &str) -> Option<&AtC1> {
        self.clients.iter().find(|c| c.client.id == id)
    }

    /// The same, to change.
    pub fn client_mut(&mut self, id: &str) -> Option<&mut AtC1> {
        self.clients.iter_mut().find(|c| c.client.id == id)
    }
}
