//! What is checked: how far everything is tried with all rules, and how far without each.

use crate::{
    events::{EVENTS, Event},
    model::Bounds,
    rules::Rules,
    starts::Start,
    world::Left,
};

/// A world to be tried to its end.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// For people.
    pub name: &'static str,
    /// How far.
    pub bounds: Bounds,
}

/// A rule that is left out.
#[derive(Debug, Clone, Copy)]
pub struct Without {
    /// Its name in the code.
    pub rule: &'static str,
    /// Leaves it out.
    pub off: fn(&mut Rules),
    /// Where that is seen.
    pub bounds: Bounds,
}

const fn bounds(replicas: usize, events: u8, ticks: u8) -> Bounds {
    let left = Left { events, ticks, backups: 0 };
    Bounds { replicas, starts: &[Start::New], left, faults: true, interventions: EVENTS }
}

const fn faults_only(bounds: Bounds) -> Bounds {
    Bounds { interventions: &[], ..bounds }
}

const fn only(interventions: &'static [Event], bounds: Bounds) -> Bounds {
    Bounds { faults: false, interventions, ..bounds }
}

/// All faults, and these interventions.
const fn intervening(interventions: &'static [Event], bounds: Bounds) -> Bounds {
    Bounds { interventions, ..bounds }
}

const fn with_backup(bounds: Bounds) -> Bounds {
    Bounds { left: Left { backups: 1, ..bounds.left }, ..bounds }
}

const fn from(starts: &'static [Start], bounds: Bounds) -> Bounds {
    Bounds { starts, ..bounds }
}

const fn check(name: &'static str, bounds: Bounds) -> Check {
    Check { name, bounds }
}

/// A rotation begins.
const ROTATIONS: &[Start] = &[Start::Edited, Start::Retaining];
/// Of what is later than that: nothing is under way.
const QUIET: &[Start] = &[Start::Ready, Start::Rotated, Start::Open, Start::FirstOpen];
/// What takes an object away, and makes it anew.
const REMOVALS: &[Event] = &[Event::Delete, Event::TearOff, Event::Recreate, Event::Use];

/// What comes in the way of a credential that is asked for.
const ASKED: &[Event] = &[Event::Rotate, Event::Delete, Event::DeleteSecret, Event::TearOff, Event::Use];

const fn asked(bounds: Bounds) -> Bounds {
    Bounds { starts: &[Start::Requested], interventions: ASKED, ..bounds }
}

/// What comes in the way of a change in place.
const CHANGED: &[Event] = &[
    Event::EditInPlace,
    Event::EditSpec,
    Event::Delete,
    Event::DeleteClient,
    Event::Rename,
    Event::TearOff,
    Event::Use,
];

const fn changed(bounds: Bounds) -> Bounds {
    Bounds { starts: &[Start::EditedInPlace], interventions: CHANGED, ..bounds }
}

/// What comes in the way of a move.
const MOVED: &[Event] = &[
    Event::MoveSecret,
    Event::MoveIssuer,
    Event::EditSpec,
    Event::Rotate,
    Event::Delete,
    Event::AlterSecret,
    Event::DeleteSecret,
    Event::Use,
];

const fn moved(start: &'static [Start], bounds: Bounds) -> Bounds {
    Bounds { starts: start, interventions: MOVED, ..bounds }
}

/// In `make test`.
pub const SMALL: &[Check] = &[
    check("a new object, one fault or intervention", bounds(1, 1, 1)),
    check("a later one, one fault or intervention", from(QUIET, bounds(1, 1, 1))),
    check("a rotation, one fault or intervention", from(&[Start::Edited], bounds(1, 1, 1))),
    check("a rotation that is asked for, one fault or intervention", asked(bounds(1, 1, 1))),
    check("a change in place, one fault or intervention", changed(bounds(1, 1, 1))),
    check("a Secret that moves, one fault or intervention", moved(&[Start::Renamed], bounds(1, 1, 1))),
    check("another issuer, one fault or intervention", moved(&[Start::Reissued], bounds(1, 1, 1))),
    check("a first Secret that moves, two interventions", only(&[Event::MoveSecret, Event::Delete], bounds(1, 2, 1))),
    check("two replicas that may stand still, an interrupted issue", from(QUIET, bounds(2, 0, 1))),
    check("a backup that is restored", from(QUIET, with_backup(bounds(1, 1, 1)))),
];

/// In `make model`, beside those. Each is tried to its end.
pub const LARGE: &[Check] = &[
    check("a rotation, three faults or interventions", from(&[Start::Edited], bounds(1, 3, 1))),
    check("a rotation of what is to stay, two faults or interventions", from(&[Start::Retaining], bounds(1, 2, 1))),
    check("what is quiet, three faults or interventions", from(QUIET, bounds(1, 3, 1))),
    check("a new object, three faults or interventions", bounds(1, 3, 1)),
    check("a new object, two replicas that may stand still", bounds(2, 0, 1)),
    check("a rotation, two replicas that may stand still", from(ROTATIONS, bounds(2, 0, 1))),
    check("a rotation that is asked for, three faults or interventions", asked(bounds(1, 3, 1))),
    check("a rotation that is asked for, two replicas that may stand still", asked(bounds(2, 0, 1))),
    check("a change in place, three faults or interventions", changed(bounds(1, 3, 1))),
    check("a change in place, two replicas, one fault or intervention", changed(bounds(2, 1, 1))),
    check("a Secret that moves, three faults or interventions", moved(&[Start::Renamed], bounds(1, 3, 1))),
    check("a Secret that moves, two replicas that may stand still", moved(&[Start::Renamed], bounds(2, 1, 1))),
    check(
        "a first Secret that moves, two faults or interventions",
        moved(&[Start::New, Start::FirstOpen], bounds(1, 2, 1)),
    ),
    check("another issuer, three faults or interventions", moved(&[Start::Reissued], bounds(1, 3, 1))),
    check("another issuer, two replicas that may stand still", moved(&[Start::Reissued], bounds(2, 0, 1))),
    check("a new object, two replicas, one fault", faults_only(bounds(2, 1, 1))),
    check("what is quiet, two replicas, one fault or intervention", from(QUIET, bounds(2, 1, 1))),
    check("what is quiet, two faults or interventions, two leaps of time", from(QUIET, bounds(1, 2, 2))),
    check("a Secret that is lost, two faults or interventions", from(&[Start::Lost], bounds(1, 2, 1))),
    check("a removal and a making anew, two replicas", from(&[Start::Ready], only(REMOVALS, bounds(2, 2, 1)))),
    check("a backup that is restored, and a fault or intervention", from(QUIET, with_backup(bounds(1, 2, 1)))),
];

macro_rules! without {
    ($($part:ident.$rule:ident: $bounds:expr,)*) => {
        &[$(Without { rule: stringify!($rule), off: |rules| rules.$part.$rule = false, bounds: $bounds },)*]
    };
}

/// Rules that are left out in `make test`.
pub const WITHOUT: &[Without] = without![
    plan.wait_until_old: bounds(2, 0, 1),
    plan.list_after_old: bounds(1, 1, 2),
    plan.burn: bounds(2, 0, 1),
    plan.refuse_abandoned: bounds(2, 0, 1),
    plan.read_back: bounds(1, 1, 1),
    plan.check_marker: bounds(1, 2, 2),
    plan.say_lost_first: from(&[Start::Lost], faults_only(bounds(2, 0, 1))),
    plan.prove_gone: bounds(1, 1, 1),
    plan.name_owed: bounds(1, 2, 2),
    plan.list_for_removal: intervening(&[Event::Delete], bounds(1, 2, 2)),
    plan.clean_up: only(&[Event::Delete], bounds(2, 1, 1)),
    requests.intend_first: bounds(1, 1, 1),
    requests.finalizer_first: bounds(1, 1, 1),
    requests.intent_at_version: bounds(2, 0, 1),
    requests.delivery_on_seen: bounds(2, 0, 1),
    requests.record_at_version: bounds(2, 0, 1),
    requests.status_at_version: from(&[Start::Edited], only(&[Event::EditSpec, Event::DeleteSecret], bounds(2, 2, 0))),
    requests.burn_at_version: from(&[Start::Open], faults_only(bounds(2, 0, 1))),
    requests.fence_on_seen: from(&[Start::Edited], faults_only(bounds(2, 0, 1))),
    plan.settle_for_removal: from(&[Start::Open, Start::FirstOpen], bounds(1, 2, 1)),
    plan.read_before_delete: from(&[Start::Edited], faults_only(bounds(2, 0, 1))),
    plan.fence: from(&[Start::Edited], faults_only(bounds(2, 0, 1))),
    plan.wait_for_move: from(&[Start::Renamed], faults_only(bounds(2, 0, 0))),

    requests.claim_on_seen: from(&[Start::Retaining], only(&[Event::Delete, Event::Recreate], bounds(2, 2, 0))),
    requests.delete_on_seen: from(&[Start::Ready], only(&[Event::Delete, Event::Recreate], bounds(2, 2, 0))),
    requests.release_at_version: from(&[Start::Ready], only(&[Event::Delete, Event::Recreate], bounds(2, 3, 0))),
];

/// Rules that are left out in `make model`, beside those: what goes wrong without them comes about in more steps.
pub const WITHOUT_LARGE: &[Without] = without![
    plan.prove_takeover: from(&[Start::Lost], only(&[Event::TearOff], bounds(2, 1, 1))),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that is new has to be left out somewhere as well, or nobody knows that it is needed.
    #[test]
    fn every_rule_is_left_out_somewhere() {
        let left_out: Vec<&str> = WITHOUT.iter().chain(WITHOUT_LARGE).map(|without| without.rule).collect();
        let all = format!("{:?}", Rules::ALL);
        let rules: Vec<&str> = all
            .split([' ', '{', ','])
            .filter_map(|word| word.strip_suffix(':'))
            .filter(|word| !["plan", "requests"].contains(word))
            .collect();
        assert!(rules.len() > 20, "{all}");
        for rule in &rules {
            assert!(left_out.contains(rule), "{rule} is left out nowhere");
        }
        assert_eq!(left_out.len(), rules.len());
    }
}
