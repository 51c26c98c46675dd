//! The spec names another issuer: a client is issued there, and what was made at the former one ends there, as whom it was made.

use std::time::Duration;

use super::{super::*, case::Case, case::live};
use crate::api::{IssuerKind, IssuerRef, Reason};

const HOUR: Duration = Duration::from_hours(1);

fn former() -> IssuerRef {
    IssuerRef::default()
}

fn other() -> IssuerRef {
    IssuerRef { kind: IssuerKind::ClientIssuer, name: "other".into() }
}

/// The object of a case names the issuer `other` now, of another tenant, whose list is empty.
fn moved(mut case: Case) -> Case {
    let view = case.issuer().clone();
    case.issuer().identity = Some(Identity { host: "elsewhere".into(), user_id: "another".into() });
    case.inventory().clients.clear();
    case.inventory().empty = true;
    case.o.former.insert(former(), view);
    case.o.object.spec.issuer_ref = Some(other());
    case.o.object.metadata.generation = Some(2);
    case
}

/// For an object that was never issued: an attempt, begun long ago.
fn begun() -> Case {
    let mut case = Case::new();
    case.o.object.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
    case.begun("a", HOUR);
    case
}

/// An issuer that fails.
fn fails(view: &mut IssuerView) {
    view.not_ready = Some((Reason::Unreachable, "no answer".into()));
}

fn at_former(case: &mut Case) -> &mut IssuerView {
    case.o.former.get_mut(&former()).unwrap()
}

/// After it was issued anew: `client-0`, made by the former issuer, retires and is due; the Secret holds `client-1`, of the other.
fn replaced() -> Case {
    let mut case = Case::ready();
    let overlap = case.o.timing.overlap.least;
    let mut old = case.current().clone();
    (old.id, old.attempt) = ("client-0".into(), "attempt-0".into());
    let since = case.ago(HOUR * 2);
    case.status().retiring = vec![status::retiring(&old, since, overlap)];
    case.lists("client-0", "attempt-0");
    let listed = case.listed().clone();
    let mut case = moved(case);
    let current = case.current();
    (current.issuer_ref, current.host, current.user_id) = (other(), "elsewhere".into(), "another".into());
    let client = current.clone();
    case.delivered().client = client;
    case.delivered().asked = asked(&case.o.object.clone());
    let (here, there): (Vec<_>, Vec<_>) = listed.into_iter().partition(|c| c.id == "client-1");
    *case.listed() = here;
    case.inventory().empty = false;
    at_former(&mut case).inventory.as_mut().unwrap().clients = there;
    case
}

fn removed(mut case: Case) -> Case {
    case.o.object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
    case.o.listed.extend([former(), other()]);
    case
}

#[test]
fn a_client_is_issued_there_and_the_former_one_retires_where_it_was_made() {
    let case = moved(Case::ready());
    let step = case.issue();
    assert_eq!((step.need, &step.issuer_ref), (Need::SpecChanged, &other()));
    assert_eq!(step.identity.host, "elsewhere");
    assert_eq!(step.replaces.unwrap().issuer_ref, former());
    let open = step.record.open.unwrap();
    assert_eq!((open.issuer_ref, open.host.as_str()), (other(), "elsewhere"));
}

#[test]
fn what_the_former_issuer_made_is_ended_there() {
    let case = replaced();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    let (at, identity) = case.o.caller("client-0").unwrap();
    assert_eq!((at, identity.host.as_str()), (former(), "h"));
    assert_eq!(case.o.caller("client-1").unwrap().0, other());
}

/// Absence from the list of another tenant is no evidence.
#[test]
fn whether_a_client_lives_its_own_issuer_tells() {
    let mut case = moved(Case::ready());
    assert_eq!(case.issue().need, Need::SpecChanged, "it is not taken for gone");
    assert_eq!(case.o.caller("client-1").unwrap().0, former(), "where it is read");
    at_former(&mut case).inventory.as_mut().unwrap().clients.clear();
    case.reads(ClientRead::Gone);
    assert_eq!(case.reason(), Reason::Revoked.as_str());
    at_former(&mut case).inventory.as_mut().unwrap().complete = false;
    assert_eq!(case.issue().need, Need::SpecChanged, "its issuer does not tell");
}

#[test]
fn a_former_issuer_that_fails_holds_nothing_up() {
    let mut case = replaced();
    fails(at_former(&mut case));
    assert!(!matches!(case.step(), Step::Revoke(_)));
    assert_eq!(case.o.caller("client-0"), None);
    let mut gone = replaced();
    gone.o.former.clear();
    assert!(!matches!(gone.step(), Step::Revoke(_)));
    for broken in [case, gone] {
        let mut case = broken;
        let retiring = case.status().retiring[0].clone();
        case.status().retiring = vec![retiring; 3];
        let request = ("now".to_owned(), crate::api::ROTATE_ANNOTATION.to_owned());
        case.o.object.metadata.annotations.get_or_insert_default().insert(request.1, request.0);
        while let Step::UpdateStatus(status) = case.step() {
            case.o.object.status = Some(*status);
        }
        assert_eq!(case.issue().need, Need::Requested, "what cannot be ended does not count as ending");
    }
}

/// Of the same tenant and user: what it made can be reached by either.
#[test]
fn another_issuer_of_the_same_user_ends_it_too() {
    let mut case = replaced();
    let identity = at_former(&mut case).identity.clone();
    let clients = at_former(&mut case).inventory.clone().unwrap().clients;
    case.o.former.clear();
    case.issuer().identity = identity;
    case.listed().extend(clients);
    case.current().host = "h".into();
    case.current().user_id = "user".into();
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    assert_eq!(case.o.caller("client-0").unwrap().0, other());
}

#[test]
fn an_open_attempt_is_judged_where_it_was_sent() {
    let mut found = begun();
    found.lists("made", "a");
    let found = moved(found);
    let Step::Abandon(step) = found.step() else { panic!("{:?}", found.step()) };
    assert_eq!((step.client_id.as_str(), &step.issuer_ref), ("made", &former()));
    let nothing = moved(begun());
    let step = nothing.issue();
    assert_eq!(step.issuer_ref, other());
    let given_up = step.record.abandoned.iter().find(|a| a.attempt == "a").unwrap();
    assert_eq!(given_up.issuer_ref, former(), "what it makes late comes to light there");
}

#[test]
fn an_attempt_at_a_former_issuer_that_fails_or_is_gone_is_a_guess() {
    let never_reached = |case: &mut Case| {
        fails(at_former(case));
        (at_former(case).identity, at_former(case).inventory) = (None, None);
    };
    let fails = |case: &mut Case| fails(at_former(case));
    for change in [fails as fn(&mut Case), never_reached, |case: &mut Case| case.o.former.clear()] {
        let mut case = moved(begun());
        change(&mut case);
        assert!(case.issue().record.is_abandoned("a"));
    }
    let mut case = moved(begun());
    at_former(&mut case).inventory = None;
    at_former(&mut case).identity = None;
    assert!(!matches!(case.step(), Step::Issue(_) | Step::Look(_)), "its first look is under way, and will tell");
}

/// What an attempt made late at the former issuer is found while the attempt is remembered.
#[test]
fn what_comes_to_light_at_a_former_issuer_is_deleted_there() {
    let mut case = Case::ready();
    case.given_up(&["a"]);
    case.lists("late", "a");
    let mut case = moved(case);
    let Step::Abandon(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!((step.client_id.as_str(), &step.issuer_ref), ("late", &former()));
    assert_eq!(case.o.caller("late").unwrap().0, former());
    at_former(&mut case).identity = None;
    assert!(!matches!(case.step(), Step::Abandon(_)));
}

#[test]
fn which_issuers_an_object_needs() {
    let needed = |case: &Case| issuers_of(&case.o.object).collect::<std::collections::BTreeSet<_>>();
    let both: std::collections::BTreeSet<_> = [former(), other()].into();
    assert_eq!(needed(&moved(Case::new())), [other()].into());
    assert_eq!(needed(&moved(Case::ready())), both, "of its current client");
    assert_eq!(needed(&replaced()), both, "of one that retires");
    assert_eq!(needed(&moved(begun())), both, "of an open attempt");
    let mut given_up = Case::new();
    given_up.given_up(&["a"]);
    let given_up = moved(given_up);
    assert_eq!(needed(&given_up), [other()].into(), "nobody holds an issuer for what has most likely come to nothing");
    assert_eq!(other_issuers(&given_up.o.object, std::iter::empty()), [former()].into(), "but looks there");
    let mut held = Case::ready();
    let delivered = held.delivered().clone();
    held.o.object.status = None;
    assert_eq!(other_issuers(&moved(held).o.object, std::iter::once(&delivered)), [former()].into());
}

#[test]
fn a_removal_ends_what_is_at_either() {
    let case = removed(replaced());
    let Step::Remove(step) = case.step() else { panic!("{:?}", case.step()) };
    let victims: Vec<&str> = step.victims.iter().map(|v| v.id.as_str()).collect();
    assert_eq!(victims, ["client-1", "client-0"]);
}

#[test]
fn a_removal_waits_for_the_issuer_that_can_end_it() {
    for (change, words) in [
        ((|case: &mut Case| fails(at_former(case))) as fn(&mut Case), "is not ready: Unreachable: no answer"),
        (|case: &mut Case| case.o.former.clear(), "does not exist"),
    ] {
        let mut case = removed(replaced());
        change(&mut case);
        let (reason, message) = case.said();
        assert_eq!(reason, Reason::RevocationBlocked.as_str());
        assert!(message.starts_with(&format!("ClusterClientIssuer default {words}")), "{message}");
    }
}

/// In a namespace that goes nobody waits for ever; but what can be reached is ended.
#[test]
fn a_namespace_that_goes_leaves_only_what_cannot_be_reached() {
    let mut case = removed(replaced());
    fails(at_former(&mut case));
    at_former(&mut case).identity = None;
    case.o.namespace_terminating = true;
    assert!(!matches!(case.step(), Step::Remove(_)), "it waits a while");
    let deleted = case.ago(Duration::from_mins(10));
    case.o.object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(deleted));
    let Step::Remove(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(step.left_behind, ["client-0"]);
    assert_eq!(step.victims.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["client-1"]);
}

#[test]
fn an_attempt_that_was_given_up_at_an_issuer_that_is_gone_holds_no_removal_up() {
    let mut case = begun();
    let since = case.ago(HOUR);
    let record = case.recorded_attempts().burnt(since);
    case.record(&record);
    let mut case = removed(moved(case));
    let mut blocked = Case { o: case.o.clone(), now: case.now };
    at_former(&mut blocked).identity = None;
    assert_eq!(blocked.reason(), Reason::RevocationBlocked.as_str());
    case.o.former.clear();
    assert!(matches!(case.step(), Step::Remove(_)), "{:?}", case.step());
}

#[test]
fn a_client_of_a_former_issuer_that_only_the_secret_names_is_taken_over() {
    let mut case = moved(Case::ready());
    case.o.object.status = None;
    let (reason, message) = case.said();
    assert_eq!(reason, Reason::Issuing.as_str());
    assert!(message.contains("a new one is being issued"), "{message}");
    let Step::UpdateStatus(status) = case.step() else { unreachable!() };
    assert_eq!(status.client.unwrap().issuer_ref, former());
    // Against another that status names, only what is shown to live.
    let mut against = moved(Case::ready());
    against.current().id = "another".into();
    at_former(&mut against).inventory.as_mut().unwrap().clients.clear();
    assert_eq!(against.step(), Step::Look(Look::Client("client-1".into())));
    against.reads(live(true));
    assert!(matches!(against.step(), Step::UpdateStatus(status) if status.client.as_ref().unwrap().id == "client-1"));
}

#[test]
fn a_clock_that_is_off_at_either_is_off() {
    let mut case = replaced();
    at_former(&mut case).clock_off = true;
    assert!(!matches!(case.step(), Step::Revoke(_)));
}

/// Whoever takes the issuer away takes its credentials away with the same commit.
#[test]
fn a_former_issuer_without_credentials_ends_what_it_made_with_the_login_that_it_has() {
    let mut case = replaced();
    at_former(&mut case).not_ready = Some((Reason::CredentialsNotFound, "gone".into()));
    assert_eq!(case.step(), Step::Revoke("client-0".into()));
    at_former(&mut case).identity = None;
    assert!(!matches!(case.step(), Step::Revoke(_) | Step::Look(_)), "{:?}", case.step());
}

#[test]
fn a_client_that_has_expired_where_nobody_can_end_it_is_struck() {
    let mut case = replaced();
    fails(at_former(&mut case));
    let past = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now);
    case.status().retiring[0].expires_time = Some(past);
    assert_eq!(case.step(), Step::Strike("client-0".into()));
    case.issuer().clock_off = true;
    assert!(!matches!(case.step(), Step::Strike(_)), "nobody knows the time");
    case.issuer().clock_off = false;
    let Step::Remove(step) = removed(case).step() else { panic!("it waits for what has ended") };
    assert_eq!(step.victims.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["client-1"]);
}

#[test]
fn an_attempt_that_was_given_up_long_ago_holds_no_removal_up() {
    let removed_after = |days: u64| {
        let mut case = begun();
        let since = case.ago(Duration::from_hours(24 * days));
        let record = case.recorded_attempts().burnt(since);
        case.record(&record);
        let mut case = removed(moved(case));
        fails(at_former(&mut case));
        case.step()
    };
    assert!(matches!(removed_after(8), Step::Remove(_)));
    assert!(!matches!(removed_after(6), Step::Remove(_)));
}

/// An issuer would be held for it until the next credential.
#[test]
fn an_attempt_that_came_to_nothing_where_nobody_is_asked_any_more_is_closed() {
    let tried = |ago: Duration| {
        let mut case = Case::ready();
        case.begun("a", ago);
        let mut record = case.recorded_attempts();
        record.open.as_mut().unwrap().issuer_ref = other();
        case.record(&record);
        let view = case.issuer().clone();
        case.o.former.insert(other(), view);
        case
    };
    let case = tried(HOUR);
    let Step::Close(record) = case.step() else { panic!("{:?}", case.step()) };
    assert!(record.open.is_none() && record.is_abandoned("a"));
    assert!(!matches!(tried(Duration::ZERO).step(), Step::Close(_)), "its maker may be at work");
    let mut own = tried(HOUR);
    let mut record = own.recorded_attempts();
    record.open.as_mut().unwrap().issuer_ref = former();
    own.record(&record);
    assert_eq!(own.step(), Step::Nothing, "the next one closes it");
    let mut used = tried(HOUR);
    used.lists("made", "a").last_used_at = Some(used.now);
    let Step::Close(record) = used.step() else { panic!("{:?}", used.step()) };
    assert!(record.open.is_none() && !record.is_abandoned("a"), "it is somebody's");
}

/// The own issuer is gone, and the attempt was sent through it as the user whom another issuer serves.
#[test]
fn a_list_of_another_issuer_of_the_same_user_is_enough() {
    let mut case = begun();
    let view = case.issuer().clone();
    case.o.former.insert(other(), view);
    case.o.issuer = None;
    assert_eq!(case.reason(), Reason::IssuerNotFound.as_str(), "it is known what came of the attempt");
}

#[test]
fn what_only_a_former_secret_names_is_looked_up_where_it_was_made() {
    let mut case = moved(Case::ready());
    let mut seen = case.secret().clone();
    let delivered = seen.delivered.as_mut().unwrap();
    delivered.client.id = "client-9".into();
    case.delivered().client.issuer_ref = other();
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(seen)));
    assert_eq!(case.o.caller("client-9").unwrap().0, former());
    assert_eq!(other_issuers(&Case::new().o.object, case.o.delivered()), [other()].into());
}

#[test]
fn a_client_is_called_through_its_own_issuer_first_listed_or_not() {
    let mut case = replaced();
    let same = at_former(&mut case).identity.clone();
    case.issuer().identity = same;
    assert_eq!(case.o.caller("client-0").unwrap().0, former(), "the other would do as well");
    let mut unlisted = replaced();
    at_former(&mut unlisted).inventory.as_mut().unwrap().clients.clear();
    assert_eq!(unlisted.o.caller("client-0").unwrap().0, former());
    let mut second = unlisted.status().retiring[0].clone();
    (second.id, second.issuer_ref, second.host, second.user_id) =
        ("client-9".into(), other(), "elsewhere".into(), "another".into());
    unlisted.status().retiring.insert(0, second);
    assert_eq!(unlisted.o.caller("client-0").unwrap().0, former());
    assert_eq!(unlisted.o.caller("client-9").unwrap().0, other());
}

#[test]
fn an_attempt_that_was_given_up_elsewhere_is_looked_for_there() {
    let mut case = Case::ready();
    let record = case.recorded_attempts().giving_up(&"a".into(), &other(), case.now);
    case.record(&record);
    let near: Vec<_> = issuers_near(&case.o.object).collect();
    assert!(near.contains(&former()) && near.contains(&other()), "{near:?}");
}

#[test]
fn a_removal_names_the_issuer_that_alone_knows_of_an_attempt() {
    let mut case = removed(moved(begun()));
    fails(at_former(&mut case));
    let (_, message) = case.said();
    assert!(message.starts_with("ClusterClientIssuer default is not ready"), "{message}");
}
