//! The issue of one client: `docs/protocol.md`, "The issue".

use k8s_openapi::jiff::Timestamp;

use super::{
    abandon::Abandon,
    flight::{Anchor, Answer, Effect, Flight, Next, Outcome, landed},
    guards::Guards,
    marker,
    moves::mistyped,
    observed::{SecretView, Timing},
    record::{Content, Delivered, Record, RenderedTemplate, SecretOwner, SecretSeen},
    renewal, restart, status,
    step::{AbandonStep, IssueStep, Need},
    wanted::asked,
    withdraw::Withdraw,
};
use crate::{
    api::{IssuedClient, Lifetime, PersonalClient, PersonalClientStatus, Reason, RetiringClient, Rotation},
    c1::{Client, CreateRequest},
};

/// An issue under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    step: IssueStep,
    object: PersonalClient,
    cluster: String,
    timing: Timing,
    /// There was no Secret where it was delivered last.
    made_secret: bool,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Preflight,
    Intend {
        roles: Vec<String>,
    },
    Create {
        at: Anchor,
    },
    /// The answer did not hold the display name as sent: the client goes at once.
    Discard {
        id: String,
    },
    Deliver {
        at: Anchor,
        client: Box<IssuedClient>,
    },
    /// The answer to the delivery was a conflict, or lost: what does the Secret hold?
    ReadBack {
        at: Anchor,
        client: Box<IssuedClient>,
    },
    /// It does not hold ours: is the attempt still ours to deliver?
    ReadObject {
        at: Anchor,
        client: Box<IssuedClient>,
        secret: Option<Box<SecretSeen>>,
    },
    Record {
        secret: Anchor,
        client: Box<IssuedClient>,
    },
    /// The answer to the record was a conflict, or lost: is the object still there?
    Confirm {
        secret: Anchor,
        client: Box<IssuedClient>,
    },
}

impl Issue {
    /// The transaction, and its first effect.
    #[must_use]
    pub fn start(step: IssueStep, object: PersonalClient, cluster: String, timing: Timing) -> Next {
        let effect = Effect::Preflight { roles: step.wanted.scoped_roles.clone(), secret: step.secret.clone() };
        let state = State::Preflight;
        (Flight::Issue(Box::new(Self { step, object, cluster, timing, made_secret: false, state })), Some(effect))
    }

    /// It has, or may have, delivered, and looks what has become of that.
    pub(super) fn looks_back(&self) -> bool {
        matches!(self.state, State::ReadBack { .. } | State::Confirm { .. })
    }

    fn go(mut self: Box<Self>, state: State, effect: Effect) -> Next {
        self.state = state;
        (Flight::Issue(self), Some(effect))
    }

    pub(super) fn next(self: Box<Self>, answer: Answer, now: Timestamp, guards: &Guards) -> Next {
        match self.state.clone() {
            State::Preflight => self.preflighted(answer),
            State::Intend { roles } => self.intended(roles, answer),
            State::Create { at } => self.created(at, answer, now),
            State::Discard { id } => self.discarded(id, &answer),
            State::Deliver { at, client } => self.delivered(at, client, answer, now, guards),
            State::ReadBack { at, client } => self.read_back(at, client, answer, now),
            State::ReadObject { at, client, secret } => self.still_ours(at, client, secret, answer, now),
            State::Record { secret, client } => self.recorded(secret, client, &answer, now, guards),
            State::Confirm { secret, client } => self.confirmed(secret, client, &answer, now),
        }
    }

    fn preflighted(self: Box<Self>, answer: Answer) -> Next {
        match answer {
            Answer::Ids(roles) => {
                let effect = Effect::Intend { at: Anchor::of(&self.object), record: self.step.record.clone() };
                self.go(State::Intend { roles }, effect)
            }
            Answer::Refused { reason, message } | Answer::Unknown { reason, message } => {
                landed(Outcome::Failed { reason, message, unsent: true })
            }
            _ => landed(Outcome::LookAgain { unsent: true }),
        }
    }

    fn intended(self: Box<Self>, roles: Vec<String>, answer: Answer) -> Next {
        match answer {
            Answer::Done(at) => {
                let expires = match self.step.wanted.lifetime {
                    Lifetime::Never => None,
                    Lifetime::After(duration) => Some(duration),
                };
                let request = CreateRequest {
                    display_name: self.step.display_name.clone(),
                    expires,
                    scoped_roles: roles,
                    allow_source_cidr: self.step.wanted.allow_source_cidr.clone(),
                };
                self.go(State::Create { at }, Effect::Create(request))
            }
            Answer::Refused { reason, message } => landed(Outcome::Failed { reason, message, unsent: true }),
            // The fence: somebody else was faster, the object is gone, or the answer was lost. Nothing was sent to C1.
            _ => landed(Outcome::LookAgain { unsent: true }),
        }
    }

    fn created(self: Box<Self>, at: Anchor, answer: Answer, now: Timestamp) -> Next {
        match answer {
            Answer::Created(client) if client.display_name != self.step.display_name => {
                let id = client.id;
                self.go(State::Discard { id: id.clone() }, Effect::DeleteClient { id })
            }
            Answer::Created(client) => {
                let client = Box::new(self.issued(*client));
                let over = self.step.secret.clone();
                self.deliver(at, client, now, over)
            }
            Answer::Refused { reason, message } => landed(Outcome::Failed { reason, message, unsent: true }),
            Answer::Unknown { reason, message } => landed(Outcome::Failed { reason, message, unsent: false }),
            _ => landed(Outcome::LookAgain { unsent: false }),
        }
    }

    fn discarded(self: Box<Self>, id: String, answer: &Answer) -> Next {
        // That C1 does not know it yet is no end of it.
        let deleted = matches!(answer, Answer::Done(_));
        if !deleted && !matches!(answer, Answer::OutOfTime) {
            // Without its marker nobody will find it later: try as long as there is time.
            let effect = Effect::DeleteClient { id: id.clone() };
            return self.go(State::Discard { id }, effect);
        }
        let rest = if deleted { String::new() } else { format!("; client {id} may live on: delete it by hand") };
        landed(Outcome::Failed {
            reason: Reason::MarkerTruncated,
            message: format!(
                "C1 did not keep the display name as sent, so its clients could not be recognised: use a shorter displayName{rest}"
            ),
            unsent: deleted,
        })
    }

    fn deliver(
        mut self: Box<Self>,
        at: Anchor,
        client: Box<IssuedClient>,
        now: Timestamp,
        over: Option<Box<SecretSeen>>,
    ) -> Next {
        self.made_secret = over.is_none();
        let before = over.as_deref().and_then(|seen| seen.delivered.as_ref()).map(|d| &d.template);
        let delivered = self.describe(&client, self.template(before), now);
        let effect = Effect::Deliver { delivered: Box::new(delivered), over };
        self.go(State::Deliver { at, client }, effect)
    }

    fn delivered(
        self: Box<Self>,
        at: Anchor,
        client: Box<IssuedClient>,
        answer: Answer,
        now: Timestamp,
        guards: &Guards,
    ) -> Next {
        match answer {
            Answer::Done(secret) => self.record(&at, secret, client, now),
            Answer::Refused { reason, message } => self.abandon(&client, reason, message),
            Answer::OutOfTime => self.out_of_time(&client),
            _ if guards.read_back => self.go(State::ReadBack { at, client }, Effect::ReadSecret),
            _ => self.somebody_elses(&client),
        }
    }

    /// A conflict is believed only after the Secret was read: it may be the echo of our own write.
    fn read_back(self: Box<Self>, at: Anchor, client: Box<IssuedClient>, answer: Answer, now: Timestamp) -> Next {
        match answer {
            Answer::Secret(SecretView::Present(secret)) if holds(&secret, &client) => {
                if !matches!(secret.content, Content::Intact { .. }) {
                    // It was written, and altered since: status must not vouch for it. The next look decides.
                    return landed(Outcome::Delivered);
                }
                let anchor = Anchor { uid: secret.uid, resource_version: secret.resource_version };
                self.record(&at, anchor, client, now)
            }
            Answer::Secret(SecretView::Present(secret)) if secret.fence.as_deref() == Some(&self.step.attempt) => {
                self.somebody_elses(&client)
            }
            Answer::Secret(SecretView::Present(secret)) => {
                self.go(State::ReadObject { at, client, secret: Some(secret) }, Effect::ReadObject)
            }
            Answer::Secret(SecretView::Absent) => {
                self.go(State::ReadObject { at, client, secret: None }, Effect::ReadObject)
            }
            Answer::OutOfTime => self.out_of_time(&client),
            _ => self.go(State::ReadBack { at, client }, Effect::ReadSecret),
        }
    }

    /// Only metadata moved, or the Secret is gone, and the object still carries our attempt: write again on what is there.
    fn still_ours(
        self: Box<Self>,
        at: Anchor,
        client: Box<IssuedClient>,
        secret: Option<Box<SecretSeen>>,
        answer: Answer,
        now: Timestamp,
    ) -> Next {
        match answer {
            Answer::Object(Some(object)) => {
                let open = Record::of(&object).open.is_some_and(|o| o.attempt == self.step.attempt);
                let seen = self.step.secret.as_ref().and_then(|s| s.delivered.as_ref());
                let same = secret.as_ref().is_none_or(|s| self.step.secret.is_some() && s.delivered.as_ref() == seen);
                if open && same && object.metadata.deletion_timestamp.is_none() {
                    self.deliver(at, client, now, secret)
                } else {
                    self.somebody_elses(&client)
                }
            }
            Answer::Object(None) => self.somebody_elses(&client),
            Answer::OutOfTime => self.out_of_time(&client),
            _ => self.go(State::ReadObject { at, client, secret }, Effect::ReadObject),
        }
    }

    fn record(self: Box<Self>, at: &Anchor, secret: Anchor, client: Box<IssuedClient>, now: Timestamp) -> Next {
        let status = self.recorded_status(&client, &secret, now);
        self.go(State::Record { secret, client }, Effect::Record { at: at.clone(), status: Box::new(status) })
    }

    fn recorded_status(&self, client: &IssuedClient, secret: &Anchor, now: Timestamp) -> PersonalClientStatus {
        let answers = self.answers().or_else(|| self.step.status.last_handled_rotate_at.clone());
        let base = PersonalClientStatus {
            retiring: self.retiring(now),
            last_handled_rotate_at: answers,
            update_refused_generation: None,
            restart_pending: restart::pending(&self.object, &self.step.status, client),
            ..self.step.status.clone()
        };
        let mut status = status::record(&base, client, &self.step.secret_name, &secret.resource_version, None);
        if !matches!(self.step.need, Need::SecretLost | Need::Revoked) {
            // After a loss they stay: whoever keeps altering the Secret must not make us mint without end.
            status.failed_issuance_attempts = None;
            status.last_failure_time = None;
            status.last_failed_rotate_at = None;
        }
        let status = renewal::with_renewal(&self.object, status);
        let generation = self.object.metadata.generation.unwrap_or_default();
        if self.object.secret_name() != self.step.secret_name {
            let message = "the credential of an earlier spec was delivered: it is being moved";
            return status::not_ready(&status, Reason::Issuing, message, generation, now);
        }
        let before = self.step.secret.as_ref().filter(|_| !self.made_secret).and_then(|seen| seen.delivered.as_ref());
        if let Some(is) = before.and_then(|d| d.template.unlike(self.object.spec.secret_template.as_ref())) {
            let message = mistyped(&self.step.secret_name, is);
            return status::not_ready(&status, Reason::SecretRefused, &message, generation, now);
        }
        status::ready(&status, &self.step.secret_name, generation, now)
    }

    fn recorded(
        self: Box<Self>,
        secret: Anchor,
        client: Box<IssuedClient>,
        answer: &Answer,
        now: Timestamp,
        guards: &Guards,
    ) -> Next {
        match answer {
            Answer::Done(_) => {
                let status = Box::new(self.recorded_status(&client, &secret, now));
                landed(Outcome::Issued { id: client.id, status })
            }
            // Force nothing: the next look finds the Secret and records. But if the object goes, or is gone, nobody will.
            _ if guards.clean_up => self.go(State::Confirm { secret, client }, Effect::ReadObject),
            _ => landed(Outcome::Delivered),
        }
    }

    fn confirmed(self: Box<Self>, secret: Anchor, client: Box<IssuedClient>, answer: &Answer, now: Timestamp) -> Next {
        match answer {
            Answer::Object(object) if !self.keeps(object.as_deref()) => {
                let uid = self.object.metadata.uid.clone().unwrap_or_default();
                Withdraw::start(uid, *client, (self.step.secret_name.clone(), secret), object.as_deref(), now)
            }
            Answer::Object(_) | Answer::OutOfTime => landed(Outcome::Delivered),
            _ => self.go(State::Confirm { secret, client }, Effect::ReadObject),
        }
    }

    /// Whether what was delivered is to stay: the object does, or said so before it went. Then it was delivered before the
    /// Secret was fenced. Where there was no Secret to fence, and to keep, this one may hold what the removal has deleted.
    fn keeps(&self, object: Option<&PersonalClient>) -> bool {
        let stays = object.is_some_and(|o| o.metadata.deletion_timestamp.is_none());
        stays || (!self.made_secret && object.unwrap_or(&self.object).retains())
    }

    fn somebody_elses(&self, client: &IssuedClient) -> Next {
        let name = &self.step.secret_name;
        self.abandon(
            client,
            Reason::SecretConflict,
            format!("Secret {name} was changed by somebody else while it was being written"),
        )
    }

    fn out_of_time(&self, client: &IssuedClient) -> Next {
        let name = &self.step.secret_name;
        self.abandon(client, Reason::SecretRefused, format!("Secret {name} could not be written in time"))
    }

    fn abandon(&self, client: &IssuedClient, reason: Reason, message: String) -> Next {
        let metadata = &self.object.metadata;
        let text = |s: &Option<String>| s.clone().unwrap_or_default();
        let step = AbandonStep {
            attempt: self.step.attempt.clone(),
            client_id: client.id.clone(),
            issuer_ref: client.issuer_ref.clone(),
            burn: true,
            secret_name: self.step.secret_name.clone(),
            owner: marker::owner(&self.cluster, &text(&metadata.namespace), &text(&metadata.name)),
        };
        Abandon::start(step, Some((reason, message)))
    }

    fn issued(&self, client: Client) -> IssuedClient {
        let requested = self.step.wanted.requested();
        client.issued(&self.step.attempt, &self.step.issuer_ref, &self.step.identity.host, &requested)
    }

    /// The request that this issue answers.
    fn answers(&self) -> Option<String> {
        self.step.record.open.as_ref().and_then(|open| open.answers.clone())
    }

    /// The clients that retire with this issue. What the Secret holds is replaced only now, whatever status said of it.
    fn retiring(&self, now: Timestamp) -> Vec<RetiringClient> {
        let overlap = Rotation::overlap(self.object.spec.rotation.as_ref(), self.timing.overlap).least;
        let held = self.step.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| &d.client.id);
        let renew = |r: &RetiringClient| {
            if Some(&r.id) == held { status::retiring_anew(r, now, overlap) } else { r.clone() }
        };
        let replaced = self.step.replaces.as_ref().map(|c| status::retiring(c, now, overlap));
        let mut retiring: Vec<_> = self.step.status.retiring.iter().map(renew).collect();
        retiring.extend(replaced.filter(|r| self.step.status.retiring.iter().all(|have| have.id != r.id)));
        retiring
    }

    fn describe(&self, client: &IssuedClient, template: RenderedTemplate, now: Timestamp) -> Delivered {
        let metadata = &self.object.metadata;
        Delivered {
            owner: SecretOwner {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                uid: metadata.uid.clone().unwrap_or_default(),
            },
            cluster: self.cluster.clone(),
            client: client.clone(),
            asked: asked(&self.object),
            answers: self.answers(),
            data_digest: String::new(),
            template,
            replaces: self.retiring(now),
        }
    }

    /// What the template puts there: a Secret that is there keeps its type.
    pub(super) fn template(&self, before: Option<&RenderedTemplate>) -> RenderedTemplate {
        RenderedTemplate::of(self.object.spec.secret_template.as_ref(), before)
    }
}

/// Whether a Secret holds this very client.
fn holds(secret: &SecretSeen, client: &IssuedClient) -> bool {
    secret.delivered.as_ref().is_some_and(|d| d.client.attempt == client.attempt && d.client.id == client.id)
}
