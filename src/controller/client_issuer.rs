//! The reconcile of issuers: connect, read C1's list, say how it went.

use std::{collections::HashSet, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::{controller::Action, events::EventType, reflector::ObjectRef},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    act::merge_patch,
    context::Context,
    error::{Error, kubernetes},
    issuers::{Issuer, IssuerKey, SpecVersion},
    tenant,
};
use crate::{
    api::{
        ClientIssuer, ClusterClientIssuer, ConditionType, FIELD_MANAGER, FINALIZER, IssuerStatus, PersonalClient,
        Reason,
        client_issuer::{Orphan, TenantSpec},
        condition,
    },
    c1::{self, Auth, Client, Session, Settings},
    inventory::Inventory,
    plan::{
        Marker, Record,
        status::{Standing, standing},
    },
    secret,
};

/// How many orphans status names.
const MOST_ORPHANS: usize = 10;
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
    let looked = look(&ctx, object, &key, users).await;
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
    let deleting = object.meta().deletion_timestamp.is_some();
    match (users > 0, has_finalizer(object)) {
        (true, false) if !deleting => {
            let with_ours = object.finalizers().iter().cloned().chain([FINALIZER.into()]).collect::<Vec<_>>();
            write_finalizers(ctx, object, &with_ours).await?;
        }
        (false, true) => {
            let rest = object.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect::<Vec<_>>();
            write_finalizers(ctx, object, &rest).await?;
        }
        _ => {}
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

async fn look<K: IssuerObject>(ctx: &Context, object: &K, key: &IssuerKey, users: usize) -> Result<Action, Error> {
    let issuer = ctx.issuers.entry(key);
    let interval =
        object.tenant().inventory_interval.as_ref().and_then(|d| d.get().ok()).unwrap_or(ctx.config.inventory_interval);
    let version = version(object);
    if let Some(wait) = issuer.not_due(&version, interval) {
        return Ok(Action::requeue(wait));
    }
    let result = connect(ctx, object, &issuer).await;
    let result = match result {
        Ok(()) => inventory(ctx, &issuer).await,
        Err(why) => Err(why),
    };
    issuer.looked(version.clone(), result.is_ok(), LONGEST_RETRY.min(interval));
    issuer.update(|state| state.not_ready = result.as_ref().err().cloned());
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
    Ok(Action::requeue(issuer.not_due(&version, interval).unwrap_or(interval)))
}

fn version<K: IssuerObject>(object: &K) -> SpecVersion {
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

type Why = (Reason, String);

/// Reads the credentials and makes a session of them, unless there is one with the same.
async fn connect<K: IssuerObject>(ctx: &Context, object: &K, issuer: &Issuer) -> Result<(), Why> {
    let tenant = object.tenant();
    let address = tenant::address(tenant)
        .ok_or((Reason::InvalidConfiguration, "tenantDomain or url is not the address of a tenant".to_owned()))?;
    let namespaced = object.namespace().is_some();
    if !tenant::allowed(&address.host, namespaced, &ctx.config) {
        let kind = if namespaced { "a ClientIssuer" } else { "an issuer" };
        let message = format!("{} is not a host that {kind} may name: see the operator's --allowed-host", address.host);
        return Err((Reason::HostNotAllowed, message));
    }
    let ca =
        tenant.ca_bundle.as_ref().map(|text| STANDARD.decode(text.split_whitespace().collect::<String>())).transpose();
    let ca = ca.map_err(|_| (Reason::InvalidConfiguration, "caBundle is not base64".to_owned()))?;
    let auth = credentials(ctx, object).await?;
    let state = issuer.state();
    let same =
        state.session.is_some_and(|s| s.base() == address.base && s.is_login(&auth)) && issuer.is_of(&version(object));
    if same {
        return Ok(());
    }
    let settings = Settings {
        base: address.base,
        host: address.host,
        ca,
        auth,
        deadlines: ctx.config.deadlines,
        clock: ctx.clock.clone(),
        observer: ctx.metrics.clone(),
    };
    let session = Session::new(settings).map_err(|kind| match kind {
        c1::ErrorKind::Credentials(text) if text.starts_with("caBundle") => (Reason::InvalidConfiguration, text),
        other => (Reason::Unauthorized, other.to_string()),
    })?;
    issuer.connect(session);
    Ok(())
}

/// The credentials of an issuer: of its own namespace, or for a cluster-scoped one of the operator's.
async fn credentials<K: IssuerObject>(ctx: &Context, object: &K) -> Result<Auth, Why> {
    let namespace = object.namespace().unwrap_or_else(|| ctx.config.namespace.clone());
    let auth = &object.tenant().auth;
    let name = match (&auth.oauth, &auth.bearer) {
        (Some(oauth), None) => &oauth.secret_ref.name,
        (None, Some(bearer)) => &bearer.secret_ref.name,
        _ => {
            return Err((Reason::InvalidConfiguration, "exactly one of auth.oauth and auth.bearer must be set".into()));
        }
    };
    let what = format!("Secret {namespace}/{name}");
    let missing = |text: String| (Reason::CredentialsNotFound, text);
    let read = kubernetes("read", &what, ctx.secrets.read(&namespace, name)).await;
    let read = match read {
        Ok(Some(read)) => read,
        Ok(None) => return Err(missing(format!("{what} does not exist"))),
        Err(error) => return Err((Reason::CredentialsNotFound, format!("{what} cannot be read: {}", brief(&error)))),
    };
    let text = |key: &str| text(&read, key).ok_or_else(|| missing(format!("{what} has no key {key}")));
    Ok(match &auth.bearer {
        Some(bearer) => Auth::Bearer(text(&bearer.secret_ref.key)?.into()),
        None => Auth::OAuth { client_id: text("clientId")?, secret: text("clientSecret")?.into() },
    })
}

fn text(read: &secret::Read, key: &str) -> Option<String> {
    read.text(key).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

fn brief(error: &Error) -> String {
    error.status().map_or_else(|| "the API server does not answer".to_owned(), |s| s.reason.clone())
}

/// Reads C1's list: the proof that the credentials work, and what all objects of the issuer are judged by.
async fn inventory(ctx: &Context, issuer: &Issuer) -> Result<(), Why> {
    let result = issuer.list_since(Instant::now(), &*ctx.clock).await;
    if issuer.clock_off() {
        let message = "the operator's clock and C1's differ by more than five minutes: nothing is issued, and nothing ends because of time, until they agree";
        return Err((Reason::ClockSkew, message.into()));
    }
    let Err(error) = result else { return Ok(()) };
    let reason = match &error.kind {
        c1::ErrorKind::Status { status: 403 | 404, .. } => Reason::Unauthorized,
        _ => error.reason(),
    };
    tracing::warn!(%error, "an issuer's list could not be read");
    Err((reason, format!("C1 ({}): {}", error.host, error.kind.for_condition())))
}

/// Writes what is to be said, if it is new.
async fn report<K: IssuerObject>(
    ctx: &Context,
    object: &K,
    key: &IssuerKey,
    issuer: &Issuer,
    result: &Result<(), Why>,
) -> Result<(), Error> {
    let state = issuer.state();
    let now = ctx.clock.now();
    let generation = object.meta().generation.unwrap_or_default();
    let before = object.issuer_status().cloned().unwrap_or_default();
    let mut status = IssuerStatus { observed_generation: generation, ..before.clone() };
    if let Some(identity) = &state.identity {
        status.tenant = Some(identity.host.clone());
        status.user_id = Some(identity.user_id.clone());
    }
    if let Some(inventory) = state.inventory.as_ref().filter(|_| result.is_ok()) {
        let orphans = orphans(ctx, key, inventory);
        ctx.metrics.orphans(&key.name, key.namespace.as_deref(), orphans.len());
        status.orphaned_clients = Some(i32::try_from(orphans.len()).unwrap_or(i32::MAX));
        status.orphans = orphans.into_iter().take(MOST_ORPHANS).collect();
    }
    let (ready, reason, message) = match result {
        Ok(()) => {
            (true, Reason::Connected, format!("connected to {}", state.identity.map(|i| i.host).unwrap_or_default()))
        }
        Err((reason, message)) => (false, *reason, message.clone()),
    };
    set_conditions(&mut status, ready, reason, &message, generation, now);
    if status == before {
        return Ok(());
    }
    let patch = merge_patch(
        &serde_json::to_value(&before).unwrap_or_default(),
        &serde_json::to_value(&status).unwrap_or_default(),
    );
    write_status(ctx, object, patch).await?;
    tell(ctx, object, &before, &status, reason, ready, &message).await;
    Ok(())
}

fn set_conditions(
    status: &mut IssuerStatus,
    ready: bool,
    reason: Reason,
    message: &str,
    generation: i64,
    now: k8s_openapi::jiff::Timestamp,
) {
    let set =
        |conditions: &mut Vec<_>, kind, on| condition::set(conditions, kind, on, reason, message, generation, now);
    set(&mut status.conditions, ConditionType::Ready, ready);
    for (kind, of) in [(ConditionType::Reconciling, Standing::Waiting), (ConditionType::Stalled, Standing::Stalled)] {
        // What stays true keeps its time: else each failing look would be a write.
        if !ready && standing(reason) == of {
            set(&mut status.conditions, kind, true);
        } else {
            condition::clear(&mut status.conditions, kind);
        }
    }
}

async fn tell<K: IssuerObject>(
    ctx: &Context,
    object: &K,
    before: &IssuerStatus,
    after: &IssuerStatus,
    reason: Reason,
    ready: bool,
    message: &str,
) {
    let reference = object.object_ref(&());
    let said = condition::find(&before.conditions, ConditionType::Ready);
    if said.is_none_or(|c| c.reason != reason.as_str() || c.message != message) {
        let kind = if ready || reason == Reason::Deleting { EventType::Normal } else { EventType::Warning };
        ctx.events.publish(reference.clone(), kind, reason, "Connect", message).await;
    }
    let new: Vec<&str> =
        after.orphans.iter().filter(|o| before.orphans.iter().all(|b| b.id != o.id)).map(|o| o.id.as_str()).collect();
    if !new.is_empty() {
        let note = format!("live clients carry this cluster's marker and belong to nobody: {}", new.join(", "));
        ctx.events.publish(reference, EventType::Warning, Reason::OrphanedClients, "Inventory", &note).await;
    }
}

/// The live clients with this cluster's marker whose attempt nobody has on record. They are reported, never deleted: a
/// clone of this cluster, or ourselves before a restore, may use them.
fn orphans(ctx: &Context, key: &IssuerKey, inventory: &Inventory) -> Vec<Orphan> {
    let now = ctx.clock.now();
    let settled = ctx.config.timing.budget + ctx.config.timing.grace;
    let held: HashSet<String> = ctx
        .stores
        .secrets
        .state()
        .iter()
        .flat_map(|s| {
            let delivered = secret::seen(&s.metadata).delivered;
            delivered.into_iter().flat_map(|d| std::iter::once(d.client.id).chain(d.replaces.into_iter().map(|r| r.id)))
        })
        .collect();
    let belongs = |client: &Client, marker: &Marker| {
        // Its record may not have reached the cache yet.
        let young =
            client.created_at.is_none_or(|c| Duration::try_from(now.duration_since(c)).unwrap_or_default() < settled);
        let expired = client.expires_time.is_some_and(|t| t <= now);
        let elsewhere = key.namespace.as_deref().is_some_and(|ns| marker.object().is_none_or(|(n, _)| n != ns));
        young || expired || elsewhere || held.contains(&client.id) || claimed(ctx, client, marker)
    };
    let orphans = inventory.orphans(&ctx.config.cluster, belongs);
    orphans
        .into_iter()
        .map(|c| Orphan { id: c.id.clone(), display_name: c.display_name.clone(), created_at: c.created_at.map(Time) })
        .collect()
}

/// Whether the object that a marker names knows of the client.
fn claimed(ctx: &Context, client: &Client, marker: &Marker) -> bool {
    // Known only by digest: not ours to judge.
    let Some((namespace, name)) = marker.object() else { return true };
    let Some(object) = ctx.stores.personal_clients.get(&ObjectRef::new(name).within(namespace)) else {
        return false;
    };
    let Ok(object) = &object.0 else { return true };
    let record = Record::of(object);
    let status = object.status.as_ref();
    record.open.as_ref().is_some_and(|o| o.attempt == marker.attempt)
        || record.is_abandoned(&marker.attempt)
        || status.and_then(|s| s.client.as_ref()).is_some_and(|c| c.id == client.id || c.attempt == marker.attempt)
        || status.is_some_and(|s| s.retiring.iter().any(|r| r.id == client.id))
}

/// How many objects need the issuer.
fn count_users(ctx: &Context, key: &IssuerKey) -> usize {
    let uses =
        |object: &PersonalClient| IssuerKey::of(&object.issuer_ref(), &object.namespace().unwrap_or_default()) == *key;
    ctx.stores.personal_clients.state().iter().filter(|o| o.0.as_ref().is_ok_and(uses)).count()
}

/// Whether the issuer carries our finalizer.
pub fn has_finalizer<K: IssuerObject>(object: &K) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

async fn write_finalizers<K: IssuerObject>(ctx: &Context, object: &K, finalizers: &[String]) -> Result<(), Error> {
    let patch = json!({"metadata": {"uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers}});
    let api = K::api(ctx.client.clone(), object.namespace().as_deref());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    kubernetes("write the finalizers of", &format!("issuer {name}"), api.patch_metadata(&name, &params, &patch))
        .await
        .map(drop)
}

async fn write_status<K: IssuerObject>(ctx: &Context, object: &K, status: Value) -> Result<(), Error> {
    // Not conditional on the version: the finalizer may just have been written, and nobody else writes this status.
    let patch = json!({"metadata": {"uid": object.uid()}, "status": status});
    let api = K::api(ctx.client.clone(), object.namespace().as_deref());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    kubernetes("write the status of", &format!("issuer {name}"), api.patch_status(&name, &params, &patch))
        .await
        .map(drop)
}
