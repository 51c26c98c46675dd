//! The API server that a suite runs on, and the chart's objects in it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use c1_operator::api::{ClientIssuer, ClusterClientIssuer, PersonalClient};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        coordination::v1::Lease,
        core::v1::{Namespace, Secret, ServiceAccount},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::Kubeconfig,
    core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope, TypeMeta},
    discovery::{self, Scope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::eventually;

/// The operator's namespace.
pub const OPERATOR_NAMESPACE: &str = "c1-system";
/// Label of all namespaces and objects that a test makes.
pub const TEST_LABEL: &str = "iam.conductor.one/test";

const MANAGER: &str = "testkit";
const TOKEN_SECONDS: i64 = 24 * 3600;

/// The project's directory.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Cargo's target directory, as the Makefile finds it.
#[must_use]
pub fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A program of this project, of the profile of who runs: beside it, or above the `deps` in which tests are.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = env::current_exe().unwrap();
    let path = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    path.unwrap_or_else(|| panic!("{name} is not built: make build"))
}

/// A variable that `tests/controlplane/run.sh` exports.
#[must_use]
pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a control plane. Run `make test-promises` (or `make test-api`), or one test \
                by tests/controlplane/run.sh cargo test …")
    })
}

/// What rustls uses, in all of this process.
pub(crate) fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// A client with all rights.
pub async fn admin() -> Client {
    install_tls_provider();
    let kubeconfig = Kubeconfig::read_from(variable("KUBECONFIG")).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The chart, rendered with these values: one object each.
#[must_use]
pub fn render(values: &Value) -> Vec<Value> {
    let dir = target().join("test");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("values-{}.json", unique()));
    fs::write(&file, values.to_string()).unwrap();
    let helm = Command::new(variable("HELM"))
        .args(["template", "c1-operator"])
        .arg(root().join("charts/c1-operator"))
        .args(["--namespace", OPERATOR_NAMESPACE, "-f"])
        .arg(&file)
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    assert!(helm.status.success(), "helm template with {values}: {}", String::from_utf8_lossy(&helm.stderr));
    let text = String::from_utf8(helm.stdout).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// The object of this kind in a rendering.
#[must_use]
pub fn rendered<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("the chart renders no {kind}"))
}

/// Applies a rendering, and deletes what only the one `before` had: what this process applied already and did not change is
/// left, and so is a Deployment that is there, for no kubelet runs here.
pub async fn install(client: &Client, objects: &[Value], before: &[Value]) {
    static APPLIED: Mutex<BTreeMap<String, Value>> = Mutex::const_new(BTreeMap::new());
    let key = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"])
    };
    let mut applied = APPLIED.lock().await;
    if applied.is_empty() {
        apply(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}}))
            .await;
    }
    // CRDs first, and all others after they are served.
    for crds in [true, false] {
        for object in objects.iter().filter(|object| (object["kind"] == "CustomResourceDefinition") == crds) {
            let there = applied.get(&key(object));
            if there == Some(object) || there.is_some() && object["kind"] == "Deployment" {
                continue;
            }
            apply(client, object).await;
            if crds {
                served(client, object).await;
            }
            applied.insert(key(object), object.clone());
        }
    }
    for gone in before.iter().filter(|old| objects.iter().all(|object| key(object) != key(old))) {
        let api = dynamic(client, gone, gone["metadata"]["namespace"].as_str()).await;
        ignore_absence(api.delete(gone["metadata"]["name"].as_str().unwrap(), &DeleteParams::default()).await);
        applied.remove(&key(gone));
    }
}

/// Server-side apply, by force.
pub async fn apply(client: &Client, object: &Value) -> DynamicObject {
    let name = object["metadata"]["name"].as_str().unwrap();
    let api = dynamic(client, object, object["metadata"]["namespace"].as_str()).await;
    let params = PatchParams::apply(MANAGER).force();
    api.patch(name, &params, &Patch::Apply(object))
        .await
        .unwrap_or_else(|error| panic!("{} {name} cannot be applied: {error}", object["kind"]))
}

/// Creates an object, or replaces the spec of the one that is there, if the API server lets it. Not server-side apply, for
/// which an empty list is none.
///
/// # Errors
/// When it does not.
pub async fn put_spec(client: &Client, object: &Value) -> Result<(), kube::Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let api = dynamic(client, object, object["metadata"]["namespace"].as_str()).await;
    let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    loop {
        let Some(mut there) = api.get_opt(name).await? else {
            return api.create(&params, &serde_json::from_value(object.clone()).unwrap()).await.map(drop);
        };
        there.data["spec"] = object["spec"].clone();
        match api.replace(name, &params, &there).await {
            // The operator was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            result => return result.map(drop),
        }
    }
}

/// The API for an object's kind. The namespace counts only for kinds that have one.
pub async fn dynamic(client: &Client, object: &Value, namespace: Option<&str>) -> Api<DynamicObject> {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(types).unwrap();
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await.unwrap();
    match (capabilities.scope, namespace) {
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
        _ => Api::all_with(client.clone(), &resource),
    }
}

/// A CRD is established before its watch cache is filled; until then watches are refused, and an operator that starts now
/// backs off.
async fn served(client: &Client, crd: &Value) {
    let (group, kind) = (&crd["spec"]["group"], &crd["spec"]["names"]["kind"]);
    let version = &crd["spec"]["versions"][0]["name"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let resource = ApiResource {
        group: text(group),
        version: text(version),
        api_version: format!("{}/{}", text(group), text(version)),
        kind: text(kind),
        plural: text(&crd["spec"]["names"]["plural"]),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    eventually(&format!("{} served", resource.plural), Duration::from_secs(30), async || {
        api.list(&ListParams::default().match_any()).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// Writes a kubeconfig of mode 0600 that acts as this ServiceAccount, by a token of its own.
pub(crate) async fn kubeconfig_of(client: &Client, account: &str, file: &Path) {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = api.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    let token = answer.status.unwrap().token;
    let mut config = serde_json::to_value(Kubeconfig::read_from(variable("KUBECONFIG")).unwrap()).unwrap();
    config["users"] = json!([{"name": "operator", "user": {"token": token}}]);
    for context in config["contexts"].as_array_mut().unwrap() {
        context["context"]["user"] = json!("operator");
    }
    write_private(file, &config.to_string());
}

fn write_private(file: &Path, text: &str) {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let _ = fs::remove_file(file);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Takes away what tests left that were killed or failed. Nothing is waited for: names are never used twice.
pub async fn clean(client: &Client) {
    remove_all::<PersonalClient>(client).await;
    remove_all::<ClientIssuer>(client).await;
    remove_all::<ClusterClientIssuer>(client).await;
    let labelled = ListParams::default().labels(TEST_LABEL);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in namespaces.list_metadata(&labelled).await.unwrap() {
        if namespace.metadata.deletion_timestamp.is_none() {
            ignore_absence(namespaces.delete(&namespace.name_any(), &DeleteParams::default()).await);
        }
    }
    // Events about cluster-scoped objects are in `default`, and names of those are used again.
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    events.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    secrets.delete_collection(&DeleteParams::default(), &labelled).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
}

/// Deletes every object of a kind, without asking its finalizers.
async fn remove_all<K: Resource<DynamicType = ()>>(client: &Client) {
    for object in list::<K>(client).await {
        remove::<K>(client, &object.metadata).await;
    }
}

/// Deletes an object, without asking its finalizers.
pub(crate) async fn remove<K: Resource<DynamicType = ()>>(client: &Client, metadata: &ObjectMeta) {
    delete::<K>(client, metadata).await;
    let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let api = any_namespace::<K>(client, metadata.namespace.as_deref());
    ignore_absence(api.patch(metadata.name.as_deref().unwrap(), &PatchParams::default(), &nothing).await);
}

/// Deletes an object, which may be gone.
pub(crate) async fn delete<K: Resource<DynamicType = ()>>(client: &Client, metadata: &ObjectMeta) {
    let api = any_namespace::<K>(client, metadata.namespace.as_deref());
    ignore_absence(api.delete(metadata.name.as_deref().unwrap(), &DeleteParams::default()).await);
}

/// Every object of a kind. None when the kind is not known yet.
pub(crate) async fn list<K>(client: &Client) -> Vec<DynamicObject>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let types = TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() };
    match Api::<DynamicObject>::all_with(client.clone(), &resource).list(&ListParams::default()).await {
        Ok(objects) => {
            objects.into_iter().map(|object| DynamicObject { types: Some(types.clone()), ..object }).collect()
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => panic!("{} cannot be listed: {error}", resource.plural),
    }
}

fn any_namespace<K: Resource<DynamicType = ()>>(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// What was to be deleted may be gone already.
pub(crate) fn ignore_absence<T>(result: Result<T, kube::Error>) {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("{error}"),
        Ok(_) => {}
    }
}

/// The object, or none when there is none.
pub(crate) async fn find<K>(api: &Api<K>, name: &str) -> Option<K>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.get_opt(name).await.unwrap()
}

/// Merges into an object.
pub(crate) async fn merge<K>(api: &Api<K>, name: &str, patch: &Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let result = api.patch(name, &params, &Patch::Merge(patch)).await;
    result.unwrap_or_else(|error| panic!("{name} cannot be patched with {patch}: {error}"));
}

/// Writes a Secret with the test's label.
pub async fn put_secret(client: &Client, namespace: &str, name: &str, data: &[(&str, &str)]) {
    let data: BTreeMap<_, _> = data.iter().map(|(key, value)| (*key, STANDARD.encode(value))).collect();
    let metadata = json!({"name": name, "namespace": namespace, "labels": {TEST_LABEL: "secret"}});
    apply(client, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})).await;
}

/// The API of a namespaced kind.
pub(crate) fn within<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

/// Tells one test's names from those of all others on this control plane.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
