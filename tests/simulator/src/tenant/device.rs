//! The device flow: a person approves, and the device may then make a client, nothing else.

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, Tenant};
use crate::random;

/// How long a person has to approve.
const LIFETIME: SignedDuration = SignedDuration::from_mins(15);

/// A device that waits.
#[derive(Clone, Debug)]
pub struct DeviceGrant {
    /// What the device polls with.
    pub device_code: String,
    /// What the person reads off.
    pub user_code: String,
    approved_by: Option<String>,
    expires: Timestamp,
}

/// What a poll finds.
#[derive(Debug)]
pub enum Poll {
    /// A token, once.
    Granted(String),
    /// Nobody approved yet.
    Pending,
    /// Too late, or never heard of.
    Expired,
}

impl Tenant {
    /// A device asks to be let in.
    pub fn begin_device_grant(&mut self) -> DeviceGrant {
        let grant = DeviceGrant {
            device_code: random::ksuid(),
            user_code: random::ksuid()[..8].to_uppercase(),
            approved_by: None,
            expires: self.now().checked_add(LIFETIME).unwrap_or(Timestamp::MAX),
        };
        self.device_grants.push(grant.clone());
        grant
    }

    /// A user says yes.
    pub fn approve_device(&mut self, user_code: &str, user_id: String) -> Result<(), Refusal> {
        self.user(&user_id)?;
        let waiting = self.device_grants.iter_mut().find(|grant| grant.user_code == user_code);
        waiting.ok_or(Refusal::NotFound)?.approved_by = Some(user_id);
        Ok(())
    }

    /// The device asks again.
    pub fn poll_device(&mut self, device_code: &str) -> Poll {
        let now = self.now();
        self.device_grants.retain(|grant| grant.expires > now);
        let Some(at) = self.device_grants.iter().position(|grant| grant.device_code == device_code) else {
            return Poll::Expired;
        };
        match self.device_grants[at].approved_by.clone() {
            None => Poll::Pending,
            Some(user_id) => {
                self.device_grants.swap_remove(at);
                Poll::Granted(self.log_in_device(user_id))
            }
        }
    }
}
