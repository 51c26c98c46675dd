//! What a ClientIssuer and a ClusterClientIssuer may say. What both have is tried on both.

use serde_json::{Value, json};

use crate::server::{Kind, Server};

async fn accepts_on_both(server: &Server, fields: impl IntoIterator<Item = Value>) {
    let fields: Vec<Value> = fields.into_iter().collect();
    for kind in Kind::ISSUERS {
        server.accepts(kind, fields.iter().map(|fields| kind.with(fields.clone()))).await;
    }
}

async fn rejects_on_both<'a>(server: &Server, cases: impl IntoIterator<Item = (Value, &'a str)>) {
    let cases: Vec<_> = cases.into_iter().collect();
    for kind in Kind::ISSUERS {
        server.rejects(kind, cases.iter().map(|(fields, words)| (kind.with(fields.clone()), *words))).await;
    }
}

#[tokio::test]
async fn the_smallest_and_the_fullest_issuer_are_accepted() {
    let server = Server::connect().await;
    accepts_on_both(
        &server,
        [
            json!({}),
            json!({
                "tenantDomain": null, "url": "https://localhost:8443", "caBundle": "YWJj",
                "auth": {"bearer": {"secretRef": {"name": "c1-token", "key": "token"}}},
                "defaults": {"expires": "never", "scopedRoles": ["system:viewer"], "allowSourceCidr": ["10.0.0.0/8"]},
                "orphanPolicy": "Report",
                "inventoryInterval": "5m",
            }),
        ],
    )
    .await;
    server
        .accepts(
            Kind::ClientIssuer,
            [Kind::ClientIssuer.with(json!({"policy": {"allowed": {"fullPermissions": true}}}))],
        )
        .await;
}

#[tokio::test]
async fn an_issuer_names_its_tenant_in_exactly_one_way() {
    let server = Server::connect().await;
    rejects_on_both(
        &server,
        [
            (json!({"tenantDomain": null}), "exactly one of tenantDomain and url must be set"),
            (json!({"url": "https://localhost:8443"}), "exactly one of tenantDomain and url must be set"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_tenant_domain_is_a_name_or_a_host() {
    let server = Server::connect().await;
    let label = "a".repeat(63);
    accepts_on_both(
        &server,
        ["acme", "acme-2", "a", "acme.c1eu.ai", "acme.conductor.one", &label].map(|name| json!({"tenantDomain": name})),
    )
    .await;
    let shape = "spec.tenantDomain in body should match";
    let too_long = "a".repeat(64);
    let bad = [
        "Acme",
        "acme_1",
        "-acme",
        "acme-",
        "acme:8443",
        "https://acme.conductor.one",
        "acme/",
        "user@acme",
        "a..b",
        ".acme",
        "::1",
        "acme ",
        &too_long,
    ];
    rejects_on_both(&server, bad.map(|name| (json!({"tenantDomain": name}), shape))).await;
    let address = "tenantDomain is a tenant (acme) or a host name (acme.c1eu.ai), not an address";
    rejects_on_both(
        &server,
        ["10.0.0.1", "169.254.169.254", "127.1", "2130706433"].map(|name| (json!({"tenantDomain": name}), address)),
    )
    .await;
    rejects_on_both(
        &server,
        [
            (json!({"tenantDomain": ""}), "spec.tenantDomain in body should be at least 1 chars long"),
            (json!({"tenantDomain": "a.".repeat(130)}), "spec.tenantDomain: Too long: may not be more than 253"),
            (json!({"tenantDomain": 1}), "spec.tenantDomain in body must be of type string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_url_is_https_and_a_host_only() {
    let server = Server::connect().await;
    let good = [
        "https://localhost:8443",
        "https://proxy.example/",
        "https://10.0.0.1",
        "https://[::1]:8443",
        "HTTPS://proxy.example",
    ];
    accepts_on_both(&server, good.map(|url| json!({"tenantDomain": null, "url": url}))).await;
    let words = "url must be https://host[:port] without user, path, query or fragment";
    let bad = [
        "http://proxy.example",
        "proxy.example",
        "ftp://proxy.example",
        "https://user@proxy.example",
        "https://user:password@proxy.example",
        "https://proxy.example/api",
        "https://proxy.example//",
        "https://proxy.example/%2e",
        "https://proxy.example?a=b",
        "https://proxy.example?",
        "https://proxy.example#a",
        "https://proxy.example#",
        "https://",
        "https:///",
        "https://:8443",
        "https://a b",
        "https://proxy.example:port",
        "https://proxy.example:",
        "https://proxy.example:99999",
        "https:proxy.example",
        "//proxy.example",
        "nonsense",
    ];
    rejects_on_both(&server, bad.map(|url| (json!({"tenantDomain": null, "url": url}), words))).await;
    rejects_on_both(
        &server,
        [
            (json!({"tenantDomain": null, "url": ""}), "spec.url in body should be at least 1 chars long"),
            (
                json!({"tenantDomain": null, "url": format!("https://{}", "a".repeat(300))}),
                "spec.url: Too long: may not be more than 300",
            ),
            (json!({"tenantDomain": null, "url": 8443}), "spec.url in body must be of type string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_ca_bundle_is_base64() {
    let server = Server::connect().await;
    rejects_on_both(
        &server,
        [
            (json!({"caBundle": "-----BEGIN CERTIFICATE-----"}), "must be base64"),
            (json!({"caBundle": "YWJj".repeat(16385)}), "spec.caBundle: Too long: may not be more than 65536"),
            (json!({"caBundle": ["YWJj"]}), "spec.caBundle in body must be of type string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_issuer_logs_in_in_exactly_one_way() {
    let server = Server::connect().await;
    let oauth = json!({"secretRef": {"name": "a"}});
    let bearer = json!({"secretRef": {"name": "a", "key": "token"}});
    accepts_on_both(&server, [json!({"auth": {"bearer": bearer}}), json!({"auth": {"oauth": oauth, "bearer": null}})])
        .await;
    let one = "exactly one of oauth and bearer must be set";
    rejects_on_both(
        &server,
        [
            (json!({"auth": {}}), one),
            (json!({"auth": {"oauth": oauth, "bearer": bearer}}), one),
            (json!({"auth": null}), "spec.auth: Required value"),
            (json!({"auth": {"oauth": {}}}), "spec.auth.oauth.secretRef: Required value"),
            (json!({"auth": {"oauth": {"secretRef": {}}}}), "spec.auth.oauth.secretRef.name: Required value"),
            (
                json!({"auth": {"oauth": {"secretRef": {"name": ""}}}}),
                "spec.auth.oauth.secretRef.name in body should be at least 1 chars long",
            ),
            (
                json!({"auth": {"oauth": {"secretRef": {"name": "a".repeat(254)}}}}),
                "spec.auth.oauth.secretRef.name: Too long: may not be more than 253",
            ),
            (
                json!({"auth": {"oauth": {"secretRef": {"name": "a", "namespace": "b"}}}}),
                "unknown field \"spec.auth.oauth.secretRef.namespace\"",
            ),
            (
                json!({"auth": {"bearer": {"secretRef": {"name": "a"}}}}),
                "spec.auth.bearer.secretRef.key: Required value",
            ),
            (
                json!({"auth": {"bearer": {"secretRef": {"name": "a", "key": ""}}}}),
                "spec.auth.bearer.secretRef.key in body should be at least 1 chars long",
            ),
            (
                json!({"auth": {"bearer": {"secretRef": {"key": "token"}}}}),
                "spec.auth.bearer.secretRef.name: Required value",
            ),
            (json!({"auth": "oauth"}), "spec.auth in body must be of type object"),
            (
                json!({"auth": {"oauth": {"secretRef": "a"}}}),
                "spec.auth.oauth.secretRef in body must be of type object",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn defaults_follow_the_rules_of_the_fields_that_they_stand_for() {
    let server = Server::connect().await;
    rejects_on_both(
        &server,
        [
            (
                json!({"defaults": {"expires": "30d"}}),
                "spec.defaults.expires: Invalid value: \"30d\": \"30d\" is not a lifetime",
            ),
            (
                json!({"defaults": {"scopedRoles": []}}),
                "spec.defaults.scopedRoles in body should have at least 1 items",
            ),
            (json!({"defaults": {"scopedRoles": ["a", "a"]}}), "spec.defaults.scopedRoles[1]: Duplicate value"),
            (
                json!({"defaults": {"allowSourceCidr": ["10.0.0.1"]}}),
                "must be an IPv4 or IPv6 network such as 10.20.0.0/16 or 2001:db8::/48",
            ),
            (
                json!({"defaults": {"allowSourceCidr": ["10.0.0.1/8"]}}),
                "must be a network without host bits, such as 10.20.0.0/16 and not 10.20.1.1/16",
            ),
            (json!({"defaults": {"displayName": "a"}}), "unknown field \"spec.defaults.displayName\""),
            (json!({"defaults": []}), "spec.defaults in body must be of type object"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_inventory_interval_is_a_duration_of_a_second_or_more() {
    let server = Server::connect().await;
    accepts_on_both(&server, ["1s", "5m", "1h30m", "8760h"].map(|text| json!({"inventoryInterval": text}))).await;
    for text in ["0s", "500ms", "", "1d", "never", "8760h1s", "-1s", "5"] {
        let words = format!(
            "spec.inventoryInterval: Invalid value: \"{text}\": \"{text}\" is not a duration: use hours, minutes and seconds, such as 720h (30 days) or 1h30m, from 1s to 8760h"
        );
        rejects_on_both(&server, [(json!({"inventoryInterval": text}), words.as_str())]).await;
    }
    rejects_on_both(
        &server,
        [(json!({"inventoryInterval": 300}), "spec.inventoryInterval in body must be of type string")],
    )
    .await;
}

#[tokio::test]
async fn orphans_can_only_be_reported_yet() {
    let server = Server::connect().await;
    rejects_on_both(
        &server,
        [
            (
                json!({"orphanPolicy": "Delete"}),
                "spec.orphanPolicy: Unsupported value: \"Delete\": supported values: \"Report\"",
            ),
            (json!({"orphanPolicy": false}), "spec.orphanPolicy in body must be of type string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_cluster_wide_issuer_says_which_namespaces_may_use_it() {
    let server = Server::connect().await;
    let kind = Kind::ClusterClientIssuer;
    let select = |selector: Value| kind.with(json!({"policy": {"namespaceSelector": selector}}));
    let expression = |expression: Value| select(json!({"matchExpressions": [expression]}));
    server
        .accepts(
            kind,
            [
                select(json!({"matchLabels": {"c1": "allowed", "kubernetes.io/metadata.name": "ci"}})),
                expression(json!({"key": "c1", "operator": "In", "values": ["a", "b"]})),
                expression(json!({"key": "c1", "operator": "NotIn", "values": ["a"]})),
                expression(json!({"key": "c1", "operator": "Exists"})),
                expression(json!({"key": "c1", "operator": "DoesNotExist", "values": []})),
            ],
        )
        .await;
    let values = "values must be given for In and NotIn, and only for those";
    server
        .rejects(kind, [
            (kind.with(json!({"policy": null})), "spec.policy: Required value"),
            (kind.with(json!({"policy": {}})), "spec.policy.namespaceSelector: Required value"),
            (select(json!("ci")), "spec.policy.namespaceSelector in body must be of type object"),
            (expression(json!({"key": "c1", "operator": "In"})), values),
            (expression(json!({"key": "c1", "operator": "NotIn", "values": []})), values),
            (expression(json!({"key": "c1", "operator": "Exists", "values": ["a"]})), values),
            (expression(json!({"key": "c1", "operator": "DoesNotExist", "values": ["a"]})), values),
            (
                expression(json!({"key": "c1", "operator": "Equals", "values": ["a"]})),
                "operator: Unsupported value: \"Equals\": supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\"",
            ),
            (expression(json!({"operator": "Exists"})), "spec.policy.namespaceSelector.matchExpressions[0].key: Required value"),
            (expression(json!({"key": "c1"})), "spec.policy.namespaceSelector.matchExpressions[0].operator: Required value"),
            (expression(json!({"key": 1, "operator": "Exists"})), "matchExpressions[0].key in body must be of type string"),
            (select(json!({"matchLabels": {"a": "x".repeat(64)}})), "spec.policy.namespaceSelector.matchLabels.a: Too long: may not be more than 63"),
            (select(json!({"matchLabels": {"a": 1}})), "spec.policy.namespaceSelector.matchLabels.a in body must be of type string"),
            (select(json!({"matchNames": ["ci"]})), "unknown field \"spec.policy.namespaceSelector.matchNames\""),
        ])
        .await;
}

#[tokio::test]
async fn a_namespaced_issuer_selects_no_namespaces() {
    let server = Server::connect().await;
    let kind = Kind::ClientIssuer;
    let words = "unknown field \"spec.policy.namespaceSelector\"";
    server.rejects(kind, [(kind.with(json!({"policy": {"namespaceSelector": {}}})), words)]).await;
}

#[tokio::test]
async fn full_permissions_are_allowed_by_true_only() {
    let server = Server::connect().await;
    for kind in Kind::ISSUERS {
        let spec = |allowed: Value| {
            let mut spec = kind.least();
            spec["policy"]["allowed"] = allowed;
            spec
        };
        server
            .accepts(
                kind,
                [spec(json!({"fullPermissions": true})), spec(json!({"fullPermissions": false})), spec(json!({}))],
            )
            .await;
        server
            .rejects(
                kind,
                [
                    (
                        spec(json!({"fullPermissions": "yes"})),
                        "spec.policy.allowed.fullPermissions in body must be of type boolean",
                    ),
                    (spec(json!({"everything": true})), "unknown field \"spec.policy.allowed.everything\""),
                    (spec(json!(true)), "spec.policy.allowed in body must be of type object"),
                ],
            )
            .await;
    }
}
