//! What every request passes: who asks, whether there is room, how long it may take, and what is noted of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State as Extract};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::MAX_BODY;
use super::error::ApiError;
use super::metrics::Metrics;
use super::state::Shared;

/// How long a client may take to send a body.
const BODY: Duration = Duration::from_secs(20);

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Nothing of other hosts is loaded by our pages, nothing of ours by pages of other hosts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Lets in who has the token, where there is one.
pub async fn token(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    match &state.token {
        // Hashes are compared in constant time.
        Some(token) if shown(request.headers()) != Some(*token) => {
            ApiError::unauthorized().into_response()
        }
        _ => next.run(request).await,
    }
}

fn shown(headers: &HeaderMap) -> Option<blake3::Hash> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| blake3::hash(token.trim_ascii()))
}

/// Without a token, only requests to this machine by its own name: a page of another host, whose name it turned into our
/// address, must not search the library through the user's browser.
pub async fn host(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if state.token.is_none() && !named.is_some_and(is_own) {
        return ApiError::foreign_host().into_response();
    }
    next.run(request).await
}

fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Takes in the whole body before there is talk of a slot: whoever is slow to send one waits for nobody's but its own.
pub async fn body(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY, received(body, &state.bodies)).await {
        Ok(Ok((body, _room))) => next.run(Request::from_parts(parts, body.into())).await,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::unavailable("timeout", "the body took too long").into_response(),
    }
}

/// A body, and the room that it takes among those of all requests.
async fn received(
    mut body: Body,
    bodies: &Semaphore,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), ApiError> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(ApiError::too_large());
    }
    let (mut bytes, mut room) = (Vec::new(), None::<SemaphorePermit<'_>>);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::malformed(error.to_string()))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if bytes.len() > MAX_BODY {
            return Err(ApiError::too_large());
        }
        let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = bytes.len().div_ceil(1 << 20) - held;
        let more = bodies.try_acquire_many(more as u32).map_err(|_| ApiError::overloaded())?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
    }
    Ok((bytes, room))
}

/// Answers so many requests at once, and tells others to come again.
pub async fn slot(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    let Ok(_slot) = state.slots.try_acquire() else {
        return ApiError::overloaded().into_response();
    };
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable("timeout", "it took too long").into_response(),
    }
}

/// What browsers must know.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Counts and notes every request.
pub async fn watch(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let _flight = Flight::new(&state.metrics);
    let response = next.run(request).await;
    let (status, taken) = (response.status().as_u16(), started.elapsed());
    state.metrics.answered(&route, status, taken);
    let ms = taken.as_secs_f64() * 1e3;
    tracing::info!(%method, route, status, ms, "request");
    response
}

/// A request in flight, until it is dropped, as it is when its client is gone.
struct Flight(Arc<Metrics>);

impl Flight {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.begin();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_its_own_host() {
        for host in
            ["localhost", "LOCALHOST:7700", "127.0.0.1:7700", "127.1.2.3", "[::1]:7700", "[::1]"]
        {
            assert!(is_own(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7700",
            "10.0.0.1",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_own(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_shown_as_a_bearer() {
        let shown_by = |value: &'static str| {
            let headers = [(header::AUTHORIZATION, HeaderValue::from_static(value))];
            shown(&headers.into_iter().collect())
        };
        assert_eq!(shown_by("Bearer secret"), Some(blake3::hash(b"secret")));
        assert_eq!(shown_by("bearer secret "), Some(blake3::hash(b"secret")));
        assert_eq!(shown_by("Basic secret"), None);
        assert_eq!(shown_by("Bear"), None);
        assert_eq!(shown(&HeaderMap::new()), None);
    }
}
