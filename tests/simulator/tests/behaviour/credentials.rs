//! Secrets, client ids and the token endpoint: rows 5 to 10 and 18, and the device tokens of row 30.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{CLIENTS, INTROSPECT, Login, Simulator, TOKEN};

/// The JWK in a secret.
fn jwk(secret: &str) -> Value {
    let encoded = secret.strip_prefix("secret-token:conductorone.com:v1:").unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

fn signing_key(secret: &str) -> SigningKey {
    let d = URL_SAFE_NO_PAD.decode(jwk(secret)["d"].as_str().unwrap()).unwrap();
    SigningKey::from_bytes(&d.try_into().unwrap())
}

/// An assertion as C1's SDKs make it, with some claims changed.
fn assertion(login: &Login, header: &Value, changes: &Value) -> String {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "iss": login.client_id, "sub": login.client_id, "aud": ["localhost"],
        "iat": now, "nbf": now - 120, "exp": now + 120,
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&claims));
    let signature = signing_key(&login.secret).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

async fn present(c1: &Simulator, client_id: &str, assertion: &str) -> u16 {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ];
    c1.form(TOKEN, &fields).await.status
}

#[tokio::test]
async fn a_secret_is_a_jwk_behind_a_prefix_and_is_shown_once() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({"displayName": "a"})).await;
    let jwk = jwk(&made.secret);
    assert_eq!(jwk.as_object().unwrap().keys().collect::<Vec<_>>(), ["crv", "d", "kty", "x"]);
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(jwk["d"].as_str().unwrap().len(), 43);
    assert_eq!(made.secret.len(), 205);
    let shown = c1.get(&format!("{CLIENTS}/{}", made.id), &token).await.body;
    assert!(!shown.to_string().contains("ecret"), "{shown}");
}

#[tokio::test]
async fn ids_are_cutenames_and_client_ids_hold_the_host() {
    let c1 = Simulator::start(&["--host", "acme.example:8443"]);
    let client_id = c1.text("clientId");
    let (id, rest) = client_id.split_once('@').unwrap();
    assert_eq!(rest, "acme.example:8443/pcc");
    assert_eq!(c1.text("url"), "https://acme.example:8443");
    let parts: Vec<&str> = id.split('-').collect();
    let lower = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
    assert!(parts.len() == 3 && lower(parts[0]) && lower(parts[1]), "{id}");
    assert!(parts[2].len() == 5 && parts[2].parse::<u32>().is_ok(), "{id}");
}

#[tokio::test]
async fn a_good_assertion_logs_in_with_and_without_nonce_and_with_either_form_of_audience() {
    let c1 = Simulator::start(&[]);
    let login = c1.bootstrap();
    for (header, changes) in [
        (json!({"alg": "EdDSA"}), json!({})),
        (json!({"alg": "EdDSA", "nonce": "00112233445566778899aabbccddeeff"}), json!({})),
        (json!({"alg": "EdDSA"}), json!({"aud": "localhost"})),
        (json!({"alg": "EdDSA"}), json!({"aud": ["elsewhere", "127.0.0.1"]})),
    ] {
        let jwt = assertion(&login, &header, &changes);
        assert_eq!(present(&c1, &login.client_id, &jwt).await, 200, "{header} {changes}");
    }
}

#[tokio::test]
async fn an_assertion_with_anything_wrong_about_it_is_refused() {
    let c1 = Simulator::start(&[]);
    let login = c1.bootstrap();
    let now = Timestamp::now().as_second();
    for changes in [
        json!({"iss": "somebody"}),
        json!({"sub": "somebody"}),
        json!({"aud": ["elsewhere"]}),
        json!({"aud": [c1.text("host")]}),
        json!({"exp": now - 1}),
        json!({"exp": now + 600}),
        json!({"nbf": now + 300}),
        json!({"iat": now + 300}),
        json!({"exp": null}),
    ] {
        let jwt = assertion(&login, &json!({"alg": "EdDSA"}), &changes);
        assert_eq!(present(&c1, &login.client_id, &jwt).await, 401, "{changes}");
    }
    let wrong_algorithm = assertion(&login, &json!({"alg": "none"}), &json!({}));
    assert_eq!(present(&c1, &login.client_id, &wrong_algorithm).await, 401);
    let other = c1.create(&c1.token().await, json!({})).await;
    let stranger = Login { secret: other.secret, ..login.clone() };
    let foreign_signature = assertion(&stranger, &json!({"alg": "EdDSA"}), &json!({}));
    assert_eq!(present(&c1, &login.client_id, &foreign_signature).await, 401);
    assert_eq!(present(&c1, &login.client_id, "no.jwt").await, 401);
}

#[tokio::test]
async fn a_token_answer_says_how_long_it_lives_and_the_request_must_be_a_form() {
    let c1 = Simulator::start(&[]);
    let login = c1.bootstrap();
    let reply = c1.login_reply(&login).await;
    assert_eq!((reply.status, &reply.body["token_type"]), (200, &json!("Bearer")));
    assert_eq!(reply.body["expires_in"], 3600);

    let body = json!({"grant_type": "client_credentials", "client_id": login.client_id});
    let no_form = c1.post(TOKEN, "", body).await;
    assert_eq!((no_form.status, &no_form.body["error"]), (400, &json!("invalid_request")));
    let no_grant = c1.form(TOKEN, &[("client_id", &login.client_id)]).await;
    assert_eq!((no_grant.status, &no_grant.body["error"]), (400, &json!("invalid_request")));
    let password = c1.form(TOKEN, &[("grant_type", "password")]).await;
    assert_eq!((password.status, &password.body["error"]), (400, &json!("unsupported_grant_type")));
}

#[tokio::test]
async fn bad_credentials_are_an_invalid_client() {
    let c1 = Simulator::start(&[]);
    let good = c1.bootstrap();
    let other = c1.create(&c1.token().await, json!({})).await;
    for wrong in [
        Login { secret: other.secret, ..good.clone() },
        Login { secret: "guess".into(), ..good.clone() },
        Login { client_id: good.client_id.replace("localhost", "elsewhere"), ..good.clone() },
        Login { client_id: "nobody".into(), ..good.clone() },
    ] {
        let reply = c1.login_reply(&wrong).await;
        assert_eq!((reply.status, &reply.body["error"]), (401, &json!("invalid_client")));
        assert!(reply.body["error_description"].is_string());
    }
}

#[tokio::test]
async fn without_a_good_token_a_call_is_unauthenticated() {
    let c1 = Simulator::start(&["--token-lifetime", "60"]);
    let token = c1.token().await;
    for wrong in ["", "guess"] {
        let reply = c1.get(INTROSPECT, wrong).await;
        assert_eq!((reply.status, &reply.body["code"]), (401, &json!(16)));
    }
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 200);
    c1.advance(61).await;
    assert_eq!(c1.get(INTROSPECT, &token).await.status, 401);
}

#[tokio::test]
async fn an_expired_client_gets_no_token_but_its_tokens_live_on_and_it_stays_listed() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({"displayName": "short", "expires": "600s"})).await;
    let its_token = c1.log_in(&made).await;
    c1.advance(601).await;
    assert_eq!(c1.login_reply(&made).await.body["error"], "invalid_client");
    assert_eq!(c1.get(INTROSPECT, &its_token).await.status, 200);
    let list = c1.get(CLIENTS, &token).await.body;
    assert!(list["list"].as_array().unwrap().iter().any(|client| client["id"] == made.id));
    assert_eq!(c1.entry(&made.id).await["live"], false);
}

#[tokio::test]
async fn deleting_a_client_ends_its_tokens_or_not_as_the_switch_says() {
    let c1 = Simulator::start(&[]);
    let token = c1.token().await;
    let made = c1.create(&token, json!({})).await;
    let its_token = c1.log_in(&made).await;
    c1.delete(&format!("{CLIENTS}/{}", made.id), &token).await;
    assert_eq!(c1.login_reply(&made).await.status, 401);
    assert_eq!(c1.get(INTROSPECT, &its_token).await.status, 401);
    c1.switch(json!({"deletedTokens": "live"})).await;
    assert_eq!(c1.get(INTROSPECT, &its_token).await.status, 200);
}

#[tokio::test]
async fn a_device_token_can_make_a_client_and_nothing_else() {
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
    let c1 = Simulator::start(&[]);
    let begun = c1.form("/auth/v1/device_authorization", &[("client_id", "a-device")]).await.body;
    let code = begun["device_code"].as_str().unwrap();
    let poll = [("grant_type", GRANT), ("device_code", code), ("client_id", "a-device")];
    let pending = c1.form(TOKEN, &poll).await;
    assert_eq!((pending.status, &pending.body["error"]), (400, &json!("authorization_pending")));

    c1.pull(Method::POST, "/device/approve", json!({"userCode": begun["user_code"]})).await;
    let granted = c1.form(TOKEN, &poll).await.body;
    let token = granted["access_token"].as_str().unwrap();
    assert_eq!(c1.form(TOKEN, &poll).await.body["error"], "expired_token");
    for path in [CLIENTS, INTROSPECT] {
        assert_eq!(c1.get(path, token).await.status, 403, "{path}");
    }
    let made = c1.create(token, json!({"displayName": "Created by a device"})).await;
    assert_eq!(c1.entry(&made.id).await["userId"], c1.text("userId"));
    assert_eq!(c1.delete(&format!("{CLIENTS}/{}", made.id), token).await.status, 403);
}
