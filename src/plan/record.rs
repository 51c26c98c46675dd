//! What we write down: the attempts on the `PersonalClient`, and on the Secret whose client it holds.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{marker, observed::current_secret, wanted::template_digest};
use crate::{
    api::{IssuedClient, IssuerRef, PersonalClient, RECORD_ANNOTATION, RetiringClient, SecretTemplate},
    c1::Client,
};

/// How many abandoned attempts, and former Secrets, are remembered, and for how long: a create may land long after its caller gave up.
const MOST_ABANDONED: usize = 10;
const LONGEST_ABANDONED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The write-ahead log of a `PersonalClient`, in one annotation. A client is deleted only when its attempt stands here
/// (or in status, or in the Secret): the proof that we asked for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The attempt that was begun last. It is *open* while neither status nor Secret carries it; closing needs no write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenAttempt>,
    /// Attempts whose clients must not live: nobody has their secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<AbandonedAttempt>,
    /// The move that was begun last. It is under way while status does not name its Secret; ending needs no write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving: Option<FormerSecret>,
    /// Other Secrets than the current one that may hold a client of ours: it moves, or has moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<FormerSecret>,
}

/// A Secret that we may have written, or may still write, under a name that is not, or not yet, the current one. Only what stands here is
/// deleted: that a Secret says it is ours is no proof, it may be somebody's copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerSecret {
    /// Its name.
    pub secret_name: String,
    /// Since when.
    pub since: Timestamp,
}

/// An attempt that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenAttempt {
    /// Its random name, as in the marker.
    pub attempt: String,
    /// When it was begun, by the operator's clock.
    pub started_at: Timestamp,
    /// The issuer that was asked.
    pub issuer_ref: IssuerRef,
    /// Host of the tenant.
    pub host: String,
    /// As which C1 user.
    pub user_id: String,
    /// The Secret that it was for.
    pub secret_name: String,
    /// The request for a new credential that it answers: the one that stood on the object when it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

/// An attempt that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AbandonedAttempt {
    /// Its random name, as in the marker.
    pub attempt: String,
    /// The issuer that was asked: what it makes late comes to light there.
    #[serde(default)]
    pub issuer_ref: IssuerRef,
    /// When it was given up.
    pub since: Timestamp,
}

impl Record {
    /// The record of an object. One that cannot be read (somebody edited it) counts as empty: what it named becomes an
    /// orphan, which is reported; nothing is deleted without proof.
    #[must_use]
    pub fn of(object: &PersonalClient) -> Self {
        let text = object.metadata.annotations.as_ref().and_then(|a| a.get(RECORD_ANNOTATION));
        text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    /// What was begun last, an attempt or a move, and when, as one text.
    #[must_use]
    pub fn begun(&self) -> Option<String> {
        let attempt = self.open.as_ref().map(|o| (&o.attempt, o.started_at));
        let begun = attempt.or_else(|| self.moving.as_ref().map(|m| (&m.secret_name, m.since)));
        begun.map(|(what, since)| format!("{what} {since}"))
    }

    /// Whether this attempt was given up.
    #[must_use]
    pub fn is_abandoned(&self, attempt: &str) -> bool {
        self.abandoned.iter().any(|a| a.attempt == attempt)
    }

    /// The attempts that were given up lately.
    pub fn lately(&self, now: Timestamp) -> impl Iterator<Item = &AbandonedAttempt> {
        self.abandoned.iter().filter(move |a| now.duration_since(a.since) < LONGEST_ABANDONED)
    }

    /// The record after the open attempt was given up.
    #[must_use]
    pub fn burnt(&self, now: Timestamp) -> Self {
        let abandoned = self.abandoned_with(self.open.as_ref().map(|o| (&o.attempt, &o.issuer_ref)), now);
        Self { open: None, abandoned, ..self.clone() }
    }

    /// The record after this attempt at an issuer was given up, also when somebody took it away meanwhile.
    #[must_use]
    pub fn giving_up(&self, attempt: &String, issuer_ref: &IssuerRef, now: Timestamp) -> Self {
        let open = self.open.clone().filter(|o| o.attempt != *attempt);
        let abandoned = self.abandoned_with(Some((attempt, issuer_ref)), now);
        Self { open, abandoned, ..self.clone() }
    }

    /// The record after this attempt was given up, whose maker may have delivered, or may yet, to this Secret: if that is not
    /// the one that counts, it must not stay.
    #[must_use]
    pub fn leaving(
        &self,
        attempt: &String,
        issuer_ref: &IssuerRef,
        secret_name: &str,
        object: &PersonalClient,
        now: Timestamp,
    ) -> Self {
        let record = self.giving_up(attempt, issuer_ref, now);
        if current_secret(object, &record) == secret_name {
            return record;
        }
        record.remembering([secret_name], now)
    }

    /// The record that remembers these Secrets as well: a maker that stands still may write them as long as an abandoned attempt
    /// is remembered.
    #[must_use]
    pub fn remembering<'a>(mut self, secret_names: impl IntoIterator<Item = &'a str>, now: Timestamp) -> Self {
        self.elsewhere.retain(|e| now.duration_since(e.since) < LONGEST_ABANDONED);
        for name in secret_names {
            self.elsewhere.retain(|e| e.secret_name != name);
            self.elsewhere.push(FormerSecret { secret_name: name.into(), since: now });
        }
        let surplus = self.elsewhere.len().saturating_sub(MOST_ABANDONED);
        self.elsewhere.drain(..surplus);
        self
    }

    /// The abandoned attempts, and this one: the newest, and none that is too old for a late create.
    fn abandoned_with(&self, attempt: Option<(&String, &IssuerRef)>, now: Timestamp) -> Vec<AbandonedAttempt> {
        let known = self.abandoned.iter().filter(|a| now.duration_since(a.since) < LONGEST_ABANDONED).cloned();
        let new = attempt.map(|(attempt, issuer_ref)| AbandonedAttempt {
            attempt: attempt.clone(),
            issuer_ref: issuer_ref.clone(),
            since: now,
        });
        let mut abandoned: Vec<_> = known.chain(new).collect();
        let surplus = abandoned.len().saturating_sub(MOST_ABANDONED);
        abandoned.drain(..surplus);
        abandoned
    }
}

/// What the Secret says of itself, in one annotation: whose it is and which client it holds. With it a crash after the
/// Secret was written, and before status was, costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// The `PersonalClient` that owns the Secret.
    pub owner: SecretOwner,
    /// The cluster, as in the marker.
    pub cluster: String,
    /// The client whose credential it holds.
    pub client: IssuedClient,
    /// Digest of what the spec asked when the client was made.
    pub asked: String,
    /// The request for a new credential that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// Digest of the four keys.
    pub data_digest: String,
    /// What the template put there.
    pub template: RenderedTemplate,
    /// Clients that this Secret held before, or that it still owes an end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<RetiringClient>,
}

impl Delivered {
    /// Whether the Secret is of the object with this owner part in its markers, or of an earlier one of its name.
    #[must_use]
    pub fn is_of(&self, owner: &str) -> bool {
        let own = marker::owner(&self.cluster, &self.owner.namespace, &self.owner.name);
        marker::owner_id(&own) == marker::owner_id(owner)
    }
}

/// The owner of a Secret. No owner reference: the garbage collector would delete a restored Secret, whose owner has a new
/// UID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretOwner {
    /// Its namespace: a copy of the Secret elsewhere is not ours.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What the template put on a Secret, so that what it no longer says can be taken away again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RenderedTemplate {
    /// Digest of the template.
    pub digest: String,
    /// Keys of its labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Keys of its annotations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
    /// The Secret's type, which it keeps whatever the template says later.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
}

impl RenderedTemplate {
    /// What this template puts into a new Secret, or into one where another has put this before.
    #[must_use]
    pub fn of(template: Option<&SecretTemplate>, before: Option<&Self>) -> Self {
        let kept = before.map(|before| before.type_.as_str()).filter(|kept| !kept.is_empty());
        let keys =
            |map: Option<&BTreeMap<String, String>>| map.into_iter().flatten().map(|(key, _)| key.clone()).collect();
        Self {
            digest: template_digest(template),
            labels: keys(template.and_then(|t| t.labels.as_ref())),
            annotations: keys(template.and_then(|t| t.annotations.as_ref())),
            type_: kept.unwrap_or_else(|| type_of(template)).to_owned(),
        }
    }

    /// The Secret's type, as far as it is known, when this template asks for another.
    #[must_use]
    pub fn unlike(&self, template: Option<&SecretTemplate>) -> Option<&str> {
        Some(self.type_.as_str()).filter(|is| !is.is_empty() && *is != type_of(template))
    }
}

fn type_of(template: Option<&SecretTemplate>) -> &str {
    template.and_then(|t| t.type_.as_deref()).unwrap_or("Opaque")
}

/// A Secret, as far as its metadata tell. Never its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSeen {
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, without the two that follow.
    pub annotations: BTreeMap<String, String>,
    /// What it says of itself; none: no Secret of ours.
    pub delivered: Option<Delivered>,
    /// The attempt that may not deliver here any more.
    pub fence: Option<String>,
    /// Whether its data are as they were delivered.
    pub content: Content,
}

/// Whether a Secret's data are as they were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Not read.
    Unread,
    /// The four keys are; `rendered` tells whether the whole is what the template says now.
    Intact {
        /// The whole Secret is what the template says now.
        rendered: bool,
    },
    /// They are not.
    Altered,
}

/// Whether an object answers for a client with its marker. Whoever uses the client of an open attempt has its secret, which
/// we do not: that one will not be abandoned, only reported.
#[must_use]
pub fn claims(object: &PersonalClient, client: &Client, attempt: &str) -> bool {
    let (record, status) = (Record::of(object), object.status.as_ref());
    let open = record.open.as_ref().is_some_and(|o| o.attempt == attempt) && client.last_used_at.is_none();
    let current = status.and_then(|s| s.client.as_ref()).is_some_and(|c| c.id == client.id || c.attempt == attempt);
    let retires = status.is_some_and(|s| s.retiring.iter().any(|r| r.id == client.id || r.attempt == attempt));
    open || record.is_abandoned(attempt) || current || retires
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::PersonalClientSpec;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn burning_moves_the_open_attempt_and_keeps_the_newest_ten() {
        let open = OpenAttempt {
            attempt: "new".into(),
            started_at: at(0),
            issuer_ref: IssuerRef::default(),
            host: "h".into(),
            user_id: "u".into(),
            secret_name: "s".into(),
            answers: None,
        };
        let given_up = |attempt: usize| AbandonedAttempt {
            attempt: attempt.to_string(),
            issuer_ref: IssuerRef::default(),
            since: at(100),
        };
        let abandoned = (0..12).map(given_up).collect();
        let burnt = Record { open: Some(open), abandoned, ..Record::default() }.burnt(at(200));
        assert_eq!(burnt.open, None);
        assert_eq!(burnt.abandoned.len(), 10);
        assert!(burnt.is_abandoned("new") && burnt.is_abandoned("11") && !burnt.is_abandoned("2"));
    }

    #[test]
    fn burning_forgets_what_is_older_than_a_week() {
        let old = AbandonedAttempt { attempt: "old".into(), issuer_ref: IssuerRef::default(), since: at(0) };
        let record = Record { abandoned: vec![old], ..Record::default() };
        assert!(record.burnt(at(3600)).is_abandoned("old"));
        assert!(!record.burnt(at(8 * 24 * 3600)).is_abandoned("old"));
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000).prop_map(at)
    }

    fn issuer() -> impl Strategy<Value = IssuerRef> {
        "[a-z]{1,8}".prop_map(|name| IssuerRef { name, ..IssuerRef::default() })
    }

    fn former() -> impl Strategy<Value = FormerSecret> {
        ("\\PC{0,12}", time()).prop_map(|(secret_name, since)| FormerSecret { secret_name, since })
    }

    fn records() -> impl Strategy<Value = Record> {
        let text = || "\\PC{0,12}";
        let open = (text(), time(), issuer(), prop::array::uniform3(text()), prop::option::of(text())).prop_map(
            |(attempt, started_at, issuer_ref, [host, user_id, secret_name], answers)| OpenAttempt {
                attempt,
                started_at,
                issuer_ref,
                host,
                user_id,
                secret_name,
                answers,
            },
        );
        let given_up = (text(), issuer(), time()).prop_map(|(attempt, issuer_ref, since)| AbandonedAttempt {
            attempt,
            issuer_ref,
            since,
        });
        let abandoned = prop::collection::vec(given_up, 0..4);
        let elsewhere = prop::collection::vec(former(), 0..4);
        (prop::option::of(open), abandoned, prop::option::of(former()), elsewhere)
            .prop_map(|(open, abandoned, moving, elsewhere)| Record { open, abandoned, moving, elsewhere })
    }

    fn with(record: String) -> PersonalClient {
        let annotations = BTreeMap::from([(RECORD_ANNOTATION.to_owned(), record)]);
        let mut object = PersonalClient::new("deployer", PersonalClientSpec::default());
        object.metadata.annotations = Some(annotations);
        object
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(record in records()) {
            let object = with(serde_json::to_string(&record).unwrap());
            prop_assert_eq!(Record::of(&object), record);
        }

        /// Somebody edited it.
        #[test]
        fn a_record_of_any_text_never_panics(record in records(), cut in 0_usize..400, text in "\\PC*") {
            let written = serde_json::to_string(&record).unwrap();
            let _ = Record::of(&with(written.get(..cut.min(written.len())).unwrap_or(&written).to_owned()));
            let _ = Record::of(&with(text));
        }
    }
}
