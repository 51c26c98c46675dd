//! The reconcile of a `PersonalClient`: look, ask, do one thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kube::{
    Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{controller::Action, events::EventType},
};

use super::{
    act,
    context::{Context, PUT_BACK_PAUSE, RENDER_PAUSE, Refused},
    error::Error,
    issuers::IssuerKey,
    observe,
    pilot::{Pilot, write_answer},
    restart,
};
use crate::{
    api::{ConditionType, IssuerRef, PersonalClient, PersonalClientStatus, Reason, condition::find},
    c1::{self, Field},
    clock::{BootInstant, LONGEST_SLEEP},
    fault::{EffectKind, FaultPoint, reach},
    plan::{
        Abandon, AbandonStep, Anchor, Answer, ClientRead, Guards, Issue, LOOK_AGAIN, Look, Next, Observed, Outcome,
        Plan, Record, Relocate, Remove, Step, Tidy, Update, current_secret, plan,
        status::{self, Tried},
    },
};

/// How often evidence is fetched for one decision before it is put off.
const MOST_LOOKS: usize = 64;
/// After a write of ours, should its own event not come.
const SOON: Duration = Duration::from_secs(2);

/// Looks at one object and does the one thing that is to be done.
///
/// # Errors
/// When the API server or C1 keeps it from deciding; see [`error_policy`].
pub async fn reconcile(object: Arc<DeserializeGuard<PersonalClient>>, ctx: Arc<Context>) -> Result<Action, Error> {
    if !ctx.is_filled().await {
        return Ok(Action::await_change());
    }
    let cached = match &object.0 {
        Ok(object) => object,
        Err(error) => {
            tracing::error!(object = error.metadata.name, %error, "PersonalClient cannot be read");
            return Ok(Action::await_change());
        }
    };
    let uid = cached.uid().unwrap_or_default();
    if ctx.memory.is_stale(&uid, cached.metadata.resource_version.as_deref()) {
        return Ok(Action::requeue(SOON));
    }
    let observed = observe::cached(&ctx, cached);
    let decision = plan(&observed, ctx.clock.now(), &Guards::ALL);
    match decision.step {
        Step::Nothing => {
            ctx.memory.with(&uid, |known| known.failures = 0);
            Ok(wake(&ctx, &decision))
        }
        // After a conflict, or a refusal, the caches may have missed something, which only a look can tell.
        Step::Issue(_) if observed.is_untouched() && ctx.memory.with(&uid, |known| known.failures == 0) => {
            take(&ctx, observed, &decision).await
        }
        _ => pursue(&ctx, cached).await,
    }
}

/// After an error: a second, doubling to five minutes, spread a little.
#[allow(clippy::needless_pass_by_value)] // kube's signature
pub fn error_policy(object: Arc<DeserializeGuard<PersonalClient>>, error: &Error, ctx: Arc<Context>) -> Action {
    ctx.metrics.reconcile_failed(error.category());
    tracing::warn!(object = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()), %error, "reconcile failed");
    Action::requeue(pause(&ctx, &object.meta().uid.clone().unwrap_or_default()))
}

/// The next pause of an object whose looks came to nothing.
fn pause(ctx: &Context, uid: &str) -> Duration {
    let failures = ctx.memory.with(uid, |known| {
        known.failures = known.failures.saturating_add(1);
        known.failures
    });
    let pause = Duration::from_secs(1 << (failures - 1).min(9)).min(Duration::from_mins(5));
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    pause + pause / 4 * u32::from(byte[0]) / 255
}

fn wake(ctx: &Context, decision: &Plan) -> Action {
    Action::requeue(decision.wake.map_or(LONGEST_SLEEP, |time| ctx.clock.until(time)))
}

/// Reads object and Secret from the API server, decides anew, and fetches evidence until there is something to do.
async fn pursue(ctx: &Arc<Context>, cached: &PersonalClient) -> Result<Action, Error> {
    let mut reads = BTreeMap::new();
    let mut listed = BTreeSet::new();
    let mut failed: Vec<(Look, Error)> = vec![];
    let as_of = ctx.clock.now();
    for _ in 0..MOST_LOOKS {
        let Some(observed) = observe::live(ctx, cached, reads.clone(), (listed.clone(), as_of)).await? else {
            return Ok(Action::await_change());
        };
        let decision = plan(&observed, ctx.clock.now(), &Guards::ALL);
        match &decision.step {
            Step::Nothing => return failed.pop().map_or_else(|| Ok(wake(ctx, &decision)), |(_, error)| Err(error)),
            Step::Look(look) if failed.iter().any(|(asked, _)| asked == look) => {
                let (_, error) = failed.swap_remove(failed.iter().position(|(asked, _)| asked == look).unwrap_or(0));
                return Err(error);
            }
            Step::Look(look) => match ask(ctx, &observed, look, &mut reads).await {
                Err(Error::C1(error)) if observed.object.metadata.deletion_timestamp.is_some() => {
                    let message = format!("C1 ({}): {}", error.host, error.kind.for_condition());
                    if let Some((before, status)) =
                        act::record_failure(ctx, (cached, &Tried::of(cached)), error.reason(), &message).await?
                    {
                        tell_change(ctx, &before, &status).await;
                    }
                    return Err(error.into());
                }
                // What does not need it is done now: by the next look, after a pause, it would have to be asked again.
                Err(error) => failed.push((look.clone(), error)),
                Ok(()) => {
                    if let Look::List(at) = look {
                        listed.insert(at.clone());
                    }
                }
            },
            _ => {
                let action = take(ctx, observed, &decision).await?;
                return Ok(action);
            }
        }
    }
    Err(Error::Restless(format!("PersonalClient {}/{}", cached.namespace().unwrap_or_default(), cached.name_any())))
}

/// Fetches evidence, and remembers what C1 did not tell: what does not need it goes first the next time.
async fn ask(
    ctx: &Context,
    observed: &Observed,
    look: &Look,
    reads: &mut BTreeMap<String, ClientRead>,
) -> Result<(), Error> {
    let fetched = fetch(ctx, observed, look, reads).await;
    ctx.memory.with(&observed.object.uid().unwrap_or_default(), |known| {
        known.failed_looks.retain(|(failed, at)| failed != look && at.elapsed() < LOOK_AGAIN);
        if fetched.is_err() {
            known.failed_looks.push((look.clone(), BootInstant::now()));
        }
    });
    fetched
}

async fn fetch(
    ctx: &Context,
    observed: &Observed,
    look: &Look,
    reads: &mut BTreeMap<String, ClientRead>,
) -> Result<(), Error> {
    let namespace = observed.object.namespace().unwrap_or_default();
    let issuer = |at: &IssuerRef| ctx.issuers.entry(&IssuerKey::of(at, &namespace));
    match look {
        // The next round reads it anyway.
        Look::Live => {}
        Look::List(at) => drop(issuer(at).list_since(BootInstant::now(), &*ctx.clock).await?),
        Look::Client(id) => {
            let at = observed.caller(id).map_or_else(|| observed.object.issuer_ref(), |(at, _)| at);
            let session = issuer(&at).state().session.ok_or_else(c1::Error::not_connected)?;
            let read = session.get(id).await?.map_or(ClientRead::Gone, |client| ClientRead::Live(Box::new(client)));
            reads.insert(id.clone(), read);
        }
    }
    Ok(())
}

/// Does the one thing.
async fn take(ctx: &Arc<Context>, observed: Observed, decision: &Plan) -> Result<Action, Error> {
    if !ctx.may_begin() {
        return Ok(Action::requeue(SOON));
    }
    let object = observed.object.clone();
    let pilot = |secret_name: &str| Pilot::new(ctx.clone(), &observed, secret_name.to_owned());
    let current = || current_secret(&object, &Record::of(&object));
    let tried = decision.step.tried(&object);
    match &decision.step {
        Step::Nothing | Step::Look(_) => {}
        Step::UpdateStatus(wanted) => {
            update_status(ctx, &object, wanted).await?;
            // What follows is decided when the cache has seen it.
            return Ok(decision.wake.map_or(Action::requeue(SOON), |_| wake(ctx, decision)));
        }
        Step::AddFinalizer => act::add_finalizer(ctx, &object).await?,
        Step::Claim(seen) => act::claim(ctx, &object, seen).await?,
        Step::Render(_) if !ctx.memory.may_render(&object.uid().unwrap_or_default()) => {
            return Ok(Action::requeue(RENDER_PAUSE));
        }
        Step::Render(_) => render(ctx, &object).await?,
        Step::Restart(step) => {
            let result = restart::restart(ctx, &object, step).await;
            let failed = result.is_err().then(BootInstant::now);
            ctx.memory.with(&object.uid().unwrap_or_default(), |known| known.restart_failed = failed);
            result?;
        }
        Step::Strike(id) => strike(ctx, &object, id, false).await?,
        Step::Revoke(id) => match revoke(ctx, &observed, id).await {
            // What else is to be done goes first the next time, if that is before this is tried again.
            Err(error) if !observed.undeleted.contains(id) => {
                tracing::warn!(object = object.name_any(), client = id, %error, "a replaced client cannot be revoked");
            }
            revoked => revoked?,
        },
        Step::Issue(step) => {
            let start = Issue::start((**step).clone(), object.clone(), observed.cluster.clone(), observed.timing);
            return fly(ctx, (object.clone(), tried), pilot(&step.secret_name), start).await;
        }
        Step::Update(step)
            if !step.edited
                && !step.drifted.is_empty()
                && !ctx.memory.may_put_back(&object.uid().unwrap_or_default()) =>
        {
            return Ok(Action::requeue(PUT_BACK_PAUSE));
        }
        Step::Tidy(step) => {
            let start = Tidy::start((**step).clone(), Anchor::of(&object));
            return fly(ctx, (object.clone(), tried), pilot(&current()), start).await;
        }
        Step::Close(record) => act::write_record(ctx, &object, record).await?,
        Step::Relocate(step) => {
            let start = Relocate::start((**step).clone(), object.clone());
            return fly(ctx, (object.clone(), tried), pilot(&current()), start).await;
        }
        Step::Update(step) => {
            let start = Update::start((**step).clone(), object.clone());
            return fly(ctx, (object.clone(), tried), pilot(&current()), start).await;
        }
        Step::Abandon(step) => {
            return abandon(ctx, step, (&observed, tried), pilot(&step.secret_name)).await;
        }
        Step::Remove(step) => {
            let start = Remove::start(step.clone(), Anchor::of(&object));
            return fly(ctx, (object.clone(), tried), pilot(&current()), start).await;
        }
    }
    Ok(Action::requeue(SOON))
}

/// Deletes a client that nobody can use. Until that is confirmed, whatever stops it, all else goes first.
async fn abandon(
    ctx: &Arc<Context>,
    step: &AbandonStep,
    (observed, tried): (&Observed, Tried),
    pilot: Pilot,
) -> Result<Action, Error> {
    let (uid, id) = (observed.object.uid().unwrap_or_default(), &step.client_id);
    ctx.memory.with(&uid, |known| known.undeleted.insert(id.clone(), BootInstant::now()));
    let action = fly(ctx, (observed.object.clone(), tried), pilot, Abandon::start(step.clone(), None)).await?;
    let stays = ctx.memory.with(&uid, |known| known.undeleted.contains_key(id));
    Ok(if stays && !observed.undeleted.contains(id) { Action::requeue(SOON) } else { action })
}

/// Renders the Secret anew. What the API server refuses is remembered, and said by the next look.
async fn render(ctx: &Context, object: &PersonalClient) -> Result<(), Error> {
    let Err(error) = act::render(ctx, object).await else { return Ok(()) };
    let name = current_secret(object, &Record::of(object));
    let Answer::Refused { message, .. } = write_answer(&error, &name) else { return Err(error) };
    let refused = Refused::now(object, message);
    ctx.memory.with(&object.uid().unwrap_or_default(), |known| known.render_refused = Some(refused));
    Ok(())
}

/// Runs a transaction in a task of its own: neither a shutdown nor the end of this reconcile cancels it while the client
/// secret is only in memory.
async fn fly(
    ctx: &Arc<Context>,
    (object, tried): (PersonalClient, Tried),
    pilot: Pilot,
    start: Next,
) -> Result<Action, Error> {
    let uid = object.uid().unwrap_or_default();
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    ctx.memory.with(&uid, |known| known.in_flight = true);
    let task = {
        let (ctx, object, uid) = (ctx.clone(), object.clone(), uid.clone());
        ctx.clone().tasks.spawn(async move {
            let outcome = pilot.fly(start).await;
            let landed = land(&ctx, (&object, &tried), &outcome).await;
            ctx.memory.with(&uid, |known| known.in_flight = false);
            landed
        })
    };
    task.await.map_err(|_| {
        ctx.memory.with(&uid, |known| known.in_flight = false);
        Error::Task(name)
    })?
}

/// Says what a transaction came to, and when to look again.
async fn land(ctx: &Context, (object, tried): (&PersonalClient, &Tried), outcome: &Outcome) -> Result<Action, Error> {
    let uid = object.uid().unwrap_or_default();
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    // What cannot be revoked is tried less and less often.
    let deleting = object.metadata.deletion_timestamp.is_some();
    if !matches!((outcome, deleting), (Outcome::LookAgain { .. }, _) | (Outcome::Failed { .. }, true)) {
        ctx.memory.with(&uid, |known| known.failures = 0);
    }
    match outcome {
        Outcome::Issued { id, status } => {
            tracing::info!(object = name, client = id, "issued");
            ctx.metrics.client_issued();
            tell(ctx, object, status, ConditionType::Ready).await;
            Ok(Action::requeue(SOON))
        }
        Outcome::Delivered => {
            ctx.metrics.client_issued();
            Ok(Action::requeue(Duration::ZERO))
        }
        Outcome::Failed { reason, message, unsent } => {
            tracing::warn!(object = name, %reason, message, "failed");
            if !unsent {
                ctx.memory.with(&uid, |known| known.unsent = None);
            }
            if let Some((before, status)) = act::record_failure(ctx, (object, tried), *reason, message).await? {
                tell_change(ctx, &before, &status).await;
            }
            Ok(Action::requeue(if deleting { pause(ctx, &uid) } else { SOON }))
        }
        Outcome::LookAgain { .. } => Ok(Action::requeue(pause(ctx, &uid))),
        Outcome::Updated { status, fields, drifted } => {
            tracing::info!(object = name, fields = names(fields), drifted = names(drifted), "changed in place");
            tell_change(ctx, object, status).await;
            tell_update(ctx, object, fields, drifted).await;
            Ok(Action::requeue(SOON))
        }
        Outcome::Tidied { name: secret, uid: of } => {
            // Somebody's finalizer may hold what was deleted already: doing it again and again would hold up all else.
            let again = ctx.memory.with(&uid, |known| {
                let again = known.tidied.replace(of.clone()).as_ref() == Some(of);
                known.tidy_failed = again.then(BootInstant::now);
                again
            });
            if !again {
                tracing::info!(object = name, secret, "former Secret deleted");
            }
            Ok(Action::requeue(SOON))
        }
        Outcome::Untidied { name: secret, message } => {
            tracing::warn!(object = name, secret, message, "a former Secret cannot be deleted");
            ctx.memory.with(&uid, |known| known.tidy_failed = Some(BootInstant::now()));
            let note = format!("Secret {secret} does not count any more, and cannot be deleted: {message}");
            ctx.events.publish(object.object_ref(&()), EventType::Warning, Reason::SecretRefused, "Move", &note).await;
            Ok(Action::requeue(SOON))
        }
        Outcome::Unmoved { message } => {
            tracing::warn!(object = name, message, "the credential cannot be moved");
            let refused = Refused::now(object, message.clone());
            ctx.memory.with(&uid, |known| known.move_refused = Some(refused));
            Ok(Action::requeue(SOON))
        }
        Outcome::Moved { status } => {
            let secret = status.secret_name.as_deref().unwrap_or_default();
            tracing::info!(object = name, secret, "moved to another Secret");
            tell_change(ctx, object, status).await;
            Ok(Action::requeue(SOON))
        }
        Outcome::Abandoned { id } => {
            tracing::warn!(object = name, client = id, "client deleted, because nobody had its secret");
            ctx.metrics.client_abandoned();
            Ok(Action::requeue(Duration::ZERO))
        }
        Outcome::Withdrawn { id } => {
            tracing::info!(object = name, client = id, "client deleted, because its object was, meanwhile");
            Ok(Action::requeue(Duration::ZERO))
        }
        Outcome::Removed { revoked, left_behind } => {
            tracing::info!(object = name, revoked, ?left_behind, "let go");
            if !left_behind.is_empty() {
                ctx.metrics.clients_left_behind(left_behind.len());
                let note = format!("{name} is gone, and these clients stay at C1: {}", left_behind.join(", "));
                ctx.events
                    .publish(namespace_of(object), EventType::Warning, Reason::RevocationBlocked, "Revoke", &note)
                    .await;
            } else if *revoked > 0 {
                let note = format!("{revoked} client(s) revoked at C1");
                ctx.events.publish(object.object_ref(&()), EventType::Normal, Reason::Deleting, "Revoke", &note).await;
            }
            Ok(Action::await_change())
        }
    }
}

/// Events in a namespace that is being deleted are refused: what stays is told on the Namespace itself.
fn namespace_of(object: &PersonalClient) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Namespace".into()),
        name: object.namespace(),
        ..Default::default()
    }
}

async fn update_status(ctx: &Context, object: &PersonalClient, wanted: &PersonalClientStatus) -> Result<(), Error> {
    reach(FaultPoint::Before(EffectKind::UpdateStatus));
    act::write_status(ctx, object, &Anchor::of(object), wanted).await?;
    reach(FaultPoint::After(EffectKind::UpdateStatus));
    tell_change(ctx, object, wanted).await;
    Ok(())
}

/// Events, for what a status says that the one before did not.
async fn tell_change(ctx: &Context, before: &PersonalClient, status: &PersonalClientStatus) {
    let old = before.status_or_default();
    for kind in [ConditionType::Ready, ConditionType::RenewalFailing] {
        let said = |s: &PersonalClientStatus| find(&s.conditions, kind).map(|c| (c.reason.clone(), c.message.clone()));
        if said(&old) != said(status) {
            tell(ctx, before, status, kind).await;
        }
    }
    for client in &status.retiring {
        let told = old.retiring.iter().any(|r| r.id == client.id && r.last_used_at == client.last_used_at);
        if client.last_used_at.is_some() && !told {
            let note = format!(
                "client {} was replaced, and its overlap is over, but it is still used: some consumer has not reread Secret {}",
                client.id,
                status.secret_name.as_deref().unwrap_or_default()
            );
            ctx.events.publish(before.object_ref(&()), EventType::Warning, Reason::StillUsed, "Revoke", &note).await;
        }
    }
}

/// Events, for what was changed in place.
async fn tell_update(ctx: &Context, object: &PersonalClient, fields: &[Field], drifted: &[Field]) {
    let edited: Vec<Field> = fields.iter().filter(|field| !drifted.contains(field)).copied().collect();
    let client = object.status.as_ref().and_then(|s| s.client.as_ref()).map(|c| c.id.clone()).unwrap_or_default();
    if !edited.is_empty() {
        let note = format!("{} of client {client}: changed in place", names(&edited));
        ctx.events.publish(object.object_ref(&()), EventType::Normal, Reason::Updated, "Update", &note).await;
    }
    if !drifted.is_empty() {
        let note = format!("{} of client {client}: somebody had changed it at C1, and it is put back", names(drifted));
        ctx.events.publish(object.object_ref(&()), EventType::Warning, Reason::Drifted, "Update", &note).await;
    }
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(", ")
}

/// An event with what a condition says.
async fn tell(ctx: &Context, object: &PersonalClient, status: &PersonalClientStatus, kind: ConditionType) {
    let Some(condition) = find(&status.conditions, kind) else { return };
    let reason = Reason::ALL.iter().find(|r| r.as_str() == condition.reason).copied().unwrap_or(Reason::Issuing);
    let works = kind == ConditionType::Ready && status::is_ready(status);
    let calm = works || matches!(reason, Reason::Issuing | Reason::Deleting);
    let event = if calm { EventType::Normal } else { EventType::Warning };
    let former = object.status.as_ref().and_then(|s| s.client.as_ref());
    let note = match (&status.client, kind) {
        (_, ConditionType::RenewalFailing) => {
            format!("the credential cannot be replaced or changed: {}", condition.message)
        }
        (Some(client), _) if reason == Reason::Issued => match former.filter(|f| f.id != client.id) {
            Some(former) => format!("{}: client {}, in place of client {}", condition.message, client.id, former.id),
            None => format!("{}: client {}", condition.message, client.id),
        },
        _ => condition.message.clone(),
    };
    ctx.events.publish(object.object_ref(&()), event, reason, "Issue", &note).await;
}

/// Deletes a client whose overlap is over, then strikes it from status.
async fn revoke(ctx: &Context, observed: &Observed, id: &str) -> Result<(), Error> {
    let object = &observed.object;
    let Some((at, identity)) = observed.caller(id) else { return Ok(()) };
    let key = IssuerKey::of(&at, &object.namespace().unwrap_or_default());
    let Some(issuer) = ctx.issuers.get(&key) else { return Ok(()) };
    let state = issuer.state();
    let Some(session) = state.session.filter(|_| state.identity == Some(identity)) else { return Ok(()) };
    reach(FaultPoint::Before(EffectKind::DeleteClient));
    if !ctx.leadership.is_current() {
        return Ok(());
    }
    act::delete_client(ctx, object, (&issuer, &session), id).await?;
    reach(FaultPoint::After(EffectKind::DeleteClient));
    strike(ctx, object, id, true).await
}

async fn strike(ctx: &Context, object: &PersonalClient, id: &str, revoked: bool) -> Result<(), Error> {
    let mut status = object.status_or_default();
    status.retiring.retain(|r| r.id != id);
    update_status(ctx, object, &status).await?;
    let expired = object
        .status
        .iter()
        .flat_map(|s| &s.retiring)
        .any(|r| r.id == id && r.expires_time.as_ref().is_some_and(|t| t.0 <= ctx.clock.now()));
    let (kind, reason, note) = if expired && !revoked {
        (EventType::Normal, Reason::Retired, format!("client {id} was replaced, and has expired"))
    } else if revoked {
        (EventType::Normal, Reason::Retired, format!("client {id} was replaced, and is revoked: its overlap is over"))
    } else {
        let note = format!(
            "client {id} does not carry the operator's marker any more, so it was not revoked: revoke it by hand"
        );
        (EventType::Warning, Reason::RevocationBlocked, note)
    };
    ctx.events.publish(object.object_ref(&()), kind, reason, "Revoke", &note).await;
    Ok(())
}
