//! Client secrets: `secret-token:conductorone.com:v1:<JWK>`, shown once and never kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::PublicKey;
use crate::random;

const PREFIX: &str = "secret-token:conductorone.com:v1:";

#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    d: String,
}

/// Makes a pair: the secret for the client, the verification key for the tenant.
pub fn mint() -> (String, PublicKey) {
    let pair = SigningKey::from_bytes(&random::bytes());
    // Written by hand for the order of its members, which is that of C1's secrets.
    let jwk = format!(
        r#"{{"kty":"OKP","crv":"Ed25519","x":"{}","d":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(pair.verifying_key().as_bytes()),
        URL_SAFE_NO_PAD.encode(pair.as_bytes()),
    );
    (format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(jwk)), pair.verifying_key().into())
}

/// The verification key that belongs to a presented secret; `None` if it is no well-formed secret.
pub fn public_key(secret: &str) -> Option<PublicKey> {
    let jwk = URL_SAFE_NO_PAD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let jwk: Jwk = serde_json::from_slice(&jwk).ok()?;
    let d = <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(&jwk.d).ok()?).ok()?;
    let public = SigningKey::from_bytes(&d).verifying_key();
    let consistent = jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.x == URL_SAFE_NO_PAD.encode(public.as_bytes());
    consistent.then(|| public.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_secret_leads_back_to_its_key() {
        let (secret, key) = mint();
        assert_eq!(public_key(&secret), Some(key));
    }

    #[test]
    fn what_is_not_quite_a_secret_is_none() {
        let (secret, _) = mint();
        for wrong in [
            secret.replace(":v1:", ":v2:"),
            secret.replace("secret-token:", ""),
            format!("{secret}="),
            secret[..secret.len() - 4].to_owned(),
            String::new(),
        ] {
            assert_eq!(public_key(&wrong), None, "{wrong}");
        }
    }
}
