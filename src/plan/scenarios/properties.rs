//! What holds of `plan` for any spec and any observation.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use proptest::prelude::*;

use super::{
    super::*,
    servers::{GUARDS, issued, servers},
};
use crate::api::{DeletionPolicy, Expires, Reason, Rotation, RotationPolicy, SecretTemplate};

/// An observation, from one of a new or a settled object, with anything about it changed.
fn observations() -> impl Strategy<Value = (Observed, Timestamp)> {
    let spec = (any::<Option<String>>(), any::<Option<String>>(), any::<bool>(), any::<bool>());
    let world = (any::<[bool; 8]>(), 0..5_usize, 0..4_usize, -400_000_i64..400_000_000);
    let life = (any::<[bool; 10]>(), any::<[bool; 4]>(), 0..4_usize, 0..4_usize);
    (spec, world, life).prop_map(
        |((expires, display_name, retain, no_roles), (flags, secret, content, ahead), life)| {
            let [settled, deleting, listed, empty, clock_off, no_identity, no_issuer, open] = flags;
            let (servers, mut replica) = if settled {
                issued()
            } else {
                let servers = servers();
                let replica = super::servers::Replica::new(&servers);
                (servers, replica)
            };
            if listed {
                replica.list();
            }
            let mut o = replica.observed();
            let now = servers.borrow().now + SignedDuration::from_secs(ahead);
            o.object.spec.expires = expires.map(Expires);
            o.object.spec.display_name = display_name;
            o.object.spec.deletion_policy = retain.then_some(DeletionPolicy::Retain);
            if no_roles {
                o.object.spec.scoped_roles = None;
            }
            if deleting {
                o.object.metadata.deletion_timestamp = Some(Time(now));
            }
            if open {
                let open = OpenAttempt {
                    attempt: "another".into(),
                    started_at: servers.borrow().now,
                    issuer_ref: o.object.issuer_ref(),
                    host: "h".into(),
                    user_id: "user".into(),
                    secret_name: "deployer".into(),
                    answers: None,
                };
                let text = serde_json::to_string(&Record { open: Some(open), ..Record::default() }).unwrap();
                o.object
                    .metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(crate::api::RECORD_ANNOTATION.into(), text);
            }
            match (secret, &mut o.secret) {
                (0, secret) => *secret = SecretView::Absent,
                (1, secret) => *secret = SecretView::Unknown("why".into()),
                (2, SecretView::Present(seen)) => seen.delivered = None,
                (3, SecretView::Present(seen)) => seen.delivered.as_mut().unwrap().owner.uid = "former".into(),
                (_, SecretView::Present(seen)) => {
                    seen.content = [
                        Content::Unread,
                        Content::Altered,
                        Content::Intact { rendered: true },
                        Content::Intact { rendered: false },
                    ][content];
                }
                _ => {}
            }
            let issuer = o.issuer.as_mut().unwrap();
            issuer.clock_off = clock_off;
            if let Some(inventory) = &mut issuer.inventory {
                inventory.empty = empty;
            }
            if no_identity {
                issuer.identity = None;
                issuer.not_ready = Some((Reason::Unreachable, "no answer".into()));
            }
            if no_issuer {
                o.issuer = None;
            }
            lives(&mut o, now, life);
            (o, now)
        },
    )
}

type Life = ([bool; 10], [bool; 4], usize, usize);

/// What its life has brought: requests, failures, an overlap, moves, and what stands in their way.
fn lives(o: &mut Observed, now: Timestamp, (flags, refusals, place, retiring): Life) {
    let [asked, manual, suspended, failed, delete_failed, look_failed, denied, edited, typed, expiring] = flags;
    o.delete_failed = delete_failed;
    if look_failed {
        let client = Look::Client("client-1".into());
        o.failed_looks = vec![client, Look::Client("former-0".into()), Look::List(o.object.issuer_ref())];
    }
    let until = now + SignedDuration::from_secs(60);
    let refused = || Some(Refusal { message: "it is refused".to_owned(), until });
    (o.render_refused, o.move_refused) = (refused().filter(|_| refusals[0]), refused().filter(|_| refusals[1]));
    if let Some(issuer) = o.issuer.as_mut().filter(|_| refusals[2]) {
        (issuer.held, issuer.unheld) = (false, Some("it is refused".into()));
    }
    if refusals[3]
        && let SecretView::Present(seen) = &mut o.secret
        && let Some(delivered) = &mut seen.delivered
    {
        delivered.asked = "something else".into();
    }
    if asked {
        o.object
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(crate::api::ROTATE_ANNOTATION.into(), "now".into());
    }
    o.object.spec.rotation = manual.then(|| Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    o.object.spec.suspend = suspended.then_some(true);
    if typed {
        let template = SecretTemplate { type_: Some("example.com/type".into()), ..SecretTemplate::default() };
        o.object.spec.secret_template = Some(template);
    }
    if edited {
        o.object.metadata.generation = Some(2);
    }
    if let Some(issuer) = o.issuer.as_mut().filter(|_| denied) {
        issuer.namespace_selected = Some(false);
    }
    if place > 0 {
        o.object.spec.secret_name = Some("elsewhere".into());
        let there = match (&o.secret, place) {
            (SecretView::Present(seen), 2) => SecretView::Present(seen.clone()),
            (SecretView::Present(seen), 3) => {
                SecretView::Present(Box::new(SecretSeen { delivered: None, ..(**seen).clone() }))
            }
            _ => SecretView::Absent,
        };
        o.others.insert("elsewhere".into(), there);
    }
    let generation = o.object.metadata.generation.unwrap_or_default();
    let tried = status::Tried::of(&o.object);
    let Some(status) = o.object.status.as_mut() else { return };
    if let Some(client) = status.client.as_mut() {
        client.expires_time = expiring.then_some(Time(now - SignedDuration::from_secs(1)));
        let client = client.clone();
        for n in 0..retiring {
            let former =
                crate::api::IssuedClient { id: format!("former-{n}"), attempt: format!("f{n}"), ..client.clone() };
            status.retiring.push(status::retiring(&former, now, std::time::Duration::from_hours(1)));
        }
    }
    if failed {
        *status = status::failed(&tried, status, Reason::SecretRefused, "why", generation, now);
    }
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
