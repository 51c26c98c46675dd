//! Acting: a replica performs the next effect of a transaction, or a single write, on the abstract servers.

use std::{cell::RefCell, rc::Rc};

use c1_operator::{
    api::FINALIZER,
    plan::{Anchor, Answer, Content, Effect, Flight, Outcome, SecretSeen, SecretView, next, status},
};

use crate::{
    memo::{self, Memo},
    print::{Printed, print},
    replica::{Caller, Mishap, Work, struck},
    rules::Rules,
    situations::{Situation, reached},
    world::{Delivery, End, State, is_deleting, time},
};

/// A transaction and its effect that comes next.
type Under = Printed<(Flight, Effect)>;

/// What an answer makes of a transaction.
#[derive(Clone)]
enum Then {
    Goes(Under),
    Landed(Rc<Flight>),
}

thread_local! {
    static NEXT: RefCell<Memo<Then>> = RefCell::default();
}

/// What a maker whose time is over has left to clean up, in seconds.
const CLEAN_UP: u32 = 2;

impl State {
    /// Performs the effect that comes next.
    pub fn act(&mut self, r: usize, mishap: Mishap, rules: &Rules) {
        let Some(work) = self.replicas[r].work.take() else { return };
        let happens = matches!(mishap, Mishap::None | Mishap::AnswerLost);
        match work {
            Work::Transaction { flight, mut caller } => {
                let answer = self.perform(r, &flight.1, &caller, mishap, rules);
                if let Answer::Created(client) = &answer {
                    caller.made = Some(client.id.clone());
                }
                if let (Effect::Deliver { delivered, .. }, true) = (&flight.1, happens) {
                    caller.delivered = Some(delivered.client.id.clone());
                }
                self.go_on(r, &flight, answer, caller, rules);
                self.check_delivered(r, &flight.1);
            }
            Work::Status(write) => {
                if happens {
                    self.write_status(&self.version(&write.0, rules.requests.status_at_version), &write.1);
                }
            }
            Work::AddFinalizer(at) => {
                if happens && self.object.as_ref().is_some_and(|o| !is_deleting(o)) {
                    self.write_object(&at, |o| o.metadata.finalizers = Some(vec![FINALIZER.into()]));
                }
            }
            Work::Claim(seen, uid) => {
                if let (true, SecretView::Present(seen)) = (happens, &*seen) {
                    self.claim(seen, uid, rules);
                }
            }
            Work::Close(write) => {
                if happens {
                    self.leave_to_people(&write.1);
                    self.write_record(&self.version(&write.0, rules.requests.burn_at_version), &write.1, false);
                }
            }
            Work::Revoke(what) => {
                let (id, object) = (&what.0, &what.1);
                if happens {
                    reached(Situation::OverlapEnds);
                    self.delete_client(r, id);
                }
                self.replicas[r].told_to_delete(id, !matches!(mishap, Mishap::RequestLost | Mishap::AnswerLost));
                let unseen = mishap == Mishap::Unseen && self.client(id).is_some_and(|c| self.is_young(c));
                if mishap == Mishap::None || unseen {
                    self.replicas[r].work = Some(Work::Status(Printed::new((Anchor::of(object), struck(object, id)))));
                }
            }
        }
    }

    /// The Secret says that it is of another object now, and what it was seen to hold.
    fn claim(&mut self, seen: &SecretSeen, uid: String, rules: &Rules) {
        let goes = self.object.as_ref().is_none_or(|o| is_deleting(o));
        let name = self.secret_name();
        let claimed = self.annotate_secret(name, &self.seen(name, seen, rules.requests.claim_on_seen), |secret| {
            let held = |s: &SecretSeen| s.delivered.as_ref().map(|d| d.client.id.clone());
            if held(secret) != held(seen) {
                secret.content = Content::Altered;
            }
            secret.delivered.clone_from(&seen.delivered);
            if let Some(delivered) = &mut secret.delivered {
                delivered.owner.uid = uid;
            }
        });
        if goes && matches!(claimed, Answer::Done(_)) {
            self.delivery = Delivery::LeftAgain;
        }
    }

    /// The transaction's caller looks at the time, and it is over.
    pub fn out_of_time(&mut self, r: usize, rules: &Rules) {
        let Some(Work::Transaction { flight, mut caller }) = self.replicas[r].work.take() else { return };
        reached(Situation::OutOfTime);
        let first = !caller.extended;
        if first {
            (caller.extended, caller.deadline) = (true, self.now + CLEAN_UP);
        } else {
            self.leave(&caller);
            self.mishaps += 1;
            caller.slept = true;
        }
        if flight.0.cleans_up() && first {
            caller.looked = self.now;
            self.replicas[r].work = Some(Work::Transaction { flight, caller });
        } else {
            self.go_on(r, &flight, Answer::OutOfTime, caller, rules);
        }
    }

    /// A replica is killed, and starts anew.
    pub fn crash(&mut self, r: usize) {
        if let Some(Work::Transaction { caller, .. }) = std::mem::take(&mut self.replicas[r]).work {
            self.leave(&caller);
        }
    }

    /// Whoever has delivered what the Secret holds does nothing more.
    fn leave(&mut self, caller: &Caller) {
        self.maker_left |= caller.delivered.is_some() && caller.delivered == self.held();
    }

    fn go_on(&mut self, r: usize, under_way: &Under, answer: Answer, mut caller: Caller, rules: &Rules) {
        let read = matches!(answer, Answer::Secret(SecretView::Absent) | Answer::Object(_));
        let lost = read && self.secret.is_none() && matches!(under_way.0, Flight::Abandon(_));
        let on = (under_way.print(), print(&answer), self.now, rules);
        let next = memo::of(&NEXT, &on, || {
            let (flight, effect) = next(under_way.0.clone(), answer, time(self.now), &rules.plan);
            match effect {
                None => Then::Landed(flight.into()),
                Some(effect) => Then::Goes(Printed::new((flight, effect))),
            }
        });
        let flight = match next {
            Then::Landed(flight) => return self.land(r, &flight, &caller),
            Then::Goes(flight) => flight,
        };
        // Its maker may wake up, and deliver what is then dead.
        let gives_up = lost && caller.made.is_none() && matches!(flight.1, Effect::DeleteClient { .. });
        if gives_up && self.says_ready() {
            self.broken.get_or_insert("P1: a client is given up whose Secret is lost, and status says Ready");
        }
        caller.looked = self.now;
        self.replicas[r].work = Some(Work::Transaction { flight, caller });
    }

    /// What the shell does when a transaction is over: a failure is written down.
    fn land(&mut self, r: usize, flight: &Flight, caller: &Caller) {
        let Flight::Landed(outcome) = flight else { return };
        let made = caller.made.as_ref().and_then(|id| self.client(id)).filter(|c| c.live && !self.names(c));
        let said = |id: &str| matches!(&**outcome, Outcome::Failed { message, .. } if message.contains(id));
        // Whoever takes away a Secret that was to stay without its object answers for what it held.
        let kept = matches!(self.end, End::Retained | End::Forced { retains: true, .. });
        let made = made.filter(|made| !(kept && caller.delivered.as_ref() == Some(&made.client.id)));
        // Whoever has slept away also the time to clean up, and does not know what has become of the object, is as good as dead:
        // the inventory reports what he leaves.
        let asleep = caller.slept && matches!(**outcome, Outcome::LookAgain { .. });
        if self.object.is_none() && !asleep && made.is_some_and(|made| !said(&made.client.id)) {
            self.broken.get_or_insert("P2: a maker leaves a client that nobody names, and does not say so");
        }
        match &**outcome {
            Outcome::Failed { reason, message, unsent } => {
                if !unsent {
                    self.replicas[r].unsent = None;
                }
                let Some(object) = &self.object else { return self.leave(caller) };
                let said = status::failure(object, &caller.tried, *reason, message, time(self.now));
                self.replicas[r].work = Some(Work::Status(Printed::new((Anchor::of(object), said))));
            }
            Outcome::Abandoned { .. } => reached(Situation::Abandoned),
            Outcome::Withdrawn { .. } => reached(Situation::Withdrawn),
            Outcome::Tidied { .. } => reached(Situation::Tidied),
            Outcome::Removed { .. } => reached(Situation::Removed),
            Outcome::Issued { .. }
            | Outcome::Delivered
            | Outcome::Updated { .. }
            | Outcome::Moved { .. }
            | Outcome::Untidied { .. }
            // What is remembered of it only makes it wait.
            | Outcome::Unmoved { .. }
            | Outcome::LookAgain { .. } => {}
        }
    }
}
