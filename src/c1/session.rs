//! The typed calls to one tenant, as one user.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use http::{Method, header};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    error::{Error, ErrorKind, message},
    pacing::{Pacing, retry_after},
    token::{Auth, TokenAnswer, Tokens, fingerprint},
    types::{Client, ClientAnswer, CreateAnswer, CreateRequest, Created, Introspection, Page, Role},
};
use crate::clock::Clock;

/// C1's gateway cuts bodies there.
const LONGEST_BODY: usize = 4 << 20;
const PAGE_SIZE: u32 = 100;
/// A tenant that pages without end must not hold us.
const MOST_PAGES: usize = 1_000;
/// Nor one that answers each page slowly.
const LONGEST_LIST: Duration = Duration::from_mins(5);
/// Roles are looked up anew for an unknown name, but not more often.
const ROLES_FRESH: Duration = Duration::from_secs(10);
const CLIENTS: &str = "/api/v1/iam/personal_clients";

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

/// All clients of the user, as far as they could be listed.
pub struct Listing {
    /// The clients; deleted ones are left out.
    pub clients: Vec<Client>,
    /// Every page was read.
    pub complete: bool,
}

/// The calls to one tenant, as one user, with one shared token.
pub struct Session {
    http: reqwest::Client,
    base: String,
    host: String,
    tokens: Tokens,
    pacing: Pacing,
    deadlines: Deadlines,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CallObserver>,
    fingerprint: String,
    /// C1's clock at its last answer, and when that was by a clock that cannot be set.
    date: std::sync::Mutex<Option<(Timestamp, Instant)>>,
    roles: Mutex<Option<(Instant, HashMap<String, String>)>>,
}

impl Session {
    /// A session; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificates or the credentials cannot be used.
    pub fn new(settings: Settings) -> Result<Self, ErrorKind> {
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
            roles: Mutex::new(None),
        })
    }

    /// Host of the tenant.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its base address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Tells one login from another, without telling the secret.
    #[must_use]
    pub fn is_login(&self, auth: &Auth) -> bool {
        self.fingerprint == fingerprint(auth)
    }

    /// How far C1's clock is from ours now: from its last answer, and the time that has passed since. So a step of our own
    /// clock is noticed before anything is done because of it.
    #[must_use]
    pub fn clock_skew(&self) -> Duration {
        let date = *self.date.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((date, at)) = date else { return Duration::ZERO };
        self.clock.now().duration_since(date + at.elapsed()).unsigned_abs()
    }

    /// Makes a client. Sent once; [`Error::certainty`] tells what a failure means.
    ///
    /// # Errors
    /// When no readable answer came.
    pub async fn create(&self, request: &CreateRequest) -> Result<Created, Error> {
        let body = serde_json::to_value(request).map_err(|_| self.error("create", ErrorKind::Body))?;
        let answer: CreateAnswer =
            self.call("create", &Method::POST, CLIENTS, Some(&body), self.deadlines.create).await?;
        match (answer.client, answer.client_secret) {
            (Some(client), Some(secret)) if !client.id.is_empty() && !secret.expose_secret().is_empty() => {
                Ok(Created { client, secret })
            }
            _ => Err(self.error("create", ErrorKind::Body)),
        }
    }

    /// Deletes a client. `false`: there was none to delete.
    ///
    /// # Errors
    /// When C1 did not confirm.
    pub async fn delete(&self, id: &str) -> Result<bool, Error> {
        let path = self.item("delete", id)?;
        match self.call::<Value>("delete", &Method::DELETE, &path, None, self.deadlines.call).await {
            Ok(_) => Ok(true),
            Err(Error { kind: ErrorKind::Status { status: 404, .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A client by id; `None`: it does not exist, or is deleted.
    ///
    /// # Errors
    /// When C1 did not answer.
    pub async fn get(&self, id: &str) -> Result<Option<Client>, Error> {
        let path = self.item("get", id)?;
        match self.call::<ClientAnswer>("get", &Method::GET, &path, None, self.deadlines.call).await {
            Ok(answer) => Ok(answer.client.filter(|c| c.deleted_at.is_none())),
            Err(Error { kind: ErrorKind::Status { status: 404, .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All clients of the user. C1's list declares no paging and may still hand out a token: then the search completes it.
    ///
    /// # Errors
    /// When a page did not come.
    pub async fn list(&self) -> Result<Listing, Error> {
        let late = |_| Err(self.error("list", ErrorKind::Timeout(LONGEST_LIST)));
        timeout(LONGEST_LIST, self.read_list()).await.unwrap_or_else(late)
    }

    async fn read_list(&self) -> Result<Listing, Error> {
        let list = self.pages("list", |token| (Method::GET, page_path(CLIENTS, token), None)).await?;
        if list.complete {
            return Ok(list);
        }
        let user = match list.clients.first() {
            Some(client) => client.user_id.clone(),
            None => self.user_id().await?,
        };
        let search = self
            .pages("search", |token| {
                let body =
                    json!({"users": [{"id": user}], "pageSize": PAGE_SIZE, "pageToken": token.unwrap_or_default()});
                (Method::POST, "/api/v1/search/iam/personal_clients".into(), Some(body))
            })
            .await;
        Ok(match search {
            Ok(mut search) => {
                search.clients.retain(|c| c.user_id == user);
                search
            }
            // Searching is for administrators, and may not be there.
            Err(Error { kind: ErrorKind::Status { status: 400..=499 | 501, .. }, .. }) => list,
            Err(error) => return Err(error),
        })
    }

    /// Reads pages until the last. Complete: the last has no token, no token came twice, and every page brought something.
    async fn pages<F>(&self, operation: &'static str, request: F) -> Result<Listing, Error>
    where
        F: Fn(Option<&str>) -> (Method, String, Option<Value>),
    {
        let mut clients: Vec<Client> = vec![];
        let mut ids = HashSet::new();
        let mut tokens = HashSet::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let (method, path, body) = request(token.as_deref());
            let page: Page<Client> = self.call(operation, &method, &path, body.as_ref(), self.deadlines.call).await?;
            let before = ids.len();
            clients.extend(page.list.into_iter().filter(|c| ids.insert(c.id.clone()) && c.deleted_at.is_none()));
            let next = page.next_page_token.filter(|t| !t.is_empty());
            match next {
                None => return Ok(Listing { clients, complete: true }),
                Some(next) if !tokens.insert(next.clone()) || (token.is_some() && ids.len() == before) => break,
                next => token = next,
            }
        }
        Ok(Listing { clients, complete: false })
    }

    /// As whom calls are made.
    ///
    /// # Errors
    /// When C1 did not answer.
    pub async fn user_id(&self) -> Result<String, Error> {
        let who: Introspection =
            self.call("introspect", &Method::GET, "/api/v1/auth/introspect", None, self.deadlines.call).await?;
        Ok(who.user_id)
    }

    /// The ids of roles that are given by id or name; `Err(name)` inside: there is no such role.
    ///
    /// # Errors
    /// When C1 did not answer.
    pub async fn role_ids(&self, wanted: &[String]) -> Result<Result<Vec<String>, String>, Error> {
        if wanted.is_empty() {
            return Ok(Ok(vec![]));
        }
        let mut known = self.roles.lock().await;
        let resolve = |known: &HashMap<String, String>| -> Result<Vec<String>, String> {
            wanted.iter().map(|w| known.get(w).cloned().ok_or_else(|| w.clone())).collect()
        };
        if let Some((read, roles)) = known.as_ref() {
            let ids = resolve(roles);
            if ids.is_ok() || read.elapsed() < ROLES_FRESH {
                return Ok(ids);
            }
        }
        let roles = self.roles().await?;
        let ids = resolve(&roles);
        *known = Some((Instant::now(), roles));
        Ok(ids)
    }

    async fn roles(&self) -> Result<HashMap<String, String>, Error> {
        let mut roles = HashMap::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let path = page_path("/api/v1/iam/roles", token.as_deref());
            let page: Page<Role> = self.call("roles", &Method::GET, &path, None, self.deadlines.call).await?;
            for role in page.list {
                roles.insert(role.name, role.id.clone());
                roles.insert(role.id.clone(), role.id);
            }
            let next = page.next_page_token.filter(|t| !t.is_empty());
            if next.is_none() || next == token {
                break;
            }
            token = next;
        }
        Ok(roles)
    }

    /// The path of a client. An empty or strange id would be another path: C1 redirects that of "" to the whole list.
    fn item(&self, operation: &'static str, id: &str) -> Result<String, Error> {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if plain { Ok(format!("{CLIENTS}/{id}")) } else { Err(self.error(operation, ErrorKind::Body)) }
    }

    fn error(&self, operation: &'static str, kind: ErrorKind) -> Error {
        Error { host: self.host.clone(), operation, kind }
    }

    /// One call with a token. A token that C1 refuses (401: no effect) is got anew, once. The deadline is for all of it,
    /// waiting for a turn and logging in included: past it nothing is sent any more.
    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + deadline;
        let mut renewed = false;
        loop {
            let token = timeout_at(deadline, self.token()).await.unwrap_or(Err(ErrorKind::Paused));
            let token = token.map_err(|kind| self.error(operation, ErrorKind::Login(Box::new(kind))))?;
            let result = self.send(operation, method, path, body, &token, deadline).await;
            match result {
                Err(ErrorKind::Status { status: 401, .. }) if !renewed && self.tokens.can_renew() => {
                    self.tokens.forget(&token).await;
                    renewed = true;
                }
                Err(kind) => return Err(self.error(operation, kind)),
                Ok(body) => {
                    return serde_json::from_slice(&body).map_err(|_| self.error(operation, ErrorKind::Body));
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
        operation: &'static str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        token: &SecretString,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
        let _turn = timeout_at(deadline, self.pacing.turn()).await.unwrap_or(Err(ErrorKind::Paused))?;
        let deadline = deadline.saturating_duration_since(Instant::now());
        if deadline.is_zero() {
            return Err(ErrorKind::Paused);
        }
        let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| ErrorKind::Credentials("the token is not one that a header can hold".into()))?;
        bearer.set_sensitive(true);
        let mut request =
            self.http.request(method.clone(), format!("{}{path}", self.base)).header(header::AUTHORIZATION, bearer);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.exchange(operation, request, deadline).await
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
        let result = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(ErrorKind::Timeout(deadline)));
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
            let now = (date.timestamp(), Instant::now());
            *self.date.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }
}

fn page_path(path: &str, token: Option<&str>) -> String {
    let token = token.map(|t| format!("&page_token={}", percent(t))).unwrap_or_default();
    format!("{path}?page_size={PAGE_SIZE}{token}")
}

/// Percent-encodes a token of C1's for a query.
fn percent(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
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
