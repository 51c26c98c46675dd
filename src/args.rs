//! The command line. Every flag is also an environment variable.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{
    api::{Overlap, duration},
    controller::shard::Shard,
    leader,
    plan::Timing,
};

/// Issues ConductorOne personal clients for Kubernetes, and owns their whole life.
#[derive(Debug, Parser)]
#[command(name = "c1-operator", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the CRDs, or write them into a directory, a file each.
    Crds {
        /// Directory to write to.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Name of this cluster in the markers of clients at C1, followed there by a digest of the cluster's id.
    #[arg(long, env = "C1_OPERATOR_CLUSTER_NAME", default_value = "kubernetes", value_parser = cluster_name)]
    pub cluster_name: String,

    /// Id of this cluster in the markers, instead of the UID of namespace kube-system: set another one on a restored copy of
    /// a cluster, so that the copy does not take the original's clients for its own.
    #[arg(long, env = "C1_OPERATOR_CLUSTER_ID")]
    pub cluster_id: Option<String>,

    /// The operator's own namespace, where ClusterClientIssuers find their Secrets.
    #[arg(long, env = "C1_OPERATOR_NAMESPACE", default_value = "c1-system")]
    pub namespace: String,

    /// Hosts (HOST or HOST:PORT) that issuers may name beside *.conductor.one and *.c1eu.ai.
    #[arg(long, env = "C1_OPERATOR_ALLOWED_HOST", value_delimiter = ',')]
    pub allowed_host: Vec<String>,

    /// Let namespaced ClientIssuers name the --allowed-host hosts, too.
    #[arg(long, env = "C1_OPERATOR_ALLOWED_HOST_NAMESPACED")]
    pub allowed_host_namespaced: bool,

    /// Address of /metrics, /livez and /readyz.
    #[arg(long, env = "C1_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// What is logged: a level, or a filter such as `c1_operator=debug,kube=warn`.
    #[arg(long, env = "C1_OPERATOR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// How it is logged.
    #[arg(long, env = "C1_OPERATOR_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// The longest that C1 may take to answer a create.
    #[arg(long, env = "C1_OPERATOR_CREATE_TIMEOUT", default_value = "30s", value_parser = duration::parse)]
    pub create_timeout: Duration,

    /// The longest that a new credential may take to be written into its Secret, with all retries. After it the client is
    /// deleted again.
    #[arg(long, env = "C1_OPERATOR_DELIVERY_TIMEOUT", default_value = "90s", value_parser = duration::parse)]
    pub delivery_timeout: Duration,

    /// How long after both of these an attempt whose outcome is unknown is judged.
    #[arg(long, env = "C1_OPERATOR_ATTEMPT_GRACE", default_value = "1m", value_parser = duration::parse)]
    pub attempt_grace: Duration,

    /// How long C1 may take to show a new client everywhere; a younger one is never taken for deleted.
    #[arg(long, env = "C1_OPERATOR_SETTLE_TIME", default_value = "10m", value_parser = duration::parse)]
    pub settle_time: Duration,

    /// How long a replaced client lives on, so that consumers can move to the new one, where a PersonalClient does not say.
    #[arg(long, env = "C1_OPERATOR_OVERLAP", default_value = "1h", value_parser = duration::parse)]
    pub overlap: Duration,

    /// How long it lives on at most while C1 shows that it is still used, where a PersonalClient does not say.
    #[arg(long, env = "C1_OPERATOR_MAX_OVERLAP", default_value = "168h", value_parser = duration::parse)]
    pub max_overlap: Duration,

    /// How often C1's list of clients is read, where the issuer does not say.
    #[arg(long, env = "C1_OPERATOR_INVENTORY_INTERVAL", default_value = "5m", value_parser = duration::parse)]
    pub inventory_interval: Duration,

    /// Act only while holding a Lease, so that of several replicas one acts.
    #[arg(long, env = "C1_OPERATOR_LEADER_ELECT", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub leader_elect: bool,

    /// Name of that Lease, in the operator's own namespace.
    #[arg(long, env = "C1_OPERATOR_LEASE_NAME", default_value = "c1-operator")]
    pub lease_name: String,

    /// How this process is called there (a pod: its name); something random is added. Absent: the host's name.
    #[arg(long, env = "C1_OPERATOR_IDENTITY")]
    pub identity: Option<String>,

    /// How long another replica waits after a renewal before it takes the Lease.
    #[arg(long, env = "C1_OPERATOR_LEASE_DURATION", default_value = "15s", value_parser = duration::parse)]
    pub lease_duration: Duration,

    /// How long after its last renewal the leader stops acting; shorter than --lease-duration.
    #[arg(long, env = "C1_OPERATOR_RENEW_DEADLINE", default_value = "10s", value_parser = duration::parse)]
    pub renew_deadline: Duration,

    /// Between tries to take or renew the Lease; shorter than --renew-deadline.
    #[arg(long, env = "C1_OPERATOR_RETRY_PERIOD", default_value = "2s", value_parser = duration::parse)]
    pub retry_period: Duration,

    /// File with the manifest of a ClusterClientIssuer that is applied at start, server-side and without force; it is never
    /// deleted.
    #[arg(long, env = "C1_OPERATOR_DEFAULT_ISSUER")]
    pub default_issuer: Option<PathBuf>,

    /// Serve only these namespaces, so that no right to the Secrets of others is needed. Absent: all.
    #[arg(long, env = "C1_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Serve only PersonalClients whose labels meet this selector (`shard=a`, `shard notin (a,b)`), so that several operators
    /// share a cluster. Each needs a --lease-name of its own.
    #[arg(long, env = "C1_OPERATOR_WATCH_LABEL_SELECTOR")]
    pub watch_label_selector: Option<String>,

    /// How many PersonalClients are worked on at once.
    #[arg(long, env = "C1_OPERATOR_CONCURRENCY", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
}

impl RunArgs {
    /// The deadlines of the protocol.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing {
            budget: self.create_timeout + self.delivery_timeout,
            grace: self.attempt_grace,
            // Two clocks may differ by five minutes before they count as off.
            skew: self.attempt_grace + Duration::from_mins(5),
            settle: self.settle_time,
            overlap: Overlap { least: self.overlap, most: self.max_overlap },
        }
    }

    /// Which part of the cluster is served.
    #[must_use]
    pub fn shard(&self) -> Shard {
        let name = format!("{}/{}", self.namespace, self.lease_name);
        Shard::new(&self.watch_namespaces, self.watch_label_selector.as_deref(), &name)
    }

    /// How the election is held; none: this process asks nobody.
    ///
    /// # Errors
    /// When a leader could act on after another took over.
    pub fn election(&self) -> Result<Option<leader::Settings>, String> {
        if !self.leader_elect {
            return Ok(None);
        }
        let ordered = self.retry_period < self.renew_deadline && self.renew_deadline < self.lease_duration;
        if !ordered || self.retry_period < Duration::from_millis(100) {
            return Err(
                "--retry-period must be 100ms or more and shorter than --renew-deadline, and that than --lease-duration".into(),
            );
        }
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        Ok(Some(leader::Settings {
            namespace: self.namespace.clone(),
            name: self.lease_name.clone(),
            // A container that starts anew in the same pod is another candidate.
            identity: format!("{}_{:08x}", self.identity.clone().unwrap_or_else(host), u32::from_ne_bytes(random)),
            lease_duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
        }))
    }
}

/// It becomes a part of the marker: a DNS label, not too long.
fn cluster_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && (1..=32).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("at most 32 lower-case letters, digits and hyphens".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_is_also_an_environment_variable() {
        Cli::command().debug_assert();
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for flag in run.get_arguments().filter(|a| a.get_long().is_some_and(|l| l != "help")) {
            let name = format!("C1_OPERATOR_{}", flag.get_long().unwrap().to_uppercase().replace('-', "_"));
            assert_eq!(flag.get_env().and_then(|e| e.to_str()), Some(name.as_str()));
        }
    }

    #[test]
    fn cluster_names_are_labels() {
        assert!(cluster_name("prod-1").is_ok());
        for bad in ["", "Prod", "a/b", "a b", "-a", "a]", &"x".repeat(33)] {
            assert!(cluster_name(bad).is_err(), "{bad}");
        }
    }
}
