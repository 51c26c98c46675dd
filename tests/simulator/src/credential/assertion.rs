//! Client assertions (RFC 7523): a short-lived JWT, signed with the key in the client secret (RFC 8037).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use super::PublicKey;

/// C1's limit on how far ahead an assertion may expire.
const MAX_LIFETIME_SECONDS: i64 = 300;
/// How far a client's clock may run ahead of the tenant's.
const MAX_SKEW_SECONDS: i64 = 60;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn any(&self, accepted: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(audience) => accepted(audience),
            Self::Many(audiences) => audiences.iter().any(|audience| accepted(audience)),
        }
    }
}

/// What an assertion must say to be believed.
pub struct Expected<'a> {
    /// Issuer and subject.
    pub client_id: &'a str,
    /// Hosts, without port, of which the audience must name one.
    pub hosts: &'a [String],
    /// The tenant's time, in seconds since the epoch.
    pub now: i64,
}

/// Checks signature and claims. The error says which, for `error_description`.
pub fn verify(assertion: &str, key: &PublicKey, expected: &Expected<'_>) -> Result<(), &'static str> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or("assertion is no JWT")?;
    let (header, claims) = signed.split_once('.').ok_or("assertion is no JWT")?;
    let header: Header = part(header).ok_or("header of the assertion is unreadable")?;
    if header.alg != "EdDSA" {
        return Err("alg of the assertion is not EdDSA");
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "signature of the assertion is unreadable")?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err("signature of the assertion does not verify");
    }
    check(&part(claims).ok_or("claims of the assertion are unreadable")?, expected)
}

fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), &'static str> {
    let now = expected.now;
    let ahead = |time: Option<i64>| time.is_some_and(|time| time > now + MAX_SKEW_SECONDS);
    if claims.iss != expected.client_id || claims.sub != expected.client_id {
        return Err("iss and sub must be the client id");
    }
    if !claims.aud.any(|audience| expected.hosts.iter().any(|host| host == audience)) {
        return Err("aud does not name this tenant");
    }
    if claims.exp <= now {
        return Err("assertion has expired");
    }
    if claims.exp > now + MAX_LIFETIME_SECONDS {
        return Err("exp is more than five minutes ahead");
    }
    if ahead(claims.nbf) {
        return Err("assertion is not valid yet");
    }
    if ahead(claims.iat) {
        return Err("iat is in the future");
    }
    Ok(())
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}
