//! The spans of traces, below that of the session: one for each command, transfer and request to a store. The log has none
//! of them. While no traces are asked for they are never made.

use tracing::Span;
use tracing::field::Empty;

/// What tells these spans from those of the log.
pub(crate) const TARGET: &str = "traces";

/// A client's command, from its line to its last reply.
pub(crate) fn command(verb: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "command", verb)
}

/// A file on its way; `bytes` and `result` are recorded when it has ended.
pub(crate) fn transfer(
    direction: &'static str,
    user: &str,
    store: &str,
    path: &impl std::fmt::Display,
) -> Span {
    tracing::info_span!(
        target: TARGET,
        "transfer",
        direction,
        user,
        store,
        path = %path,
        bytes = Empty,
        result = Empty
    )
}

/// A request to a store, its retries included; `outcome` is recorded when it has ended.
pub(crate) fn store_request(store: &str, operation: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "store request", store, operation, outcome = Empty)
}
