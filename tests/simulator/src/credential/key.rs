//! The half of a credential that the tenant keeps.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

/// An Ed25519 verification key; in the state file it is the `x` of its JWK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Whether `signature` is this key's signature of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0.as_bytes())
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(x: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(x).map_err(|_| "a key is not base64url")?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| "a key is not 32 bytes long")?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| "a key is no point of the curve")
    }
}
