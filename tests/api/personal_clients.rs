//! What a PersonalClient may say, and what is told to whoever says something else.

use std::fs;

use serde_json::{Map, Value, json};
use testkit::cluster;

use crate::server::{Kind, Server};

const KIND: Kind = Kind::PersonalClient;

/// A spec with one field.
fn field(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn template(name: &str, value: Value) -> Value {
    json!({"secretTemplate": field(name, value)})
}

fn many(count: usize, item: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(item).collect()
}

/// A map of that many entries.
fn map_of(count: usize, key: impl Fn(usize) -> String) -> Value {
    (0..count).map(|n| (key(n), "x".into())).collect::<Map<_, _>>().into()
}

#[tokio::test]
async fn the_smallest_spec_and_every_example_are_accepted() {
    let server = Server::connect().await;
    server.accepts(KIND, [json!({})]).await;
    let mut tried = 0;
    for entry in fs::read_dir(cluster::root().join("examples")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| object["kind"] == format!("{kind:?}")) else { continue };
            server.dry_run(kind, &object).await.unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 3, "there are examples of only {tried} objects");
}

#[tokio::test]
async fn a_spec_is_required_and_holds_known_fields_only() {
    let server = Server::connect().await;
    let mut object = KIND.object("a-test", &json!({}));
    object.as_object_mut().unwrap().remove("spec");
    let message = server.dry_run(KIND, &object).await.unwrap_err();
    assert!(message.contains("spec: Required value"), "{message}");
    server
        .rejects(
            KIND,
            [
                (json!({"expire": "720h"}), "unknown field \"spec.expire\""),
                (json!({"secretTemplate": {"stringData": {}}}), "unknown field \"spec.secretTemplate.stringData\""),
                (json!([]), "spec in body must be of type object"),
            ],
        )
        .await;
}

#[tokio::test]
async fn expires_is_a_lifetime_in_hours_minutes_and_seconds_or_never() {
    let server = Server::connect().await;
    let good = ["10m", "600s", "1h30m", "1h0m5s", "720h", "87600h", "5256000m", "315360000s", "never"];
    server.accepts(KIND, good.map(|text| field("expires", text.into()))).await;
    for text in [
        "30d", "1w", "", "h", "1.5h", "-5m", "30m1h", "1h1h", "9m59s", "0s", "87600h1s", "99999h", "Never", "720h ",
        " 720h", "720", "hhh",
    ] {
        let words = format!(
            "spec.expires: Invalid value: \"{text}\": \"{text}\" is not a lifetime: use hours, minutes and seconds, such as 720h (30 days) or 1h30m, from 10m to 87600h, or never"
        );
        server.rejects(KIND, [(field("expires", text.into()), words.as_str())]).await;
    }
    server
        .rejects(
            KIND,
            [
                (
                    field("expires", "99999999999999999999999h".repeat(2).into()),
                    "spec.expires: Too long: may not be more than 24",
                ),
                (field("expires", json!(720)), "spec.expires in body must be of type string"),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_display_name_is_plain_text() {
    let server = Server::connect().await;
    let longest = "🔑".repeat(128);
    let good = ["a", "CI deployer", "Zoë's client (prod)", "{curly}", longest.as_str()];
    server.accepts(KIND, good.map(|text| field("displayName", text.into()))).await;
    let words = "displayName must not contain square brackets, control or formatting characters";
    let bad = ["a[b", "a]b", "[k8s x]", "a\nb", "a\tb", "a\u{7f}b", "a\u{202e}b", "a\u{200b}b", "a\u{feff}"];
    server.rejects(KIND, bad.map(|text| (field("displayName", text.into()), words))).await;
    server
        .rejects(
            KIND,
            [
                (field("displayName", "".into()), "spec.displayName in body should be at least 1 chars long"),
                (field("displayName", "x".repeat(129).into()), "spec.displayName: Too long: may not be more than 128"),
                (field("displayName", json!(5)), "spec.displayName in body must be of type string"),
            ],
        )
        .await;
}

#[tokio::test]
async fn source_networks_are_networks_without_host_bits() {
    let server = Server::connect().await;
    let good = [
        "10.0.0.0/8",
        "10.20.0.0/16",
        "192.0.2.7/32",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/48",
        "2001:DB8::/48",
        "2001:db8::1/128",
    ];
    server.accepts(KIND, good.map(|cidr| field("allowSourceCidr", json!([cidr])))).await;
    server.accepts(KIND, [field("allowSourceCidr", json!(many(32, |n| format!("10.{n}.0.0/16"))))]).await;

    let no_network = "must be an IPv4 or IPv6 network such as 10.20.0.0/16 or 2001:db8::/48";
    let bad = [
        "10.0.0.1",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "010.0.0.0/8",
        " 10.0.0.0/8",
        "10.0.0.0/8 ",
        "localhost",
        "",
        "10/8",
        "::ffff:10.0.0.0/104",
        "fe80::%eth0/64",
    ];
    server.rejects(KIND, bad.map(|cidr| (field("allowSourceCidr", json!([cidr])), no_network))).await;
    let host_bits = "must be a network without host bits, such as 10.20.0.0/16 and not 10.20.1.1/16";
    let bad = ["10.1.0.0/8", "192.0.2.7/24", "2001:db8::1/48"];
    server.rejects(KIND, bad.map(|cidr| (field("allowSourceCidr", json!([cidr])), host_bits))).await;
    server
        .rejects(
            KIND,
            [
                (
                    field("allowSourceCidr", json!(["10.0.0.0/8", "10.1.1.1/8"])),
                    "spec.allowSourceCidr[1]: Invalid value",
                ),
                (field("allowSourceCidr", json!([])), "spec.allowSourceCidr in body should have at least 1 items"),
                (
                    field("allowSourceCidr", json!(many(33, |n| format!("10.{n}.0.0/16")))),
                    "spec.allowSourceCidr: Too many: 33: must have at most 32 items",
                ),
                (
                    field("allowSourceCidr", json!(["10.0.0.0/8", "10.0.0.0/8"])),
                    "spec.allowSourceCidr[1]: Duplicate value",
                ),
                (
                    field("allowSourceCidr", json!(["1".repeat(44)])),
                    "spec.allowSourceCidr[0]: Too long: may not be more than 43",
                ),
                (field("allowSourceCidr", json!("10.0.0.0/8")), "spec.allowSourceCidr in body must be of type array"),
                (field("allowSourceCidr", json!([10])), "spec.allowSourceCidr[0] in body must be of type string"),
            ],
        )
        .await;
}

#[tokio::test]
async fn scoped_roles_are_a_set_of_ids_or_names() {
    let server = Server::connect().await;
    server
        .accepts(
            KIND,
            [
                field("scopedRoles", json!(["system:viewer"])),
                field("scopedRoles", json!(["2abcdefghijklmnopqrstuvwxyz", "Read-Only Administrator"])),
                field("scopedRoles", json!(many(32, |n| format!("role-{n}")))),
                field("scopedRoles", json!(["x".repeat(128)])),
            ],
        )
        .await;
    server
        .rejects(
            KIND,
            [
                (field("scopedRoles", json!([])), "spec.scopedRoles in body should have at least 1 items"),
                (
                    field("scopedRoles", json!(many(33, |n| format!("role-{n}")))),
                    "spec.scopedRoles: Too many: 33: must have at most 32 items",
                ),
                (field("scopedRoles", json!([""])), "spec.scopedRoles[0] in body should be at least 1 chars long"),
                (
                    field("scopedRoles", json!(["x".repeat(129)])),
                    "spec.scopedRoles[0]: Too long: may not be more than 128",
                ),
                (field("scopedRoles", json!(["a", "a"])), "spec.scopedRoles[1]: Duplicate value"),
                (field("scopedRoles", json!("system:viewer")), "spec.scopedRoles in body must be of type array"),
                (field("scopedRoles", json!([1])), "spec.scopedRoles[0] in body must be of type string"),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_secret_name_is_one_that_a_secret_can_have() {
    let server = Server::connect().await;
    let longest = "a".repeat(253);
    server
        .accepts(
            KIND,
            ["a", "ci-deployer-c1", "a.b-c.1", longest.as_str()].map(|name| field("secretName", name.into())),
        )
        .await;
    let words = "spec.secretName in body should match";
    server
        .rejects(
            KIND,
            ["A", "a_b", "-a", "a-", "a..b", ".a", "a b", "a/b"].map(|name| (field("secretName", name.into()), words)),
        )
        .await;
    server
        .rejects(
            KIND,
            [
                (field("secretName", "".into()), "spec.secretName in body should be at least 1 chars long"),
                (field("secretName", "a".repeat(254).into()), "spec.secretName: Too long: may not be more than 253"),
                (field("secretName", json!(["a"])), "spec.secretName in body must be of type string"),
            ],
        )
        .await;
}

#[tokio::test]
async fn an_issuer_is_named_by_kind_and_name() {
    let server = Server::connect().await;
    server
        .accepts(
            KIND,
            [
                json!({"issuerRef": {"kind": "ClusterClientIssuer", "name": "default"}}),
                json!({"issuerRef": {"kind": "ClientIssuer", "name": "team.a-1"}}),
                json!({"issuerRef": null}),
            ],
        )
        .await;
    server
        .rejects(KIND, [
            (json!({"issuerRef": {"name": "default"}}), "spec.issuerRef.kind: Required value"),
            (json!({"issuerRef": {"kind": "ClientIssuer"}}), "spec.issuerRef.name: Required value"),
            (json!({"issuerRef": {}}), "spec.issuerRef.name: Required value"),
            (
                json!({"issuerRef": {"kind": "Issuer", "name": "a"}}),
                "spec.issuerRef.kind: Unsupported value: \"Issuer\": supported values: \"ClientIssuer\", \"ClusterClientIssuer\"",
            ),
            (json!({"issuerRef": {"kind": "ClientIssuer", "name": ""}}), "spec.issuerRef.name in body should be at least 1 chars long"),
            (json!({"issuerRef": {"kind": "ClientIssuer", "name": "A"}}), "spec.issuerRef.name in body should match"),
            (json!({"issuerRef": {"kind": "ClientIssuer", "name": "a/b"}}), "spec.issuerRef.name in body should match"),
            (json!({"issuerRef": {"kind": "ClientIssuer", "name": "a".repeat(254)}}), "spec.issuerRef.name: Too long: may not be more than 253"),
            (json!({"issuerRef": "default"}), "spec.issuerRef in body must be of type object"),
            (json!({"issuerRef": {"kind": 1, "name": "a"}}), "spec.issuerRef.kind in body must be of type string"),
        ])
        .await;
}

#[tokio::test]
async fn a_deletion_policy_deletes_or_retains() {
    let server = Server::connect().await;
    server.accepts(KIND, ["Delete", "Retain"].map(|policy| field("deletionPolicy", policy.into()))).await;
    let words = "supported values: \"Delete\", \"Retain\"";
    server.rejects(KIND, ["Keep", "delete", ""].map(|policy| (field("deletionPolicy", policy.into()), words))).await;
    server
        .rejects(KIND, [(field("deletionPolicy", json!(true)), "spec.deletionPolicy in body must be of type string")])
        .await;
}

#[tokio::test]
async fn a_secret_template_makes_no_credential_of_kubernetes() {
    let server = Server::connect().await;
    server
        .accepts(KIND, ["Opaque", "example.com/token", "notkubernetes.io/x"].map(|kind| template("type", kind.into())))
        .await;
    let words = "types of Kubernetes itself are not allowed: leave it out (Opaque), or use a type of your own";
    let bad = [
        "kubernetes.io/service-account-token",
        "kubernetes.io/tls",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/basic-auth",
        "bootstrap.kubernetes.io/token",
        "a.b.kubernetes.io/x",
    ];
    server.rejects(KIND, bad.map(|kind| (template("type", kind.into()), words))).await;
    server
        .rejects(
            KIND,
            [
                (template("type", "".into()), "spec.secretTemplate.type in body should be at least 1 chars long"),
                (
                    template("type", "x".repeat(254).into()),
                    "spec.secretTemplate.type: Too long: may not be more than 253",
                ),
                (template("type", json!(1)), "spec.secretTemplate.type in body must be of type string"),
                (json!({"secretTemplate": "Opaque"}), "spec.secretTemplate in body must be of type object"),
            ],
        )
        .await;
}

#[tokio::test]
async fn labels_of_the_secret_are_labels_and_not_reserved() {
    let server = Server::connect().await;
    let good = [
        json!({"team": "ci"}),
        json!({"example.com/team": "a.b_c-1", "empty": ""}),
        json!({"mykubernetes.io/a": "x", "notconductor.one/a": "x"}),
        json!({}),
        map_of(32, |n| format!("label-{n}")),
    ];
    server.accepts(KIND, good.map(|labels| template("labels", labels))).await;
    let invalid = "keys and values must be valid Kubernetes labels";
    let bad = [
        json!({"team": "a b"}),
        json!({"team": "-a"}),
        json!({"a b": "x"}),
        json!({"": "x"}),
        json!({"/a": "x"}),
        json!({"a/b/c": "x"}),
        json!({"x".repeat(64): "x"}),
    ];
    server.rejects(KIND, bad.map(|labels| (template("labels", labels), invalid))).await;
    let reserved = "label keys under kubernetes.io, k8s.io and conductor.one are reserved";
    let bad = [
        "app.kubernetes.io/name",
        "kubernetes.io/x",
        "k8s.io/x",
        "node.k8s.io/x",
        "iam.conductor.one/managed",
        "conductor.one/x",
        "a.b.conductor.one/x",
    ];
    server.rejects(KIND, bad.map(|key| (template("labels", json!({key: "x"})), reserved))).await;
    server
        .rejects(
            KIND,
            [
                (
                    template("labels", map_of(33, |n| format!("label-{n}"))),
                    "spec.secretTemplate.labels: Too many: 33: must have at most 32 items",
                ),
                (
                    template("labels", json!({"a": "x".repeat(64)})),
                    "spec.secretTemplate.labels.a: Too long: may not be more than 63",
                ),
                (template("labels", json!({"a": 1})), "spec.secretTemplate.labels.a in body must be of type string"),
                (template("labels", json!(["a"])), "spec.secretTemplate.labels in body must be of type object"),
            ],
        )
        .await;
}

#[tokio::test]
async fn annotations_of_the_secret_are_annotations_and_not_reserved() {
    let server = Server::connect().await;
    let good = [
        json!({"note": "any text, with [brackets]\nand lines"}),
        json!({"reloader.stakater.com/match": "true"}),
        json!({"long": "x".repeat(4096)}),
        map_of(32, |n| format!("note-{n}")),
    ];
    server.accepts(KIND, good.map(|annotations| template("annotations", annotations))).await;
    let invalid = "keys must be valid annotation keys";
    let bad = [json!({"a b": "x"}), json!({"": "x"}), json!({"a/b/c": "x"}), json!({"-a": "x"})];
    server.rejects(KIND, bad.map(|annotations| (template("annotations", annotations), invalid))).await;
    let reserved = "annotation keys under kubernetes.io, k8s.io and conductor.one are reserved";
    let bad = [
        "kubernetes.io/service-account.name",
        "kubectl.kubernetes.io/last-applied-configuration",
        "x.k8s.io/a",
        "iam.conductor.one/delivered",
        "iam.conductor.one/fence",
        "conductor.one/x",
    ];
    server.rejects(KIND, bad.map(|key| (template("annotations", json!({key: "x"})), reserved))).await;
    server
        .rejects(
            KIND,
            [
                (
                    template("annotations", map_of(33, |n| format!("note-{n}"))),
                    "spec.secretTemplate.annotations: Too many: 33: must have at most 32 items",
                ),
                (
                    template("annotations", json!({"a": "x".repeat(4097)})),
                    "spec.secretTemplate.annotations.a: Too long: may not be more than 4096",
                ),
                (
                    template("annotations", json!({"a": true})),
                    "spec.secretTemplate.annotations.a in body must be of type string",
                ),
            ],
        )
        .await;
}

#[tokio::test]
async fn further_keys_of_the_secret_are_templates_over_known_names() {
    let server = Server::connect().await;
    let good = [
        json!({"CONDUCTORONE_CLIENT_ID": "{{ clientId }}", "CONDUCTORONE_CLIENT_SECRET": "{{clientSecret}}"}),
        json!({"all": "{{ clientId }} {{ clientSecret }} {{ tokenUrl }} {{ serverUrl }} {{ id }} {{ host }} {{ expiresTime }}"}),
        json!({"config.json": "{\"id\": \"{{ clientId }}\", \"nested\": {\"a\": {}}}"}),
        json!({"plain": "no template", "empty": "", "braces": "{ } }} {", "lines": "a\nb\n"}),
        json!({".hidden-file_1": "x"}),
        json!({"k".repeat(253): "x"}),
        json!({"long": "x".repeat(4096)}),
        map_of(32, |n| format!("key-{n}")),
    ];
    server.accepts(KIND, good.map(|data| template("data", data))).await;

    let words =
        "a template may use {{ name }} with one of: clientId, clientSecret, tokenUrl, serverUrl, id, host, expiresTime";
    let bad = [
        "{{ password }}",
        "{{ clientId",
        "{{ }}",
        "{{}}",
        "{{ clientId | base64 }}",
        "{{ .clientId }}",
        "{{{ clientId }}}",
        "{{ clientid }}",
    ];
    server.rejects(KIND, bad.map(|text| (template("data", json!({"a": text})), words))).await;
    let words = "clientId, clientSecret, tokenUrl and serverUrl are always written and cannot be replaced";
    let bad = ["clientId", "clientSecret", "tokenUrl", "serverUrl"];
    server.rejects(KIND, bad.map(|key| (template("data", json!({key: "x"})), words))).await;
    let words = "keys must be valid Secret keys";
    let too_long = "k".repeat(254);
    let bad = ["a b", "a/b", "", "ä", ".", "..", "..data", too_long.as_str()];
    server.rejects(KIND, bad.map(|key| (template("data", json!({key: "x"})), words))).await;
    server
        .rejects(
            KIND,
            [
                (
                    template("data", map_of(33, |n| format!("key-{n}"))),
                    "spec.secretTemplate.data: Too many: 33: must have at most 32 items",
                ),
                (
                    template("data", json!({"a": "x".repeat(4097)})),
                    "spec.secretTemplate.data.a: Too long: may not be more than 4096",
                ),
                (template("data", json!({"a": 1})), "spec.secretTemplate.data.a in body must be of type string"),
            ],
        )
        .await;
}
