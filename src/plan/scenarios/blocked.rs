//! What cannot be had is said, and holds up nothing else: neither what is said of the credential, nor what it needs.

use super::{
    super::*,
    case::Case,
    moves::moving,
    renewals::{HOUR, MINUTE, asks, rotates, settled},
};
use crate::api::{
    ConditionType, PersonalClientStatus, Reason, Rotation, RotationPolicy, SecretTemplate, condition::find,
};

/// What is said of it when it has come to rest.
pub(super) fn says(case: &Case, kind: ConditionType) -> Option<String> {
    let conditions = case.o.object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    find(conditions, kind).map(|c| c.reason.clone())
}

pub(super) fn at_rest(case: Case) -> Case {
    let case = settled(case);
    assert!(!matches!(case.step(), Step::UpdateStatus(_)), "{:?}", case.step());
    case
}

/// Somebody else's Secret stands where the spec wants it.
fn taken() -> Case {
    let mut case = moving();
    let foreign = SecretSeen { delivered: None, ..case.secret().clone() };
    case.o.others.insert("elsewhere".into(), SecretView::Present(Box::new(foreign)));
    case
}

pub(super) fn template(kind: &str) -> SecretTemplate {
    SecretTemplate { type_: Some(kind.into()), ..SecretTemplate::default() }
}

pub(super) fn refusal(case: &Case) -> Refusal {
    Refusal { message: "it is refused".into(), until: case.now + MINUTE }
}

pub(super) fn expired(mut case: Case) -> Case {
    let now = case.now;
    case.expires(now);
    case
}

#[test]
fn while_it_cannot_move_that_it_has_expired_is_said_and_stays_said() {
    let mut case = expired(taken());
    case.issuer().namespace_selected = Some(false);
    let case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::DeniedByPolicy.as_str()));
    let mut case = expired(taken());
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    assert_eq!(says(&at_rest(case), ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
}

#[test]
fn a_change_in_place_does_not_say_that_it_has_moved() {
    let mut case = settled(taken());
    case.o.object.spec.display_name = Some("another".into());
    let Step::Update(step) = case.step() else { panic!("{:?}", case.step()) };
    let (flight, effect) = Update::start(*step, case.o.object.clone());
    let Some(Effect::Update(request)) = effect else { panic!("{effect:?}") };
    let mut client = case.listed()[0].clone();
    client.display_name.clone_from(&request.display_name);
    let (_, effect) = next(flight, Answer::Updated(Box::new(client)), case.now, &Guards::ALL);
    let Some(Effect::Record { status, .. }) = effect else { panic!("{effect:?}") };
    assert_eq!(status::ready_reason(&status), Some(Reason::SecretConflict.as_str()));
    assert!(status.client.unwrap().display_name.starts_with("another ["));
}

#[test]
fn a_secret_keeps_its_type_and_that_is_said() {
    let mut case = Case::ready();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    case.secret().content = Content::Intact { rendered: false };
    assert_eq!(case.reason(), Reason::SecretRefused.as_str());
    assert!(case.said().1.contains("the type of Secret deployer is Opaque"), "{}", case.said().1);
    let mut case = settled(case);
    assert!(matches!(case.step(), Step::Render(_)), "all else of the template is rendered: {:?}", case.step());
    case.secret().content = Content::Intact { rendered: true };
    assert_eq!(case.step(), Step::Nothing);
    // A new credential is delivered into it as it is.
    asks(&mut case, "now");
    let (flight, _) = Issue::start(case.issue(), case.o.object.clone(), "c".into(), case.o.timing);
    let Flight::Issue(issue) = flight else { panic!() };
    let before = case.delivered().template.clone();
    assert_eq!(issue.template(Some(&before)).type_, "Opaque");
    assert_eq!(issue.template(None).type_, "example.com/a", "should it have to be made anew");
    // One of whose type nothing is known, and a new one, get what the spec asks for.
    let before = RenderedTemplate::default();
    let wanted = Some(&template("example.com/a")).cloned();
    assert_eq!(RenderedTemplate::of(wanted.as_ref(), Some(&before)).type_, "example.com/a");
    assert_eq!(RenderedTemplate::of(wanted.as_ref(), None).type_, "example.com/a");
    assert_eq!((before.unlike(wanted.as_ref()), before.unlike(None)), (None, None));
}

/// What is refused is not tried without a pause, and holds nothing up.
#[test]
fn a_rendering_that_is_refused_is_said_and_holds_up_no_renewal() {
    let mut case = settled(Case::ready());
    case.o.object.metadata.generation = Some(2);
    case.secret().content = Content::Intact { rendered: false };
    assert!(matches!(case.step(), Step::Render(_)));
    case.o.render_refused = Some(refusal(&case));
    assert_eq!(case.said(), (Reason::SecretRefused.as_str().into(), "it is refused".into()));
    let mut case = at_rest(case);
    asks(&mut case, "now");
    assert!(matches!(case.step(), Step::Issue(_)), "{:?}", case.step());
    // A renewal that fails is said beside it, and takes nothing back.
    let tried = status::Tried { renewal: true, ..status::Tried::of(&case.o.object) };
    let failed = status::failure(&case.o.object, &tried, Reason::Unreachable, "no answer", case.now);
    case.o.object.status = Some(failed);
    let plan = case.plan();
    assert_eq!(plan.step, Step::Nothing);
    assert!(plan.wake.is_some_and(|wake| wake < case.now + MINUTE), "{plan:?}");
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::SecretRefused.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::Unreachable.as_str()));
    let mut case = expired(case);
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    case.o.object.metadata.annotations = None;
    assert_eq!(says(&settled(case), ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
}

/// A quota may forbid a Secret more, and not another content of the one that is there.
#[test]
fn a_move_that_is_refused_is_said_and_holds_up_no_renewal() {
    let mut case = moving();
    case.o.move_refused = Some(refusal(&case));
    assert_eq!(case.said(), (Reason::SecretRefused.as_str().into(), "it is refused".into()));
    let mut case = at_rest(case);
    assert_eq!(case.plan().wake, Some(case.now + MINUTE), "it is tried again");
    asks(&mut case, "now");
    assert!(matches!(case.step(), Step::Issue(step) if step.secret_name == "deployer"), "{:?}", case.step());
    case.o.move_refused = None;
    assert!(matches!(case.step(), Step::Relocate(_)), "{:?}", case.step());
}

/// Whoever keeps altering a Secret must not make us mint without end, whatever else is said of it.
#[test]
fn a_loss_counts_also_where_something_else_was_said() {
    let mut case = Case::ready();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    let mut case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::SecretRefused.as_str()));
    case.secret().content = Content::Altered;
    assert_eq!(case.reason(), Reason::SecretLost.as_str());
    let mut case = settled(case);
    assert_eq!(case.status().failed_issuance_attempts, Some(1));
    assert!(matches!(case.step(), Step::Issue(_)), "the first at once: {:?}", case.step());
    // Once for each client.
    case.status().conditions.iter_mut().for_each(|c| c.reason = Reason::SecretRefused.as_str().into());
    assert!(!matches!(case.step(), Step::UpdateStatus(_)), "{:?}", case.step());
    case.current().id = "client-2".into();
    case.delivered().client.id = "client-2".into();
    let mut case = settled(case);
    assert_eq!(case.status().failed_issuance_attempts, Some(2));
}

#[test]
fn what_drifted_waits_while_c1_does_not_tell() {
    let mut case = settled(Case::ready());
    case.listed()[0].allow_source_cidr = vec!["10.0.0.0/8".into()];
    let Step::Look(look) = case.step() else { panic!("{:?}", case.step()) };
    case.o.failed_looks = vec![look];
    assert_eq!(case.step(), Step::Nothing);
}

/// Three retire, and the spec asks for another lifetime.
fn full() -> Case {
    let mut case = Case::ready();
    let former = case.current().clone();
    let status: &mut PersonalClientStatus = case.status();
    for n in 0..3 {
        let former = crate::api::IssuedClient { id: format!("f{n}"), attempt: format!("f{n}"), ..former.clone() };
        status.retiring.push(status::retiring(&former, former.created_at.as_ref().unwrap().0, HOUR * 100));
    }
    case.delivered().asked = "something else".into();
    case.o.object.metadata.generation = Some(2);
    case
}

#[test]
fn a_new_spec_does_not_wait_for_an_overlap_when_nothing_works() {
    assert_eq!(full().reason(), Reason::Issuing.as_str());
    let case = settled(expired(full()));
    assert!(matches!(case.step(), Step::Issue(_)), "{:?}", case.step());
    // Whether the present one is gone is asked first.
    let mut case = full();
    case.o.issuer.as_mut().unwrap().inventory.as_mut().unwrap().clients.retain(|c| c.id != "client-1");
    case.lists("another", "another");
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.reads(ClientRead::Gone);
    let case = settled(case);
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::Revoked), "{:?}", case.step());
}

#[test]
fn an_expired_credential_that_can_be_neither_replaced_nor_changed_says_why() {
    let mut case = expired(Case::ready());
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    case.issuer().namespace_selected = Some(false);
    let case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::DeniedByPolicy.as_str()));
}

#[test]
fn what_another_user_made_is_not_changed_but_issued_anew() {
    let mut case = Case::ready();
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    assert!(matches!(case.step(), Step::Update(_)), "{:?}", case.step());
    case.issuer().identity.as_mut().unwrap().user_id = "another".into();
    case.listed().clear();
    case.lists("of-another", "of-another").user_id = "another".into();
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::SpecChanged), "{:?}", case.step());
    // As long as it is not known as whom the issuer calls nothing is.
    case.issuer().identity = None;
    assert!(!matches!(case.step(), Step::Issue(_)), "{:?}", case.step());
}

#[test]
fn without_its_issuer_a_new_spec_is_not_said_to_be_applied() {
    let mut case = settled(Case::ready());
    case.o.issuer = None;
    assert_eq!(case.step(), Step::Nothing, "what works, works");
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    assert_eq!(case.reason(), Reason::IssuerNotFound.as_str());
    assert_eq!(at_rest(case).step(), Step::Nothing);
}

#[test]
fn an_issuer_that_cannot_be_held_is_said() {
    let mut case = Case::new();
    (case.issuer().held, case.issuer().unheld) = (false, None);
    assert_eq!(case.step(), Step::Nothing, "it will be");
    case.issuer().unheld = Some("no finalizers here".into());
    let (reason, message) = case.said();
    assert_eq!(reason, Reason::IssuerNotReady.as_str());
    assert!(message.ends_with("cannot be held: no finalizers here"), "{message}");
    case.issuer().held = true;
    assert!(matches!(case.step(), Step::Issue(_)));
}

#[test]
fn what_was_adopted_with_another_type_is_not_ready() {
    let mut case = Case::ready();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.status().client = None;
    case.status().conditions.clear();
    assert_eq!(case.reason(), Reason::SecretRefused.as_str());
}

#[test]
fn while_suspended_that_it_has_expired_is_said_whatever_the_spec_asks_for() {
    let mut case = expired(taken());
    case.o.object.spec.suspend = Some(true);
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    assert_eq!(says(&at_rest(case), ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
}

/// C1 does not show the present client in its list any more, and was asked for it once.
fn missing() -> Case {
    let mut case = settled(Case::ready());
    case.listed().clear();
    case.lists("another", "another");
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case
}

#[test]
fn a_question_without_an_answer_is_asked_again_and_takes_nothing_back() {
    let mut case = missing();
    case.o.failed_looks = vec![Look::Client("client-1".into())];
    let plan = case.plan();
    assert!(plan.wake.is_some_and(|wake| wake > case.now && wake <= case.now + LOOK_AGAIN), "{plan:?}");
    let mut case = missing();
    case.reads(ClientRead::Gone);
    let mut case = settled(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Revoked.as_str()));
    case.o.reads.clear();
    case.o.failed_looks = vec![Look::Client("client-1".into())];
    assert!(matches!(case.step(), Step::Issue(step) if step.need == Need::Revoked), "{:?}", case.step());
}

/// What is blocked depends on whether the credential is whole.
#[test]
fn whether_the_credential_lives_is_asked_before_anything_is_said_of_its_secret() {
    let mut case = missing();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
}

#[test]
fn a_change_of_the_issuers_that_is_barred_does_not_hide_what_is_blocked() {
    let mut case = settled(taken());
    case.issuer().defaults.allow_source_cidr = Some(vec!["10.0.0.0/8".into()]);
    case.issuer().namespace_selected = Some(false);
    case.status().conditions.clear();
    let case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::SecretConflict.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::DeniedByPolicy.as_str()));
}

#[test]
fn an_attempt_that_cannot_be_resolved_leaves_what_works_ready() {
    let mut case = settled(Case::ready());
    case.begun("another", HOUR);
    (case.issuer().identity, case.issuer().inventory) = (None, None);
    case.issuer().not_ready = Some((Reason::Unreachable, "no answer".into()));
    assert_eq!(case.step(), Step::Nothing);
}

/// A CRD that does not know the field yet takes it away.
#[test]
fn without_a_note_of_what_was_lost_a_loss_counts_once() {
    let mut case = Case::ready();
    case.o.secret = SecretView::Absent;
    let mut case = settled(case);
    case.status().lost_client_id = None;
    case.issuer().namespace_selected = Some(false);
    let mut case = settled(case);
    case.status().lost_client_id = None;
    assert_eq!(case.step(), Step::Nothing);
    assert_eq!(case.status().failed_issuance_attempts, Some(1));
}

#[test]
fn an_attempt_at_another_issuer_is_closed_whatever_else_is_blocked() {
    let mut case = Case::ready();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    let mut case = at_rest(case);
    case.begun("another", HOUR);
    let mut record = case.recorded_attempts();
    record.open.as_mut().unwrap().issuer_ref.name = "former".into();
    case.record(&record);
    assert!(matches!(case.step(), Step::Close(_)), "{:?}", case.step());
}

#[test]
fn only_what_is_rendered_is_vouched_for() {
    let mut case = settled(Case::ready());
    case.secret().resource_version = "99".into();
    case.secret().content = Content::Intact { rendered: false };
    asks(&mut case, "now");
    case.o.object.metadata.generation = Some(2);
    match case.step() {
        Step::UpdateStatus(status) => assert_ne!(status.secret_resource_version.as_deref(), Some("99")),
        other => panic!("{other:?}"),
    }
}

/// It was refused, and is tried again after a while.
#[test]
fn a_refusal_that_may_be_over_is_not_taken_back_before_it_is() {
    let mut case = settled(Case::ready());
    case.o.object.metadata.generation = Some(2);
    case.secret().content = Content::Intact { rendered: false };
    case.o.render_refused = Some(refusal(&case));
    asks(&mut case, "now");
    case.issuer().namespace_selected = Some(false);
    let mut case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::SecretRefused.as_str()));
    case.o.render_refused = None;
    assert!(matches!(case.step(), Step::Render(_)), "{:?}", case.step());
    case.o.render_refused = Some(refusal(&case));
    assert_eq!(case.step(), Step::Nothing);
}

/// Its Secret was away once, and is there again.
#[test]
fn only_a_client_that_was_said_to_be_gone_is_taken_for_gone_without_an_answer() {
    let mut case = Case::ready();
    case.status().lost_client_id = Some("client-1".into());
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    let mut case = at_rest(case);
    case.listed().clear();
    case.lists("another", "another");
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())));
    case.o.failed_looks = vec![Look::Client("client-1".into())];
    assert_eq!(case.step(), Step::Nothing);
}

/// The change of what drifted was refused.
fn not_put_back(mut case: Case) -> Case {
    case.listed()[0].allow_source_cidr = vec!["10.0.0.0/8".into()];
    let shown = case.listed()[0].clone();
    case.reads(ClientRead::Live(Box::new(shown)));
    let step = case.step();
    assert!(matches!(&step, Step::Update(step) if !step.edited), "{step:?}");
    let failed = status::failure(&case.o.object, &step.tried(&case.o.object), Reason::RequestRejected, "why", case.now);
    case.o.object.status = Some(failed);
    case
}

#[test]
fn what_cannot_be_put_back_takes_nothing_back() {
    let mut case = Case::ready();
    case.o.object.spec.secret_template = Some(template("example.com/a"));
    case.o.object.metadata.generation = Some(2);
    let case = not_put_back(at_rest(case));
    assert_eq!(case.step(), Step::Nothing);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::SecretRefused.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::RequestRejected.as_str()));
    // What was asked for anew makes more of it.
    let mut case = settled(Case::ready());
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    assert!(!case.step().tried(&case.o.object).renewal);
    case.o.object.spec.display_name = None;
    asks(&mut case, "now");
    let case = settled(case);
    assert!(case.step().tried(&case.o.object).renewal, "{:?}", case.step());
}

/// A restart has read no list yet; or C1 does not answer.
#[test]
fn what_fails_stays_said_while_nobody_can_see_whether_it_would() {
    assert_eq!(not_put_back(settled(Case::ready())).step(), Step::Nothing);
    let mut case = not_put_back(settled(Case::ready()));
    case.o.reads.clear();
    case.issuer().inventory = None;
    assert_eq!(case.step(), Step::Nothing);
    case.issuer().not_ready = Some((Reason::Unreachable, "no answer".into()));
    let case = settled(case);
    assert_eq!(says(&case, ConditionType::RenewalFailing), None, "nobody knows when it can be seen again");
    let mut case = not_put_back(settled(Case::ready()));
    case.o.reads.clear();
    case.o.failed_looks = vec![Look::Client("client-1".into())];
    assert_eq!(case.step(), Step::Nothing);
    let mut case = not_put_back(settled(Case::ready()));
    case.o.reads.clear();
    case.listed()[0].allow_source_cidr.clear();
    let case = settled(case);
    assert_eq!(says(&case, ConditionType::RenewalFailing), None, "somebody has put it back");
}

#[test]
fn attempts_that_cannot_be_proven_leave_what_works_ready() {
    let mut case = settled(Case::ready());
    case.begun("another", HOUR);
    case.given_up(&["x", "y", "z"]);
    case.inventory().complete = false;
    let case = at_rest(case);
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Issued.as_str()));
    assert_eq!(says(&case, ConditionType::RenewalFailing).as_deref(), Some(Reason::InventoryIncomplete.as_str()));
    let mut case = at_rest(expired(case));
    assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Expired.as_str()));
    // Of what is asked for since nothing is done yet.
    case.o.object.metadata.generation = Some(2);
    assert_eq!(case.reason(), Reason::InventoryIncomplete.as_str());
}

/// It holds the former issuer for what it may have made there.
#[test]
fn an_attempt_at_another_issuer_is_closed_also_while_the_present_one_issues_nothing() {
    let mut case = Case::ready();
    case.begun("another", HOUR);
    let mut record = case.recorded_attempts();
    record.open.as_mut().unwrap().issuer_ref.name = "former".into();
    case.record(&record);
    case.status().client = None;
    case.status().conditions.clear();
    case.o.secret = SecretView::Absent;
    case.issuer().namespace_selected = Some(false);
    let case = settled(case);
    assert!(matches!(case.step(), Step::Close(_)), "{:?}", case.step());
}

/// Whether the Secret was read for this decision or not.
#[test]
fn while_suspended_a_template_that_is_not_applied_is_said() {
    for content in [Content::Unread, Content::Intact { rendered: false }] {
        let mut case = settled(Case::ready());
        case.o.object.spec.suspend = Some(true);
        case.o.object.spec.secret_template =
            Some(SecretTemplate { labels: Some([("team".into(), "a".into())].into()), ..SecretTemplate::default() });
        case.o.object.metadata.generation = Some(2);
        case.secret().content = content;
        let case = at_rest(case);
        assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Suspended.as_str()));
    }
}

#[test]
fn a_change_in_place_does_not_say_that_the_template_is_rendered() {
    let mut case = Case::ready();
    case.secret().content = Content::Intact { rendered: false };
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    assert!(matches!(case.step(), Step::Update(step) if !step.placed), "{:?}", case.step());
    case.secret().content = Content::Intact { rendered: true };
    assert!(matches!(case.step(), Step::Update(step) if step.placed), "{:?}", case.step());
}

/// C1 cannot be asked; but nothing was ever wrong with the client.
#[test]
fn what_was_said_of_the_spec_alone_is_taken_back_without_c1() {
    let resumed = |lost: Option<String>| {
        let mut case = settled(Case::ready());
        case.o.object.spec.suspend = Some(true);
        case.o.object.spec.secret_template =
            Some(SecretTemplate { labels: Some([("team".into(), "a".into())].into()), ..SecretTemplate::default() });
        case.o.object.metadata.generation = Some(2);
        let mut case = at_rest(case);
        assert_eq!(says(&case, ConditionType::Ready).as_deref(), Some(Reason::Suspended.as_str()));
        case.o.object.spec.suspend = None;
        case.o.object.metadata.generation = Some(3);
        let digest = RenderedTemplate::of(case.o.object.spec.secret_template.as_ref(), None).digest;
        case.delivered().template.digest = digest;
        case.secret().content = Content::Intact { rendered: true };
        case.issuer().inventory = None;
        case.issuer().not_ready = Some((Reason::Unreachable, "no answer".into()));
        case.status().lost_client_id = lost;
        says(&settled(case), ConditionType::Ready)
    };
    assert_eq!(resumed(None).as_deref(), Some(Reason::Issued.as_str()));
    assert_eq!(resumed(Some("client-0".into())).as_deref(), Some(Reason::Issued.as_str()));
    assert_eq!(resumed(Some("client-1".into())).as_deref(), Some(Reason::Suspended.as_str()), "it was lost once");
}

/// One that has expired, as its spec says nothing of a renewal, with a template that is not applied.
fn expired_unrendered(case: Case) -> Case {
    let mut case = expired(case);
    rotates(&mut case, Rotation { policy: Some(RotationPolicy::Manual), ..Rotation::default() });
    case.secret().content = Content::Intact { rendered: false };
    case
}

#[test]
fn what_has_expired_is_said_to_be_and_then_rendered_where_it_stays() {
    let case = expired_unrendered(Case::ready());
    assert_eq!(case.reason(), Reason::Expired.as_str());
    let case = settled(case);
    assert!(matches!(case.step(), Step::Render(_)), "{:?}", case.step());
    let case = settled(expired_unrendered(taken()));
    assert_eq!(case.step(), Step::Nothing, "the template is for the Secret that it is to be");
}

#[test]
fn while_nothing_can_be_issued_only_what_works_is_rendered_where_it_stays() {
    let denied = |mut case: Case| {
        asks(&mut case, "now");
        case.issuer().namespace_selected = Some(false);
        case.secret().content = Content::Intact { rendered: false };
        settled(case)
    };
    let works = denied(Case::ready());
    assert!(matches!(works.step(), Step::Render(_)), "{:?}", works.step());
    assert_eq!(denied(taken()).step(), Step::Nothing);
    let mut gone = Case::ready();
    gone.listed().clear();
    gone.lists("another", "another");
    gone.reads(ClientRead::Gone);
    assert_eq!(denied(gone).step(), Step::Nothing);
}

#[test]
fn a_change_that_is_barred_says_so_at_once_and_a_drift_when_it_is_sure() {
    let mut case = Case::ready();
    case.issuer().namespace_selected = Some(false);
    case.o.object.spec.display_name = Some("another".into());
    case.o.object.metadata.generation = Some(2);
    case.listed().clear();
    case.inventory().complete = false;
    assert_eq!(case.reason(), Reason::DeniedByPolicy.as_str(), "whether C1 shows it does not matter yet");
    let mut case = settled(Case::ready());
    case.issuer().namespace_selected = Some(false);
    case.listed()[0].allow_source_cidr = vec!["10.0.0.0/8".into()];
    assert_eq!(case.step(), Step::Look(Look::Client("client-1".into())), "a list may be old");
}

#[test]
fn what_was_refused_once_and_is_rendered_now_is_not_said_any_more() {
    let mut case = settled(Case::ready());
    case.o.render_refused = Some(refusal(&case));
    assert_eq!(case.step(), Step::Nothing);
}
