//! The imperative shell: gather what is known ([`observe`]), ask [`crate::plan`], do the one thing it says: a single write ([`act`]) or a
//! transaction ([`pilot`]).

pub mod act;
pub mod client_issuer;
mod connect;
pub mod context;
pub mod error;
mod issuer_status;
pub mod issuers;
pub mod observe;
mod orphans;
pub mod personal_client;
pub mod pilot;
mod restart;
pub mod shard;
pub mod streams;
pub mod tenant;
mod union;

pub use context::{Config, Context, Stores};
pub use error::Error;
