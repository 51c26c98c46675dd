//! The `ClusterClientIssuer` that an installation brings: Helm cannot create an object of a kind that the same release defines.

use std::{path::Path, sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use tokio::time::sleep;

use crate::{api::ClusterClientIssuer, controller::Context, runtime::StartError};

/// Fields that it sets are the installation's; those that people or GitOps own stay theirs.
const FIELD_MANAGER: &str = "c1-operator-default-issuer";
/// Between tries: the CRD may be installed a moment later.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads the manifest.
///
/// # Errors
/// When it cannot be read, or is not one of a `ClusterClientIssuer`.
pub fn read(file: &Path) -> Result<ClusterClientIssuer, StartError> {
    let wrong = |why: String| StartError::DefaultIssuer { file: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))
}

/// Applies it, server-side and without force: what somebody else owns is left alone, and said.
pub async fn apply(ctx: Arc<Context>, issuer: ClusterClientIssuer) {
    let api: Api<ClusterClientIssuer> = Api::all(ctx.client.clone());
    let name = issuer.name_any();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    while ctx.may_begin() {
        match api.patch(&name, &params, &Patch::Apply(&issuer)).await {
            Ok(_) => return tracing::info!(issuer = name, "the default issuer is applied"),
            Err(kube::Error::Api(status)) if status.is_conflict() || matches!(status.code, 400 | 422) => {
                return tracing::error!(issuer = name, why = status.message, "the default issuer is left as it is");
            }
            Err(error) => tracing::warn!(issuer = name, %error, "the default issuer cannot be applied yet"),
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_manifest_is_refused_with_its_place() {
        let file = std::env::temp_dir().join(format!("default-issuer-{}.yaml", std::process::id()));
        let read_as = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file)
        };
        let issuer = read_as(
            "apiVersion: iam.conductor.one/v1alpha1\nkind: ClusterClientIssuer\nmetadata: {name: default}\nspec:\n  tenantDomain: acme\n  auth: {oauth: {secretRef: {name: c1}}}\n  policy: {namespaceSelector: {}}\n",
        );
        assert_eq!(issuer.unwrap().name_any(), "default");
        let error = read_as("kind: ConfigMap\n").unwrap_err().to_string();
        assert!(error.contains("default-issuer"), "{error}");
        std::fs::remove_file(&file).unwrap();
        assert!(read(&file).is_err());
    }
}
