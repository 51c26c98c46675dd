//! What holds of `plan` for any spec and any observation.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{super::*, observations::observations, servers::GUARDS};
use crate::api::{FINALIZER, RECORD_ANNOTATION, Reason};

/// What conditions say, without when.
type Conditions = Vec<(String, String, String, String)>;

fn conditions(o: &Observed) -> Conditions {
    let said = o.object.status.iter().flat_map(|status| &status.conditions);
    said.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone())).collect()
}

/// One look, where C1 answers nothing and does nothing, and the API server takes only records and statuses. Whether there was anything
/// to do.
fn fails(o: &mut Observed, now: Timestamp) -> bool {
    let step = plan(o, now, GUARDS).step;
    let refusal = || Some(Refusal { message: "it is refused".into(), until: now + SignedDuration::from_mins(5) });
    let tried = step.tried(&o.object);
    let failed = |o: &mut Observed, reason: Reason| {
        o.object.status = Some(status::failure(&o.object, &tried, reason, "no", now));
    };
    match step {
        Step::Nothing | Step::Claim(_) | Step::Remove(_) | Step::Strike(_) => return false,
        Step::Look(Look::Live) if o.live => return false,
        Step::Look(Look::Live) => o.live = true,
        Step::Look(look) if o.failed_looks.contains(&look) => return false,
        Step::Look(look) => o.failed_looks.push(look),
        Step::UpdateStatus(status) => o.object.status = Some(*status),
        Step::AddFinalizer => o.object.metadata.finalizers = Some(vec![FINALIZER.into()]),
        Step::Render(_) => o.render_refused = refusal(),
        Step::Relocate(_) => o.move_refused = refusal(),
        Step::Tidy(_) => o.tidy_failed = true,
        Step::Restart(_) => o.restart_failed = true,
        Step::Update(_) => failed(o, Reason::Unreachable),
        Step::Issue(_) => failed(o, Reason::SecretRefused),
        Step::Revoke(id) if o.undeleted.contains(&id) => return false,
        Step::Revoke(id) => drop(o.undeleted.insert(id)),
        Step::Abandon(step) if o.undeleted.contains(&step.client_id) => return false,
        Step::Abandon(step) => drop(o.undeleted.insert(step.client_id)),
        Step::Close(record) => {
            let text = serde_json::to_string(&record).unwrap();
            o.object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
        }
    }
    true
}

/// What is said on the way, each time that it changes, until there is nothing to do any more; `None`: there always is.
fn fail_until_rest(o: &mut Observed, now: Timestamp) -> Option<Vec<Conditions>> {
    let mut said = vec![conditions(o)];
    for _ in 0..60 {
        if !fails(o, now) {
            return Some(said);
        }
        let this = conditions(o);
        if said.last() != Some(&this) {
            said.push(this);
        }
    }
    None
}

/// What the process remembers of failures is over; no pause of the object's is.
fn forget(o: &mut Observed) {
    (o.render_refused, o.move_refused, o.tidy_failed, o.restart_failed) = (None, None, false, false);
    o.failed_looks.clear();
    o.undeleted.clear();
}

proptest! {
    /// It never panics, and says each thing once: on the status that it asked for it does not ask for the same again.
    #[test]
    fn any_observation_has_a_plan_that_comes_to_rest((mut o, now) in observations()) {
        let mut said = vec![];
        for _ in 0..10 {
            let Step::UpdateStatus(status) = plan(&o, now, GUARDS).step else { return Ok(()) };
            prop_assert!(!said.contains(&status), "said twice: {status:?}");
            o.object.status = Some((*status).clone());
            said.push(status);
        }
        prop_assert!(false, "it goes on and on: {said:?}");
    }

    /// Where everything fails, and fails again when it is tried again, what is said of it comes to rest, and stays what it is.
    #[test]
    fn what_fails_again_and_again_is_said_once((mut o, now) in observations()) {
        prop_assert!(fail_until_rest(&mut o, now).is_some(), "it goes on and on: {:?}", plan(&o, now, GUARDS).step);
        forget(&mut o);
        let said = fail_until_rest(&mut o, now).unwrap_or_default();
        for (n, one) in said.iter().enumerate() {
            prop_assert!(!said[..n].contains(one), "said twice: {said:?}");
        }
        let rest = conditions(&o);
        forget(&mut o);
        for again in fail_until_rest(&mut o, now).unwrap_or_default() {
            prop_assert_eq!(again, rest.clone());
        }
    }

    /// Who has nothing to do sleeps: a time to wake at lies ahead.
    #[test]
    fn a_time_to_wake_at_lies_ahead((o, now) in observations()) {
        let decision = plan(&o, now, GUARDS);
        if decision.step == Step::Nothing {
            prop_assert!(decision.wake.is_none_or(|wake| wake > now), "{decision:?}");
        }
    }

    /// Nothing is ever done on the word of a cache that cannot be looked at again, nor to a Secret that could not be read.
    #[test]
    fn an_unreadable_secret_is_left_alone((mut o, now) in observations()) {
        o.secret = SecretView::Unknown("why".into());
        o.object.metadata.deletion_timestamp = None;
        let step = plan(&o, now, GUARDS).step;
        prop_assert_eq!(step, Step::Nothing);
    }
}
