//! `PersonalClient`: one credential at C1, kept in one Secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Expires, ROTATE_ANNOTATION, RenewalReason, Rotation, SecretTemplate, duration::PATTERN};

/// A C1 personal client, issued by a ClientIssuer or ClusterClientIssuer and written to a Secret.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "iam.conductor.one",
    version = "v1alpha1",
    kind = "PersonalClient",
    plural = "personalclients",
    shortname = "pclient",
    category = "conductorone",
    namespaced,
    derive = "PartialEq",
    status = "PersonalClientStatus",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Client", "type": "string", "jsonPath": ".status.client.id"}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".status.client.expiresTime"}"#,
    printcolumn = r#"{"name": "Renewal", "type": "string", "jsonPath": ".status.renewalTime"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Secret", "type": "string", "jsonPath": ".status.secretName", "priority": 1}"#,
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".status.client.issuerRef.name", "priority": 1}"#,
    printcolumn = r#"{"name": "Suspended", "type": "boolean", "jsonPath": ".spec.suspend", "priority": 1}"#,
    printcolumn = r#"{"name": "Renewal failing", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"RenewalFailing\")].reason", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": format!("!has(self.expires) || !has(self.rotation) || !has(self.rotation.renewBefore) || !self.expires.matches('{PATTERN}') || !self.rotation.renewBefore.matches('{PATTERN}') || self.expires == '' || self.rotation.renewBefore == '' || duration(self.rotation.renewBefore) < duration(self.expires)"),
    "message": "rotation.renewBefore must be shorter than expires",
    "fieldPath": ".rotation.renewBefore",
}])))]
pub struct PersonalClientSpec {
    /// Which issuer makes the client: `kind: ClusterClientIssuer, name: default` when absent. When it changes a client is issued
    /// there, and the former one is revoked where it was made, after the overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// Name of the client at C1: the name of this object when absent. The operator appends a marker in square brackets,
    /// by which it recognises what it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = json!([{
        "rule": "!self.matches('[\\\\[\\\\]\\\\p{Cc}\\\\p{Cf}]')",
        "message": "displayName must not contain square brackets, control or formatting characters",
    }])))]
    pub display_name: Option<String>,
    /// How long the client lives, such as 720h (30 days), or `never`: the issuer's default when absent, 2160h (90 days)
    /// when it has none. C1 cannot prolong a client: a change issues a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expires>,
    /// From which networks the client may be used, as C1 sees them (behind NAT not those of pods): the issuer's default
    /// when absent, every network when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "cidrs_schema")]
    pub allow_source_cidr: Option<Vec<String>>,
    /// Roles to which the client is reduced, by their ids or names (system:viewer) at the tenant: the issuer's default
    /// when absent. A client without roles has all rights of the issuer's user, and needs
    /// `policy.allowed.fullPermissions` of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "roles_schema")]
    pub scoped_roles: Option<Vec<String>>,
    /// Name of the Secret: the name of this object when absent. When it changes the credential moves: the new Secret is written
    /// before the old one is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub secret_name: Option<String>,
    /// Type, labels, annotations and further keys of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// When the credential is replaced by a new one, and how long the replaced one lives on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// What happens to the client and the Secret when this object is deleted: `Delete` (when absent) revokes and deletes
    /// them, `Retain` leaves both as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// While `true` nothing is issued, rotated or rendered for this object, and no unfinished attempt is resolved; what was
    /// missed happens once, afterwards. Deletion and the end of overlaps go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Which issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// `ClientIssuer` (of the same namespace) or `ClusterClientIssuer`.
    pub kind: IssuerKind,
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

impl Default for IssuerRef {
    /// What an absent `issuerRef` means.
    fn default() -> Self {
        Self { kind: IssuerKind::ClusterClientIssuer, name: "default".into() }
    }
}

impl std::fmt::Display for IssuerRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// The two kinds of issuers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// In the same namespace.
    ClientIssuer,
    /// Cluster-scoped.
    ClusterClientIssuer,
}

/// What happens to the client and the Secret when the PersonalClient is deleted: `Delete` (when absent) revokes and deletes
/// them; `Retain` leaves both, also replaced clients that still live, and nothing revokes them later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The client is revoked, the Secret deleted.
    #[default]
    Delete,
    /// Both stay.
    Retain,
}

/// What the operator knows of a `PersonalClient`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonalClientStatus {
    /// The generation of the spec that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, and while they are true `Reconciling`, `Stalled` and `RenewalFailing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = json!(["type"])))]
    pub conditions: Vec<Condition>,
    /// The client that the Secret holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IssuedClient>,
    /// Name of the Secret that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The Secret's version whose content is known to be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_resource_version: Option<String>,
    /// When the credential will be replaced; absent: not because of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// Why then: `Expiry` or `MaxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_reason: Option<RenewalReason>,
    /// Replaced clients that still live, until their overlap is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = json!(["id"])))]
    pub retiring: Vec<RetiringClient>,
    /// Id of the client whose loss was said and counted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_client_id: Option<String>,
    /// Failed attempts to issue since the last success or change of the spec; the pause before the next one grows with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_issuance_attempts: Option<i32>,
    /// When the last of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// The text of the annotation `iam.conductor.one/rotate-requested-at` that was answered last: by a credential that was
    /// issued after it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate_at: Option<String>,
    /// Its text when an attempt to issue failed last: another one is tried without a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed_rotate_at: Option<String>,
    /// The generation of the spec that C1 refused to apply in place: a new client is issued instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_refused_generation: Option<i64>,
    /// The workloads of `rotation.restart` may still run with the credential that was replaced, and are to be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_pending: Option<bool>,
}

/// A client at C1, as C1 answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedClient {
    /// C1's id of the client.
    pub id: String,
    /// The OAuth 2.0 client id.
    pub client_id: String,
    /// The attempt that made it, as in the marker of its display name.
    pub attempt: String,
    /// The issuer that made it.
    pub issuer_ref: IssuerRef,
    /// Host of the tenant.
    pub host: String,
    /// The C1 user as whom the client acts.
    pub user_id: String,
    /// Its display name at C1, with the marker.
    pub display_name: String,
    /// When C1 made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_time: Option<Time>,
    /// Ids of the roles to which it is reduced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scoped_roles: Vec<String>,
    /// Networks from which it may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_source_cidr: Vec<String>,
    /// Digests of the display name, the roles and the networks that were asked for last: what is asked for now is compared with
    /// these, because C1 may answer in other words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested: String,
}

/// A client that was replaced and still lives, so that consumers can move to the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetiringClient {
    /// C1's id of the client.
    pub id: String,
    /// The OAuth 2.0 client id.
    pub client_id: String,
    /// The issuer that made it.
    pub issuer_ref: IssuerRef,
    /// Host of the tenant.
    pub host: String,
    /// The C1 user as whom it acts.
    pub user_id: String,
    /// The attempt that made it, as in the marker at the end of its display name.
    pub attempt: String,
    /// Since when it is replaced.
    pub since: Time,
    /// When it is revoked, at the earliest `--settle-time` after `since`; later, up to `rotation.maxOverlap`, while it is still used.
    pub revoke_time: Time,
    /// When it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_time: Option<Time>,
    /// When it was used last, if that keeps it alive: some consumer has not reread the Secret. Written once a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
}

impl PersonalClient {
    /// Name of the Secret.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.spec.secret_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }

    /// Whether client and Secret stay when the object goes.
    #[must_use]
    pub fn retains(&self) -> bool {
        self.spec.deletion_policy.unwrap_or_default() == DeletionPolicy::Retain
    }

    /// The issuer.
    #[must_use]
    pub fn issuer_ref(&self) -> IssuerRef {
        self.spec.issuer_ref.clone().unwrap_or_default()
    }

    /// Whether nothing is to be done but deletion and the end of overlaps.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend.unwrap_or(false)
    }

    /// The request for a new credential that stands on the object, answered or not: at most 64 characters of it.
    #[must_use]
    pub fn rotate_request(&self) -> Option<String> {
        let text = self.metadata.annotations.as_ref()?.get(ROTATE_ANNOTATION)?;
        (!text.is_empty()).then(|| text.chars().take(64).collect())
    }

    /// The status, or an empty one.
    #[must_use]
    pub fn status_or_default(&self) -> PersonalClientStatus {
        self.status.clone().unwrap_or_else(|| PersonalClientStatus { observed_generation: -1, ..Default::default() })
    }
}

pub(super) fn cidrs_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 43,
            "x-kubernetes-validations": [
                {"rule": "isCIDR(self)", "message": "must be an IPv4 or IPv6 network such as 10.20.0.0/16 or 2001:db8::/48"},
                {"rule": "!isCIDR(self) || cidr(self).masked() == cidr(self)",
                 "message": "must be a network without host bits, such as 10.20.0.0/16 and not 10.20.1.1/16"},
            ],
        },
    })
}

pub(super) fn roles_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 128},
    })
}
