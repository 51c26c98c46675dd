//! Between the operator and the API server: lets everything through, and loses the answers that a test says. The effect takes
//! place each time; only nobody hears of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use futures::{StreamExt as _, stream};
use serde_json::json;

use crate::{World, cluster, eventually};

/// How an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// 504, as a load balancer that lost patience.
    GatewayTimeout,
    /// The connection ends in the middle of the answer.
    Cut,
}

/// Which answer is lost, once.
#[derive(Debug, Clone)]
pub struct Lose {
    /// The method.
    pub method: &'static str,
    /// What path and query contain.
    pub containing: &'static str,
    /// What they do not contain.
    pub without: &'static str,
    /// How.
    pub loss: Loss,
}

#[derive(Clone)]
struct Shared {
    upstream: String,
    http: reqwest::Client,
    rules: Arc<Mutex<Vec<Lose>>>,
}

/// A proxy in front of the API server.
pub struct ApiProxy {
    rules: Arc<Mutex<Vec<Lose>>>,
}

impl ApiProxy {
    /// The answers to be lost, each once, the first that fits first.
    pub fn lose(&self, rules: Vec<Lose>) {
        *self.rules.lock().unwrap() = rules;
    }

    /// Waits until all answers are lost: others see an effect before its answer has come to the proxy.
    ///
    /// # Panics
    /// When one was not, in a few seconds.
    pub async fn all_lost(&self, of: &str) {
        eventually(&format!("{of}: the answers are lost"), Duration::from_secs(10), async || {
            let left = self.rules.lock().unwrap().clone();
            if left.is_empty() { Ok(()) } else { Err(format!("not yet lost: {left:?}")) }
        })
        .await;
    }
}

impl World {
    /// Puts a proxy between the operator, which must be started after this, and the API server.
    pub async fn proxy(&mut self) -> ApiProxy {
        cluster::install_tls_provider();
        let config = kube::Config::infer().await.unwrap();
        let certificates = config
            .root_cert
            .unwrap()
            .iter()
            .map(|der| reqwest::Certificate::from_der(der).unwrap())
            .collect::<Vec<_>>();
        let http = reqwest::Client::builder().tls_certs_only(certificates).no_proxy().build().unwrap();
        let upstream = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let rules = Arc::new(Mutex::new(vec![]));
        let shared = Shared { upstream, http, rules: rules.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(forward).with_state(shared)).await });
        let file = self.dir.join("operator.kubeconfig");
        let mut kubeconfig: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        kubeconfig["clusters"][0]["cluster"] = json!({"server": url});
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        ApiProxy { rules }
    }
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let mut upstream = shared.http.request(method.clone(), format!("{}{path}", shared.upstream));
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        upstream = upstream.header(name, value);
    }
    let body = to_bytes(body, 4 << 20).await.unwrap();
    let Ok(answer) = upstream.body(body).send().await else {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
    };
    let status = answer.status();
    let rule = status.is_success().then(|| take(&shared.rules, method.as_str(), &path)).flatten();
    let builder = Response::builder().header("content-type", "application/json");
    match rule {
        None => builder.status(status).body(Body::from_stream(answer.bytes_stream())).unwrap(),
        Some(Loss::GatewayTimeout) => {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Timeout", "code": 504, "message": "lost"});
            builder.status(504).body(Body::from(body.to_string())).unwrap()
        }
        Some(Loss::Cut) => {
            let pieces = stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("cut"))]).then(|piece| async {
                tokio::task::yield_now().await;
                piece
            });
            builder.status(status).body(Body::from_stream(pieces)).unwrap()
        }
    }
}

fn take(rules: &Mutex<Vec<Lose>>, method: &str, path: &str) -> Option<Loss> {
    let mut rules = rules.lock().unwrap();
    let fits = |r: &Lose| {
        r.method == method && path.contains(r.containing) && (r.without.is_empty() || !path.contains(r.without))
    };
    let index = rules.iter().position(fits)?;
    Some(rules.remove(index).loss)
}
