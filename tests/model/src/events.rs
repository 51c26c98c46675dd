//! What people and other programs do, to the object, the Secret and the client.

use c1_operator::{
    api::{Expires, PersonalClient, PersonalClientStatus, RECORD_ANNOTATION, ROTATE_ANNOTATION},
    c1::Client,
    plan::{Content, Record, SecretSeen},
};
use clap::ValueEnum;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    c1::AtC1,
    print::Printed,
    replica::Work,
    situations::{Situation, reached},
    world::{ELSEWHERE, End, State, USER, is_deleting, other_issuer, owner, time},
};

/// What people and other programs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Event {
    /// Asks for something else.
    EditSpec,
    /// Asks for something else that can be had in place.
    EditInPlace,
    /// Asks for a Secret of another name, or for the former one again.
    MoveSecret,
    /// Asks another issuer, or the former one again.
    MoveIssuer,
    /// Asks for a new credential.
    Rotate,
    /// Deletes the object.
    Delete,
    /// Makes it anew.
    Recreate,
    /// `kubectl replace` without finalizer and record.
    TearOff,
    /// Changes the Secret's data.
    AlterSecret,
    /// Deletes the Secret.
    DeleteSecret,
    /// Puts a Secret of his own there.
    ForeignSecret,
    /// Deletes the current client in C1's console.
    DeleteClient,
    /// Takes the marker from the current client.
    Rename,
    /// A clone of the cluster makes a client with the object's marker.
    Clone,
    /// A consumer logs in with what the Secret holds.
    Use,
    /// A backup is taken.
    Backup,
    /// It is restored.
    Restore,
}

/// Those that happen in every world. [`Event::Rotate`] goes the way of a changed spec; it, [`Event::EditInPlace`] and the moves
/// have worlds of their own.
pub const EVENTS: &[Event] = &[
    Event::EditSpec,
    Event::Delete,
    Event::Recreate,
    Event::TearOff,
    Event::AlterSecret,
    Event::DeleteSecret,
    Event::ForeignSecret,
    Event::DeleteClient,
    Event::Rename,
    Event::Clone,
    Event::Use,
    Event::Backup,
    Event::Restore,
];

impl State {
    /// Whether it can happen now.
    pub fn is_possible(&self, event: Event) -> bool {
        let object = self.object.as_ref().filter(|o| !is_deleting(o));
        let current = object.and_then(|o| o.status.as_ref()?.client.clone()).and_then(|c| self.client(&c.id).cloned());
        let current = current.filter(|c| c.live && c.attempt().is_some());
        let ours = self.secret.as_ref().is_some_and(|s| s.delivered.is_some());
        (self.left.events > 0 || matches!(event, Event::Use | Event::Backup))
            && match event {
                Event::EditSpec | Event::EditInPlace => {
                    object.is_some_and(|o| o.metadata.generation.is_some_and(|g| g < 3))
                }
                Event::MoveSecret | Event::MoveIssuer => {
                    object.is_some_and(|o| o.metadata.generation.is_some_and(|g| g < 4))
                }
                // The second may come while the first is being answered.
                Event::Rotate => object.is_some_and(|o| o.rotate_request().as_deref() != Some("second")),
                Event::Delete => object.is_some(),
                Event::Recreate => self.object.is_none(),
                Event::TearOff => self.object.as_ref().is_some_and(|o| o.metadata.finalizers.is_some()),
                Event::AlterSecret => ours && self.held().is_some(),
                Event::DeleteSecret => self.secret.is_some(),
                Event::ForeignSecret => self.secret.is_none(),
                Event::DeleteClient | Event::Rename => current.is_some(),
                Event::Clone => self.clients.iter().all(|c| !c.foreign),
                // Whether a client was used matters only where its attempt may be open, or be so again.
                Event::Use => {
                    let held = self.held().and_then(|id| self.client(&id).cloned());
                    let named = current.is_some_and(|c| Some(&c.client.id) == held.as_ref().map(|h| &h.client.id));
                    (self.backup.is_some() || !named) && held.is_some_and(|c| c.live && c.client.last_used_at.is_none())
                }
                Event::Backup => self.left.backups > 0 && self.left.events > 0,
                Event::Restore => {
                    self.backup.as_ref().is_some_and(|b| *b != (self.object.clone(), self.secret.clone()))
                }
            }
    }

    /// It happens.
    pub fn happen(&mut self, event: Event) {
        self.spend(!matches!(event, Event::Use | Event::Backup));
        let object = self.object.as_deref().cloned();
        let secret = self.secret.as_deref().cloned();
        match (event, object, secret) {
            (Event::EditSpec, Some(mut object), _) => {
                let generation = object.metadata.generation.unwrap_or(1) + 1;
                object.metadata.generation = Some(generation);
                object.spec.expires = Some(Expires(format!("{generation}h")));
                self.put_object(object);
            }
            (Event::EditInPlace, Some(mut object), _) => {
                let generation = object.metadata.generation.unwrap_or(1) + 1;
                object.metadata.generation = Some(generation);
                object.spec.display_name = Some(format!("edit {generation}"));
                self.put_object(object);
            }
            (Event::MoveSecret, Some(mut object), _) => {
                object.metadata.generation = Some(object.metadata.generation.unwrap_or(1) + 1);
                object.spec.secret_name = match object.spec.secret_name {
                    None => Some(ELSEWHERE.into()),
                    Some(_) => None,
                };
                self.put_object(object);
            }
            (Event::MoveIssuer, Some(mut object), _) => {
                object.metadata.generation = Some(object.metadata.generation.unwrap_or(1) + 1);
                object.spec.issuer_ref = match object.spec.issuer_ref {
                    None => Some(other_issuer()),
                    Some(_) => None,
                };
                self.put_object(object);
            }
            (Event::Rotate, Some(mut object), _) => {
                let request = if object.rotate_request().is_none() { "first" } else { "second" };
                object.metadata.annotations.get_or_insert_default().insert(ROTATE_ANNOTATION.into(), request.into());
                self.put_object(object);
            }
            (Event::Delete, Some(mut object), _) => {
                object.metadata.deletion_timestamp = Some(Time(time(self.now)));
                self.put_object(object);
            }
            (Event::Recreate, None, _) => self.make_object(),
            (Event::TearOff, Some(mut object), _) => {
                let record = Record::of(&object);
                if record.open.is_some() {
                    reached(Situation::Torn);
                }
                object.metadata.finalizers = None;
                object.metadata.annotations.get_or_insert_default().remove(RECORD_ANNOTATION);
                let before = self.object.clone();
                self.torn_off = true;
                self.take_record(&record, object.status_or_default().client.is_none());
                self.put_object(object);
                self.forget_attempts(before.as_deref());
                self.disown();
            }
            (Event::AlterSecret, _, Some(mut secret)) => {
                secret.content = Content::Altered;
                self.secret_disturbed = true;
                self.put_secret(self.secret_name(), secret);
            }
            (Event::DeleteSecret, ..) => {
                self.lose_secret();
                self.secret_disturbed = true;
            }
            (Event::ForeignSecret, ..) => self.foreign_secret(),
            (Event::DeleteClient, Some(object), _) => self.change_current(&object.status_or_default(), |client| {
                client.live = false;
                client.deleted_outside = true;
            }),
            (Event::Rename, Some(object), _) => self.change_current(&object.status_or_default(), |client| {
                let renamed = Client { display_name: "renamed".into(), ..Client::clone(&client.client) };
                client.client = Printed::new(renamed);
                client.renamed = true;
            }),
            (Event::Clone, ..) => {
                self.create(&format!("deployer [k8s {} clone]", owner()), USER, false);
                if let Some(client) = self.clients.last_mut() {
                    client.foreign = true;
                }
                reached(Situation::CloneClient);
            }
            (Event::Use, ..) => {
                let (now, held) = (self.now, self.held().unwrap_or_default());
                if let Some(client) = self.client_mut(&held) {
                    let used = Client { last_used_at: Some(time(now)), ..Client::clone(&client.client) };
                    client.client = Printed::new(used);
                }
            }
            (Event::Backup, ..) => {
                self.left.backups -= 1;
                self.backup = Some((self.object.clone(), self.secret.clone()));
            }
            (Event::Restore, ..) => self.restore(),
            _ => {}
        }
    }

    /// Whoever abandons a client stands perhaps before its delete, and cannot be called back; and of a first one, should its
    /// maker deliver it all the same, only the record has said that it must not be taken for the current one.
    fn take_record(&mut self, record: &Record, first: bool) {
        for client in self.clients.iter_mut().filter(|c| c.live || first) {
            let abandoned = client.attempt().is_some_and(|attempt| record.is_abandoned(&attempt));
            client.deleted_outside |= abandoned;
        }
    }

    fn foreign_secret(&mut self) {
        let uid = self.name();
        self.secret_disturbed = true;
        self.put_secret(
            self.secret_name(),
            SecretSeen {
                uid,
                resource_version: String::new(),
                labels: std::collections::BTreeMap::new(),
                annotations: std::collections::BTreeMap::new(),
                delivered: None,
                fence: None,
                content: Content::Unread,
            },
        );
    }

    fn change_current(&mut self, status: &PersonalClientStatus, change: impl FnOnce(&mut AtC1)) {
        let Some(current) = &status.client else { return };
        if let Some(client) = self.client_mut(&current.id) {
            change(client);
        }
    }

    /// The cluster as it was: object and Secret with their UIDs. What was written since is forgotten, but not by C1.
    fn restore(&mut self) {
        let Some((object, secret)) = self.backup.take() else { return };
        let before = self.object.take();
        self.aside = None;
        if let Some(object) = object {
            self.put_object(PersonalClient::clone(&object));
        }
        self.secret = secret;
        self.forget_attempts(before.as_deref());
        self.torn_off = self.object.as_ref().is_some_and(|o| o.metadata.finalizers.is_none());
        self.secret_disturbed = true;
        self.end = End::Orderly;
        self.disown();
        // An attempt that was resolved since may be open again, beside the one that is under way.
        self.mishaps += 1;
        // What is under way, or being decided on, cannot be called back: a delete least of all.
        self.restored = true;
        self.restored_amid = self.replicas.iter().any(|r| r.has_object() || r.work.is_some());
        if self.replicas.iter().any(|r| r.has_object() || r.work.as_ref().is_some_and(Work::may_delete)) {
            self.clients.iter_mut().for_each(|c| c.deleted_outside = true);
        }
        // What it brings back may have been deleted since.
        let gone: Vec<bool> = self.clients.iter().map(|c| !c.live && self.names(c)).collect();
        self.clients.iter_mut().zip(gone).for_each(|(c, gone)| c.deleted_outside |= gone);
        // That it was replaced is forgotten, unless the backup knows of it. What somebody has used stays, all the same.
        let status = self.object.as_ref().map(|o| o.status_or_default()).unwrap_or_default();
        let retires = |id: &str| status.retiring.iter().any(|r| r.id == id);
        let forgotten = |c: &&mut AtC1| c.client.last_used_at.is_none() && !retires(&c.client.id);
        self.clients.iter_mut().filter(forgotten).for_each(|c| c.replaced = None);
        if self.held().and_then(|id| self.client(&id)).is_some_and(|c| !c.live) {
            reached(Situation::RestoredGone);
        }
        if let Some(open) = self.object.as_ref().and_then(|o| Record::of(o).open) {
            let used = |c: &AtC1| c.attempt().as_ref() == Some(&open.attempt) && c.client.last_used_at.is_some();
            if self.clients.iter().any(used) {
                reached(Situation::RestoredUsed);
            }
        }
    }
}
