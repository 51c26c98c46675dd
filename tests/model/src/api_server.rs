//! The API server: one `PersonalClient` and its Secret, and what happens to a write of either.

use c1_operator::{
    api::{FINALIZER, PersonalClient, PersonalClientStatus, RECORD_ANNOTATION},
    plan::{Anchor, Answer, Content, Record, SecretSeen, SecretView, current_secret},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    print::{Printed, print},
    world::{ELSEWHERE, End, State, is_deleting, time},
};

/// More failures are not told apart: the pauses after them only grow.
const MOST_FAILURES: i32 = 4;

impl State {
    /// Stores the object. Its version is a fingerprint of its content, so that paths that lead to the same meet again.
    pub fn put_object(&mut self, mut object: PersonalClient) {
        let finalizers = object.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
        if is_deleting(&object) && finalizers {
            let before = self.object.take();
            self.forget_attempts(before.as_deref());
            self.note_unknowable();
            for client in self.clients.iter_mut().filter(|c| c.live) {
                // An overlap ends with its object, and so does its record: what stays, only the Secret names.
                (client.replaced, client.torn) = (None, true);
                // Beside what is to stay nobody looks at C1.
                client.disowned |= client.unknowable || (object.retains() && (client.late || client.double));
            }
            // What stays of an object before it is not this one's to take away.
            let owner = self.secret.as_ref().and_then(|s| s.delivered.as_ref()).map(|d| &d.owner.uid);
            let stays = owner.is_some_and(|owner| object.metadata.uid.as_ref() != Some(owner));
            self.end = if object.retains() || stays { End::Retained } else { End::Orderly };
            if self.torn_off {
                let secret = self.secret.is_some() || self.aside.is_some();
                self.end = End::Forced { secret, retains: object.retains() };
                self.clients.iter_mut().filter(|c| c.live).for_each(|c| c.disowned = true);
            }
            return;
        }
        self.torn_off &= finalizers;
        if let Some(status) = &mut object.status {
            // Nobody decides by these.
            status.conditions.iter_mut().for_each(|c| c.last_transition_time = Time(time(0)));
            // Of two replicas that believe different lists each may take back what the other says, and it be counted each time.
            status.failed_issuance_attempts = status.failed_issuance_attempts.map(|count| count.min(MOST_FAILURES));
        }
        object.metadata.resource_version = None;
        let version = print(&object);
        object.metadata.resource_version = Some(format!("{version:x}"));
        if (current_secret(&object, &Record::of(&object)) == ELSEWHERE) != self.is_elsewhere {
            self.is_elsewhere = !self.is_elsewhere;
            std::mem::swap(&mut self.secret, &mut self.aside);
        }
        self.object = Some(Printed::with(object, version));
    }

    /// Stores a Secret.
    pub fn put_secret(&mut self, name: &str, mut secret: SecretSeen) {
        secret.resource_version = String::new();
        let version = print(&secret);
        secret.resource_version = format!("{version:x}");
        *self.secret_mut(name) = Some(Printed::with(secret, version));
    }

    /// A write of the object, conditional on what was seen of it.
    pub fn write_object(&mut self, at: &Anchor, change: impl FnOnce(&mut PersonalClient)) -> Answer {
        let Some(object) = &self.object else { return Answer::Gone };
        if Anchor::of(object) != *at {
            return Answer::Conflict;
        }
        let mut object = PersonalClient::clone(object);
        change(&mut object);
        self.put_object(object);
        Answer::Done(self.object.as_ref().map_or_else(|| at.clone(), |o| Anchor::of(o)))
    }

    /// A write of the status.
    pub fn write_status(&mut self, at: &Anchor, status: &PersonalClientStatus) -> Answer {
        let named = |status: &PersonalClientStatus| status.client.as_ref().map(|c| c.id.clone());
        let before = self.object.as_ref().and_then(|o| named(&o.status_or_default()));
        let answer = self.write_object(at, |object| object.status = Some(status.clone()));
        // Whoever takes the Secret's client for the current one from now on vouches for it.
        if matches!(answer, Answer::Done(_)) && named(status) != before && named(status) == self.held() {
            self.secret_disturbed = false;
        }
        answer
    }

    /// A write of the record; with the finalizer, when it begins an attempt.
    pub fn write_record(&mut self, at: &Anchor, record: &Record, finalizer: bool) -> Answer {
        if finalizer && self.object.as_ref().is_some_and(|o| is_deleting(o)) {
            return Answer::Conflict;
        }
        let text = serde_json::to_string(record).expect("plain data");
        self.write_object(at, |object| {
            object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
            if finalizer {
                object.metadata.finalizers = Some(vec![FINALIZER.into()]);
            }
        })
    }

    /// A write of the Secret's annotations, conditional.
    pub fn annotate_secret(&mut self, name: &str, over: &SecretSeen, change: impl FnOnce(&mut SecretSeen)) -> Answer {
        let Some(secret) = self.secret_of(name) else { return Answer::Gone };
        if (&secret.uid, &secret.resource_version) != (&over.uid, &over.resource_version) {
            return Answer::Conflict;
        }
        let mut secret = SecretSeen::clone(secret);
        change(&mut secret);
        self.put_secret(name, secret);
        self.secret_anchor(name)
    }

    /// A Secret's UID and version.
    pub fn secret_anchor(&self, name: &str) -> Answer {
        self.secret_of(name).map_or(Answer::Gone, |s| {
            Answer::Done(Anchor { uid: s.uid.clone(), resource_version: s.resource_version.clone() })
        })
    }

    /// A Secret, as the shell reads it: its data only when status does not vouch for this version.
    pub fn read_secret(&self, name: &str, status: Option<&PersonalClientStatus>) -> SecretView {
        let Some(secret) = self.secret_of(name) else { return SecretView::Absent };
        let mut seen = SecretSeen::clone(secret);
        let vouched = status.and_then(|s| s.secret_resource_version.as_ref());
        if seen.delivered.is_none() || vouched == Some(&seen.resource_version) {
            seen.content = Content::Unread;
        }
        SecretView::Present(Box::new(seen))
    }
}
