//! The fields of a spec, as the CRD has them.

use std::fs;

use serde_json::{Value, json};
use testkit::cluster;

/// A field that people set: a scalar, a list or a map.
pub struct Field {
    /// Below `spec`: `secretTemplate.labels`.
    pub path: String,
    schema: Value,
}

/// Every field of a kind's spec. What has properties of its own is not one: each of those is.
pub fn fields(plural: &str) -> Vec<Field> {
    let file = cluster::root().join(format!("crds/{plural}.yaml"));
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "each version has fields of its own");
    let mut fields = Vec::new();
    collect("", &versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &mut fields);
    fields
}

fn collect(path: &str, schema: &Value, fields: &mut Vec<Field>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            for (name, schema) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, schema, fields);
            }
        }
        None => fields.push(Field { path: path.to_owned(), schema: schema.clone() }),
    }
}

impl Field {
    /// Two values that the schema itself allows; none: nobody can know but who knows what the field is for.
    pub fn good(&self) -> Option<[Value; 2]> {
        if self.schema["type"] == "boolean" {
            return Some([json!(false), json!(true)]);
        }
        let first = self.schema["enum"].get(0)?.clone();
        // Of one value the other is none.
        Some([first, self.schema["enum"].get(1).cloned().unwrap_or_default()])
    }

    /// What the schema itself refuses.
    pub fn bad(&self) -> Vec<Value> {
        let of_other_types = [json!("a"), json!(7), json!(["a"]), json!({"a": "b"}), json!([7]), json!({"a": 7})];
        let mut bad: Vec<Value> = of_other_types.into_iter().filter(|value| !self.admits_type(value)).collect();
        assert!(bad.len() >= 4, "spec.{} takes nearly everything", self.path);
        if !self.schema["enum"].is_null() {
            bad.push(json!("nonsense"));
        }
        for (limit, value) in [("minLength", json!("")), ("minItems", json!([]))] {
            if self.schema[limit].as_u64().is_some_and(|least| least > 0) {
                bad.push(value);
            }
        }
        if let Some(most) = self.schema["maxLength"].as_u64() {
            bad.push(json!("1".repeat(usize::try_from(most).unwrap() + 1)));
        }
        bad
    }

    fn admits_type(&self, value: &Value) -> bool {
        let inside = |schema: &Value, value: &Value| match value {
            Value::String(_) => schema["type"] == "string",
            Value::Number(_) => schema["type"] == "integer",
            _ => false,
        };
        match (self.schema["type"].as_str().unwrap(), value) {
            ("array", Value::Array(items)) => inside(&self.schema["items"], &items[0]),
            ("object", Value::Object(map)) => inside(&self.schema["additionalProperties"], &map["a"]),
            _ => inside(&self.schema, value),
        }
    }
}

#[test]
fn the_fields_and_what_their_schema_says_of_them() {
    let fields = fields("personalclients");
    let field = |path: &str| fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(field("deletionPolicy").good().unwrap(), [json!("Delete"), json!("Retain")]);
    assert!(field("expires").good().is_none());
    for (path, bad) in [
        ("deletionPolicy", json!("nonsense")),
        ("deletionPolicy", json!(7)),
        ("allowSourceCidr", json!([7])),
        ("allowSourceCidr", json!([])),
        ("secretTemplate.labels", json!({"a": 7})),
        ("displayName", json!("")),
        ("displayName", json!("1".repeat(129))),
    ] {
        assert!(field(path).bad().contains(&bad), "{path} {bad}");
    }
    assert!(!field("secretTemplate.labels").bad().contains(&json!({"a": "b"})));
}
