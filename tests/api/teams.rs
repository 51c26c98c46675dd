//! The policy of `docs/guides/teams.md` says what the page says of it.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{Namespace, eventually};

use crate::server::{Kind, Server};

/// The page's policy and binding, under a name of this test's, and for its namespace alone.
fn manifests(name: &str) -> (Value, Value) {
    let page = include_str!("../../docs/guides/teams.md");
    let block = page.split("```yaml\n").find(|block| block.contains("kind: ValidatingAdmissionPolicy\n")).unwrap();
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(block.split("```").next().unwrap()).unwrap();
    for object in &mut objects {
        object["metadata"]["name"] = json!(name);
    }
    let mut binding = objects.pop().unwrap();
    binding["spec"]["policyName"] = json!(name);
    binding["spec"]["matchResources"] =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    (objects.pop().unwrap(), binding)
}

/// Whether the API server would take such a `PersonalClient`.
async fn answer(server: &Server, namespace: &Namespace, spec: Value) -> Result<(), String> {
    let object = serde_json::from_value(Kind::PersonalClient.object("a-test", &spec)).unwrap();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let created = server.api(Kind::PersonalClient, &namespace.name).create(&params, &object).await;
    created.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_policy_of_the_page_limits_roles_lifetime_and_issuer_and_nothing_else() {
    let server = Server::connect().await;
    let namespace = server.namespace("teams").await;
    let name = namespace.name.clone();
    let modest = json!({"scopedRoles": ["system:viewer"], "expires": "720h"});
    let greedy = json!({"scopedRoles": ["system:super_admin"], "expires": "720h"});
    server
        .api(Kind::PersonalClient, &namespace.name)
        .create(&PostParams::default(), &serde_json::from_value(Kind::PersonalClient.object("older", &greedy)).unwrap())
        .await
        .unwrap();

    let (policy, binding) = manifests(&name);
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(server.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(server.client.clone());
    let apply = PatchParams::apply("gitops");
    policies.patch(&name, &apply, &Patch::Apply(policy)).await.unwrap();
    bindings.patch(&name, &apply, &Patch::Apply(binding)).await.unwrap();

    eventually("the policy is enforced", Duration::from_secs(30), async || {
        match answer(&server, &namespace, greedy.clone()).await {
            Err(error) if error.contains("spec.scopedRoles must name none but") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for spec in [modest, json!({}), json!({"issuerRef": {"kind": "ClusterClientIssuer", "name": "payments"}})] {
        answer(&server, &namespace, spec).await.unwrap();
    }
    for (spec, words) in [
        (json!({"scopedRoles": ["system:viewer", "system:super_admin"]}), "spec.scopedRoles must name none but"),
        (json!({"expires": "never"}), "spec.expires must be 720h or less"),
        (json!({"expires": "721h"}), "spec.expires must be 720h or less"),
        (json!({"issuerRef": {"kind": "ClusterClientIssuer", "name": "other"}}), "spec.issuerRef must name one of"),
        (json!({"issuerRef": {"kind": "ClientIssuer", "name": "default"}}), "spec.issuerRef must name one of"),
    ] {
        let error = answer(&server, &namespace, spec.clone()).await.unwrap_err();
        assert!(error.contains(words), "{spec}: {error}");
    }

    // What was there before may be suspended, but not ask for more, nor go elsewhere as it is.
    let older = async |spec: Value| {
        let api = server.api(Kind::PersonalClient, &namespace.name);
        let patched = api.patch("older", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
        patched.map(drop).map_err(|error| error.to_string())
    };
    older(json!({"suspend": true})).await.unwrap();
    let payments = json!({"kind": "ClusterClientIssuer", "name": "payments"});
    for (spec, words) in [
        (json!({"scopedRoles": ["system:viewer"], "expires": "never"}), "spec.expires must be 720h or less"),
        (json!({"issuerRef": payments}), "spec.scopedRoles must name none but"),
    ] {
        let error = older(spec.clone()).await.unwrap_err();
        assert!(error.contains(words), "{spec}: {error}");
    }

    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    let judged = policies.get(&name).await.unwrap();
    policies.delete(&name, &DeleteParams::default()).await.unwrap();
    server.discard(&namespace).await;
    let warnings =
        judged.status.and_then(|status| status.type_checking).and_then(|checking| checking.expression_warnings);
    assert_eq!(warnings.unwrap_or_default(), [], "its expressions are of the right types");
}
