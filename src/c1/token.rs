//! One access token for all calls of an issuer, got once (each mint is an entry in the tenant's audit log) and a minute
//! before it ends got anew.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use thiserror::Error;
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{assertion, error::ErrorKind};

/// A token that ends within this is got anew.
const RENEW_BEFORE: Duration = Duration::from_mins(1);

/// How an issuer logs in.
pub enum Auth {
    /// OAuth 2.0 client credentials.
    OAuth {
        /// The client id.
        client_id: String,
        /// The secret, wiped when dropped.
        secret: SecretString,
    },
    /// A ready token.
    Bearer(SecretString),
}

/// Credentials that cannot be used at this host. Nothing was sent.
#[derive(Debug, Clone, Error)]
pub enum InvalidCredentials {
    /// Not `name@host/kind`.
    #[error("the client id is not of the form name@host/pcc")]
    ClientId,
    /// Of another host.
    #[error("the client id belongs to {theirs}, not to {ours}")]
    OtherHost {
        /// The client id's host.
        theirs: String,
        /// The issuer's.
        ours: String,
    },
}

impl Auth {
    /// Refuses credentials of another host before anything is sent there.
    ///
    /// # Errors
    /// When they are not of this host.
    pub fn check_host(&self, host: &str) -> Result<(), InvalidCredentials> {
        let Self::OAuth { client_id, .. } = self else { return Ok(()) };
        let theirs = client_id.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map(|(host, _)| host);
        match theirs {
            None => Err(InvalidCredentials::ClientId),
            Some(theirs) if theirs != host => {
                Err(InvalidCredentials::OtherHost { theirs: theirs.into(), ours: host.into() })
            }
            Some(_) => Ok(()),
        }
    }
}

/// How a token is asked for.
enum Login {
    Assertion { client_id: String, key: Box<SigningKey> },
    Secret { client_id: String, secret: SecretString },
    Bearer(SecretString),
}

/// The answer of the token endpoint (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
}

struct Token {
    access_token: SecretString,
    renew_at: Instant,
}

/// The shared token.
pub(super) struct Tokens {
    login: Login,
    host: String,
    current: Mutex<Option<Token>>,
}

/// A form to send to the token endpoint. Wiped when dropped.
pub(super) type Form = Vec<(&'static str, Zeroizing<String>)>;

impl Tokens {
    pub(super) fn new(auth: Auth, host: &str) -> Self {
        let login = match auth {
            Auth::Bearer(token) => Login::Bearer(token),
            Auth::OAuth { client_id, secret } => match assertion::signing_key(secret.expose_secret()) {
                Some(key) => Login::Assertion { client_id, key: Box::new(key) },
                None => Login::Secret { client_id, secret },
            },
        };
        Self { login, host: host.into(), current: Mutex::new(None) }
    }

    /// The token; `mint` sends the form when a new one is needed. Whoever asks meanwhile waits for that one.
    pub(super) async fn get<M, F>(&self, now: Timestamp, mint: M) -> Result<SecretString, ErrorKind>
    where
        M: FnOnce(Form) -> F,
        F: Future<Output = Result<TokenAnswer, ErrorKind>>,
    {
        if let Login::Bearer(token) = &self.login {
            return Ok(token.clone());
        }
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref().filter(|t| t.renew_at > Instant::now()) {
            return Ok(token.access_token.clone());
        }
        let answer = mint(self.form(now)?).await?;
        // Unsaid (RFC 6749 only recommends it): used now, and got anew for the next call a minute later.
        let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(120).min(86_400));
        let renew_at = Instant::now() + lifetime.saturating_sub(RENEW_BEFORE).max(lifetime / 2);
        *current = Some(Token { access_token: answer.access_token.clone(), renew_at });
        Ok(answer.access_token)
    }

    /// C1 refuses this token: forget it, unless another has come meanwhile.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|t| t.access_token.expose_secret() == refused.expose_secret()) {
            *current = None;
        }
    }

    /// Whether another token could be had.
    pub(super) fn can_renew(&self) -> bool {
        !matches!(self.login, Login::Bearer(_))
    }

    fn form(&self, now: Timestamp) -> Result<Form, ErrorKind> {
        let plain = |s: &str| Zeroizing::new(s.to_owned());
        let mut form = vec![("grant_type", plain("client_credentials"))];
        match &self.login {
            Login::Assertion { client_id, key } => {
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce).map_err(|e| ErrorKind::Credentials(format!("no randomness: {e}")))?;
                let assertion = assertion::sign(key, client_id, &self.host, now, &crate::plan::hex(&nonce));
                form.push(("client_id", plain(client_id)));
                form.push(("client_assertion_type", plain("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")));
                form.push(("client_assertion", assertion));
            }
            Login::Secret { client_id, secret } => {
                form.push(("client_id", plain(client_id)));
                form.push(("client_secret", plain(secret.expose_secret())));
            }
            Login::Bearer(_) => {}
        }
        Ok(form)
    }
}

/// The same secret in two issuers' hands is the same login; this tells without keeping it.
pub(super) fn fingerprint(auth: &Auth) -> String {
    let (id, secret) = match auth {
        Auth::OAuth { client_id, secret } => (client_id.as_str(), secret),
        Auth::Bearer(token) => ("", token),
    };
    URL_SAFE_NO_PAD.encode(crate::plan::digest(&[id, secret.expose_secret()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oauth(client_id: &str) -> Auth {
        Auth::OAuth { client_id: client_id.into(), secret: "plain".into() }
    }

    #[test]
    fn credentials_of_another_host_are_refused() {
        assert!(oauth("a@acme.conductor.one/pcc").check_host("acme.conductor.one").is_ok());
        assert!(matches!(
            oauth("a@evil.example/pcc").check_host("acme.conductor.one"),
            Err(InvalidCredentials::OtherHost { .. })
        ));
        assert!(matches!(oauth("acme").check_host("acme.conductor.one"), Err(InvalidCredentials::ClientId)));
    }

    #[tokio::test]
    async fn many_callers_share_one_token() {
        let tokens = Tokens::new(oauth("a@h/pcc"), "h");
        let minted = std::sync::atomic::AtomicUsize::new(0);
        let get = || async {
            tokens
                .get(Timestamp::UNIX_EPOCH, async |_: Form| {
                    minted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok(TokenAnswer { access_token: "t".into(), expires_in: Some(3600) })
                })
                .await
                .unwrap()
        };
        let (token, ..) = tokio::join!(get(), get(), get());
        assert_eq!(minted.load(std::sync::atomic::Ordering::SeqCst), 1);
        tokens.forget(&token).await;
        get().await;
        assert_eq!(minted.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    /// When a token that lives for so many seconds is got anew, in seconds.
    async fn renewed_after(expires_in: Option<u64>) -> u64 {
        let tokens = Tokens::new(oauth("a@h/pcc"), "h");
        let begun = Instant::now();
        let get = async |minted: &mut u32| {
            let mint = async |_: Form| {
                *minted += 1;
                Ok(TokenAnswer { access_token: "t".into(), expires_in })
            };
            tokens.get(Timestamp::UNIX_EPOCH, mint).await.unwrap();
        };
        let mut minted = 0;
        get(&mut minted).await;
        while minted == 1 {
            tokio::time::advance(Duration::from_secs(1)).await;
            get(&mut minted).await;
        }
        (Instant::now() - begun).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_got_anew_a_minute_before_it_ends_or_at_half_time() {
        assert_eq!(renewed_after(Some(3600)).await, 3540);
        assert_eq!(renewed_after(Some(80)).await, 40);
        assert_eq!(renewed_after(None).await, 60);
        assert_eq!(renewed_after(Some(u64::MAX)).await, 86_340);
    }

    #[test]
    fn a_login_says_who_we_are() {
        let form = Tokens::new(oauth("a@h/pcc"), "h").form(Timestamp::UNIX_EPOCH).unwrap();
        let fields: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            fields,
            [("grant_type", "client_credentials"), ("client_id", "a@h/pcc"), ("client_secret", "plain")]
        );
    }

    #[test]
    fn a_token_of_somebody_else_cannot_be_got_anew() {
        assert!(Tokens::new(oauth("a@h/pcc"), "h").can_renew());
        assert!(!Tokens::new(Auth::Bearer("token".into()), "h").can_renew());
    }

    #[test]
    fn a_fingerprint_tells_logins_apart_and_no_secret() {
        let all = [oauth("a@h/pcc"), oauth("b@h/pcc"), Auth::Bearer("plain".into()), Auth::Bearer("other".into())];
        let prints: std::collections::BTreeSet<_> = all.iter().map(fingerprint).collect();
        assert_eq!(prints.len(), all.len());
        assert!(prints.iter().all(|p| !p.contains("plain")));
        assert_eq!(fingerprint(&oauth("a@h/pcc")), fingerprint(&oauth("a@h/pcc")));
    }
}
