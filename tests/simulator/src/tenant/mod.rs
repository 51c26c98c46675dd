//! The tenant: who and what there is in it, and the rules about it. Knows nothing of HTTP.

mod cidr;
mod client;
mod device;
mod host;
mod lifecycle;
mod names;
mod refusal;
mod rights;
mod role;
mod session;
mod user;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use self::session::AccessToken;
pub use self::{
    cidr::Cidr,
    client::{Client, ClientEdit, ClientWish},
    device::{DeviceGrant, Poll},
    host::Host,
    refusal::Refusal,
    rights::{Permission, Rights},
    role::Role,
    session::{Caller, LoginError},
    user::User,
};
use crate::{clock::Clock, random, switches::Switches};

/// What survives a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estate {
    id: String,
    clock: Clock,
    roles: Vec<Role>,
    users: Vec<User>,
    /// Every client ever made, in order. None is ever removed, so a position names a client for good.
    clients: Vec<Client>,
}

impl Estate {
    /// A new tenant: the system's roles, and one user who is Super Administrator.
    pub fn found() -> Self {
        let clock = Clock::default();
        let roles = role::catalogue(clock.now());
        let owner = roles.iter().filter(|role| role.name == role::OWNER).map(|role| role.id.clone()).collect();
        let users = vec![User::new(1, owner, clock.now())];
        Self { id: random::ksuid(), clock, roles, users, clients: Vec::new() }
    }
}

/// A tenant at work.
#[derive(Debug)]
pub struct Tenant {
    estate: Estate,
    host: Host,
    /// Names, without port, by which this tenant is reached: an assertion's audience may be any of them.
    names: Vec<String>,
    switches: Switches,
    positions: HashMap<String, usize>,
    tokens: HashMap<String, AccessToken>,
    device_grants: Vec<DeviceGrant>,
    /// Counts changes of the estate, so that a state file can tell whether it is behind.
    revision: u64,
}

impl Tenant {
    /// Opens a tenant that is reached as `host` or any of `names`.
    pub fn open(estate: Estate, host: Host, names: Vec<String>, switches: Switches) -> Self {
        let positions = estate.clients.iter().enumerate().map(|(at, client)| (client.id.clone(), at)).collect();
        let (tokens, device_grants) = (HashMap::new(), Vec::new());
        Self { estate, host, names, switches, positions, tokens, device_grants, revision: 1 }
    }

    /// What survives a restart.
    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    /// Grows with every change of the estate.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The tenant's id.
    pub fn id(&self) -> &str {
        &self.estate.id
    }

    /// The host in client ids.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The tenant's time.
    pub fn now(&self) -> Timestamp {
        self.estate.clock.now()
    }

    /// How far the tenant's time is ahead of the real one.
    pub fn clock_offset(&self) -> SignedDuration {
        self.estate.clock.offset()
    }

    /// Moves the tenant's time.
    pub fn advance_clock(&mut self, by: SignedDuration) -> Result<(), jiff::Error> {
        self.revision += 1;
        self.estate.clock.advance(by)
    }

    /// The switches as they are.
    pub fn switches(&self) -> &Switches {
        &self.switches
    }

    /// Moves the switches.
    pub fn set_switches(&mut self, switches: Switches) {
        self.switches = switches;
    }

    /// The roles, in a fixed order.
    pub fn roles(&self) -> &[Role] {
        &self.estate.roles
    }

    /// The user to whom everything belongs that names no other.
    pub fn first_user(&self) -> Result<&User, Refusal> {
        self.estate.users.first().ok_or(Refusal::NotFound)
    }

    /// A user by id.
    pub fn user(&self, id: &str) -> Result<&User, Refusal> {
        self.estate.users.iter().find(|user| user.id == id).ok_or(Refusal::NotFound)
    }

    /// Adds a user who holds the roles with these ids.
    pub fn add_user(&mut self, role_ids: Vec<String>) -> User {
        self.revision += 1;
        let user = User::new(self.estate.users.len() + 1, role_ids, self.now());
        self.estate.users.push(user.clone());
        user
    }

    /// Changes what a user may do: other roles, or nothing at all.
    pub fn edit_user(
        &mut self,
        id: &str,
        roles: Option<Vec<String>>,
        disabled: Option<bool>,
    ) -> Result<&User, Refusal> {
        self.revision += 1;
        let user = self.estate.users.iter_mut().find(|user| user.id == id).ok_or(Refusal::NotFound)?;
        if let Some(roles) = roles {
            user.role_ids = roles;
        }
        if let Some(disabled) = disabled {
            user.disabled = disabled;
        }
        Ok(user)
    }

    /// Ids for roles that are given by name or id.
    pub fn role_ids(&self, names_or_ids: &[String]) -> Result<Vec<String>, Refusal> {
        let role = |wanted: &String| self.estate.roles.iter().find(|role| role.name == *wanted || role.id == *wanted);
        names_or_ids.iter().map(|wanted| role(wanted).map(|role| role.id.clone()).ok_or(Refusal::NotFound)).collect()
    }
}
