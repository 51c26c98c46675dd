//! What counts as evidence: `docs/protocol.md`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Marker,
    decide::Decision,
    observed::{ClientRead, Identity, InventoryView},
};
use crate::{api::IssuedClient, c1::Client};

/// When evidence that has grown old is fetched anew.
const SOON: Duration = Duration::from_secs(1);
/// When it is looked whether the clocks agree again.
const CLOCK_OFF: Duration = Duration::from_secs(30);
/// How many attempts may be closed without a complete list.
const MOST_UNPROVEN: usize = 3;

/// Whether a client exists at C1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It does, with our marker.
    Live,
    /// It does, but somebody took the marker away.
    MarkerLost,
    /// It does not: absent from a complete list, and from a read by id, as the user who owned it.
    Gone,
    /// It is absent from a list: a read by id would tell.
    Ask,
    /// Nothing says that it does not.
    Unproven,
}

/// What has become of the open attempt.
#[derive(Clone, Copy)]
pub(super) enum Opened<'a> {
    /// There is none: status or Secret carries it, or its client retires already.
    No,
    /// This process knows that nothing was sent for it.
    Unsent,
    /// Its maker may still be at work, until then.
    Young(Timestamp),
    /// Only a list that begins now can tell.
    NeedList,
    /// It made a client, which was never used.
    Found(&'a Client),
    /// It made a client, and somebody used it.
    Used,
    /// It made none, by a complete list.
    Nothing,
    /// It cannot be told. For a new attempt that will do a few times; not for letting go.
    Guess,
    /// It cannot be told, and too many before could not.
    Unproven,
}

impl<'a> Decision<'a> {
    /// Our clock and C1's differ: neither tells how old something is.
    pub(super) fn clock_off(&self) -> bool {
        self.o.issuer.as_ref().is_some_and(|i| i.clock_off)
    }

    pub(super) fn identity(&self) -> Option<&'a Identity> {
        self.o.issuer.as_ref()?.identity.as_ref()
    }

    pub(super) fn inventory(&self) -> Option<&'a InventoryView> {
        self.o.issuer.as_ref()?.inventory.as_ref()
    }

    /// The listed clients with this object's marker.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&'a Client, Marker)> {
        let owner = self.marker_owner.clone();
        let clients = self.inventory().map(|i| i.clients.as_slice()).unwrap_or_default();
        clients.iter().filter_map(move |c| {
            let marker = Marker::parse(&c.display_name).filter(|m| m.is_of(&owner))?;
            Some((c, marker))
        })
    }

    /// Whether the client carries this object's marker; `None`: it must be read to know. Gone ones count as marked: deleting
    /// them again does no harm.
    pub(super) fn marked(&self, id: &str) -> Option<bool> {
        if !self.guards.check_marker {
            return Some(true);
        }
        match (self.o.reads.get(id), self.inventory().and_then(|i| i.client(id))) {
            (Some(ClientRead::Gone), _) => Some(true),
            (Some(ClientRead::Live(client)), _) => Some(self.is_marked(client)),
            (None, Some(client)) => Some(self.is_marked(client)),
            (None, None) => None,
        }
    }

    fn is_marked(&self, client: &Client) -> bool {
        Marker::parse(&client.display_name).is_some_and(|m| m.is_of(&self.marker_owner))
    }

    /// What a read of this client said, if there was one.
    pub(super) fn read(&self, id: &str) -> Option<Presence> {
        Some(match self.o.reads.get(id)? {
            ClientRead::Gone => Presence::Gone,
            ClientRead::Live(client) if self.is_marked(client) => Presence::Live,
            ClientRead::Live(_) => Presence::MarkerLost,
        })
    }

    pub(super) fn is_listed(&self, id: &str) -> bool {
        self.inventory().is_some_and(|i| i.client(id).is_some())
    }

    /// Whether what was made then was known everywhere at C1 when it was asked: only then is it gone when C1 says so.
    pub(super) fn is_settled(&self, made: Timestamp) -> bool {
        !self.clock_off() && made + self.o.timing.settle <= self.now.min(self.o.as_of)
    }

    /// When it will be, should it not be so yet.
    pub(super) fn settled_at(&self, made: Timestamp) -> Option<Timestamp> {
        let soon = if self.clock_off() { CLOCK_OFF } else { SOON };
        (!self.is_settled(made)).then(|| (made + self.o.timing.settle).max(self.now + soon))
    }

    pub(super) fn presence(&self, client: &IssuedClient) -> Presence {
        if let Some(listed) = self.inventory().and_then(|i| i.client(&client.id)) {
            return if self.is_marked(listed) { Presence::Live } else { Presence::MarkerLost };
        }
        if !self.guards.prove_gone {
            return Presence::Gone;
        }
        let Some(inventory) = self.inventory().filter(|i| i.complete && !i.empty) else { return Presence::Unproven };
        let Some(identity) = self.identity() else { return Presence::Unproven };
        let same_user = (&client.host, &client.user_id) == (&identity.host, &identity.user_id);
        let settle = self.o.timing.settle;
        let old = client
            .created_at
            .as_ref()
            .is_some_and(|created| self.is_settled(created.0) && inventory.began >= created.0 + settle / 5);
        if !same_user || !old {
            return Presence::Unproven;
        }
        self.read(&client.id).unwrap_or(Presence::Ask)
    }

    /// When the open attempt turns old: its maker is not at work any more.
    fn old_in(&self, started_at: Timestamp) -> Duration {
        let timing = &self.o.timing;
        let seen = (timing.budget + timing.grace).saturating_sub(self.o.open_seen);
        let by_clock = self.past_by_clock(started_at);
        by_clock.map_or(seen, |past| seen.min((timing.budget + timing.skew).saturating_sub(past)))
    }

    /// How long ago an attempt began, by wall clock: no evidence while that cannot be believed, or lies in the future.
    fn past_by_clock(&self, started_at: Timestamp) -> Option<Duration> {
        (!self.clock_off() && started_at <= self.now).then(|| self.since(started_at))
    }

    pub(super) fn opened(&self) -> Opened<'a> {
        let Some(open) = &self.record.open else { return Opened::No };
        if self.is_carried(&open.attempt) {
            return Opened::No;
        }
        if self.o.unsent.as_ref() == Some(&open.attempt) {
            return Opened::Unsent;
        }
        let old_in = self.old_in(open.started_at);
        if !old_in.is_zero() && self.guards.wait_until_old {
            return Opened::Young(self.now + old_in);
        }
        let Some(inventory) = self.inventory() else { return Opened::NeedList };
        if let Some((client, _)) = self.listed().find(|(_, m)| m.attempt == open.attempt) {
            return if client.last_used_at.is_some() { Opened::Used } else { Opened::Found(client) };
        }
        let timing = &self.o.timing;
        let old_for =
            self.o.open_seen.saturating_sub(timing.budget + timing.grace).max(
                self.past_by_clock(open.started_at).unwrap_or_default().saturating_sub(timing.budget + timing.skew),
            );
        if inventory.began_ago >= old_for && self.guards.list_after_old {
            return Opened::NeedList;
        }
        let same_user = self.identity().is_some_and(|i| (&i.host, &i.user_id) == (&open.host, &open.user_id));
        if (inventory.complete && same_user) || !self.guards.list_after_old {
            return Opened::Nothing;
        }
        // What another user made cannot be seen: waiting would not help.
        let few = self.record.recent(self.now) < MOST_UNPROVEN;
        if few || !same_user { Opened::Guess } else { Opened::Unproven }
    }
}
