//! The tenant's port: HTTP/1.1 over TLS, and connections that end without an answer.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{self, Body, Bytes},
    http::{HeaderName, HeaderValue, Request, Response, header},
};
use futures::stream;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    app::App,
    exchange::{Call, Outcome, exchange},
    faults::Lag,
    random,
    route::Route,
    tenant::Refusal,
    wire::Answer,
};

/// C1's gateway reads no more.
const MAX_BODY: usize = 4 * 1024 * 1024;
const TRACE_ID: HeaderName = HeaderName::from_static("c1-trace-id");

/// Told to hyper, which then closes the connection without a word.
#[derive(Debug)]
struct ConnectionCut;

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by a fault")
    }
}

impl Error for ConnectionCut {}

/// Serves the tenant until the process ends.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, app: Arc<App>) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(connection(acceptor.clone(), stream, peer, app.clone()));
            }
            // Out of file descriptors, most likely: others will be closed.
            Err(error) => {
                eprintln!("c1-simulator: accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr, app: Arc<App>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| respond(app.clone(), request, peer.ip()));
    // An error is a client that went away, or a cut of our own.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(app: Arc<App>, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Body>, ConnectionCut> {
    // In a task of its own: a client that gives up does not undo what it asked for.
    let exchange = tokio::spawn(async move {
        let trace_id = random::ksuid();
        let outcome = receive(&app, request, peer, trace_id.clone()).await;
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&app.tenant().now());
        (outcome, trace_id, date.unwrap_or_default())
    });
    match exchange.await {
        Ok((Outcome::Answer(answer), trace_id, date)) => Ok(response(answer, &trace_id, &date)),
        Ok((Outcome::Cut, ..)) | Err(_) => Err(ConnectionCut),
    }
}

async fn receive(app: &Arc<App>, request: Request<Incoming>, peer: IpAddr, trace_id: String) -> Outcome {
    let (head, incoming) = request.into_parts();
    let Ok(body) = body::to_bytes(Body::new(incoming), MAX_BODY).await else {
        let refusal = Refusal::invalid("request body too large");
        return Outcome::Answer(Answer::refused(&refusal, &trace_id));
    };
    let call = Call {
        route: Route::of(&head.method, head.uri.path()),
        method: head.method,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        peer,
        trace_id,
        lag: Lag::default(),
    };
    exchange(app.clone(), call).await
}

fn response(answer: Answer, trace_id: &str, date: &str) -> Response<Body> {
    let length = answer.body.len();
    let body = if answer.body_cut { half(&answer.body) } else { Body::from(answer.body) };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let own = [(TRACE_ID, trace_id.to_owned()), (header::DATE, date.to_owned())];
    for (name, value) in answer.headers.into_iter().chain(own) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The first half of a body, then the end of the connection. The pause lets hyper put that half on the wire, since an
/// error straight away would take the head of the answer with it.
fn half(body: &Bytes) -> Body {
    let first = body.slice(..body.len() / 2);
    Body::from_stream(stream::unfold(Some(first), async |first| match first {
        Some(first) if !first.is_empty() => Some((Ok(first), Some(Bytes::new()))),
        Some(_) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Err(io::Error::other(ConnectionCut)), None))
        }
        None => None,
    }))
}
