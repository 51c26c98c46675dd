//! A Secret, decoded.

use std::{collections::BTreeMap, fmt, ops::Index};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

/// A Secret, decoded. Its `Debug` shows the keys only.
#[derive(Clone, PartialEq)]
pub struct SecretData {
    /// Name, namespace, labels, annotations, resourceVersion, uid.
    pub metadata: ObjectMeta,
    /// Its type.
    pub type_: String,
    /// What it holds.
    pub data: BTreeMap<String, String>,
}

impl SecretData {
    /// `clientId`, or nothing.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.get("clientId").unwrap_or_default()
    }

    /// `clientSecret`, or nothing.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        self.get("clientSecret").unwrap_or_default()
    }

    /// A key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.data.get(key).map(String::as_str)
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// A label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Its version at the API server.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
}

impl From<Secret> for SecretData {
    fn from(secret: Secret) -> Self {
        let data = secret.data.unwrap_or_default().into_iter();
        Self {
            metadata: secret.metadata,
            type_: secret.type_.unwrap_or_default(),
            data: data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect(),
        }
    }
}

impl Index<&str> for SecretData {
    type Output = String;

    fn index(&self, key: &str) -> &String {
        self.data.get(key).unwrap_or_else(|| panic!("the Secret has no key {key}: {self:?}"))
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.keys().collect();
        f.debug_struct("SecretData")
            .field("name", &self.metadata.name)
            .field("namespace", &self.metadata.namespace)
            .field("resource_version", &self.metadata.resource_version)
            .field("type", &self.type_)
            .field("keys", &keys)
            .finish()
    }
}
