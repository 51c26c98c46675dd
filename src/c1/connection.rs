//! The connection to one tenant, as one user: TLS, the shared token, turns, deadlines. It sends a request and reads its answer;
//! what the requests mean is the session's.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use http::{Method, header};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::{
    error::{Error, ErrorKind, message},
    pacing::{Pacing, retry_after, skew},
    token::{Auth, TokenAnswer, Tokens, fingerprint},
};
use crate::clock::{BootInstant, Clock};

/// C1's gateway cuts bodies there.
const LONGEST_BODY: usize = 4 << 20;

/// Told of every call: for metrics.
pub trait CallObserver: Send + Sync {
    /// A call ended with this status; 0: no answer.
    fn called(&self, operation: &'static str, status: u16, took: Duration);
}

/// Deadlines of calls.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Of a create.
    pub create: Duration,
    /// Of all others.
    pub call: Duration,
}

/// What a session needs.
pub struct Settings {
    /// `https://host[:port]`
    pub base: String,
    /// `host[:port]`
    pub host: String,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// How to log in.
    pub auth: Auth,
    /// Deadlines of calls.
    pub deadlines: Deadlines,
    /// For the assertion's times and for C1's clock.
    pub clock: Arc<dyn Clock>,
    /// Told of every call.
    pub observer: Arc<dyn CallObserver>,
}

/// A request to send.
pub(super) struct Call<'a> {
    /// For people, and for metrics.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// With its query.
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// For all of it, waiting for a turn and logging in included: past it nothing is sent any more.
    pub(super) deadline: Duration,
}

/// The connection to one tenant, as one user, with one shared token.
pub(super) struct Connection {
    http: reqwest::Client,
    base: String,
    host: String,
    tokens: Tokens,
    pacing: Pacing,
    pub(super) deadlines: Deadlines,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CallObserver>,
    fingerprint: String,
    /// C1's clock at its last answer, and when that was by a clock that cannot be set, and goes on in a suspended machine.
    date: std::sync::Mutex<Option<(Timestamp, BootInstant)>>,
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Result<Self, ErrorKind> {
        settings.auth.check_host(&settings.host).map_err(|e| ErrorKind::Credentials(e.to_string()))?;
        let unusable = |e: reqwest::Error| ErrorKind::Credentials(format!("caBundle: {}", e.without_url()));
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("c1-operator/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(ca) = &settings.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(ca).map_err(unusable)?;
            if certificates.is_empty() {
                return Err(ErrorKind::Credentials("caBundle: there is no certificate in it".into()));
            }
            http = http.tls_certs_only(certificates);
        }
        Ok(Self {
            http: http.build().map_err(unusable)?,
            fingerprint: fingerprint(&settings.auth),
            tokens: Tokens::new(settings.auth, &settings.host),
            base: settings.base,
            host: settings.host,
            pacing: Pacing::new(),
            deadlines: settings.deadlines,
            clock: settings.clock,
            observer: settings.observer,
            date: std::sync::Mutex::default(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn is_login(&self, auth: &Auth) -> bool {
        self.fingerprint == fingerprint(auth)
    }

    pub(super) fn clock_skew(&self) -> Duration {
        let date = *self.date.lock().unwrap_or_else(PoisonError::into_inner);
        date.map_or(Duration::ZERO, |(date, at)| skew(date, at.elapsed(), self.clock.now()))
    }

    pub(super) fn error(&self, operation: &'static str, kind: ErrorKind) -> Error {
        Error { host: self.host.clone(), operation, kind }
    }

    /// Sends it with a token, and reads the answer. A token that C1 refuses (401: no effect) is got anew, once.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        let deadline = Instant::now() + call.deadline;
        let mut renewed = false;
        loop {
            let token = timeout_at(deadline, self.token()).await.unwrap_or(Err(ErrorKind::Paused));
            let token = token.map_err(|kind| self.error(call.operation, ErrorKind::Login(Box::new(kind))))?;
            match self.send(&call, &token, deadline).await {
                Err(ErrorKind::Status { status: 401, .. }) if !renewed && self.tokens.can_renew() => {
                    self.tokens.forget(&token).await;
                    renewed = true;
                }
                Err(kind) => return Err(self.error(call.operation, kind)),
                Ok(body) => {
                    return serde_json::from_slice(&body).map_err(|_| self.error(call.operation, ErrorKind::Body));
                }
            }
        }
    }

    async fn token(&self) -> Result<SecretString, ErrorKind> {
        let mint = |form: super::token::Form| async move {
            let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let request = self.http.post(format!("{}/auth/v1/token", self.base)).form(&form);
            let body = self.exchange("token", request, self.deadlines.call).await?;
            serde_json::from_slice::<TokenAnswer>(&body).map_err(|_| ErrorKind::Body)
        };
        self.tokens.get(self.clock.now(), mint).await
    }

    async fn send(
        &self,
        call: &Call<'_>,
        token: &SecretString,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
        let _turn = timeout_at(deadline, self.pacing.turn()).await.unwrap_or(Err(ErrorKind::Paused))?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::Paused);
        }
        let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| ErrorKind::Credentials("the token is not one that a header can hold".into()))?;
        bearer.set_sensitive(true);
        let url = format!("{}{}", self.base, call.path);
        let mut request = self.http.request(call.method.clone(), url).header(header::AUTHORIZATION, bearer);
        if let Some(body) = call.body {
            request = request.json(body);
        }
        self.exchange(call.operation, request, left).await
    }

    async fn exchange(
        &self,
        operation: &'static str,
        request: reqwest::RequestBuilder,
        deadline: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
        let begun = Instant::now();
        let exchange = async {
            let response = request.send().await.map_err(|e| transport(&e))?;
            let status = response.status().as_u16();
            self.watch_clock(response.headers());
            if status == 429 {
                self.pacing.throttled(retry_after(response.headers()));
            }
            let body = read(response).await;
            Ok((status, body))
        };
        let result = timeout(deadline, exchange).await.unwrap_or(Err(ErrorKind::Timeout(deadline)));
        let status = result.as_ref().map_or(0, |(status, _)| *status);
        self.observer.called(operation, status, begun.elapsed());
        match result? {
            (200, body) => body,
            (status, body) => Err(ErrorKind::Status { status, message: body.map(|b| message(&b)).unwrap_or_default() }),
        }
    }

    fn watch_clock(&self, headers: &header::HeaderMap) {
        let date = headers.get(header::DATE).and_then(|d| d.to_str().ok()).and_then(|d| rfc2822::parse(d).ok());
        if let Some(date) = date {
            let now = (date.timestamp(), BootInstant::now());
            *self.date.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }
}

/// What a failure of the network stack means. Only a connection that never came about proves that nothing was sent.
fn transport(error: &reqwest::Error) -> ErrorKind {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text: String = cause.to_string().chars().take(200).collect();
    if error.is_connect() { ErrorKind::Connect(text) } else { ErrorKind::Transport(text) }
}

/// The body, in a buffer that is wiped.
async fn read(mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
    let expected = response.content_length().and_then(|l| usize::try_from(l).ok()).unwrap_or(4096).min(LONGEST_BODY);
    let mut body = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(chunk) = response.chunk().await.map_err(|_| ErrorKind::Body)? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(ErrorKind::Body);
        }
        if body.len() + chunk.len() > body.capacity() {
            // Growing in place would leave the old buffer behind unwiped.
            let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + chunk.len()) * 2));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
