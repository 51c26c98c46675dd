//! Gathers what `plan` decides on: from the caches, or from the API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
    jiff::Timestamp,
};
use kube::{Api, ResourceExt, core::PartialObjectMeta, runtime::reflector::ObjectRef};

use super::{
    context::Context,
    error::{Error, kubernetes},
    issuers::{Issuer, IssuerKey},
};
use crate::{
    api::{IssuerKind, IssuerRef, PersonalClient, client_issuer::Allowed},
    plan::{
        ClientRead, Delivered, IssuerView, LOOK_AGAIN, Observed, RESTART_AGAIN, Record, SecretSeen, SecretView,
        current_secret, marker, other_issuers, other_secrets, template_digest,
    },
    secret,
};

/// What the API server does not let be done for a spec is tried again after so long.
const REFUSED_AGAIN: Duration = Duration::from_mins(5);
/// For so long a refused delete lets the present credential go first; then it is tried again before anything else.
const DELETE_AGAIN: Duration = Duration::from_mins(5);

/// An attempt's name: 64 random bits in lower-case base 32 (RFC 4648 letters, without padding).
fn fresh_attempt() -> String {
    let mut bytes = [0_u8; 8];
    // Only a broken kernel has no randomness; then the create must not go out under a name that is not new.
    if getrandom::fill(&mut bytes).is_err() {
        return String::new();
    }
    let mut bits = u64::from_be_bytes(bytes);
    (0..13)
        .map(|_| {
            let letter = b"abcdefghijklmnopqrstuvwxyz234567"[usize::try_from(bits & 31).unwrap_or(0)];
            bits >>= 5;
            char::from(letter)
        })
        .collect()
}

/// What the caches say. It decides that nothing is to be done, or that what was never begun is begun.
#[must_use]
pub fn cached(ctx: &Context, object: &PersonalClient) -> Observed {
    let namespace = object.namespace().unwrap_or_default();
    let view = |name: &str| {
        let reference = ObjectRef::<PartialObjectMeta<Secret>>::new(name).within(&namespace);
        match ctx.stores.secrets.get(&reference) {
            Some(secret) => SecretView::Present(Box::new(secret::seen(&secret.metadata))),
            None => SecretView::Absent,
        }
    };
    let record = Record::of(object);
    let secret = view(&current_secret(object, &record));
    let vacant = ctx.memory.with(&object.uid().unwrap_or_default(), |known| known.vacant.clone());
    // Without its label a Secret is in no cache: only a look tells that a former one is gone.
    let other = |name: &str| match view(name) {
        SecretView::Absent if name != object.secret_name() && !vacant.contains(name) => {
            SecretView::Unknown("it is in no cache".into())
        }
        view => view,
    };
    let others = other_secrets(object, &record).into_iter().map(|name| (name.clone(), other(&name))).collect();
    observed(ctx, object.clone(), (secret, others), BTreeMap::new())
}

/// What the API server says: first the object, then the Secret. `None`: the object is gone, or another of that name.
///
/// # Errors
/// When the object cannot be read. A Secret that cannot be read is [`SecretView::Unknown`].
pub async fn live(
    ctx: &Context,
    object: &PersonalClient,
    reads: BTreeMap<String, ClientRead>,
    (listed, as_of): (BTreeSet<IssuerRef>, Timestamp),
) -> Result<Option<Observed>, Error> {
    let Some(object) = read_object(ctx, object).await? else { return Ok(None) };
    let record = Record::of(&object);
    let current = current_secret(&object, &record);
    let secret = read_secret(ctx, &object, &current).await;
    note_vacant(ctx, &object, &current, &secret);
    let mut others = BTreeMap::new();
    for name in other_secrets(&object, &record) {
        let view = read_metadata(ctx, &object, &name).await;
        note_vacant(ctx, &object, &name, &view);
        others.insert(name, view);
    }
    Ok(Some(Observed { listed, as_of, live: true, ..observed(ctx, object, (secret, others), reads) }))
}

/// Remembers whether there is a Secret of the object's under this name.
fn note_vacant(ctx: &Context, object: &PersonalClient, name: &str, view: &SecretView) {
    let uid = object.uid().unwrap_or_default();
    let is_vacant = match view {
        SecretView::Unknown(_) => return,
        SecretView::Absent => true,
        SecretView::Present(seen) => seen.delivered.as_ref().is_none_or(|delivered| delivered.owner.uid != uid),
    };
    ctx.memory.with(
        &uid,
        |known| {
            if is_vacant { known.vacant.insert(name.to_owned()) } else { known.vacant.remove(name) }
        },
    );
}

/// The object as it is; `None`: gone, or another of that name.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn read_object(ctx: &Context, object: &PersonalClient) -> Result<Option<PersonalClient>, Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<PersonalClient> = Api::namespaced(ctx.client.clone(), &namespace);
    let found = kubernetes("read", &format!("PersonalClient {namespace}/{name}"), api.get_opt(&name)).await?;
    Ok(found.filter(|f| f.metadata.uid == object.metadata.uid))
}

/// A Secret of this name as it is, but for its data.
async fn read_metadata(ctx: &Context, object: &PersonalClient, name: &str) -> SecretView {
    let namespace = object.namespace().unwrap_or_default();
    match kubernetes("read", &format!("Secret {namespace}/{name}"), ctx.secrets.get(&namespace, name)).await {
        Ok(Some(metadata)) => SecretView::Present(Box::new(secret::seen(&metadata))),
        Ok(None) => SecretView::Absent,
        Err(error) => SecretView::Unknown(error.to_string()),
    }
}

/// The Secret of this name as it is. Its data are read only when something says that they may have changed.
pub async fn read_secret(ctx: &Context, object: &PersonalClient, name: &str) -> SecretView {
    let namespace = object.namespace().unwrap_or_default();
    let what = format!("Secret {namespace}/{name}");
    match read_metadata(ctx, object, name).await {
        SecretView::Present(seen) if must_read(&seen, object) => {}
        view => return view,
    }
    match kubernetes("read", &what, ctx.secrets.read(&namespace, name)).await {
        Ok(Some(read)) => {
            let mut seen = secret::seen(&read.metadata);
            seen.content = secret::content(&read, &seen, object.spec.secret_template.as_ref());
            if let Some(delivered) = &mut seen.delivered {
                // What stands in the annotation may not be so: somebody has made the Secret anew.
                delivered.template.type_ = read.type_;
            }
            SecretView::Present(Box::new(seen))
        }
        Ok(None) => SecretView::Absent,
        Err(error) => SecretView::Unknown(error.to_string()),
    }
}

/// Only a Secret of ours that is not of the version that status vouches for, or that another template rendered.
fn must_read(seen: &SecretSeen, object: &PersonalClient) -> bool {
    let Some(delivered) = &seen.delivered else { return false };
    let vouched = object.status.as_ref().and_then(|s| s.secret_resource_version.as_ref());
    vouched != Some(&seen.resource_version)
        || delivered.template.digest != template_digest(object.spec.secret_template.as_ref())
}

fn observed(
    ctx: &Context,
    object: PersonalClient,
    (secret, others): (SecretView, BTreeMap<String, SecretView>),
    reads: BTreeMap<String, ClientRead>,
) -> Observed {
    let uid = object.uid().unwrap_or_default();
    let open_seen = ctx.memory.open_seen(&uid, Record::of(&object).begun().as_deref());
    let known = ctx.memory.with(&uid, |known| known.clone());
    let namespace = namespace(ctx, &object);
    let delivered: Vec<&Delivered> =
        std::iter::once(&secret).chain(others.values()).filter_map(SecretView::delivered).collect();
    let view = |reference: &IssuerRef| issuer(ctx, reference, (&object, &delivered), namespace.as_deref());
    let former = other_issuers(&object, delivered.iter().copied());
    let failed = known.failed_looks.into_iter().filter(|(_, at)| at.elapsed() < LOOK_AGAIN);
    Observed {
        issuer: view(&object.issuer_ref()),
        former: former.into_iter().filter_map(|at| view(&at).map(|view| (at, view))).collect(),
        namespace_terminating: namespace.is_some_and(|n| n.metadata.deletion_timestamp.is_some()),
        live: false,
        as_of: ctx.clock.now(),
        listed: BTreeSet::new(),
        cluster: ctx.config.cluster.clone(),
        secret,
        others,
        reads,
        in_flight: known.in_flight,
        unsent: known.unsent,
        deleted: known.deleted,
        failed_looks: failed.map(|(look, _)| look).collect(),
        render_refused: known.render_refused.and_then(|refused| refused.still(&object, REFUSED_AGAIN, ctx.clock.now())),
        move_refused: known.move_refused.and_then(|refused| refused.still(&object, REFUSED_AGAIN, ctx.clock.now())),
        tidy_failed: known.tidy_failed.is_some_and(|at| at.elapsed() < DELETE_AGAIN),
        restart_failed: known.restart_failed.is_some_and(|at| at.elapsed() < RESTART_AGAIN),
        undeleted: known
            .undeleted
            .into_iter()
            .filter(|(_, at)| at.elapsed() < DELETE_AGAIN)
            .map(|(id, _)| id)
            .collect(),
        open_seen,
        fresh_attempt: fresh_attempt(),
        timing: ctx.config.timing,
        object,
    }
}

fn namespace(ctx: &Context, object: &PersonalClient) -> Option<Arc<PartialObjectMeta<Namespace>>> {
    ctx.stores.namespaces.get(&ObjectRef::new(&object.namespace().unwrap_or_default()))
}

fn issuer(
    ctx: &Context,
    reference: &IssuerRef,
    (object, delivered): (&PersonalClient, &[&Delivered]),
    namespace: Option<&PartialObjectMeta<Namespace>>,
) -> Option<IssuerView> {
    let own = object.namespace().unwrap_or_default();
    let allows = |allowed: Option<&Allowed>| allowed.and_then(|a| a.full_permissions).unwrap_or(false);
    let (defaults, namespace_selected, full_permissions, deleting) = match reference.kind {
        IssuerKind::ClientIssuer => {
            let found = ctx.stores.issuers.get(&ObjectRef::new(&reference.name).within(&own))?;
            let issuer = found.0.as_ref().ok()?;
            let policy = issuer.spec.policy.as_ref();
            let allowed = allows(policy.and_then(|p| p.allowed.as_ref()));
            (issuer.spec.tenant.defaults.clone(), Some(true), allowed, issuer.metadata.deletion_timestamp.is_some())
        }
        IssuerKind::ClusterClientIssuer => {
            let found = ctx.stores.cluster_issuers.get(&ObjectRef::new(&reference.name))?;
            let issuer = found.0.as_ref().ok()?;
            let policy = &issuer.spec.policy;
            let labels = namespace.and_then(|n| n.metadata.labels.clone()).unwrap_or_default();
            let selected = namespace.map(|_| selects(&policy.namespace_selector, &labels));
            let allowed = allows(policy.allowed.as_ref());
            (issuer.spec.tenant.defaults.clone(), selected, allowed, issuer.metadata.deletion_timestamp.is_some())
        }
    };
    let known = ctx.issuers.get(&IssuerKey::of(reference, &own));
    let state = known.as_ref().map(|k| k.state()).unwrap_or_default();
    let status = object.status.as_ref();
    let ids = status
        .into_iter()
        .flat_map(|s| s.client.iter().map(|c| c.id.as_str()).chain(s.retiring.iter().map(|r| r.id.as_str())))
        .chain(
            delivered
                .iter()
                .flat_map(|d| std::iter::once(d.client.id.as_str()).chain(d.replaces.iter().map(|r| r.id.as_str()))),
        );
    let owner = marker::owner(&ctx.config.cluster, &own, &object.name_any());
    // Where an object has only something to end, it is held until that has ended.
    let deleted = (deleting && *reference == object.issuer_ref())
        .then(|| (crate::api::Reason::Deleting, "it is being deleted".to_owned()));
    Some(IssuerView {
        // Why it cannot log in says more than that it is to go.
        not_ready: state.not_ready.or(deleted),
        held: state.held,
        unheld: state.unheld.clone(),
        identity: state.identity,
        defaults: defaults.unwrap_or_default(),
        namespace_selected,
        full_permissions,
        clock_off: known.is_some_and(|k: Arc<Issuer>| k.clock_off()),
        inventory: state.inventory.map(|i| i.view(&owner, ids)),
    })
}

/// Whether labels meet a selector. An operator that we do not know selects nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_label = selector.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
    let by_expression = selector.match_expressions.iter().flatten().all(|e| {
        let value = labels.get(&e.key);
        let listed = value.is_some_and(|v| e.values.iter().flatten().any(|w| w == v));
        match e.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    by_label && by_expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_new_each_time_and_fit_a_marker() {
        let (a, b) = (fresh_attempt(), fresh_attempt());
        assert!(a != b && a.len() == 13 && a.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{a}");
    }

    #[test]
    fn selects_as_kubernetes_does() {
        let labels: BTreeMap<_, _> = [("team".to_owned(), "ci".to_owned())].into();
        let selector = |json| serde_json::from_value::<LabelSelector>(json).unwrap();
        let yes = [
            serde_json::json!({}),
            serde_json::json!({"matchLabels": {"team": "ci"}}),
            serde_json::json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["ci", "x"]}]}),
            serde_json::json!({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["ci"]}]}),
            serde_json::json!({"matchExpressions": [{"key": "team", "operator": "Exists"}, {"key": "x", "operator": "DoesNotExist"}]}),
        ];
        let no = [
            serde_json::json!({"matchLabels": {"team": "ops"}}),
            serde_json::json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["ci"]}]}),
            serde_json::json!({"matchExpressions": [{"key": "team", "operator": "Near"}]}),
        ];
        for json in yes {
            assert!(selects(&selector(json.clone()), &labels), "{json}");
        }
        for json in no {
            assert!(!selects(&selector(json.clone()), &labels), "{json}");
        }
    }
}
