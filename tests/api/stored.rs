//! What is stored and shown.

use std::process::Command;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::{
    cluster,
    kstatus::{self, Kstatus},
};

use crate::server::{Kind, Server};

/// A spec with every field that a kind has.
fn full(kind: Kind) -> Value {
    match kind {
        Kind::PersonalClient => json!({
            "issuerRef": {"kind": "ClientIssuer", "name": "team"},
            "displayName": "a", "expires": "720h", "allowSourceCidr": ["10.0.0.0/8"], "scopedRoles": ["a"],
            "secretName": "a", "deletionPolicy": "Retain", "suspend": true,
            "rotation": {"policy": "Manual", "renewBefore": "24h", "maxAge": "240h", "overlap": "1h", "maxOverlap": "2h"},
            "secretTemplate": {"type": "example.com/a", "labels": {"a": "a"}, "annotations": {"a": "a"}, "data": {"a": "{{ id }}"}},
        }),
        issuer => issuer.with(json!({
            "caBundle": "YWJj", "orphanPolicy": "Report", "inventoryInterval": "5m",
            "defaults": {"expires": "720h", "scopedRoles": ["a"], "allowSourceCidr": ["10.0.0.0/8"]},
        })),
    }
}

#[tokio::test]
async fn a_spec_is_stored_as_it_was_sent_and_applying_it_again_changes_nothing() {
    let server = Server::connect().await;
    let namespace = server.namespace("as-sent").await;
    for kind in Kind::ALL {
        let api = server.api(kind, &namespace.name);
        for (number, spec) in [kind.least(), full(kind)].iter().enumerate() {
            let name = format!("{}-{number}", namespace.name);
            let object = kind.object(&name, spec);
            let created = server.apply(kind, &namespace.name, &object).await.unwrap();
            assert_eq!(&created.data["spec"], spec, "{kind:?}: nothing is added to a spec");
            // The API server stores the defaults of status with the first write after the creation; that is the operator's.
            let status = json!({"status": {"observedGeneration": 1}});
            let first = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
            let second = server.apply(kind, &namespace.name, &object).await.unwrap();
            assert_eq!(first.resource_version(), second.resource_version(), "{kind:?}: the same again is no change");
            assert_eq!(second.metadata.generation, Some(1));
            assert_eq!(&second.data["spec"], spec);
            api.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }
    server.discard(&namespace).await;
}

#[test]
fn the_full_specs_of_these_tests_have_every_field() {
    let crds = c1_operator::api::crds().unwrap();
    for kind in Kind::ALL {
        let crd = crds.iter().find(|crd| crd.spec.names.kind == format!("{kind:?}")).unwrap();
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let fields = schema.properties.as_ref().unwrap()["spec"].properties.as_ref().unwrap();
        let mut used = full(kind);
        for (field, instead_of) in [("url", "tenantDomain"), ("policy", "auth")] {
            if used.get(instead_of).is_some() {
                used[field] = Value::Null;
            }
        }
        let used: Vec<&String> = used.as_object().unwrap().keys().collect();
        assert_eq!(fields.keys().collect::<Vec<_>>(), used, "{kind:?}");
    }
}

#[tokio::test]
async fn the_schema_has_defaults_in_status_only() {
    fn defaults(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let Value::Object(fields) = schema else { return };
        for (name, value) in fields {
            if name == "default" && !path.ends_with(".properties") {
                found.push((path.to_owned(), value.clone()));
            }
            defaults(value, &format!("{path}.{name}"), found);
        }
    }
    for crd in c1_operator::api::crds().unwrap() {
        let mut found = Vec::new();
        for version in &crd.spec.versions {
            let schema =
                serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap();
            defaults(&schema, "", &mut found);
        }
        let expected = [
            (".properties.status".to_owned(), json!({})),
            (".properties.status.properties.observedGeneration".to_owned(), json!(-1)),
        ];
        found.sort_by_key(|(path, _)| path.clone());
        assert_eq!(found, expected, "{}", crd.name_any());
    }
}

#[tokio::test]
async fn a_new_object_is_behind_from_its_first_moment() {
    let server = Server::connect().await;
    let namespace = server.namespace("behind").await;
    for kind in Kind::ALL {
        let mut object = kind.object(&namespace.name, &kind.least());
        // Who brings a status along does not get it.
        object["status"] = json!({"observedGeneration": 1, "conditions": []});
        let created = server.apply(kind, &namespace.name, &object).await.unwrap();
        assert_eq!(created.data["status"], json!({"observedGeneration": -1}), "{kind:?}");
        let value = serde_json::to_value(&created).unwrap();
        assert_eq!(kstatus::verdicts(std::slice::from_ref(&value))[0].kstatus, Kstatus::InProgress, "{kind:?}");
        assert_eq!(kstatus::problems(&[value]), Vec::<String>::new(), "{kind:?}");
        server.api(kind, &namespace.name).delete(&namespace.name, &DeleteParams::default()).await.unwrap();
    }
    server.discard(&namespace).await;
}

fn kubectl(arguments: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new(cluster::variable("KUBECTL")).args(arguments).output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Columns are three blanks apart; what stands in one may hold a blank.
    text.lines()
        .map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect())
        .collect()
}

#[tokio::test]
async fn kubectl_get_shows_what_matters() {
    let server = Server::connect().await;
    let namespace = server.namespace("columns").await;
    let name = namespace.name.as_str();
    let kind = Kind::PersonalClient;
    server.apply(kind, name, &kind.object("a-client", &json!({"suspend": true}))).await.unwrap();
    let expires = Time(Timestamp::from_second(4_102_444_800).unwrap());
    let ready =
        json!({"type": "Ready", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": expires});
    let failing = json!({"type": "RenewalFailing", "status": "True", "reason": "Unreachable", "message": "", "lastTransitionTime": expires});
    let status = json!({"status": {
        "observedGeneration": 1, "conditions": [ready, failing], "secretName": "a-secret", "renewalTime": expires,
        "client": {
            "id": "blue-whale-12345", "clientId": "x", "attempt": "x", "host": "x", "userId": "x", "displayName": "x",
            "expiresTime": expires, "issuerRef": {"kind": "ClusterClientIssuer", "name": "prod"},
        },
    }});
    let api = server.api(kind, name);
    api.patch_status("a-client", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();

    let [header, row] = <[_; 2]>::try_from(kubectl(&["get", "pclient", "-n", name])).unwrap();
    assert_eq!(header, ["NAME", "READY", "REASON", "CLIENT", "EXPIRES", "RENEWAL", "AGE"]);
    let end = "2100-01-01T00:00:00Z";
    assert_eq!(row[..6], ["a-client", "True", "Issued", "blue-whale-12345", end, end]);
    let [header, row] = <[_; 2]>::try_from(kubectl(&["get", "pclient", "-n", name, "-o", "wide"])).unwrap();
    assert_eq!(header[7..], ["SECRET", "ISSUER", "SUSPENDED", "RENEWAL FAILING"]);
    assert_eq!(row[7..], ["a-secret", "prod", "true", "Unreachable"]);

    let issuer = Kind::ClusterClientIssuer;
    server.apply(issuer, name, &issuer.object(name, &issuer.least())).await.unwrap();
    let status = json!({"status": {"observedGeneration": 1, "conditions": [ready], "tenant": "acme.conductor.one", "orphanedClients": 2}});
    server.api(issuer, name).patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let [header, row] = <[_; 2]>::try_from(kubectl(&["get", "c1clusterissuer", name])).unwrap();
    assert_eq!(header, ["NAME", "READY", "REASON", "TENANT", "ORPHANS", "AGE"]);
    assert_eq!(row[..5], [name, "True", "Issued", "acme.conductor.one", "2"]);
    server.api(issuer, name).delete(name, &DeleteParams::default()).await.unwrap();
    server.discard(&namespace).await;
}

#[tokio::test]
async fn every_kind_has_a_short_name_and_the_category() {
    let server = Server::connect().await;
    let crds: Api<CustomResourceDefinition> = Api::all(server.client.clone());
    for (plural, short) in
        [("personalclients", "pclient"), ("clientissuers", "c1issuer"), ("clusterclientissuers", "c1clusterissuer")]
    {
        let crd = crds.get(&format!("{plural}.iam.conductor.one")).await.unwrap();
        let names = crd.status.unwrap().accepted_names.unwrap();
        assert_eq!(names.short_names.unwrap(), [short]);
        assert_eq!(names.categories.unwrap(), ["conductorone"]);
    }
    let namespace = server.namespace("category").await;
    for kind in [Kind::PersonalClient, Kind::ClientIssuer] {
        server.apply(kind, &namespace.name, &kind.object("of-the-category", &kind.least())).await.unwrap();
    }
    let shown: Vec<String> = kubectl(&["get", "conductorone", "-n", &namespace.name, "-o", "name"]).concat();
    for object in ["personalclient.iam.conductor.one/of-the-category", "clientissuer.iam.conductor.one/of-the-category"]
    {
        assert!(shown.contains(&object.to_owned()), "{shown:?}");
    }
    server.discard(&namespace).await;
}
