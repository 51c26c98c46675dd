//! Where a tenant is, and whether this operator may call it: a namespace must not be able to make it call anything else.

use super::context::Config;
use crate::api::client_issuer::TenantSpec;

/// C1's own domains.
const C1_DOMAINS: [&str; 2] = [".conductor.one", ".c1eu.ai"];

/// Where a tenant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `host[:port]`, as in client ids.
    pub host: String,
    /// `https://host[:port]`
    pub base: String,
}

/// Where the tenant is: a bare name is one of `conductor.one`, with a dot it is a host; addresses and ports only by `url`.
#[must_use]
pub fn address(tenant: &TenantSpec) -> Option<Address> {
    let host = match (&tenant.tenant_domain, &tenant.url) {
        (Some(domain), None) if domain.contains('.') => domain.clone(),
        (Some(domain), None) => format!("{domain}.conductor.one"),
        (None, Some(url)) => {
            let uri: http::Uri = url.parse().ok()?;
            let https = uri.scheme_str().is_some_and(|s| s.eq_ignore_ascii_case("https"));
            let authority = uri.authority().filter(|a| https && !a.as_str().contains('@'))?;
            if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/")) {
                return None;
            }
            authority.as_str().strip_suffix(":443").unwrap_or(authority.as_str()).to_ascii_lowercase()
        }
        _ => return None,
    };
    Some(Address { base: format!("https://{host}"), host })
}

/// Whether an issuer may name this host.
#[must_use]
pub fn allowed(host: &str, namespaced: bool, config: &Config) -> bool {
    let c1 = C1_DOMAINS.iter().any(|domain| host.strip_suffix(domain).is_some_and(|tenant| !tenant.is_empty()));
    let listed = config.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    c1 || (listed && (!namespaced || config.allowed_hosts_namespaced))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        api::{Overlap, client_issuer::IssuerAuth},
        c1::Deadlines,
        controller::shard::Shard,
        plan::Timing,
    };

    fn tenant(domain: Option<&str>, url: Option<&str>) -> TenantSpec {
        TenantSpec {
            tenant_domain: domain.map(Into::into),
            url: url.map(Into::into),
            ca_bundle: None,
            auth: IssuerAuth { oauth: None, bearer: None },
            defaults: None,
            orphan_policy: None,
            inventory_interval: None,
        }
    }

    fn config() -> Config {
        let zero = Duration::ZERO;
        Config {
            cluster: "c".into(),
            namespace: "c1-system".into(),
            allowed_hosts: vec!["localhost:8443".into()],
            allowed_hosts_namespaced: false,
            timing: Timing {
                budget: zero,
                grace: zero,
                skew: zero,
                settle: zero,
                overlap: Overlap { least: zero, most: zero },
            },
            deadlines: Deadlines { create: zero, call: zero },
            inventory_interval: zero,
            concurrency: 1,
            shard: Shard::new(&[], None, ""),
        }
    }

    #[test]
    fn finds_the_host() {
        let host = |domain, url| address(&tenant(domain, url)).map(|a| a.host);
        assert_eq!(host(Some("acme"), None).as_deref(), Some("acme.conductor.one"));
        assert_eq!(host(Some("acme.c1eu.ai"), None).as_deref(), Some("acme.c1eu.ai"));
        assert_eq!(host(None, Some("https://LocalHost:8443/")).as_deref(), Some("localhost:8443"));
        assert_eq!(host(None, Some("https://acme.conductor.one:443")).as_deref(), Some("acme.conductor.one"));
        for bad in [
            "http://a.conductor.one",
            "https://user@a.conductor.one",
            "https://a.conductor.one/x",
            "https://a?b",
            "nonsense",
        ] {
            assert_eq!(host(None, Some(bad)), None, "{bad}");
        }
    }

    #[test]
    fn only_c1_and_listed_hosts_are_allowed() {
        let config = config();
        for good in ["acme.conductor.one", "acme.c1eu.ai"] {
            assert!(allowed(good, true, &config), "{good}");
        }
        for bad in [
            "evil.example",
            "conductor.one.evil.example",
            "evilconductor.one",
            ".conductor.one",
            "169.254.169.254",
            "acme.conductor.one:444",
        ] {
            assert!(!allowed(bad, false, &config), "{bad}");
        }
        assert!(allowed("localhost:8443", false, &config) && !allowed("localhost:8443", true, &config));
        let config = Config { allowed_hosts_namespaced: true, ..config };
        assert!(allowed("localhost:8443", true, &config));
    }
}
