//! The C1 tenant: a simulator as a process of its own, its admin port, and logging in to it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Certificate, Client, Method};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{SecretData, cluster, login::Door, ports};

const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// Roles of the users that act for issuers. A client that is reduced to a role has only rights of roles that its user holds,
/// so Super Administrator alone would not do.
const ROLES: [&str; 3] = ["system:owner", "system:viewer", "system:user"];

/// A running simulator. Dropping it ends the process.
pub struct Simulator {
    /// `https://localhost:PORT`
    pub url: String,
    /// `localhost:PORT`
    pub host: String,
    /// PEM of the CA that its certificate is from.
    pub ca_file: PathBuf,
    /// The admin port.
    pub admin_url: String,
    /// The first user.
    pub user_id: String,
    /// The bootstrap client of the first user, as whom the issuer `default` acts.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    dir: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
    http: Client,
}

/// A client as the tenant's ledger holds it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerClient {
    /// C1's id.
    pub id: String,
    /// The OAuth 2.0 client id.
    pub client_id: String,
    /// With the marker.
    pub display_name: String,
    /// Its owner.
    pub user_id: String,
    /// By the tenant's clock, as all times here.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// None: never.
    pub expires_time: Option<Timestamp>,
    /// Its last token.
    pub last_used_at: Option<Timestamp>,
    /// Ids of roles.
    pub scoped_roles: Vec<String>,
    /// Networks.
    pub allow_source_cidr: Vec<String>,
    /// How many tokens it got.
    pub tokens_issued: u64,
    /// Neither deleted nor expired.
    pub live: bool,
    /// Made by the simulator for a user, not through the API.
    pub bootstrap: bool,
}

/// A user made by hand, with a client to act as.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user.
    pub user_id: String,
    /// A client of the user.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// A client made by hand.
#[derive(Debug, Clone)]
pub struct CreatedClient {
    /// C1's id.
    pub id: String,
    /// The OAuth 2.0 client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The client as C1 answers it.
    pub client: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    url: String,
    host: String,
    ca_file: PathBuf,
    admin_url: String,
    client_id: String,
    client_secret: Option<String>,
    user_id: String,
}

impl Simulator {
    /// Starts one that keeps its state, its secrets and its log in `dir`.
    pub async fn launch(dir: &Path, extra: &[String]) -> Self {
        let kept = [("state", "state.json"), ("secrets-file", "secrets")];
        let kept = kept.map(|(flag, file)| format!("--{flag}={}", dir.join(file).display()));
        Self::launch_forgetful(dir, &[&kept, extra].concat()).await
    }

    /// Starts one that keeps only its log, and loses no time by writing its state down.
    pub async fn launch_forgetful(dir: &Path, extra: &[String]) -> Self {
        cluster::install_tls_provider();
        fs::create_dir_all(dir).unwrap();
        let mut args: Vec<String> = vec![
            format!("--listen=127.0.0.1:{}", ports::free()),
            format!("--admin=127.0.0.1:{}", ports::free()),
            format!("--dir={}", dir.display()),
        ];
        args.extend_from_slice(extra);
        let (child, line) = spawn(dir, &args).await;
        let ca = Certificate::from_pem(&fs::read(&line.ca_file).unwrap()).unwrap();
        let http = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(ANSWERS_WITHIN)
            .build()
            .unwrap();
        let simulator = Self {
            url: line.url,
            host: line.host,
            ca_file: line.ca_file,
            admin_url: line.admin_url,
            user_id: line.user_id,
            client_id: line.client_id,
            client_secret: line.client_secret.expect("a new tenant shows its first secret"),
            dir: dir.to_owned(),
            args,
            child: Some(child),
            http,
        };
        simulator.patch_user(&simulator.user_id, json!({"roles": ROLES})).await;
        simulator
    }

    /// SIGKILL: from now on C1 is unreachable.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Starts it again on the same ports, with the clients and the clock it had. Access tokens are dead, switches are those
    /// it was launched with, faults are gone.
    pub async fn start(&mut self) {
        self.kill().await;
        self.child = Some(spawn(&self.dir, &self.args).await.0);
    }

    /// A signal by its name: between `STOP` and `CONT` nobody gets an answer, and the clock goes on.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.as_ref().and_then(Child::id).expect("the simulator runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Every client that ever came to be, in order.
    pub async fn ledger(&self) -> Vec<LedgerClient> {
        let mut answer: Value = self.admin(Method::GET, "/ledger", &Value::Null).await;
        serde_json::from_value(answer["clients"].take()).unwrap()
    }

    /// The clients that live and were not made by the simulator itself.
    pub async fn live(&self) -> Vec<LedgerClient> {
        self.ledger().await.into_iter().filter(|client| client.live && !client.bootstrap).collect()
    }

    /// The ledger's entry of a client.
    pub async fn client(&self, id: &str) -> Option<LedgerClient> {
        self.ledger().await.into_iter().find(|client| client.id == id)
    }

    /// How often each operation was answered how: `requests["create"]["200"]`.
    pub async fn requests(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut answer: Value = self.admin(Method::GET, "/requests", &Value::Null).await;
        serde_json::from_value(answer["operations"].take()).unwrap()
    }

    /// Begins counting anew.
    pub async fn reset_requests(&self) {
        let _: Value = self.admin(Method::DELETE, "/requests", &Value::Null).await;
    }

    /// Puts these rules in force, in place of all others (tests/simulator/README.md, Faults).
    pub async fn faults(&self, rules: Value) {
        let _: Value = self.admin(Method::PUT, "/faults", &rules).await;
    }

    /// The rules in force, with `matched` and `fired`.
    pub async fn fault_counts(&self) -> Vec<Value> {
        self.admin(Method::GET, "/faults", &Value::Null).await
    }

    /// No faults any more.
    pub async fn clear_faults(&self) {
        let _: Value = self.admin(Method::DELETE, "/faults", &Value::Null).await;
    }

    /// Moves switches: `{"getAfterDelete": "deletedAt"}`.
    pub async fn switches(&self, patch: Value) {
        let _: Value = self.admin(Method::PATCH, "/switches", &patch).await;
    }

    /// Moves the tenant's clock.
    pub async fn advance_clock(&self, seconds: i64) {
        let _: Value = self.admin(Method::POST, "/clock", &json!({"advanceSeconds": seconds})).await;
    }

    /// The tenant's time.
    pub async fn now(&self) -> Timestamp {
        let answer: Value = self.admin(Method::GET, "/clock", &Value::Null).await;
        answer["now"].as_str().unwrap().parse().unwrap()
    }

    /// A second user with the rights of the first.
    pub async fn create_user(&self) -> User {
        self.create_user_with(&ROLES).await
    }

    /// A user with these roles (names or ids).
    pub async fn create_user_with(&self, roles: &[&str]) -> User {
        self.admin(Method::POST, "/users", &json!({"roles": roles})).await
    }

    /// Gives a user other roles, or disables it: `{"roles": [], "disabled": true}`.
    pub async fn patch_user(&self, id: &str, body: Value) {
        let _: Value = self.admin(Method::PATCH, &format!("/users/{id}"), &body).await;
    }

    /// A client made by hand, outside the operator: `{"userId", "displayName", "expires", "scopedRoles", "allowSourceCidr"}`,
    /// all optional.
    pub async fn create_client(&self, body: Value) -> CreatedClient {
        let answer: Value = self.admin(Method::POST, "/clients", &body).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        CreatedClient {
            id: text(&answer["client"]["id"]),
            client_id: text(&answer["client"]["clientId"]),
            client_secret: text(&answer["clientSecret"]),
            client: answer["client"].clone(),
        }
    }

    /// Deletes a client in the console.
    pub async fn delete_client(&self, id: &str) {
        let _: Value = self.admin(Method::DELETE, &format!("/clients/{id}"), &Value::Null).await;
    }

    /// Edits a client in the console: `{"displayName": "…", "lastUsedAt": "…" or null}`.
    pub async fn patch_client(&self, id: &str, body: Value) {
        let _: Value = self.admin(Method::PATCH, &format!("/clients/{id}"), &body).await;
    }

    /// Every access token dies.
    pub async fn revoke_tokens(&self) {
        let _: Value = self.admin(Method::POST, "/revoke-tokens", &Value::Null).await;
    }

    /// Whether the tenant lets in who has this Secret, at the Secret's own addresses: by client secret and by signed
    /// assertion, and with the token of each into its API.
    pub async fn login(&self, secret: &SecretData) -> bool {
        said(secret.client_id(), &self.logs_in(secret).await)
    }

    /// The same, and why not.
    ///
    /// # Errors
    /// What the tenant answers who is not let in.
    pub async fn logs_in(&self, secret: &SecretData) -> Result<(), String> {
        let (token_url, server_url) = (secret.get("tokenUrl"), secret.get("serverUrl"));
        let (Some(token_url), Some(server_url)) = (token_url, server_url) else {
            return Err("no tokenUrl, or no serverUrl".into());
        };
        self.enter(server_url, token_url, secret.client_id(), secret.client_secret()).await
    }

    /// The same for a credential that is in no Secret.
    pub async fn login_secret(&self, id: &str, secret: &str) -> bool {
        said(id, &self.enter(&self.url, &format!("{}/auth/v1/token", self.url), id, secret).await)
    }

    /// An access token for a client.
    ///
    /// # Errors
    /// What the tenant answers otherwise.
    pub async fn token(&self, id: &str, secret: &str) -> Result<String, String> {
        let token_url = format!("{}/auth/v1/token", self.url);
        let door = Door {
            http: &self.http,
            server_url: &self.url,
            token_url: &token_url,
            audience: "",
            now: self.now().await,
        };
        door.token(&[("client_id", id), ("client_secret", secret)]).await
    }

    async fn enter(&self, server_url: &str, token_url: &str, id: &str, secret: &str) -> Result<(), String> {
        let audience = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        let door = Door { http: &self.http, server_url, token_url, audience, now: self.now().await };
        door.enter(id, secret).await
    }

    /// Every secret and token that it ever made, delivered or not.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("secrets")).unwrap_or_default();
        text.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    async fn admin<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> T {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.admin_url));
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("simulator: {method} {path}: {error}"));
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "simulator: {method} {path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// Starts the process and waits for its line. It is killed when the handle is dropped.
async fn spawn(dir: &Path, args: &[String]) -> (Child, Announcement) {
    let log = OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let mut child = Command::new(cluster::program("c1-simulator"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await;
    let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
    match read.map(|_| serde_json::from_str(&line)) {
        Ok(Ok(announcement)) => (child, announcement),
        _ => panic!("the simulator did not start: {}", log()),
    }
}

/// Not a failure by itself: tests also ask whether a secret is refused.
fn said(id: &str, entered: &Result<(), String>) -> bool {
    if let Err(why) = entered {
        eprintln!("login as {id}: {why}");
    }
    entered.is_ok()
}
