//! What operators and Kubernetes ask over HTTP: `/metrics`, `/livez`, `/readyz`.

mod health;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

pub(crate) use health::Health;

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Serves until the second stage of stopping, so that a draining process can still be watched.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(render_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Shared { metrics, health });
    axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.stopping().await }).await
}

async fn render_metrics(State(shared): State<Shared>) -> impl IntoResponse {
    shared.metrics.ready(shared.health.reasons().is_empty());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

/// The process answers, so it lives.
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether new sessions should come here, and if not, why: one reason a line.
async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let reasons = shared.health.reasons();
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}
