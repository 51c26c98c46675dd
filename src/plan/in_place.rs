//! Row 12, without a new client: what the spec asks for anew, or somebody changed at C1, and can be changed in place.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    Marker,
    decide::{Decision, Holding},
    evidence::Presence,
    need::Bar,
    observed::ClientRead,
    step::{Look, Plan, Step, UpdateStep},
    wanted::{Wanted, is_edited},
};
use crate::{
    api::IssuedClient,
    c1::{Client, Field, UpdateRequest},
};

impl Decision<'_> {
    /// The current client is not as it is asked to be.
    pub(super) fn update(&self) -> Option<Plan> {
        let client = self.status.client.as_ref().filter(|client| !self.expired(client))?;
        let Holding::Ours(_, delivered) = self.holding() else { return None };
        if delivered.client.id != client.id {
            return None;
        }
        let (edited, drifted) = (self.edited(client), self.drifted(client));
        // What else is new in a spec comes first: should C1 refuse to put back what drifted, nothing else waits for it.
        let new_spec = self.status.observed_generation != self.generation();
        if self.wanted().is_none() && self.is_unapplied(client) {
            return self.issuer_missing().map(|plan| self.with_time(plan));
        }
        let asked = Look::Client(client.id.clone());
        if edited.is_empty() && (drifted.is_empty() || new_spec || self.has_failed(&asked)) {
            return None;
        }
        let ready = || match (self.allowed()?, self.backoff(None)) {
            (_, Some(until)) => Err(Bar::Pause(until)),
            (wanted, None) => Ok(wanted),
        };
        let ready = match ready() {
            Err(bar) if !edited.is_empty() => return Some(self.barred(!self.is_unapplied(client), bar)),
            ready => ready,
        };
        match (self.marked(&client.id), self.read(&client.id)) {
            (None, _) => return Some(self.step(Step::Look(Look::Client(client.id.clone())))),
            // Somebody took our marker away: not ours to change (P4). Or C1 does not know it yet.
            (Some(false), _) | (_, Some(Presence::Gone)) => return None,
            // That a list says so may be old.
            (Some(true), None) if edited.is_empty() => {
                return Some(self.step(Step::Look(Look::Client(client.id.clone()))));
            }
            (Some(true), _) => {}
        }
        Some(match ready {
            Ok(wanted) => self.step(Step::Update(Box::new(self.changes(client, wanted, edited, drifted)))),
            Err(bar) => self.barred(!self.is_unapplied(client), bar),
        })
    }

    fn changes(&self, client: &IssuedClient, wanted: Wanted, edited: Vec<Field>, drifted: Vec<Field>) -> UpdateStep {
        let fields: BTreeSet<Field> = edited.into_iter().chain(drifted.iter().copied()).collect();
        let marker = Marker { owner: self.marker_owner.clone(), attempt: client.attempt.clone() };
        UpdateStep {
            requested: wanted.requested(),
            request: UpdateRequest {
                id: client.id.clone(),
                fields: fields.into_iter().collect(),
                display_name: marker.append_to(&wanted.display_name),
                scoped_roles: wanted.scoped_roles,
                allow_source_cidr: wanted.allow_source_cidr,
            },
            drifted,
            edited: self.is_unapplied(client),
            placed: self.is_placed(),
        }
    }

    /// What is asked for now and was not then: by the spec, or by the issuer's defaults.
    pub(super) fn edited(&self, client: &IssuedClient) -> Vec<Field> {
        self.wanted().map(|wanted| wanted.unlike(&client.requested)).unwrap_or_default()
    }

    /// What the object asks for, by its spec and the issuer's defaults.
    fn wanted(&self) -> Option<&Wanted> {
        let of = || Wanted::of(&self.o.object, &self.o.issuer.as_ref()?.defaults).ok();
        self.wanted.get_or_init(of).as_ref()
    }

    /// The spec asks for something that the client is not, and that is changed in place. Not by the generation that status is
    /// about: a failure has to be said of this very one, and is not the end of it.
    pub(super) fn is_unapplied(&self, client: &IssuedClient) -> bool {
        let edited = is_edited(&self.o.object.spec, &client.requested);
        match self.wanted() {
            Some(wanted) => edited && !wanted.unlike(&client.requested).is_empty(),
            // Without the issuer nobody knows what it comes to.
            None => edited && self.o.issuer.is_none(),
        }
    }

    /// C1 refused to change the client as this very spec asks, or it is not ours to change, because somebody took our marker away or
    /// another user made it: then a new one is issued.
    pub(super) fn cannot_be_changed(&self, client: &IssuedClient) -> bool {
        let refused = self.status.update_refused_generation == Some(self.generation());
        let anothers = self.identity().is_some() && !self.is_mine(client);
        let not_ours = self.marked(&client.id) == Some(false) || anothers;
        (refused && !self.edited(client).is_empty()) || (self.is_unapplied(client) && not_ours)
    }

    /// What C1 shows otherwise than it answered last: somebody has changed it there. Never what differs from the spec: C1 may
    /// put that in other words.
    fn drifted(&self, client: &IssuedClient) -> Vec<Field> {
        let listed = self.listed_as(&client.id);
        let shown = match self.o.reads.get(&client.id) {
            Some(ClientRead::Live(read)) => Some(read.as_ref()),
            Some(ClientRead::Gone) => None,
            None => listed,
        };
        shown.map(|shown| unlike(client, shown)).unwrap_or_default()
    }
}

fn unlike(client: &IssuedClient, shown: &Client) -> Vec<Field> {
    let same = |field: &Field| match field {
        Field::DisplayName => client.display_name == shown.display_name,
        Field::ScopedRoles => set(&client.scoped_roles) == set(&shown.scoped_roles),
        Field::AllowSourceCidr => networks(&client.allow_source_cidr) == networks(&shown.allow_source_cidr),
    };
    Field::ALL.into_iter().filter(|field| !same(field)).collect()
}

fn set(texts: &[String]) -> BTreeSet<&String> {
    texts.iter().collect()
}

/// However they are written.
fn networks(texts: &[String]) -> BTreeSet<String> {
    let plain = |text: &String| text.parse::<IpNet>().map_or_else(|_| text.clone(), |net| net.trunc().to_string());
    texts.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_are_the_same_however_they_are_written() {
        let of = |texts: &[&str]| networks(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["10.1.2.3/8", "2001:DB8::/32"]), of(&["2001:db8::/32", "10.0.0.0/8"]));
        assert_ne!(of(&["10.0.0.0/8"]), of(&["10.0.0.0/9"]));
        assert_ne!(of(&["strange"]), of(&[]));
    }

    proptest! {
        #[test]
        fn networks_of_any_text_never_panic(texts in prop::collection::vec("\\PC*", 0..4)) {
            let _ = networks(&texts);
        }

        /// An address of a network names it as well as its first does, and none other.
        #[test]
        fn a_network_is_read_as_it_was_written(address in any::<IpAddr>(), length in 0_u8..=128) {
            let length = length.min(if address.is_ipv4() { 32 } else { 128 });
            let net = IpNet::new(address, length).unwrap();
            let of = |text: String| networks(&[text]);
            prop_assert_eq!(of(net.to_string()), of(format!("{}/{length}", net.network())));
            prop_assert_eq!(of(net.to_string()), BTreeSet::from([net.trunc().to_string()]));
            let parsed: Vec<IpNet> = of(net.to_string()).iter().map(|text| text.parse().unwrap()).collect();
            prop_assert_eq!(parsed, vec![net.trunc()]);
        }
    }
}
