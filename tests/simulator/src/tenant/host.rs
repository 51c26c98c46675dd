//! The host of a tenant, as client ids hold it.

/// `name` or `name:port`.
#[derive(Clone, Debug)]
pub struct Host(String);

impl Host {
    /// The host as it was given.
    pub fn new(authority: String) -> Self {
        Self(authority)
    }

    /// With its port, if it has one.
    pub fn authority(&self) -> &str {
        &self.0
    }

    /// Without its port: what an assertion's audience holds.
    pub fn name(&self) -> &str {
        name(&self.0)
    }

    /// The client id of a personal client.
    pub fn client_id(&self, id: &str) -> String {
        format!("{id}@{}/pcc", self.0)
    }
}

/// The name of the host in a client id, without port.
pub fn name_in(client_id: &str) -> Option<&str> {
    let (_, rest) = client_id.split_once('@')?;
    rest.split_once('/').map(|(authority, _)| name(authority))
}

fn name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_has_no_port() {
        assert_eq!(Host::new("localhost:8443".into()).name(), "localhost");
        assert_eq!(Host::new("acme.example".into()).name(), "acme.example");
        assert_eq!(name_in("blue-whale-12345@acme.example:444/pcc"), Some("acme.example"));
        assert_eq!(name_in("blue-whale-12345"), None);
    }
}
