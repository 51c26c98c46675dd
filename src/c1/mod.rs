//! Everything that knows C1's HTTP API: <https://www.c1.ai/docs/api-reference>.
//!
//! Each call has a deadline and is sent once; what may be repeated is repeated by whoever looks again. Nothing follows
//! redirects: an address that a user could choose must not lead anywhere else.

mod assertion;
mod connection;
mod error;
mod pacing;
mod paging;
#[cfg(test)]
mod properties;
mod session;
mod token;
mod types;

pub use connection::{CallObserver, Deadlines, Settings};
pub use error::{Certainty, Error, ErrorKind};
pub use session::{Listing, Session};
pub use token::{Auth, InvalidCredentials};
pub use types::{Client, CreateRequest, Created, Field, UpdateRequest};
