//! The composition root: clients, caches, controllers, the port, and the end.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, controller,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use rustix::process::{Resource, Rlimit, setrlimit};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::broadcast,
};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{ClientIssuer, ClusterClientIssuer, MANAGED_LABEL, PersonalClient},
    args::RunArgs,
    c1::Deadlines,
    clock::clock,
    controller::{
        Config, Context, Stores,
        client_issuer::{self, IssuerObject},
        context::{Filled, Filling, Memory},
        issuers::{IssuerKey, Issuers, near, needed_by},
        personal_client,
        pilot::CLEAN_UP,
        shard::Places,
        streams,
    },
    default_issuer,
    leader::{Elector, Leadership},
    plan::digest,
    secret::{Secrets, seen},
    telemetry::{
        Events, Metrics,
        server::{self, Served},
    },
};

/// What can keep the operator from starting, or ends it.
#[derive(Debug, Error)]
pub enum StartError {
    /// No way to the API server.
    #[error("no configuration for the API server: set KUBECONFIG, or run in a cluster: {0}")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cluster cannot be told from others.
    #[error(
        "namespace kube-system cannot be read, whose UID tells this cluster from others (or set --cluster-id): {0}"
    )]
    ClusterId(#[source] Box<kube::Error>),
    /// The port is taken.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No signal handlers, or core files that cannot be switched off.
    #[error("signals cannot be handled, or core files not be switched off: {0}")]
    Signals(#[source] std::io::Error),
    /// A manifest that is none.
    #[error("--default-issuer {}: {why}", file.display())]
    DefaultIssuer {
        /// The file.
        file: std::path::PathBuf,
        /// Why.
        why: String,
    },
    /// A selector that is none.
    #[error("--watch-label-selector {selector}: {why}")]
    Selector {
        /// The selector.
        selector: String,
        /// Why, in the API server's words.
        why: String,
    },
    /// Flags that do not go together.
    #[error("leader election: {0}")]
    Election(String),
    /// Another replica may lead from now on.
    #[error("the lease is lost: another replica may act from now on")]
    LeaseLost,
}

/// Runs the operator until a signal ends it, or the lease is lost.
///
/// # Errors
/// When it cannot start, or does not lead any more.
pub async fn run(args: RunArgs) -> Result<(), StartError> {
    // A core file would hold secrets.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|e| StartError::Signals(e.into()))?;
    // Before anything else, so that no signal kills a transaction.
    let stop = stop_on_signal()?;
    let election = args.election().map_err(StartError::Election)?;
    let default_issuer = args.default_issuer.as_deref().map(default_issuer::read).transpose()?;
    let client = client().await?;
    check_selector(&client, &args).await?;
    let cluster = cluster(&client, &args).await?;
    let listener =
        server::bind(args.listen).await.map_err(|source| StartError::Listen { address: args.listen, source })?;
    tracing::info!(cluster, version = env!("CARGO_PKG_VERSION"), listen = %listener.local_addr().map(|a| a.to_string()).unwrap_or_default(), "starting");

    let (stores, writers) = caches();
    let metrics = Arc::new(Metrics::default());
    let elector = election.map(|settings| Elector::new(client.clone(), settings));
    let leadership = elector.as_ref().map_or_else(Leadership::alone, Elector::leadership);
    let served = Served { metrics: metrics.clone(), stores: stores.clone(), leadership: leadership.clone() };
    let port = tokio::spawn(server::serve(listener, served, stop.child_token()));

    let context = context(client, &args, cluster, stores, metrics, (leadership, stop.clone()));
    let result = lead(elector, &stop, async {
        if let Some(issuer) = default_issuer {
            tokio::spawn(default_issuer::apply(context.clone(), issuer));
        }
        act(&context, writers, &stop).await;
    });
    let result = Box::pin(result).await;
    stop.cancel();
    let _ = port.await;
    tracing::info!("stopped");
    result
}

fn context(
    client: Client,
    args: &RunArgs,
    cluster: String,
    stores: Stores,
    metrics: Arc<Metrics>,
    (leadership, stop): (Leadership, CancellationToken),
) -> Arc<Context> {
    let (look_again, _) = broadcast::channel(16);
    Arc::new(Context {
        secrets: Secrets::new(client.clone()),
        events: Events::new(client.clone()),
        config: config(args, cluster),
        clock: clock(),
        stop,
        leadership,
        stores,
        issuers: Issuers::default(),
        memory: Memory::default(),
        metrics,
        tasks: TaskTracker::new(),
        look_again,
        client,
    })
}

/// How long looks and single writes may take after the end has begun.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the lease, if there is an election, and holds it while `work` is done; gives it up only when nothing is under
/// way any more.
async fn lead(
    elector: Option<Elector>,
    stop: &CancellationToken,
    work: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let Some(mut elector) = elector else {
        work.await;
        return Ok(());
    };
    tokio::select! {
        () = elector.acquire() => tracing::info!("leading"),
        () = stop.cancelled() => return Ok(()),
    }
    let mut work = pin!(work);
    let lost = tokio::select! {
        () = elector.keep() => true,
        () = &mut work => false,
    };
    if lost {
        tracing::error!("the lease is lost");
        stop.cancel();
        work.await;
        return Err(StartError::LeaseLost);
    }
    elector.release().await;
    Ok(())
}

/// Runs the controllers until `stop`, and what they have begun to its end.
async fn act(context: &Arc<Context>, writers: Writers, stop: &CancellationToken) {
    let (touched, _) = broadcast::channel(1024);
    let clock_watch = tokio::spawn(watch_clock(context.clone(), touched.clone()));
    let filled = context.stores.filled.clone();
    let ready = tokio::spawn(async move {
        filled.wait().await;
        tracing::info!("the caches are filled");
    });

    // Transactions are tasks of their own. What else is under way loses nothing when it is dropped, and may wait for caches
    // that nobody fills any more.
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        () = controllers(context, writers, &touched, stop) => {}
        () = patience => {}
    }

    // A client secret that is in memory only is delivered, or its client deleted, before the process ends.
    context.tasks.close();
    let longest = context.config.timing.budget + CLEAN_UP + Duration::from_secs(5);
    if tokio::time::timeout(longest, context.tasks.wait()).await.is_err() {
        tracing::error!("transactions were still under way at the end; the next start resolves them");
    }
    for task in [clock_watch, ready] {
        task.abort();
    }
}

fn stop_on_signal() -> Result<CancellationToken, StartError> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        token.cancel();
    });
    Ok(stop)
}

async fn client() -> Result<Client, StartError> {
    let mut config = kube::Config::infer().await.map_err(|e| StartError::Kubeconfig(Box::new(e)))?;
    // The client would repeat every request, also a write whose effect took place: its echo is a conflict, which would be
    // taken for somebody else's write.
    config.default_retry = false;
    Client::try_from(config).map_err(|e| StartError::Kubeconfig(Box::new(e)))
}

/// This cluster's name in markers: what people call it, and what tells it from others.
async fn cluster(client: &Client, args: &RunArgs) -> Result<String, StartError> {
    let id = if let Some(id) = &args.cluster_id {
        id.clone()
    } else {
        let namespace = Api::<Namespace>::all(client.clone()).get_metadata("kube-system").await;
        namespace.map_err(|e| StartError::ClusterId(Box::new(e)))?.uid().unwrap_or_default()
    };
    Ok(format!("{}-{}", args.cluster_name, &digest(&[&id])[..8]))
}

/// A selector that the API server does not understand would be a watch that is refused for ever. Whatever else it says is not
/// about the selector: the watch will try again.
async fn check_selector(client: &Client, args: &RunArgs) -> Result<(), StartError> {
    let Some(selector) = &args.watch_label_selector else { return Ok(()) };
    let one = ListParams::default().labels(selector).limit(1);
    for (api, _) in args.shard().personal_clients::<PersonalClient>(client).iter().take(1) {
        if let Err(kube::Error::Api(status)) = api.list_metadata(&one).await
            && status.code == 400
        {
            return Err(StartError::Selector { selector: selector.clone(), why: status.message.clone() });
        }
    }
    Ok(())
}

fn config(args: &RunArgs, cluster: String) -> Config {
    Config {
        cluster,
        namespace: args.namespace.clone(),
        allowed_hosts: args.allowed_host.iter().filter(|h| !h.is_empty()).cloned().collect(),
        allowed_hosts_namespaced: args.allowed_host_namespaced,
        timing: args.timing(),
        deadlines: Deadlines { create: args.create_timeout, call: Duration::from_secs(30).min(args.create_timeout) },
        inventory_interval: args.inventory_interval,
        concurrency: args.concurrency,
        shard: args.shard(),
    }
}

struct Writers {
    personal_clients: reflector::store::Writer<DeserializeGuard<PersonalClient>>,
    issuers: reflector::store::Writer<DeserializeGuard<ClientIssuer>>,
    cluster_issuers: reflector::store::Writer<DeserializeGuard<ClusterClientIssuer>>,
    secrets: reflector::store::Writer<PartialObjectMeta<Secret>>,
    namespaces: reflector::store::Writer<PartialObjectMeta<Namespace>>,
    filling: Filling,
}

fn caches() -> (Stores, Writers) {
    let (personal_clients, personal_clients_writer) = reflector::store();
    let (issuers, issuers_writer) = reflector::store();
    let (cluster_issuers, cluster_issuers_writer) = reflector::store();
    let (secrets, secrets_writer) = reflector::store();
    let (namespaces, namespaces_writer) = reflector::store();
    let (filling, filled) = Filled::of(5);
    (
        Stores { personal_clients, issuers, cluster_issuers, secrets, namespaces, filled },
        Writers {
            personal_clients: personal_clients_writer,
            issuers: issuers_writer,
            cluster_issuers: cluster_issuers_writer,
            secrets: secrets_writer,
            namespaces: namespaces_writer,
            filling,
        },
    )
}

/// The wall clock was set: what waits for a time is looked at again. First C1, whose clock ours is compared with: until it has
/// answered nobody knows which of the two is right, and nothing is done because of time.
async fn watch_clock(ctx: Arc<Context>, touched: broadcast::Sender<Touched>) {
    loop {
        ctx.clock.changed().await;
        tracing::warn!("the clock was set, or the machine slept: looking at every object again");
        ctx.issuers.look_soon();
        // Nobody listens once the controllers have ended.
        let _ = touched.send(Touched::Clock);
        let _ = ctx.look_again.send(None);
    }
}

/// What concerns issuers beside themselves.
#[derive(Debug, Clone)]
enum Touched {
    /// An object that needs these issuers came, changed, or is going.
    Object { issuers: Vec<IssuerKey>, going: bool },
    /// The wall clock was set.
    Clock,
}

async fn controllers(
    ctx: &Arc<Context>,
    writers: Writers,
    touched: &broadcast::Sender<Touched>,
    stop: &CancellationToken,
) {
    let stores = ctx.stores.clone();
    let client = &ctx.client;
    let shard = &ctx.config.shard;
    let ours = watcher::Config::default().labels(&format!("{MANAGED_LABEL}=true"));

    let secrets =
        streams::watch(shard.within(client, &ours), writers.secrets, writers.filling.clone(), streams::prune_secret);
    let namespaces =
        streams::watch(shard.namespaces(client), writers.namespaces, writers.filling.clone(), streams::prune_namespace);
    let personal_clients = streams::watch(
        shard.personal_clients(client),
        writers.personal_clients,
        writers.filling.clone(),
        streams::prune,
    );
    let tell = touched.clone();
    let personal_clients = personal_clients.inspect_ok(move |object| {
        if let Ok(object) = &object.0 {
            let going = object.metadata.deletion_timestamp.is_some();
            // Nobody listens once the issuers' controllers have ended.
            let _ = tell.send(Touched::Object { issuers: needed_by(object).collect(), going });
        }
    });
    let all = stores.personal_clients.clone();
    let of_issuer = stores.personal_clients.clone();
    let look_again = BroadcastStream::new(ctx.look_again.subscribe()).flat_map(move |key| {
        // Who was too slow to hear of one looks at all.
        let key = key.ok().flatten();
        let concerned = of_issuer.state().into_iter().filter(move |o| match (&key, &o.0) {
            (Some(key), Ok(o)) => near(o).any(|near| near == *key),
            _ => true,
        });
        futures::stream::iter(concerned.map(|o| ObjectRef::from_obj(&*o)).collect::<Vec<_>>())
    });
    let main = Controller::for_stream(personal_clients, stores.personal_clients.clone())
        .with_config(controller::Config::default().concurrency(ctx.config.concurrency))
        .watches_stream(secrets, |secret| {
            seen(&secret.metadata).delivered.map(|d| ObjectRef::new(&d.owner.name).within(&d.owner.namespace))
        })
        .watches_stream(namespaces, move |namespace| {
            let name = namespace.name_any();
            let of = all.state().into_iter().filter(|o| o.namespace().as_deref() == Some(&name));
            of.map(|o| ObjectRef::from_obj(&*o)).collect::<Vec<_>>()
        })
        .reconcile_on(look_again)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(personal_client::reconcile, personal_client::error_policy, ctx.clone())
        .for_each(|_| async {})
        .boxed();

    let issuers = issuer_controller::<ClientIssuer>(
        ctx,
        shard.within(client, &watcher::Config::default()),
        (writers.issuers, stores.issuers),
        writers.filling.clone(),
        touched,
        stop,
    );
    let cluster_issuers = issuer_controller::<ClusterClientIssuer>(
        ctx,
        vec![(Api::all(client.clone()), watcher::Config::default())],
        (writers.cluster_issuers, stores.cluster_issuers),
        writers.filling,
        touched,
        stop,
    );
    futures::join!(main, issuers, cluster_issuers);
}

fn issuer_controller<K: IssuerObject>(
    ctx: &Arc<Context>,
    places: Places<DeserializeGuard<K>>,
    (writer, store): (reflector::store::Writer<DeserializeGuard<K>>, reflector::Store<DeserializeGuard<K>>),
    filling: Filling,
    touched: &broadcast::Sender<Touched>,
    stop: &CancellationToken,
) -> BoxFuture<'static, ()> {
    let stream = streams::watch(places, writer, filling, streams::prune);
    let known = store.clone();
    let finalizer = ctx.config.shard.finalizer().to_owned();
    // Only an issuer whose finalizer has to come or go cares; one that is going, of whatever may have been the last to need it.
    let users = BroadcastStream::new(touched.subscribe()).flat_map(move |touched| {
        let all = known.state();
        let concerned = all.iter().filter_map(|issuer| issuer.0.as_ref().ok()).filter(|issuer| match &touched {
            Ok(Touched::Object { issuers, going }) => {
                let deleting = issuer.meta().deletion_timestamp.is_some();
                let held = issuer.finalizers().contains(&finalizer);
                deleting || (issuers.contains(&client_issuer::key(*issuer)) && (*going || !held))
            }
            // Who was too slow to hear of one looks at all.
            Ok(Touched::Clock) | Err(_) => true,
        });
        let concerned = concerned
            .map(|issuer| ObjectRef::<DeserializeGuard<K>>::from_obj_with(&DeserializeGuard(Ok(issuer.clone())), ()));
        futures::stream::iter(concerned.collect::<Vec<_>>())
    });
    Controller::for_stream(stream, store)
        .with_config(controller::Config::default().concurrency(8))
        .reconcile_on(users)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(client_issuer::reconcile::<K>, client_issuer::error_policy::<K>, ctx.clone())
        .for_each(|_| async {})
        .boxed()
}
