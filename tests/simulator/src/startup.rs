//! Puts the simulator together and says where it is.

use std::{
    error::Error,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    admin,
    app::App,
    args::Args,
    secrets_file::SecretsFile,
    server,
    state_file::StateFile,
    tenant::{Estate, Host, Refusal, Tenant},
    tls::Authority,
};

/// Addresses at which tests and a cluster's pods reach the simulator.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "10.244.0.1"];

/// The one line on standard output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    url: String,
    host: String,
    /// Where it really listens, which a host of another name does not tell.
    listen_address: SocketAddr,
    ca_file: String,
    admin_url: String,
    client_id: String,
    /// None after a restart: the secret was shown when the client was made.
    client_secret: Option<String>,
    user_id: String,
}

/// Where the two ports are.
struct Addresses {
    tenant: SocketAddr,
    admin: SocketAddr,
}

/// Runs until a signal ends it.
pub async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(args.listen).await?;
    let admin_listener = TcpListener::bind(args.admin).await?;
    let addresses = Addresses { tenant: listener.local_addr()?, admin: admin_listener.local_addr()? };
    let host = Host::new(args.host.unwrap_or_else(|| format!("localhost:{}", addresses.tenant.port())));

    let mut names: Vec<String> = OWN_NAMES.iter().map(|&name| name.to_owned()).collect();
    if !names.iter().any(|name| name == host.name()) {
        names.push(host.name().to_owned());
    }
    let tls = Authority::open(&args.dir)?.server(names.clone())?;

    let estate = args.state.as_deref().map(StateFile::load).transpose()?.flatten();
    let mut tenant = Tenant::open(estate.unwrap_or_else(Estate::found), host, names, args.switches);
    let secrets = SecretsFile::open(args.secrets_file.as_deref())?;
    let announcement = announce(&mut tenant, &secrets, &args.dir, &addresses)?;
    let app = Arc::new(App::new(tenant, secrets, args.state.map(StateFile::new)));
    app.persist().await;

    tokio::spawn(server::serve(listener, tls, app.clone()));
    tokio::spawn(axum::serve(admin_listener, admin::router(app.clone())).into_future());
    let signals = Signals::catch()?;
    // Only now: whoever reads the line may call at once, or end us.
    writeln!(io::stdout(), "{}", serde_json::to_string(&announcement)?)?;
    signals.wait().await;
    app.persist().await;
    Ok(())
}

/// Finds the bootstrap client of the first user, or makes it.
fn announce(
    tenant: &mut Tenant,
    secrets: &SecretsFile,
    dir: &Path,
    addresses: &Addresses,
) -> Result<Announcement, Box<dyn Error>> {
    let refused = |refusal: Refusal| refusal.to_string();
    let user_id = tenant.first_user().map_err(refused)?.id.clone();
    let known = tenant.clients().find(|(_, client)| client.bootstrap && client.user_id == user_id).map(|(at, _)| at);
    let (position, client_secret) = if let Some(position) = known {
        (position, None)
    } else {
        let (position, secret) = tenant.create_bootstrap(&user_id).map_err(refused)?;
        secrets.note(&secret);
        (position, Some(secret))
    };
    let host = tenant.host().authority().to_owned();
    Ok(Announcement {
        url: format!("https://{host}"),
        host,
        listen_address: addresses.tenant,
        ca_file: dir.join("ca.pem").canonicalize()?.display().to_string(),
        admin_url: format!("http://{}", addresses.admin),
        client_id: tenant.client_at(position).client_id.clone(),
        client_secret,
        user_id,
    })
}

/// SIGTERM and SIGINT, which from now on wait to be asked for.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over from the system, which would end the process at once.
    pub fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Until one of them comes.
    pub async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
