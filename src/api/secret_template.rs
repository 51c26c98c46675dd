//! What a Secret holds beside the four keys, and how it is labelled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

/// How the Secret is made: its type, labels, annotations, and keys beside the four that are always there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Type of the Secret: `Opaque` when absent. Types of Kubernetes itself are not allowed. It cannot change while the
    /// Secret keeps its name, because Kubernetes forbids that.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = json!([{
        "rule": "!self.matches('^([^/]*[.])?kubernetes[.]io/')",
        "message": "types of Kubernetes itself are not allowed: leave it out (Opaque), or use a type of your own",
    }])))]
    pub type_: Option<String>,
    /// Labels of the Secret, taken as they are. Keys under kubernetes.io, k8s.io and conductor.one are reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the Secret, taken as they are. Keys under kubernetes.io, k8s.io and conductor.one are reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "annotations_schema")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// More keys of the Secret, beside clientId, clientSecret, tokenUrl and serverUrl. The values are templates:
    /// `{{ clientId }}`, `{{ clientSecret }}`, `{{ tokenUrl }}`, `{{ serverUrl }}`, `{{ id }}`, `{{ host }}` and
    /// `{{ expiresTime }}` (empty when the client never expires) are replaced. A change here renders the Secret anew;
    /// no new credential is made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_schema")]
    pub data: Option<BTreeMap<String, String>>,
}

const RESERVED: &str = "self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|conductor[.]one)/'))";

fn string_map(longest: u32, rules: &serde_json::Value) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": longest},
        "x-kubernetes-validations": rules,
    })
}

fn labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    string_map(
        63,
        &json!([
            {"rule": "self.all(k, !format.qualifiedName().validate(k).hasValue() && !format.labelValue().validate(self[k]).hasValue())",
             "message": "keys and values must be valid Kubernetes labels"},
            {"rule": RESERVED, "message": "label keys under kubernetes.io, k8s.io and conductor.one are reserved"},
        ]),
    )
}

fn annotations_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    string_map(
        4096,
        &json!([
            {"rule": "self.all(k, !format.qualifiedName().validate(k).hasValue())", "message": "keys must be valid annotation keys"},
            {"rule": RESERVED, "message": "annotation keys under kubernetes.io, k8s.io and conductor.one are reserved"},
        ]),
    )
}

fn data_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let known = VARIABLES.join("|");
    let rule = format!("self.all(k, self[k].matches('^([^{{]|[{{][^{{]|[{{]{{2}} *({known}) *}}}})*[{{]?$'))");
    string_map(
        4096,
        &json!([
            {"rule": "self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$') && k != '.' && !k.startsWith('..'))", "message": "keys must be valid Secret keys"},
            {"rule": "self.all(k, !(k in ['clientId', 'clientSecret', 'tokenUrl', 'serverUrl']))",
             "message": "clientId, clientSecret, tokenUrl and serverUrl are always written and cannot be replaced"},
            {"rule": rule,
             "message": format!("a template may use {{{{ name }}}} with one of: {}", VARIABLES.join(", "))},
        ]),
    )
}

/// The names that a template may use.
pub const VARIABLES: [&str; 7] = ["clientId", "clientSecret", "tokenUrl", "serverUrl", "id", "host", "expiresTime"];

/// A template that cannot be rendered. It names the mistake, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("\"{{{{\" is not closed by \"}}}}\"")]
    Unclosed,
    /// Another name than [`VARIABLES`].
    #[error("unknown name \"{0}\"; known are clientId, clientSecret, tokenUrl, serverUrl, id, host, expiresTime")]
    Unknown(String),
}

/// Replaces each `{{ name }}` by what `value` says of it, and hands every piece to `push`: the caller chooses a buffer
/// that is wiped.
///
/// # Errors
/// When the template names what `value` does not know, or leaves a `{{` open.
pub fn render<'v>(
    template: &str,
    value: impl Fn(&str) -> Option<&'v str>,
    mut push: impl FnMut(&str),
) -> Result<(), TemplateError> {
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once("{{") {
        push(literal);
        let (name, tail) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
        let name = name.trim();
        push(value(name).ok_or_else(|| TemplateError::Unknown(name.chars().take(40).collect()))?);
        rest = tail;
    }
    push(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(template: &str) -> Result<String, TemplateError> {
        let mut out = String::new();
        render(template, |name| VARIABLES.iter().find(|v| **v == name).copied(), |piece| out.push_str(piece))?;
        Ok(out)
    }

    #[test]
    fn replaces_names_and_keeps_the_rest() {
        assert_eq!(rendered("{{ clientId }}:{{clientSecret}} {x} } {"), Ok("clientId:clientSecret {x} } {".into()));
        assert_eq!(rendered("plain"), Ok("plain".into()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(rendered("{{ clientId"), Err(TemplateError::Unclosed));
        assert_eq!(rendered("{{ password }}"), Err(TemplateError::Unknown("password".into())));
    }

    proptest! {
        #[test]
        fn never_panics(template in "\\PC*") {
            let _ = rendered(&template);
        }

        /// Literals stay what they are, and each name becomes its value, however it is spaced.
        #[test]
        fn every_piece_is_rendered_as_it_is_written(
            pieces in prop::collection::vec(("[^{}]{0,10}", prop::sample::select(&VARIABLES[..]), " {0,2}"), 0..6),
            end in "[^{}]{0,10}",
        ) {
            let (mut template, mut expected) = (String::new(), String::new());
            for (literal, name, space) in pieces {
                template += &[&*literal, "{{", &space, name, &space, "}}"].concat();
                expected += &[&*literal, name].concat();
            }
            prop_assert_eq!(rendered(&(template + &end)), Ok(expected + &end));
        }
    }
}
