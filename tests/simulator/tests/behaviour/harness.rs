//! A simulator of one's own for each test, and a client that trusts it.

use std::{
    fs,
    future::Future,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Certificate, Method, header::HeaderMap, redirect};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

pub const CLIENTS: &str = "/api/v1/iam/personal_clients";
pub const SEARCH: &str = "/api/v1/search/iam/personal_clients";
pub const INTROSPECT: &str = "/api/v1/auth/introspect";
pub const ROLES: &str = "/api/v1/iam/roles";
pub const TOKEN: &str = "/auth/v1/token";

/// A running simulator. Dropping it ends the process.
pub struct Simulator {
    child: Child,
    /// Its directory, if it goes with it.
    scratch: Option<PathBuf>,
    pub line: Value,
    http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// An identity to log in with.
#[derive(Clone, Debug)]
pub struct Login {
    pub id: String,
    pub client_id: String,
    pub secret: String,
}

impl Login {
    /// From what create answers, or what the admin port and the first line say.
    pub fn of(made: &Value) -> Self {
        let client = made.get("client").unwrap_or(made);
        let client_id = client["clientId"].as_str().unwrap().to_owned();
        let id = client_id.split('@').next().unwrap().to_owned();
        Self { id, client_id, secret: made["clientSecret"].as_str().unwrap().to_owned() }
    }
}

impl Simulator {
    /// In a directory of its own.
    pub fn start(flags: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("simulator-{}-{number}", std::process::id()));
        let mut simulator = Self::start_in(&dir, flags);
        simulator.scratch = Some(dir);
        simulator
    }

    /// In a directory that outlives it.
    pub fn start_in(dir: &Path, flags: &[&str]) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_c1-simulator"))
            .arg("--dir")
            .arg(dir)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let ca = fs::read(line["caFile"].as_str().unwrap()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .unwrap();
        Self { child, scratch: None, line, http }
    }

    /// What the first line says.
    pub fn text(&self, field: &str) -> &str {
        self.line[field].as_str().unwrap()
    }

    pub fn bootstrap(&self) -> Login {
        Login::of(&self.line)
    }

    /// A call of the tenant's API; an error is a connection that was cut.
    pub async fn try_call(&self, method: Method, path: &str, token: &str, body: &Value) -> reqwest::Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.text("url")));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.body(body.as_str().map_or_else(|| body.to_string(), str::to_owned));
        }
        reply(request.send().await?).await
    }

    pub async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Reply {
        self.try_call(method, path, token, &body).await.unwrap()
    }

    pub async fn get(&self, path: &str, token: &str) -> Reply {
        self.call(Method::GET, path, token, Value::Null).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.call(Method::POST, path, token, body).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Reply {
        self.call(Method::DELETE, path, token, Value::Null).await
    }

    /// A form sent to the token endpoint or its like.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = self.http.post(format!("{}{path}", self.text("url"))).form(fields);
        reply(request.send().await.unwrap()).await.unwrap()
    }

    pub async fn login_reply(&self, login: &Login) -> Reply {
        let fields =
            [("grant_type", "client_credentials"), ("client_id", &login.client_id), ("client_secret", &login.secret)];
        self.form(TOKEN, &fields).await
    }

    pub async fn log_in(&self, login: &Login) -> String {
        let reply = self.login_reply(login).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token of the bootstrap client.
    pub async fn token(&self) -> String {
        self.log_in(&self.bootstrap()).await
    }

    /// Makes a client through the API.
    pub async fn create(&self, token: &str, body: Value) -> Login {
        let reply = self.post(CLIENTS, token, body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Login::of(&reply.body)
    }

    /// A call of the admin port.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Reply {
        let mut request = self.http.request(method, format!("{}{path}", self.text("adminUrl")));
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        reply(request.send().await.unwrap()).await.unwrap()
    }

    /// A call of the admin port that must succeed.
    pub async fn pull(&self, method: Method, path: &str, body: Value) -> Value {
        let reply = self.admin(method, path, body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    pub async fn switch(&self, switches: Value) {
        self.pull(Method::PATCH, "/switches", switches).await;
    }

    /// Puts one fault in force, for one operation.
    pub async fn fault(&self, operation: &str, fault: Value) {
        self.pull(Method::PUT, "/faults", json!([{"operation": operation, "fault": fault}])).await;
    }

    pub async fn heal(&self) {
        self.pull(Method::DELETE, "/faults", Value::Null).await;
    }

    pub async fn advance(&self, seconds: i64) {
        self.pull(Method::POST, "/clock", json!({"advanceSeconds": seconds})).await;
    }

    pub async fn ledger(&self) -> Vec<Value> {
        self.pull(Method::GET, "/ledger", Value::Null).await["clients"].as_array().unwrap().clone()
    }

    /// The ledger's entry of a client.
    pub async fn entry(&self, id: &str) -> Value {
        self.ledger().await.into_iter().find(|entry| entry["id"] == id).unwrap()
    }

    /// A second user, with a client and a token of that client.
    pub async fn user(&self, roles: Value) -> (Value, String) {
        let user = self.pull(Method::POST, "/users", json!({"roles": roles})).await;
        let token = self.log_in(&Login::of(&user)).await;
        (user, token)
    }

    /// The id of a role, by name.
    pub async fn role(&self, token: &str, name: &str) -> String {
        let roles = self.get(ROLES, token).await.body;
        let role = roles["list"].as_array().unwrap().iter().find(|role| role["name"] == name).unwrap();
        role["id"].as_str().unwrap().to_owned()
    }

    /// Sends bytes over one TLS connection and returns all that comes back until its end, however it ends.
    pub async fn raw(&self, request: &str) -> String {
        let ca = fs::read(self.text("caFile")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.text("listenAddress")).await.unwrap();
        let name = ServerName::try_from(self.server_name().to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        // A connection cut without TLS's goodbye is an error here; what came before it is in the buffer.
        let _ = stream.read_to_end(&mut received).await;
        String::from_utf8(received).unwrap()
    }

    /// The host without its port.
    fn server_name(&self) -> &str {
        self.text("host").split(':').next().unwrap()
    }

    /// Ends it as an orchestrator would, and says whether it ended well.
    pub fn terminate(&mut self) -> bool {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(dir) = &self.scratch {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

async fn reply(response: reqwest::Response) -> reqwest::Result<Reply> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Reply { status, headers, body })
}

/// Asks until the answer is there. The time limit only ends a test that has failed.
pub async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came");
    }
}
