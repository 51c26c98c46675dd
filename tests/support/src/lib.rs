//! What the integration tests stand on. A test starts a [`World`]: the chart's objects on a real control plane, a C1
//! simulator, and the operator as a process of its own under its own ServiceAccount. [`World::finish`] ends all of it and
//! then looks at what was left behind: no secret anywhere but in its Secret (P5), no panic, no status that GitOps
//! tools misunderstand, every reason written down for the suite `reasons`.
//!
//! ```text
//!  world      everything together, and its end
//!  namespace  PersonalClients, Secrets and events of one namespace
//!  simulator  the C1 tenant, its ledger, its faults; logging in with a Secret
//!  operator   the process: its life, log, metrics
//!  deployed   the process as the chart wants it
//!  control_plane  its processes: the API server ends, and comes again
//!  cluster    the API server, the chart's objects, what a killed test left
//!  proxy      between operator and API server: answers that are lost, and any weather
//!  recorder   watches all that is written, for `scan`, `kstatus` and the suite `reasons`
//!  audit      what a user asked of the API server
//!  clock      time that a test moves
//!  scan       P5
//!  kstatus    what GitOps tools make of a status
//!  wait       waiting with a deadline
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "only tests use it, and a panic is how a test fails"
)]
#![allow(clippy::doc_markdown, reason = "kinds are written as people write them")]

pub mod audit;
mod clock;
pub mod cluster;
pub mod control_plane;
pub mod deployed;
pub mod kstatus;
mod login;
mod namespace;
mod operator;
mod ports;
pub mod proxy;
pub mod recorder;
mod scan;
mod secret_data;
mod simulator;
mod wait;
mod world;

pub use clock::TestClock;
pub use namespace::Namespace;
pub use operator::Operator;
pub use ports::free as free_port;
pub use secret_data::SecretData;
pub use simulator::{CreatedClient, LedgerClient, Simulator, User};
pub use wait::eventually;
pub use world::{Options, World};
