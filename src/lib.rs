//! A Kubernetes operator that issues `ConductorOne` (C1) personal clients: exactly one credential for each
//! `PersonalClient`, never lost, never left behind.
//!
//! ```text
//!  api         what a user writes and reads: kinds, schema, conditions
//!  plan        the functional core: what to do next, and why; the transactions, step by step
//!  c1          the far side: typed calls, login, pacing
//!  controller  the imperative shell: observe → plan → act
//!  inventory   C1's list, once for all objects of an issuer
//!  secret      what the Secret holds, and how it is read and written
//!  telemetry   logs, metrics, events, health
//!  leader      which replica acts
//!  default_issuer  the issuer that an installation brings
//!  runtime     the only place that wires them
//!  fault       the points at which a test kills the process
//! ```
//!
//! Without the feature `operator` there are only `api`, `plan` and `c1`, and what they need.
//!
//! `api` and `plan` know no client, no clock and no socket; `plan` no randomness either. `controller::act` and
//! `controller::pilot` are the only places with side effects on objects; `controller::restart` has those on consumers. Who reads `docs/protocol.md` first, and then `plan::decide` and `plan::issue`, has
//! read what matters.

pub mod api;
#[cfg(feature = "operator")]
pub mod args;
pub mod c1;
pub mod clock;
#[cfg(feature = "operator")]
pub mod controller;
#[cfg(feature = "operator")]
pub mod default_issuer;
pub mod fault;
#[cfg(feature = "operator")]
pub mod inventory;
#[cfg(feature = "operator")]
pub mod leader;
pub mod plan;
#[cfg(feature = "operator")]
pub mod runtime;
#[cfg(feature = "operator")]
pub mod secret;
#[cfg(feature = "operator")]
pub mod telemetry;
