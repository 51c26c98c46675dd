//! Acting: a replica performs the next effect of a transaction, or a single write, on the abstract servers.

use std::collections::BTreeMap;

use c1_operator::{
    api::{FINALIZER, PersonalClient, Reason},
    plan::{Anchor, Answer, Content, Delivered, Effect, Flight, Outcome, Record, SecretSeen, SecretView, next, status},
};

use crate::{
    print::Printed,
    replica::{List, Mishap, Work, struck},
    rules::Rules,
    situations::{Situation, reached},
    world::{AtC1, Delivery, State, TIMING, is_deleting, time},
};

/// What a maker whose time is over has left to clean up, in seconds.
const CLEAN_UP: u32 = 2;
/// How long after its budget an attempt counts as old.
const GRACE: u32 = 4;

impl State {
    /// Performs the effect that comes next.
    pub fn act(&mut self, r: usize, mishap: Mishap, rules: &Rules) {
        let Some(work) = self.replicas[r].work.take() else { return };
        let happens = !matches!(mishap, Mishap::RequestLost | Mishap::Late);
        match work {
            Work::Transaction { flight, deadline, extended, uid, .. } => {
                let old = self.now >= deadline + GRACE;
                let removal = matches!(flight.0, Flight::Remove(_));
                let answer = self.perform(r, &flight.1, &uid, (removal, old), mishap, rules);
                self.go_on(r, flight.0.clone(), answer, (deadline, extended, uid), rules);
                self.check_delivered(r, &flight.1);
            }
            Work::Status(write) => {
                if happens {
                    self.write_status(&write.0, &write.1);
                }
            }
            Work::AddFinalizer(at) => {
                if happens && self.object.as_ref().is_some_and(|o| !is_deleting(o)) {
                    self.write_object(&at, |o| o.metadata.finalizers = Some(vec![FINALIZER.into()]));
                }
            }
            Work::Claim(seen, uid) => {
                if let (true, SecretView::Present(seen)) = (happens, &*seen) {
                    self.annotate_secret(seen, |secret| {
                        if let Some(delivered) = &mut secret.delivered {
                            delivered.owner.uid = uid;
                        }
                    });
                }
            }
            Work::Revoke(what) => {
                let (id, object) = (&what.0, &what.1);
                if happens {
                    reached(Situation::OverlapEnds);
                    self.delete_client(r, id, false);
                }
                if mishap == Mishap::None {
                    self.replicas[r].work = Some(Work::Status(Printed::new((Anchor::of(object), struck(object, id)))));
                }
            }
        }
    }

    /// The transaction's caller looks at the time, and it is over.
    pub fn out_of_time(&mut self, r: usize, rules: &Rules) {
        let Some(Work::Transaction { flight, deadline, extended, uid, .. }) = self.replicas[r].work.take() else {
            return;
        };
        reached(Situation::OutOfTime);
        if extended {
            self.leave(&flight.0);
        }
        let deadline = if extended { deadline } else { self.now + CLEAN_UP };
        if flight.0.cleans_up() && !extended {
            self.replicas[r].work = Some(Work::Transaction { flight, deadline, extended: true, looked: self.now, uid });
        } else {
            self.go_on(r, flight.0.clone(), Answer::OutOfTime, (deadline, true, uid), rules);
        }
    }

    /// A replica is killed, and starts anew.
    pub fn crash(&mut self, r: usize) {
        if let Some(Work::Transaction { flight, .. }) = std::mem::take(&mut self.replicas[r]).work {
            self.leave(&flight.0);
        }
    }

    /// Whoever made the client does nothing more.
    fn leave(&mut self, flight: &Flight) {
        if self.delivery == Delivery::Late && matches!(flight, Flight::Issue(_) | Flight::Withdraw(_)) {
            self.delivery = Delivery::LateAndLeft;
        }
    }

    fn go_on(
        &mut self,
        r: usize,
        flight: Flight,
        answer: Answer,
        (deadline, extended, uid): (u32, bool, String),
        rules: &Rules,
    ) {
        let (flight, effect) = next(flight, answer, time(self.now), &rules.plan);
        let Some(effect) = effect else { return self.land(r, flight) };
        let flight = Printed::new((flight, effect));
        self.replicas[r].work = Some(Work::Transaction { flight, deadline, extended, looked: self.now, uid });
    }

    /// What the shell does when a transaction is over: a failure is written down.
    fn land(&mut self, r: usize, flight: Flight) {
        let Flight::Landed(outcome) = flight else { return };
        match *outcome {
            Outcome::Failed { reason, message, unsent } => {
                if !unsent {
                    self.replicas[r].unsent = None;
                }
                let Some(object) = &self.object else { return };
                let (base, generation) = (object.status_or_default(), object.metadata.generation.unwrap_or_default());
                let said = if is_deleting(object) {
                    status::not_ready(&base, Reason::RevocationBlocked, &message, generation, time(self.now))
                } else {
                    status::failed(&base, reason, &message, generation, time(self.now))
                };
                self.replicas[r].work = Some(Work::Status(Printed::new((Anchor::of(object), said))));
            }
            Outcome::Abandoned { .. } => reached(Situation::Abandoned),
            Outcome::Withdrawn { .. } => reached(Situation::Withdrawn),
            Outcome::Removed { .. } => reached(Situation::Removed),
            Outcome::Issued { .. } | Outcome::Delivered | Outcome::LookAgain { .. } => {}
        }
    }

    fn perform(
        &mut self,
        r: usize,
        effect: &Effect,
        uid: &str,
        (removal, old): (bool, bool),
        mishap: Mishap,
        rules: &Rules,
    ) -> Answer {
        let lost = Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() };
        if let Effect::Intend { record, .. } = effect {
            self.replicas[r].unsent = record.open.as_ref().map(|o| o.attempt.clone());
        }
        if matches!(effect, Effect::Create(_)) {
            self.replicas[r].unsent = None;
        }
        if mishap == Mishap::RequestLost {
            return lost;
        }
        let answer = match effect {
            Effect::Preflight { roles, secret } => {
                let there = self.secret.as_ref().map(|s| (&s.uid, &s.resource_version));
                let seen = secret.as_ref().map(|s| (&s.uid, &s.resource_version));
                if there == seen { Answer::Ids(roles.clone()) } else { Answer::Conflict }
            }
            Effect::Intend { at, record } => self.intend(at, record, rules),
            Effect::Burn { at, record } => self.write_record(at, record, false),
            Effect::Create(request) if mishap == Mishap::Late => {
                self.late.push(request.display_name.clone());
                return lost;
            }
            Effect::Create(request) => Answer::Created(Box::new(self.create(&request.display_name, old))),
            Effect::Deliver { delivered, over } => {
                let seen = over.as_deref().cloned();
                let over = if rules.requests.delivery_on_seen { seen } else { self.secret.as_deref().cloned() };
                self.deliver(delivered, over.as_ref(), old)
            }
            Effect::Record { at, status } => {
                self.write_status(&self.version(at, rules.requests.record_at_version), status)
            }
            Effect::ReadSecret => Answer::Secret(self.read_secret(None)),
            Effect::ReadObject => Answer::Object(self.object_of(uid)),
            Effect::Fence { over, attempt } => {
                let answer = self.annotate_secret(over, |secret| secret.fence = Some(attempt.clone()));
                if matches!(answer, Answer::Done(_)) {
                    reached(Situation::Fenced);
                }
                answer
            }
            Effect::DeleteClient { id } => self.delete_client(r, id, removal),
            Effect::DeleteSecret { at, .. } => self.delete_secret(at),
            Effect::RemoveFinalizer { at } => self.write_object(at, |o| o.metadata.finalizers = None),
        };
        if matches!(answer, Answer::Conflict) {
            match effect {
                Effect::Intend { .. } => reached(Situation::TwoIntend),
                Effect::Deliver { .. } => reached(Situation::DeliverConflict),
                Effect::Record { .. } => reached(Situation::RecordConflict),
                _ => {}
            }
        }
        if mishap == Mishap::AnswerLost { lost } else { answer }
    }

    fn intend(&mut self, at: &Anchor, record: &Record, rules: &Rules) -> Answer {
        let at = self.version(at, rules.requests.intent_at_version);
        if self.object.as_ref().is_some_and(|o| Anchor::of(o) == at) {
            self.check_given_up();
            if self.secret_disturbed && self.held().is_none() && self.says_ready() {
                self.broken.get_or_insert("P1: an attempt is intended for a lost Secret, and status says Ready");
            }
        }
        if rules.requests.intend_first {
            self.write_record(&at, record, rules.requests.finalizer_first)
        } else {
            Answer::Done(at)
        }
    }

    fn says_ready(&self) -> bool {
        self.object.as_ref().is_some_and(|o| status::is_ready(&o.status_or_default()))
    }

    /// P1: whoever has delivered does not go on to give up, only because the answer was lost, or said that there is a Secret.
    fn check_delivered(&mut self, r: usize, effect: &Effect) {
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

    /// P3: an attempt is given up for a new one only when it has no client, or one that somebody answers for.
    fn check_given_up(&mut self) {
        let Some(object) = self.object.as_ref().filter(|_| !self.record_destroyed) else { return };
        let Some(open) = Record::of(object).open else { return };
        let delivered = self.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let status = object.status_or_default();
        let mut known = status
            .client
            .iter()
            .chain(delivered.map(|d| &d.client))
            .map(|c| &c.id)
            .chain(status.retiring.iter().chain(delivered.iter().flat_map(|d| &d.replaces)).map(|r| &r.id));
        let of_attempt = |c: &&mut AtC1| c.live && !c.late && c.attempt().as_ref() == Some(&open.attempt);
        let Some(made) = self.clients.iter_mut().find(of_attempt) else { return };
        if known.any(|id| *id == made.client.id) {
            return;
        }
        if made.client.last_used_at.is_some() {
            // Somebody has its secret: it is left to people, as an orphan that is reported.
            made.recorded = false;
        } else {
            self.broken.get_or_insert("P3: an attempt is given up for a new one, and its client lives");
        }
    }

    /// The version that a write is conditional on; where it is not, that which is there.
    fn version(&self, at: &Anchor, conditional: bool) -> Anchor {
        self.object.as_ref().filter(|_| !conditional).map_or_else(|| at.clone(), |o| Anchor::of(o))
    }

    /// The object, as the shell reads it in a transaction: another of its name is none.
    fn object_of(&self, uid: &str) -> Option<Box<PersonalClient>> {
        let object = self.object.as_ref().filter(|o| o.metadata.uid.as_deref() == Some(uid));
        object.map(|o| Box::new(PersonalClient::clone(o)))
    }

    fn deliver(&mut self, delivered: &Delivered, over: Option<&SecretSeen>, old: bool) -> Answer {
        let (uid, fence) = match (&self.secret, over) {
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
        let (now, former) = (self.now, self.held());
        let record = self.object.as_ref().map(|o| Record::of(o)).unwrap_or_default();
        if let Some(client) = former.and_then(|id| self.client_mut(&id)).filter(|c| c.live) {
            // Of an abandoned attempt, delivered late where no Secret could be fenced: it never was the object's credential.
            // It gets an overlap, too, but a replica that stood still before its delete may cut that short.
            if client.attempt().is_some_and(|attempt| !record.is_abandoned(&attempt)) {
                client.replaced.get_or_insert(now);
            }
        }
        // A credential that was given up may come where somebody has taken the Secret away: the next look says so.
        self.secret_disturbed &= record.is_abandoned(&delivered.client.attempt);
        self.delivery = if old { Delivery::Late } else { Delivery::InTime };
        self.put_secret(SecretSeen {
            uid,
            resource_version: String::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            delivered: Some(delivered.clone()),
            fence,
            content: Content::Intact { rendered: true },
        });
        self.secret_anchor()
    }

    fn delete_secret(&mut self, at: &Anchor) -> Answer {
        let Some(secret) = &self.secret else { return Answer::Gone };
        if (&secret.uid, &secret.resource_version) != (&at.uid, &at.resource_version) {
            return Answer::Conflict;
        }
        if secret.delivered.is_none() {
            self.broken.get_or_insert("P4: a Secret of somebody else was deleted");
        }
        self.secret = None;
        Answer::Done(at.clone())
    }

    /// Deletes a client at C1; here the promises are broken, if they are.
    fn delete_client(&mut self, r: usize, id: &str, wanted: bool) -> Answer {
        let (now, held) = (self.now, self.held().as_deref() == Some(id));
        let object = self.object.as_ref().filter(|o| !is_deleting(o) && !wanted);
        let in_use = object.is_some();
        // What a maker delivers after its attempt was given up counts as lost: status has said so, or never named it.
        let named = object.and_then(|o| o.status.as_ref()?.client.as_ref()).is_some_and(|c| c.id == id);
        if let Some(list) = self.replicas[r].list.clone() {
            let mut list = List::clone(&list);
            list.clients.retain(|c| c.id != id);
            self.replicas[r].list = Some(Printed::new(list));
        }
        let overlap = u32::try_from(TIMING.overlap.as_secs()).unwrap_or(u32::MAX);
        let Some(client) = self.client_mut(id).filter(|c| c.live) else { return Answer::Gone };
        client.live = false;
        let broken = if client.foreign {
            Some("P4: a client that the operator did not make was deleted")
        } else if named && held {
            Some("P1: the client that the Secret holds was deleted")
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
