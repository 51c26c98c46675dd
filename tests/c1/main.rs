//! The C1 client against the simulator, without a cluster: what each call sends, and what it makes of each answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod answers;
mod bed;
mod calls;
mod listing;
mod login;
mod roles;
