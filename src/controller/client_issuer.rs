//! The reconcile of issuers: hold them while objects need them, connect, read C1's list, say how it went.

use std::{sync::Arc, time::Duration};

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::{controller::Action, reflector::ObjectRef},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    connect::{connect, inventory},
    context::Context,
    error::{Error, kubernetes},
    issuer_status::report,
    issuers::{IssuerKey, SpecVersion, near, needed_by},
};
use crate::{
    api::{
        ClientIssuer, ClusterClientIssuer, FIELD_MANAGER, IssuerStatus, PersonalClient, Reason,
        client_issuer::TenantSpec,
    },
    clock::LONGEST_SLEEP,
};

/// The pauses after a failure: they double up to the inventory's interval, or this.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What both kinds of issuers have in common.
pub trait IssuerObject:
    Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// The tenant.
    fn tenant(&self) -> &TenantSpec;
    /// The status as it was read.
    fn issuer_status(&self) -> Option<&IssuerStatus>;
    /// The API that holds it.
    fn api(client: kube::Client, namespace: Option<&str>) -> Api<Self>;
}

impl IssuerObject for ClientIssuer {
    fn tenant(&self) -> &TenantSpec {
        &self.spec.tenant
    }
    fn issuer_status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
    fn api(client: kube::Client, namespace: Option<&str>) -> Api<Self> {
        namespaced(client, namespace)
    }
}

fn namespaced<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
    client: kube::Client,
    namespace: Option<&str>,
) -> Api<K> {
    Api::namespaced(client, namespace.unwrap_or_default())
}

impl IssuerObject for ClusterClientIssuer {
    fn tenant(&self) -> &TenantSpec {
        &self.spec.tenant
    }
    fn issuer_status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
    fn api(client: kube::Client, _: Option<&str>) -> Api<Self> {
        Api::all(client)
    }
}

/// Which issuer an object is.
pub fn key<K: IssuerObject>(issuer: &K) -> IssuerKey {
    IssuerKey { namespace: issuer.namespace(), name: issuer.name_any() }
}

/// Looks at one issuer.
///
/// # Errors
/// When the API server keeps it from looking.
pub async fn reconcile<K: IssuerObject>(object: Arc<DeserializeGuard<K>>, ctx: Arc<Context>) -> Result<Action, Error> {
    if !ctx.is_filled().await || !ctx.may_begin() {
        return Ok(Action::requeue(LONGEST_RETRY));
    }
    let object = match &object.0 {
        Ok(object) => object,
        Err(error) => {
            tracing::error!(issuer = error.metadata.name, %error, "issuer cannot be read");
            return Ok(Action::await_change());
        }
    };
    let key = key(object);
    // A finalizer that cannot be written keeps nothing from being revoked.
    let held = hold(&ctx, object, &key).await;
    let users = count_users(&ctx, &key);
    if object.meta().deletion_timestamp.is_some() && users == 0 {
        ctx.issuers.forget(&key);
        ctx.metrics.issuer_gone(&key.name, key.namespace.as_deref());
        return held.map(|()| Action::await_change());
    }
    // Whoever only waits for something to come to light does not hold it, but wants it looked at.
    let served = if users > 0 { users } else { count(&ctx, |object| near(object).any(|near| near == key)) };
    if !ctx.config.shard.serves(&key, served) {
        // It is not looked at any more: what was last known of it would grow stale, and be an alert. Who needs it again looks at once.
        // Its login stays: a maker whose object is gone may still have to delete what it made.
        ctx.issuers.entry(&key).look_soon();
        ctx.metrics.issuer_gone(&key.name, key.namespace.as_deref());
        return held.map(|()| Action::await_change());
    }
    let unheld = held.as_ref().err().filter(|error| users > 0 && is_refusal(error)).map(why);
    let looked = look(&ctx, object, &key, users, note_unheld(&ctx, &key, unheld)).await;
    held.and(looked)
}

/// Puts our finalizer on an issuer that objects need, takes it off one that none needs.
///
/// An object whose issuer is not held waits. So `held` is taken back before they are counted for the last time: one that
/// still saw it was in the cache by then, and is counted.
async fn hold<K: IssuerObject>(ctx: &Context, object: &K, key: &IssuerKey) -> Result<(), Error> {
    let issuer = ctx.issuers.entry(key);
    issuer.begin(&version(object).uid);
    let mut users = count_users(ctx, key);
    if users == 0 {
        issuer.update(|state| state.held = false);
        users = count_users(ctx, key);
    }
    let shard = &ctx.config.shard;
    let present = object.finalizers();
    let deleting = object.meta().deletion_timestamp.is_some();
    let wanted: Vec<&str> = if users > 0 && !deleting {
        let ours = shard.finalizer();
        present.iter().map(String::as_str).filter(|f| *f != ours).chain([ours]).collect()
    } else {
        present.iter().map(String::as_str).filter(|f| users > 0 || !shard.removes(f)).collect()
    };
    if wanted.len() != present.len() {
        write_finalizers(ctx, object, &wanted).await?;
    }
    if users > 0 && !deleting && !issuer.state().held {
        issuer.update(|state| state.held = true);
        let _ = ctx.look_again.send(Some(key.clone()));
    }
    Ok(())
}

/// After an error: soon again.
#[allow(clippy::needless_pass_by_value)] // kube's signature
pub fn error_policy<K: IssuerObject>(object: Arc<DeserializeGuard<K>>, error: &Error, ctx: Arc<Context>) -> Action {
    ctx.metrics.reconcile_failed(error.category());
    let conflict = error.status().is_some_and(|s| s.is_conflict() || s.is_not_found());
    if !conflict {
        tracing::warn!(issuer = object.meta().name, %error, "reconcile of an issuer failed");
    }
    Action::requeue(if conflict { Duration::from_secs(1) } else { Duration::from_secs(10) })
}

/// Whether the API server will say so again.
fn is_refusal(error: &Error) -> bool {
    error
        .status()
        .is_some_and(|s| (400..500).contains(&s.code) && !s.is_conflict() && !s.is_not_found() && s.code != 429)
}

/// As the API server says it, which people understand.
fn why(error: &Error) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

/// Remembers why our finalizer cannot be written, without which its objects wait; whether that is news.
fn note_unheld(ctx: &Context, key: &IssuerKey, unheld: Option<String>) -> bool {
    let issuer = ctx.issuers.entry(key);
    // The words may differ each time, by a request id or a time.
    let news = issuer.state().unheld.is_some() != unheld.is_some();
    if news {
        issuer.update(|state| state.unheld = unheld);
        let _ = ctx.look_again.send(Some(key.clone()));
    }
    news
}

/// `news`: it is looked at whether or not its time has come.
async fn look<K: IssuerObject>(
    ctx: &Context,
    object: &K,
    key: &IssuerKey,
    users: usize,
    news: bool,
) -> Result<Action, Error> {
    let issuer = ctx.issuers.entry(key);
    let interval =
        object.tenant().inventory_interval.as_ref().and_then(|d| d.get().ok()).unwrap_or(ctx.config.inventory_interval);
    let version = version(object);
    if let Some(wait) = issuer.not_due(&version, interval).filter(|_| !news) {
        return Ok(Action::requeue(wait.min(LONGEST_SLEEP)));
    }
    let result = connect(ctx, object, &issuer).await;
    let result = match result {
        Ok(()) => inventory(ctx, &issuer).await,
        Err(why) => Err(why),
    };
    issuer.looked(version.clone(), result.is_ok(), LONGEST_RETRY.min(interval));
    issuer.update(|state| state.not_ready = result.as_ref().err().cloned());
    let state = issuer.state();
    let result = match state.unheld.filter(|_| !state.held) {
        Some(why) if result.is_ok() => {
            let message = format!("the operator's finalizer, which keeps it while objects need it, is refused: {why}");
            Err((Reason::InvalidConfiguration, message))
        }
        _ => result,
    };
    let deleting = object.meta().deletion_timestamp.is_some();
    let result =
        if deleting { Err((Reason::Deleting, format!("{users} PersonalClient(s) still need it"))) } else { result };
    ctx.metrics.issuer_looked(&key.name, key.namespace.as_deref(), result.is_ok(), ctx.clock.now());
    if !ctx.leadership.is_current() {
        // Whoever leads now says how it is.
        return Ok(Action::requeue(LONGEST_RETRY));
    }
    report(ctx, object, key, &issuer, &result).await?;
    // All that this changes for its objects is decided from caches: it costs no call.
    let _ = ctx.look_again.send(Some(key.clone()));
    forget_what_is_gone(ctx);
    Ok(Action::requeue(issuer.not_due(&version, interval).unwrap_or(interval).min(LONGEST_SLEEP)))
}

pub(super) fn version<K: IssuerObject>(object: &K) -> SpecVersion {
    SpecVersion { uid: object.uid().unwrap_or_default(), generation: object.meta().generation.unwrap_or_default() }
}

/// What does not exist any more needs no memory.
fn forget_what_is_gone(ctx: &Context) {
    let living = ctx.stores.personal_clients.state().iter().filter_map(|o| o.meta().uid.clone()).collect();
    ctx.memory.retain(&living);
    let gone = ctx.issuers.retain(|key| match &key.namespace {
        Some(namespace) => ctx.stores.issuers.get(&ObjectRef::new(&key.name).within(namespace)).is_some(),
        None => ctx.stores.cluster_issuers.get(&ObjectRef::new(&key.name)).is_some(),
    });
    for key in gone {
        ctx.metrics.issuer_gone(&key.name, key.namespace.as_deref());
    }
}

/// How many objects need the issuer.
fn count_users(ctx: &Context, key: &IssuerKey) -> usize {
    count(ctx, |object| needed_by(object).any(|needed| needed == *key))
}

fn count(ctx: &Context, which: impl Fn(&PersonalClient) -> bool) -> usize {
    ctx.stores.personal_clients.state().iter().filter(|o| o.0.as_ref().is_ok_and(&which)).count()
}

async fn write_finalizers<K: IssuerObject>(ctx: &Context, object: &K, finalizers: &[&str]) -> Result<(), Error> {
    let patch = json!({"metadata": {"uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers}});
    let api = K::api(ctx.client.clone(), object.namespace().as_deref());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    kubernetes("write the finalizers of", &format!("issuer {name}"), api.patch_metadata(&name, &params, &patch))
        .await
        .map(drop)
}
