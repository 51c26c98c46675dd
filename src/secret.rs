//! The Secret: what it holds, what it says of itself, and how it is read and written without ever being logged or cached.
//!
//! No `Api<Secret>`: its `Debug` shows the data, and the client logs bodies that it cannot parse. Writes ask for metadata
//! back; the few reads of data go into buffers that are wiped.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, header};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client,
    api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ObjectMeta, PartialObjectMeta},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    api::{
        DELIVERED_ANNOTATION, FENCE_ANNOTATION, FIELD_MANAGER, IssuedClient, MANAGED_LABEL, SecretTemplate,
        secret_template::{TemplateError, render},
    },
    plan::{Content, Delivered, SecretSeen, digest, template_digest},
};

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What logs in.
pub struct Credential {
    /// The OAuth 2.0 client id.
    pub client_id: String,
    /// The secret, wiped when dropped.
    pub client_secret: SecretString,
    /// `https://host/auth/v1/token`
    pub token_url: String,
    /// `https://host`
    pub server_url: String,
}

impl Credential {
    /// Digest of the four keys, by which an alteration is seen.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&[&self.client_id, self.client_secret.expose_secret(), &self.token_url, &self.server_url])
    }

    fn value<'a>(&'a self, client: &'a IssuedClient, expires: &'a str, name: &str) -> Option<&'a str> {
        Some(match name {
            "clientId" => &self.client_id,
            "clientSecret" => self.client_secret.expose_secret(),
            "tokenUrl" => &self.token_url,
            "serverUrl" => &self.server_url,
            "id" => &client.id,
            "host" => &client.host,
            "expiresTime" => expires,
            _ => return None,
        })
    }

    /// All keys of the Secret: the four, and what the template adds.
    ///
    /// # Errors
    /// When the template cannot be rendered; the CRD refuses such a one first.
    pub fn render(&self, template: Option<&SecretTemplate>, client: &IssuedClient) -> Result<Data, TemplateError> {
        let expires = client.expires_time.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
        let mut data = Data::new();
        for name in crate::api::SECRET_KEYS {
            let value = self.value(client, &expires, name).unwrap_or_default();
            data.insert(name.into(), Zeroizing::new(value.as_bytes().to_vec()));
        }
        for (key, text) in template.and_then(|t| t.data.as_ref()).into_iter().flatten() {
            // A kilobyte more than the text: room for a secret, so that the buffer does not grow and leave copies.
            let mut value = Zeroizing::new(Vec::with_capacity(text.len() + 1024));
            render(text, |name| self.value(client, &expires, name), |piece| value.extend_from_slice(piece.as_bytes()))?;
            data.insert(key.clone(), value);
        }
        Ok(data)
    }
}

/// The data of a Secret.
pub type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// A Secret with its data. It cannot be printed.
pub struct Read {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its type.
    pub type_: String,
    /// Its data.
    pub data: Data,
}

impl Read {
    /// A key as text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.data.get(key)?).ok()
    }

    /// The credential in it, if all four keys are there.
    #[must_use]
    pub fn credential(&self) -> Option<Credential> {
        Some(Credential {
            client_id: self.text("clientId")?.into(),
            client_secret: self.text("clientSecret")?.into(),
            token_url: self.text("tokenUrl")?.into(),
            server_url: self.text("serverUrl")?.into(),
        })
    }
}

/// A Secret's metadata, as `plan` sees them; the content counts as unread.
#[must_use]
pub fn seen(metadata: &ObjectMeta) -> SecretSeen {
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    SecretSeen {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        delivered: annotations.remove(DELIVERED_ANNOTATION).and_then(|text| serde_json::from_str(&text).ok()),
        fence: annotations.remove(FENCE_ANNOTATION),
        annotations,
        content: Content::Unread,
    }
}

/// Whether a Secret that was read is as it was delivered, and as the template wants it now.
#[must_use]
pub fn content(read: &Read, seen: &SecretSeen, template: Option<&SecretTemplate>) -> Content {
    let Some(delivered) = &seen.delivered else { return Content::Unread };
    let Some(credential) = read.credential().filter(|c| c.digest() == delivered.data_digest) else {
        return Content::Altered;
    };
    let data = credential.render(template, &delivered.client).is_ok_and(|wanted| wanted == read.data);
    let has = |have: &BTreeMap<String, String>, want: Option<&BTreeMap<String, String>>| {
        want.into_iter().flatten().all(|(k, v)| have.get(k) == Some(v))
    };
    let labels = has(&seen.labels, template.and_then(|t| t.labels.as_ref()))
        && seen.labels.get(MANAGED_LABEL).is_some_and(|v| v == "true");
    let annotations = has(&seen.annotations, template.and_then(|t| t.annotations.as_ref()));
    let current = delivered.template.digest == template_digest(template) && delivered.template.type_ == read.type_;
    Content::Intact { rendered: data && labels && annotations && current }
}

/// A Secret to be written.
pub struct Write<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its template.
    pub template: Option<&'a SecretTemplate>,
    /// What it says of itself.
    pub delivered: &'a Delivered,
    /// All of its keys.
    pub data: &'a Data,
    /// The version to replace; `None`: it is created.
    pub over: Option<&'a SecretSeen>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Value,
    #[serde(rename = "type")]
    type_: &'a str,
    data: BTreeMap<&'a str, Base64<'a>>,
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(STANDARD.encode(self.0)))
    }
}

impl Write<'_> {
    /// The whole object. What others put on the Secret stays; what an earlier template of ours put there goes.
    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut labels = self.over.map(|s| s.labels.clone()).unwrap_or_default();
        let mut annotations = self.over.map(|s| s.annotations.clone()).unwrap_or_default();
        if let Some(before) = self.over.and_then(|s| s.delivered.as_ref()) {
            labels.retain(|k, _| !before.template.labels.contains(k));
            annotations.retain(|k, _| !before.template.annotations.contains(k));
        }
        labels.extend(self.template.and_then(|t| t.labels.clone()).into_iter().flatten());
        annotations.extend(self.template.and_then(|t| t.annotations.clone()).into_iter().flatten());
        labels.insert(MANAGED_LABEL.into(), "true".into());
        annotations.insert(DELIVERED_ANNOTATION.into(), serde_json::to_string(self.delivered)?);
        if let Some(fence) = self.over.and_then(|s| s.fence.clone()) {
            annotations.insert(FENCE_ANNOTATION.into(), fence);
        }
        let mut metadata =
            json!({"namespace": self.namespace, "name": self.name, "labels": labels, "annotations": annotations});
        if let Some(over) = self.over {
            metadata["uid"] = json!(over.uid);
            metadata["resourceVersion"] = json!(over.resource_version);
        }
        // Room for all, so that it does not grow and leave copies behind.
        let size: usize = self.data.iter().map(|(k, v)| k.len() + v.len() * 2 + 16).sum();
        let mut bytes = Vec::with_capacity(size + metadata.to_string().len() + 1024);
        serde_json::to_writer(
            &mut bytes,
            &Body {
                api_version: "v1",
                kind: "Secret",
                metadata,
                type_: &self.delivered.template.type_,
                data: self.data.iter().map(|(k, v)| (k.as_str(), Base64(v))).collect(),
            },
        )?;
        Ok(bytes)
    }
}

/// The Secrets of a cluster, without their data unless asked for.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn request(namespace: &str) -> kube::core::Request {
        kube::core::Request::new(<Secret as kube::Resource>::url_path(&(), Some(namespace)))
    }

    async fn metadata(&self, mut request: Request<Vec<u8>>) -> Result<ObjectMeta, kube::Error> {
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(METADATA_ONLY));
        let object: PartialObjectMeta<Secret> = self.client.request(request).await?;
        Ok(object.metadata)
    }

    /// Metadata by name; `None`: there is none.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, kube::Error> {
        let request = Self::request(namespace).get(name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
        absent(self.metadata(request).await)
    }

    /// A Secret with its data; `None`: there is none.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<Read>, kube::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: ObjectMeta,
            #[serde(default, rename = "type")]
            type_: String,
            #[serde(default)]
            data: BTreeMap<String, SecretString>,
        }
        let request = Self::request(namespace).get(name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
        let Some(text) = absent(self.client.request_text(request).await)?.map(Zeroizing::new) else { return Ok(None) };
        let object: Object = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        let mut data = Data::new();
        for (key, value) in object.data {
            // The API server answers only base64.
            let value = STANDARD.decode(value.expose_secret()).unwrap_or_default();
            data.insert(key, Zeroizing::new(value));
        }
        Ok(Some(Read { metadata: object.metadata, type_: object.type_, data }))
    }

    /// Writes a Secret: creates it, or replaces exactly the version that was seen.
    ///
    /// # Errors
    /// When the API server does not answer or refuses; 409 when the Secret is another by now.
    pub async fn write(&self, write: &Write<'_>, dry_run: bool) -> Result<ObjectMeta, kube::Error> {
        let body = write.body().map_err(kube::Error::SerdeError)?;
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let request = Self::request(write.namespace);
        let request = match write.over {
            None => request.create(&params, body),
            Some(_) => request.replace(write.name, &params, body),
        };
        self.metadata(request.map_err(kube::Error::BuildRequest)?).await
    }

    /// Writes annotations, conditional on the version that was seen.
    ///
    /// # Errors
    /// As [`Secrets::write`].
    pub async fn annotate(
        &self,
        namespace: &str,
        name: &str,
        over: &SecretSeen,
        annotations: Value,
    ) -> Result<ObjectMeta, kube::Error> {
        let patch = json!({"metadata": {"uid": over.uid, "resourceVersion": over.resource_version, "annotations": annotations}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
        let request =
            Self::request(namespace).patch(name, &params, &Patch::Merge(patch)).map_err(kube::Error::BuildRequest)?;
        self.metadata(request).await
    }

    /// Deletes exactly the version that was seen.
    ///
    /// # Errors
    /// As [`Secrets::write`].
    pub async fn delete(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), kube::Error> {
        let preconditions = Preconditions { uid: Some(uid.into()), resource_version: Some(resource_version.into()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..Default::default() };
        let mut request = Self::request(namespace).delete(name, &params).map_err(kube::Error::BuildRequest)?;
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(METADATA_ONLY));
        self.client.request_text(request).await.map(drop)
    }
}

fn absent<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::IssuerRef,
        plan::{RenderedTemplate, SecretOwner},
    };

    fn credential() -> Credential {
        Credential {
            client_id: "a@h/pcc".into(),
            client_secret: "hush".into(),
            token_url: "https://h/auth/v1/token".into(),
            server_url: "https://h".into(),
        }
    }

    fn client() -> IssuedClient {
        IssuedClient {
            id: "a".into(),
            client_id: "a@h/pcc".into(),
            attempt: "x".into(),
            issuer_ref: IssuerRef::default(),
            host: "h".into(),
            user_id: "u".into(),
            display_name: "d".into(),
            created_at: None,
            expires_time: None,
            scoped_roles: vec![],
            allow_source_cidr: vec![],
            requested: String::new(),
        }
    }

    fn template(label: &str) -> SecretTemplate {
        SecretTemplate {
            labels: Some([(label.to_owned(), "v".to_owned())].into()),
            data: Some([("ENV".to_owned(), "{{ clientId }}={{clientSecret}}".to_owned())].into()),
            ..Default::default()
        }
    }

    fn delivered(template: &SecretTemplate) -> Delivered {
        Delivered {
            owner: SecretOwner { namespace: "ns".into(), name: "n".into(), uid: "1".into() },
            cluster: "c".into(),
            client: client(),
            asked: String::new(),
            answers: None,
            data_digest: credential().digest(),
            template: RenderedTemplate::of(Some(template), None),
            replaces: vec![],
        }
    }

    #[test]
    fn renders_the_four_keys_and_the_template() {
        let data = credential().render(Some(&template("l")), &client()).unwrap();
        assert_eq!(
            data.keys().map(String::as_str).collect::<Vec<_>>(),
            ["ENV", "clientId", "clientSecret", "serverUrl", "tokenUrl"]
        );
        assert_eq!(data["ENV"].as_slice(), b"a@h/pcc=hush");
    }

    #[test]
    fn a_write_keeps_what_others_put_there_and_drops_an_old_template() {
        let (old, new) = (template("old"), template("new"));
        let over = SecretSeen {
            uid: "u".into(),
            resource_version: "7".into(),
            labels: [("old".to_owned(), "v".to_owned()), ("theirs".to_owned(), "x".to_owned())].into(),
            annotations: BTreeMap::new(),
            delivered: Some(delivered(&old)),
            fence: Some("f".into()),
            content: Content::Unread,
        };
        let data = credential().render(Some(&new), &client()).unwrap();
        let write = Write {
            namespace: "ns",
            name: "n",
            template: Some(&new),
            delivered: &delivered(&new),
            data: &data,
            over: Some(&over),
        };
        let body: Value = serde_json::from_slice(&write.body().unwrap()).unwrap();
        assert_eq!(body["metadata"]["labels"], json!({"new": "v", "theirs": "x", "iam.conductor.one/managed": "true"}));
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert_eq!(body["metadata"]["annotations"][FENCE_ANNOTATION], "f");
        assert_eq!(body["data"]["clientSecret"], STANDARD.encode("hush"));
    }

    #[test]
    fn an_altered_secret_is_seen() {
        let template = template("l");
        let metadata = ObjectMeta {
            labels: Some([("l".to_owned(), "v".to_owned()), (MANAGED_LABEL.to_owned(), "true".to_owned())].into()),
            annotations: Some(
                [(DELIVERED_ANNOTATION.to_owned(), serde_json::to_string(&delivered(&template)).unwrap())].into(),
            ),
            ..Default::default()
        };
        let seen = seen(&metadata);
        let data = credential().render(Some(&template), &client()).unwrap();
        let mut read = Read { metadata, type_: "Opaque".into(), data };
        assert_eq!(content(&read, &seen, Some(&template)), Content::Intact { rendered: true });
        // Somebody has made it anew: what it says of its type has to be written again.
        read.type_ = "example.com/another".into();
        assert_eq!(content(&read, &seen, Some(&template)), Content::Intact { rendered: false });
        read.type_ = "Opaque".into();
        assert_eq!(content(&read, &seen, None), Content::Intact { rendered: false });
        read.data.insert("more".into(), Zeroizing::new(vec![1]));
        assert_eq!(content(&read, &seen, Some(&template)), Content::Intact { rendered: false });
        read.data.insert("clientSecret".into(), Zeroizing::new(b"x".to_vec()));
        assert_eq!(content(&read, &seen, Some(&template)), Content::Altered);
        read.data.remove("clientSecret");
        assert_eq!(content(&read, &seen, Some(&template)), Content::Altered);
    }
}
