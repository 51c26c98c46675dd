//! C1's list of clients, read once for all objects of an issuer: deletions outside, lost answers and orphans are seen by it,
//! and idle objects cost nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::jiff::Timestamp;

use crate::{
    c1::{Client, Listing},
    clock::BootInstant,
    plan::{InventoryView, Marker, marker},
};

/// One list.
pub struct Inventory {
    began: Timestamp,
    /// By a clock that cannot be set.
    pub began_at: BootInstant,
    /// Every page was read.
    pub complete: bool,
    clients: Vec<Client>,
    by_id: HashMap<String, usize>,
    by_owner: HashMap<String, Vec<usize>>,
    /// What we have changed, or deleted (`None`), since: who goes on seeing here what was would go on changing or deleting it.
    changed: Mutex<HashMap<String, Option<Client>>>,
}

impl Inventory {
    /// What a list says that was begun then.
    #[must_use]
    pub fn new(began: Timestamp, began_at: BootInstant, listing: Listing) -> Self {
        let mut by_id = HashMap::new();
        let mut by_owner: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, client) in listing.clients.iter().enumerate() {
            by_id.insert(client.id.clone(), index);
            if let Some(marker) = Marker::parse(&client.display_name) {
                by_owner.entry(marker::owner_id(&marker.owner).to_owned()).or_default().push(index);
            }
        }
        Self {
            began,
            began_at,
            complete: listing.complete,
            clients: listing.clients,
            by_id,
            by_owner,
            changed: Mutex::default(),
        }
    }

    /// The user whose clients these are, if there are any: C1 lists only the caller's own.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.clients.first().map(|c| c.user_id.as_str()).filter(|u| !u.is_empty())
    }

    /// The part that matters for one object: what carries its marker, and what it names.
    #[must_use]
    pub fn view<'a>(&self, owner: &str, ids: impl Iterator<Item = &'a str>) -> InventoryView {
        let mut indices: Vec<usize> =
            self.by_owner.get(marker::owner_id(owner)).into_iter().flatten().copied().collect();
        for id in ids {
            indices.extend(self.by_id.get(id).filter(|i| !indices.contains(i)).copied().as_slice());
        }
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        InventoryView {
            began: self.began,
            began_ago: self.began_at.elapsed(),
            complete: self.complete,
            empty: self.clients.is_empty(),
            clients: indices
                .into_iter()
                .map(|i| &self.clients[i])
                .filter_map(|c| changed.get(&c.id).map_or(Some(c), Option::as_ref))
                .cloned()
                .collect(),
        }
    }

    /// Leaves a client out from now on: it was deleted.
    pub fn forget(&self, id: &str) {
        self.change(id, None);
    }

    /// Shows a client from now on as it was changed.
    pub fn replace(&self, client: &Client) {
        self.change(&client.id, Some(client.clone()));
    }

    fn change(&self, id: &str, client: Option<Client>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        // What is deleted stays so, whatever an earlier change answers.
        if !matches!(changed.get(id), Some(None)) {
            changed.insert(id.to_owned(), client);
        }
    }

    /// The clients with this cluster's marker that `belongs` does not claim, oldest first.
    pub fn orphans(&self, cluster: &str, belongs: impl Fn(&Client, &Marker) -> bool) -> Vec<&Client> {
        let marked = self.clients.iter().filter_map(|c| Some((c, Marker::parse(&c.display_name)?)));
        let mut orphans: Vec<&Client> = marked
            .filter(|(c, m)| marker::cluster_id(m.cluster()) == marker::cluster_id(cluster) && !belongs(c, m))
            .map(|(c, _)| c)
            .collect();
        orphans.sort_by_key(|c| c.created_at);
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str, name: &str) -> Client {
        Client { id: id.into(), display_name: name.into(), user_id: "u".into(), ..Default::default() }
    }

    fn inventory(clients: Vec<Client>) -> Inventory {
        Inventory::new(Timestamp::UNIX_EPOCH, BootInstant::now(), Listing { clients, complete: true })
    }

    #[test]
    fn a_view_holds_the_marked_and_the_named_once_each() {
        let all = inventory(vec![
            client("a", "x [k8s c/ns/n 1]"),
            client("b", "renamed"),
            client("c", "y [k8s c/ns/other 2]"),
        ]);
        let ids = |all: &Inventory| {
            let view = all.view("c/ns/n", ["a", "b", "gone"].into_iter());
            view.clients.into_iter().map(|c| c.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&all), ["a", "b"]);
        all.forget("a");
        all.replace(&client("a", "x [k8s c/ns/n 1]"));
        assert_eq!(ids(&all), ["b"]);
        all.replace(&client("b", "renamed again"));
        assert_eq!(all.view("c/ns/n", ["b"].into_iter()).clients[0].display_name, "renamed again");
    }

    #[test]
    fn orphans_carry_the_marker_and_belong_to_nobody() {
        let all = inventory(vec![
            client("a", "x [k8s c/ns/n 1]"),
            client("b", "x [k8s c/ns/n 2]"),
            client("d", "x [k8s other/ns/n 3]"),
        ]);
        let orphans = all.orphans("c", |_, marker| marker.attempt == "1");
        assert_eq!(orphans.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
