//! Between the operator and the API server: lets everything through, and loses the answers that a test says; the effect takes
//! place each time, only nobody hears of it. Or makes [`weather`]: whatever can go wrong on the way, at random.

mod forward;
mod weather;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use serde_json::json;

pub use self::weather::{Hit, Trouble, Weather};
use self::{forward::forward, weather::Sky};
use crate::{Operator, Options, World, cluster, eventually};

/// Which answer is lost, once.
#[derive(Debug, Clone)]
pub struct Lose {
    /// The method.
    pub method: &'static str,
    /// What path and query contain.
    pub containing: &'static str,
    /// What they do not contain.
    pub without: &'static str,
    /// How: [`Trouble::GatewayTimeout`] or [`Trouble::CutAfter`].
    pub loss: Trouble,
}

/// What the requests of one operator go through.
struct Shared {
    upstream: String,
    http: reqwest::Client,
    rules: Mutex<Vec<Lose>>,
    sky: Sky,
}

/// A proxy in front of the API server.
pub struct ApiProxy {
    shared: Arc<Shared>,
}

impl ApiProxy {
    /// The answers to be lost, each once, the first that fits first.
    pub fn lose(&self, rules: Vec<Lose>) {
        *self.shared.rules.lock().unwrap() = rules;
    }

    /// Waits until all answers are lost: others see an effect before its answer has come to the proxy.
    ///
    /// # Panics
    /// When one was not, in a few seconds.
    pub async fn all_lost(&self, of: &str) {
        eventually(&format!("{of}: the answers are lost"), Duration::from_secs(10), async || {
            let left = self.shared.rules.lock().unwrap().clone();
            if left.is_empty() { Ok(()) } else { Err(format!("not yet lost: {left:?}")) }
        })
        .await;
    }

    /// From now on requests meet this.
    pub fn weather(&self, weather: Weather) {
        self.shared.sky.set(weather);
    }

    /// Holds back what watches say, and lets it through again: until then caches are stale.
    pub fn hold_watches(&self, hold: bool) {
        self.shared.sky.held.send_replace(hold);
    }

    /// Ends all watches; each has to list anew, and what happened meanwhile is seen by none.
    pub fn relist(&self) {
        self.shared.sky.relists.send_modify(|count| *count += 1);
    }

    /// Cuts the operator off, and joins it again: what it sends meanwhile comes to nothing, and of what it has sent it hears
    /// nothing.
    pub fn partition(&self, cut_off: bool) {
        self.shared.sky.partitioned.send_replace(cut_off);
    }

    /// All that went wrong until now.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.shared.sky.hits.lock().unwrap().clone()
    }
}

impl World {
    /// A world whose operator has a proxy between itself and the API server.
    pub async fn start_behind_proxy(test: &str) -> (Self, ApiProxy) {
        let mut world = Self::start(test, Options { start_operator: false, ..Options::default() }).await;
        let proxy = ApiProxy::start(&mut world.operator, &world.dir.join("proxied.kubeconfig")).await;
        world.restart_operator(None).await;
        (world, proxy)
    }
}

impl ApiProxy {
    /// Puts a proxy between an operator, which is started after this, and the API server. Its kubeconfig becomes `file`.
    pub async fn start(operator: &mut Operator, file: &Path) -> Self {
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
        let shared = Arc::new(Shared { upstream, http, rules: Mutex::default(), sky: Sky::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let direct = std::fs::read_to_string(operator.env("KUBECONFIG").unwrap()).unwrap();
        let mut kubeconfig: serde_json::Value = serde_saphyr::from_str(&direct).unwrap();
        kubeconfig["clusters"][0]["cluster"] = json!({"server": url});
        std::fs::write(file, kubeconfig.to_string()).unwrap();
        operator.set_kubeconfig(file);
        Self { shared }
    }
}
