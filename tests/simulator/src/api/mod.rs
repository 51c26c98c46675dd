//! The tenant's API: what each operation reads, asks of the tenant, and answers.

mod clients;
mod device;
mod directory;
mod source_ip;
pub mod token;

pub use self::clients::wish;

use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::{
    app::App,
    exchange::Call,
    route::Route,
    tenant::{Caller, Permission, Refusal, Tenant},
    wire::Answer,
};

/// Answers a call, with its effect.
pub fn answer(app: &App, call: &Call) -> Answer {
    let reply = match &call.route {
        Route::Token => return token::grant(app, call),
        Route::DeviceAuthorization => return device::authorize(app, call),
        Route::TrailingSlash(path) => return redirect(call, path),
        Route::Create => clients::create(app, call),
        Route::List => clients::list(app, call),
        Route::Get(id) => clients::get(app, call, id),
        Route::Update(id) => clients::update(app, call, id),
        Route::Delete(id) => clients::delete(app, call, id),
        Route::Search => clients::search(app, call),
        Route::Roles => directory::roles(app, call),
        Route::Role(id) => directory::role(app, call, id),
        Route::Introspect => directory::introspect(app, call),
        Route::User(id) => directory::user(app, call, id),
        Route::TestSourceIp => source_ip::test(app, call),
        Route::Unknown => Err(Refusal::NotFound),
    };
    reply.unwrap_or_else(|refusal| Answer::refused(&refusal, &call.trace_id))
}

/// What a call gets whose token is not, or no longer, known.
pub fn unauthenticated(call: &Call) -> Answer {
    Answer::refused(&Refusal::Unauthenticated, &call.trace_id)
}

/// The caller, if the caller may.
fn authorize(tenant: &Tenant, call: &Call, permission: Permission) -> Result<Caller, Refusal> {
    let caller = authenticate(tenant, call)?;
    caller.require(permission)?;
    Ok(caller)
}

fn authenticate(tenant: &Tenant, call: &Call) -> Result<Caller, Refusal> {
    tenant.caller(call.bearer().ok_or(Refusal::Unauthenticated)?, call.peer)
}

fn redirect(call: &Call, path: &str) -> Answer {
    // Browsers' old habit of turning a redirected POST into a GET is why there are two statuses.
    let status =
        if call.method == Method::GET { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    Answer::redirect(status, format!("{path}{query}"))
}

/// Whether a body is a form, as OAuth wants it.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
