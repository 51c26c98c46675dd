//! What counts as evidence: `docs/protocol.md`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Marker,
    decide::Decision,
    observed::{ClientRead, Identity, InventoryView, IssuerView, Origin},
};
use crate::{
    api::{IssuedClient, IssuerRef},
    c1::Client,
};

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
        self.o.issuers().any(|(_, view)| view.clock_off)
    }

    /// As whom a new client would be made.
    pub(super) fn identity(&self) -> Option<&'a Identity> {
        self.o.issuer.as_ref()?.identity.as_ref()
    }

    /// An issuer, usable or not.
    pub(super) fn view(&self, at: &IssuerRef) -> Option<&'a IssuerView> {
        if *at == self.o.object.issuer_ref() { self.o.issuer.as_ref() } else { self.o.former.get(at) }
    }

    /// The issuer through which a client can be reached, as the user who made it.
    pub(super) fn reach<'b>(&self, origin: impl Into<Origin<'b>>) -> Option<&'a IssuerView> {
        self.o.reach(&origin.into()).map(|(_, view)| view)
    }

    /// Whether it can.
    pub(super) fn is_mine<'b>(&self, origin: impl Into<Origin<'b>>) -> bool {
        self.reach(origin).is_some()
    }

    /// The list in which a client would stand.
    pub(super) fn inventory_of<'b>(&self, origin: impl Into<Origin<'b>>) -> Option<&'a InventoryView> {
        self.reach(origin)?.inventory.as_ref()
    }

    /// The first look at an issuer is under way, and will tell.
    pub(super) fn is_first_look(&self, at: &IssuerRef) -> bool {
        let unknown = |view: &IssuerView| view.identity.is_none() || view.inventory.is_none();
        if *at == self.o.object.issuer_ref() {
            return self.o.issuer.as_ref().is_none_or(unknown);
        }
        self.o.former.get(at).is_some_and(|view| !view.fails() && unknown(view))
    }

    /// The listed clients with this object's marker, and where they are.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&'a IssuerView, &'a Client, Marker)> {
        let owner = self.marker_owner.clone();
        let clients = self.o.issuers().flat_map(|(_, view)| {
            let clients = view.inventory.as_ref().map(|i| i.clients.as_slice()).unwrap_or_default();
            clients.iter().map(move |client| (view, client))
        });
        clients.filter_map(move |(view, client)| {
            let marker = Marker::parse(&client.display_name).filter(|m| m.is_of(&owner))?;
            Some((view, client, marker))
        })
    }

    /// A client as it is listed anywhere.
    pub(super) fn listed_as(&self, id: &str) -> Option<&'a Client> {
        self.o.issuers().find_map(|(_, view)| view.inventory.as_ref()?.client(id))
    }

    /// Whether the client carries this object's marker; `None`: it must be read to know. Gone ones count as marked: deleting
    /// them again does no harm.
    pub(super) fn marked(&self, id: &str) -> Option<bool> {
        if !self.guards.check_marker {
            return Some(true);
        }
        match (self.o.reads.get(id), self.listed_as(id)) {
            (Some(ClientRead::Gone), _) => Some(true),
            (Some(ClientRead::Live(client)), _) => Some(self.is_marked(client)),
            (None, Some(client)) => Some(self.is_marked(client)),
            (None, None) => None,
        }
    }

    fn is_marked(&self, client: &Client) -> bool {
        Marker::parse(&client.display_name).is_some_and(|m| m.is_of(&self.marker_owner))
    }

    /// Whether C1 says that somebody has used a client: a list may not know yet what a read by id does.
    fn is_known_used(&self, listed: &Client) -> bool {
        let read = self.o.reads.get(&listed.id);
        listed.last_used_at.is_some() || matches!(read, Some(ClientRead::Live(client)) if client.last_used_at.is_some())
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
        self.listed_as(id).is_some()
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
        if let Some(listed) = self.listed_as(&client.id) {
            return if self.is_marked(listed) { Presence::Live } else { Presence::MarkerLost };
        }
        if !self.guards.prove_gone {
            return Presence::Gone;
        }
        let Some(inventory) = self.inventory_of(client).filter(|i| i.complete && !i.empty) else {
            return Presence::Unproven;
        };
        let settle = self.o.timing.settle;
        let old = client
            .created_at
            .as_ref()
            .is_some_and(|created| self.is_settled(created.0) && inventory.began >= created.0 + settle / 5);
        if !old {
            return Presence::Unproven;
        }
        self.read(&client.id).unwrap_or(Presence::Ask)
    }

    /// When the open attempt turns old, or the move that is under way: its maker is not at work any more.
    pub(super) fn old_in(&self, started_at: Timestamp) -> Duration {
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
        if let Some((_, client, _)) = self.listed().find(|(_, _, m)| m.attempt == open.attempt) {
            return if self.is_known_used(client) { Opened::Used } else { Opened::Found(client) };
        }
        let reached = self.reach(open);
        let view = reached.or_else(|| self.o.issuer.as_ref().filter(|_| !self.is_first_look(&open.issuer_ref)));
        let Some(inventory) = view.and_then(|view| view.inventory.as_ref()) else { return Opened::NeedList };
        let timing = &self.o.timing;
        let old_for =
            self.o.open_seen.saturating_sub(timing.budget + timing.grace).max(
                self.past_by_clock(open.started_at).unwrap_or_default().saturating_sub(timing.budget + timing.skew),
            );
        if inventory.began_ago >= old_for && self.guards.list_after_old {
            return Opened::NeedList;
        }
        if (inventory.complete && reached.is_some()) || !self.guards.list_after_old {
            return Opened::Nothing;
        }
        // What another user made, or an issuer that is gone, cannot be seen: waiting would not help.
        let few = self.record.lately(self.now).count() < MOST_UNPROVEN;
        if few || reached.is_none() { Opened::Guess } else { Opened::Unproven }
    }
}
