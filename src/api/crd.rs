//! The CRDs, from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{ClientIssuer, ClusterClientIssuer, PersonalClient};

/// The CRDs of all three kinds.
///
/// # Errors
/// When the types' schema is not one that a CRD can hold; a test runs it.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    let mut personal_client = serde_json::to_value(PersonalClient::crd())?;
    // What the derive cannot say: rules over metadata.name together with the spec.
    schema(&mut personal_client)["x-kubernetes-validations"] = json!([
        {
            "rule": "(has(self.spec.secretName) ? self.spec.secretName : self.metadata.name) != (has(oldSelf.spec.secretName) ? oldSelf.spec.secretName : oldSelf.metadata.name) || (has(self.spec.secretTemplate) && has(self.spec.secretTemplate.type) ? self.spec.secretTemplate.type : 'Opaque') == (has(oldSelf.spec.secretTemplate) && has(oldSelf.spec.secretTemplate.type) ? oldSelf.spec.secretTemplate.type : 'Opaque')",
            "message": "the Secret's type cannot change while it keeps its name (Kubernetes forbids it): give it another secretName",
            "fieldPath": ".spec.secretTemplate",
        },
    ]);
    let issuers = [serde_json::to_value(ClientIssuer::crd())?, serde_json::to_value(ClusterClientIssuer::crd())?];
    std::iter::once(personal_client)
        .chain(issuers)
        .map(|mut crd| {
            // Defaults in status, so that kstatus never takes a new object for a current one (its observedGeneration
            // is behind from the first moment).
            let about = match crd["spec"]["names"]["kind"].as_str() {
                Some("PersonalClient") => {
                    "A C1 personal client, issued by a ClientIssuer or ClusterClientIssuer and written to a Secret."
                }
                Some("ClientIssuer") => "Makes C1 personal clients for its own namespace.",
                _ => "Makes C1 personal clients for the namespaces that its policy selects.",
            };
            schema(&mut crd)["description"] = json!(about);
            let status = &mut schema(&mut crd)["properties"]["status"];
            status["default"] = json!({});
            status["properties"]["observedGeneration"]["default"] = json!(-1);
            serde_json::from_value(crd)
        })
        .collect()
}

fn schema(crd: &mut Value) -> &mut Value {
    &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}
