//! Everything that one test runs on, and its end.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use c1_operator::api::{ClientIssuer, ClusterClientIssuer, ConditionType, PersonalClient, Reason, condition};
use k8s_openapi::api::core::v1::Namespace as KubeNamespace;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};

use crate::{
    Namespace, Operator, Simulator, cluster, deployed, eventually, kstatus, namespace, ports, recorder, scan::Scanner,
    wait::tail_not_shown_yet,
};

const CREDENTIALS: &str = "c1-credentials";
const ISSUER: &str = "default";
const FINALIZERS_WITHIN: Duration = Duration::from_secs(20);
const STATUS_SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// What a test wants different.
#[derive(Debug, Clone)]
pub struct Options {
    /// Values of the chart, over those of all tests; lists replace lists.
    pub operator_values: Value,
    /// Further arguments of the simulator.
    pub simulator_args: Vec<String>,
    /// Where the operator is to kill itself in its first life: `after-Create`.
    pub fault_point: Option<String>,
    /// Make the ClusterClientIssuer `default`. The Secret that it logs in with is there in any case.
    pub issuer: bool,
    /// Start the operator. If not, [`World::restart_operator`] does it later.
    pub start_operator: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            operator_values: json!({}),
            simulator_args: vec![],
            fault_point: None,
            issuer: true,
            start_operator: true,
        }
    }
}

/// A control plane with the chart's objects, a C1 tenant, and the operator.
pub struct World {
    /// A client with all rights.
    pub kube: Client,
    /// The tenant.
    pub c1: Simulator,
    /// The operator.
    pub operator: Operator,
    /// Where logs and state of this test are.
    pub dir: PathBuf,
    test: String,
    suffix: String,
    values: Value,
    issuer_spec: Value,
    recorder: Option<recorder::Recorder>,
    audit_from: u64,
}

impl World {
    /// Cleans up what earlier tests left, and starts everything.
    pub async fn start(test: &str, options: Options) -> Self {
        let client = cluster::admin().await;
        cluster::clean(&client).await;
        let suffix = cluster::unique();
        let dir = cluster::target().join(format!("test/worlds/{test}-{suffix}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let audit_from = fs::metadata(audit_log()).unwrap().len();

        let c1 = Simulator::launch(&dir.join("c1"), &options.simulator_args).await;
        let listen = format!("127.0.0.1:{}", ports::free());
        let mut values = test_values(&c1.host, &listen);
        merge(&mut values, &options.operator_values);
        let listen = values["listen"].as_str().unwrap().to_owned();
        let objects = cluster::render(&values);
        cluster::install(&client, &objects, &[]).await;
        let recorder = recorder::Recorder::start(&client);

        let operator = deployed::operator(&client, &objects, &listen, &dir).await;
        let ca = STANDARD.encode(fs::read(&c1.ca_file).unwrap());
        let issuer_spec = json!({
            "url": c1.url,
            "caBundle": ca,
            "auth": {"oauth": {"secretRef": {"name": CREDENTIALS}}},
            "defaults": {"expires": "720h", "scopedRoles": ["system:viewer"]},
            "policy": {"namespaceSelector": {}},
            "inventoryInterval": "1s",
        });
        let mut world = Self {
            kube: client,
            c1,
            operator,
            dir,
            test: test.into(),
            suffix,
            values,
            issuer_spec,
            recorder: Some(recorder),
            audit_from,
        };
        world.credentials(cluster::OPERATOR_NAMESPACE).await;
        if options.issuer {
            world.issuer(ISSUER, |_| {}).await;
        }
        if options.start_operator {
            world.restart_operator(options.fault_point.as_deref()).await;
            if options.issuer && options.fault_point.is_none() {
                world.issuer_judged(ISSUER).await;
            }
        }
        world
    }

    /// Makes a namespace of this test; no other test has one of that name.
    pub async fn namespace(&self, name: &str) -> Namespace {
        let test: String = self.test.replace('_', "-").chars().take(24).collect();
        let name = format!("{}-{name}-{}", test.trim_end_matches('-'), self.suffix);
        Namespace::create_in(&self.kube, name, &self.suffix).await
    }

    /// Kills the operator if it runs, starts it again, and waits until it is ready, or until it killed itself at the fault
    /// point.
    pub async fn restart_operator(&mut self, fault_point: Option<&str>) {
        self.operator.kill().await;
        self.operator.start(fault_point);
        if fault_point.is_some() {
            self.operator.ready_or_dead().await;
        } else {
            self.operator.ready().await;
        }
    }

    /// Upgrades the release to these values, over those that it has. The operator, which must not run, starts as they say the
    /// next time.
    pub async fn upgrade(&mut self, values: &Value) {
        let before = cluster::render(&self.values);
        merge(&mut self.values, values);
        let objects = cluster::render(&self.values);
        cluster::install(&self.kube, &objects, &before).await;
        let listen = self.values["listen"].as_str().unwrap();
        self.operator = deployed::operator(&self.kube, &objects, listen, &self.dir).await;
    }

    /// A second operator like the first, not started yet.
    #[must_use]
    pub fn twin(&self) -> Operator {
        self.operator.twin(&format!("127.0.0.1:{}", ports::free()))
    }

    /// Starts a second operator beside the first.
    pub async fn replica(&self) -> Operator {
        let mut other = self.twin();
        other.start(None);
        other.ready().await;
        other
    }

    /// Makes another ClusterClientIssuer: the spec of `default`, edited.
    pub async fn issuer(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut spec = self.issuer_spec.clone();
        edit(&mut spec);
        self.put_issuer("ClusterClientIssuer", None, name, &spec).await;
    }

    /// Makes a ClientIssuer in a namespace, with the Secret that it logs in with: the spec of `default` without its
    /// policy, edited. The operator must let it name the simulator: `allowedHostNamespaced: true`.
    pub async fn client_issuer(&self, namespace: impl AsRef<str>, name: &str, edit: impl FnOnce(&mut Value)) {
        let namespace = namespace.as_ref();
        self.credentials(namespace).await;
        let mut spec = self.issuer_spec.clone();
        spec.as_object_mut().unwrap().remove("policy");
        edit(&mut spec);
        self.put_issuer("ClientIssuer", Some(namespace), name, &spec).await;
    }

    /// Merges into a ClusterClientIssuer: `{"spec": …}`.
    pub async fn patch_issuer(&self, name: &str, merge: Value) {
        cluster::merge(&self.issuers(), name, &merge).await;
    }

    /// The ClusterClientIssuers.
    #[must_use]
    pub fn issuers(&self) -> Api<ClusterClientIssuer> {
        Api::all(self.kube.clone())
    }

    /// Waits until a ClusterClientIssuer's `Ready` has this reason, for its present spec, and returns it.
    pub async fn issuer_reason(&self, name: &str, reason: Reason) -> ClusterClientIssuer {
        self.issuer_until(name, &format!("ClusterClientIssuer {name}: {reason}"), |found| found == reason.as_str())
            .await
    }

    /// Waits for an event of this reason about a cluster-scoped object, and returns its note.
    pub async fn cluster_event(&self, name: &str, reason: Reason) -> String {
        namespace::event(&self.kube, None, name, reason).await
    }

    /// Writes a Secret of the test's own: credentials of an issuer, for example. The scan for secrets leaves it out.
    pub async fn put_secret(&self, namespace: impl AsRef<str>, name: &str, data: &[(&str, &str)]) {
        cluster::put_secret(&self.kube, namespace.as_ref(), name, data).await;
    }

    /// Server-side apply of any object, with all rights.
    pub async fn apply(&self, object: &Value) {
        cluster::apply(&self.kube, object).await;
    }

    /// Creates any object, or replaces its spec, if the API server lets it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn put_spec(&self, object: &Value) -> Result<(), kube::Error> {
        cluster::put_spec(&self.kube, object).await
    }

    /// What an issuer of this tenant looks like: the spec of the ClusterClientIssuer `default`.
    #[must_use]
    pub fn issuer_spec(&self) -> &Value {
        &self.issuer_spec
    }

    /// The lines of the audit log since this test began: who asked the API server for what.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        self.audit_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What the operator asked of the API server since this test began, but for `get`, `list` and `watch`: verb and path.
    #[must_use]
    pub fn operator_writes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let writes = self.audit().into_iter().filter(|line| {
            text(&line["user"]["username"])
                .starts_with(&format!("system:serviceaccount:{}:", cluster::OPERATOR_NAMESPACE))
                && !matches!(line["verb"].as_str(), Some("get" | "list" | "watch"))
        });
        writes.map(|line| (text(&line["verb"]), text(&line["requestURI"]))).collect()
    }

    /// Ends everything: GitOps tools must understand every status that there ever was, objects go by their finalizers, and
    /// no secret may stand anywhere. Panics with all that is wrong.
    pub async fn finish(mut self) {
        if !self.c1.is_running() {
            self.c1.start().await;
        }
        self.c1.clear_faults().await;
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        // It may have been started a moment ago, or be about to reach a fault point.
        let dead = self.operator.pid().is_none() || self.operator.ready_or_dead().await;
        if !dead {
            problems.extend(self.statuses_settle().await);
            texts.extend(self.operator.try_metrics().await.map(|text| ("metrics".to_owned(), text)));
        }
        let last = self.objects().await;
        self.delete_all().await;
        if self.operator.is_alive() {
            texts.extend(self.operator.try_metrics().await.map(|text| ("metrics, at the end".to_owned(), text)));
            let status = self.operator.terminate().await;
            if !status.success() {
                problems.push(format!("the operator ended with {status}"));
            }
        }
        let seen = self.recorder.take().unwrap().finish().await;
        let log = self.operator.log();
        problems.extend(log.lines().filter(|line| line.contains("panicked at")).map(|line| format!("a panic: {line}")));
        texts.push(("the operator's log".to_owned(), log));
        texts.push(("the simulator's log".to_owned(), self.c1.log()));
        texts.push(("the audit log".to_owned(), self.audit_text()));
        texts.extend(seen.events);
        texts.extend(seen.objects.iter().map(|object| (kstatus::place(object), object.to_string())));
        let scanner = Scanner::new(&self.c1.secrets(), &self.c1.client_secret);
        assert!(scanner.knows(&seen.secrets, CREDENTIALS), "the search would not even find what it must find");
        problems.extend(texts.iter().flat_map(|(place, text)| scanner.lines(place, text)));
        problems.extend(scanner.secrets(&seen.secrets));
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        let missed = last.iter().find(|object| seen.objects.iter().all(|version| uid(version) != uid(object)));
        assert_eq!(missed, None, "the recorder saw nothing of it");
        problems.extend(kstatus::problems(&seen.objects));
        assert!(problems.is_empty(), "at the end of {}:\n  {}", self.test, problems.join("\n  "));
        self.c1.kill().await;
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Objects whose present spec the operator has not looked at, when it had time to.
    async fn statuses_settle(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let objects = self.objects().await;
            let wrong: Vec<String> = objects.iter().filter_map(kstatus::unobserved).collect();
            if wrong.is_empty() || begun.elapsed() > STATUS_SETTLES_WITHIN {
                return wrong;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every object of our kinds.
    async fn objects(&self) -> Vec<Value> {
        let lists = [
            cluster::list::<PersonalClient>(&self.kube).await,
            cluster::list::<ClientIssuer>(&self.kube).await,
            cluster::list::<ClusterClientIssuer>(&self.kube).await,
        ];
        lists.iter().flatten().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    /// Deletes what this test made: by the operator while it lives, by force after a while.
    async fn delete_all(&self) {
        let deadline = Instant::now() + FINALIZERS_WITHIN;
        self.delete_kind::<PersonalClient>(deadline).await;
        self.delete_kind::<ClientIssuer>(deadline).await;
        self.delete_kind::<ClusterClientIssuer>(deadline).await;
        let namespaces: Api<KubeNamespace> = Api::all(self.kube.clone());
        let ours = ListParams::default().labels(&format!("{}={}", cluster::TEST_LABEL, self.suffix));
        for namespace in namespaces.list_metadata(&ours).await.unwrap() {
            cluster::ignore_absence(namespaces.delete(&namespace.name_any(), &DeleteParams::default()).await);
        }
    }

    async fn delete_kind<K: Resource<DynamicType = ()>>(&self, deadline: Instant) {
        for object in cluster::list::<K>(&self.kube).await {
            cluster::delete::<K>(&self.kube, &object.metadata).await;
        }
        while self.operator.is_alive() && Instant::now() < deadline {
            if cluster::list::<K>(&self.kube).await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for object in cluster::list::<K>(&self.kube).await {
            let name = object.name_any();
            eprintln!("{}: {} {name} did not go by itself: {}", self.test, K::kind(&()), object.data["status"]);
            cluster::remove::<K>(&self.kube, &object.metadata).await;
        }
    }

    async fn credentials(&self, namespace: &str) {
        let data = [("clientId", self.c1.client_id.as_str()), ("clientSecret", self.c1.client_secret.as_str())];
        self.put_secret(namespace, CREDENTIALS, &data).await;
    }

    async fn put_issuer(&self, kind: &str, namespace: Option<&str>, name: &str, spec: &Value) {
        let api_version = PersonalClient::api_version(&());
        let metadata = json!({"name": name, "namespace": namespace});
        self.apply(&json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})).await;
    }

    /// The operator has said something about an issuer, whatever it is: from here on requests can be counted.
    async fn issuer_judged(&self, name: &str) {
        let settled = |reason: &str| reason != Reason::Issuing.as_str();
        self.issuer_until(name, &format!("a first status of ClusterClientIssuer {name}"), settled).await;
    }

    async fn issuer_until(&self, name: &str, what: &str, accept: impl Fn(&str) -> bool) -> ClusterClientIssuer {
        eventually(what, Duration::from_mins(1), async || {
            let issuer = cluster::find(&self.issuers(), name).await.ok_or("it does not exist")?;
            let status = issuer.status.clone().unwrap_or_default();
            let ready = condition::find(&status.conditions, ConditionType::Ready);
            let present = Some(status.observed_generation) == issuer.metadata.generation;
            let fits = present && ready.is_some_and(|ready| accept(&ready.reason));
            let value = serde_json::to_value(&issuer).unwrap();
            recorder::note_object(&value);
            if fits { Ok(issuer) } else { Err(value["status"].to_string()) }
        })
        .await
    }

    fn audit_text(&self) -> String {
        let log = fs::read(audit_log()).unwrap();
        let from = usize::try_from(self.audit_from).unwrap().min(log.len());
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: logs and state are in {}\n{}", self.test, self.dir.display(), tail_not_shown_yet());
        }
    }
}

/// The values of all tests: short times, so that a test of recovery takes seconds.
fn test_values(c1: &str, listen: &str) -> Value {
    json!({
        "clusterName": "test",
        "allowedHosts": [c1],
        "listen": listen,
        "log": {"level": "info,c1_operator=debug"},
        "timeouts": {"create": "2s", "delivery": "3s", "attemptGrace": "1s"},
        "inventoryInterval": "1s",
        // A process that is killed and started again would wait for its own lease.
        "leaderElection": {"enabled": false},
        "extraArgs": ["--settle-time=2s"],
    })
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn audit_log() -> PathBuf {
    PathBuf::from(cluster::variable("CP_DIR")).join("log/audit.log")
}
