//! How long what was replaced lives on.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::*,
    case::{Case, live},
    renewals::{DAY, HOUR, MINUTE, aged, rotates, settled, text},
};
use crate::api::{IssuedClient, RetiringClient, Rotation};

/// Replaced two hours ago, with an overlap of one hour, and used last so long ago.
pub(super) fn used(ago: Duration) -> Case {
    let mut case = settled(Case::ready());
    let mut former = status::retiring(&case.current().clone(), case.ago(2 * HOUR), HOUR);
    (former.id, former.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![former];
    let last = case.ago(ago);
    case.lists("client-0", "former").last_used_at = Some(last);
    case
}

fn revoke() -> Step {
    Step::Revoke("client-0".into())
}

#[test]
fn what_is_still_used_lives_on_and_that_is_said_once_a_day() {
    let mut case = settled(used(30 * MINUTE));
    let last = case.ago(30 * MINUTE);
    assert_eq!(case.status().retiring[0].last_used_at, Some(Time(last)));
    let plan = case.plan();
    // Its overlap was promised to the full second.
    let until = last + HOUR + Duration::from_secs(1);
    assert_eq!((plan.step, plan.wake), (Step::Nothing, Some(until)), "an overlap after its last use");
    case.listed().last_mut().unwrap().last_used_at = Some(case.now);
    assert_eq!(case.step(), Step::Nothing, "said once a day");
    case.status().retiring[0].last_used_at = Some(Time(case.now - DAY));
    assert!(matches!(case.step(), Step::UpdateStatus(_)));
}

#[test]
fn what_is_not_used_any_more_or_only_was_before_goes() {
    assert_eq!(used(61 * MINUTE).step(), revoke());
    assert_eq!(used(3 * HOUR).step(), revoke(), "before it was replaced");
    let mut promised = used(61 * MINUTE);
    promised.status().retiring[0].revoke_time.0 = promised.now + MINUTE;
    assert_eq!(promised.step(), Step::Nothing, "its overlap is not over");
}

#[test]
fn it_does_not_live_beyond_the_longest_overlap_unless_somebody_else_may_rely_on_it() {
    let limited = || {
        let mut case = used(MINUTE);
        rotates(&mut case, Rotation { max_overlap: Some(text("90m")), ..Rotation::default() });
        case
    };
    assert_eq!(limited().step(), revoke());
    let mut cloned = limited();
    cloned.lists("theirs", "unknown");
    assert_eq!(settled(cloned).step(), Step::Nothing, "a clone of this cluster has rotated it");
}

/// The list was read before its overlap was over: it may have been used since.
#[test]
fn before_it_goes_it_is_read() {
    let mut case = used(61 * MINUTE);
    case.inventory().began = case.ago(MINUTE);
    assert_eq!(case.step(), Step::Look(Look::Client("client-0".into())));
    case.o.reads.insert("client-0".into(), live(true));
    assert_eq!(case.step(), revoke());
    let ClientRead::Live(mut client) = live(true) else { panic!("it lives") };
    client.last_used_at = Some(case.now);
    case.o.reads.insert("client-0".into(), ClientRead::Live(client));
    assert!(!matches!(case.step(), Step::Revoke(_)), "it was used this moment");
}

#[test]
fn an_overlap_is_the_objects_own() {
    let mut case = settled(aged(21 * DAY, 30 * DAY));
    rotates(&mut case, Rotation { overlap: Some(text("3h")), ..Rotation::default() });
    (case.delivered().client.id, case.delivered().client.attempt) = ("client-2".into(), "next".into());
    case.lists("client-2", "next");
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    let former = &status.retiring[0];
    let overlap: Duration = former.revoke_time.0.duration_since(former.since.0).try_into().unwrap();
    assert!(3 * HOUR <= overlap && overlap <= 3 * HOUR + Duration::from_secs(1), "{overlap:?}");
}

#[test]
fn what_expires_before_its_overlap_is_over_ends_then() {
    let mut case = Case::ready();
    let (now, expires) = (case.now, case.now + 20 * MINUTE);
    case.expires(expires);
    let retiring = status::retiring(case.current(), now, HOUR);
    assert_eq!(retiring.revoke_time.0, expires);
    assert_eq!(status::retiring_anew(&retiring, now, HOUR).revoke_time.0, expires);
    assert!(status::retiring_anew(&retiring, now, MINUTE).revoke_time.0 < expires);
    let used = RetiringClient { last_used_at: Some(Time(now)), ..retiring.clone() };
    assert_eq!(status::retiring_anew(&used, now, HOUR).last_used_at, None);
    let mut used = Case::ready();
    used.status().retiring = vec![RetiringClient { id: "former".into(), ..retiring }];
    used.lists("former", "former").last_used_at = Some(now + 10 * MINUTE);
    used.now = expires + MINUTE;
    used.o.as_of = used.now;
    used.inventory().began = used.now;
    assert!(
        matches!(used.step(), Step::Revoke(id) if id == "former"),
        "use does not keep what is dead: {:?}",
        used.step()
    );
}

/// `former` was replaced so long ago and is listed; it was promised an hour.
fn retiring_since(ago: Duration) -> Case {
    let mut case = settled(Case::ready());
    let since = case.ago(ago);
    let former = IssuedClient { id: "former".into(), attempt: "former".into(), ..case.current().clone() };
    case.status().retiring = vec![status::retiring(&former, since, HOUR)];
    case.lists("former", "former").created_at = Some(since - HOUR);
    case.inventory().began = case.now;
    case
}

#[test]
fn until_its_overlap_is_over_a_replaced_client_is_left_alone() {
    let case = settled(retiring_since(30 * MINUTE));
    assert_eq!(case.step(), Step::Nothing);
}

#[test]
fn use_until_it_was_replaced_keeps_nothing_alive() {
    let mut case = retiring_since(2 * HOUR);
    let since = case.status().retiring[0].since.0;
    rotates(&mut case, Rotation { overlap: Some(text("5h")), ..Rotation::default() });
    case.listed().iter_mut().for_each(|client| client.last_used_at = Some(since));
    assert!(matches!(case.step(), Step::Revoke(_)), "{:?}", case.step());
    case.listed().iter_mut().for_each(|client| client.last_used_at = Some(since + Duration::from_secs(1)));
    assert!(!matches!(case.step(), Step::Revoke(_)));
}

#[test]
fn when_its_time_is_over_it_is_not_said_to_be_used() {
    let mut case = retiring_since(3 * HOUR);
    case.o.undeleted = ["former".to_owned()].into();
    let promised = case.status().retiring[0].revoke_time.0.duration_since(case.status().retiring[0].since.0);
    let used = case.now - promised;
    case.listed().iter_mut().filter(|c| c.id == "former").for_each(|client| client.last_used_at = Some(used));
    assert!(matches!(case.step(), Step::Revoke(_)), "{:?}", case.step());
    case.listed().iter_mut().filter(|c| c.id == "former").for_each(|client| client.last_used_at = Some(used + MINUTE));
    assert!(matches!(case.step(), Step::UpdateStatus(_)), "{:?}", case.step());
}
