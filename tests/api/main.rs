//! The API as a user meets it, on a real API server without an operator: the schema and its messages, what may change,
//! what is stored and shown; and beside it the CRDs, the operator's rights and the layers of the source.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::doc_markdown,
    reason = "a panic is how a test fails; kinds are written as people write them"
)]

mod behaviour;
mod chart;
mod crds;
mod docs;
mod gitops;
mod issuers;

mod layers;
mod personal_clients;
mod rights;
mod server;
mod stored;
mod teams;
mod transitions;
