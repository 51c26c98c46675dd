//! Moves: the credential goes to a Secret of another name, and no copy stays.

use super::{super::*, case::Case, renewals::settled};
use crate::api::{DeletionPolicy, PersonalClientStatus, Reason};

/// The spec asks for another Secret than that which holds the credential.
pub(super) fn moving() -> Case {
    let mut case = Case::ready();
    case.o.object.spec.secret_name = Some("elsewhere".into());
    case.o.object.metadata.generation = Some(2);
    case.o.others.insert("elsewhere".into(), SecretView::Absent);
    case
}

/// A Secret with a copy of what the current one holds.
pub(super) fn copy(case: &mut Case) -> SecretSeen {
    let mut seen = case.secret().clone();
    (seen.uid, seen.resource_version) = ("copy".into(), "77".into());
    seen
}

pub(super) fn remembers(case: &mut Case, names: &[&str]) {
    let record = case.recorded_attempts().remembering(names.iter().copied(), case.now);
    case.record(&record);
}

pub(super) fn remembered(record: &Record) -> Vec<&str> {
    record.elsewhere.iter().map(|e| e.secret_name.as_str()).collect()
}

pub(super) fn relocation(case: &Case) -> RelocateStep {
    match case.step() {
        Step::Relocate(step) => *step,
        other => panic!("nothing is moved, but {other:?}"),
    }
}

/// Which Secret is tidied.
fn tidied(case: &Case) -> String {
    match case.step() {
        Step::Tidy(step) => step.name,
        other => panic!("nothing is tidied, but {other:?}"),
    }
}

/// After it was moved: the copy is what counts, and the former Secret is still there.
pub(super) fn moved() -> Case {
    let mut case = moving();
    let former = case.secret().clone();
    let copy = copy(&mut case);
    remembers(&mut case, &["deployer", "elsewhere"]);
    case.status().secret_name = Some("elsewhere".into());
    case.status().secret_resource_version = Some(copy.resource_version.clone());
    case.status().observed_generation = 2;
    case.o.secret = SecretView::Present(Box::new(copy));
    case.o.others = [("deployer".to_owned(), SecretView::Present(Box::new(former)))].into();
    case
}

#[test]
fn the_former_secret_goes_when_status_names_the_new_one() {
    let mut case = moved();
    assert_eq!(tidied(&case), "deployer");
    case.o.tidy_failed = true;
    assert!(!matches!(case.step(), Step::Tidy(_)), "what cannot be deleted holds nothing up");
    case.o.tidy_failed = false;
    case.o.others.insert("deployer".into(), SecretView::Absent);
    assert!(!matches!(case.step(), Step::Tidy(_) | Step::Relocate(_)));
}

/// A Secret that says it is ours may be somebody's copy.
#[test]
fn what_is_not_on_record_is_neither_deleted_nor_written() {
    let mut case = moved();
    case.record(&Record::default());
    assert!(!matches!(case.step(), Step::Tidy(_)));
    let mut case = moving();
    let copy = copy(&mut case);
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(copy)));
    assert_eq!(case.reason(), Reason::SecretConflict.as_str());
}

#[test]
fn a_secret_of_that_name_that_is_not_ours_is_neither_deleted_nor_written() {
    let mut case = moved();
    let mut foreign = case.secret().clone();
    foreign.delivered = None;
    case.o.others.insert("deployer".into(), SecretView::Present(Box::new(foreign.clone())));
    assert!(!matches!(case.step(), Step::Tidy(_)));
    let mut case = moving();
    remembers(&mut case, &["deployer", "elsewhere"]);
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    let (reason, message) = case.said();
    assert_eq!(reason, Reason::SecretConflict.as_str());
    assert!(message.contains("Secret elsewhere exists") && message.contains("stays in Secret deployer"), "{message}");
    let mut namesakes = copy(&mut case);
    namesakes.delivered.as_mut().unwrap().owner.uid = "another".into();
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(namesakes)));
    assert_eq!(
        case.reason(),
        Reason::SecretConflict.as_str(),
        "an earlier object's may hold a client that nothing else names"
    );
}

/// Somebody may have read it.
#[test]
fn what_only_a_former_secret_names_is_named_before_it_goes() {
    let mut case = moved();
    let former = case.o.others.get_mut("deployer");
    let Some(SecretView::Present(seen)) = former else { unreachable!() };
    seen.delivered.as_mut().unwrap().client.id = "another".into();
    case.lists("another", "attempt-9");
    let Step::UpdateStatus(status) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(status.retiring[0].id, "another");
    case.o.object.status = Some(*status);
    assert_eq!(tidied(&case), "deployer");
}

#[test]
fn whoever_changes_the_name_again_leaves_no_copy() {
    let mut case = moving();
    let copy = copy(&mut case);
    remembers(&mut case, &["deployer", "elsewhere"]);
    case.o.object.spec.secret_name = Some("third".into());
    case.o.others =
        [("elsewhere".to_owned(), SecretView::Present(Box::new(copy))), ("third".to_owned(), SecretView::Absent)]
            .into();
    assert_eq!(tidied(&case), "elsewhere");
    case.o.object.spec.secret_name = None;
    case.o.others.remove("third");
    assert_eq!(tidied(&case), "elsewhere", "it was changed back");
}

#[test]
fn what_cannot_be_read_waits() {
    let mut case = moving();
    case.o.others.insert("elsewhere".into(), SecretView::Unknown("why".into()));
    let plan = case.plan();
    assert!(plan.step == Step::Nothing && plan.wake > Some(case.now));
    let mut case = moved();
    case.o.others.insert("deployer".into(), SecretView::Unknown("why".into()));
    assert!(!matches!(case.step(), Step::Tidy(_)));
}

#[test]
fn the_maker_of_an_attempt_cannot_make_the_former_secret_anew() {
    let mut case = moving();
    case.begun("asleep", std::time::Duration::from_hours(1));
    let step = relocation(&case);
    assert!(step.record.open.is_none() && step.record.is_abandoned("asleep"));
    let mut used = moving();
    used.begun("asleep", std::time::Duration::from_hours(1));
    used.lists("made", "asleep").last_used_at = Some(used.now);
    let step = relocation(&used);
    assert!(step.record.open.is_none() && !step.record.is_abandoned("asleep"), "somebody uses what it made");
    let mut carried = moving();
    let attempt = carried.status().client.as_ref().unwrap().attempt.clone();
    carried.begun(&attempt, std::time::Duration::from_hours(1));
    let step = relocation(&carried);
    assert!(step.record.open.is_none() && !step.record.is_abandoned(&attempt), "it is the current one's");
}

#[test]
fn what_is_lost_is_issued_where_the_spec_wants_it() {
    let mut case = moving();
    case.secret().content = Content::Altered;
    let lost = status::not_ready(&case.status().clone(), Reason::SecretLost, "lost", 2, case.now);
    *case.status() = lost;
    let step = case.issue();
    assert_eq!((step.secret_name.as_str(), &step.secret), ("elsewhere", &None));
    assert_eq!(step.record.open.as_ref().unwrap().secret_name, "elsewhere");
    assert_eq!(remembered(&step.record), ["deployer", "elsewhere"], "what does not count must not stay");
    let mut foreign = case.secret().clone();
    foreign.delivered = None;
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    assert_eq!(case.reason(), Reason::SecretConflict.as_str());
    case.o.others.insert("elsewhere".into(), SecretView::Unknown("why".into()));
    assert!(case.plan().wake > Some(case.now), "what cannot be read waits");
}

/// A maker that is to deliver may have done so: until that is known its Secret is the one that counts.
#[test]
fn while_a_first_client_is_made_the_secret_of_its_attempt_counts() {
    let mut case = Case::new();
    case.begun("a", std::time::Duration::ZERO);
    case.o.object.spec.secret_name = Some("elsewhere".into());
    let record = case.recorded_attempts();
    assert_eq!(current_secret(&case.o.object, &record), "deployer");
    assert_eq!(other_secrets(&case.o.object, &record), ["elsewhere".to_owned()].into());
    assert_eq!(current_secret(&case.o.object, &record.burnt(case.now)), "elsewhere", "it came to nothing");
    let left = record.leaving(&"a".into(), &crate::api::IssuerRef::default(), "deployer", &case.o.object, case.now);
    assert_eq!(remembered(&left), ["deployer"], "and may yet deliver");
}

#[test]
fn what_is_suspended_is_not_moved() {
    let mut case = moving();
    case.o.object.spec.suspend = Some(true);
    assert!(!matches!(case.step(), Step::Relocate(_)));
}

#[test]
fn a_removal_leaves_no_copy() {
    let removed = |mut case: Case| -> Option<Vec<String>> {
        case.o.object.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
        match case.step() {
            Step::Remove(step) => Some(step.secrets.into_iter().map(|(name, ..)| name).collect()),
            _ => None,
        }
    };
    assert_eq!(removed(moved()).unwrap(), ["elsewhere", "deployer"]);
    let mut case = moved();
    case.o.others.insert("deployer".into(), SecretView::Unknown("why".into()));
    assert_eq!(removed(case), None, "what it holds may be a copy");
    let mut case = moving();
    case.o.others.insert("elsewhere".into(), SecretView::Unknown("why".into()));
    remembers(&mut case, &["another"]);
    assert_eq!(removed(case).unwrap(), ["deployer"], "nothing was ever written there");
    let mut case = moved();
    case.record(&Record::default().remembering(["deployer"], case.now));
    case.o.others.insert("deployer".into(), SecretView::Unknown("why".into()));
    assert_eq!(removed(case), None, "by its very name");
    let mut case = moved();
    case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    assert_eq!(removed(case).unwrap(), ["deployer"], "what is kept is the one that counts");
}

/// What has to be replaced is replaced where it is; but a name that cannot be had must not let it expire.
#[test]
fn it_is_moved_before_it_is_replaced_and_replaced_when_it_cannot_be_moved() {
    let mut due = moving();
    due.o
        .object
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(crate::api::ROTATE_ANNOTATION.into(), "now".into());
    assert!(matches!(due.step(), Step::Relocate(_)), "{:?}", due.step());
    let mut foreign = due.secret().clone();
    foreign.delivered = None;
    due.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    assert_eq!(due.reason(), Reason::SecretConflict.as_str());
    let due = settled(due);
    assert!(matches!(due.step(), Step::Issue(step) if step.secret_name == "deployer"), "{:?}", due.step());
}

#[test]
fn a_name_that_cannot_be_had_holds_up_no_change() {
    let mut case = moving();
    let mut foreign = case.secret().clone();
    foreign.delivered = None;
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    case.o.object.spec.display_name = Some("another".into());
    assert!(matches!(case.step(), Step::Update(_) | Step::Look(Look::Client(_))), "{:?}", case.step());
}

#[test]
fn the_newest_ten_names_are_remembered_for_a_week() {
    let now = moving().now;
    let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    let record = Record::default().remembering(names.iter().map(String::as_str), now);
    assert_eq!(remembered(&record), names[2..]);
    let again = record.clone().remembering(["5"], now);
    assert_eq!((again.elsewhere.len(), remembered(&again).last()), (10, Some(&"5")), "once, and anew");
    let week = std::time::Duration::from_hours(24 * 7);
    let sooner = record.clone().remembering(["new"], now + week.saturating_sub(std::time::Duration::from_secs(1)));
    assert_eq!(sooner.elsewhere.len(), 10);
    assert_eq!(remembered(&record.remembering(["new"], now + week)), ["new"]);
}

/// It may be about to be recorded; its maker has a budget like that of an attempt.
#[test]
fn a_move_that_is_under_way_is_begun_again_when_it_is_old() {
    let begun = |ago: std::time::Duration| {
        let mut case = moving();
        let since = case.ago(ago);
        let mut record = case.recorded_attempts();
        record.moving = Some(FormerSecret { secret_name: "elsewhere".into(), since });
        case.record(&record);
        case.o.open_seen = std::time::Duration::ZERO;
        case
    };
    let young = begun(std::time::Duration::from_secs(1));
    let plan = young.plan();
    assert!(plan.step == Step::Nothing && plan.wake > Some(young.now), "{plan:?}");
    assert!(matches!(begun(std::time::Duration::from_hours(1)).step(), Step::Relocate(_)));
    let mut seen = begun(std::time::Duration::from_secs(1));
    seen.o.open_seen = std::time::Duration::from_hours(1);
    assert!(matches!(seen.step(), Step::Relocate(_)), "by this process's own clock");
    let mut third = begun(std::time::Duration::from_secs(1));
    third.o.object.spec.secret_name = Some("third".into());
    third.o.others = [("third".to_owned(), SecretView::Absent)].into();
    let step = relocation(&third);
    assert_eq!(step.record.moving.as_ref().map(|m| m.secret_name.as_str()), Some("third"));
    assert_eq!(step.record.begun(), Some(format!("third {}", third.now)));
}

#[test]
fn a_client_that_is_issued_where_it_is_wanted_leaves_no_name() {
    assert_eq!(Case::new().issue().record.elsewhere, []);
    assert_eq!(Case::ready().recorded_attempts().elsewhere, []);
}

/// The name of another former Secret is no proof.
#[test]
fn only_the_very_name_on_record_counts() {
    let mut case = moved();
    case.record(&Record::default().remembering(["another"], case.now));
    assert!(!matches!(case.step(), Step::Tidy(_)));
}

#[test]
fn what_is_lost_is_delivered_over_what_is_ours_or_was_left() {
    let lost = |owner: &str, on_record: bool| {
        let mut case = moving();
        let mut copy = copy(&mut case);
        case.secret().content = Content::Altered;
        *case.status() = status::not_ready(&case.status().clone(), Reason::SecretLost, "lost", 2, case.now);
        copy.delivered.as_mut().unwrap().owner.uid = owner.into();
        if on_record {
            remembers(&mut case, &["elsewhere"]);
        }
        case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(copy)));
        case
    };
    let step = lost("uid", true).issue();
    assert_eq!(step.secret.map(|seen| seen.uid).as_deref(), Some("copy"));
    assert!(lost("former", false).issue().secret.is_some(), "of an earlier object of this name");
    assert_eq!(lost("uid", false).reason(), Reason::SecretConflict.as_str(), "somebody's copy");
}

/// While a name cannot be had, the credential expires as ever.
#[test]
fn a_move_that_waits_looks_again_when_time_brings_something() {
    let mut case = moving();
    let expires = case.now + std::time::Duration::from_hours(1);
    case.expires(expires);
    let mut foreign = case.secret().clone();
    foreign.delivered = None;
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    let plan = case.plan();
    assert!(plan.wake.is_some_and(|wake| wake <= expires), "{plan:?}");
}

#[test]
fn an_attempt_whose_client_retires_says_nothing_of_the_secret_that_counts() {
    let mut case = Case::ready();
    let mut retiring = status::retiring(&case.current().clone(), case.now, std::time::Duration::from_hours(1));
    (retiring.id, retiring.attempt) = ("client-0".into(), "former".into());
    case.status().retiring = vec![retiring];
    let mut record = case.recorded_attempts();
    let open = record.open.as_mut().unwrap();
    (open.attempt, open.secret_name) = ("former".into(), "elsewhere".into());
    assert_eq!(current_secret(&case.o.object, &record), "deployer");
    record.open.as_mut().unwrap().attempt = "unknown".into();
    assert_eq!(current_secret(&case.o.object, &record), "elsewhere", "it may have delivered there");
}

/// Found by the model: delivered, not recorded, and named as one that retires by the removal of its object.
#[test]
fn a_removal_takes_what_was_delivered_under_a_name_that_does_not_count_any_more() {
    let mut case = moving();
    case.secret().content = Content::Altered;
    *case.status() = status::not_ready(&case.status().clone(), Reason::SecretLost, "lost", 2, case.now);
    let step = case.issue();
    let mut delivered = copy(&mut case);
    let client = &mut delivered.delivered.as_mut().unwrap().client;
    (client.id, client.attempt) = ("client-2".into(), step.attempt.clone());
    let retiring = status::retiring(client, case.now, std::time::Duration::from_hours(1));
    case.record(&step.record);
    case.lists("client-2", &step.attempt);
    case.status().retiring = vec![retiring];
    case.o.secret = SecretView::Absent;
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(delivered)));
    case.o.listed.insert(crate::api::IssuerRef::default());
    case.now += std::time::Duration::from_hours(1);
    case.o.as_of = case.now;
    case.o.object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
    let Step::Remove(step) = case.step() else { panic!("{:?}", case.step()) };
    assert_eq!(step.secrets.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["elsewhere"]);
}

/// With `Retain` the client of a former Secret that nothing else names stays, and so does what names it.
#[test]
fn a_former_secret_that_alone_names_a_client_is_kept_with_it() {
    let mut case = moved();
    case.o.object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    let Some(SecretView::Present(seen)) = case.o.others.get_mut("deployer") else { unreachable!() };
    seen.delivered.as_mut().unwrap().client.id = "another".into();
    case.o.object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(case.now));
    assert!(matches!(case.step(), Step::Remove(step) if step.secrets.is_empty()));
}

/// Of a first client, delivered and not recorded, whose object goes: status names it as one that retires, so that it ends. Its Secret is
/// still the one that it was delivered to, whatever the spec wants by now.
#[test]
fn a_first_secret_counts_until_another_does() {
    let mut case = moving();
    case.begun("attempt1", std::time::Duration::from_secs(1));
    let retiring = status::retiring(&case.current().clone(), case.now, std::time::Duration::ZERO);
    let status = PersonalClientStatus { retiring: vec![retiring], ..PersonalClientStatus::default() };
    case.o.object.status = Some(status);
    let record = case.recorded_attempts();
    assert_eq!(current_secret(&case.o.object, &record), "deployer");
    case.status().secret_name = Some("third".into());
    assert_eq!(current_secret(&case.o.object, &record), "third");
    case.o.object.status = None;
    assert_eq!(current_secret(&case.o.object, &Record::default()), "elsewhere");
}

/// Somebody has taken the label away by which caches see a Secret of ours.
#[test]
fn that_a_former_secret_is_gone_takes_a_look() {
    let mut case = moved();
    case.o.others.insert("deployer".into(), SecretView::Unknown("it is in no cache".into()));
    case.o.live = false;
    assert_eq!(case.step(), Step::Look(Look::Live));
    // What cannot be read holds nothing up.
    case.o.live = true;
    assert!(!matches!(case.step(), Step::Look(Look::Live)), "{:?}", case.step());
    // Where the spec wants it a move is due, or the credential is.
    case.o.live = false;
    case.o.object.spec.secret_name = Some("deployer".into());
    assert!(!matches!(case.step(), Step::Look(Look::Live)), "{:?}", case.step());
}
