//! The only place with side effects. Each is conditional on what was seen, has a deadline, and is sent once: after a lost
//! answer the world is read, never the request repeated.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    context::Context,
    error::{Error, kubernetes},
    issuers::{Issuer, IssuerKey},
    observe,
};
use crate::{
    api::{
        DELIVERED_ANNOTATION, FENCE_ANNOTATION, FIELD_MANAGER, FINALIZER, PersonalClient, PersonalClientStatus,
        RECORD_ANNOTATION, Reason,
    },
    c1::{self, Certainty, CreateRequest},
    fault::{EffectKind, FaultPoint, reach},
    plan::{
        Anchor, Answer, Delivered, Effect, Flight, Guards, Identity, Next, Outcome, Record, SecretSeen, SecretView,
        next, status,
    },
    secret::{Credential, Write},
};

/// Pause between tries of one transaction: a tenth of a second, doubling to two.
const SHORTEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
/// What a maker whose budget is over has left to delete its client.
const CLEAN_UP: std::time::Duration = std::time::Duration::from_secs(20);

/// A transaction on one object. The client secret lives here between its create and its delivery, and nowhere else.
pub struct Pilot<'a> {
    ctx: &'a Context,
    object: PersonalClient,
    issuer: Option<std::sync::Arc<Issuer>>,
    /// As whom it was decided to call C1: as another user its answers mean something else.
    identity: Option<Identity>,
    secret: Option<SecretString>,
}

impl<'a> Pilot<'a> {
    /// For this object, as it was read.
    #[must_use]
    pub fn new(ctx: &'a Context, object: PersonalClient, identity: Option<Identity>) -> Self {
        let key = IssuerKey::of(&object.issuer_ref(), &object.namespace().unwrap_or_default());
        Self { issuer: ctx.issuers.get(&key), ctx, object, identity, secret: None }
    }

    /// Runs a transaction to its end, within the budget. When that is over it is told so once, and has a little more time to
    /// clean up after itself.
    pub async fn fly(mut self, (mut flight, mut effect): Next) -> Outcome {
        let mut deadline = Instant::now() + self.ctx.config.timing.budget;
        let mut extended = false;
        let mut pause = SHORTEST_PAUSE;
        while let Some(wanted) = effect {
            let answer = if Instant::now() < deadline {
                self.perform(wanted).await
            } else {
                if !extended {
                    (extended, deadline) = (true, Instant::now() + CLEAN_UP);
                }
                Answer::OutOfTime
            };
            if matches!(answer, Answer::Unknown { .. }) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            (flight, effect) = next(flight, answer, self.ctx.clock.now(), &Guards::ALL);
        }
        match flight {
            Flight::Landed(outcome) => *outcome,
            // `next` wants nothing more only of what has landed.
            _ => Outcome::LookAgain { unsent: false },
        }
    }

    async fn perform(&mut self, effect: Effect) -> Answer {
        let kind = match &effect {
            Effect::Preflight { .. } => EffectKind::Preflight,
            Effect::Intend { .. } => EffectKind::Intend,
            Effect::Create(_) => EffectKind::Create,
            Effect::Deliver { .. } => EffectKind::Deliver,
            Effect::Record { .. } => EffectKind::Record,
            Effect::Burn { .. } => EffectKind::Burn,
            Effect::Fence { .. } => EffectKind::Fence,
            Effect::DeleteClient { .. } => EffectKind::DeleteClient,
            Effect::DeleteSecret { .. } => EffectKind::DeleteSecret,
            Effect::RemoveFinalizer { .. } => EffectKind::RemoveFinalizer,
            Effect::ReadSecret => return self.read_secret().await,
            Effect::ReadObject => return self.read_object().await,
        };
        reach(FaultPoint::Before(kind));
        let answer = match effect {
            Effect::Preflight { roles, secret } => self.preflight(&roles, secret.as_deref()).await,
            Effect::Intend { at, record } => self.intend(&at, &record).await,
            Effect::Create(request) => self.create(&request).await,
            Effect::Deliver { delivered, over } => self.deliver(*delivered, over.as_deref()).await,
            Effect::Record { at, status } => self.record(&at, &status).await,
            Effect::Burn { at, record } => self.write_record(&at, &record, None).await,
            Effect::Fence { over, attempt } => self.fence(&over, &attempt).await,
            Effect::DeleteClient { id } => self.delete_client(&id).await,
            Effect::DeleteSecret { name, at } => self.delete_secret(&name, &at).await,
            Effect::RemoveFinalizer { at } => self.remove_finalizer(&at).await,
            Effect::ReadSecret | Effect::ReadObject => Answer::Conflict,
        };
        reach(FaultPoint::After(kind));
        answer
    }

    fn namespace(&self) -> String {
        self.object.namespace().unwrap_or_default()
    }

    fn name(&self) -> String {
        format!("{}/{}", self.namespace(), self.object.name_any())
    }

    async fn read_secret(&self) -> Answer {
        match observe::read_secret(self.ctx, &self.object).await {
            SecretView::Unknown(message) => Answer::Unknown { reason: Reason::Unreachable, message },
            secret => Answer::Secret(secret),
        }
    }

    async fn read_object(&self) -> Answer {
        match observe::read_object(self.ctx, &self.object).await {
            Ok(object) => Answer::Object(object.map(Box::new)),
            Err(error) => lost(&error),
        }
    }

    /// Resolves the roles, and tries the write of the Secret without writing it: with a placeholder of the size of a secret.
    async fn preflight(&self, roles: &[String], over: Option<&SecretSeen>) -> Answer {
        let session = match self.session() {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let ids = match session.role_ids(roles).await {
            Ok(Ok(ids)) => ids,
            Ok(Err(role)) => {
                let message = format!("role {role} does not exist at {}", session.host());
                return Answer::Refused { reason: Reason::RoleNotFound, message };
            }
            Err(error) => return refused(&error),
        };
        let placeholder = "x".repeat(205);
        let delivered = self.placeholder(session.host());
        let credential = credential(&delivered, placeholder.into());
        match self.write(&credential, &delivered, over, true).await {
            Ok(_) => Answer::Ids(ids),
            Err(error) => match write_answer(&error, self.object.secret_name()) {
                Answer::Conflict | Answer::Gone if over.is_some() => Answer::Conflict,
                answer => answer,
            },
        }
    }

    /// Like what will be delivered, in shape and size.
    fn placeholder(&self, host: &str) -> Delivered {
        let text = "x".repeat(40);
        let client = c1::Client { id: text.clone(), client_id: format!("{text}@{host}/pcc"), ..Default::default() };
        Delivered {
            owner: crate::plan::SecretOwner {
                namespace: self.namespace(),
                name: self.object.name_any(),
                uid: text.clone(),
            },
            cluster: self.ctx.config.cluster.clone(),
            client: client.issued(&text, &self.object.issuer_ref(), host),
            asked: text.clone(),
            data_digest: text,
            template: crate::plan::RenderedTemplate::default(),
            replaces: vec![],
        }
    }

    async fn intend(&self, at: &Anchor, record: &Record) -> Answer {
        let attempt = record.open.as_ref().map(|o| o.attempt.clone());
        // From here on, until the create is sent, this process knows that nothing was sent.
        self.ctx.memory.with(&at.uid, |known| known.unsent = attempt);
        let mut finalizers = self.object.metadata.finalizers.clone().unwrap_or_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        self.write_record(at, record, Some(finalizers)).await
    }

    async fn write_record(&self, at: &Anchor, record: &Record, finalizers: Option<Vec<String>>) -> Answer {
        let Ok(text) = serde_json::to_string(record) else { return Answer::Conflict };
        let mut metadata = json!({"annotations": {RECORD_ANNOTATION: text}});
        if let Some(finalizers) = finalizers {
            metadata["finalizers"] = json!(finalizers);
        }
        self.patch_object("write the record of", at, metadata).await
    }

    async fn patch_object(&self, action: &'static str, at: &Anchor, metadata: Value) -> Answer {
        match patch_metadata(self.ctx, &self.object, action, at, metadata).await {
            Ok(object) => {
                self.ctx.memory.wrote(&at.uid, object.metadata.resource_version.as_deref());
                Answer::Done(anchor(&object))
            }
            Err(error) => object_answer(&error),
        }
    }

    async fn create(&mut self, request: &CreateRequest) -> Answer {
        let session = match self.session() {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let uid = self.object.uid().unwrap_or_default();
        let unsent = self.ctx.memory.with(&uid, |known| known.unsent.take());
        match session.create(request).await {
            Ok(created) => {
                self.secret = Some(created.secret);
                Answer::Created(Box::new(created.client))
            }
            Err(error) => {
                tracing::warn!(object = self.name(), %error, "create failed");
                match error.certainty() {
                    Certainty::NoEffect => {
                        self.ctx.memory.with(&uid, |known| known.unsent = unsent);
                        refused(&error)
                    }
                    Certainty::Unknown => {
                        Answer::Unknown { reason: error.reason(), message: error.kind.for_condition() }
                    }
                }
            }
        }
    }

    async fn deliver(&self, mut delivered: Delivered, over: Option<&SecretSeen>) -> Answer {
        let Some(secret) = &self.secret else {
            let message = "the client secret is not in memory".to_owned();
            return Answer::Refused { reason: Reason::SecretLost, message };
        };
        let credential = credential(&delivered, secret.clone());
        delivered.data_digest = credential.digest();
        match self.write(&credential, &delivered, over, false).await {
            Ok(anchor) => Answer::Done(anchor),
            Err(error) => {
                tracing::warn!(object = self.name(), %error, "delivery failed");
                write_answer(&error, self.object.secret_name())
            }
        }
    }

    async fn write(
        &self,
        credential: &Credential,
        delivered: &Delivered,
        over: Option<&SecretSeen>,
        dry_run: bool,
    ) -> Result<Anchor, Error> {
        write_secret(self.ctx, &self.object, credential, delivered, over, dry_run).await
    }

    async fn record(&self, at: &Anchor, status: &PersonalClientStatus) -> Answer {
        match write_status(self.ctx, &self.object, at, status).await {
            Ok(object) => Answer::Done(anchor(&object)),
            Err(error) => object_answer(&error),
        }
    }

    async fn fence(&self, over: &SecretSeen, attempt: &str) -> Answer {
        let (namespace, name) = (self.namespace(), self.object.secret_name());
        let annotations = json!({FENCE_ANNOTATION: attempt});
        let call = self.ctx.secrets.annotate(&namespace, name, over, annotations);
        match kubernetes("fence Secret of", &self.name(), call).await {
            Ok(metadata) => Answer::Done(Anchor {
                uid: metadata.uid.unwrap_or_default(),
                resource_version: metadata.resource_version.unwrap_or_default(),
            }),
            Err(error) => write_answer(&error, name),
        }
    }

    async fn delete_client(&self, id: &str) -> Answer {
        let (session, issuer) = match (self.session(), &self.issuer) {
            (Ok(session), Some(issuer)) => (session, issuer),
            (Err(answer), _) => return answer,
            (_, None) => return Answer::Conflict,
        };
        match issuer.delete(&session, id).await {
            Ok(true) => {
                tracing::info!(object = self.name(), client = id, "client deleted at C1");
                self.ctx.metrics.client_deleted();
                Answer::Done(Anchor { uid: id.into(), resource_version: String::new() })
            }
            Ok(false) => Answer::Gone,
            Err(error) => Answer::Unknown {
                reason: error.reason(),
                message: format!("client {id} cannot be revoked: {}", error.kind.for_condition()),
            },
        }
    }

    async fn delete_secret(&self, name: &str, at: &Anchor) -> Answer {
        let namespace = self.namespace();
        let call = self.ctx.secrets.delete(&namespace, name, &at.uid, &at.resource_version);
        match kubernetes("delete Secret of", &self.name(), call).await {
            Ok(()) => Answer::Done(at.clone()),
            Err(error) => write_answer(&error, name),
        }
    }

    async fn remove_finalizer(&self, at: &Anchor) -> Answer {
        let finalizers: Vec<&String> =
            self.object.metadata.finalizers.iter().flatten().filter(|f| *f != FINALIZER).collect();
        self.patch_object("remove the finalizer of", at, json!({"finalizers": finalizers})).await
    }

    fn session(&self) -> Result<std::sync::Arc<c1::Session>, Answer> {
        let state = self.issuer.as_ref().map(|i| i.state()).unwrap_or_default();
        let session = state.session.filter(|_| self.identity.is_some() && state.identity == self.identity);
        session.ok_or_else(|| Answer::Refused {
            reason: Reason::IssuerNotReady,
            message: format!("{} is not connected, or as another user than before", self.object.issuer_ref()),
        })
    }
}

// --- the single steps -----------------------------------------------------------------------------------------------

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
async fn patch_metadata(
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
    let at = anchor(object);
    let written =
        patch_metadata(ctx, object, "put the finalizer back on", &at, json!({"finalizers": finalizers})).await?;
    ctx.memory.wrote(&at.uid, written.metadata.resource_version.as_deref());
    reach(FaultPoint::After(EffectKind::AddFinalizer));
    Ok(())
}

/// Makes a Secret ours whose owner does not live any more.
///
/// # Errors
/// As [`write_status`].
pub async fn claim(ctx: &Context, object: &PersonalClient, seen: &SecretSeen) -> Result<(), Error> {
    let Some(mut delivered) = seen.delivered.clone() else { return Ok(()) };
    delivered.owner.uid = object.uid().unwrap_or_default();
    let namespace = object.namespace().unwrap_or_default();
    let text = serde_json::to_string(&delivered).unwrap_or_default();
    reach(FaultPoint::Before(EffectKind::Claim));
    let call = ctx.secrets.annotate(&namespace, object.secret_name(), seen, json!({DELIVERED_ANNOTATION: text}));
    kubernetes("take over the Secret of", &format!("PersonalClient {namespace}/{}", object.name_any()), call).await?;
    reach(FaultPoint::After(EffectKind::Claim));
    Ok(())
}

/// Renders a Secret anew from the credential that it holds.
///
/// # Errors
/// As [`write_status`]; also when it does not hold that credential any more.
pub async fn render(ctx: &Context, object: &PersonalClient) -> Result<(), Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.secret_name());
    let what = format!("PersonalClient {namespace}/{}", object.name_any());
    let Some(read) = kubernetes("read the Secret of", &what, ctx.secrets.read(&namespace, name)).await? else {
        return Ok(());
    };
    let seen = crate::secret::seen(&read.metadata);
    let (Some(delivered), Some(credential)) = (&seen.delivered, read.credential()) else { return Ok(()) };
    if credential.digest() != delivered.data_digest {
        return Ok(());
    }
    let template = object.spec.secret_template.as_ref();
    let keys = |map: Option<&std::collections::BTreeMap<String, String>>| {
        map.into_iter().flatten().map(|(k, _)| k.clone()).collect()
    };
    let mut delivered = delivered.clone();
    delivered.template = crate::plan::RenderedTemplate {
        digest: crate::plan::template_digest(template),
        labels: keys(template.and_then(|t| t.labels.as_ref())),
        annotations: keys(template.and_then(|t| t.annotations.as_ref())),
    };
    reach(FaultPoint::Before(EffectKind::Render));
    write_secret(ctx, object, &credential, &delivered, Some(&seen), false).await?;
    reach(FaultPoint::After(EffectKind::Render));
    Ok(())
}

async fn write_secret(
    ctx: &Context,
    object: &PersonalClient,
    credential: &Credential,
    delivered: &Delivered,
    over: Option<&SecretSeen>,
    dry_run: bool,
) -> Result<Anchor, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let what = format!("PersonalClient {namespace}/{}", object.name_any());
    let template = object.spec.secret_template.as_ref();
    let data = credential
        .render(template, &delivered.client)
        .map_err(|e| Error::Secret { object: what.clone(), message: e.to_string() })?;
    let write = Write { namespace: &namespace, name: object.secret_name(), template, delivered, data: &data, over };
    let metadata = kubernetes("write the Secret of", &what, ctx.secrets.write(&write, dry_run)).await?;
    Ok(Anchor {
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
    })
}

fn credential(delivered: &Delivered, client_secret: SecretString) -> Credential {
    let host = &delivered.client.host;
    Credential {
        client_id: delivered.client.client_id.clone(),
        client_secret,
        token_url: format!("https://{host}/auth/v1/token"),
        server_url: format!("https://{host}"),
    }
}

/// UID and version of an object.
#[must_use]
pub fn anchor(object: &PersonalClient) -> Anchor {
    Anchor { uid: object.uid().unwrap_or_default(), resource_version: object.resource_version().unwrap_or_default() }
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

// --- answers --------------------------------------------------------------------------------------------------------

fn refused(error: &c1::Error) -> Answer {
    Answer::Refused { reason: error.reason(), message: format!("C1 ({}): {}", error.host, error.kind.for_condition()) }
}

fn lost(error: &Error) -> Answer {
    Answer::Unknown { reason: Reason::Unreachable, message: error.to_string() }
}

/// What the API server's answer to a write of the object means.
fn object_answer(error: &Error) -> Answer {
    match error.status() {
        Some(status) if status.is_conflict() => Answer::Conflict,
        Some(status) if status.is_not_found() => Answer::Gone,
        // 422: another UID, a finalizer added to an object that is being deleted, or a policy that says no. Only a read tells.
        Some(status) if status.is_invalid() => lost(error),
        Some(status) if (400..500).contains(&status.code) && status.code != 429 && status.code != 408 => {
            Answer::Refused { reason: Reason::SecretRefused, message: status.message.clone() }
        }
        _ => lost(error),
    }
}

/// What the API server's answer to a write of the Secret means.
fn write_answer(error: &Error, name: &str) -> Answer {
    if let Error::Secret { message, .. } = error {
        return Answer::Refused { reason: Reason::RequestRejected, message: format!("spec.secretTemplate: {message}") };
    }
    match error.status() {
        Some(status) if status.is_conflict() || status.is_already_exists() => Answer::Conflict,
        Some(status) if status.is_not_found() => Answer::Gone,
        Some(status) if (400..500).contains(&status.code) && status.code != 429 && status.code != 408 => {
            Answer::Refused {
                reason: Reason::SecretRefused,
                message: format!("Secret {name} cannot be written: {}", status.message),
            }
        }
        _ => lost(error),
    }
}

/// The status after a failed attempt, written on the object as it is now; `None`: nothing new is to be said. A conflict is no
/// loss: the next attempt says it.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn record_failure(
    ctx: &Context,
    object: &PersonalClient,
    reason: Reason,
    message: &str,
) -> Result<Option<(PersonalClient, PersonalClientStatus)>, Error> {
    let Some(object) = observe::read_object(ctx, object).await? else { return Ok(None) };
    let (base, generation, now) =
        (object.status_or_default(), object.metadata.generation.unwrap_or_default(), ctx.clock.now());
    let status = if object.metadata.deletion_timestamp.is_some() {
        status::not_ready(&base, Reason::RevocationBlocked, message, generation, now)
    } else {
        status::failed(&base, reason, message, generation, now)
    };
    if status == base {
        return Ok(None);
    }
    reach(FaultPoint::Before(EffectKind::UpdateStatus));
    write_status(ctx, &object, &anchor(&object), &status).await?;
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
