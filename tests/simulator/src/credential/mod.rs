//! Proofs of who is calling: the client secret and the assertion signed with it.

pub mod assertion;
mod key;
pub mod secret;

pub use key::PublicKey;
