//! The typed calls to one tenant, as one user.

use std::{collections::HashMap, time::Duration};

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    connection::{Call, Connection, Settings},
    error::{Error, ErrorKind},
    paging::{self, Pages},
    token::Auth,
    types::{Client, ClientAnswer, CreateAnswer, CreateRequest, Created, Introspection, Role, UpdateRequest},
};

const PAGE_SIZE: u32 = 100;
/// A tenant that answers each page slowly must not hold us.
const LONGEST_LIST: Duration = Duration::from_mins(5);
/// Roles are looked up anew for an unknown name, but not more often.
const ROLES_FRESH: Duration = Duration::from_secs(10);
const CLIENTS: &str = "/api/v1/iam/personal_clients";
const SEARCH: &str = "/api/v1/search/iam/personal_clients";

/// All clients of the user, as far as they could be listed.
pub struct Listing {
    /// The clients; deleted ones are left out.
    pub clients: Vec<Client>,
    /// Every page was read.
    pub complete: bool,
}

impl Listing {
    /// What is deleted is left out.
    fn of(pages: Pages<Client>) -> Self {
        let clients = pages.items.into_iter().filter(|c| c.deleted_at.is_none()).collect();
        Self { clients, complete: pages.complete }
    }
}

/// The calls to one tenant, as one user, with one shared token.
pub struct Session {
    connection: Connection,
    /// Ids of roles, by id and by name, and when they were read.
    roles: Mutex<Option<(Instant, HashMap<String, String>)>>,
}

impl Session {
    /// A session; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificates or the credentials cannot be used.
    pub fn new(settings: Settings) -> Result<Self, ErrorKind> {
        Ok(Self { connection: Connection::new(settings)?, roles: Mutex::new(None) })
    }

    /// Host of the tenant.
    #[must_use]
    pub fn host(&self) -> &str {
        self.connection.host()
    }

    /// Its base address.
    #[must_use]
    pub fn base(&self) -> &str {
        self.connection.base()
    }

    /// Tells one login from another, without telling the secret.
    #[must_use]
    pub fn is_login(&self, auth: &Auth) -> bool {
        self.connection.is_login(auth)
    }

    /// How far C1's clock is from ours now: from its last answer, and the time that has passed since. So a step of our own
    /// clock is noticed before anything is done because of it.
    #[must_use]
    pub fn clock_skew(&self) -> Duration {
        self.connection.clock_skew()
    }

    /// Makes a client. Sent once; [`Error::certainty`] tells what a failure means.
    ///
    /// # Errors
    /// When no readable answer came.
    pub async fn create(&self, request: &CreateRequest) -> Result<Created, Error> {
        let body = serde_json::to_value(request).map_err(|_| self.error("create", ErrorKind::Body))?;
        let deadline = self.connection.deadlines.create;
        let call = Call { operation: "create", method: Method::POST, path: CLIENTS, body: Some(&body), deadline };
        let answer: CreateAnswer = self.connection.call(call).await?;
        answer.created().ok_or_else(|| self.error("create", ErrorKind::Body))
    }

    /// Deletes a client. `false`: there was none to delete.
    ///
    /// # Errors
    /// When C1 did not confirm.
    pub async fn delete(&self, id: &str) -> Result<bool, Error> {
        let path = self.item("delete", id)?;
        match self.call::<Value>("delete", Method::DELETE, &path, None).await {
            Ok(_) => Ok(true),
            Err(Error { kind: ErrorKind::Status { status: 404, .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes a client in place, and answers it as it is then; `None`: there is none.
    ///
    /// # Errors
    /// When no readable answer came.
    pub async fn update(&self, request: &UpdateRequest) -> Result<Option<Client>, Error> {
        let path = self.item("update", &request.id)?;
        match self.call::<ClientAnswer>("update", Method::POST, &path, Some(&request.body())).await {
            Ok(answer) => match answer.client.filter(|client| client.id == request.id) {
                Some(client) => Ok(Some(client).filter(|client| client.deleted_at.is_none())),
                None => Err(self.error("update", ErrorKind::Body)),
            },
            Err(Error { kind: ErrorKind::Status { status: 404, .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A client by id; `None`: it does not exist, or is deleted.
    ///
    /// # Errors
    /// When C1 did not answer.
    pub async fn get(&self, id: &str) -> Result<Option<Client>, Error> {
        let path = self.item("get", id)?;
        match self.call::<ClientAnswer>("get", Method::GET, &path, None).await {
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
        let page = |token| async move { self.call("list", Method::GET, &page_path(CLIENTS, token), None).await };
        let list = Listing::of(paging::read_all(page).await?);
        if list.complete {
            return Ok(list);
        }
        let user = match list.clients.first() {
            Some(client) => client.user_id.clone(),
            None => self.user_id().await?,
        };
        match self.search(&user).await {
            // Searching is for administrators, and may not be there. That is not what 408, 425 and 429 say.
            Err(Error { kind: ErrorKind::Status { status, .. }, .. })
                if matches!(status, 400..=499 | 501) && !matches!(status, 408 | 425 | 429) =>
            {
                Ok(list)
            }
            search => search,
        }
    }

    async fn search(&self, user: &str) -> Result<Listing, Error> {
        let page = |token: Option<String>| async move {
            let body = json!({"users": [{"id": user}], "pageSize": PAGE_SIZE, "pageToken": token.unwrap_or_default()});
            self.call("search", Method::POST, SEARCH, Some(&body)).await
        };
        let mut found = Listing::of(paging::read_all(page).await?);
        found.clients.retain(|c| c.user_id == user);
        Ok(found)
    }

    /// As whom calls are made.
    ///
    /// # Errors
    /// When C1 did not answer.
    pub async fn user_id(&self) -> Result<String, Error> {
        let who: Introspection = self.call("introspect", Method::GET, "/api/v1/auth/introspect", None).await?;
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
        let (roles, complete) = self.roles().await?;
        let ids = resolve(&roles);
        *known = Some((Instant::now(), roles));
        // What was not shown may be there all the same.
        if ids.is_ok() || complete { Ok(ids) } else { Err(self.error("roles", ErrorKind::Body)) }
    }

    /// Ids by id and by name, and whether these are all.
    async fn roles(&self) -> Result<(HashMap<String, String>, bool), Error> {
        let page =
            |token| async move { self.call("roles", Method::GET, &page_path("/api/v1/iam/roles", token), None).await };
        let pages: Pages<Role> = paging::read_all(page).await?;
        let names = |role: Role| [(role.name, role.id.clone()), (role.id.clone(), role.id)];
        Ok((pages.items.into_iter().flat_map(names).collect(), pages.complete))
    }

    /// The path of a client. An empty or strange id would be another path: C1 redirects that of "" to the whole list.
    fn item(&self, operation: &'static str, id: &str) -> Result<String, Error> {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if plain { Ok(format!("{CLIENTS}/{id}")) } else { Err(self.error(operation, ErrorKind::Body)) }
    }

    fn error(&self, operation: &'static str, kind: ErrorKind) -> Error {
        self.connection.error(operation, kind)
    }

    /// A call with the usual deadline.
    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let deadline = self.connection.deadlines.call;
        self.connection.call(Call { operation, method, path, body, deadline }).await
    }
}

fn page_path(path: &str, token: Option<String>) -> String {
    let token = token.map(|t| format!("&page_token={}", percent(&t))).unwrap_or_default();
    format!("{path}?page_size={PAGE_SIZE}{token}")
}

/// Percent-encodes a token of C1's for a query.
fn percent(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
