//! Performing: what the abstract servers make of an effect of a transaction.

use std::collections::BTreeMap;

use c1_operator::{
    api::{PersonalClient, Reason},
    c1::Client,
    plan::{Anchor, Answer, Content, Delivered, Effect, Flight, Record, SecretSeen, status},
};

use crate::{
    print::Printed,
    replica::{Caller, List, Mishap, Work},
    rules::Rules,
    situations::{Situation, reached},
    world::{Delivery, End, OVERLAP, State, is_deleting},
};

/// How long after its budget an attempt counts as old.
const GRACE: u32 = 4;

impl State {
    /// Performs an effect, as far as the mishap allows.
    pub fn perform(&mut self, r: usize, effect: &Effect, caller: &Caller, mishap: Mishap, rules: &Rules) -> Answer {
        let lost = Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
        if let Effect::Intend { record, .. } = effect {
            self.replicas[r].unsent = record.open.as_ref().map(|o| o.attempt.clone());
        }
        let unsent = self.replicas[r].unsent.clone();
        if matches!(effect, Effect::Create(_)) {
            self.replicas[r].unsent = None;
        }
        match mishap {
            Mishap::RequestLost => {
                if let Effect::DeleteClient { id } = effect {
                    self.replicas[r].told_to_delete(id, false);
                }
                return lost;
            }
            Mishap::Refused => {
                self.replicas[r].unsent = unsent;
                if let Effect::DeleteClient { id } = effect {
                    self.replicas[r].told_to_delete(id, false);
                }
                return Answer::Refused { reason: Reason::SecretRefused, message: "no".into() };
            }
            Mishap::None | Mishap::AnswerLost | Mishap::Late | Mishap::Doubled | Mishap::Unseen => {}
        }
        let old = self.now >= caller.deadline + GRACE;
        let requests = &rules.requests;
        let answer = match effect {
            Effect::Preflight { roles, secret } => {
                let there = self.secret_of(&caller.secret_name).map(|s| (&s.uid, &s.resource_version));
                let seen = secret.as_ref().map(|s| (&s.uid, &s.resource_version));
                if there == seen { Answer::Ids(roles.clone()) } else { Answer::Conflict }
            }
            Effect::Intend { at, record } => self.intend(at, record, rules),
            Effect::Burn { at, record } => {
                self.write_record(&self.version(at, requests.burn_at_version), record, false)
            }
            Effect::Create(request) if mishap == Mishap::Late => {
                self.late.push((request.display_name.clone(), caller.user_id, caller.deadline + GRACE));
                return lost;
            }
            Effect::Create(request) => {
                if mishap == Mishap::Doubled {
                    reached(Situation::Doubled);
                    self.create(&request.display_name, caller.user_id, old);
                    self.clients.iter_mut().rev().take(1).for_each(|c| c.double = true);
                }
                Answer::Created(Box::new(self.create(&request.display_name, caller.user_id, old)))
            }
            Effect::Update(request) => self.update_client(r, request),
            Effect::Deliver { delivered, over } => {
                let seen = over.as_deref().cloned();
                let there = self.secret_of(&caller.secret_name).map(|s| &**s);
                let over = if requests.delivery_on_seen { seen } else { there.cloned() };
                self.deliver(&caller.secret_name, delivered, over.as_ref(), old)
            }
            Effect::Copy { from, to } => self.copy(&caller.secret_name, from, to),
            Effect::Record { at, status } => self.write_status(&self.version(at, requests.record_at_version), status),
            Effect::ReadSecret => Answer::Secret(self.read_secret(&caller.secret_name, None)),
            Effect::ReadObject => Answer::Object(self.object_of(&caller.uid)),
            Effect::Fence { over, attempt } => {
                let over = self.seen(&caller.secret_name, over, requests.fence_on_seen);
                let answer =
                    self.annotate_secret(&caller.secret_name, &over, |secret| secret.fence = Some(attempt.clone()));
                if matches!(answer, Answer::Done(_)) {
                    reached(Situation::Fenced);
                }
                answer
            }
            Effect::DeleteClient { id } => {
                if mishap == Mishap::Unseen && self.client(id).is_some_and(|c| self.is_young(c)) {
                    self.forget(r, id);
                    return Answer::Gone;
                }
                let answer = self.delete_client(r, id);
                if matches!((mishap, &answer), (Mishap::None, Answer::Done(_))) {
                    self.replicas[r].deleted.insert(id.clone());
                }
                answer
            }
            Effect::DeleteSecret { name, at } => self.delete_secret(name, at, requests.delete_on_seen),
            Effect::RemoveFinalizer { at } => self.let_go(&self.version(at, requests.release_at_version)),
        };
        if matches!(answer, Answer::Conflict | Answer::Gone)
            && let Effect::Intend { record, .. } = effect
        {
            self.take_back(r, record);
        }
        if matches!(answer, Answer::Conflict) {
            match effect {
                Effect::Intend { .. } if self.replicas.len() > 1 => reached(Situation::TwoIntend),
                Effect::Deliver { .. } => reached(Situation::DeliverConflict),
                Effect::Record { .. } => reached(Situation::RecordConflict),
                _ => {}
            }
        }
        let answer = if mishap == Mishap::AnswerLost { lost } else { answer };
        if let Effect::DeleteClient { id } = effect {
            self.replicas[r].told_to_delete(id, matches!(answer, Answer::Done(_) | Answer::Gone));
        }
        answer
    }

    fn intend(&mut self, at: &Anchor, record: &Record, rules: &Rules) -> Answer {
        let at = self.version(at, rules.requests.intent_at_version);
        if self.object.as_ref().is_some_and(|o| Anchor::of(o) == at) {
            self.leave_to_people(record);
        }
        if rules.requests.intend_first {
            self.write_record(&at, record, rules.requests.finalizer_first)
        } else {
            Answer::Done(at)
        }
    }

    /// The name of an attempt that was on no record is nobody's, and will not be used: that it was given out makes no other state.
    fn take_back(&mut self, r: usize, record: &Record) {
        self.replicas[r].unsent = None;
        let last = format!("n{}", self.names);
        self.names -= u8::from(record.open.as_ref().is_some_and(|o| o.attempt == last));
    }

    /// Whether the object says Ready, and is not going.
    pub fn says_ready(&self) -> bool {
        self.object.as_ref().is_some_and(|o| !is_deleting(o) && status::is_ready(&o.status_or_default()))
    }

    /// P1: whoever has delivered does not go on to give up, only because the answer was lost, or said that there is a Secret.
    pub fn check_delivered(&mut self, r: usize, effect: &Effect) {
        let gives_up = match &self.replicas[r].work {
            Some(Work::Transaction { flight, .. }) => matches!(flight.0, Flight::Abandon(_)),
            _ => false,
        };
        if let Effect::Deliver { delivered, .. } = effect
            && gives_up
            && self.held().as_ref() == Some(&delivered.client.id)
        {
            self.broken.get_or_insert("P1: a maker gives up the credential that it has delivered");
        }
    }

    /// An attempt is closed for a new one, and somebody uses its client, whose secret we do not have: it is left to people.
    pub fn leave_to_people(&mut self, record: &Record) {
        let Some(open) = self.object.as_ref().and_then(|o| Record::of(o).open) else { return };
        let closed = |attempt: &str| {
            attempt == open.attempt
                && !record.is_abandoned(attempt)
                && record.open.as_ref().is_none_or(|o| o.attempt != attempt)
        };
        for client in &mut self.clients {
            let used = client.client.last_used_at.is_some();
            client.disowned |= used && client.attempt().is_some_and(|attempt| closed(&attempt));
        }
    }

    /// The version that a write is conditional on; where it is not, that which is there.
    pub fn version(&self, at: &Anchor, conditional: bool) -> Anchor {
        self.object.as_ref().filter(|_| !conditional).map_or_else(|| at.clone(), |o| Anchor::of(o))
    }

    /// The Secret that a write is conditional on; where it is not, that which is there.
    pub fn seen(&self, name: &str, over: &SecretSeen, conditional: bool) -> SecretSeen {
        self.secret_of(name).filter(|_| !conditional).map_or_else(|| over.clone(), |s| SecretSeen::clone(s))
    }

    /// The object, as the shell reads it in a transaction: another of its name is none.
    fn object_of(&self, uid: &str) -> Option<Box<PersonalClient>> {
        let object = self.object.as_ref().filter(|o| o.metadata.uid.as_deref() == Some(uid));
        object.map(|o| Box::new(PersonalClient::clone(o)))
    }

    /// A Secret of another name is made with what this one holds.
    fn copy(&mut self, name: &str, from: &Anchor, to: &str) -> Answer {
        let held = self.secret_of(name).map(|s| &**s).filter(|s| matches!(s.content, Content::Intact { .. })).cloned();
        let seen = |s: &SecretSeen| (&s.uid, &s.resource_version) == (&from.uid, &from.resource_version);
        let held = held.filter(seen);
        let (Some(held), None) = (held, self.secret_of(to)) else { return Answer::Conflict };
        let uid = self.name();
        reached(Situation::Copied);
        self.put_secret(to, SecretSeen { uid, fence: None, ..held });
        self.secret_anchor(to)
    }

    fn deliver(&mut self, name: &str, delivered: &Delivered, over: Option<&SecretSeen>, old: bool) -> Answer {
        let (uid, fence) = match (self.secret_of(name).cloned(), over) {
            (None, None) => (self.name(), None),
            (None, Some(_)) => return Answer::Gone,
            (Some(_), None) => return Answer::Conflict,
            (Some(secret), Some(over)) => {
                if (&secret.uid, &secret.resource_version) != (&over.uid, &over.resource_version) {
                    return Answer::Conflict;
                }
                if secret.delivered.is_none() {
                    self.broken.get_or_insert("P4: a Secret of somebody else was written");
                }
                (secret.uid.clone(), over.fence.clone())
            }
        };
        let now = self.now;
        let record = self.object.as_ref().map(|o| Record::of(o)).unwrap_or_default();
        let current = self.object.as_ref().and_then(|o| o.status_or_default().client).map(|c| c.id);
        // Where somebody has altered the Secret, or taken it away, consumers have the credential that status names.
        let former = self.held().or_else(|| current.clone());
        if let Some(client) = former.and_then(|id| self.client_mut(&id)).filter(|c| c.live) {
            // Of an abandoned attempt, delivered late where no Secret could be fenced: it never was the object's credential.
            // It gets an overlap, too, but a replica that stood still before its delete may cut that short.
            // But what status names was the credential, also when its attempt was given up because it was taken for gone.
            let named = current.as_ref() == Some(&client.client.id);
            if named || client.attempt().is_some_and(|attempt| !record.is_abandoned(&attempt)) {
                client.replaced.get_or_insert(now);
            }
        }
        // A credential that was given up may come where somebody has taken the Secret away: the next look says so.
        let attempt = &delivered.client.attempt;
        self.secret_disturbed &= record.is_abandoned(attempt) || self.forgotten.contains(attempt);
        self.delivery = if old { Delivery::Late } else { Delivery::InTime };
        self.maker_left = false;
        self.put_secret(
            name,
            SecretSeen {
                uid,
                resource_version: String::new(),
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                delivered: Some(delivered.clone()),
                fence,
                content: Content::Intact { rendered: true },
            },
        );
        self.secret_anchor(name)
    }

    /// The operator takes its finalizer away. What was to stay is nobody's from then on.
    fn let_go(&mut self, at: &Anchor) -> Answer {
        let retains = self.object.as_ref().is_some_and(|o| o.retains());
        let status = self.object.as_ref().filter(|_| retains).map(|o| o.status_or_default()).unwrap_or_default();
        let said = if retains { self.said_by_secret() } else { vec![] };
        let answer = self.write_object(at, |o| o.metadata.finalizers = None);
        if self.object.is_none() {
            let named = status.client.iter().map(|c| &c.id).chain(status.retiring.iter().map(|r| &r.id));
            for id in named.chain(&said) {
                self.client_mut(id).into_iter().for_each(|c| c.disowned = true);
            }
        }
        answer
    }

    pub fn delete_secret(&mut self, name: &str, at: &Anchor, conditional: bool) -> Answer {
        let Some(secret) = self.secret_of(name) else { return Answer::Gone };
        if conditional && (&secret.uid, &secret.resource_version) != (&at.uid, &at.resource_version) {
            return Answer::Conflict;
        }
        if secret.delivered.is_none() {
            self.broken.get_or_insert("P4: a Secret of somebody else was deleted");
        }
        *self.secret_mut(name) = None;
        Answer::Done(at.clone())
    }

    /// A replica's list does not show what it has tried to delete.
    fn forget(&mut self, r: usize, id: &str) {
        if let Some(list) = self.replicas[r].list.clone() {
            let mut list = List::clone(&list);
            list.clients.retain(|c| c.id != id);
            self.replicas[r].list = Some(Printed::new(list));
        }
    }

    /// A replica's list shows what it has changed as it was changed.
    pub fn show(&mut self, r: usize, client: &Client) {
        if let Some(list) = self.replicas[r].list.clone() {
            let mut list = List::clone(&list);
            list.clients.iter_mut().filter(|c| c.id == client.id).for_each(|c| c.clone_from(client));
            self.replicas[r].list = Some(Printed::new(list));
        }
    }

    /// Deletes a client at C1; here the promises are broken, if they are.
    pub fn delete_client(&mut self, r: usize, id: &str) -> Answer {
        self.forget(r, id);
        let (now, held) = (self.now, self.held().as_deref() == Some(id));
        let object = self.object.as_ref().filter(|o| !is_deleting(o));
        let in_use = object.is_some();
        // What a maker delivers after its attempt was given up counts as lost: status has said so, or never named it.
        let named = object.and_then(|o| o.status.as_ref()?.client.as_ref()).is_some_and(|c| c.id == id);
        let retained = held && (self.end == End::Retained || self.object.as_ref().is_some_and(|o| o.retains()));
        let overlap = u32::try_from(OVERLAP.as_secs()).unwrap_or(u32::MAX);
        let Some(client) = self.client_mut(id).filter(|c| c.live) else { return Answer::Gone };
        client.live = false;
        let broken = if client.foreign {
            Some("P4: a client that the operator did not make was deleted")
        } else if client.deleted_outside {
            None
        } else if named && held {
            Some("P1: the client that the Secret holds was deleted")
        } else if retained && !in_use {
            Some("P1: the client of a Secret that was to stay was deleted")
        } else if in_use && client.replaced.is_some_and(|since| now < since + overlap) {
            Some("P8: a replaced client was deleted before its overlap was over")
        } else {
            None
        };
        if let Some(broken) = broken {
            self.broken.get_or_insert(broken);
        }
        Answer::Done(Anchor { uid: id.into(), resource_version: String::new() })
    }
}
