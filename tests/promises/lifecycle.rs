//! What users rely on beside the promises: the ways to log in, templates, a changed spec, losses and their repair, expiry,
//! adoption.

use std::time::Duration;

use c1_operator::api::Reason;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{Options, TestClock, World, eventually};

use crate::{all_is_well, current, no_client_lives};

/// Options with a clock that the test moves.
pub fn with_clock() -> Options {
    Options { operator_values: TestClock::new().values(), ..Options::default() }
}

/// As the documentation tells: `envFrom` with this template serves C1's own tools.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_opens_c1_in_three_ways() {
    let world = World::start("life-login", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let page = include_str!("../../docs/guides/consume.md");
    let template =
        page.split("```yaml\n# for C1's Go SDK and Terraform provider\n").nth(1).unwrap().split("```").next().unwrap();
    let template: Value = serde_saphyr::from_str(template).unwrap();
    namespace.create("client", template["spec"].clone()).await;
    namespace.ready("client").await;
    let secret = namespace.secret("client").await.unwrap();
    // client_secret and signed assertion.
    assert!(world.c1.login(&secret).await);
    // By the environment variables alone.
    assert!(
        world
            .c1
            .login_secret(
                secret.get("CONDUCTORONE_CLIENT_ID").unwrap(),
                secret.get("CONDUCTORONE_CLIENT_SECRET").unwrap()
            )
            .await
    );
    assert!(
        !world.c1.login_secret(secret.get("CONDUCTORONE_CLIENT_ID").unwrap(), "wrong").await,
        "a wrong secret is let in"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_serves_as_credentials() {
    let world = World::start("life-bearer", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let token = world.c1.token(&world.c1.client_id, &world.c1.client_secret).await.unwrap();
    world.put_secret("c1-system", "bearer", &[("token", &token)]).await;
    world
        .issuer("bearer", |spec| spec["auth"] = json!({"bearer": {"secretRef": {"name": "bearer", "key": "token"}}}))
        .await;
    namespace.create("client", json!({"issuerRef": {"kind": "ClusterClientIssuer", "name": "bearer"}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// All four fields of the request, roles by name and by id.
#[tokio::test(flavor = "multi_thread")]
async fn c1_gets_what_the_spec_asks() {
    let world = World::start("life-spec", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("by-default", json!({})).await;
    let viewer = current(&namespace.ready("by-default").await).scoped_roles[0].clone();
    let spec = json!({
        "displayName": "CI deployer", "expires": "24h30m", "allowSourceCidr": ["127.0.0.0/8", "2001:db8::/32"],
        "scopedRoles": ["system:user", viewer], "secretName": "elsewhere",
    });
    namespace.create("client", spec).await;
    let object = namespace.ready("client").await;
    let made = world.c1.client(&current(&object).id).await.unwrap();
    assert!(made.display_name.starts_with("CI deployer [k8s test-"), "{}", made.display_name);
    assert_eq!(made.allow_source_cidr, ["127.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(made.scoped_roles.len(), 2);
    assert!(made.scoped_roles.contains(&viewer));
    assert_eq!(made.expires_time.unwrap().duration_since(made.created_at).as_secs(), 24 * 3600 + 1800);
    assert!(namespace.secret("client").await.is_none(), "the Secret has the name that was asked");
    all_is_well(&world, &[(&namespace, "client"), (&namespace, "by-default")]).await;
    world.finish().await;
}

/// The old client lives on for the overlap, so that consumers can move; then it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_request_issues_anew_and_the_old_client_ends_after_the_overlap() {
    let world = World::start("life-change", with_clock()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let old = current(&namespace.ready("client").await).id.clone();
    let old_secret = namespace.secret("client").await.unwrap();
    namespace.patch("client", json!({"spec": {"expires": "48h"}})).await;
    let object = namespace.ready("client").await;
    assert_ne!(current(&object).id, old);
    all_is_well(&world, &[(&namespace, "client")]).await;
    clock.advance(&world.c1, 3500).await;
    assert!(world.c1.login(&old_secret).await, "the overlap is an hour");
    // It was used just now, which keeps it for one more.
    clock.advance(&world.c1, 3700).await;
    namespace
        .until("client", "has nothing retiring", |object| {
            let retiring = &object.status.as_ref().unwrap().retiring;
            if retiring.is_empty() { Ok(()) } else { Err(format!("{retiring:?}")) }
        })
        .await;
    assert!(!world.c1.login(&old_secret).await);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// Rendering is apart from minting.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_is_rendered_and_mints_nothing() {
    let world = World::start("life-template", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"secretTemplate": {"labels": {"old": "x"}, "data": {"OLD": "{{ id }}"}}})).await;
    let id = current(&namespace.ready("client").await).id.clone();
    let theirs = Patch::Merge(json!({"metadata": {"labels": {"theirs": "y"}}}));
    namespace.secrets().patch("client", &PatchParams::default(), &theirs).await.unwrap();
    let template = json!({"labels": {"new": "z", "old": null}, "annotations": {"note": "n"}, "data": {"OLD": null, "NEW": "{{ host }}/{{ id }}"}});
    namespace.patch("client", json!({"spec": {"secretTemplate": template}})).await;
    let secret = eventually("the Secret is rendered anew", Duration::from_secs(30), async || {
        let secret = namespace.secret("client").await.ok_or("no Secret")?;
        if secret.get("NEW").is_some() { Ok(secret) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert_eq!(secret.get("NEW").unwrap(), format!("{}/{id}", world.c1.host));
    assert!(
        secret.get("OLD").is_none() && secret.label("old").is_none(),
        "what the template does not say any more goes"
    );
    assert_eq!(secret.label("theirs"), Some("y"), "what others put there stays");
    assert_eq!(secret.label("new"), Some("z"));
    assert_eq!(current(&namespace.ready("client").await).id, id, "nothing was minted");
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_secret_is_issued_anew() {
    let world = World::start("life-lost", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    namespace.secrets().delete("client", &DeleteParams::default()).await.unwrap();
    namespace.until("client", "has another client", |object| another(object, &before)).await;
    assert!(namespace.event("client", Reason::SecretLost).await.contains("Secret client is missing"));
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_credential_is_issued_anew_and_not_without_end() {
    let world = World::start("life-altered", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let alter = Patch::Merge(json!({"stringData": {"clientSecret": "altered"}}));
    let before = current(&namespace.ready("client").await).id.clone();
    namespace.secrets().patch("client", &PatchParams::default(), &alter).await.unwrap();
    let second = namespace.until("client", "has another client", |object| another(object, &before)).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    // Again at once: now it waits.
    namespace.secrets().patch("client", &PatchParams::default(), &alter).await.unwrap();
    let object = namespace.reason("client", Reason::SecretLost).await;
    assert_eq!(object.status.as_ref().unwrap().failed_issuance_attempts, Some(2));
    crate::looks(&world, 3).await;
    assert_eq!(
        current(&namespace.reason("client", Reason::SecretLost).await).id,
        current(&second).id,
        "it minted again at once"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_deleted_at_c1_is_issued_anew() {
    let world = World::start("life-revoked", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    world.c1.delete_client(&before).await;
    namespace.until("client", "has another client", |object| another(object, &before)).await;
    assert!(namespace.event("client", Reason::Revoked).await.contains(&before));
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(namespace.ready("client").await.status.unwrap().retiring.is_empty(), "what is gone need not retire");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_client_says_so() {
    let world = World::start("life-expired", with_clock()).await;
    let clock = TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"expires": "10m", "rotation": {"policy": "Manual"}})).await;
    namespace.ready("client").await;
    clock.advance(&world.c1, 601).await;
    namespace.reason("client", Reason::Expired).await;
    assert!(namespace.event("client", Reason::Expired).await.contains("past its lifetime"));
    namespace.patch("client", json!({"spec": {"expires": "20m"}})).await;
    namespace.ready("client").await;
    let secret = namespace.secret("client").await.unwrap();
    assert!(world.c1.login(&secret).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_keeps_client_and_secret_and_a_new_object_adopts_them() {
    let world = World::start("life-retain", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"deletionPolicy": "Retain"})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    namespace.delete("client").await;
    namespace.gone("client").await;
    let secret = namespace.secret("client").await.expect("Retain keeps the Secret");
    assert!(world.c1.login(&secret).await);
    namespace.create("client", json!({})).await;
    assert_eq!(current(&namespace.ready("client").await).id, before, "it was adopted, not issued again");
    all_is_well(&world, &[(&namespace, "client")]).await;
    namespace.delete("client").await;
    namespace.gone("client").await;
    assert!(namespace.secret("client").await.is_none());
    no_client_lives(&world).await;
    world.finish().await;
}

/// A backup was restored after the client had been revoked: the dead credential is not adopted.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_secret_whose_client_is_dead_is_issued_anew() {
    let world = World::start("life-dead", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"deletionPolicy": "Retain"})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    namespace.delete("client").await;
    namespace.gone("client").await;
    world.c1.delete_client(&before).await;
    namespace.create("client", json!({})).await;
    assert_ne!(current(&namespace.ready("client").await).id, before);
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// `kubectl replace` without our metadata: record and finalizer are gone, the Secret tells.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_replaced_keeps_its_client() {
    let world = World::start("life-replace", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = current(&namespace.ready("client").await).id.clone();
    namespace.patch("client", json!({"metadata": {"annotations": null, "finalizers": null}})).await;
    namespace
        .until("client", "has its finalizer back", |object| {
            if object.metadata.finalizers.iter().flatten().next().is_some() { Ok(()) } else { Err("not yet".into()) }
        })
        .await;
    assert_eq!(current(&namespace.ready("client").await).id, before);
    namespace.delete("client").await;
    namespace.gone("client").await;
    no_client_lives(&world).await;
    world.finish().await;
}

pub(crate) fn another(object: &c1_operator::api::PersonalClient, before: &str) -> Result<(), String> {
    let client = object.status.as_ref().and_then(|s| s.client.as_ref());
    if client.is_some_and(|c| c.id != before) { Ok(()) } else { Err(format!("{client:?}")) }
}
