//! Flies a transaction: performs the effects that [`crate::plan::next`] wants, and feeds the answers back.

use std::sync::Arc;

use kube::ResourceExt;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    act::{credential, delete_client, patch_metadata, write_secret, write_status},
    context::Context,
    error::{Error, kubernetes},
    issuers::{Issuer, IssuerKey},
    observe,
};
use crate::{
    api::{FENCE_ANNOTATION, FINALIZER, IssuerRef, PersonalClient, PersonalClientStatus, RECORD_ANNOTATION, Reason},
    c1::{self, Certainty, CreateRequest, Field, UpdateRequest},
    clock::BootInstant,
    fault::{EffectKind, FaultPoint, reach},
    plan::{
        Anchor, Answer, Delivered, Effect, Flight, Guards, Identity, Next, Observed, Outcome, Record, RenderedTemplate,
        SecretSeen, SecretView, next,
    },
    secret::{self, Credential},
};

/// Pause between tries of one transaction: a tenth of a second, doubling to two.
const SHORTEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
/// What a maker whose budget is over has left to see what has become of its client, and to delete it.
pub const CLEAN_UP: std::time::Duration = std::time::Duration::from_secs(20);

/// A transaction on one object. The client secret lives here between its create and its delivery, and nowhere else.
pub struct Pilot {
    ctx: Arc<Context>,
    /// On what was decided: the object as it was read, and through which issuer and as whom C1 is called. As another user its
    /// answers mean something else.
    observed: Observed,
    /// The Secret that is delivered to, read and fenced.
    secret_name: String,
    secret: Option<SecretString>,
    /// It has made a client, which is now its own to deliver or to delete, whoever leads.
    maker: bool,
}

impl Pilot {
    /// For what was decided on this, and the Secret that it concerns.
    #[must_use]
    pub fn new(ctx: Arc<Context>, observed: &Observed, secret_name: String) -> Self {
        Self { ctx, observed: observed.clone(), secret_name, secret: None, maker: false }
    }

    /// Runs a transaction to its end, within the budget. When that is over it is told so once, and has a little more time to
    /// clean up after itself.
    pub async fn fly(mut self, (mut flight, mut effect): Next) -> Outcome {
        let mut deadline = BootInstant::now() + self.ctx.config.timing.budget;
        let mut extended = false;
        let mut pause = SHORTEST_PAUSE;
        while let Some(wanted) = effect {
            let over = BootInstant::now() >= deadline;
            if over && !extended {
                (extended, deadline) = (true, BootInstant::now() + CLEAN_UP);
            }
            let goes_on = !over || (flight.cleans_up() && BootInstant::now() < deadline);
            let may_act = self.may_act() && goes_on;
            let answer = if may_act { self.perform(wanted.clone()).await } else { Answer::OutOfTime };
            let unknown = matches!(answer, Answer::Unknown { .. });
            (flight, effect) = next(flight, answer, self.ctx.clock.now(), &Guards::ALL);
            // Whatever the answer was: the same once more is not sent at once.
            if unknown || effect.as_ref() == Some(&wanted) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        match flight {
            Flight::Landed(outcome) => *outcome,
            // `next` wants nothing more only of what has landed.
            _ => Outcome::LookAgain { unsent: false },
        }
    }

    /// Another replica may lead by now; but nobody else can deliver what this one made.
    fn may_act(&self) -> bool {
        self.maker || self.ctx.leadership.is_current()
    }

    async fn perform(&mut self, effect: Effect) -> Answer {
        let kind = match &effect {
            Effect::Preflight { .. } => EffectKind::Preflight,
            Effect::Intend { .. } => EffectKind::Intend,
            Effect::Create(_) => EffectKind::Create,
            Effect::Update(_) => EffectKind::UpdateClient,
            Effect::Deliver { .. } => EffectKind::Deliver,
            Effect::Copy { .. } => EffectKind::Copy,
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
            Effect::Create(request) => {
                self.maker = true;
                self.create(&request).await
            }
            Effect::Update(request) => self.update(request).await,
            Effect::Deliver { delivered, over } => self.deliver(*delivered, over.as_deref()).await,
            Effect::Copy { from, to } => self.copy(&from, &to).await,
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

    fn object(&self) -> &PersonalClient {
        &self.observed.object
    }

    fn namespace(&self) -> String {
        self.object().namespace().unwrap_or_default()
    }

    fn name(&self) -> String {
        format!("{}/{}", self.namespace(), self.object().name_any())
    }

    async fn read_secret(&self) -> Answer {
        match observe::read_secret(&self.ctx, self.object(), &self.secret_name).await {
            SecretView::Unknown(message) => Answer::Unknown { reason: Reason::Unreachable, message },
            secret => Answer::Secret(secret),
        }
    }

    async fn read_object(&self) -> Answer {
        match observe::read_object(&self.ctx, self.object()).await {
            Ok(object) => Answer::Object(object.map(Box::new)),
            Err(error) => lost(&error),
        }
    }

    /// Resolves the roles, and tries the write of the Secret without writing it: with a placeholder of the size of a secret.
    async fn preflight(&self, roles: &[String], over: Option<&SecretSeen>) -> Answer {
        let session = match self.own_session() {
            Ok((session, _)) => session,
            Err(answer) => return answer,
        };
        let ids = match role_ids(&session, roles).await {
            Ok(ids) => ids,
            Err(answer) => return answer,
        };
        let placeholder = "x".repeat(205);
        let delivered = self.placeholder(session.host(), over);
        let credential = credential(&delivered, placeholder.into());
        match self.write(&credential, &delivered, over, true).await {
            Ok(_) => Answer::Ids(ids),
            Err(error) => match write_answer(&error, &self.secret_name) {
                Answer::Conflict | Answer::Gone if over.is_some() => Answer::Conflict,
                answer => answer,
            },
        }
    }

    /// Like what will be delivered, in shape and size.
    fn placeholder(&self, host: &str, over: Option<&SecretSeen>) -> Delivered {
        let text = "x".repeat(40);
        let client = c1::Client { id: text.clone(), client_id: format!("{text}@{host}/pcc"), ..Default::default() };
        Delivered {
            owner: crate::plan::SecretOwner {
                namespace: self.namespace(),
                name: self.object().name_any(),
                uid: text.clone(),
            },
            cluster: self.ctx.config.cluster.clone(),
            client: client.issued(&text, &self.object().issuer_ref(), host, &"x".repeat(67)),
            asked: text.clone(),
            answers: Some("x".repeat(64)),
            data_digest: text,
            template: RenderedTemplate::of(
                self.object().spec.secret_template.as_ref(),
                over.and_then(|seen| seen.delivered.as_ref()).map(|d| &d.template),
            ),
            replaces: vec![],
        }
    }

    async fn intend(&self, at: &Anchor, record: &Record) -> Answer {
        let attempt = record.open.as_ref().map(|o| o.attempt.clone());
        // From here on, until the create is sent, this process knows that nothing was sent.
        self.ctx.memory.with(&at.uid, |known| known.unsent = attempt);
        let mut finalizers = self.object().metadata.finalizers.clone().unwrap_or_default();
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
        match patch_metadata(&self.ctx, self.object(), action, at, metadata).await {
            Ok(object) => {
                self.ctx.memory.wrote(&at.uid, object.metadata.resource_version.as_deref());
                Answer::Done(Anchor::of(&object))
            }
            Err(error) => object_answer(&error),
        }
    }

    async fn create(&mut self, request: &CreateRequest) -> Answer {
        let session = match self.own_session() {
            Ok((session, _)) => session,
            Err(answer) => return answer,
        };
        let uid = self.object().uid().unwrap_or_default();
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

    /// Doing it twice does no harm, so that it is not known whether it took place matters little.
    async fn update(&self, mut request: UpdateRequest) -> Answer {
        let (session, issuer) = match self.own_session() {
            Ok(connected) => connected,
            Err(answer) => return answer,
        };
        if request.fields.contains(&Field::ScopedRoles) {
            request.scoped_roles = match role_ids(&session, &request.scoped_roles).await {
                Ok(ids) => ids,
                Err(answer) => return answer,
            };
        }
        match issuer.change(&session, &request).await {
            Ok(Some(client)) => Answer::Updated(Box::new(client)),
            Ok(None) => Answer::Gone,
            Err(error) => {
                tracing::warn!(object = self.name(), client = request.id, %error, "change failed");
                match error.certainty() {
                    Certainty::NoEffect => refused(&error),
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
                write_answer(&error, &self.secret_name)
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
        let written = (credential, delivered);
        write_secret(&self.ctx, self.object(), &self.secret_name, written, over, dry_run).await
    }

    /// The credential is in memory for as long as this takes, as when a Secret is rendered.
    async fn copy(&self, from: &Anchor, to: &str) -> Answer {
        let (namespace, name) = (self.namespace(), &self.secret_name);
        let read = match kubernetes("read the Secret of", &self.name(), self.ctx.secrets.read(&namespace, name)).await {
            Ok(Some(read)) => read,
            Ok(None) => return Answer::Conflict,
            Err(error) => return lost(&error),
        };
        let seen = secret::seen(&read.metadata);
        let same = (&seen.uid, &seen.resource_version) == (&from.uid, &from.resource_version);
        let (Some(mut delivered), Some(credential), true) = (seen.delivered, read.credential(), same) else {
            return Answer::Conflict;
        };
        if credential.digest() != delivered.data_digest {
            return Answer::Conflict;
        }
        delivered.template = RenderedTemplate::of(self.object().spec.secret_template.as_ref(), None);
        match write_secret(&self.ctx, self.object(), to, (&credential, &delivered), None, false).await {
            Ok(anchor) => Answer::Done(anchor),
            Err(error) => write_answer(&error, to),
        }
    }

    async fn record(&self, at: &Anchor, status: &PersonalClientStatus) -> Answer {
        match write_status(&self.ctx, self.object(), at, status).await {
            Ok(object) => Answer::Done(Anchor::of(&object)),
            Err(error) => object_answer(&error),
        }
    }

    async fn fence(&self, over: &SecretSeen, attempt: &str) -> Answer {
        let (namespace, name) = (self.namespace(), &self.secret_name);
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
        // What it has made itself was not there when it was decided.
        let connected = match self.observed.caller(id) {
            Some((at, identity)) => self.session(&at, Some(&identity)),
            None => self.own_session(),
        };
        let (session, issuer) = match connected {
            Ok(connected) => connected,
            Err(answer) => return answer,
        };
        match delete_client(&self.ctx, self.object(), (&issuer, &session), id).await {
            Ok(true) => {
                tracing::info!(object = self.name(), client = id, "client deleted at C1");
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
            self.object().metadata.finalizers.iter().flatten().filter(|f| *f != FINALIZER).collect();
        self.patch_object("remove the finalizer of", at, json!({"finalizers": finalizers})).await
    }

    /// To the issuer that the object names, as whom it was decided to call it.
    fn own_session(&self) -> Result<(Arc<c1::Session>, Arc<Issuer>), Answer> {
        let identity = self.observed.issuer.as_ref().and_then(|issuer| issuer.identity.as_ref());
        self.session(&self.object().issuer_ref(), identity)
    }

    fn session(&self, at: &IssuerRef, identity: Option<&Identity>) -> Result<(Arc<c1::Session>, Arc<Issuer>), Answer> {
        let issuer = self.ctx.issuers.get(&IssuerKey::of(at, &self.namespace()));
        let connected = issuer.and_then(|issuer| {
            let state = issuer.state();
            let session = state.session.filter(|_| identity.is_some() && state.identity.as_ref() == identity);
            session.map(|session| (session, issuer))
        });
        connected.ok_or_else(|| Answer::Refused {
            reason: Reason::IssuerNotReady,
            message: format!("{at} is not connected, or as another user than before"),
        })
    }
}

/// Roles by id.
async fn role_ids(session: &c1::Session, roles: &[String]) -> Result<Vec<String>, Answer> {
    match session.role_ids(roles).await {
        Ok(Ok(ids)) => Ok(ids),
        Ok(Err(role)) => {
            let message = format!(
                "role {role} does not exist at {}: correct scopedRoles here or in the issuer's defaults",
                session.host()
            );
            Err(Answer::Refused { reason: Reason::RoleNotFound, message })
        }
        Err(error) => Err(refused(&error)),
    }
}

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
pub(super) fn write_answer(error: &Error, name: &str) -> Answer {
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
