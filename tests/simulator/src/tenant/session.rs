//! Access tokens: who gets one, and what it is good for.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::{Cidr, Client, Permission, Refusal, Rights, Tenant, host};
use crate::{credential::PublicKey, random, switches::TokenFate};

/// An access token's meaning; its text is the key under which it is kept.
#[derive(Debug)]
pub(super) struct AccessToken {
    holder: Holder,
    expires: Timestamp,
}

#[derive(Clone, Debug)]
enum Holder {
    Client(usize),
    Device { user_id: String },
}

/// Whoever makes a call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: String,
    rights: Rights,
}

impl Caller {
    /// What the caller may do.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Refuses a caller who may not.
    pub fn require(&self, permission: Permission) -> Result<(), Refusal> {
        if self.rights.allow(permission) {
            return Ok(());
        }
        Err(Refusal::PermissionDenied(format!("Permission denied, missing {}", permission.name())))
    }
}

/// Why a client gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// Unknown, deleted, expired, or its owner is disabled.
    NoSuchClient,
    /// Not from there.
    SourceAddress,
}

impl Tenant {
    /// The verification key of a client that may log in.
    pub fn key_of(&self, client_id: &str) -> Result<PublicKey, LoginError> {
        self.login_position(client_id).map(|position| self.client_at(position).key)
    }

    /// The hosts of which an assertion's audience must name one.
    pub fn audiences(&self, client_id: &str) -> Vec<String> {
        self.names.iter().map(String::as_str).chain(host::name_in(client_id)).map(str::to_owned).collect()
    }

    /// Gives a token to a client whose proof was found good.
    pub fn log_in(&mut self, client_id: &str, peer: IpAddr) -> Result<String, LoginError> {
        let position = self.login_position(client_id)?;
        let now = self.now();
        let client = &mut self.estate.clients[position];
        if !Cidr::admits(&client.allow_source_cidr, peer) {
            return Err(LoginError::SourceAddress);
        }
        client.uses.push(now);
        client.tokens_issued += 1;
        self.revision += 1;
        Ok(self.issue(Holder::Client(position)))
    }

    /// Gives a token to a device that a user has approved.
    pub(super) fn log_in_device(&mut self, user_id: String) -> String {
        self.issue(Holder::Device { user_id })
    }

    /// Whoever stands behind a token. Rights are those of now, not of when it was given.
    pub fn caller(&self, token: &str, peer: IpAddr) -> Result<Caller, Refusal> {
        let token = self.tokens.get(token).ok_or(Refusal::Unauthenticated)?;
        if token.expires <= self.now() {
            return Err(Refusal::Unauthenticated);
        }
        let (user_id, client) = match &token.holder {
            Holder::Client(position) => {
                let client = self.client_at(*position);
                (&client.user_id, Some(client))
            }
            Holder::Device { user_id } => (user_id, None),
        };
        let user = self.user(user_id).map_err(|_| Refusal::Unauthenticated)?;
        let dead = client.is_some_and(|client| self.died_with(client));
        if user.disabled || dead {
            return Err(Refusal::Unauthenticated);
        }
        if client.is_some_and(|client| !Cidr::admits(&client.allow_source_cidr, peer)) {
            return Err(Refusal::PermissionDenied("Permission denied, source address is not allowed".to_owned()));
        }
        let rights = client.map_or_else(Rights::of_device, |client| self.rights(client, user));
        Ok(Caller { user_id: user_id.clone(), rights })
    }

    /// Ends all access tokens at once.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    fn login_position(&self, client_id: &str) -> Result<usize, LoginError> {
        let id = client_id.split_once('@').map_or(client_id, |(id, _)| id);
        let position = self.position(id).map_err(|_| LoginError::NoSuchClient)?;
        let client = self.client_at(position);
        let owner_may = self.user(&client.user_id).is_ok_and(|owner| !owner.disabled);
        let live = client.client_id == client_id && client.is_live(self.now()) && owner_may;
        if live { Ok(position) } else { Err(LoginError::NoSuchClient) }
    }

    fn died_with(&self, client: &Client) -> bool {
        client.deleted_at.is_some() && self.switches.deleted_tokens == TokenFate::Die
    }

    fn issue(&mut self, holder: Holder) -> String {
        let lifetime = SignedDuration::from_secs(i64::from(self.switches.token_lifetime));
        let expires = self.now().checked_add(lifetime).unwrap_or(Timestamp::MAX);
        let token = format!("c1-access-{}{}", random::ksuid(), random::ksuid());
        self.tokens.insert(token.clone(), AccessToken { holder, expires });
        token
    }
}
