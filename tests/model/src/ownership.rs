//! Who answers for a client: what the operator must still end, and what nobody can expect it to know of any more.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use c1_operator::{
    api::{PersonalClient, PersonalClientStatus},
    plan::{Content, Delivered, Record, SecretSeen},
};

use crate::{
    c1::AtC1,
    memo::{self, Memo},
    print::Printed,
    world::{State, is_deleting, time},
};

thread_local! {
    static RECORDS: RefCell<Memo<Rc<Record>>> = RefCell::default();
}

/// An object's record.
pub fn record(object: &Printed<PersonalClient>) -> Rc<Record> {
    memo::of(&RECORDS, object, || Rc::new(Record::of(object)))
}

impl State {
    /// The client that the Secret holds, intact and for the object that is there.
    pub fn held(&self) -> Option<String> {
        let secret = self.secret.as_ref()?;
        let intact = matches!(secret.content, Content::Intact { .. });
        secret.delivered.as_ref().filter(|_| intact).map(|d| d.client.id.clone())
    }

    /// The clients that the Secret names, whatever was done to its data: what it holds, and what that replaces.
    pub fn said_by_secret(&self) -> Vec<String> {
        let both = [&self.secret, &self.aside].into_iter().flatten();
        let delivered: Vec<_> = both.filter_map(|s| s.delivered.as_ref()).collect();
        let replaced = delivered.iter().flat_map(|d| &d.replaces).map(|r| &r.id);
        delivered.iter().map(|d| &d.client.id).chain(replaced).cloned().collect()
    }

    /// Whether status, record, or a Secret that stands there, name a client.
    pub fn names(&self, client: &AtC1) -> bool {
        let by = |secret: &Option<Printed<SecretSeen>>| {
            self.named_by(client, secret.as_ref().and_then(|s| s.delivered.as_ref()))
        };
        by(&self.secret) || (self.aside.is_some() && by(&self.aside))
    }

    fn named_by(&self, client: &AtC1, delivered: Option<&Delivered>) -> bool {
        let Some(attempt) = client.attempt() else { return true };
        let none = PersonalClientStatus::default();
        let status = self.object.as_ref().and_then(|o| o.status.as_ref()).unwrap_or(&none);
        let record = self.object.as_ref().map(record).unwrap_or_default();
        let id = &client.client.id;
        record.is_abandoned(&attempt)
            || record.open.as_ref().is_some_and(|o| o.attempt == attempt)
            || status.client.iter().chain(delivered.map(|d| &d.client)).any(|c| c.id == *id || c.attempt == attempt)
            || status
                .retiring
                .iter()
                .chain(delivered.iter().flat_map(|d| &d.replaces))
                .any(|r| r.id == *id || r.attempt == attempt)
    }

    /// Who decides now to let the object go, or has decided before, cannot know of these: C1 need not show them yet, or nobody has
    /// looked since they came to life. That a create took effect twice is seen at once, unless something else went wrong as well.
    pub fn note_unknowable(&mut self) {
        let unknown: Vec<bool> = self.clients.iter().map(|c| self.is_young(c) || self.is_unseen(c)).collect();
        let more_went_wrong = self.mishaps > 1;
        for (client, unknown) in self.clients.iter_mut().zip(unknown) {
            client.unknowable |= unknown && (client.late || (client.double && more_went_wrong));
        }
    }

    fn is_unseen(&self, client: &AtC1) -> bool {
        let made = client.client.created_at;
        self.replicas.iter().filter_map(|r| r.list.as_ref()).all(|list| Some(time(list.began)) <= made)
    }

    /// What nobody names now that somebody has destroyed a record is an orphan.
    pub fn disown(&mut self) {
        let unnamed: Vec<bool> = self.clients.iter().map(|c| c.live && !self.names(c)).collect();
        for (client, unnamed) in self.clients.iter_mut().zip(unnamed) {
            client.disowned |= unnamed;
            client.torn |= client.live;
        }
    }

    /// Attempts that a record does not name any more, because somebody destroyed it or its object: what they make is an orphan.
    pub fn forget_attempts(&mut self, before: Option<&PersonalClient>) {
        let named = |object: &PersonalClient| {
            let record = Record::of(object);
            let open = record.open.map(|o| o.attempt);
            open.into_iter().chain(record.abandoned.into_iter().map(|a| a.attempt)).collect::<BTreeSet<_>>()
        };
        let now = self.object.as_deref().map(named).unwrap_or_default();
        self.forgotten.extend(before.map(named).unwrap_or_default().difference(&now).cloned());
    }

    /// The Secret is taken away. What status or record should name as well they must; but for what only the Secret has named
    /// since somebody destroyed the record, and for what was to stay without its object.
    pub fn lose_secret(&mut self) {
        let said = self.said_by_secret();
        self.secret = None;
        let goes = self.object.as_ref().is_none_or(|o| is_deleting(o) && o.retains());
        let unnamed: Vec<bool> = self.clients.iter().map(|c| !self.names(c)).collect();
        for (client, unnamed) in self.clients.iter_mut().zip(unnamed) {
            client.disowned |= (client.torn && unnamed) || (goes && said.contains(&client.client.id));
        }
    }

    /// What is named again is answered for again: by status, record, or a Secret that the object has adopted.
    pub fn own_again(&mut self) {
        let Some(object) = self.object.as_ref().filter(|o| !is_deleting(o)) else { return };
        if self.clients.iter().all(|c| !c.disowned) {
            return;
        }
        let delivered = self.secret.as_ref().and_then(|s| s.delivered.as_ref());
        let adopted = delivered.filter(|d| object.metadata.uid.as_ref() == Some(&d.owner.uid));
        let named: Vec<bool> = self.clients.iter().map(|c| self.named_by(c, adopted)).collect();
        for (client, named) in self.clients.iter_mut().zip(named) {
            client.disowned &= !named;
        }
    }
}
