//! One request of the tenant's API, from the moment it is read to its answer: faults, effect, count.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, header},
};
use tokio::time::sleep;

use crate::{
    api,
    app::App,
    faults::{Damage, Lag, Misdeed, When},
    route::{Operation, Route},
    wire::Answer,
};

/// A request, read whole. It can be answered more than once, which is how a create is doubled.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it asks for.
    pub route: Route,
    /// Its method.
    pub method: Method,
    /// Its query string, undecoded.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Goes into `c1-trace-id` and into the messages of errors.
    pub trace_id: String,
    /// How late the answer shows what has happened.
    pub lag: Lag,
}

impl Call {
    /// The access token it was made with.
    pub fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The display name that a create asks for, however well or badly formed the rest of it is.
    fn display_name(&self) -> Option<String> {
        if self.route != Route::Create {
            return None;
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let name = body.get("displayName").or_else(|| body.get("display_name"))?;
        name.as_str().map(str::to_owned)
    }
}

/// How a request ends.
#[derive(Debug)]
pub enum Outcome {
    /// With an answer.
    Answer(Answer),
    /// With a closed connection.
    Cut,
}

/// Answers a call, or does not, as the faults have it.
pub async fn exchange(app: Arc<App>, mut call: Call) -> Outcome {
    let operation = call.route.operation();
    let verdict = app.faults().judge(operation, call.display_name().as_deref());
    let latency = Duration::from_millis(app.tenant().switches().latency_ms);
    pause(latency + verdict.delay_before).await;
    call.lag = verdict.lag;
    let outcome = match verdict.misdeed {
        None => Outcome::Answer(api::answer(&app, &call)),
        Some(misdeed) => misbehave(misdeed, &app, &call),
    };
    app.persist().await;
    pause(verdict.delay_after).await;
    app.tally().count(operation, &outcome);
    outcome
}

fn misbehave(misdeed: Misdeed, app: &Arc<App>, call: &Call) -> Outcome {
    let effect = || api::answer(app, call);
    let answer = match misdeed {
        Misdeed::Cut(when) => {
            if when == When::After {
                effect();
            }
            return Outcome::Cut;
        }
        Misdeed::LateCreate(after) => {
            tokio::spawn(create_late(app.clone(), call.clone(), after));
            return Outcome::Cut;
        }
        Misdeed::Status { status, when, retry_after } => {
            if when == When::After {
                effect();
            }
            let answer = Answer::failure(status, &call.trace_id);
            match retry_after {
                Some(delay) => answer.with_header(header::RETRY_AFTER, delay),
                None => answer,
            }
        }
        Misdeed::Body(Damage::Malformed) => effect().malformed(),
        Misdeed::Body(Damage::Cut) => Answer { body_cut: true, ..effect() },
        Misdeed::Padded(bytes) => effect().padded(bytes),
        Misdeed::TokenRefused if call.route.operation() == Operation::Token => api::token::invalid_client(),
        Misdeed::TokenRefused => api::unauthenticated(call),
        Misdeed::DoubleCreate => {
            effect();
            effect()
        }
    };
    Outcome::Answer(answer)
}

/// A request that was stuck somewhere on its way while its sender gave up.
async fn create_late(app: Arc<App>, call: Call, after: Duration) {
    sleep(after).await;
    api::answer(&app, &call);
    app.persist().await;
}

async fn pause(duration: Duration) {
    // A timer of zero would still cost a millisecond.
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
