//! Observations of any kind, for the properties that hold of all of them.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use proptest::prelude::*;

use super::{
    super::*,
    servers::{Replica, issued, servers},
};
use crate::{
    api::{
        ABANDON_ANNOTATION, DeletionPolicy, DurationText, Expires, IssuedClient, IssuerRef, PersonalClientSpec,
        RECORD_ANNOTATION, ROTATE_ANNOTATION, Reason, Rotation, RotationPolicy, SecretTemplate, Workload, WorkloadKind,
    },
    c1::Client,
};

/// Each for itself: where half of all were true nothing ever got past the first that stands in the way.
fn rarely<const N: usize>() -> impl Strategy<Value = [bool; N]> {
    prop::array::UniformArrayStrategy::new(prop::bool::weighted(0.2))
}

/// An observation, from one of a new or a settled object, with anything about it changed.
pub(super) fn observations() -> impl Strategy<Value = (Observed, Timestamp)> {
    let spec = (any::<Option<String>>(), any::<Option<String>>(), any::<bool>(), any::<bool>());
    let world = (rarely::<8>(), prop_oneof![1 => 0..4_usize, 3 => Just(4)], 0..4_usize, -400_000_i64..400_000_000);
    let life = (
        rarely::<10>(),
        rarely::<4>(),
        prop_oneof![3 => Just(0), 1 => 1..4_usize],
        prop_oneof![3 => Just(0), 1 => 1..4_usize],
    );
    (spec, world, life, wishes(), pasts(), rarely::<6>()).prop_map(
        |((expires, display_name, retain, no_roles), (flags, secret, content, ahead), life, wishes, past, sights)| {
            let [new, deleting, unlisted, empty, clock_off, no_identity, no_issuer, open] = flags;
            let (servers, mut replica) = if new {
                let servers = servers();
                let replica = Replica::new(&servers);
                (servers, replica)
            } else {
                issued()
            };
            if !unlisted {
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
                o.object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
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
            wish(&mut o.object.spec, wishes);
            has_been(&mut o, now, past);
            is_seen(&mut o, now, sights);
            (o, now)
        },
    )
}

/// From where it is looked at, and what somebody lets go.
fn is_seen(o: &mut Observed, now: Timestamp, flags: [bool; 6]) {
    let [cached, incomplete, ending, abandoned, stale, all_rights] = flags;
    o.live = !cached;
    o.namespace_terminating = ending;
    if abandoned {
        o.object.metadata.annotations.get_or_insert_default().insert(ABANDON_ANNOTATION.into(), "true".into());
    }
    if stale {
        o.as_of = now - SignedDuration::from_hours(1);
    }
    let Some(issuer) = &mut o.issuer else { return };
    issuer.full_permissions = all_rights;
    if let Some(inventory) = issuer.inventory.as_mut().filter(|_| incomplete) {
        inventory.complete = false;
    }
}

/// What people write as a duration.
fn duration() -> impl Strategy<Value = Option<DurationText>> {
    let text = prop_oneof![
        Just(String::new()),
        Just("10m".to_owned()),
        Just("24h".to_owned()),
        "[0-9]{1,6}[hms]",
        any::<String>()
    ];
    prop::option::of(text.prop_map(DurationText))
}

type Wishes = ([Option<DurationText>; 4], [bool; 2], Option<Vec<String>>);

/// What else a spec can say, whatever the schema lets through.
fn wishes() -> impl Strategy<Value = Wishes> {
    let network = prop_oneof!["[0-9]{1,3}\\.0\\.0\\.0/[0-9]{1,2}", any::<String>()];
    (prop::array::uniform4(duration()), rarely::<2>(), prop::option::of(prop::collection::vec(network, 0..3)))
}

fn wish(spec: &mut PersonalClientSpec, ([renew_before, max_age, overlap, max_overlap], flags, networks): Wishes) {
    let [restarts, other_issuer] = flags;
    let consumer = Workload { kind: WorkloadKind::Deployment, name: Some("app".into()), selector: None };
    let restart = restarts.then(|| vec![consumer]);
    let policy = spec.rotation.as_ref().and_then(|rotation| rotation.policy);
    spec.rotation = Some(Rotation { policy, renew_before, max_age, overlap, max_overlap, restart });
    spec.allow_source_cidr = networks;
    if other_issuer {
        spec.issuer_ref = Some(IssuerRef { name: "other".into(), ..IssuerRef::default() });
    }
}

type Past = ([bool; 10], usize, i64);

/// What it has been through, and what this process remembers of that.
fn pasts() -> impl Strategy<Value = Past> {
    (rarely::<10>(), prop_oneof![3 => Just(0), 1 => 1..5_usize], -400_000_i64..4_000_000)
}

fn has_been(o: &mut Observed, now: Timestamp, (flags, abandoned, left): Past) {
    let [gone, drifted, former_issuer, unsent, in_flight, foreign, moving, elsewhere, pending, undeleted] = flags;
    if gone {
        o.reads.insert("client-1".into(), ClientRead::Gone);
        o.reads.insert("former-0".into(), ClientRead::Gone);
    }
    if let (true, Some(client)) = (drifted, o.issuer.as_ref().and_then(|i| i.inventory.as_ref()?.clients.first())) {
        let changed = Client { allow_source_cidr: vec!["192.0.2.0/24".into()], ..client.clone() };
        o.reads.insert("client-1".into(), ClientRead::Live(Box::new(changed)));
    }
    let mut record = Record::of(&o.object);
    let since = now - SignedDuration::from_hours(1);
    record.abandoned.extend((0..abandoned).map(|n| AbandonedAttempt {
        attempt: format!("given-up-{n}"),
        issuer_ref: IssuerRef::default(),
        since,
    }));
    record.moving = moving.then(|| FormerSecret { secret_name: "elsewhere".into(), since });
    if elsewhere {
        record.elsewhere =
            ["deployer", "elsewhere"].map(|name| FormerSecret { secret_name: name.into(), since }).into();
        if let SecretView::Present(seen) = &o.secret {
            o.others.insert("once".into(), SecretView::Present(seen.clone()));
            record.elsewhere.push(FormerSecret { secret_name: "once".into(), since });
        }
    }
    o.unsent = record.open.as_ref().filter(|_| unsent).map(|open| open.attempt.clone());
    let text = serde_json::to_string(&record).unwrap();
    o.object.metadata.annotations.get_or_insert_default().insert(RECORD_ANNOTATION.into(), text);
    if let Some(issuer) = o.issuer.as_ref().filter(|_| former_issuer) {
        o.former.insert(IssuerRef::default(), issuer.clone());
    }
    o.in_flight = in_flight;
    if undeleted {
        o.undeleted = ["given-up-0".to_owned(), "client-2".to_owned()].into();
    }
    if let (true, SecretView::Present(seen)) = (foreign, &mut o.secret)
        && let Some(delivered) = &mut seen.delivered
    {
        (delivered.client.id, delivered.client.attempt) = ("client-2".into(), "given-up-0".into());
    }
    let Some(status) = &mut o.object.status else { return };
    status.restart_pending = pending.then_some(true);
    if let Some(client) = status.client.as_mut().filter(|client| client.expires_time.is_none() && left > 0) {
        client.expires_time = Some(Time(now + SignedDuration::from_secs(left)));
    }
}

type Life = ([bool; 10], [bool; 4], usize, usize);

/// What its life has brought: requests, failures, an overlap, moves, and what stands in their way.
fn lives(o: &mut Observed, now: Timestamp, (flags, refusals, place, retiring): Life) {
    let [asked, manual, suspended, failed, delete_failed, look_failed, denied, edited, typed, expiring] = flags;
    if delete_failed {
        o.undeleted = ["client-1".to_owned(), "former-0".to_owned()].into();
    }
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
        o.object.metadata.annotations.get_or_insert_default().insert(ROTATE_ANNOTATION.into(), "now".into());
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
            let former = IssuedClient { id: format!("former-{n}"), attempt: format!("f{n}"), ..client.clone() };
            status.retiring.push(status::retiring(&former, now, Duration::from_hours(1)));
        }
    }
    if failed {
        *status = status::failed(&tried, status, Reason::SecretRefused, "why", generation, now);
    }
}
