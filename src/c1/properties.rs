//! C1's bodies, whatever is in them: nothing panics, and what is well formed is read as it was written.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    error::message,
    types::{Client, ClientAnswer, CreateAnswer, CreateRequest, Introspection, Page, Role},
};

/// Of the fields that are read.
const NAMES: &[&str] = &[
    "id",
    "clientId",
    "displayName",
    "userId",
    "createdAt",
    "expiresTime",
    "scopedRoles",
    "allowSourceCidr",
    "list",
    "nextPageToken",
    "client",
    "clientSecret",
    "access_token",
    "expires_in",
    "name",
];

/// JSON of any shape, that often has the right names.
fn wire() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::string::string_regex("[a-z0-9@/:.TZ-]{0,24}").unwrap().prop_map(Value::from),
        Just(Value::from("2026-01-02T03:04:05.123456789Z")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(NAMES), inner, 0..5).prop_map(|map| map
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((0..4_000_000_000_i64, 0..1_000_000_000_i32).prop_map(|(s, ns)| Timestamp::new(s, ns).unwrap()))
}

proptest! {
    /// Whatever a tenant answers, it is read or refused.
    #[test]
    fn no_body_of_any_shape_panics(value in wire(), cut in 0_usize..200) {
        let text = value.to_string();
        let body = text.get(..cut.min(text.len())).unwrap_or(&text);
        for body in [body, &text] {
            let _ = serde_json::from_str::<Client>(body);
            let _ = serde_json::from_str::<CreateAnswer>(body).map(CreateAnswer::created);
            let _ = serde_json::from_str::<ClientAnswer>(body);
            let _ = serde_json::from_str::<Page<Client>>(body);
            let _ = serde_json::from_str::<Page<Role>>(body);
            let _ = serde_json::from_str::<Introspection>(body);
            let _ = message(body.as_bytes());
        }
    }

    #[test]
    fn a_client_is_read_as_it_was_written(
        texts in prop::array::uniform4("\\PC{0,20}"),
        times in prop::array::uniform4(time()),
        lists in prop::array::uniform2(prop::collection::vec("\\PC{0,12}", 0..3)),
    ) {
        let written = serde_json::json!({
            "id": texts[0], "clientId": texts[1], "displayName": texts[2], "userId": texts[3],
            "createdAt": times[0], "expiresTime": times[1], "lastUsedAt": times[2], "deletedAt": times[3],
            "scopedRoles": lists[0], "allowSourceCidr": lists[1],
        });
        let [id, client_id, display_name, user_id] = texts;
        let [created_at, expires_time, last_used_at, deleted_at] = times;
        let [scoped_roles, allow_source_cidr] = lists;
        let client = Client {
            id, client_id, display_name, user_id, created_at, expires_time, last_used_at, deleted_at,
            scoped_roles, allow_source_cidr,
        };
        prop_assert_eq!(serde_json::from_value::<Client>(written).unwrap(), client);
    }

    /// Whole seconds, and never a unit but the `s` that C1 takes.
    #[test]
    fn a_lifetime_is_written_in_seconds(seconds in any::<u64>()) {
        let request = CreateRequest {
            display_name: String::new(),
            expires: Some(Duration::from_secs(seconds)),
            scoped_roles: vec![],
            allow_source_cidr: vec![],
        };
        let value = serde_json::to_value(request).unwrap();
        prop_assert_eq!(value["expires"].as_str().unwrap().strip_suffix('s').unwrap().parse::<u64>().unwrap(), seconds);
    }
}
