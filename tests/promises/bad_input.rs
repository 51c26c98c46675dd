//! Bad input and a failing far side get a typed reason on the condition, and an event that says what to do. Never a panic,
//! never a hot loop, never a lost credential.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use c1_operator::api::{ABANDON_ANNOTATION, ConditionType, PersonalClient, Reason, condition};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::{Namespace as KubeNamespace, ResourceQuota},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::{Namespace, Options, World, eventually};

use crate::{all_is_well, no_client_lives};

/// Waits for a reason, and checks what condition and event say.
async fn says(namespace: &Namespace, name: &str, reason: Reason, message: &str) -> PersonalClient {
    let object = namespace.reason(name, reason).await;
    let conditions = &object.status.as_ref().unwrap().conditions;
    let said = &condition::find(conditions, ConditionType::Ready).unwrap().message;
    assert!(said.contains(message), "{reason}: \"{said}\" does not say \"{message}\"");
    let note = namespace.event(name, reason).await;
    assert!(note.contains(message), "{reason}: the event's \"{note}\" does not say \"{message}\"");
    let stalled = condition::find(conditions, ConditionType::Stalled).is_some();
    let reconciling = condition::find(conditions, ConditionType::Reconciling).is_some();
    assert!(stalled != reconciling, "{reason}: one of Stalled and Reconciling says whether a person is needed");
    object
}

/// The same of an issuer.
async fn issuer_says(world: &World, name: &str, reason: Reason, message: &str) {
    let issuer = world.issuer_reason(name, reason).await;
    let said = condition::find(&issuer.status.unwrap().conditions, ConditionType::Ready).unwrap().message.clone();
    assert!(said.contains(message), "{reason}: \"{said}\" does not say \"{message}\"");
    let note = world.cluster_event(name, reason).await;
    assert!(note.contains(message), "{reason}: the event's \"{note}\" does not say \"{message}\"");
}

fn from(issuer: &str) -> serde_json::Value {
    json!({"issuerRef": {"kind": "ClusterClientIssuer", "name": issuer}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_issuer_is_named_and_may_come_later() {
    let world = World::start("bad-unknown-issuer", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", from("later")).await;
    says(&namespace, "client", Reason::IssuerNotFound, "ClusterClientIssuer later does not exist").await;
    world.issuer("later", |_| {}).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_its_secret_says_so_and_recovers() {
    let world = World::start("bad-no-credentials", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.issuer("empty", |spec| spec["auth"]["oauth"]["secretRef"]["name"] = json!("later")).await;
    issuer_says(&world, "empty", Reason::CredentialsNotFound, "Secret c1-system/later does not exist").await;
    namespace.create("client", from("empty")).await;
    says(&namespace, "client", Reason::IssuerNotReady, "CredentialsNotFound").await;
    let data = [("clientId", world.c1.client_id.as_str()), ("clientSecret", world.c1.client_secret.as_str())];
    world.put_secret("c1-system", "later", &data).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_from_missing_ones() {
    let world = World::start("bad-credentials", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world
        .put_secret("c1-system", "wrong", &[("clientId", world.c1.client_id.as_str()), ("clientSecret", "nonsense")])
        .await;
    world.issuer("wrong", |spec| spec["auth"]["oauth"]["secretRef"]["name"] = json!("wrong")).await;
    issuer_says(&world, "wrong", Reason::Unauthorized, "invalid_client").await;
    namespace.create("client", from("wrong")).await;
    says(&namespace, "client", Reason::IssuerNotReady, "Unauthorized").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_another_host_are_never_sent() {
    let world = World::start("bad-other-host", Options::default()).await;
    world
        .put_secret("c1-system", "other", &[("clientId", "a@acme.conductor.one/pcc"), ("clientSecret", "nonsense")])
        .await;
    let before = world.c1.requests().await.get("token").cloned();
    world.issuer("other", |spec| spec["auth"]["oauth"]["secretRef"]["name"] = json!("other")).await;
    issuer_says(&world, "other", Reason::Unauthorized, "the client id belongs to acme.conductor.one").await;
    assert_eq!(world.c1.requests().await.get("token").cloned(), before, "something was sent");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_not_called() {
    let world = World::start("bad-host", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.issuer("evil", |spec| spec["url"] = json!("https://169.254.169.254")).await;
    issuer_says(&world, "evil", Reason::HostNotAllowed, "169.254.169.254 is not a host that an issuer may name").await;
    namespace.create("client", from("evil")).await;
    says(&namespace, "client", Reason::IssuerNotReady, "HostNotAllowed").await;
    // The simulator's host is allowed, but not for an issuer of a namespace.
    world.client_issuer(&namespace, "own", |_| {}).await;
    namespace.create("own", json!({"issuerRef": {"kind": "ClientIssuer", "name": "own"}})).await;
    says(&namespace, "own", Reason::IssuerNotReady, "is not a host that a ClientIssuer may name").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_none_are_refused() {
    let world = World::start("bad-ca", Options::default()).await;
    world.issuer("no-ca", |spec| spec["caBundle"] = json!(STANDARD.encode("not a certificate"))).await;
    issuer_says(&world, "no-ca", Reason::InvalidConfiguration, "caBundle").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_selected_may_not_mint() {
    let world = World::start("bad-namespace", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.issuer("picky", |spec| spec["policy"]["namespaceSelector"] = json!({"matchLabels": {"team": "ci"}})).await;
    namespace.create("client", from("picky")).await;
    says(&namespace, "client", Reason::DeniedByPolicy, "policy.namespaceSelector does not select namespace").await;
    assert!(world.c1.ledger().await.iter().all(|c| c.bootstrap));
    let namespaces: Api<KubeNamespace> = Api::all(world.kube.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "ci"}}}));
    namespaces.patch(&namespace.name, &PatchParams::default(), &label).await.unwrap();
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rights_are_minted_only_when_the_issuer_allows_it() {
    let world = World::start("bad-full", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.issuer("plain", |spec| spec["defaults"] = json!({"expires": "24h"})).await;
    namespace.create("client", from("plain")).await;
    says(&namespace, "client", Reason::DeniedByPolicy, "policy.allowed.fullPermissions is not true").await;
    world.patch_issuer("plain", json!({"spec": {"policy": {"allowed": {"fullPermissions": true}}}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(world.c1.live().await[0].scoped_roles.is_empty());
    world.finish().await;
}

/// Without the operator's finalizer an issuer could go while something is still to be ended there: its objects wait, and it is said
/// why.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_held_says_so() {
    let world = World::start("bad-unheld", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.issuer("unheld", |_| {}).await;
    let rule = json!({
        "apiGroups": ["iam.conductor.one"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["clusterclientissuers"], "resourceNames": ["unheld"],
    });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "unheld"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "!has(object.metadata.finalizers)", "message": "no finalizers here"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "unheld"}, "spec": {"policyName": "unheld", "validationActions": ["Deny"]},
    });
    world.apply(&policy).await;
    world.apply(&binding).await;
    let try_out = PatchParams { dry_run: true, ..PatchParams::default() };
    let held = Patch::Merge(json!({"metadata": {"finalizers": ["test/finalizer"]}}));
    eventually("the policy is in force", Duration::from_secs(30), async || {
        match world.issuers().patch("unheld", &try_out, &held).await {
            Ok(_) => Err("finalizers are let through".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
    namespace.create("client", from("unheld")).await;
    issuer_says(&world, "unheld", Reason::InvalidConfiguration, "no finalizers here").await;
    says(&namespace, "client", Reason::IssuerNotReady, "no finalizers here").await;
    assert!(world.c1.live().await.is_empty());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.kube.clone());
    bindings.delete("unheld", &DeleteParams::default()).await.unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.kube.clone());
    policies.delete("unheld", &DeleteParams::default()).await.unwrap();
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

/// The credential works on; that the new spec is not applied is said, and tried again without a hot loop.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_the_api_server_refuses_is_said() {
    let world = World::start("bad-render", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    let immutable = Patch::Merge(json!({"immutable": true}));
    namespace.secrets().patch("client", &PatchParams::default(), &immutable).await.unwrap();
    let template = json!({"data": {"ENV": "{{ clientId }}"}});
    namespace.patch("client", json!({"spec": {"secretTemplate": template}})).await;
    says(&namespace, "client", Reason::SecretRefused, "field is immutable when `immutable` is set").await;
    let version = namespace.get("client").await.unwrap().metadata.resource_version;
    crate::looks(&world, 3).await;
    assert_eq!(namespace.get("client").await.unwrap().metadata.resource_version, version, "it is said once");
    let secret = namespace.secret("client").await.unwrap();
    assert!(world.c1.login(&secret).await && secret.get("ENV").is_none());
    namespace.patch("client", json!({"spec": {"secretTemplate": null}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_is_found_before_anything_is_minted() {
    let world = World::start("bad-immutable", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    namespace.ready("client").await;
    let immutable = Patch::Merge(json!({"immutable": true}));
    namespace.secrets().patch("client", &PatchParams::default(), &immutable).await.unwrap();
    namespace.patch("client", json!({"spec": {"expires": "48h"}})).await;
    says(&namespace, "client", Reason::SecretRefused, "field is immutable when `immutable` is set").await;
    assert_eq!(world.c1.ledger().await.iter().filter(|c| !c.bootstrap).count(), 1, "nothing was minted for it");
    let secret = namespace.secret("client").await.unwrap();
    assert!(world.c1.login(&secret).await, "the old credential works on");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_found_before_anything_is_minted() {
    let world = World::start("bad-quota", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let quotas: Api<ResourceQuota> = Api::namespaced(world.kube.clone(), &namespace.name);
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": namespace.name},
            "spec": {"hard": {"count/secrets": "0"}},
        }))
        .await;
    eventually("the quota is in force", Duration::from_secs(30), async || {
        let quota = quotas.get("none").await.unwrap();
        if quota.status.and_then(|s| s.hard).is_some() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    namespace.create("client", json!({})).await;
    says(&namespace, "client", Reason::SecretRefused, "exceeded quota").await;
    assert!(world.c1.ledger().await.iter().all(|c| c.bootstrap), "nothing was minted for it");
    world.finish().await;
}

/// The namespace is being deleted, but the object is not yet: with the namespace controller stopped there is time to look.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_is_found_before_anything_is_minted() {
    let world = World::start("bad-terminating", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", from("later")).await;
    namespace.reason("client", Reason::IssuerNotFound).await;
    let controllers = Stopped::controller_manager();
    let namespaces: Api<KubeNamespace> = Api::all(world.kube.clone());
    namespaces.delete(&namespace.name, &DeleteParams::default()).await.unwrap();
    world.issuer("later", |_| {}).await;
    let object = namespace.reason("client", Reason::SecretRefused).await;
    let said = condition::find(&object.status.unwrap().conditions, ConditionType::Ready).unwrap().message.clone();
    assert!(said.contains("because it is being terminated"), "{said}");
    assert!(world.c1.ledger().await.iter().all(|c| c.bootstrap), "nothing was minted for it");
    drop(controllers);
    namespace.gone("client").await;
    world.finish().await;
}

/// A process of the control plane that stands still until this is dropped.
struct Stopped {
    pid: String,
}

impl Stopped {
    fn controller_manager() -> Self {
        let file = PathBuf::from(std::env::var("CP_DIR").unwrap()).join("pids/kube-controller-manager.pid");
        let pid = std::fs::read_to_string(file).unwrap().split_whitespace().next().unwrap().to_owned();
        signal("-STOP", &pid);
        Self { pid }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.pid);
    }
}

fn signal(name: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([name, pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_role_is_named() {
    let world = World::start("bad-role", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({"scopedRoles": ["system:nobody"]})).await;
    says(&namespace, "client", Reason::RoleNotFound, "role system:nobody does not exist").await;
    assert!(world.c1.ledger().await.iter().all(|c| c.bootstrap));
    // A new spec does not wait for the back-off.
    namespace.patch("client", json!({"spec": {"scopedRoles": ["system:user"]}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_c1_refuses_is_said_in_its_words_and_not_tried_in_a_loop() {
    let world = World::start("bad-request", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.switches(json!({"maxClientsPerUser": 1})).await;
    namespace.create("client", json!({})).await;
    let object = says(&namespace, "client", Reason::RequestRejected, "status 400").await;
    assert_eq!(object.status.unwrap().failed_issuance_attempts, Some(1));
    world.c1.switches(json!({"maxClientsPerUser": 0})).await;
    namespace.patch("client", json!({"spec": {"displayName": "another"}})).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert_eq!(world.c1.requests().await["create"]["400"], 1, "it was tried in a loop");
    world.finish().await;
}

/// Nor does it wait when it was changed while the one before it was on its way to be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_does_not_wait_for_the_failure_of_its_predecessor() {
    let world = World::start("bad-predecessor", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world
        .c1
        .faults(json!([
            {"operation": "create", "times": 1, "fault": {"kind": "latency", "seconds": 1, "when": "before"}},
            {"operation": "create", "times": 1, "fault": {"kind": "status", "status": 400, "when": "before"}},
        ]))
        .await;
    namespace.create("client", json!({})).await;
    eventually("the first create is on its way", Duration::from_secs(20), async || {
        let fired = world.c1.fault_counts().await[0]["fired"].as_u64();
        if fired == Some(1) { Ok(()) } else { Err(format!("{fired:?}")) }
    })
    .await;
    namespace.patch("client", json!({"spec": {"expires": "48h"}})).await;
    let since = Instant::now();
    all_is_well(&world, &[(&namespace, "client")]).await;
    assert!(since.elapsed() < Duration::from_secs(30), "it waited for {:?}", since.elapsed());
    assert_eq!(world.c1.requests().await["create"]["400"], 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_gone_is_waited_for() {
    let mut world = World::start("bad-unreachable", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("first", json!({})).await;
    namespace.ready("first").await;
    world.c1.kill().await;
    namespace.create("client", json!({})).await;
    let object = eventually("the object says that C1 is gone", Duration::from_secs(30), async || {
        let object = namespace.get("client").await.unwrap();
        let ready = object.status.as_ref().and_then(|s| condition::find(&s.conditions, ConditionType::Ready));
        let said = ready.map(|c| (c.reason.clone(), c.message.clone())).unwrap_or_default();
        if said.1.contains("no connection") { Ok(said) } else { Err(format!("{said:?}")) }
    })
    .await;
    assert!(["Unreachable", "IssuerNotReady"].contains(&object.0.as_str()), "{object:?}");
    world.issuer_reason("default", Reason::Unreachable).await;
    // What works goes on being Ready.
    namespace.ready("first").await;
    world.c1.start().await;
    all_is_well(&world, &[(&namespace, "first"), (&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_wants_fewer_requests_gets_fewer() {
    let world = World::start("bad-throttled", Options::default()).await;
    let namespace = world.namespace("ns").await;
    let fault = json!({"kind": "status", "status": 429, "when": "before", "retryAfter": "2"});
    world.c1.faults(json!([{"operation": "create", "times": 1, "fault": fault}])).await;
    namespace.create("client", json!({})).await;
    says(&namespace, "client", Reason::Throttled, "status 429").await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_are_noticed() {
    let world = World::start("bad-clock", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("first", json!({"expires": "1h"})).await;
    namespace.ready("first").await;
    world.c1.advance_clock(1800).await;
    issuer_says(&world, "default", Reason::ClockSkew, "clock and C1's differ by more than five minutes").await;
    namespace.create("client", json!({})).await;
    says(&namespace, "client", Reason::IssuerNotReady, "ClockSkew").await;
    namespace.ready("first").await;
    world.c1.advance_clock(-1800).await;
    all_is_well(&world, &[(&namespace, "first"), (&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_name_that_c1_cuts_is_refused_and_its_client_deleted() {
    let world = World::start("bad-marker", Options::default()).await;
    let namespace = world.namespace("ns").await;
    world.c1.switches(json!({"maxDisplayName": 30, "longDisplayName": "truncate"})).await;
    namespace.create("client", json!({"displayName": "a rather long name for a client"})).await;
    says(&namespace, "client", Reason::MarkerTruncated, "C1 did not keep the display name").await;
    no_client_lives(&world).await;
    world.finish().await;
}

/// C1's list hands out tokens that lead nowhere, and the search is for administrators: then lost answers cannot be resolved,
/// and after three it stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_never_ends_stops_the_minting() {
    let world = World::start("bad-inventory", crate::lifecycle::with_clock()).await;
    let clock = testkit::TestClock::of(&world);
    let namespace = world.namespace("ns").await;
    let user = world.c1.create_user_with(&["system:user"]).await;
    world
        .put_secret("c1-system", "poor", &[("clientId", &user.client_id), ("clientSecret", &user.client_secret)])
        .await;
    world
        .issuer("poor", |spec| {
            spec["auth"]["oauth"]["secretRef"]["name"] = json!("poor");
            spec["defaults"]["scopedRoles"] = json!(["system:user"]);
        })
        .await;
    world.issuer_reason("poor", Reason::Connected).await;
    world.c1.switches(json!({"listPaging": "gap", "searchByNonAdmin": "forbidden"})).await;
    world.c1.faults(json!([{"operation": "create", "fault": {"kind": "cut", "when": "before"}}])).await;
    namespace.create("client", from("poor")).await;
    for attempt in 1..=4 {
        eventually(&format!("{attempt} creates"), Duration::from_mins(1), async || {
            let sent = world.c1.requests().await.get("create").map_or(0, |c| c.values().sum::<u64>());
            if sent >= attempt { Ok(()) } else { Err(format!("{sent}")) }
        })
        .await;
        // Past the attempt's deadlines and the back-off.
        clock.advance(&world.c1, 3700).await;
    }
    says(&namespace, "client", Reason::InventoryIncomplete, "cannot be read to its end").await;
    world.c1.clear_faults().await;
    world.c1.switches(json!({"listPaging": "ignore"})).await;
    clock.advance(&world.c1, 3700).await;
    all_is_well(&world, &[(&namespace, "client")]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_cannot_be_is_said_and_may_be_waived() {
    let mut world = World::start("bad-revocation", Options::default()).await;
    let namespace = world.namespace("ns").await;
    for name in ["waits", "waived"] {
        namespace.create(name, json!({})).await;
        namespace.ready(name).await;
    }
    let waived = crate::current(&namespace.ready("waived").await).id.clone();
    world.c1.kill().await;
    for name in ["waits", "waived"] {
        namespace.delete(name).await;
        says(&namespace, name, Reason::RevocationBlocked, "no connection").await;
    }
    namespace.patch("waived", json!({"metadata": {"annotations": {ABANDON_ANNOTATION: "true"}}})).await;
    namespace.gone("waived").await;
    assert!(world.cluster_event(&namespace.name, Reason::RevocationBlocked).await.contains(&waived));
    world.c1.start().await;
    namespace.gone("waits").await;
    let live: Vec<_> = world.c1.live().await.into_iter().map(|c| c.id).collect();
    assert_eq!(live, [waived.as_str()]);
    world.c1.delete_client(&waived).await;
    world.finish().await;
}

/// The issuer's credentials belong to another user now: what the former one made cannot be seen, which is no proof that it is
/// gone.
#[tokio::test(flavor = "multi_thread")]
async fn another_users_credentials_reissue_nothing() {
    let world = World::start("bad-identity", Options::default()).await;
    let namespace = world.namespace("ns").await;
    namespace.create("client", json!({})).await;
    let before = crate::current(&namespace.ready("client").await).id.clone();
    let user = world.c1.create_user().await;
    world
        .put_secret("c1-system", "other", &[("clientId", &user.client_id), ("clientSecret", &user.client_secret)])
        .await;
    world.patch_issuer("default", json!({"spec": {"auth": {"oauth": {"secretRef": {"name": "other"}}}}})).await;
    eventually("the issuer acts as the other user", Duration::from_secs(30), async || {
        let issuer = world.issuers().get("default").await.unwrap();
        let seen = issuer.status.and_then(|s| s.user_id);
        if seen.as_ref() == Some(&user.user_id) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    crate::looks(&world, 4).await;
    assert_eq!(crate::current(&namespace.ready("client").await).id, before, "it was re-issued");
    namespace.delete("client").await;
    says(&namespace, "client", Reason::RevocationBlocked, "was made as another C1 user").await;
    world
        .patch_issuer("default", json!({"spec": {"auth": {"oauth": {"secretRef": {"name": "c1-credentials"}}}}}))
        .await;
    namespace.gone("client").await;
    no_client_lives(&world).await;
    world.finish().await;
}
