//! One request on its way.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, request::Parts},
    response::Response,
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{Lose, Shared, Trouble};

const LARGEST_BODY: usize = 4 << 20;

/// Sends a request on, and its answer back.
pub(super) async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    if shared.sky.partition_passes(&path).await {
        return cut();
    }
    if path.contains("watch=true") {
        return watch(shared, request, path).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return failure(StatusCode::BAD_REQUEST, "") };
    let method = parts.method.to_string();
    let about = about(&parts.method, &path, &body);
    let fate = shared.sky.fate(method != "GET");
    if let Some(delay) = fate.delay {
        shared.sky.hit(Trouble::Delayed, &about);
        tokio::time::sleep(delay).await;
    }
    if let Some(trouble) = fate.before {
        shared.sky.hit(trouble, &about);
        return troubled(trouble);
    }
    let Some(answer) = send(&shared, parts, body, &path).await else { return failure(StatusCode::BAD_GATEWAY, "") };
    // The effect took place, and nobody hears of it.
    if shared.sky.partition_passes(&path).await {
        return cut();
    }
    let lost = answer.status().is_success().then(|| take(&shared.rules, &method, &path)).flatten();
    let Some(trouble) = lost.or(fate.after) else {
        return whole(answer.status(), Body::from_stream(answer.bytes_stream()));
    };
    shared.sky.hit(trouble, &about);
    troubled(trouble)
}

/// The path of what a request is about: that of a create does not name it, its body does.
fn about(method: &Method, path: &str, body: &[u8]) -> String {
    let object: Value =
        if *method == Method::POST { serde_json::from_slice(body).unwrap_or_default() } else { Value::Null };
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    match object["metadata"]["name"].as_str() {
        Some(name) => format!("{plain}/{name}?{query}"),
        None => path.to_owned(),
    }
}

/// A watch: its events are held back on demand, and it ends when all are to list anew.
async fn watch(shared: Arc<Shared>, request: Request, path: String) -> Response {
    let kind = request.uri().path().to_owned();
    let ends = shared.sky.watch_ends();
    if shared.sky.must_relist(&kind) {
        shared.sky.hit(Trouble::Relisted, &path);
        return failure(StatusCode::GONE, "Expired");
    }
    let (parts, _) = request.into_parts();
    let Some(answer) = send(&shared, parts, Bytes::new(), &path).await else {
        return failure(StatusCode::BAD_GATEWAY, "");
    };
    let status = answer.status();
    let events = answer.bytes_stream().then(move |events| {
        let (shared, path) = (shared.clone(), path.clone());
        async move {
            shared.sky.clear(&path).await;
            events
        }
    });
    whole(status, Body::from_stream(events.boxed().take_until(Box::pin(ends))))
}

async fn send(shared: &Shared, parts: Parts, body: Bytes, path: &str) -> Option<reqwest::Response> {
    let mut upstream = shared.http.request(parts.method, format!("{}{path}", shared.upstream));
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        upstream = upstream.header(name, value);
    }
    upstream.body(body).send().await.ok()
}

fn whole(status: StatusCode, body: Body) -> Response {
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

/// The API server's own form of an error.
fn failure(status: StatusCode, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status.as_u16(), "message": "by the proxy"});
    whole(status, Body::from(body.to_string()))
}

/// What comes in place of the answer.
fn troubled(trouble: Trouble) -> Response {
    match trouble {
        Trouble::Conflict => failure(StatusCode::CONFLICT, "Conflict"),
        Trouble::TooManyRequests => failure(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Trouble::InternalError => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Trouble::GatewayTimeout => failure(StatusCode::GATEWAY_TIMEOUT, "Timeout"),
        _ => cut(),
    }
}

/// The connection ends in the middle of the answer.
fn cut() -> Response {
    let pieces = stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("cut"))]).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    whole(StatusCode::OK, Body::from_stream(pieces))
}

fn take(rules: &Mutex<Vec<Lose>>, method: &str, path: &str) -> Option<Trouble> {
    let mut rules = rules.lock().unwrap();
    let fits = |r: &Lose| {
        r.method == method && path.contains(r.containing) && (r.without.is_empty() || !path.contains(r.without))
    };
    let index = rules.iter().position(fits)?;
    Some(rules.remove(index).loss)
}
