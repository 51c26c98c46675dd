//! Issue, effect by effect.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{super::*, case::Case, servers::GUARDS};
use crate::{
    api::{
        DeletionPolicy, Expires, PersonalClientStatus, ROTATE_ANNOTATION, Reason, RetiringClient, Rotation,
        SecretTemplate, Workload, WorkloadKind,
    },
    c1::{Client, CreateRequest},
};

const HOUR: Duration = Duration::from_hours(1);

/// An issue that is under way, with what it wants next.
struct Issuing {
    case: Case,
    step: IssueStep,
    next: Next,
}

fn anchor(version: &str) -> Anchor {
    Anchor { uid: "u".into(), resource_version: version.into() }
}

impl Issuing {
    fn start(case: Case) -> Self {
        let step = case.issue();
        let next = Issue::start(step.clone(), case.o.object.clone(), "c".into(), case.o.timing);
        Self { case, step, next }
    }

    /// Of a first credential.
    fn first() -> Self {
        Self::start(Case::new())
    }

    /// Of one that replaces `client-1`, which the Secret holds.
    fn another() -> Self {
        let mut case = Case::ready();
        case.o.object.spec.expires = Some(Expires("1h".into()));
        Self::start(case)
    }

    fn answer(mut self, answer: Answer) -> Self {
        self.next = next(self.next.0, answer, self.case.now, GUARDS);
        self
    }

    fn unknown(self) -> Self {
        self.answer(Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() })
    }

    fn refused(self) -> Self {
        self.answer(Answer::Refused { reason: Reason::SecretRefused, message: "quota".into() })
    }

    fn preflighted(self) -> Self {
        self.answer(Answer::Ids(vec!["role-id".into()]))
    }

    /// The attempt is on record.
    fn intended(self) -> Self {
        let mut issuing = self.preflighted().answer(Answer::Done(anchor("7")));
        let record = issuing.step.record.clone();
        issuing.case.record(&record);
        issuing
    }

    fn client(&self) -> Client {
        Client {
            id: "made".into(),
            display_name: self.step.display_name.clone(),
            user_id: "user".into(),
            created_at: Some(self.case.now),
            ..Client::default()
        }
    }

    fn made(self) -> Self {
        let issuing = self.intended();
        let client = issuing.client();
        issuing.answer(Answer::Created(Box::new(client)))
    }

    fn delivered(self) -> Self {
        self.made().answer(Answer::Done(anchor("8")))
    }

    /// The Secret holds what was made.
    fn secret(&self) -> SecretSeen {
        let mut secret = Case::ready().secret().clone();
        let delivered = secret.delivered.as_mut().unwrap();
        (delivered.client.id, delivered.client.attempt) = ("made".into(), self.step.attempt.clone());
        secret
    }

    fn reads_secret(self, secret: Option<SecretSeen>) -> Self {
        self.answer(Answer::Secret(secret.map_or(SecretView::Absent, |s| SecretView::Present(Box::new(s)))))
    }

    fn reads_object(self) -> Self {
        let object = self.case.o.object.clone();
        self.answer(Answer::Object(Some(Box::new(object))))
    }

    fn effect(&self) -> &Effect {
        self.next.1.as_ref().unwrap_or_else(|| panic!("it has ended: {:?}", self.next.0))
    }

    fn gives_up(&self) -> bool {
        matches!((&self.next.0, self.effect()), (Flight::Abandon(_), Effect::ReadObject))
    }

    fn recorded(&self) -> &PersonalClientStatus {
        match self.effect() {
            Effect::Record { status, .. } => status,
            other => panic!("{other:?}"),
        }
    }

    fn outcome(self) -> Outcome {
        match self.next {
            (Flight::Landed(outcome), None) => *outcome,
            other => panic!("it goes on: {other:?}"),
        }
    }

    /// Why it failed, and whether nothing was sent.
    fn failure(self) -> (Reason, String, bool) {
        match self.outcome() {
            Outcome::Failed { reason, message, unsent } => (reason, message, unsent),
            other => panic!("{other:?}"),
        }
    }
}

fn quota(unsent: bool) -> (Reason, String, bool) {
    (Reason::SecretRefused, "quota".into(), unsent)
}

fn no_answer(unsent: bool) -> (Reason, String, bool) {
    (Reason::Unreachable, "no answer".into(), unsent)
}

/// Whether it is written over, or made anew because somebody has deleted it meanwhile.
#[test]
fn only_a_secret_that_was_there_keeps_another_type() {
    let typed = || {
        let mut case = Case::ready();
        case.o.object.spec.expires = Some(Expires("1h".into()));
        case.o.object.spec.secret_template =
            Some(SecretTemplate { type_: Some("example.com/a".into()), ..SecretTemplate::default() });
        Issuing::start(case).made()
    };
    let over = typed().answer(Answer::Done(anchor("8")));
    assert_eq!(status::ready_reason(over.recorded()), Some(Reason::SecretRefused.as_str()));
    let anew = typed().answer(Answer::Gone).reads_secret(None).reads_object().answer(Answer::Done(anchor("8")));
    assert!(status::is_ready(anew.recorded()), "{:?}", anew.recorded());
}

// Before anything is sent

#[test]
fn what_would_be_refused_is_refused_before_anything_is_sent() {
    let issuing = Issuing::another();
    let Effect::Preflight { roles, secret } = issuing.effect() else { panic!("{:?}", issuing.effect()) };
    assert_eq!((roles, secret), (&issuing.step.wanted.scoped_roles, &issuing.step.secret));
    assert_eq!(Issuing::first().refused().failure(), quota(true));
    assert_eq!(Issuing::first().unknown().failure(), no_answer(true));
    assert_eq!(Issuing::first().answer(Answer::Conflict).outcome(), Outcome::LookAgain { unsent: true });
}

#[test]
fn the_attempt_is_written_down_on_the_version_that_was_decided_on() {
    let issuing = Issuing::first().preflighted();
    let Effect::Intend { at, record } = issuing.effect() else { panic!("{:?}", issuing.effect()) };
    assert_eq!((at, record), (&Anchor::of(&issuing.case.o.object), &issuing.step.record));
    assert_eq!(Issuing::first().preflighted().refused().failure(), quota(true));
    for lost in [Answer::Conflict, Answer::Gone, Answer::OutOfTime] {
        assert_eq!(Issuing::first().preflighted().answer(lost).outcome(), Outcome::LookAgain { unsent: true });
    }
    assert_eq!(Issuing::first().preflighted().unknown().outcome(), Outcome::LookAgain { unsent: true });
}

// The create

#[test]
fn c1_is_asked_for_what_the_spec_asks() {
    let mut case = Case::new();
    case.o.object.spec.expires = Some(Expires("2h".into()));
    case.o.object.spec.allow_source_cidr = Some(vec!["10.0.0.0/8".into()]);
    let issuing = Issuing::start(case).intended();
    let Effect::Create(request) = issuing.effect() else { panic!("{:?}", issuing.effect()) };
    assert_eq!(
        *request,
        CreateRequest {
            display_name: issuing.step.display_name.clone(),
            expires: Some(2 * HOUR),
            scoped_roles: vec!["role-id".into()],
            allow_source_cidr: vec!["10.0.0.0/8".into()],
        }
    );
    let mut case = Case::new();
    case.o.object.spec.expires = Some(Expires("never".into()));
    let issuing = Issuing::start(case).intended();
    assert!(matches!(issuing.effect(), Effect::Create(CreateRequest { expires: None, .. })));
}

#[test]
fn a_create_that_failed_is_not_repeated() {
    assert_eq!(Issuing::first().intended().refused().failure(), quota(true));
    assert_eq!(Issuing::first().intended().unknown().failure(), no_answer(false));
    assert_eq!(Issuing::first().intended().answer(Answer::OutOfTime).outcome(), Outcome::LookAgain { unsent: false });
}

/// Without its marker nobody would find the client again.
#[test]
fn a_client_whose_name_was_cut_goes_at_once() {
    let cut = || {
        let issuing = Issuing::first().intended();
        let client = Client { display_name: "cut".into(), ..issuing.client() };
        issuing.answer(Answer::Created(Box::new(client)))
    };
    let is_delete = |issuing: &Issuing| matches!(issuing.effect(), Effect::DeleteClient { id } if id == "made");
    assert!(is_delete(&cut()));
    assert!(is_delete(&cut().unknown()), "as long as there is time");
    assert!(is_delete(&cut().refused()));
    assert!(is_delete(&cut().answer(Answer::Gone)), "C1 may not know it yet");
    let (reason, message, unsent) = cut().answer(Answer::Done(anchor("9"))).failure();
    assert_eq!((reason, unsent), (Reason::MarkerTruncated, true));
    assert!(!message.contains("by hand"), "{message}");
    let (reason, message, unsent) = cut().answer(Answer::OutOfTime).failure();
    assert_eq!((reason, unsent), (Reason::MarkerTruncated, false));
    assert!(message.contains("client made may live on: delete it by hand"), "{message}");
}

// The delivery

#[test]
fn the_secret_says_what_it_holds_and_replaces() {
    let issuing = Issuing::another().made();
    let Effect::Deliver { delivered, over } = issuing.effect() else { panic!("{:?}", issuing.effect()) };
    assert_eq!(*over, issuing.step.secret, "on what was seen");
    assert_eq!((delivered.client.id.as_str(), &delivered.client.attempt), ("made", &issuing.step.attempt));
    assert_eq!((delivered.owner.namespace.as_str(), delivered.owner.name.as_str()), ("ci", "deployer"));
    assert_eq!((delivered.owner.uid.as_str(), delivered.cluster.as_str()), ("uid", "c"));
    assert_eq!(delivered.asked, asked(&issuing.case.o.object));
    let replaced: Vec<_> = delivered.replaces.iter().map(|r| (r.id.as_str(), r.since.0)).collect();
    assert_eq!(replaced, [("client-1", issuing.case.now)]);
}

#[test]
fn a_delivery_that_is_refused_or_too_late_is_given_up() {
    assert!(Issuing::first().made().refused().gives_up());
    assert!(Issuing::first().made().answer(Answer::OutOfTime).gives_up());
}

#[test]
fn a_delivery_that_may_have_failed_is_looked_at() {
    for issuing in [Issuing::first().made().unknown(), Issuing::first().made().answer(Answer::Conflict)] {
        assert_eq!(*issuing.effect(), Effect::ReadSecret);
        assert!(issuing.next.0.cleans_up(), "also past its time");
        let again = issuing.unknown();
        assert_eq!(*again.effect(), Effect::ReadSecret);
        assert!(again.answer(Answer::OutOfTime).gives_up());
    }
    assert!(!Issuing::first().made().next.0.cleans_up());
    assert!(!Issuing::first().intended().next.0.cleans_up());
}

fn looks_back() -> Issuing {
    Issuing::another().made().unknown()
}

#[test]
fn what_was_delivered_is_recorded_with_the_version_that_was_read() {
    let issuing = looks_back();
    let secret = issuing.secret();
    let version = secret.resource_version.clone();
    let issuing = issuing.reads_secret(Some(secret));
    assert_eq!(issuing.recorded().secret_resource_version, Some(version));
}

#[test]
fn what_was_altered_since_is_not_vouched_for() {
    let issuing = looks_back();
    let mut secret = issuing.secret();
    secret.content = Content::Altered;
    assert_eq!(issuing.reads_secret(Some(secret)).outcome(), Outcome::Delivered);
}

#[test]
fn another_client_of_the_same_attempt_is_not_ours() {
    let issuing = looks_back();
    let mut secret = issuing.secret();
    secret.delivered.as_mut().unwrap().client.id = "twin".into();
    assert_eq!(*issuing.reads_secret(Some(secret)).effect(), Effect::ReadObject);
    let issuing = looks_back();
    let mut secret = issuing.secret();
    secret.delivered.as_mut().unwrap().client.attempt = "another".into();
    assert_eq!(*issuing.reads_secret(Some(secret)).effect(), Effect::ReadObject);
}

#[test]
fn a_fence_ends_it() {
    let issuing = looks_back();
    let mut secret = *issuing.step.secret.clone().unwrap();
    secret.fence = Some(issuing.step.attempt.clone());
    assert!(issuing.reads_secret(Some(secret)).gives_up());
}

#[test]
fn while_the_attempt_is_ours_it_is_delivered_on_what_is_there() {
    // Only metadata moved.
    let issuing = looks_back();
    let mut secret = *issuing.step.secret.clone().unwrap();
    secret.resource_version = "99".into();
    let issuing = issuing.reads_secret(Some(secret.clone())).reads_object();
    assert!(matches!(issuing.effect(), Effect::Deliver { over: Some(over), .. } if **over == secret));
    // It is gone.
    let issuing = looks_back().reads_secret(None).reads_object();
    assert!(matches!(issuing.effect(), Effect::Deliver { over: None, .. }));
    let issuing = looks_back().reads_secret(None).unknown();
    assert_eq!(*issuing.effect(), Effect::ReadObject, "it is asked again");
    assert!(issuing.answer(Answer::OutOfTime).gives_up());
}

#[test]
fn what_is_somebody_elses_by_now_is_left_to_them() {
    let gives_up = |change: fn(&mut Issuing, &mut SecretSeen)| {
        let mut issuing = looks_back();
        let mut secret = *issuing.step.secret.clone().unwrap();
        change(&mut issuing, &mut secret);
        issuing.reads_secret(Some(secret)).reads_object().gives_up()
    };
    assert!(!gives_up(|_, _| ()));
    assert!(gives_up(|_, secret| secret.delivered = None));
    assert!(gives_up(|_, secret| secret.delivered.as_mut().unwrap().client.id = "theirs".into()));
    assert!(gives_up(|issuing, _| issuing.case.begun("theirs", Duration::ZERO)));
    assert!(gives_up(|issuing, _| issuing.case.record(&Record::default())));
    assert!(gives_up(|issuing, _| {
        issuing.case.o.object.metadata.deletion_timestamp = Some(Time(issuing.case.now));
    }));
    // There was none, and now there is one.
    let first = Issuing::first().made().unknown();
    let mut secret = first.secret();
    secret.delivered = None;
    assert!(first.reads_secret(Some(secret)).reads_object().gives_up());
    assert!(looks_back().reads_secret(None).answer(Answer::Object(None)).gives_up());
}

// The record

#[test]
fn status_names_the_new_client_and_the_one_that_retires() {
    let issuing = Issuing::another().delivered();
    let Effect::Record { at, status } = issuing.effect() else { panic!("{:?}", issuing.effect()) };
    assert_eq!(at.resource_version, "7", "on the version that the intent returned");
    assert!(status::is_ready(status));
    assert_eq!(status.client.as_ref().map(|c| c.id.as_str()), Some("made"));
    assert_eq!(status.secret_resource_version.as_deref(), Some("8"));
    let retiring: Vec<_> = status.retiring.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(retiring, ["client-1"]);
    assert!(status.retiring[0].revoke_time.0 >= issuing.case.now + HOUR);
    let status = status.clone();
    let outcome = issuing.answer(Answer::Done(anchor("9"))).outcome();
    assert_eq!(outcome, Outcome::Issued { id: "made".into(), status });
}

#[test]
fn what_retires_already_keeps_its_time_but_for_what_the_secret_held_until_now() {
    let mut case = Case::ready();
    case.o.object.spec.expires = Some(Expires("1h".into()));
    let since = case.ago(HOUR / 2);
    for id in ["client-0", "client-1"] {
        let mut former = status::retiring(&case.current().clone(), since, HOUR);
        former.id = id.into();
        case.status().retiring.push(former);
    }
    case.o.listed.insert(crate::api::IssuerRef::default());
    let issuing = Issuing::start(case).delivered();
    let since_of = |id: &str| {
        let mut found = issuing.recorded().retiring.iter().filter(|r| r.id == id).map(|r| r.since.0);
        let since = found.next().expect("it retires");
        assert_eq!(found.next(), None, "{id} is there twice");
        since
    };
    assert_eq!(since_of("client-0"), since);
    assert_eq!(since_of("client-1"), issuing.case.now);
}

#[test]
fn failures_are_forgotten_but_not_losses() {
    let counted = |reason: Reason, change: fn(&mut Case)| {
        let mut case = Case::ready();
        change(&mut case);
        case.fails(reason);
        case.status().last_failure_time = Some(Time(case.ago(2 * HOUR)));
        let issuing = Issuing::start(case).delivered();
        let status = issuing.recorded();
        (status.failed_issuance_attempts, status.last_failure_time.is_some())
    };
    let edited = |case: &mut Case| case.o.object.spec.expires = Some(Expires("1h".into()));
    assert_eq!(counted(Reason::Unreachable, edited), (None, false));
    assert_eq!(counted(Reason::SecretLost, |case| case.o.secret = SecretView::Absent), (Some(1), true));
    let revoked = |case: &mut Case| {
        case.listed().clear();
        case.reads(ClientRead::Gone);
    };
    assert_eq!(counted(Reason::Revoked, revoked), (Some(1), true));
}

/// The record could not be written: does the object stay?
fn confirms(issuing: Issuing) -> Issuing {
    let issuing = issuing.delivered().answer(Answer::Conflict);
    assert_eq!(*issuing.effect(), Effect::ReadObject);
    assert!(issuing.next.0.cleans_up());
    issuing
}

#[test]
fn what_stays_is_left_to_the_next_look() {
    assert_eq!(confirms(Issuing::first()).reads_object().outcome(), Outcome::Delivered);
    assert_eq!(confirms(Issuing::first()).answer(Answer::OutOfTime).outcome(), Outcome::Delivered);
    assert_eq!(*confirms(Issuing::first()).unknown().effect(), Effect::ReadObject);
    let retained = |issuing: Issuing| {
        let mut issuing = confirms(issuing);
        issuing.case.o.object.metadata.deletion_timestamp = Some(Time(issuing.case.now));
        issuing.case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
        issuing.reads_object()
    };
    assert_eq!(retained(Issuing::another()).outcome(), Outcome::Delivered, "it is to stay");
    assert!(matches!(retained(Issuing::first()).next.0, Flight::Withdraw(_)), "there was none that could stay");
}

#[test]
fn what_goes_is_taken_back() {
    let mut going = confirms(Issuing::another());
    going.case.o.object.metadata.deletion_timestamp = Some(Time(going.case.now));
    let going = going.reads_object();
    let Effect::Burn { at, record } = going.effect() else { panic!("{:?}", going.effect()) };
    assert_eq!(*at, Anchor::of(&going.case.o.object));
    assert!(record.is_abandoned(&going.step.attempt));
    let gone = confirms(Issuing::another()).answer(Answer::Object(None));
    let Effect::DeleteSecret { name, at } = gone.effect() else { panic!("{:?}", gone.effect()) };
    assert_eq!((name.as_str(), at), ("deployer", &anchor("8")));
    let gone = gone.answer(Answer::Done(anchor("9")));
    assert_eq!(*gone.effect(), Effect::DeleteClient { id: "made".into() });
    assert_eq!(gone.answer(Answer::Done(anchor("9"))).outcome(), Outcome::Withdrawn { id: "made".into() });
}

#[test]
fn what_is_burnt_already_is_not_burnt_again() {
    let mut going = confirms(Issuing::another());
    going.case.o.object.metadata.deletion_timestamp = Some(Time(going.case.now));
    let attempt = going.step.attempt.clone();
    going.case.given_up(&[&attempt]);
    assert!(matches!(going.reads_object().effect(), Effect::DeleteSecret { .. }));
}

#[test]
fn while_it_is_taken_back_whatever_has_changed_is_read_again() {
    let burning = || {
        let mut going = confirms(Issuing::another());
        going.case.o.object.metadata.deletion_timestamp = Some(Time(going.case.now));
        going.reads_object()
    };
    for changed in [Answer::Conflict, Answer::Gone] {
        assert_eq!(*burning().answer(changed).effect(), Effect::ReadObject);
    }
    assert_eq!(*burning().unknown().effect(), Effect::ReadObject);
    assert_eq!(*burning().unknown().unknown().effect(), Effect::ReadObject);
    assert!(matches!(burning().unknown().reads_object().effect(), Effect::Burn { .. }));
    assert_eq!(burning().refused().outcome(), Outcome::LookAgain { unsent: false }, "the removal finds it");
    assert_eq!(burning().answer(Answer::OutOfTime).outcome(), Outcome::LookAgain { unsent: false });
    for late in [
        burning().answer(Answer::Done(anchor("9"))).answer(Answer::OutOfTime),
        burning().answer(Answer::Done(anchor("9"))).unknown().answer(Answer::OutOfTime),
        burning().answer(Answer::Done(anchor("9"))).answer(Answer::Gone).answer(Answer::OutOfTime),
    ] {
        let (reason, message, _) = late.failure();
        assert_eq!(reason, Reason::RevocationBlocked);
        assert!(message.contains("client made") && message.contains("in time"), "{message}");
    }
    let deleting = || burning().answer(Answer::Done(anchor("9")));
    assert!(matches!(deleting().effect(), Effect::DeleteSecret { .. }));
    assert_eq!(*deleting().unknown().effect(), Effect::ReadSecret);
    assert_eq!(*deleting().unknown().unknown().effect(), Effect::ReadSecret);
    let is_delete = |issuing: &Issuing| matches!(issuing.effect(), Effect::DeleteClient { .. });
    assert!(is_delete(&deleting().answer(Answer::Gone)));
    assert!(is_delete(&deleting().unknown().reads_secret(None)));
    assert!(is_delete(&deleting().answer(Answer::Gone).unknown()), "it is asked again");
    let mut theirs = Case::ready().secret().clone();
    theirs.delivered.as_mut().unwrap().replaces.clear();
    assert!(is_delete(&deleting().unknown().reads_secret(Some(theirs.clone()))), "it names another");
    let former = status::retiring(&theirs.delivered.as_ref().unwrap().client, deleting().case.now, HOUR);
    theirs.delivered.as_mut().unwrap().replaces = vec![RetiringClient { id: "made".into(), ..former }];
    let again = deleting().unknown().reads_secret(Some(theirs));
    assert_eq!(again.outcome(), Outcome::LookAgain { unsent: false }, "an object made anew lets it retire");
}

#[test]
fn a_delivery_answers_the_request_that_stood_there_and_owes_the_consumers_a_restart() {
    let mut case = Case::ready();
    let workload = Workload { kind: WorkloadKind::Deployment, name: Some("consumer".into()), selector: None };
    case.o.object.spec.rotation = Some(Rotation { restart: Some(vec![workload]), ..Rotation::default() });
    case.o.object.spec.expires = Some(Expires("1h".into()));
    case.o.object.metadata.annotations.get_or_insert_default().insert(ROTATE_ANNOTATION.into(), "one".into());
    case.status().last_handled_rotate_at = Some("none".into());
    case.status().update_refused_generation = Some(1);
    let issuing = Issuing::start(case).delivered();
    let status = issuing.recorded();
    assert_eq!(status.last_handled_rotate_at.as_deref(), Some("one"));
    assert_eq!((status.update_refused_generation, status.restart_pending), (None, Some(true)));
    let ready = crate::api::condition::find(&status.conditions, crate::api::ConditionType::Ready);
    assert_eq!(ready.map(|c| c.message.as_str()), Some("Secret deployer holds the credential"));
}

#[test]
fn a_delivery_that_nobody_asked_for_answers_nothing() {
    let mut case = Case::ready();
    case.o.object.spec.expires = Some(Expires("1h".into()));
    case.status().last_handled_rotate_at = Some("none".into());
    let issuing = Issuing::start(case).delivered();
    let status = issuing.recorded();
    assert_eq!((status.last_handled_rotate_at.as_deref(), status.restart_pending), (Some("none"), None));
}
