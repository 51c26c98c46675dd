//! An issuer's way to its tenant: credentials, session, and C1's list, which proves that both work.

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::ResourceExt;

use super::{
    client_issuer::{IssuerObject, version},
    context::Context,
    error::{Error, kubernetes},
    issuers::Issuer,
    tenant,
};
use crate::{
    api::Reason,
    c1::{self, Auth, Session, Settings},
    clock::BootInstant,
    secret,
};

/// Why an issuer is not ready: a reason, and the same for people.
pub(super) type Why = (Reason, String);

/// Reads the credentials and makes a session of them, unless there is one with the same.
pub(super) async fn connect<K: IssuerObject>(ctx: &Context, object: &K, issuer: &Issuer) -> Result<(), Why> {
    let tenant = object.tenant();
    let address = tenant::address(tenant)
        .ok_or((Reason::InvalidConfiguration, "tenantDomain or url is not the address of a tenant".to_owned()))?;
    let namespaced = object.namespace().is_some();
    if !tenant::allowed(&address.host, namespaced, &ctx.config) {
        let kind = if namespaced { "a ClientIssuer" } else { "an issuer" };
        let message = format!("{} is not a host that {kind} may name: see the operator's --allowed-host", address.host);
        return Err((Reason::HostNotAllowed, message));
    }
    let ca =
        tenant.ca_bundle.as_ref().map(|text| STANDARD.decode(text.split_whitespace().collect::<String>())).transpose();
    let ca = ca.map_err(|_| (Reason::InvalidConfiguration, "caBundle is not base64".to_owned()))?;
    let auth = credentials(ctx, object).await?;
    let state = issuer.state();
    let same =
        state.session.is_some_and(|s| s.base() == address.base && s.is_login(&auth)) && issuer.is_of(&version(object));
    if same {
        return Ok(());
    }
    let settings = Settings {
        base: address.base,
        host: address.host,
        ca,
        auth,
        deadlines: ctx.config.deadlines,
        clock: ctx.clock.clone(),
        observer: ctx.metrics.clone(),
    };
    let session = Session::new(settings).map_err(|kind| match kind {
        c1::ErrorKind::Credentials(text) if text.starts_with("caBundle") => (Reason::InvalidConfiguration, text),
        other => (Reason::Unauthorized, other.to_string()),
    })?;
    issuer.connect(session);
    Ok(())
}

/// The credentials of an issuer: of its own namespace, or for a cluster-scoped one of the operator's.
async fn credentials<K: IssuerObject>(ctx: &Context, object: &K) -> Result<Auth, Why> {
    let namespace = object.namespace().unwrap_or_else(|| ctx.config.namespace.clone());
    let auth = &object.tenant().auth;
    let name = match (&auth.oauth, &auth.bearer) {
        (Some(oauth), None) => &oauth.secret_ref.name,
        (None, Some(bearer)) => &bearer.secret_ref.name,
        _ => {
            return Err((Reason::InvalidConfiguration, "exactly one of auth.oauth and auth.bearer must be set".into()));
        }
    };
    let what = format!("Secret {namespace}/{name}");
    let missing = |text: String| (Reason::CredentialsNotFound, text);
    let read = kubernetes("read", &what, ctx.secrets.read(&namespace, name)).await;
    let read = match read {
        Ok(Some(read)) => read,
        Ok(None) => return Err(missing(format!("{what} does not exist"))),
        Err(error) => return Err((Reason::CredentialsNotFound, format!("{what} cannot be read: {}", brief(&error)))),
    };
    let text = |key: &str| text(&read, key).ok_or_else(|| missing(format!("{what} has no key {key}")));
    Ok(match &auth.bearer {
        Some(bearer) => Auth::Bearer(text(&bearer.secret_ref.key)?.into()),
        None => Auth::OAuth { client_id: text("clientId")?, secret: text("clientSecret")?.into() },
    })
}

fn text(read: &secret::Read, key: &str) -> Option<String> {
    read.text(key).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

fn brief(error: &Error) -> String {
    error.status().map_or_else(|| "the API server does not answer".to_owned(), |s| s.reason.clone())
}

/// Reads C1's list: the proof that the credentials work, and what all objects of the issuer are judged by.
pub(super) async fn inventory(ctx: &Context, issuer: &Issuer) -> Result<(), Why> {
    let result = issuer.list_since(BootInstant::now(), &*ctx.clock).await;
    if issuer.clock_off() {
        let message = "the operator's clock and C1's differ by more than five minutes: nothing is issued, and nothing ends because of time, until they agree";
        return Err((Reason::ClockSkew, message.into()));
    }
    let Err(error) = result else { return Ok(()) };
    let reason = match &error.kind {
        c1::ErrorKind::Status { status: 403 | 404, .. } => Reason::Unauthorized,
        _ => error.reason(),
    };
    tracing::warn!(%error, "an issuer's list could not be read");
    Err((reason, format!("C1 ({}): {}", error.host, error.kind.for_condition())))
}
