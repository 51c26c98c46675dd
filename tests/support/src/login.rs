//! Logging in at the tenant as a consumer of a Secret would. Shares no code with the operator or the simulator.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

const PREFIX: &str = "secret-token:conductorone.com:v1:";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where to log in.
pub(crate) struct Door<'a> {
    pub http: &'a Client,
    /// `https://host[:port]`
    pub server_url: &'a str,
    /// The token endpoint.
    pub token_url: &'a str,
    /// The host, without port.
    pub audience: &'a str,
    /// The tenant's time.
    pub now: Timestamp,
}

impl Door<'_> {
    /// Logs in with the secret itself and with an assertion that the key in it signs, and calls the API with the token of
    /// each.
    pub(crate) async fn enter(&self, client_id: &str, secret: &str) -> Result<(), String> {
        let token = self.token(&[("client_id", client_id), ("client_secret", secret)]).await;
        self.introspect(&token.map_err(|error| format!("client_secret: {error}"))?).await?;
        let assertion = self.assertion(client_id, secret).ok_or("the secret holds no key")?;
        let form = [("client_id", client_id), ("client_assertion_type", JWT_BEARER), ("client_assertion", &assertion)];
        let token = self.token(&form).await;
        self.introspect(&token.map_err(|error| format!("client_assertion: {error}"))?).await
    }

    fn assertion(&self, client_id: &str, secret: &str) -> Option<String> {
        let jwk = URL_SAFE_NO_PAD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        let jwk: Value = serde_json::from_slice(&jwk).ok()?;
        let seed = URL_SAFE_NO_PAD.decode(jwk["d"].as_str()?).ok()?;
        let key = SigningKey::from_bytes(&seed.try_into().ok()?);
        let now = self.now.as_second();
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let claims =
            json!({"iss": client_id, "sub": client_id, "aud": self.audience, "iat": now, "nbf": now, "exp": now + 120});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
        Some(format!("{signed}.{signature}"))
    }

    pub(crate) async fn token(&self, fields: &[(&str, &str)]) -> Result<String, String> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(fields);
        let answer = answer(self.http.post(self.token_url).form(&form)).await?;
        answer["access_token"].as_str().map(str::to_owned).ok_or_else(|| "no access_token in the answer".to_owned())
    }

    async fn introspect(&self, token: &str) -> Result<(), String> {
        let request = self.http.get(format!("{}/api/v1/auth/introspect", self.server_url)).bearer_auth(token);
        answer(request).await.map(drop).map_err(|error| format!("introspect: {error}"))
    }
}

/// The body of an answer that is a success.
async fn answer(request: RequestBuilder) -> Result<Value, String> {
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}
