//! The life of a client: made, seen, changed, deleted.

use jiff::{SignedDuration, Timestamp};

use super::{Client, ClientEdit, ClientWish, Refusal, Tenant, names};
use crate::{
    credential::secret,
    switches::{Consent, GetAfterDelete, LongDisplayName},
};

impl Tenant {
    /// Makes a client for a user and returns its position and its secret. Two equal wishes make two clients.
    pub fn create_client(&mut self, owner: &str, mut wish: ClientWish) -> Result<(usize, String), Refusal> {
        wish.display_name = self.fitting_name(wish.display_name)?;
        self.check_roles(&wish.scoped_roles)?;
        self.check_quota(owner)?;
        self.add_client(owner, wish)
    }

    /// Makes the client with which a test begins: not narrowed, for ever, and whatever the switches say.
    pub fn create_bootstrap(&mut self, owner: &str) -> Result<(usize, String), Refusal> {
        let wish = ClientWish { display_name: "bootstrap".to_owned(), ..ClientWish::default() };
        let (position, secret) = self.add_client(owner, wish)?;
        self.estate.clients[position].bootstrap = true;
        Ok((position, secret))
    }

    fn add_client(&mut self, owner: &str, wish: ClientWish) -> Result<(usize, String), Refusal> {
        let now = self.now();
        let user_id = self.user(owner)?.id.clone();
        let expires_time = wish.lifetime.map(|lifetime| end(now, lifetime)).transpose()?;
        let (secret, key) = secret::mint();
        let id = self.new_id();
        let position = self.estate.clients.len();
        self.positions.insert(id.clone(), position);
        self.estate.clients.push(Client {
            client_id: self.host.client_id(&id),
            id,
            display_name: wish.display_name,
            user_id,
            scoped_roles: wish.scoped_roles,
            allow_source_cidr: wish.allow_source_cidr,
            expires_time,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            born: Timestamp::now(),
            bootstrap: false,
            tokens_issued: 0,
            uses: Vec::new(),
            key,
        });
        self.revision += 1;
        Ok((position, secret))
    }

    /// Every client ever made, with its position, in the order of their making.
    pub fn clients(&self) -> impl DoubleEndedIterator<Item = (usize, &Client)> {
        self.estate.clients.iter().enumerate()
    }

    /// The client at a position.
    pub fn client_at(&self, position: usize) -> &Client {
        &self.estate.clients[position]
    }

    /// The position of a client by id, deleted or not.
    pub fn position(&self, id: &str) -> Result<usize, Refusal> {
        self.positions.get(id).copied().ok_or(Refusal::NotFound)
    }

    /// The position of a client that the user may change: a foreign one is not found, rather than forbidden.
    pub fn own_position(&self, user_id: &str, id: &str) -> Result<usize, Refusal> {
        let position = self.position(id)?;
        let client = self.client_at(position);
        if client.user_id == user_id && client.deleted_at.is_none() { Ok(position) } else { Err(Refusal::NotFound) }
    }

    /// A client of the user; whether a deleted one is found is a switch.
    pub fn get_client(&self, user_id: &str, id: &str) -> Result<&Client, Refusal> {
        let client = self.client_at(self.position(id)?);
        let shown = client.deleted_at.is_none() || self.switches.get_after_delete == GetAfterDelete::DeletedAt;
        if client.user_id == user_id && shown { Ok(client) } else { Err(Refusal::NotFound) }
    }

    /// Changes a client through the API, where not every change is allowed; all of the edits or none.
    pub fn update_client(&mut self, position: usize, edits: Vec<ClientEdit>) -> Result<(), Refusal> {
        if self.switches.update_policy == Consent::Refuse {
            return Err(Refusal::FailedPrecondition("personal clients cannot be updated".to_owned()));
        }
        let touches_expiry = edits.iter().any(|edit| matches!(edit, ClientEdit::ExpiresTime(_)));
        if touches_expiry && self.switches.update_expires == Consent::Refuse {
            return Err(Refusal::invalid("expires_time cannot be changed"));
        }
        self.edit_client(position, edits)
    }

    /// Changes a client, all of the edits or none.
    pub fn edit_client(&mut self, position: usize, edits: Vec<ClientEdit>) -> Result<(), Refusal> {
        let now = self.now();
        let mut client = self.client_at(position).clone();
        client.updated_at = now;
        for edit in edits {
            match edit {
                ClientEdit::DisplayName(name) => client.display_name = self.fitting_name(name)?,
                ClientEdit::ScopedRoles(roles) => {
                    self.check_roles(&roles)?;
                    client.scoped_roles = roles;
                }
                ClientEdit::AllowSourceCidr(networks) => client.allow_source_cidr = networks,
                ClientEdit::ExpiresTime(Some(end)) if end <= now => {
                    return Err(Refusal::invalid("expires_time must be in the future"));
                }
                ClientEdit::ExpiresTime(end) => client.expires_time = end,
                ClientEdit::LastUsedAt(used) => client.uses = used.into_iter().collect(),
            }
        }
        self.estate.clients[position] = client;
        self.revision += 1;
        Ok(())
    }

    /// Deletes a client. It stays in the ledger.
    pub fn delete_client(&mut self, position: usize) {
        let now = self.now();
        let client = &mut self.estate.clients[position];
        client.deleted_at = Some(now);
        client.updated_at = now;
        self.revision += 1;
    }

    fn new_id(&self) -> String {
        loop {
            let id = names::cutename();
            if !self.positions.contains_key(&id) {
                return id;
            }
        }
    }

    fn fitting_name(&self, name: String) -> Result<String, Refusal> {
        let max = self.switches.max_display_name;
        if max == 0 || name.chars().count() <= max {
            return Ok(name);
        }
        match self.switches.long_display_name {
            LongDisplayName::Truncate => Ok(name.chars().take(max).collect()),
            LongDisplayName::Refuse => Err(Refusal::invalid(format!("value length must be at most {max} runes"))),
        }
    }

    fn check_roles(&self, ids: &[String]) -> Result<(), Refusal> {
        let known = |id: &String| self.estate.roles.iter().any(|role| role.id == *id);
        if ids.iter().all(known) { Ok(()) } else { Err(Refusal::NotFound) }
    }

    fn check_quota(&self, user_id: &str) -> Result<(), Refusal> {
        let max = self.switches.max_clients_per_user;
        let counts = |client: &&Client| client.user_id == user_id && client.deleted_at.is_none();
        if max > 0 && self.estate.clients.iter().filter(counts).count() >= max {
            return Err(Refusal::FailedPrecondition(format!("a user can have no more than {max} personal clients")));
        }
        Ok(())
    }
}

/// When a lifetime that begins now ends.
fn end(now: Timestamp, lifetime: SignedDuration) -> Result<Timestamp, Refusal> {
    if !lifetime.is_positive() {
        return Err(Refusal::invalid("invalid CreateRequest.Expires: value must be greater than 0s"));
    }
    now.checked_add(lifetime).map_err(|_| Refusal::invalid("expires is beyond the end of time"))
}
