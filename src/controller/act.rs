//! The single writes. Each is conditional on what was seen, has a deadline, and is sent once: after a lost answer the world is
//! read, never the request repeated. Together with [`super::pilot`] the only place with side effects on objects.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    context::Context,
    error::{Error, kubernetes},
    issuers::Issuer,
    observe,
};
use crate::{
    api::{
        DELIVERED_ANNOTATION, FIELD_MANAGER, FINALIZER, PersonalClient, PersonalClientStatus, RECORD_ANNOTATION, Reason,
    },
    c1::{self, Session},
    clock::BootInstant,
    fault::{EffectKind, FaultPoint, reach},
    plan::{
        Anchor, Delivered, Record, RenderedTemplate, SecretSeen, current_secret,
        status::{self, Tried},
    },
    secret::{Credential, Write},
};

/// Writes a status, conditional.
///
/// # Errors
/// When the API server does not answer or refuses; 409 when the object is another by now.
pub async fn write_status(
    ctx: &Context,
    object: &PersonalClient,
    at: &Anchor,
    status: &PersonalClientStatus,
) -> Result<PersonalClient, Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let before = serde_json::to_value(&object.status).unwrap_or_default();
    let after = serde_json::to_value(status).unwrap_or_default();
    let patch = json!({
        "metadata": {"uid": at.uid, "resourceVersion": at.resource_version},
        "status": merge_patch(&before, &after),
    });
    let api: Api<PersonalClient> = Api::namespaced(ctx.client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let patch = Patch::Merge(patch);
    let call = api.patch_status(&name, &params, &patch);
    let written = kubernetes("write the status of", &format!("PersonalClient {namespace}/{name}"), call).await?;
    ctx.memory.wrote(&at.uid, written.metadata.resource_version.as_deref());
    Ok(written)
}

/// Writes metadata of the object, conditional.
pub(super) async fn patch_metadata(
    ctx: &Context,
    object: &PersonalClient,
    action: &'static str,
    at: &Anchor,
    mut metadata: Value,
) -> Result<PersonalClient, Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    metadata["uid"] = json!(at.uid);
    metadata["resourceVersion"] = json!(at.resource_version);
    let api: Api<PersonalClient> = Api::namespaced(ctx.client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let patch = Patch::Merge(json!({"metadata": metadata}));
    kubernetes(action, &format!("PersonalClient {namespace}/{name}"), api.patch(&name, &params, &patch)).await
}

/// Puts the finalizer back.
///
/// # Errors
/// As [`write_status`].
pub async fn add_finalizer(ctx: &Context, object: &PersonalClient) -> Result<(), Error> {
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER.into());
    reach(FaultPoint::Before(EffectKind::AddFinalizer));
    let at = Anchor::of(object);
    let written =
        patch_metadata(ctx, object, "put the finalizer back on", &at, json!({"finalizers": finalizers})).await?;
    ctx.memory.wrote(&at.uid, written.metadata.resource_version.as_deref());
    reach(FaultPoint::After(EffectKind::AddFinalizer));
    Ok(())
}

/// Deletes a client at C1, and remembers how that went. `false`: there was none to delete.
///
/// # Errors
/// When C1 did not confirm.
pub(super) async fn delete_client(
    ctx: &Context,
    object: &PersonalClient,
    (issuer, session): (&Issuer, &Session),
    id: &str,
) -> Result<bool, c1::Error> {
    let result = issuer.delete(session, id).await;
    ctx.memory.with(&object.uid().unwrap_or_default(), |known| {
        match result {
            Err(_) => drop(known.undeleted.insert(id.to_owned(), BootInstant::now())),
            Ok(_) => drop(known.undeleted.remove(id)),
        }
        if let Ok(true) = result {
            known.deleted.insert(id.to_owned());
        }
    });
    if let Ok(true) = result {
        ctx.metrics.client_deleted();
    }
    result
}

/// Makes a Secret ours whose owner does not live any more.
///
/// # Errors
/// As [`write_status`].
pub async fn claim(ctx: &Context, object: &PersonalClient, seen: &SecretSeen) -> Result<(), Error> {
    let Some(mut delivered) = seen.delivered.clone() else { return Ok(()) };
    delivered.owner.uid = object.uid().unwrap_or_default();
    // What stood on the object before it had a credential asks for nothing more.
    delivered.answers = object.rotate_request();
    let namespace = object.namespace().unwrap_or_default();
    let text = serde_json::to_string(&delivered).unwrap_or_default();
    reach(FaultPoint::Before(EffectKind::Claim));
    let name = current_secret(object, &Record::of(object));
    let call = ctx.secrets.annotate(&namespace, &name, seen, json!({DELIVERED_ANNOTATION: text}));
    kubernetes("take over the Secret of", &format!("PersonalClient {namespace}/{}", object.name_any()), call).await?;
    reach(FaultPoint::After(EffectKind::Claim));
    Ok(())
}

/// Renders a Secret anew from the credential that it holds.
///
/// # Errors
/// As [`write_status`]; also when it does not hold that credential any more.
pub async fn render(ctx: &Context, object: &PersonalClient) -> Result<(), Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), current_secret(object, &Record::of(object)));
    let what = format!("PersonalClient {namespace}/{}", object.name_any());
    let Some(read) = kubernetes("read the Secret of", &what, ctx.secrets.read(&namespace, &name)).await? else {
        return Ok(());
    };
    let seen = crate::secret::seen(&read.metadata);
    let (Some(delivered), Some(credential)) = (&seen.delivered, read.credential()) else { return Ok(()) };
    if credential.digest() != delivered.data_digest {
        return Ok(());
    }
    let mut delivered = delivered.clone();
    // What stands in the annotation may not be so: somebody has made the Secret anew.
    delivered.template.type_.clone_from(&read.type_);
    delivered.template = RenderedTemplate::of(object.spec.secret_template.as_ref(), Some(&delivered.template));
    reach(FaultPoint::Before(EffectKind::Render));
    write_secret(ctx, object, &name, (&credential, &delivered), Some(&seen), false).await?;
    reach(FaultPoint::After(EffectKind::Render));
    Ok(())
}

/// Writes the record.
///
/// # Errors
/// As [`write_status`].
pub(super) async fn write_record(ctx: &Context, object: &PersonalClient, record: &Record) -> Result<(), Error> {
    let (text, at) = (serde_json::to_string(record).unwrap_or_default(), Anchor::of(object));
    reach(FaultPoint::Before(EffectKind::Burn));
    let metadata = json!({"annotations": {RECORD_ANNOTATION: text}});
    let written = patch_metadata(ctx, object, "write the record of", &at, metadata).await?;
    ctx.memory.wrote(&at.uid, written.metadata.resource_version.as_deref());
    reach(FaultPoint::After(EffectKind::Burn));
    Ok(())
}

/// Writes a credential into the Secret of this name, conditional.
///
/// # Errors
/// As [`write_status`].
pub(super) async fn write_secret(
    ctx: &Context,
    object: &PersonalClient,
    name: &str,
    (credential, delivered): (&Credential, &Delivered),
    over: Option<&SecretSeen>,
    dry_run: bool,
) -> Result<Anchor, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let what = format!("PersonalClient {namespace}/{}", object.name_any());
    let template = object.spec.secret_template.as_ref();
    let data = credential
        .render(template, &delivered.client)
        .map_err(|e| Error::Secret { object: what.clone(), message: e.to_string() })?;
    let write = Write { namespace: &namespace, name, template, delivered, data: &data, over };
    let metadata = kubernetes("write the Secret of", &what, ctx.secrets.write(&write, dry_run)).await?;
    Ok(Anchor {
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
    })
}

pub(super) fn credential(delivered: &Delivered, client_secret: SecretString) -> Credential {
    let host = &delivered.client.host;
    Credential {
        client_id: delivered.client.client_id.clone(),
        client_secret,
        token_url: format!("https://{host}/auth/v1/token"),
        server_url: format!("https://{host}"),
    }
}

/// The smallest merge patch (RFC 7396) that makes `after` of `before`.
#[must_use]
pub fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let mut patch = serde_json::Map::new();
    for key in old.keys().filter(|k| !new.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(same) if same == value => {}
            Some(other) => drop(patch.insert(key.clone(), merge_patch(other, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(patch)
}

/// The status after a failed attempt, made for the object as it was then, and written on the object as it is now; `None`:
/// nothing new is to be said. A conflict is no loss: the next attempt says it.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn record_failure(
    ctx: &Context,
    (object, tried): (&PersonalClient, &Tried),
    reason: Reason,
    message: &str,
) -> Result<Option<(PersonalClient, PersonalClientStatus)>, Error> {
    let Some(object) = observe::read_object(ctx, object).await? else { return Ok(None) };
    let status = status::failure(&object, tried, reason, message, ctx.clock.now());
    if status == object.status_or_default() {
        return Ok(None);
    }
    reach(FaultPoint::Before(EffectKind::UpdateStatus));
    write_status(ctx, &object, &Anchor::of(&object), &status).await?;
    reach(FaultPoint::After(EffectKind::UpdateStatus));
    Ok(Some((object, status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_says_only_what_changes() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 1});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [2], "g": null});
        assert_eq!(merge_patch(&before, &after), json!({"b": {"d": 3}, "e": [2], "f": null, "g": null}));
        assert_eq!(merge_patch(&after, &after), json!({}));
    }
}
