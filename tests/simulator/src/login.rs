//! A consumer of a credential, as a pod gets it by `envFrom`: logs in, and asks the tenant who that is.
//!
//! The CA is that of the machine, or what `SSL_CERT_FILE` names, as for any consumer.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use crate::{args::Login, startup::Signals};

const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// The one line: who was let in with which client and what they may do, or why nobody was.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    client_id: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Error(String),
    #[serde(untagged)]
    Caller(Caller),
}

/// What introspect answers, as far as it matters.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    user_id: String,
    tenant_id: String,
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// What the environment holds.
struct Credential {
    client_id: String,
    client_secret: String,
    server: String,
    token_url: String,
}

impl Credential {
    /// As C1's SDKs read it, the host being in the client id; without their variables, the keys that the operator writes
    /// into every Secret.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let needed = |name: &str| variable(name).ok_or_else(|| format!("{name} is not in the environment"));
        let Some(client_id) = variable("CONDUCTORONE_CLIENT_ID") else {
            return Ok(Self {
                client_id: needed("clientId")?,
                client_secret: needed("clientSecret")?,
                server: needed("serverUrl")?,
                token_url: needed("tokenUrl")?,
            });
        };
        let host = client_id.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map(|(host, _)| host);
        let host = host.ok_or_else(|| format!("{client_id} is no client id"))?;
        let server = variable("CONDUCTORONE_SERVER_URL").unwrap_or_else(|| format!("https://{host}"));
        Ok(Self {
            client_secret: needed("CONDUCTORONE_CLIENT_SECRET")?,
            token_url: format!("{server}/auth/v1/token"),
            server,
            client_id,
        })
    }

    async fn log_in(&self, http: &reqwest::Client) -> Result<Caller, Box<dyn Error>> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
        ];
        let token: Token = answer("token", http.post(&self.token_url).form(&form)).await?;
        let introspect = http.get(format!("{}/api/v1/auth/introspect", self.server));
        answer("introspect", introspect.bearer_auth(&token.access_token)).await
    }
}

/// The body of a 200. Of any other answer only the status is told: who knows what a body repeats.
async fn answer<T: for<'de> Deserialize<'de>>(
    what: &str,
    request: reqwest::RequestBuilder,
) -> Result<T, Box<dyn Error>> {
    let answer = request.send().await?;
    match answer.status().as_u16() {
        200 => Ok(answer.json().await?),
        status => Err(format!("{what}: status {status}").into()),
    }
}

/// Once; or again and again, until a signal ends it. Whether it was let in when it was asked to once.
pub async fn run(how: &Login) -> Result<bool, Box<dyn Error>> {
    let credential = Credential::read(|name| env::var(name).ok().filter(|value| !value.is_empty()))?;
    let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
    if !how.repeat {
        return attempt(&credential, &http).await;
    }
    let signals = Signals::catch()?;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let again = async {
        loop {
            ticks.tick().await;
            attempt(&credential, &http).await?;
        }
    };
    tokio::select! {
        ended = again => ended,
        () = signals.wait() => Ok(true),
    }
}

/// Whether somebody was let in, said on standard output.
async fn attempt(credential: &Credential, http: &reqwest::Client) -> Result<bool, Box<dyn Error>> {
    let outcome = match credential.log_in(http).await {
        Ok(caller) => Outcome::Caller(caller),
        Err(error) => Outcome::Error(with_causes(&*error)),
    };
    let let_in = matches!(outcome, Outcome::Caller(_));
    let report = Report { client_id: &credential.client_id, outcome };
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(let_in)
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Credential, String> {
        Credential::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_sdks_variables_say_the_host_by_the_client_id() {
        let id = ("CONDUCTORONE_CLIENT_ID", "calm-otter-1@acme.conductor.one/pcc");
        let secret = ("CONDUCTORONE_CLIENT_SECRET", "s");
        let read_one = read(&[id, secret, ("serverUrl", "https://elsewhere")]).unwrap();
        assert_eq!(read_one.token_url, "https://acme.conductor.one/auth/v1/token");
        let server = ("CONDUCTORONE_SERVER_URL", "https://c1.example.com");
        assert_eq!(read(&[id, secret, server]).unwrap().token_url, "https://c1.example.com/auth/v1/token");
        assert!(read(&[id]).err().unwrap().contains("CONDUCTORONE_CLIENT_SECRET"));
        assert!(read(&[("CONDUCTORONE_CLIENT_ID", "x"), secret]).is_err());
    }

    #[test]
    fn the_keys_of_every_secret_will_do() {
        let keys = [("clientId", "i"), ("clientSecret", "s"), ("serverUrl", "https://a"), ("tokenUrl", "https://a/t")];
        let credential = read(&keys).unwrap();
        assert_eq!((credential.server.as_str(), credential.token_url.as_str()), ("https://a", "https://a/t"));
        assert!(read(&keys[..3]).err().unwrap().contains("tokenUrl"));
    }
}
