//! `ClientIssuer` and `ClusterClientIssuer`: which C1 tenant, acting as which user, and what may be minted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    DurationText, Expires,
    personal_client::{cidrs_schema, roles_schema},
    selector,
};

/// Makes C1 personal clients for its own namespace.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "iam.conductor.one",
    version = "v1alpha1",
    kind = "ClientIssuer",
    plural = "clientissuers",
    shortname = "c1issuer",
    category = "conductorone",
    namespaced,
    derive = "PartialEq",
    status = "IssuerStatus",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Tenant", "type": "string", "jsonPath": ".status.tenant"}"#,
    printcolumn = r#"{"name": "Orphans", "type": "integer", "jsonPath": ".status.orphanedClients"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "has(self.tenantDomain) != has(self.url)",
    "message": "exactly one of tenantDomain and url must be set",
}])))]
pub struct ClientIssuerSpec {
    /// The tenant, and how to reach it.
    #[serde(flatten)]
    pub tenant: TenantSpec,
    /// What may be minted. Absent: nothing without scopedRoles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<IssuerPolicy>,
}

/// Makes C1 personal clients for the namespaces that its policy selects.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "iam.conductor.one",
    version = "v1alpha1",
    kind = "ClusterClientIssuer",
    plural = "clusterclientissuers",
    shortname = "c1clusterissuer",
    category = "conductorone",
    derive = "PartialEq",
    status = "IssuerStatus",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Tenant", "type": "string", "jsonPath": ".status.tenant"}"#,
    printcolumn = r#"{"name": "Orphans", "type": "integer", "jsonPath": ".status.orphanedClients"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "has(self.tenantDomain) != has(self.url)",
    "message": "exactly one of tenantDomain and url must be set",
}])))]
pub struct ClusterClientIssuerSpec {
    /// The tenant, and how to reach it.
    #[serde(flatten)]
    pub tenant: TenantSpec,
    /// Who may mint what.
    pub policy: ClusterIssuerPolicy,
}

/// Which tenant, acting as which user, with which defaults. The same for both kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// The tenant: its name (`acme`, for <https://acme.conductor.one>) or its whole host (`acme.c1eu.ai`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"),
        extend("x-kubernetes-validations" = json!([{
            "rule": "!self.matches('(^|[.])[0-9]+$')",
            "message": "tenantDomain is a tenant (acme) or a host name (acme.c1eu.ai), not an address",
        }])))]
    pub tenant_domain: Option<String>,
    /// Any other address of a tenant, https only: a proxy, a test. The operator must allow its host (`--allowed-host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), extend("x-kubernetes-validations" = json!([{
        "rule": "isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != '' && url(self).getEscapedPath() in ['', '/'] && url(self).getQuery().size() == 0 && !self.contains('@') && !self.contains('#') && !self.contains('?') && !self.matches(':/?$') && (url(self).getPort() == '' || (url(self).getPort().size() <= 5 && int(url(self).getPort()) <= 65535))",
        "message": "url must be https://host[:port] without user, path, query or fragment",
    }])))]
    pub url: Option<String>,
    /// Certificates (base64 of PEM) to trust for this tenant, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536), extend("x-kubernetes-validations" = json!([{
        "rule": "self.matches('^[A-Za-z0-9+/=\\\\s]*$')",
        "message": "must be base64 of PEM certificates, as `base64 -w0 ca.pem` prints it",
    }])))]
    pub ca_bundle: Option<String>,
    /// How the operator logs in. Exactly one way.
    pub auth: IssuerAuth,
    /// For what a PersonalClient leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<IssuerDefaults>,
    /// What happens to a client that carries this cluster's marker and belongs to nobody any more. `Report` is all there
    /// is yet, and the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan_policy: Option<OrphanPolicy>,
    /// How often C1's list of clients is read (5m when absent): deletions outside, orphans and lost answers are seen by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory_interval: Option<DurationText>,
}

/// How the operator logs in to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "has(self.oauth) != has(self.bearer)",
    "message": "exactly one of oauth and bearer must be set",
}])))]
pub struct IssuerAuth {
    /// OAuth 2.0 client credentials: by signed assertion when the secret is one that C1 issued, else by `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
    /// A ready access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,
}

/// OAuth 2.0 client credentials in a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// The Secret with the keys clientId and clientSecret: in the issuer's namespace, or for a ClusterClientIssuer in the
    /// operator's.
    pub secret_ref: SecretRef,
}

/// An access token in a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bearer {
    /// The Secret, and the key that holds the token.
    pub secret_ref: SecretKeyRef,
}

/// A Secret by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// For what a `PersonalClient` leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerDefaults {
    /// Lifetime, such as 720h, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expires>,
    /// Roles, by their ids or names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "roles_schema")]
    pub scoped_roles: Option<Vec<String>>,
    /// Source networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "cidrs_schema")]
    pub allow_source_cidr: Option<Vec<String>>,
}

/// What may be minted by a `ClientIssuer`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerPolicy {
    /// What is allowed beyond the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
}

/// Who may mint what with a `ClusterClientIssuer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterIssuerPolicy {
    /// Which namespaces may use the issuer; `{}` selects every one.
    #[schemars(schema_with = "namespaces_schema")]
    pub namespace_selector: LabelSelector,
    /// What is allowed beyond the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
}

/// What is allowed beyond the least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// Whether clients without scopedRoles, which have all rights of the issuer's user, are allowed: only when true. Which
    /// roles are named is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_permissions: Option<bool>,
}

/// What happens to live clients with this cluster's marker that belong to no object. `Report` (when absent, and the only one
/// yet): they are named in status, by an event and a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrphanPolicy {
    /// They are named in status, by an event and a metric.
    #[default]
    Report,
}

/// What the operator knows of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// The generation of the spec that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, and while they are true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = json!(["type"])))]
    pub conditions: Vec<Condition>,
    /// Host of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The C1 user as whom clients are made, and whose rights they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// How many live clients with this cluster's marker belong to nobody that the operator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphaned_clients: Option<i32>,
    /// The first ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
}

/// A live client with this cluster's marker that belongs to nobody that the operator knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// C1's id of the client.
    pub id: String,
    /// Its display name, with the marker.
    pub display_name: String,
    /// When C1 made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}

fn namespaces_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    selector::schema("a namespace")
}
