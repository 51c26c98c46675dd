//! What is not known of C1 is a switch, so that a test can run with either answer.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The switches, set on the command line and moved at run time through the admin port.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[command(next_help_heading = "Switches (also at run time: PATCH /switches)")]
pub struct Switches {
    /// What a get of a deleted client answers
    #[arg(long, value_name = "ANSWER", default_value = "404")]
    pub get_after_delete: GetAfterDelete,

    /// Whether an update may change expiresTime
    #[arg(long, value_name = "ANSWER", default_value = "refuse")]
    pub update_expires: Consent,

    /// What becomes of the access tokens of a deleted client
    #[arg(long, value_name = "FATE", default_value = "die")]
    pub deleted_tokens: TokenFate,

    /// How list treats paging
    #[arg(long, value_name = "MODE", default_value = "ignore")]
    pub list_paging: ListPaging,

    /// What search answers to someone who is no Super Administrator
    #[arg(long, value_name = "ANSWER", default_value = "forbidden")]
    pub search_by_non_admin: NonAdminSearch,

    /// Longest display name, in characters (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_display_name: usize,

    /// What happens to a longer display name
    #[arg(long, value_name = "ANSWER", default_value = "refuse")]
    pub long_display_name: LongDisplayName,

    /// Seconds that an access token lives
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub token_lifetime: u32,

    /// Most clients of one user that are not deleted, the bootstrap client included (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_clients_per_user: usize,

    /// Whether updates are possible at all
    #[arg(long, value_name = "ANSWER", default_value = "accept")]
    pub update_policy: Consent,

    /// Milliseconds added to every call of the tenant's API
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub latency_ms: u64,
}

impl Switches {
    /// These switches with some of them replaced; unknown names and values are refused.
    pub fn patched(&self, patch: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut switches = serde_json::to_value(self)?;
        if let Value::Object(fields) = &mut switches {
            fields.extend(patch);
        }
        serde_json::from_value(switches)
    }
}

/// The answer to a get of a deleted client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum GetAfterDelete {
    /// 404
    #[value(name = "404")]
    #[serde(rename = "404")]
    NotFound,
    /// 200 with deletedAt set
    #[value(name = "deletedAt")]
    #[serde(rename = "deletedAt")]
    DeletedAt,
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consent {
    /// 400
    Refuse,
    /// done
    Accept,
}

/// What becomes of the access tokens of a deleted client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenFate {
    /// they work until they expire
    Live,
    /// 401 from then on
    Die,
}

/// How list treats `page_size` and `page_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ListPaging {
    /// one page holds all
    Ignore,
    /// always the first 25 and always a nextPageToken, whatever is asked: a list that is never complete
    Gap,
    /// both are honoured
    Page,
}

/// What search answers to someone who is no Super Administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NonAdminSearch {
    /// 403
    Forbidden,
    /// the caller's own clients
    Own,
}

/// What happens to a display name that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LongDisplayName {
    /// cut to the limit
    Truncate,
    /// 400
    Refuse,
}
