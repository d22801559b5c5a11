//! One request of the admin interface and its reply. Knows paths, methods and headers.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::access::Denial;
use super::source::{Source, Standing};
use super::{exposition, json, pages};

const TEXT: &str = "text/plain; charset=utf-8";

/// What goes with every reply: nothing is kept by a cache, nothing comes from or goes to another host, and nobody frames it.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (
        hyper::header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (hyper::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (hyper::header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The reply to a request. Its body, if it has one, is of no interest.
pub(super) fn reply<B>(source: &dyn Source, peer: SocketAddr, request: &Request<B>) -> Response<Full<Bytes>> {
    let mut reply = route(source, peer, request);
    for (name, value) in ALWAYS {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn route<B>(source: &dyn Source, peer: SocketAddr, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return text(StatusCode::BAD_REQUEST, "a request of HTTP/1.1 names its host");
    }
    let figures: fn(&dyn Source) -> Response<Full<Bytes>> = match request.uri().path() {
        "/metrics" => |source| body(exposition::TYPE, exposition::text(source)),
        "/stats.json" => |source| body(json::TYPE, json::stats(source)),
        "/latency.json" => |source| body(json::TYPE, json::latency(source)),
        path => return if is_read(request) { open(source, path) } else { not_allowed() },
    };
    if !is_read(request) {
        return not_allowed();
    }
    match source.access().check(peer, request.headers()) {
        Ok(()) => figures(source),
        Err(denial) => deny(denial),
    }
}

/// Paths that tell no figures.
fn open(source: &dyn Source, path: &str) -> Response<Full<Bytes>> {
    if path == "/healthz" {
        return match source.standstill() {
            None => text(StatusCode::OK, "alive"),
            Some(what) => text(StatusCode::SERVICE_UNAVAILABLE, &what),
        };
    }
    if path == "/readyz" {
        let standing = source.standing();
        // Without space for the journal it still serves who reads; to send those elsewhere would not make room.
        let status = match standing {
            Standing::Ready | Standing::Refusing(_) => StatusCode::OK,
            Standing::Loading | Standing::Ending => StatusCode::SERVICE_UNAVAILABLE,
        };
        return text(status, &json::describe(&standing).1);
    }
    match pages::find(path) {
        Some((kind, page)) => body(kind, page),
        None => text(
            StatusCode::NOT_FOUND,
            "there is nothing here; try / /metrics /healthz /readyz /latency.json /stats.json",
        ),
    }
}

fn is_read<B>(request: &Request<B>) -> bool {
    // Of a reply to HEAD, hyper leaves out the body.
    request.method() == Method::GET || request.method() == Method::HEAD
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply
}

fn deny(denial: Denial) -> Response<Full<Bytes>> {
    match denial {
        Denial::Token => {
            let mut reply = text(
                StatusCode::UNAUTHORIZED,
                "a token is needed: Authorization: Bearer, with what admin-token says",
            );
            reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            reply
        }
        Denial::Address => text(
            StatusCode::FORBIDDEN,
            "without a token, figures are for clients of this machine: set admin-token, or protected-mode no",
        ),
        Denial::Host => text(
            StatusCode::FORBIDDEN,
            "without a token, the host in the address must be an IP address or localhost: use one, or set admin-token",
        ),
    }
}

fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    let mut reply = body(TEXT, format!("{line}\n"));
    *reply.status_mut() = status;
    reply
}

fn body(kind: &'static str, bytes: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(bytes.into()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
