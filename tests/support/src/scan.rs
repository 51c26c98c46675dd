//! P5: no secret stands anywhere but in its Secret. Looks for every secret and token that the tenant ever made, as it is
//! and in every base64, in all that was written. Says where one was found, and never what.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use c1_operator::api::{DELIVERED_ANNOTATION, MANAGED_LABEL};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::TEST_LABEL;

const PREFIX: &str = "secret-token:conductorone.com:v1:";
const HIDDEN: &str = "«secret»";
const SHOWN: usize = 300;

/// Finds the secrets of one tenant.
pub(crate) struct Scanner {
    needles: AhoCorasick,
    /// Which secret a needle belongs to.
    owner: Vec<usize>,
    /// Which secret must not even be in a Secret of ours.
    bootstrap: Option<usize>,
}

impl Scanner {
    /// For these secrets and tokens.
    pub(crate) fn new(secrets: &[String], bootstrap: &str) -> Self {
        let mut needles = Vec::new();
        let mut owner = Vec::new();
        for (number, secret) in secrets.iter().enumerate() {
            for needle in forms(secret) {
                needles.push(needle);
                owner.push(number);
            }
        }
        let needles = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&needles).unwrap();
        Self { needles, owner, bootstrap: secrets.iter().position(|secret| secret == bootstrap) }
    }

    /// The lines of `text` that hold a secret, with the secrets hidden.
    pub(crate) fn lines(&self, place: &str, text: &str) -> Vec<String> {
        if !self.needles.is_match(text) {
            return Vec::new();
        }
        let lines = text.lines().enumerate().filter(|(_, line)| self.needles.is_match(*line));
        lines
            .map(|(number, line)| {
                let mut hidden = String::new();
                self.needles.replace_all_with(line, &mut hidden, |_, _, out| {
                    out.push_str(HIDDEN);
                    true
                });
                let at = hidden.find(HIDDEN).unwrap_or_default();
                let shown: String =
                    hidden.chars().skip(hidden[..at].chars().count().saturating_sub(SHOWN / 2)).take(SHOWN).collect();
                format!("{place}, line {}: …{shown}…", number + 1)
            })
            .collect()
    }

    /// What is wrong with the content of the Secrets, in all their versions.
    pub(crate) fn secrets(&self, versions: &[Secret]) -> Vec<String> {
        let name = |secret: &Secret| format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
        let ours: BTreeSet<String> = versions.iter().filter(|secret| is_ours(secret)).map(name).collect();
        let mut problems = BTreeSet::new();
        let mut holders: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for secret in versions {
            let name = name(secret);
            let metadata = serde_json::to_string(&secret.metadata).unwrap();
            problems.extend(self.lines(&format!("metadata of Secret {name}"), &metadata));
            if secret.labels().contains_key(TEST_LABEL) {
                continue;
            }
            let values = secret.data.iter().flatten();
            let held: BTreeSet<usize> = values.flat_map(|(_, value)| self.found(&value.0)).collect();
            if held.is_empty() {
                continue;
            }
            let issued: BTreeSet<usize> = secret
                .data
                .iter()
                .flatten()
                .filter(|(key, _)| *key == "clientSecret")
                .flat_map(|(_, value)| self.found(&value.0))
                .collect();
            if !ours.contains(&name) {
                problems.insert(format!("Secret {name}, which is not the operator's, holds an issued secret"));
            } else if held != issued || issued.len() != 1 {
                problems.insert(format!("Secret {name} holds another secret than that of its own client"));
            } else if held.iter().any(|number| Some(*number) == self.bootstrap) {
                problems.insert(format!("Secret {name} holds the issuer's own secret"));
            } else if owner(secret).is_some_and(|(namespace, _)| Some(namespace) != secret.namespace()) {
                problems.insert(format!("Secret {name} is in another namespace than its PersonalClient"));
            }
            // Of one object several may hold it, one after the other: its Secret moves.
            let holder = owner(secret).map_or_else(|| name.clone(), |(namespace, name)| format!("{namespace}/{name}"));
            for number in held {
                holders.entry(number).or_default().insert(holder.clone());
            }
        }
        for holders in holders.values().filter(|holders| holders.len() > 1) {
            problems.insert(format!("one secret is in the Secrets of several objects: {holders:?}"));
        }
        problems.into_iter().collect()
    }

    /// Whether the issuer's own secret is found where it is: in the Secret of this name.
    pub(crate) fn knows(&self, versions: &[Secret], name: &str) -> bool {
        let values =
            versions.iter().filter(|secret| secret.name_any() == name).flat_map(|secret| secret.data.iter().flatten());
        self.bootstrap.is_some_and(|number| values.into_iter().any(|(_, value)| self.found(&value.0).contains(&number)))
    }

    fn found(&self, data: &[u8]) -> BTreeSet<usize> {
        self.needles.find_iter(data).map(|hit| self.owner[hit.pattern().as_usize()]).collect()
    }
}

fn is_ours(secret: &Secret) -> bool {
    secret.labels().contains_key(MANAGED_LABEL) || secret.annotations().contains_key(DELIVERED_ANNOTATION)
}

fn owner(secret: &Secret) -> Option<(String, String)> {
    let delivered: Value = serde_json::from_str(secret.annotations().get(DELIVERED_ANNOTATION)?).ok()?;
    let text = |key: &str| delivered["owner"][key].as_str().map(str::to_owned);
    Some((text("namespace")?, text("name")?))
}

/// The secret, the key in it, and both as they look inside anything that was encoded by base64.
fn forms(secret: &str) -> BTreeSet<String> {
    let mut plain = vec![secret.to_owned()];
    if let Some(jwk) = secret.strip_prefix(PREFIX) {
        plain.push(jwk.to_owned());
        let key = URL_SAFE_NO_PAD.decode(jwk).ok().and_then(|jwk| serde_json::from_slice::<Value>(&jwk).ok());
        plain.extend(key.and_then(|key| key["d"].as_str().map(str::to_owned)));
    }
    let encoded = plain.iter().flat_map(|text| (0..3).flat_map(move |shift| encodings(text, shift)));
    let mut forms: BTreeSet<String> = encoded.collect();
    forms.extend(plain);
    forms
}

/// What base64 makes of `text` at an offset of `shift` bytes, without the digits that depend on its neighbours.
fn encodings(text: &str, shift: usize) -> [String; 2] {
    let padded: Vec<u8> = std::iter::repeat_n(b'x', shift).chain(text.bytes()).collect();
    let first = (shift * 4).div_ceil(3);
    let last = padded.len() * 4 / 3;
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].map(|encoded| encoded[first..last].to_owned())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn scanner() -> (Scanner, String) {
        let jwk = URL_SAFE_NO_PAD.encode(r#"{"kty":"OKP","d":"pX2s0v4T8yQm1nB5kR7wZ9cE3gH6jL0a"}"#);
        let secret = format!("{PREFIX}{jwk}");
        (Scanner::new(&["another-secret-token".into(), secret.clone()], "another-secret-token"), secret)
    }

    fn secret(name: &str, client_secret: &str, labels: &Value) -> Secret {
        let mut secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "labels": labels}})).unwrap();
        secret.data = Some([("clientSecret".into(), ByteString(client_secret.into()))].into());
        secret
    }

    #[test]
    fn finds_a_secret_in_every_form_and_does_not_show_it() {
        let (scanner, secret) = scanner();
        let nested = STANDARD.encode(format!("{{\"a\":\"{secret}\"}}"));
        for text in [
            format!("x {secret} y"),
            STANDARD.encode(&secret),
            URL_SAFE_NO_PAD.encode(&secret),
            nested,
            "key pX2s0v4T8yQm1nB5kR7wZ9cE3gH6jL0a".to_owned(),
            secret.trim_start_matches(PREFIX).to_owned(),
        ] {
            let hits = scanner.lines("here", &format!("first\n{text}"));
            assert_eq!(hits.len(), 1, "{text}");
            assert!(hits[0].starts_with("here, line 2: ") && !hits[0].contains("pX2s0v4T8"), "{hits:?}");
        }
        assert_eq!(scanner.lines("here", "nothing\nat all"), Vec::<String>::new());
    }

    #[test]
    fn a_secret_belongs_in_one_secret_of_ours() {
        let (scanner, token) = scanner();
        let ours = json!({MANAGED_LABEL: "true"});
        let problems = |secrets: &[Secret]| scanner.secrets(secrets).len();
        assert_eq!(problems(&[secret("one", &token, &ours), secret("one", &token, &json!({}))]), 0);
        assert_eq!(problems(&[secret("one", &token, &json!({TEST_LABEL: "x"}))]), 0);
        assert_eq!(problems(&[secret("one", &token, &json!({}))]), 1);
        assert_eq!(problems(&[secret("one", &token, &ours), secret("two", &token, &ours)]), 1);
        assert_eq!(problems(&[secret("one", "another-secret-token", &ours)]), 1);
        let mut labelled = secret("one", &token, &ours);
        labelled.metadata.annotations = Some([("note".to_owned(), token.clone())].into());
        assert_eq!(problems(&[labelled]), 1);
    }
}
