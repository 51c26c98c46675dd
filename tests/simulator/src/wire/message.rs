//! The messages of `PersonalClientService`. Reading is as strict as protobuf's JSON: unknown fields are refused,
//! `snake_case`, `null` and an empty body are not. Writing leaves nothing out.

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::timestamp::WireTime;
use crate::tenant::{Cidr, Client, Refusal};

/// Reads a request's body; an empty one is an empty message.
pub fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refusal> {
    match body.trim_ascii().first() {
        None => return Ok(T::default()),
        Some(b'{') => {}
        // serde would take an array for the fields in their order.
        Some(_) => return Err(Refusal::invalid("failed to unmarshal body: unexpected token")),
    }
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(format!("failed to unmarshal body: {error}")))
}

/// A message without fields.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// What Create reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CreateRequest {
    /// A name for people; not unique.
    #[serde(alias = "display_name")]
    pub display_name: Option<String>,
    /// Lifetime from now, a protobuf duration; absent: for ever.
    pub expires: Option<String>,
    /// Ids of IAM roles; empty: no narrowing.
    #[serde(alias = "scoped_roles")]
    pub scoped_roles: Option<Vec<String>>,
    /// Networks that may use it; empty: all.
    #[serde(alias = "allow_source_cidr")]
    pub allow_source_cidr: Option<Vec<String>>,
}

/// What Update reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpdateRequest {
    /// The new values.
    pub client: Option<ClientInput>,
    /// Which of them count.
    #[serde(alias = "update_mask")]
    pub update_mask: Option<String>,
}

/// A client as a request may hold it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientInput {
    /// See [`CreateRequest`].
    #[serde(alias = "display_name")]
    pub display_name: Option<String>,
    /// See [`CreateRequest`].
    #[serde(alias = "scoped_roles")]
    pub scoped_roles: Option<Vec<String>>,
    /// See [`CreateRequest`].
    #[serde(alias = "allow_source_cidr")]
    pub allow_source_cidr: Option<Vec<String>>,
    /// When it ends; null: never.
    #[serde(alias = "expires_time")]
    pub expires_time: Option<jiff::Timestamp>,
    // Known, so a request may hold them; read-only, so they are not looked at.
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "clientId", alias = "client_id")]
    _client_id: IgnoredAny,
    #[serde(rename = "userId", alias = "user_id")]
    _user_id: IgnoredAny,
    #[serde(rename = "createdAt", alias = "created_at")]
    _created_at: IgnoredAny,
    #[serde(rename = "updatedAt", alias = "updated_at")]
    _updated_at: IgnoredAny,
    #[serde(rename = "deletedAt", alias = "deleted_at")]
    _deleted_at: IgnoredAny,
    #[serde(rename = "lastUsedAt", alias = "last_used_at")]
    _last_used_at: IgnoredAny,
}

/// What Search reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SearchRequest {
    /// Part of the display name.
    pub query: Option<String>,
    /// Owners; empty: all.
    pub users: Option<Vec<UserRef>>,
    /// Rows of a page.
    #[serde(alias = "page_size")]
    pub page_size: Option<i64>,
    /// Which page.
    #[serde(alias = "page_token")]
    pub page_token: Option<String>,
}

/// A user, by id.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserRef {
    /// The id.
    pub id: String,
}

/// What `TestSourceIP` reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TestSourceIpRequest {
    /// The address to test; empty: the caller's.
    #[serde(alias = "source_ip")]
    pub source_ip: Option<String>,
    /// The networks to test it against.
    #[serde(alias = "allow_cidr")]
    pub allow_cidr: Option<Vec<String>>,
}

/// A client as answers hold it: every field, whatever its value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonalClient<'a> {
    id: &'a str,
    client_id: &'a str,
    display_name: &'a str,
    user_id: &'a str,
    scoped_roles: &'a [String],
    allow_source_cidr: &'a [Cidr],
    expires_time: Option<WireTime>,
    created_at: WireTime,
    updated_at: WireTime,
    deleted_at: Option<WireTime>,
    last_used_at: Option<WireTime>,
}

impl<'a> PersonalClient<'a> {
    /// The client with its last use as known at `horizon`: C1 may show it late.
    pub fn seen_at(client: &'a Client, horizon: jiff::Timestamp) -> Self {
        Self {
            id: &client.id,
            client_id: &client.client_id,
            display_name: &client.display_name,
            user_id: &client.user_id,
            scoped_roles: &client.scoped_roles,
            allow_source_cidr: &client.allow_source_cidr,
            expires_time: client.expires_time.map(WireTime),
            created_at: WireTime(client.created_at),
            updated_at: WireTime(client.updated_at),
            deleted_at: client.deleted_at.map(WireTime),
            last_used_at: client.last_used(horizon).map(WireTime),
        }
    }
}

/// What Get and Update answer.
#[derive(Debug, Serialize)]
pub struct ClientResponse<'a> {
    /// The client.
    pub client: PersonalClient<'a>,
}

/// What Create answers, and only once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateResponse<'a> {
    /// The client.
    pub client: PersonalClient<'a>,
    /// Its secret.
    pub client_secret: &'a str,
}

/// A page of anything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListResponse<T> {
    /// The rows.
    pub list: Vec<T>,
    /// Token of the next page; empty after the last.
    pub next_page_token: String,
}
