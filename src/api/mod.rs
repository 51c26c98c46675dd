//! What a user can write and read: the three kinds, their schema, and the names that are API.
//!
//! Nothing here needs a client, a clock or a socket. The field documentation becomes the CRDs' reference.

pub mod client_issuer;
pub mod condition;
mod crd;
pub mod duration;
pub mod personal_client;
pub mod rotation;
pub mod secret_template;
mod selector;
pub mod workload;

pub use client_issuer::{
    ClientIssuer, ClientIssuerSpec, ClusterClientIssuer, ClusterClientIssuerSpec, IssuerDefaults, IssuerStatus,
};
pub use condition::{ConditionType, Reason};
pub use crd::crds;
pub use duration::{DurationText, Expires, InvalidDuration, Lifetime};
pub use personal_client::{
    DeletionPolicy, IssuedClient, IssuerKind, IssuerRef, PersonalClient, PersonalClientSpec, PersonalClientStatus,
    RetiringClient,
};
pub use rotation::{Overlap, RenewalReason, Rotation, RotationPolicy};
pub use secret_template::SecretTemplate;
pub use workload::{Workload, WorkloadKind};

/// The API group of all three kinds.
pub const GROUP: &str = "iam.conductor.one";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// Who we are in `managedFields` and as the reporter of events.
pub const FIELD_MANAGER: &str = "c1-operator";
/// Holds a `PersonalClient` until its clients are revoked, and an issuer while a `PersonalClient` names it.
pub const FINALIZER: &str = "iam.conductor.one/finalizer";
/// Label of every Secret that the operator writes; Secrets without it are never watched.
pub const MANAGED_LABEL: &str = "iam.conductor.one/managed";
/// Annotation of a `PersonalClient`: the write-ahead log of attempts ([`crate::plan::Record`]).
pub const RECORD_ANNOTATION: &str = "iam.conductor.one/attempts";
/// Annotation of a Secret: which client it holds, for whom ([`crate::plan::Delivered`]).
pub const DELIVERED_ANNOTATION: &str = "iam.conductor.one/delivered";
/// Annotation of a Secret: the abandoned attempt against whose late delivery it was fenced.
pub const FENCE_ANNOTATION: &str = "iam.conductor.one/fence";
/// Annotation by which a person asks for a new credential: any text that was not there before, such as the present time.
/// `status.lastHandledRotateAt` answers it.
pub const ROTATE_ANNOTATION: &str = "iam.conductor.one/rotate-requested-at";
/// Prefix of the annotation, of a pod template, by which a workload is restarted; the name after it is that of the
/// `PersonalClient`.
pub const RESTART_PREFIX: &str = "restart.iam.conductor.one/";
/// Annotation by which a person lets a `PersonalClient` go although its client could not be revoked.
pub const ABANDON_ANNOTATION: &str = "iam.conductor.one/abandon";

/// The Secret keys that are always written.
pub const SECRET_KEYS: [&str; 4] = ["clientId", "clientSecret", "tokenUrl", "serverUrl"];
