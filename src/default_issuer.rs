//! The `ClusterClientIssuer` that an installation brings: Helm cannot create an object of a kind that the same release defines.

use std::{path::Path, sync::Arc, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{events::EventType, reflector::ObjectRef},
};
use tokio::time::sleep;

use crate::{
    api::{ClusterClientIssuer, Reason},
    controller::Context,
    runtime::StartError,
};

/// Fields that it sets are the installation's; those that people or GitOps own stay theirs.
const FIELD_MANAGER: &str = "c1-operator-default-issuer";
/// Between tries: the CRD may be installed a moment later.
const PAUSE: Duration = Duration::from_secs(5);
/// The same, when somebody has to change something. Events are forgotten after an hour.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_mins(10);

/// Reads the manifest.
///
/// # Errors
/// When it cannot be read, or is not one of a `ClusterClientIssuer`.
pub fn read(file: &Path) -> Result<ClusterClientIssuer, StartError> {
    let wrong = |why: String| StartError::DefaultIssuer { file: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))
}

/// Applies it, server-side and without force: what somebody else owns is left alone, and said for as long as it differs. By
/// force a release might take an issuer over that others keep narrower.
pub async fn apply(ctx: Arc<Context>, issuer: ClusterClientIssuer) {
    let api: Api<ClusterClientIssuer> = Api::all(ctx.client.clone());
    let name = issuer.name_any();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    while ctx.may_begin() {
        match api.patch(&name, &params, &Patch::Apply(&issuer)).await {
            Ok(_) => return tracing::info!(issuer = name, "the default issuer is applied"),
            Err(kube::Error::Api(status)) if status.is_conflict() || matches!(status.code, 400 | 422) => {
                refused(&ctx, &name, &status.message).await;
                sleep(PAUSE_WHEN_REFUSED).await;
            }
            Err(error) => {
                tracing::warn!(issuer = name, %error, "the default issuer cannot be applied yet");
                sleep(PAUSE).await;
            }
        }
    }
}

/// An issuer that is not as the release says may allow more than the release says.
async fn refused(ctx: &Context, name: &str, why: &str) {
    tracing::error!(issuer = name, why, "the default issuer is left as it is");
    // Its UID, which an event must name, is in the cache.
    if !ctx.is_filled().await {
        return;
    }
    let Some(issuer) = ctx.stores.cluster_issuers.get(&ObjectRef::new(name)) else { return };
    let note = format!(
        "the operator's defaultIssuer was not applied, so this issuer stays as it is, its policy too: {why}. Take the field away from its owner, or set it there"
    );
    let regarding = issuer.object_ref(&());
    ctx.events.publish(regarding, EventType::Warning, Reason::InvalidConfiguration, "Apply", &note).await;
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
