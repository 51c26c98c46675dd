//! The world: an API server with one `PersonalClient` and its Secret, a C1 tenant, two replicas, and what the environment may
//! still do. Everything that the operator decides is decided by the shipped code; here is only what surrounds it.

use std::{collections::BTreeSet, time::Duration};

use c1_operator::{
    api::{IssuerKind, IssuerRef, Overlap, PersonalClient, PersonalClientSpec},
    plan::{SecretSeen, Timing, marker},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use crate::{c1::AtC1, print::Printed, replica::Replica};

/// The cluster, as in markers.
pub const CLUSTER: &str = "c";
/// The tenant.
pub const HOST: &str = "h";
/// The issuer's C1 user.
pub const USER: &str = "user";
/// The C1 user of the other issuer, [`other_issuer`].
pub const OTHER_USER: &str = "other";
const NAMESPACE: &str = "ci";
/// Name of the object.
pub const NAME: &str = "deployer";
/// Where its Secret may be beside that.
pub const ELSEWHERE: &str = "elsewhere";

/// How long a replaced client lives on.
pub const OVERLAP: Duration = Duration::from_secs(30);

/// The operator's deadlines, as small as they can be and still differ in their order.
pub const TIMING: Timing = Timing {
    budget: Duration::from_secs(4),
    grace: Duration::from_secs(4),
    skew: Duration::from_secs(8),
    settle: Duration::from_secs(20),
    // Nobody uses what was replaced, in the model.
    overlap: Overlap { least: OVERLAP, most: OVERLAP },
};
/// Long enough for an attempt that a replica has seen to be old; not by wall clock alone, nor for an overlap to end.
pub const SHORT: u32 = 9;
/// Long enough for everything.
pub const LONG: u32 = 40;

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
    /// The Secret that counts for it.
    pub secret: Option<Printed<SecretSeen>>,
    /// Its name is [`ELSEWHERE`], and not [`NAME`].
    pub is_elsewhere: bool,
    /// The Secret of the other of the two names.
    pub aside: Option<Printed<SecretSeen>>,
    /// The clients at C1, in the order in which they were made.
    pub clients: Vec<AtC1>,
    /// Creates whose callers gave up, and that may still take effect: display names, as whom, and when their attempts count as old.
    pub late: Vec<(String, &'static str, u32)>,
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
    /// A backup was restored.
    pub restored: bool,
    /// … while something was under way that had been decided on before.
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

/// Another issuer, of the same tenant, as another user.
pub fn other_issuer() -> IssuerRef {
    IssuerRef { kind: IssuerKind::ClusterClientIssuer, name: "other".into() }
}

/// As whom an issuer calls.
pub fn user_of(issuer: &IssuerRef) -> &'static str {
    if *issuer == other_issuer() { OTHER_USER } else { USER }
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
            is_elsewhere: false,
            aside: None,
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
            restored: false,
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

    /// The Secret of this name.
    pub fn secret_of(&self, name: &str) -> Option<&Printed<SecretSeen>> {
        if (name == ELSEWHERE) == self.is_elsewhere { self.secret.as_ref() } else { self.aside.as_ref() }
    }

    /// The same, to change.
    pub fn secret_mut(&mut self, name: &str) -> &mut Option<Printed<SecretSeen>> {
        if (name == ELSEWHERE) == self.is_elsewhere { &mut self.secret } else { &mut self.aside }
    }

    /// Name of the Secret that counts.
    pub fn secret_name(&self) -> &'static str {
        if self.is_elsewhere { ELSEWHERE } else { NAME }
    }

    /// A name that was never used.
    pub fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }
}
