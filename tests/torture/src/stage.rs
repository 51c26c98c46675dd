//! What a run takes place on: a world with two replicas, each behind a proxy of its own, and the objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use c1_operator::api::PersonalClient;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    Namespace, Options, SecretData, World,
    cluster::{OPERATOR_NAMESPACE, TEST_LABEL},
    proxy::ApiProxy,
};

use crate::{foreign::Foreign, journal::Journal, replica::Replica};

const NAMESPACES: usize = 4;
/// How long a replaced client lives on: P8 is broken when one goes sooner.
pub const OVERLAP: Duration = Duration::from_secs(3);
/// How long C1 may take to show what a create made. A removal waits for so long after the last attempt could have been sent, and no
/// longer: what a request makes later would be an orphan. So it is longer than [`LATE`](crate::mischief::LATE) and C1 standing still.
const SETTLE: Duration = Duration::from_secs(10);
/// The issuer beside `default`: of the same tenant, as another user.
pub const OTHER_ISSUER: &str = "other";
/// How long the API server may be away.
const AWAY: Duration = Duration::from_mins(1);

/// Everything of a run.
pub struct Stage {
    /// API server and C1.
    pub world: World,
    /// Where the objects are.
    pub namespaces: Vec<Namespace>,
    /// The operator, twice.
    pub replicas: [Replica; 2],
    /// What is not the operator's.
    pub foreign: Foreign,
    /// What happened.
    pub journal: Journal,
    /// In which namespace each object is, or was last.
    places: Mutex<Vec<usize>>,
}

/// An object by its place and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Stage {
    /// Sets it up; nothing runs yet but API server and C1. The second replica is `release`, if there is one.
    pub async fn set(objects: usize, release: Option<&Path>) -> Self {
        let election = json!({"enabled": true, "leaseDuration": "5s", "renewDeadline": "3s", "retryPeriod": "1s"});
        let times = [
            format!("--overlap={}s", OVERLAP.as_secs()),
            // The probe uses what was replaced, which must not keep it alive for good.
            format!("--max-overlap={}s", 2 * OVERLAP.as_secs()),
            format!("--settle-time={}s", SETTLE.as_secs()),
        ];
        let values = json!({"leaderElection": election, "extraArgs": times});
        let options = Options { operator_values: values, start_operator: false, ..Options::default() };
        let mut world = World::start("torture", options).await;
        let (unused, mut second) = (world.twin(), world.twin());
        let mut first = std::mem::replace(&mut world.operator, unused);
        if let Some(release) = release {
            second.set_program(release);
        }
        let proxies = [
            ApiProxy::start(&mut first, &world.dir.join("first.kubeconfig")).await,
            ApiProxy::start(&mut second, &world.dir.join("second.kubeconfig")).await,
        ];
        let [before_first, before_second] = proxies;
        let mut namespaces = vec![];
        for n in 0..NAMESPACES {
            namespaces.push(world.namespace(&format!("ns{n}")).await);
        }
        let foreign = Foreign::put(&world, &namespaces).await;
        let user = world.c1.create_user().await;
        let data = [("clientId", user.client_id.as_str()), ("clientSecret", user.client_secret.as_str())];
        world.put_secret(OPERATOR_NAMESPACE, "other-credentials", &data).await;
        world
            .issuer(OTHER_ISSUER, |spec| spec["auth"]["oauth"]["secretRef"]["name"] = json!("other-credentials"))
            .await;
        Self {
            world,
            namespaces,
            foreign,
            replicas: [Replica::new(first, before_first), Replica::new(second, before_second)],
            journal: Journal::new(),
            places: Mutex::new((0..objects).map(|n| n % NAMESPACES).collect()),
        }
    }

    /// How many objects there are.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.places.lock().unwrap().len()
    }

    /// Where an object is, or was last.
    #[must_use]
    pub fn place(&self, object: usize) -> Place {
        let namespace = self.places.lock().unwrap()[object];
        Place { namespace: self.namespaces[namespace].name.clone(), name: format!("client-{object}") }
    }

    /// From now on it is in the next namespace.
    pub fn moves(&self, object: usize) {
        let place = &mut self.places.lock().unwrap()[object];
        *place = (*place + 1) % NAMESPACES;
    }

    /// The replica that leads; the first, if none says so.
    pub async fn leader(&self) -> usize {
        usize::from(!self.replicas[0].leads().await && self.replicas[1].leads().await)
    }

    fn personal_clients(&self, place: &Place) -> Api<PersonalClient> {
        Api::namespaced(self.world.kube.clone(), &place.namespace)
    }

    fn secrets(&self, place: &Place) -> Api<Secret> {
        Api::namespaced(self.world.kube.clone(), &place.namespace)
    }

    /// Makes a namespace, unless it is there.
    pub async fn create_namespace(&self, name: &str) {
        let object = json!({"metadata": {"name": name, "labels": {TEST_LABEL: "torture"}}});
        let object: KubeNamespace = serde_json::from_value(object).unwrap();
        let api = Api::all(self.world.kube.clone());
        persist(async || api.create(&PostParams::default(), &object).await).await;
    }

    /// Deletes a namespace with all that is in it.
    pub async fn delete_namespace(&self, name: &str) {
        let api: Api<KubeNamespace> = Api::all(self.world.kube.clone());
        persist(async || api.delete(name, &DeleteParams::default()).await).await;
    }

    /// What these namespaces are called that come and go.
    #[must_use]
    pub fn passing(&self, number: usize) -> String {
        format!("{}-passing-{number}", self.namespaces[0].name)
    }

    /// Every namespace.
    pub async fn namespaces_there(&self) -> BTreeSet<String> {
        let api: Api<KubeNamespace> = Api::all(self.world.kube.clone());
        let all = persist(async || api.list_metadata(&kube::api::ListParams::default()).await).await;
        all.into_iter().flatten().filter_map(|namespace| namespace.metadata.name).collect()
    }

    /// Those that come and go, and are still there.
    pub async fn passing_left(&self) -> BTreeSet<String> {
        let mut left = self.namespaces_there().await;
        let prefix = self.passing(0);
        left.retain(|name| name.starts_with(prefix.trim_end_matches('0')));
        left
    }

    /// Makes an object, unless it is there.
    pub async fn create(&self, place: &Place) {
        let object = json!({
            "apiVersion": "iam.conductor.one/v1alpha1", "kind": "PersonalClient",
            "metadata": {"name": place.name, "namespace": place.namespace}, "spec": {},
        });
        let object: PersonalClient = serde_json::from_value(object).unwrap();
        let api = self.personal_clients(place);
        persist(async || api.create(&PostParams::default(), &object).await).await;
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, place: &Place) {
        let api = self.personal_clients(place);
        persist(async || api.delete(&place.name, &DeleteParams::default()).await).await;
    }

    /// Merges into an object, if it is there.
    pub async fn patch(&self, place: &Place, merge: Value) {
        let (api, patch) = (self.personal_clients(place), Patch::Merge(merge));
        persist(async || api.patch(&place.name, &PatchParams::default(), &patch).await).await;
    }

    /// Merges into the Secret of an object, if it is there.
    pub async fn patch_secret(&self, place: &Place, merge: Value) {
        let (api, patch, name) = (self.secrets(place), Patch::Merge(merge), self.secret_name(place).await);
        persist(async || api.patch(&name, &PatchParams::default(), &patch).await).await;
    }

    /// Deletes the Secret of an object, if it is there.
    pub async fn delete_secret(&self, place: &Place) {
        let (api, name) = (self.secrets(place), self.secret_name(place).await);
        persist(async || api.delete(&name, &DeleteParams::default()).await).await;
    }

    async fn secret_name(&self, place: &Place) -> String {
        self.get(place).await.map_or_else(|| place.name.clone(), |object| secret_place(place, &object).name)
    }

    /// An object.
    pub async fn get(&self, place: &Place) -> Option<PersonalClient> {
        let api = self.personal_clients(place);
        persist(async || api.get(&place.name).await).await
    }

    /// A Secret.
    pub async fn secret(&self, place: &Place) -> Option<SecretData> {
        let api = self.secrets(place);
        persist(async || api.get(&place.name).await).await.map(SecretData::from)
    }

    /// All objects.
    pub async fn all(&self) -> BTreeMap<Place, PersonalClient> {
        let api: Api<PersonalClient> = Api::all(self.world.kube.clone());
        let all = persist(async || api.list(&kube::api::ListParams::default()).await).await;
        let place = |o: &PersonalClient| Place {
            namespace: o.metadata.namespace.clone().unwrap_or_default(),
            name: o.metadata.name.clone().unwrap_or_default(),
        };
        all.into_iter().flatten().map(|object| (place(&object), object)).collect()
    }

    /// The Secrets in the namespaces of the run.
    pub async fn all_secrets(&self) -> BTreeMap<Place, SecretData> {
        let mut secrets = BTreeMap::new();
        for namespace in &self.namespaces {
            let api = namespace.secrets();
            let list = persist(async || api.list(&kube::api::ListParams::default()).await).await;
            for secret in list.into_iter().flatten() {
                let name = secret.metadata.name.clone().unwrap_or_default();
                secrets.insert(Place { namespace: namespace.name.clone(), name }, SecretData::from(secret));
            }
        }
        secrets
    }
}

/// Where the Secret of an object is: where its status says, until it has moved.
#[must_use]
pub fn secret_place(place: &Place, object: &PersonalClient) -> Place {
    let said = object.status.as_ref().and_then(|status| status.secret_name.as_deref());
    Place { name: said.unwrap_or_else(|| object.secret_name()).to_owned(), ..place.clone() }
}

/// Asks again while the API server is away, or overloaded. `None`: what was asked for cannot be (it is not there, or there
/// already, or its namespace is going).
///
/// # Panics
/// When it is away for longer than a minute.
pub async fn persist<T>(mut ask: impl AsyncFnMut() -> kube::Result<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 409) => return None,
            Err(error) => assert!(begun.elapsed() < AWAY, "the API server has been away for a minute: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
