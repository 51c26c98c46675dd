//! The promises of the operator, a file each, on a real API server and the C1 simulator. Run by `make test-promises`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod bad_input;
mod clocks;
mod gitops;
mod history;
mod issuers;
mod lifecycle;
mod misoperation;
mod moves;
mod p1_nothing_lost;
mod p2_nothing_left_behind;
mod p3_one_for_one;
mod p4_foreign_untouched;
mod p5_no_plaintext;
mod p7_quiet_cluster;
mod replicas;
mod restart;
mod rotation;
mod shards;
mod update;
mod weather;

use std::{collections::BTreeSet, time::Duration};

use c1_operator::api::PersonalClient;
use testkit::{Namespace, World, eventually};

/// Waits until things are quiet, and holds all of P1 to P3 against C1's ledger: every object is Ready and its Secret logs in,
/// and the live clients are exactly those that the objects' statuses name.
async fn all_is_well(world: &World, objects: &[(&Namespace, &str)]) {
    for (namespace, name) in objects {
        let object = namespace.ready(name).await;
        let secret =
            namespace.secret(object.secret_name()).await.unwrap_or_else(|| panic!("{name} is Ready without a Secret"));
        let client = current(&object);
        assert_eq!(
            secret.client_id(),
            client.client_id,
            "the Secret of {name} holds another client than its status names"
        );
        assert!(world.c1.login(&secret).await, "the Secret of {name} does not log in");
    }
    only_named_clients_live(world, objects).await;
}

/// Waits until the live clients are exactly those that the objects' statuses name: current and retiring.
async fn only_named_clients_live(world: &World, objects: &[(&Namespace, &str)]) {
    eventually("the live clients are those that the statuses name", Duration::from_mins(1), async || {
        let mut named = BTreeSet::new();
        for (namespace, name) in objects {
            let Some(status) = namespace.get(name).await.and_then(|o| o.status) else { continue };
            named.extend(status.client.map(|c| c.id));
            named.extend(status.retiring.into_iter().map(|r| r.id));
        }
        let live: BTreeSet<String> = world.c1.live().await.into_iter().map(|c| c.id).collect();
        if named == live { Ok(()) } else { Err(format!("named {named:?}, live {live:?}")) }
    })
    .await;
}

/// Waits until no client lives.
async fn no_client_lives(world: &World) {
    only_named_clients_live(world, &[]).await;
}

/// The client that status names.
fn current(object: &PersonalClient) -> &c1_operator::api::IssuedClient {
    object.status.as_ref().and_then(|s| s.client.as_ref()).expect("a Ready object names its client")
}

/// Waits until the operator has read so many lists more from C1, and with each has looked at every object.
async fn looks(world: &World, more: u64) {
    let seen = async || world.c1.requests().await.get("list").and_then(|l| l.get("200")).copied().unwrap_or(0);
    let until = seen().await + more;
    eventually(&format!("{more} more lists"), Duration::from_mins(1), async || {
        let seen = seen().await;
        if seen >= until { Ok(()) } else { Err(format!("{seen} of {until}")) }
    })
    .await;
}
