//! The C1 tenant, as far as the operator sees it: its clients.

use c1_operator::{
    c1::{Client, UpdateRequest},
    plan::{Answer, Marker},
};

use crate::{
    print::Printed,
    situations::{Situation, reached},
    world::{HOST, State, owner, time},
};

/// A client at C1.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AtC1 {
    /// As C1 shows it.
    pub client: Printed<Client>,
    /// Not deleted.
    pub live: bool,
    /// It came into being when its attempt could count as old: whoever judged the attempt may have seen nothing of it.
    pub late: bool,
    /// Not the operator made it: a clone of the cluster, or a person.
    pub foreign: bool,
    /// When a delivery replaced it, while it worked, in the Secret; and nothing has happened since that made it unknown.
    pub replaced: Option<u32>,
    /// Not the operator, but somebody else deleted it; or a backup brought back what was deleted, or being deleted.
    pub deleted_outside: bool,
    /// Its create took effect twice, and this is the one that nobody was told of.
    pub double: bool,
    /// Whoever decided to let the object go could not know of it: it was made twice, or had come to life so late, so shortly before
    /// that C1 need not have shown it, or after the last look at C1.
    pub unknowable: bool,
    /// Somebody destroyed what named it, or uses it without being named: it is an orphan, to be reported.
    pub disowned: bool,
    /// Somebody has destroyed a record since its attempt began, which may have named it.
    pub torn: bool,
    /// Somebody has taken its marker away. A replica that stood still may give it back, when status does not name it any more.
    pub renamed: bool,
}

impl AtC1 {
    /// The operator made it and has to answer for it.
    pub fn is_owned(&self) -> bool {
        self.live && !self.foreign && !self.disowned
    }

    /// The attempt in its marker, if it carries the object's.
    pub fn attempt(&self) -> Option<String> {
        let marker = Marker::parse(&self.client.display_name)?;
        (marker.owner == owner()).then_some(marker.attempt)
    }
}

impl State {
    /// Makes a client.
    pub fn create(&mut self, display_name: &str, user_id: &str, late: bool) -> Client {
        let id = format!("client-{}", self.clients.len() + 1);
        let client = Client {
            client_id: format!("{id}@{HOST}/pcc"),
            id,
            display_name: display_name.into(),
            user_id: user_id.into(),
            created_at: Some(time(self.now)),
            ..Client::default()
        };
        let attempt = Marker::parse(display_name).map(|m| m.attempt).unwrap_or_default();
        let disowned = self.forgotten.contains(&attempt);
        self.clients.push(AtC1 {
            client: Printed::new(client.clone()),
            live: true,
            late,
            foreign: false,
            replaced: None,
            deleted_outside: false,
            double: false,
            unknowable: false,
            disowned,
            torn: disowned,
            renamed: false,
        });
        client
    }

    /// Changes a client in place. The list that the replica holds shows it from then on.
    pub fn update_client(&mut self, r: usize, request: &UpdateRequest) -> Answer {
        let Some(found) = self.client_mut(&request.id).filter(|c| c.live) else { return Answer::Gone };
        let client = Client { display_name: request.display_name.clone(), ..Client::clone(&found.client) };
        found.client = Printed::new(client.clone());
        reached(Situation::ChangedInPlace);
        self.show(r, &client);
        Answer::Updated(Box::new(client))
    }

    /// A client by its id.
    pub fn client(&self, id: &str) -> Option<&AtC1> {
        self.clients.iter().find(|c| c.client.id == id)
    }

    /// The same, to change.
    pub fn client_mut(&mut self, id: &str) -> Option<&mut AtC1> {
        self.clients.iter_mut().find(|c| c.client.id == id)
    }
}
