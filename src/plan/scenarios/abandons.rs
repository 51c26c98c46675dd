//! Abandon, effect by effect.

use super::{super::*, case::Case, servers::GUARDS};
use crate::api::{IssuerRef, Reason};

/// An abandon that is under way, with what it wants next.
struct Abandoning {
    case: Case,
    next: Next,
}

impl Abandoning {
    /// As a repair, or by its maker.
    fn start(burn: bool, because: Option<(Reason, String)>) -> Self {
        let mut case = Case::ready();
        case.begun("a", std::time::Duration::ZERO);
        let owner = marker::owner("c", "ci", "deployer");
        let step = AbandonStep {
            attempt: "a".into(),
            issuer_ref: IssuerRef::default(),
            secret_name: "deployer".into(),
            client_id: "made".into(),
            burn,
            owner,
        };
        Self { case, next: Abandon::start(step, because) }
    }

    fn repair() -> Self {
        Self::start(true, None)
    }

    fn by_maker() -> Self {
        Self::start(true, Some((Reason::SecretRefused, "quota".into())))
    }

    fn answer(mut self, answer: Answer) -> Self {
        self.next = next(self.next.0, answer, self.case.now, GUARDS);
        self
    }

    fn object(self) -> Self {
        let object = self.case.o.object.clone();
        self.answer(Answer::Object(Some(Box::new(object))))
    }

    fn secret(self) -> Self {
        let secret = self.case.o.secret.clone();
        self.answer(Answer::Secret(secret))
    }

    fn done(self) -> Self {
        self.answer(Answer::Done(Anchor { uid: String::new(), resource_version: String::new() }))
    }

    fn refused(self) -> Self {
        self.answer(Answer::Refused { reason: Reason::Unreachable, message: "no".into() })
    }

    fn lost(self) -> Self {
        self.answer(Answer::Unknown { reason: Reason::Unreachable, message: "no answer".into() })
    }

    fn wants(&self) -> &'static str {
        match &self.next.1 {
            Some(Effect::ReadObject) => "read object",
            Some(Effect::Burn { .. }) => "burn",
            Some(Effect::ReadSecret) => "read Secret",
            Some(Effect::Fence { .. }) => "fence",
            Some(Effect::DeleteClient { .. }) => "delete client",
            Some(other) => panic!("{other:?}"),
            None => "nothing",
        }
    }

    fn outcome(self) -> Outcome {
        match self.next {
            (Flight::Landed(outcome), None) => *outcome,
            other => panic!("{other:?}"),
        }
    }
}

const LOOK_AGAIN: Outcome = Outcome::LookAgain { unsent: false };

#[test]
fn each_effect_follows_the_other() {
    let abandoning = Abandoning::repair();
    assert_eq!(abandoning.wants(), "read object");
    let abandoning = abandoning.object();
    let Some(Effect::Burn { at, record }) = &abandoning.next.1 else { panic!("{}", abandoning.wants()) };
    assert_eq!(*at, Anchor::of(&abandoning.case.o.object));
    assert!(record.is_abandoned("a") && record.open.is_none());
    let abandoning = abandoning.done();
    assert_eq!(abandoning.wants(), "read Secret");
    let abandoning = abandoning.secret();
    let Some(Effect::Fence { attempt, .. }) = &abandoning.next.1 else { panic!("{}", abandoning.wants()) };
    assert_eq!(attempt, "a");
    let abandoning = abandoning.done();
    assert_eq!(abandoning.wants(), "delete client");
    assert_eq!(abandoning.done().outcome(), Outcome::Abandoned { id: "made".into() });
}

#[test]
fn what_is_burnt_is_not_burnt_again() {
    assert_eq!(Abandoning::start(false, None).object().wants(), "read Secret", "a stray of a known attempt");
    let mut abandoning = Abandoning::repair();
    abandoning.case.given_up(&["a"]);
    assert_eq!(abandoning.object().wants(), "read Secret");
}

#[test]
fn an_object_that_is_gone_records_nothing() {
    assert_eq!(Abandoning::repair().answer(Answer::Object(None)).wants(), "read Secret");
    assert_eq!(Abandoning::repair().object().answer(Answer::Gone).wants(), "read Secret");
}

#[test]
fn whoever_is_named_is_not_abandoned() {
    let mut current = Abandoning::by_maker();
    current.case.current().id = "made".into();
    assert_eq!(current.object().outcome(), LOOK_AGAIN);
    let mut retiring = Abandoning::by_maker();
    let mut former = status::retiring(&retiring.case.current().clone(), retiring.case.now, std::time::Duration::ZERO);
    former.id = "made".into();
    retiring.case.status().retiring = vec![former];
    assert_eq!(retiring.object().outcome(), LOOK_AGAIN);
}

#[test]
fn what_the_secret_holds_or_owes_an_end_is_not_abandoned() {
    let mut holds = Abandoning::by_maker().object().done();
    holds.case.delivered().client.id = "made".into();
    assert_eq!(holds.secret().outcome(), LOOK_AGAIN);
    let mut owes = Abandoning::by_maker().object().done();
    let mut former = status::retiring(&owes.case.current().clone(), owes.case.now, std::time::Duration::ZERO);
    former.id = "made".into();
    owes.case.delivered().replaces = vec![former];
    assert_eq!(owes.secret().outcome(), LOOK_AGAIN);
}

#[test]
fn only_a_secret_that_its_maker_could_overwrite_is_fenced() {
    let wants = |change: fn(&mut Case)| {
        let mut abandoning = Abandoning::repair().object().done();
        change(&mut abandoning.case);
        abandoning.secret().wants()
    };
    assert_eq!(wants(|_| ()), "fence");
    assert_eq!(wants(|case| case.secret().fence = Some("another".into())), "fence");
    assert_eq!(wants(|case| case.secret().fence = Some("a".into())), "delete client");
    assert_eq!(wants(|case| case.delivered().client.attempt = "a".into()), "delete client");
    assert_eq!(wants(|case| case.delivered().owner.name = "another".into()), "delete client");
    assert_eq!(wants(|case| case.secret().delivered = None), "delete client");
}

#[test]
fn what_is_refused_waits_for_the_next_look() {
    assert_eq!(Abandoning::repair().object().refused().outcome(), LOOK_AGAIN);
    assert_eq!(Abandoning::repair().object().done().secret().refused().outcome(), LOOK_AGAIN);
    assert_eq!(Abandoning::repair().object().done().secret().done().refused().outcome(), LOOK_AGAIN);
}

#[test]
fn whatever_has_changed_is_read_again() {
    assert_eq!(Abandoning::repair().lost().wants(), "read object");
    assert_eq!(Abandoning::repair().object().answer(Answer::Conflict).wants(), "read object");
    assert_eq!(Abandoning::repair().object().lost().wants(), "read object");
    assert_eq!(Abandoning::repair().object().done().lost().wants(), "read Secret");
    assert_eq!(Abandoning::repair().object().done().secret().answer(Answer::Conflict).wants(), "read Secret");
    assert_eq!(Abandoning::repair().object().done().secret().done().answer(Answer::Gone).wants(), "nothing");
}

/// Nothing keeps its maker from delivering what is deleted here: status must not say Ready then.
#[test]
fn a_lost_secret_is_said_first_by_a_repair_and_not_waited_for_by_a_maker() {
    let unfenced = |mut abandoning: Abandoning| {
        abandoning.case.o.secret = SecretView::Absent;
        abandoning.secret()
    };
    let repair = || unfenced(Abandoning::repair().object().done());
    assert_eq!(repair().wants(), "read object");
    assert_eq!(repair().lost().wants(), "read object");
    assert_eq!(repair().object().outcome(), LOOK_AGAIN);
    assert_eq!(repair().answer(Answer::Object(None)).wants(), "delete client");
    let mut said = repair();
    said.case.fails(Reason::SecretLost);
    assert_eq!(said.object().wants(), "delete client");
    assert_eq!(unfenced(Abandoning::by_maker().object().done()).wants(), "delete client");
}

#[test]
fn a_maker_says_why_it_gave_up_unless_another_is_at_it() {
    let failed = Outcome::Failed { reason: Reason::SecretRefused, message: "quota".into(), unsent: false };
    assert_eq!(Abandoning::by_maker().object().done().secret().done().done().outcome(), failed);
    let message = "quota; client made is not deleted yet".to_owned();
    let not_yet = Outcome::Failed { reason: Reason::SecretRefused, message, unsent: false };
    assert_eq!(Abandoning::by_maker().object().done().secret().done().refused().outcome(), not_yet);
    assert_eq!(Abandoning::by_maker().object().done().secret().done().lost().outcome(), not_yet);
    assert_eq!(Abandoning::by_maker().object().refused().outcome(), not_yet);
    assert_eq!(Abandoning::by_maker().object().done().secret().refused().outcome(), not_yet);
    // C1 need not show what was made a moment ago.
    assert_eq!(Abandoning::by_maker().object().done().secret().done().answer(Answer::Gone).outcome(), not_yet);
    let repaired = Abandoning::repair().object().done().secret().done().answer(Answer::Gone).outcome();
    assert_eq!(repaired, Outcome::Abandoned { id: "made".into() }, "whoever repairs asks for what is long gone, too");
    let mut another = Abandoning::by_maker();
    another.case.begun("b", std::time::Duration::ZERO);
    let deleted = another.object().done().secret().done().done().outcome();
    assert_eq!(deleted, Outcome::Abandoned { id: "made".into() });
    assert_eq!(Abandoning::by_maker().answer(Answer::OutOfTime).outcome(), LOOK_AGAIN);
}

/// Its object is gone: nobody but the maker knows of the client, so it says what may live on.
#[test]
fn a_maker_whose_object_is_gone_tries_to_the_end_and_says_what_stays() {
    let last = || {
        let mut maker = Abandoning::by_maker().answer(Answer::Object(None));
        maker.case.o.secret = SecretView::Absent;
        maker.secret()
    };
    let said = |abandoning: Abandoning| match abandoning.outcome() {
        Outcome::Failed { reason: Reason::SecretRefused, message, unsent: false } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(last().wants(), "delete client");
    assert_eq!(last().lost().wants(), "delete client");
    assert_eq!(said(last().done()), "quota");
    // With the Secret there (it was to stay), it must be fenced before.
    let unfenced = Abandoning::by_maker().answer(Answer::Object(None)).secret();
    assert_eq!(unfenced.wants(), "fence");
    for stays in
        [unfenced.refused(), last().refused(), last().answer(Answer::Gone), last().lost().answer(Answer::OutOfTime)]
    {
        let message = said(stays);
        assert!(message.starts_with("quota; its object is gone, and client made may live on"), "{message}");
    }
    let mut burning = Abandoning::by_maker().object().answer(Answer::Gone);
    burning.case.o.secret = SecretView::Absent;
    assert!(said(burning.secret().refused()).contains("its object is gone"));
}
