//! What an operator can have done over HTTP: end a session, reload, drain.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::access::{self, message};
use super::order::Order;
use super::server::Peer;
use super::shared::Shared;

/// How long a reload is waited for: files may come over a network.
const RELOAD: Duration = Duration::from_mins(1);

/// `DELETE /sessions/{id}`.
pub(super) async fn end_session(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    access::change(&shared, &headers, &peer).await?;
    if !shared.observer.sessions.dismiss(id) {
        return Err(message(StatusCode::NOT_FOUND, "there is no such session"));
    }
    tracing::info!(peer = %peer.address(), id, "session closed over http");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /reload`.
pub(super) async fn reload(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    access::change(&shared, &headers, &peer).await?;
    let busy = || message(StatusCode::SERVICE_UNAVAILABLE, "not now: the gateway reloads or stops");
    if shared.observer.shutdown.is_draining() {
        return Err(busy());
    }
    tracing::info!(peer = %peer.address(), "reload asked for over http");
    let (tell, told) = oneshot::channel();
    shared.orders.try_send(Order::Reload(tell)).map_err(|_| busy())?;
    match timeout(RELOAD, told).await {
        Ok(Ok(errors)) if errors.is_empty() => Ok(message(StatusCode::OK, "reloaded")),
        Ok(Ok(errors)) => {
            let body = serde_json::json!({ "message": "not reloaded, the old stays", "errors": errors });
            Ok(access::json(StatusCode::UNPROCESSABLE_ENTITY, &body))
        }
        Ok(Err(_)) => Err(busy()),
        Err(_) => Err(message(StatusCode::GATEWAY_TIMEOUT, "the reload is not done yet")),
    }
}

/// `POST /drain`. A second one changes nothing, unlike a second signal.
pub(super) async fn drain(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    access::change(&shared, &headers, &peer).await?;
    if !shared.observer.shutdown.is_draining() {
        tracing::info!(peer = %peer.address(), "drain asked for over http");
        let busy = |_| message(StatusCode::SERVICE_UNAVAILABLE, "not now: the gateway reloads or stops");
        shared.orders.try_send(Order::Drain).map_err(busy)?;
    }
    Ok(message(StatusCode::ACCEPTED, "draining"))
}
