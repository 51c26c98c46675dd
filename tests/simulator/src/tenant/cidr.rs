//! Networks from which a client may be used.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Refusal;

/// Most networks of one client. Documented for other credentials of C1; assumed for these.
const MAX: usize = 32;

/// An IPv4 or IPv6 network that keeps the text in which it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    text: String,
    network: IpNet,
}

impl Cidr {
    /// A client's list of networks.
    pub fn list(texts: Vec<String>) -> Result<Vec<Self>, Refusal> {
        if texts.len() > MAX {
            return Err(Refusal::invalid(format!("value must contain no more than {MAX} item(s)")));
        }
        texts.into_iter().map(|text| Self::try_from(text).map_err(Refusal::invalid)).collect()
    }

    /// Whether the list admits an address; an empty one admits all.
    pub fn admits(list: &[Self], peer: IpAddr) -> bool {
        // A listener on [::] sees IPv4 peers as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        list.is_empty() || list.iter().any(|cidr| cidr.network.contains(&peer))
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(|network| Self { text: text.clone(), network }).map_err(|_| format!("{text:?} is no CIDR"))
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.text
    }
}
