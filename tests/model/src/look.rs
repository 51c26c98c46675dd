//! Looking: a replica reads the servers, lets the shipped `plan` decide, and begins what is to be done.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use c1_operator::{
    api::{IssuerDefaults, IssuerRef, PersonalClient, PersonalClientStatus},
    c1::Client,
    plan::{
        Abandon, Anchor, ClientRead, Content, Effect, Flight, Identity, InventoryView, Issue, IssuerView, Look, Marker,
        Observed, Record, Relocate, Remove, SecretView, Step, Tidy, Update, current_secret, other_issuers,
        other_secrets, plan, status,
    },
};

use k8s_openapi::jiff::Timestamp;

use crate::{
    c1::AtC1,
    memo::{self, Memo},
    print::Printed,
    replica::{Answers, Caller, List, Looking, Mishap, Question, Replica, Work, restarted, struck},
    rules::Rules,
    situations::{Situation, reached},
    world::{CLUSTER, HOST, State, TIMING, is_deleting, owner, time, user_of},
};

impl State {
    /// Reads C1's list; `lags`: as [`Self::shown`].
    pub fn list(&mut self, r: usize, lags: bool) {
        let clients = self.clients.iter().filter_map(|c| self.shown(c, lags)).collect();
        self.replicas[r].list = Some(Printed::new(List { began: self.now, clients }));
    }

    /// A client as C1 shows it; `lags`: not what is younger than C1 may need.
    fn shown(&self, client: &AtC1, lags: bool) -> Option<Client> {
        if !client.live || (lags && self.is_young(client)) {
            return None;
        }
        let mut shown = Client::clone(&client.client);
        shown.last_used_at = shown.last_used_at.filter(|used| !(lags && self.is_recent(*used)));
        Some(shown)
    }

    /// Whether C1 may not show a client yet.
    pub fn is_young(&self, client: &AtC1) -> bool {
        client.client.created_at.is_some_and(|made| self.is_recent(made))
    }

    /// Whether C1 may not show yet what happened then.
    fn is_recent(&self, then: Timestamp) -> bool {
        then + TIMING.settle > time(self.now)
    }

    /// Reads the object from the API server.
    pub fn read_object(&mut self, r: usize) {
        let object = self.object.clone();
        let replica = &mut self.replicas[r];
        replica.looking = object.map(|object| {
            let begun = replica.looking.take();
            Looking { object: Some(object), ..begun.unwrap_or_else(Looking::begin) }
        });
    }

    /// What a replica would begin whose caches hold the object as it was read, and no Secret: a first issue, or nothing.
    fn first_issue(&self, r: usize, rules: &Rules) -> Option<Rc<Decided>> {
        let looking = self.replicas[r].looking.as_ref()?;
        let decided = self.decided(r, looking.object.as_ref()?, looking, true, rules);
        (decided.observed.is_untouched() && matches!(decided.step, Step::Issue(_))).then_some(decided)
    }

    /// Whether a cache that has missed the Secret would make a difference.
    pub fn may_decide_blindly(&self, r: usize, rules: &Rules) -> bool {
        self.secret.is_some() && self.first_issue(r, rules).is_some()
    }

    /// Decides by caches that have missed the Secret.
    pub fn decide_blindly(&mut self, r: usize, rules: &Rules) {
        let Some(decided) = self.first_issue(r, rules) else { return };
        reached(Situation::Blind);
        self.replicas[r].looking = None;
        self.begin(r, &decided, rules);
    }

    /// Reads the Secret, decides, and begins what is to be done; evidence that is missing is fetched.
    pub fn decide(&mut self, r: usize, answers: Answers, rules: &Rules) {
        if !self.replicas[r].has_object() {
            self.read_object(r);
        }
        let Some(looking) = self.replicas[r].looking.take() else { return };
        let Some(object) = looking.object.clone() else { return };
        self.notice(r, &object);
        let decided = self.decided(r, &object, &looking, false, rules);
        match &decided.step {
            Step::Nothing => {}
            Step::Look(look) => self.ask(r, looking, look.clone(), &decided.observed, answers),
            _ => self.begin(r, &decided, rules),
        }
    }

    /// The shipped decision; `blind`: the Secret was missed.
    fn decided(
        &self,
        r: usize,
        object: &Printed<PersonalClient>,
        looking: &Looking,
        blind: bool,
        rules: &Rules,
    ) -> Rc<Decided> {
        let Replica { list, looking: _, work: _, seen, unsent, deleted, undeleted, unanswered } = &self.replicas[r];
        // Whatever `observe` asks for.
        let on = (
            (object, blind, self.now, self.names, rules),
            (&self.secret, &self.aside, self.is_elsewhere),
            (&looking.as_of, &looking.reads, &looking.listed),
            (list, seen, unsent, deleted, (undeleted, unanswered)),
        );
        memo::of(&DECIDED, &on, || {
            let mut observed = self.observe(r, object, looking);
            if blind {
                (observed.secret, observed.live) = (SecretView::Absent, false);
            }
            let step = plan(&observed, time(self.now), &rules.plan).step;
            Rc::new(Decided { first: first(&step, &observed.object).map(Printed::new), step, observed })
        })
    }

    /// Remembers since when the open attempt was seen.
    fn notice(&mut self, r: usize, object: &PersonalClient) {
        let open = Record::of(object).begun();
        let seen = &mut self.replicas[r].seen;
        if seen.as_ref().map(|s| &s.0) != open.as_ref() {
            *seen = open.map(|open| (open, self.now));
        }
    }

    fn observe(&self, r: usize, object: &PersonalClient, looking: &Looking) -> Observed {
        let record = Record::of(object);
        let now = self.now;
        let secret = self.read_secret(&current_secret(object, &record), object.status.as_ref());
        let others = other_secrets(object, &record).into_iter();
        let others: BTreeMap<_, _> = others.map(|name| (name.clone(), self.read_secret(&name, None))).collect();
        let replica = &self.replicas[r];
        let open_seen = replica.seen.as_ref().map_or(0, |(_, since)| now - since);
        let (unsent, list) = (replica.unsent.clone(), replica.list.clone());
        let delivered = std::iter::once(&secret).chain(others.values()).filter_map(SecretView::delivered);
        let view = |at: &IssuerRef| issuer_view(list.as_deref(), user_of(at), now);
        let former = other_issuers(object, delivered).into_iter().map(|at| (at.clone(), view(&at))).collect();
        Observed {
            object: object.clone(),
            live: true,
            cluster: CLUSTER.into(),
            issuer: Some(view(&object.issuer_ref())),
            former,
            namespace_terminating: false,
            secret,
            others,
            as_of: time(looking.as_of.unwrap_or(now)),
            reads: BTreeMap::clone(&looking.reads),
            listed: BTreeSet::clone(&looking.listed),
            in_flight: false,
            unsent,
            deleted: replica.deleted.clone(),
            undeleted: replica.undeleted.clone(),
            failed_looks: self.unanswered(r, object),
            render_refused: None,
            move_refused: None,
            tidy_failed: false,
            restart_failed: false,
            open_seen: Duration::from_secs(u64::from(open_seen)),
            fresh_attempt: format!("n{}", self.names + 1),
            timing: TIMING,
        }
    }

    /// What C1 did not answer a moment ago.
    fn unanswered(&self, r: usize, object: &PersonalClient) -> Vec<Look> {
        let unanswered = self.replicas[r].unanswered.iter();
        unanswered.filter(|(uid, _)| object.metadata.uid.as_ref() == Some(uid)).map(|(_, asked)| asked.look()).collect()
    }

    /// Fetches evidence, and remembers what C1 did not tell; what does not need that is decided on then.
    fn ask(&mut self, r: usize, mut looking: Looking, look: Look, observed: &Observed, answers: Answers) {
        if let Some(question) = Question::of(&look) {
            if looking.missed.contains(&question) {
                return;
            }
            let of = (observed.object.metadata.uid.clone().unwrap_or_default(), question.clone());
            if answers == Answers::Missing {
                reached(Situation::Unanswered);
                self.replicas[r].unanswered.insert(of);
                (looking.object, looking.as_of) = (None, looking.as_of.or(Some(self.now)));
                looking.missed.insert(question);
                // A removal waits.
                self.replicas[r].looking = Some(looking).filter(|_| !is_deleting(&observed.object));
                return;
            }
            self.replicas[r].unanswered.remove(&of);
        }
        self.fetch(r, looking, look, observed, answers == Answers::Lagging);
    }

    fn fetch(&mut self, r: usize, mut looking: Looking, look: Look, observed: &Observed, lags: bool) {
        looking.object = None;
        looking.as_of = looking.as_of.or(Some(self.now));
        match look {
            Look::Live => {}
            // One list shows what each issuer would; whoever wants one has both.
            Look::List(at) => {
                self.list(r, lags);
                let mut listed = BTreeSet::clone(&looking.listed);
                listed.insert(at);
                looking.listed = Printed::new(listed);
            }
            Look::Client(id) => {
                // To another user C1 does not show it.
                let caller = observed.caller(&id).map(|(_, identity)| identity.user_id);
                let user_id = caller.unwrap_or_else(|| user_of(&observed.object.issuer_ref()).into());
                let found = self.client(&id).filter(|c| c.client.user_id == user_id);
                let found = found.and_then(|c| self.shown(c, lags));
                let read = found.map_or(ClientRead::Gone, |c| ClientRead::Live(Box::new(c)));
                let mut reads = BTreeMap::clone(&looking.reads);
                reads.insert(id, read);
                looking.reads = Printed::new(reads);
            }
        }
        self.replicas[r].looking = Some(looking);
    }

    fn begin(&mut self, r: usize, decided: &Decided, rules: &Rules) {
        let Decided { step, observed, first } = decided;
        self.check_evidence(step, observed);
        self.check_truth(step, observed);
        self.excuse_stale(step, observed);
        self.check_caller(step, observed);
        let object = &observed.object;
        let at = Anchor::of(object);
        match step {
            Step::Claim(_) => reached(Situation::Adoption),
            Step::Remove(_) => self.note_unknowable(),
            _ => {}
        }
        self.replicas[r].work = match step {
            Step::UpdateStatus(status) => Some(Work::Status(Printed::new((at, PersonalClientStatus::clone(status))))),
            Step::AddFinalizer => Some(Work::AddFinalizer(Printed::new(at))),
            Step::Claim(seen) => Some(Work::Claim(Printed::new(SecretView::Present(seen.clone())), at.uid)),
            // No consumer here has to be restarted: it stays a write of status.
            Step::Restart(_) => Some(Work::Status(Printed::new((at, restarted(object))))),
            Step::Strike(id) => Some(Work::Status(Printed::new((at, struck(object, id))))),
            Step::Revoke(id) => Some(Work::Revoke(Printed::new((id.clone(), object.clone())))),
            Step::Close(record) => Some(Work::Close(Printed::new((at, record.clone())))),
            _ => first.clone().map(|flight| Work::Transaction { flight, caller: self.caller(step, object) }),
        };
        if let Step::Issue(_) = step {
            // A dry run changes nothing: no need to stand still before it.
            self.act(r, Mishap::None, rules);
            // The attempt's name is taken only when it is intended.
            self.names += u8::from(self.replicas[r].work.is_some());
        }
    }

    /// Who performs a transaction that is begun now.
    fn caller(&self, step: &Step, object: &PersonalClient) -> Caller {
        let secret_name = match step {
            Step::Issue(step) => step.secret_name.clone(),
            Step::Abandon(step) => step.secret_name.clone(),
            _ => current_secret(object, &Record::of(object)),
        };
        let budget = u32::try_from(TIMING.budget.as_secs()).unwrap_or(u32::MAX);
        Caller {
            deadline: self.now + budget,
            extended: false,
            slept: false,
            looked: self.now,
            uid: Anchor::of(object).uid,
            secret_name,
            user_id: user_of(&object.issuer_ref()),
            tried: step.tried(object),
            made: None,
            delivered: None,
        }
    }

    /// P1: whoever begins an attempt for a Secret that he has seen to be lost has said so before.
    fn check_truth(&mut self, step: &Step, observed: &Observed) {
        let lost = match &observed.secret {
            SecretView::Absent => true,
            SecretView::Present(seen) => seen.content == Content::Altered,
            SecretView::Unknown(_) => false,
        };
        if matches!(step, Step::Issue(_)) && lost && status::is_ready(&observed.object.status_or_default()) {
            self.broken.get_or_insert("P1: an attempt is begun for a lost Secret, and status says Ready");
        }
    }

    /// Whoever was shown a client by C1 cannot know that another has deleted it since, if somebody has destroyed the record that
    /// said so.
    fn excuse_stale(&mut self, step: &Step, observed: &Observed) {
        let Step::UpdateStatus(status) = step else { return };
        let Some(recorded) = &status.client else { return };
        let excused = self.forgotten.contains(&recorded.attempt) && known(observed, &recorded.id).is_some();
        if let Some(client) = self.client_mut(&recorded.id).filter(|c| excused && !c.live) {
            client.deleted_outside = true;
        }
    }

    /// P4: what is to be deleted must be named by what the replica read: status, Secret or record.
    fn check_evidence(&mut self, step: &Step, observed: &Observed) {
        let doomed: Vec<&str> = match step {
            Step::Update(step) => vec![&step.request.id],
            Step::Abandon(step) => vec![&step.client_id],
            Step::Revoke(id) => vec![id],
            Step::Remove(step) => step.victims.iter().map(|v| v.id.as_str()).collect(),
            _ => vec![],
        };
        let (record, status) = (Record::of(&observed.object), observed.object.status_or_default());
        let delivered = match &observed.secret {
            SecretView::Present(seen) => seen.delivered.as_ref(),
            _ => None,
        };
        let delivered = delivered.filter(|d| observed.object.metadata.uid.as_ref() == Some(&d.owner.uid));
        let issued = || status.client.iter().chain(delivered.map(|d| &d.client));
        let retiring = || status.retiring.iter().chain(delivered.iter().flat_map(|d| &d.replaces));
        if let Step::Abandon(step) = step
            && step.burn
        {
            self.check_unused(&step.client_id, observed);
        }
        for id in doomed {
            let attempt = self.client(id).and_then(AtC1::attempt).unwrap_or_default();
            let named = issued().any(|c| c.id == id || c.attempt == attempt)
                || retiring().any(|r| r.id == id || r.attempt == attempt)
                || record.is_abandoned(&attempt)
                || record.open.as_ref().is_some_and(|o| o.attempt == attempt);
            if !named {
                self.broken.get_or_insert("P4: a client that is on no record is to be deleted");
            }
            if known(observed, id).is_some_and(|c| Marker::parse(&c.display_name).is_none_or(|m| m.owner != owner())) {
                self.broken.get_or_insert("P4: a client without the object's marker is to be deleted");
            }
        }
    }

    /// P4: a client of an open attempt is not given up of which C1 has said, in a list or a read, that somebody uses it. (Between that
    /// and a delete there is always time.)
    fn check_unused(&mut self, id: &str, observed: &Observed) {
        if shown(observed, id).any(|client| client.last_used_at.is_some()) {
            self.broken.get_or_insert("P4: a client of an open attempt is abandoned that somebody uses");
        }
        let restored = self.restored;
        if let Some(client) = self.client_mut(id).filter(|c| c.client.last_used_at.is_some()) {
            reached(Situation::UseUnseen);
            // C1 does not show it yet, and a restored backup knows nothing else of it.
            client.replaced = client.replaced.filter(|_| !restored);
        }
    }

    /// P4: what is deleted is deleted as the user who made it, through an issuer that the object has to do with.
    fn check_caller(&mut self, step: &Step, observed: &Observed) {
        let doomed: Vec<&String> = match step {
            Step::Update(step) => vec![&step.request.id],
            Step::Abandon(step) => vec![&step.client_id],
            Step::Revoke(id) => vec![id],
            Step::Remove(step) => step.victims.iter().map(|v| &v.id).collect(),
            _ => vec![],
        };
        for id in doomed {
            let caller = observed.caller(id);
            if caller.as_ref().is_some_and(|(at, _)| *at != observed.object.issuer_ref()) {
                reached(Situation::EndedElsewhere);
            }
            let user_id = caller.map(|(_, identity)| identity.user_id);
            if self.client(id).is_some_and(|c| user_id.as_ref() != Some(&c.client.user_id)) {
                self.broken.get_or_insert("P4: a client is to be deleted as another user than made it");
            }
        }
    }
}

/// A client as C1 has shown it to the replica.
fn known<'a>(observed: &'a Observed, id: &str) -> Option<&'a Client> {
    match observed.reads.get(id) {
        Some(ClientRead::Live(client)) => Some(client),
        Some(ClientRead::Gone) => None,
        None => observed.issuers().find_map(|(_, view)| view.inventory.as_ref()?.client(id)),
    }
}

/// All that C1 has shown of a client to the replica.
fn shown<'a>(observed: &'a Observed, id: &str) -> impl Iterator<Item = &'a Client> {
    let read = match observed.reads.get(id) {
        Some(ClientRead::Live(client)) => Some(&**client),
        _ => None,
    };
    let id = id.to_owned();
    let listed = observed.issuers().filter_map(move |(_, view)| view.inventory.as_ref()?.client(&id));
    read.into_iter().chain(listed)
}

/// An issuer that calls as this user, by the list that was read last: C1 shows to each user his own.
fn issuer_view(list: Option<&List>, user_id: &str, now: u32) -> IssuerView {
    let inventory = list.map(|list| InventoryView {
        began: time(list.began),
        began_ago: Duration::from_secs(u64::from(now - list.began)),
        complete: true,
        // Other clients of the user are there as well.
        empty: false,
        clients: list.clients.iter().filter(|c| c.user_id == user_id).cloned().collect(),
    });
    let identity = Identity { host: HOST.into(), user_id: user_id.into() };
    IssuerView {
        not_ready: None,
        held: true,
        unheld: None,
        identity: inventory.as_ref().map(|_| identity),
        defaults: IssuerDefaults::default(),
        namespace_selected: Some(true),
        full_permissions: false,
        clock_off: false,
        inventory,
    }
}

/// A decision that was made, on what, and the transaction that it begins with its first effect.
struct Decided {
    step: Step,
    observed: Observed,
    first: Option<Printed<(Flight, Effect)>>,
}

thread_local! {
    static DECIDED: RefCell<Memo<Rc<Decided>>> = RefCell::default();
}

/// The transaction that a step begins.
fn first(step: &Step, object: &PersonalClient) -> Option<(Flight, Effect)> {
    let (flight, effect) = match step.clone() {
        Step::Issue(step) => Issue::start(*step, object.clone(), CLUSTER.into(), TIMING),
        Step::Update(step) => Update::start(*step, object.clone()),
        Step::Relocate(step) => Relocate::start(*step, object.clone()),
        Step::Tidy(step) => Tidy::start(*step, Anchor::of(object)),
        Step::Abandon(step) => Abandon::start(step, None),
        Step::Remove(step) => Remove::start(step, Anchor::of(object)),
        _ => return None,
    };
    effect.map(|effect| (flight, effect))
}
