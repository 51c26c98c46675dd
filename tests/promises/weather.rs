//! P1 to P3 while everything goes wrong between the operator and the API server: requests come late, are refused, or have
//! their effect and no answer; watches say nothing for a while, or begin anew; the operator is cut off.

use std::{collections::BTreeSet, time::Duration};

use c1_operator::plan::status;
use serde_json::json;
use testkit::{
    Namespace, World, eventually,
    proxy::{ApiProxy, Trouble, Weather},
};

use crate::{all_is_well, no_client_lives};

const OBJECTS: usize = 24;
const STORM: Weather =
    Weather { delayed: 0.2, longest_delay: Duration::from_millis(400), refused: 0.1, cut: 0.05, lost: 0.15, seed: 1 };
/// For how long watches say nothing.
const UNSEEN: Duration = Duration::from_secs(1);
/// For how long the operator is cut off.
const CUT_OFF: Duration = Duration::from_secs(2);

fn names() -> Vec<String> {
    (0..OBJECTS).map(|n| format!("client-{n}")).collect()
}

/// While the operator sees nothing, what it knew is changed: specs, and the objects that it has just made something for.
async fn unseen(proxy: &ApiProxy, namespace: &Namespace, names: &[String]) {
    proxy.hold_watches(true);
    for name in names {
        namespace.patch(name, json!({"spec": {"displayName": "edited unseen"}})).await;
    }
    tokio::time::sleep(UNSEEN).await;
    proxy.hold_watches(false);
}

/// Goes on until all has gone wrong that can: one spec after the other is edited.
async fn everything_goes_wrong(proxy: &ApiProxy, namespace: &Namespace, names: &[String]) {
    let mut edits = 0;
    eventually("everything has gone wrong that can", Duration::from_secs(40), async || {
        let name = &names[edits % names.len()];
        edits += 1;
        namespace.patch(name, json!({"spec": {"displayName": format!("edit {edits}")}})).await;
        let hits: BTreeSet<Trouble> = proxy.hits().iter().map(|hit| hit.trouble).collect();
        let missing: Vec<_> = Trouble::ALL.into_iter().filter(|trouble| !hits.contains(trouble)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not yet: {missing:?}")) }
    })
    .await;
}

async fn storm(proxy: &ApiProxy, namespace: &Namespace, names: &[String]) {
    proxy.weather(STORM);
    for name in names {
        namespace.create(name, json!({})).await;
    }
    unseen(proxy, namespace, &names[..8]).await;
    proxy.relist();
    for name in &names[8..16] {
        namespace.patch(name, json!({"spec": {"expires": "48h"}})).await;
    }
    proxy.partition(true);
    for name in &names[16..20] {
        namespace.delete(name).await;
    }
    tokio::time::sleep(CUT_OFF).await;
    proxy.partition(false);
    proxy.relist();
    everything_goes_wrong(proxy, namespace, &names[..16]).await;
}

/// All along: whoever reads the Secret of an object that says Ready can log in with it. Collects the client ids that stood in
/// any Secret.
async fn probe(world: &World, namespace: &Namespace, names: &[String], held: &mut BTreeSet<String>) {
    loop {
        for name in names {
            let before = ready_client(namespace, name).await;
            let secret = namespace.secret(name).await;
            held.extend(secret.as_ref().map(|secret| secret.client_id().to_owned()));
            let Some(before) = before else { continue };
            if ready_client(namespace, name).await.as_ref() != Some(&before) {
                continue;
            }
            let secret = secret.unwrap_or_else(|| panic!("{name} says Ready, and has no Secret"));
            assert!(world.c1.login(&secret).await, "{name} says Ready, and its Secret does not log in");
        }
    }
}

/// P3: trouble with the API server is no reason to have another client made.
async fn at_most_one_for_each_spec(world: &World, namespace: &Namespace, name: &str) {
    let specs = namespace.get(name).await.and_then(|object| object.metadata.generation).unwrap_or_default();
    let marker = format!("/{}/{name} ", namespace.name);
    let made = world.c1.ledger().await.iter().filter(|client| client.display_name.contains(&marker)).count();
    assert!(i64::try_from(made).unwrap() <= specs, "{made} clients were made for the {specs} specs of {name}");
}

/// P8: whoever read a Secret may go on using what stood there, unless its object was deleted: the overlap is an hour.
async fn overlaps_last(world: &World, namespace: &Namespace, deleted: &[String], held: &BTreeSet<String>) {
    let markers: Vec<String> = deleted.iter().map(|name| format!("/{}/{name} ", namespace.name)).collect();
    let ledger = world.c1.ledger().await;
    let of_deleted = |name: &str| markers.iter().any(|marker| name.contains(marker));
    for client in ledger.iter().filter(|client| held.contains(&client.client_id) && !of_deleted(&client.display_name)) {
        assert!(client.live, "{} stood in a Secret, and was deleted", client.display_name);
    }
}

/// The id of the client of an object that says Ready, and is not being deleted.
async fn ready_client(namespace: &Namespace, name: &str) -> Option<String> {
    let object = namespace.get(name).await.filter(|object| object.metadata.deletion_timestamp.is_none())?;
    let status = object.status?;
    let ready = status::is_ready(&status);
    status.client.filter(|_| ready).map(|client| client.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_any_weather_each_object_has_its_one_credential() {
    let (world, proxy) = World::start_behind_proxy("weather").await;
    let namespace = world.namespace("ns").await;
    let names = names();
    let mut held = BTreeSet::new();
    tokio::select! {
        () = storm(&proxy, &namespace, &names) => {}
        () = probe(&world, &namespace, &names, &mut held) => {}
    }
    proxy.weather(Weather::default());
    let left: Vec<_> = names[..16].iter().chain(&names[20..]).map(|name| (&namespace, name.as_str())).collect();
    // What failed waits a minute before it is tried again, unless its spec changes.
    for (_, name) in &left {
        namespace.patch(name, json!({"spec": {"expires": "72h"}})).await;
    }
    for name in &names[16..20] {
        namespace.gone(name).await;
    }
    all_is_well(&world, &left).await;
    for (_, name) in &left {
        at_most_one_for_each_spec(&world, &namespace, name).await;
    }
    overlaps_last(&world, &namespace, &names[16..20], &held).await;

    for (_, name) in &left {
        namespace.delete(name).await;
    }
    for (_, name) in &left {
        namespace.gone(name).await;
    }
    no_client_lives(&world).await;
    world.finish().await;
}
