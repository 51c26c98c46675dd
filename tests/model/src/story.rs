//! What happens, told to people.

use std::fmt;

use crate::{
    model::Action,
    replica::{Answers, Mishap},
    world::{OVERLAP, SHORT, State},
};

impl State {
    /// What an action does here, for people.
    pub fn tell(&self, action: Action) -> String {
        let name = |r: usize| {
            if self.replicas.len() > 1 { format!("replica {}", ["A", "B", "C"][r]) } else { "the operator".into() }
        };
        match action {
            Action::List(r, lags) => {
                format!("{} reads C1's list{}", name(r), if lags { ", which lags" } else { "" })
            }
            Action::Look(r) => format!("{} reads the object", name(r)),
            Action::Decide(r, answers) => {
                let what = if self.replicas[r].has_object() { "reads the Secret and decides" } else { "looks" };
                let answers = match answers {
                    Answers::Plain => "",
                    Answers::Lagging => "; what C1 answers lags",
                    Answers::Missing => "; C1 does not answer",
                };
                format!("{} {what}{answers}", name(r))
            }
            Action::DecideBlindly(r) => format!("{} decides by caches that have missed the Secret", name(r)),
            Action::Act(r, mishap) => format!("{}: {}{mishap}", name(r), self.replicas[r].next_effect()),
            Action::OutOfTime(r) => format!("{}: its time is over before: {}", name(r), self.replicas[r].next_effect()),
            Action::Crash(r) => format!("{} is killed before: {}", name(r), self.replicas[r].next_effect()),
            Action::Land(index) => {
                format!("C1 makes the client of a create that was given up: \"{}\"", self.late[index].0)
            }
            Action::Tick(SHORT) => "time passes: an attempt that was seen is old".into(),
            Action::Tick(seconds) => format!("{seconds} s pass: overlaps of {} s are over", OVERLAP.as_secs()),
            Action::Event(event) => format!("somebody: {event:?}"),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::AnswerLost => " (done; the answer is lost)",
            Self::RequestLost => " (the request is lost)",
            Self::Refused => " (it is refused)",
            Self::Late => " (no answer; it may take effect later)",
            Self::Doubled => " (it takes effect twice)",
            Self::Unseen => " (C1 does not know it yet)",
        })
    }
}
