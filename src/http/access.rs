//! Who may see what, and who may change something.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::observer::Sight;
use super::server::Peer;
use super::shared::Shared;
use super::token::{Busy, Shown, is_same_origin};

/// What whoever sent these headers may see. A wrong token is an error rather than a look at less.
pub(super) async fn sight(shared: &Shared, headers: &HeaderMap, peer: &Peer) -> Result<Sight, Response> {
    let Some(token) = &shared.token else { return Ok(Sight::Numbers) };
    match token.shown(headers).await.map_err(busy)? {
        Shown::Nothing => Ok(Sight::Numbers),
        Shown::Token | Shown::Cookie => Ok(Sight::Details),
        Shown::Wrong => Err(wrong(peer)),
    }
}

/// Whether whoever sent these headers, and could see this then, still may.
pub(super) async fn still_has(shared: &Shared, headers: &HeaderMap, sight: Sight) -> bool {
    match (sight, &shared.token) {
        (Sight::Numbers, _) => true,
        (Sight::Details, None) => false,
        (Sight::Details, Some(token)) => token.holds(headers).await,
    }
}

/// Succeeds if whoever sent these headers may change something.
pub(super) async fn change(shared: &Shared, headers: &HeaderMap, peer: &Peer) -> Result<(), Response> {
    let Some(token) = &shared.token else {
        return Err(message(StatusCode::NOT_FOUND, "http.admin_token_file is not set"));
    };
    match token.shown(headers).await.map_err(busy)? {
        Shown::Token => Ok(()),
        Shown::Cookie if is_same_origin(headers) => Ok(()),
        Shown::Cookie => Err(message(StatusCode::FORBIDDEN, "not from the status page")),
        Shown::Nothing => Err(unauthorized("the admin token is missing")),
        Shown::Wrong => Err(wrong(peer)),
    }
}

/// The answer where a token was not looked at.
pub(super) fn busy(_: Busy) -> Response {
    message(StatusCode::SERVICE_UNAVAILABLE, "too many wrong tokens are shown now, try later")
}

fn wrong(peer: &Peer) -> Response {
    tracing::warn!(peer = %peer.address(), "wrong admin token");
    unauthorized("that is not the admin token")
}

fn unauthorized(text: &str) -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (challenge, message(StatusCode::UNAUTHORIZED, text)).into_response()
}

/// An answer of one sentence.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    json(status, &serde_json::json!({ "message": text }))
}

/// An answer as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Only a map with keys that are no text, or a `Serialize` that fails by itself, could not be written.
    let mut body = serde_json::to_vec(value).expect("plain data");
    body.push(b'\n');
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}
