//! The restart of consumers: an annotation on their pod template, as `kubectl rollout restart` puts one there. Its value is
//! of the client, so that a restart that is done twice restarts nothing.

use k8s_openapi::{
    NamespaceResourceScope,
    api::apps::v1::{DaemonSet, Deployment, StatefulSet},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::Selector,
    runtime::events::EventType,
};
use serde_json::json;

use super::{
    act,
    context::Context,
    error::{Error, kubernetes},
};
use crate::{
    api::{FIELD_MANAGER, PersonalClient, PersonalClientStatus, RESTART_PREFIX, Reason, Workload, WorkloadKind},
    fault::{EffectKind, FaultPoint, reach},
    plan::{Anchor, RestartStep, digest},
};

/// The name of an annotation, after its prefix, is no longer.
const LONGEST_NAME: usize = 63;

/// What became of the workloads.
#[derive(Default)]
struct Restarted {
    /// Kind and name.
    done: Vec<String>,
    /// Kind and name, and why not.
    failed: Vec<String>,
}

/// Restarts what is there and may be restarted, says what was not, and writes that it was done.
///
/// # Errors
/// When the API server does not answer: then all is done again.
pub(super) async fn restart(ctx: &Context, object: &PersonalClient, step: &RestartStep) -> Result<(), Error> {
    let restart = Restart { ctx, object, client_id: &step.client_id };
    let mut restarted = Restarted::default();
    for workload in &step.workloads {
        match workload.kind {
            WorkloadKind::Deployment => restart.each::<Deployment>(workload, &mut restarted).await?,
            WorkloadKind::StatefulSet => restart.each::<StatefulSet>(workload, &mut restarted).await?,
            WorkloadKind::DaemonSet => restart.each::<DaemonSet>(workload, &mut restarted).await?,
        }
    }
    let status = PersonalClientStatus { restart_pending: None, ..object.status_or_default() };
    reach(FaultPoint::Before(EffectKind::UpdateStatus));
    act::write_status(ctx, object, &Anchor::of(object), &status).await?;
    reach(FaultPoint::After(EffectKind::UpdateStatus));
    tell(ctx, object, &step.client_id, &restarted).await;
    Ok(())
}

/// One event for what was restarted, one for what was not.
async fn tell(ctx: &Context, object: &PersonalClient, client_id: &str, restarted: &Restarted) {
    let to = object.object_ref(&());
    if !restarted.done.is_empty() {
        let note = format!("{}: restarted, to read client {client_id}", restarted.done.join(", "));
        ctx.events.publish(to.clone(), EventType::Normal, Reason::Restarted, "Restart", &note).await;
    }
    if !restarted.failed.is_empty() {
        let note = format!("not restarted: {}", restarted.failed.join("; "));
        ctx.events.publish(to, EventType::Warning, Reason::RestartFailed, "Restart", &note).await;
    }
}

/// A restart under way.
struct Restart<'a> {
    ctx: &'a Context,
    object: &'a PersonalClient,
    client_id: &'a str,
}

/// A kind of workload.
trait Restartable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + serde::de::DeserializeOwned
{
}
impl Restartable for Deployment {}
impl Restartable for StatefulSet {}
impl Restartable for DaemonSet {}

impl Restart<'_> {
    /// The one workload, or all that the selector selects.
    async fn each<K: Restartable>(&self, workload: &Workload, restarted: &mut Restarted) -> Result<(), Error> {
        let names = match (&workload.name, self.selected::<K>(workload).await?) {
            (Some(name), _) => vec![name.clone()],
            (None, Ok(names)) => names,
            (None, Err(why)) => {
                restarted.failed.push(why);
                return Ok(());
            }
        };
        for name in names {
            match self.annotate::<K>(&name).await? {
                Ok(()) => restarted.done.push(format!("{} {name}", K::kind(&()))),
                Err(why) => restarted.failed.push(format!("{} {name}: {why}", K::kind(&()))),
            }
        }
        Ok(())
    }

    async fn selected<K: Restartable>(&self, workload: &Workload) -> Result<Result<Vec<String>, String>, Error> {
        let Some(selector) = &workload.selector else { return Ok(Ok(vec![])) };
        let kind = K::kind(&());
        let selector = match Selector::try_from(selector.clone()) {
            Ok(selector) => selector,
            Err(error) => return Ok(Err(format!("the selector of {kind}: {error}"))),
        };
        let params = ListParams::default().labels_from(&selector);
        let listed = kubernetes("list the workloads of", &self.what(), self.api::<K>().list_metadata(&params)).await;
        Ok(match refusal(listed)? {
            Ok(list) if list.items.is_empty() => Err(format!("the selector selects no {kind}")),
            Ok(list) => Ok(list.items.iter().map(ResourceExt::name_any).collect()),
            Err(why) => Err(format!("every {kind} that is selected: {why}")),
        })
    }

    async fn annotate<K: Restartable>(&self, name: &str) -> Result<Result<(), String>, Error> {
        let value = &digest(&[self.client_id])[..16];
        let annotations = json!({annotation(&self.object.name_any()): value});
        let patch = Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
        reach(FaultPoint::Before(EffectKind::Restart));
        let api = self.api::<K>();
        let patched =
            kubernetes("restart a workload of", &self.what(), api.patch_metadata(name, &params, &patch)).await;
        let patched = refusal(patched)?.map(drop);
        reach(FaultPoint::After(EffectKind::Restart));
        Ok(patched)
    }

    fn api<K: Restartable>(&self) -> Api<K> {
        Api::namespaced(self.ctx.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    fn what(&self) -> String {
        format!("PersonalClient {}/{}", self.object.namespace().unwrap_or_default(), self.object.name_any())
    }
}

/// What was refused for good is no failure of the object: it is said, and not tried again.
fn refusal<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    let error = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(error) => error,
    };
    let Some(status) = error.status() else { return Err(error) };
    match status.code {
        404 => Ok(Err("there is none".into())),
        403 => Ok(Err(format!(
            "{} (the chart's value rbac.restartWorkloads gives the operator this permission)",
            status.message
        ))),
        408 | 409 | 425 | 429 => Err(error),
        400..500 => Ok(Err(status.message.clone())),
        _ => Err(error),
    }
}

/// The annotation of an object: by its name, or a digest where that is long.
fn annotation(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return format!("{RESTART_PREFIX}{name}");
    }
    let digest = &digest(&[name])[..16];
    format!("{RESTART_PREFIX}{}-{digest}", &name[..LONGEST_NAME - 1 - digest.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_of_its_object_and_never_too_long() {
        assert_eq!(annotation("ci-deployer"), "restart.iam.conductor.one/ci-deployer");
        let (one, other) = (annotation(&"a".repeat(200)), annotation(&"a".repeat(201)));
        assert_ne!(one, other);
        assert_eq!(one.len(), RESTART_PREFIX.len() + LONGEST_NAME);
    }
}
