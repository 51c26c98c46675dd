//! The signed assertion with which C1's own tools log in: RFC 7523, signed with the Ed25519 key (RFC 8037) that *is* the
//! client secret: `secret-token:conductorone.com:v1:<base64url of a JWK>`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// C1 accepts assertions that end at most five minutes ahead; its own tools say two.
const LIFETIME_SECONDS: i64 = 120;

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Jwk {
    kty: String,
    crv: String,
    d: String,
}

/// The signing key in a client secret; `None`: it is a plain secret.
pub(super) fn signing_key(secret: &str) -> Option<SigningKey> {
    let jwk = secret.strip_prefix("secret-token:")?.split_once(":v1:")?.1;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(jwk).ok()?);
    let jwk: Jwk = serde_json::from_slice(&json).ok()?;
    if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
        return None;
    }
    let seed = Zeroizing::new(URL_SAFE_NO_PAD.decode(&jwk.d).ok()?);
    Some(SigningKey::from_bytes(seed.as_slice().try_into().ok()?))
}

/// An assertion that we are this client, for this host.
pub(super) fn sign(key: &SigningKey, client_id: &str, host: &str, now: Timestamp, nonce: &str) -> Zeroizing<String> {
    let audience = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let now = now.as_second();
    let header = json!({"alg": "EdDSA", "nonce": nonce});
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": [audience],
        "iat": now, "nbf": now - LIFETIME_SECONDS, "exp": now + LIFETIME_SECONDS,
    });
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
    Zeroizing::new(format!("{signed}.{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.1 and A.4.
    #[test]
    fn signs_as_rfc_8037_does() {
        let jwk = URL_SAFE_NO_PAD.encode(
            r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        );
        let key = signing_key(&format!("secret-token:conductorone.com:v1:{jwk}")).unwrap();
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature.to_bytes()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn other_secrets_hold_no_key() {
        for secret in [
            "",
            "plain",
            "secret-token:conductorone.com:v2:e30",
            "secret-token:conductorone.com:v1:e30",
            "secret-token:x:v1:!",
        ] {
            assert!(signing_key(secret).is_none(), "{secret}");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_none() {
        for (kty, crv) in [("EC", "Ed25519"), ("OKP", "Ed448")] {
            let jwk = json!({"kty": kty, "crv": crv, "d": URL_SAFE_NO_PAD.encode([7; 32])}).to_string();
            let secret = format!("secret-token:conductorone.com:v1:{}", URL_SAFE_NO_PAD.encode(jwk));
            assert!(signing_key(&secret).is_none(), "{kty} {crv}");
        }
    }

    #[test]
    fn the_audience_is_the_host_without_port() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let jwt = sign(&key, "a@localhost:8443/pcc", "localhost:8443", Timestamp::from_second(1000).unwrap(), "n");
        let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], json!(["localhost"]));
        assert_eq!((claims["nbf"].as_i64(), claims["exp"].as_i64()), (Some(880), Some(1120)));
    }
}
