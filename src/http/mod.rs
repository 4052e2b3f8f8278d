//! What operators and Kubernetes ask over HTTP: `/metrics`, `/livez`, `/readyz`, and the status page with what belongs to it.

mod access;
mod admin;
mod health;
mod observer;
mod order;
mod page;
mod places;
mod report;
mod server;
mod shared;
mod status;
mod streams;
mod token;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(crate) use health::Health;
pub(crate) use observer::Observer;
pub(crate) use order::Order;
pub(crate) use page::{bytes, rough, seconds};
pub(crate) use report::{Cluster, Readiness, Report};

use shared::Shared;
use streams::Streams;
use token::AdminToken;

/// The server, and the orders that come in over it. It serves until the second stage of stopping, so that a draining process
/// can still be watched.
pub(crate) fn serve(
    listener: TcpListener,
    observer: Observer,
    token_file: Option<PathBuf>,
) -> (impl Future<Output = ()> + Send, mpsc::Receiver<Order>) {
    let (orders, ordered) = mpsc::channel(order::MOST_ORDERS);
    let shutdown = observer.shutdown.clone();
    let token = token_file.map(|file| Arc::new(AdminToken::new(file)));
    // Where there is a token, those without it cannot keep its holders from looking on.
    let streams = Streams::keeping(if token.is_some() { streams::MOST / 2 } else { 0 });
    let shared = Shared { observer: Arc::new(observer), token, orders, streams };
    let router = Router::new()
        .route("/metrics", get(render_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status::page))
        .route("/status.json", get(status::json))
        .route("/status/events", get(status::events))
        .route("/status/login", post(status::sign_in))
        .route("/status/logout", post(status::sign_out))
        .route("/sessions/{id}", delete(admin::end_session))
        .route("/reload", post(admin::reload))
        .route("/drain", post(admin::drain))
        .with_state(shared);
    (server::serve(listener, router, shutdown), ordered)
}

async fn render_metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let Observer { metrics, health, .. } = &*shared.observer;
    metrics.ready(health.reasons().is_empty());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

/// The process answers, so it lives.
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether new sessions should come here, and if not, why: one reason a line.
async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let reasons = shared.observer.health.reasons();
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}
