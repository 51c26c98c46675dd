//! Wire types, read tolerantly: C1 renders every field, lists as `[]` and unset times as `null`.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::paging::Identified;
use crate::api::{IssuedClient, IssuerRef};

/// A personal client, as C1 shows it. Never its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Client {
    /// Its id, the path parameter of the API.
    pub id: String,
    /// The OAuth 2.0 client id, `<id>@<host>/pcc`.
    pub client_id: String,
    /// The only free field; it ends with our marker.
    pub display_name: String,
    /// The user as whom it acts.
    pub user_id: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it expires; `None`: never.
    pub expires_time: Option<Timestamp>,
    /// When it last got a token; may lag.
    pub last_used_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Ids of its roles; empty: all of the user's.
    #[serde(deserialize_with = "null_as_empty")]
    pub scoped_roles: Vec<String>,
    /// Networks from which it may be used; empty: all.
    #[serde(deserialize_with = "null_as_empty")]
    pub allow_source_cidr: Vec<String>,
}

impl Client {
    /// The client as status and Secret name it.
    #[must_use]
    pub fn issued(self, attempt: &str, issuer_ref: &IssuerRef, host: &str, requested: &str) -> IssuedClient {
        IssuedClient {
            id: self.id,
            client_id: self.client_id,
            attempt: attempt.into(),
            issuer_ref: issuer_ref.clone(),
            host: host.into(),
            user_id: self.user_id,
            display_name: self.display_name,
            // Cut to whole seconds, as Kubernetes stores times: what is computed of them is the same before and after; and a
            // client is never taken to live longer than it does.
            created_at: self.created_at.map(|t| Time(crate::api::condition::to_seconds(t))),
            expires_time: self.expires_time.map(|t| Time(crate::api::condition::to_seconds(t))),
            scoped_roles: self.scoped_roles,
            allow_source_cidr: self.allow_source_cidr,
            requested: requested.into(),
        }
    }
}

/// What can be changed of a client in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Its display name.
    DisplayName,
    /// Its roles.
    ScopedRoles,
    /// Its networks.
    AllowSourceCidr,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DisplayName, Self::ScopedRoles, Self::AllowSourceCidr];

    /// Its name in C1's API, the mask of an update, and `spec`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DisplayName => "displayName",
            Self::ScopedRoles => "scopedRoles",
            Self::AllowSourceCidr => "allowSourceCidr",
        }
    }
}

/// A change of a client in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRequest {
    /// Id of the client.
    pub id: String,
    /// What changes; the others stay as they are.
    pub fields: Vec<Field>,
    /// Display name, with the marker.
    pub display_name: String,
    /// Role ids; empty: all rights of the user.
    pub scoped_roles: Vec<String>,
    /// Networks; empty: all.
    pub allow_source_cidr: Vec<String>,
}

impl UpdateRequest {
    /// The body. The mask is a protobuf `FieldMask` in JSON: camelCase paths, relative to the client, joined by commas.
    pub(super) fn body(&self) -> Value {
        let value = |field| match field {
            Field::DisplayName => json!(self.display_name),
            Field::ScopedRoles => json!(self.scoped_roles),
            Field::AllowSourceCidr => json!(self.allow_source_cidr),
        };
        let client: Map<String, Value> =
            self.fields.iter().map(|field| (field.as_str().to_owned(), value(*field))).collect();
        let mask: Vec<&str> = self.fields.iter().map(|field| field.as_str()).collect();
        json!({"client": client, "updateMask": mask.join(",")})
    }
}

/// What a client is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    /// Display name, with the marker.
    pub display_name: String,
    /// Lifetime, written as a protobuf duration; `None`: it never expires.
    #[serde(serialize_with = "protobuf_duration", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Duration>,
    /// Role ids; empty: all rights of the user.
    pub scoped_roles: Vec<String>,
    /// Networks; empty: all.
    pub allow_source_cidr: Vec<String>,
}

/// The answer to a create: the only time that the secret is shown.
#[derive(Debug)]
pub struct Created {
    /// The client.
    pub client: Client,
    /// Its secret, wiped when dropped.
    pub secret: SecretString,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateAnswer {
    pub client: Option<Client>,
    pub client_secret: Option<SecretString>,
}

impl CreateAnswer {
    /// What was made. Without id or secret it is nothing that could be delivered, and may have been made all the same.
    pub fn created(self) -> Option<Created> {
        let client = self.client.filter(|client| !client.id.is_empty())?;
        let secret = self.client_secret.filter(|secret| !secret.expose_secret().is_empty())?;
        Some(Created { client, secret })
    }
}

#[derive(Deserialize)]
pub(super) struct ClientAnswer {
    pub client: Option<Client>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(super) struct Page<T> {
    #[serde(default, deserialize_with = "null_as_empty")]
    pub list: Vec<T>,
    #[serde(default)]
    pub next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Role {
    pub id: String,
    #[serde(default)]
    pub name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Introspection {
    pub user_id: String,
}

impl Identified for Client {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Role {
    fn id(&self) -> &str {
        &self.id
    }
}

fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// `3600s`: the JSON form of `google.protobuf.Duration`. C1 refuses `1h`.
#[allow(clippy::ref_option)] // serde's signature
fn protobuf_duration<S: serde::Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => to.serialize_str(&format!("{}s", duration.as_secs())),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_is_a_protobuf_duration() {
        let request = CreateRequest {
            display_name: "x".into(),
            expires: Some(Duration::from_hours(720)),
            scoped_roles: vec![],
            allow_source_cidr: vec![],
        };
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"displayName": "x", "expires": "2592000s", "scopedRoles": [], "allowSourceCidr": []})
        );
    }

    #[test]
    fn an_update_holds_what_its_mask_names() {
        let request = UpdateRequest {
            id: "a".into(),
            fields: vec![Field::DisplayName, Field::AllowSourceCidr],
            display_name: "x".into(),
            scoped_roles: vec!["r".into()],
            allow_source_cidr: vec![],
        };
        let body =
            json!({"client": {"displayName": "x", "allowSourceCidr": []}, "updateMask": "displayName,allowSourceCidr"});
        assert_eq!(request.body(), body);
    }

    #[test]
    fn nulls_and_unknown_fields_are_read() {
        let client: Client = serde_json::from_str(
            r#"{"id":"a","clientId":"a@h/pcc","displayName":"d","userId":"u","scopedRoles":null,"expiresTime":null,"createdAt":"2026-01-02T03:04:05.123456789Z","new":1}"#,
        )
        .unwrap();
        assert_eq!(client.expires_time, None);
        assert!(client.created_at.is_some() && client.scoped_roles.is_empty());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let answer: CreateAnswer = serde_json::from_str(r#"{"client":{"id":"a"},"clientSecret":"hush"}"#).unwrap();
        let created = answer.created().unwrap();
        assert_eq!((created.client.id.as_str(), created.secret.expose_secret()), ("a", "hush"));
        assert!(!format!("{created:?}").contains("hush"));
    }

    #[test]
    fn an_answer_without_client_or_secret_is_no_client() {
        for body in [
            r#"{"client":{"id":"a"}}"#,
            r#"{"client":{"id":"a"},"clientSecret":null}"#,
            r#"{"client":{"id":"a"},"clientSecret":""}"#,
            r#"{"client":{"id":""},"clientSecret":"hush"}"#,
            r#"{"client":{},"clientSecret":"hush"}"#,
            r#"{"client":null,"clientSecret":"hush"}"#,
            r#"{"clientSecret":"hush"}"#,
            "{}",
        ] {
            let answer: CreateAnswer = serde_json::from_str(body).unwrap();
            assert!(answer.created().is_none(), "{body}");
        }
    }
}
