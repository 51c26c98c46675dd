//! People set every field to every kind of value, and change their minds. For each field of each spec, as the CRDs have them: a
//! good value, another one, bad ones, and the good one again. After each step the object says what a fresh object of that spec
//! says, and every credential that was delivered works. (After Acto, SOSP'23.)

mod schema;
mod values;
mod walk;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use serde_json::json;
use std::fs;
use testkit::{Options, World, cluster::OPERATOR_NAMESPACE};

use self::{
    schema::fields,
    values::{Place, values},
    walk::{Kind, Walk},
};

const SECRETS: [&str; 2] = ["credentials-one", "credentials-two"];
/// What the issuers of all tests log in with.
const CREDENTIALS: &str = "c1-credentials";

async fn world(test: &str) -> World {
    let values = json!({"allowedHostNamespaced": true});
    World::start(test, Options { operator_values: values, ..Options::default() }).await
}

/// Credentials of the issuers that are walked through, twice.
async fn credentials(world: &World, namespace: &str) {
    let (id, secret) = (world.c1.client_id.as_str(), world.c1.client_secret.as_str());
    let token = world.c1.token(id, secret).await.unwrap();
    let data = [("clientId", id), ("clientSecret", secret), ("token", &token), ("again", &token)];
    for name in SECRETS.into_iter().chain([CREDENTIALS]) {
        world.put_secret(namespace, name, &data).await;
    }
}

async fn walk_all(world: World, kind: Kind, plural: &str) {
    let namespace = world.namespace("ns").await;
    credentials(&world, if kind == Kind::ClientIssuer { &namespace.name } else { OPERATOR_NAMESPACE }).await;
    let place = Place {
        url: world.c1.url.clone(),
        ca: fs::read_to_string(&world.c1.ca_file).unwrap(),
        encode: |text| STANDARD.encode(text),
        secrets: SECRETS,
    };
    let fields = fields(plural);
    let walks = fields.iter().map(|field| {
        let walk = Walk::new(&world, &namespace, kind, field, values(plural, field, &place));
        async { walk.run().await }
    });
    let made: Vec<String> = join_all(walks).await.into_iter().flatten().collect();
    let objects: Vec<_> = made.iter().map(|name| (&namespace, name.as_str())).collect();
    super::only_named_clients_live(&world, &objects).await;
    // One walk is that of an issuer that can reach nobody.
    assert!(world.c1.ledger().await.len() + 1 >= fields.len(), "most walks saw no credential");
    eprintln!("walked through {} fields of {plural}", fields.len());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_personal_client() {
    walk_all(world("walk-client").await, Kind::PersonalClient, "personalclients").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_cluster_client_issuer() {
    walk_all(world("walk-cluster-issuer").await, Kind::ClusterClientIssuer, "clusterclientissuers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_client_issuer() {
    walk_all(world("walk-issuer").await, Kind::ClientIssuer, "clientissuers").await;
}
