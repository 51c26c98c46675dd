//! What is checked: how far everything is tried with all rules, and how far without each.

use crate::{
    model::{Bounds, EVENTS, Event},
    rules::Rules,
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
    Bounds { replicas, left: Left { events, ticks, backups: 0 }, faults: true, interventions: EVENTS }
}

const fn faults_only(bounds: Bounds) -> Bounds {
    Bounds { interventions: &[], ..bounds }
}

const fn only(interventions: &'static [Event], bounds: Bounds) -> Bounds {
    Bounds { faults: false, interventions, ..bounds }
}

const fn with_backup(bounds: Bounds) -> Bounds {
    Bounds { left: Left { backups: 1, ..bounds.left }, ..bounds }
}

const fn check(name: &'static str, bounds: Bounds) -> Check {
    Check { name, bounds }
}

/// In `make test`.
pub const SMALL: &[Check] = &[
    check("one replica, one fault or intervention", bounds(1, 1, 2)),
    check("two replicas that may stand still", faults_only(bounds(2, 0, 1))),
    check("one replica, a backup that is restored", with_backup(bounds(1, 1, 2))),
];

/// In `make model`, beside those.
pub const LARGE: &[Check] = &[
    check("two replicas, one fault", faults_only(bounds(2, 1, 1))),
    check("one replica, two faults or interventions", bounds(1, 2, 2)),
    check("two replicas, one fault or intervention", bounds(2, 1, 2)),
    check("one replica, three faults", faults_only(bounds(1, 3, 3))),
    check("two replicas, two faults", faults_only(bounds(2, 2, 2))),
    check("one replica, a backup that is restored, and a fault or intervention", with_backup(bounds(1, 2, 2))),
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
    plan.say_lost_first: only(&[Event::DeleteSecret], bounds(2, 1, 1)),
    plan.prove_gone: bounds(1, 1, 1),
    plan.name_owed: bounds(1, 2, 2),
    plan.list_for_removal: bounds(1, 2, 2),
    plan.clean_up: only(&[Event::Delete], bounds(2, 1, 1)),
    requests.intend_first: bounds(1, 1, 1),
    requests.finalizer_first: bounds(1, 1, 1),
    requests.intent_at_version: bounds(2, 0, 1),
    requests.delivery_on_seen: bounds(2, 0, 1),
    requests.record_at_version: bounds(2, 0, 1),
];

/// Rules that are left out in `make model`, beside those: what goes wrong without them comes about in more steps.
pub const WITHOUT_LARGE: &[Without] = without![
    plan.read_before_delete: only(&[Event::EditSpec], bounds(2, 1, 1)),
    plan.fence: only(&[Event::EditSpec], bounds(2, 1, 1)),
    plan.prove_takeover: only(&[Event::DeleteSecret, Event::TearOff], bounds(2, 2, 1)),
];
