//! The spans of traces, below that of the session: one for each command, transfer and request to a store. The log has none
//! of them. While no traces are asked for they are never made. Work takes its spans along into other tasks.

use tokio::task::futures::TaskLocalFuture;
use tokio::task_local;
use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

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
    store: Option<&str>,
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

task_local! {
    /// The session's span. Lines of the log stand in it only where it has been entered itself: entering a span of traces
    /// below it does not do.
    static SESSION: Span;
}

/// `work` of the session with this span.
pub(crate) fn in_session<F: Future>(session: Span, work: F) -> Instrumented<TaskLocalFuture<Span, F>> {
    SESSION.scope(session.clone(), work).instrument(session)
}

/// `work` in the spans of the caller, of the log and of traces, whichever task it runs in.
pub(crate) fn carried<F: Future>(work: F) -> Instrumented<TaskLocalFuture<Span, Instrumented<F>>> {
    let session = SESSION.try_with(Span::clone).unwrap_or_else(|_| Span::none());
    in_session(session, work.in_current_span())
}
