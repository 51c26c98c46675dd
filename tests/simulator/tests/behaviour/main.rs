//! The simulator, driven from outside: its binary as a child process, over TLS.
//!
//! Each of the thirty behaviours of a believable tenant has its test, named after what it says; the module comments
//! give their numbers.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; their helpers are tests as well")]

mod admin;
mod clients;
mod consumer;
mod credentials;
mod faults;
mod harness;
mod listing;
mod restart;
mod rights;
mod transport;
