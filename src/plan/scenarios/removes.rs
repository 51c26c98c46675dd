//! The end of an object, effect by effect.

use super::{super::*, case::Case, servers::GUARDS};
use crate::api::Reason;

/// What a removal of these clients (id, young) wants, one effect after the other, and how it ends, when it hears these answers.
fn runs(victims: &[(&str, bool)], answers: Vec<Answer>) -> (Vec<&'static str>, Outcome) {
    let case = Case::ready();
    let victims = victims.iter().map(|&(id, young)| Victim { id: id.into(), young }).collect();
    let step = RemoveStep {
        recheck: false,
        fence: None,
        secrets: vec![("deployer".into(), "uid".into(), "7".into())],
        victims,
        left_behind: vec!["left".into()],
    };
    let mut underway = Remove::start(step, Anchor::of(&case.o.object));
    let mut wanted = vec![];
    for answer in answers {
        wanted.push(match &underway.1 {
            Some(Effect::DeleteSecret { .. }) => "Secret",
            Some(Effect::DeleteClient { .. }) => "client",
            Some(Effect::RemoveFinalizer { .. }) => "finalizer",
            other => panic!("{other:?}"),
        });
        underway = next(underway.0, answer, case.now, GUARDS);
    }
    match underway {
        (Flight::Landed(outcome), None) => (wanted, *outcome),
        (_, effect) => panic!("it goes on: {effect:?}"),
    }
}

fn done() -> Answer {
    Answer::Done(Anchor { uid: String::new(), resource_version: String::new() })
}

fn removed(revoked: usize) -> Outcome {
    Outcome::Removed { revoked, left_behind: vec!["left".into()] }
}

const LOOK_AGAIN: Outcome = Outcome::LookAgain { unsent: false };

#[test]
fn the_secret_goes_then_the_clients_then_the_finalizer() {
    let (wanted, outcome) = runs(&[("a", false), ("b", false)], vec![done(), done(), Answer::Gone, done()]);
    assert_eq!(wanted, ["Secret", "client", "client", "finalizer"]);
    assert_eq!(outcome, removed(2));
    let gone = vec![Answer::Gone, done(), Answer::Gone];
    assert_eq!(runs(&[("a", false)], gone).1, removed(1), "the object is gone: who let it go does not matter");
}

#[test]
fn a_young_client_that_c1_does_not_know_keeps_the_finalizer() {
    assert_eq!(runs(&[("a", true)], vec![done(), done(), done()]).1, removed(1), "it was deleted");
    let (wanted, outcome) = runs(&[("a", true), ("b", true)], vec![done(), Answer::Gone, done()]);
    assert_eq!((wanted, outcome), (vec!["Secret", "client", "client"], LOOK_AGAIN));
}

#[test]
fn what_is_refused_or_not_answered_is_said() {
    let refused = Answer::Refused { reason: Reason::SecretRefused, message: "m".into() };
    let unknown = Answer::Unknown { reason: Reason::Unreachable, message: "m".into() };
    for (answer, reason) in [(refused, Reason::SecretRefused), (unknown, Reason::Unreachable)] {
        let failed = Outcome::Failed { reason, message: "m".into(), unsent: false };
        for before in [vec![], vec![done()], vec![done(), done()]] {
            let answers = before.into_iter().chain([answer.clone()]).collect();
            assert_eq!(runs(&[("a", false)], answers).1, failed);
        }
    }
    assert_eq!(runs(&[], vec![done(), Answer::Conflict]).1, LOOK_AGAIN);
}
