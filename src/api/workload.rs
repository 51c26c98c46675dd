//! `spec.rotation.restart`: workloads that read the Secret only when they start.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::selector;

/// Workloads of the object's namespace: one by its name, or all of a kind whose labels meet a selector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "has(self.name) != has(self.selector)",
    "message": "exactly one of name and selector must be given",
}])))]
pub struct Workload {
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub kind: WorkloadKind,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Labels of the workloads themselves, not of their pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "workloads_schema")]
    pub selector: Option<LabelSelector>,
}

/// The kinds that can be restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    DaemonSet,
}

fn workloads_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = selector::schema("a workload");
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{
            "rule": "has(self.matchLabels) || has(self.matchExpressions)",
            "message": "an empty selector would restart every workload of the namespace",
        }]),
    );
    schema
}
