//! One command on control's far side, however libunftp has called for it: it is the one that the edge has prepared, it
//! runs behind a fence, and a failure leaves the reply for the client with the session.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use tokio::runtime::Handle;
use tracing::Instrument;
use unftp_core::storage::{Error, ErrorKind, Result};

use super::front::Front;
use super::telling::{self, Telling};
use crate::config::EventType;
use crate::events::Details;
use crate::files::{self, Files, failure, transfer_result};
use crate::metrics::TransferResult;
use crate::path::VirtualPath;
use crate::session::{Operation, Pending, Session};
use crate::spans;

/// One session's files, as libunftp holds them.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) front: Front,
    pub(super) session: Arc<Session>,
    files: Option<Files>,
}

/// How a command is written after its verb's own syntax: on the pair, and in what is checked against it.
pub(super) fn argument(operation: Operation, path: &VirtualPath) -> String {
    format!("{} {path}", operation.verb())
}

impl Backend {
    pub(super) fn new(front: &Front, session: &Arc<Session>) -> Self {
        Self { front: front.clone(), session: Arc::clone(session), files: None }
    }

    /// Makes the files those of the user who has logged in.
    pub(super) fn enter(&mut self, files: Files) {
        self.files = Some(files);
    }

    /// Counts what a listing has left out.
    pub(super) fn count_left_out(&self, files: &Files, pending: &Pending, left_out: usize) {
        if let Some(store) = files.store(&pending.path) {
            self.front.metrics.unlisted_keys(store, left_out);
        }
    }

    /// The command that the edge has prepared, if it concerns `path`, and the user's files.
    pub(super) fn take(&self, path: &Path) -> Result<(Pending, &Files)> {
        self.take_if(|pending| path == Path::new(pending.path.as_str()))
    }

    /// The command that the edge has prepared, if it is the `expected` one, and the user's files.
    pub(super) fn take_if(&self, expected: impl FnOnce(&Pending) -> bool) -> Result<(Pending, &Files)> {
        let pending = self.session.take_pending().filter(expected);
        // libunftp calls only after login, which set the files, and hands over what the edge has sent.
        pending.zip(self.files.as_ref()).ok_or_else(|| {
            let _in_session = self.session.span.enter();
            tracing::error!("libunftp asks for something else than the edge has sent");
            ErrorKind::LocalError.into()
        })
    }

    /// Waits for `work` within the session's span. An error, and a panic as well, leaves the reply with the session.
    pub(super) async fn run<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = files::Result<T>>,
    ) -> Result<T> {
        let verb = operation.verb();
        let work = async {
            fenced(work).await.map_err(|error| {
                let reply = failure(operation, &error);
                if matches!(transfer_result(&error), TransferResult::StoreError | TransferResult::ServerError)
                {
                    tracing::warn!(verb, error = &error as &dyn std::error::Error, "command failed");
                } else {
                    tracing::debug!(verb, code = reply.code, reason = reply.lines.first(), "command refused");
                }
                self.session.answer(reply);
                Error::from(kind(&error))
            })
        };
        spans::in_session(self.session.span.clone(), work.instrument(self.session.work_span())).await
    }

    /// This is about to be done with what is at `path`, or to get there `from` elsewhere. Refused if a sink has to be told of it
    /// and has no room.
    pub(super) fn announce(
        &self,
        kind: EventType,
        path: &VirtualPath,
        from: Option<&VirtualPath>,
        files: &Files,
    ) -> files::Result<Telling> {
        telling::announce(&self.front.events, &self.session, kind, (path, from), files)
    }

    /// Like `run`, for what changes files, once `planning` has found that it is allowed. When it is told to give up, only the
    /// wait ends: the store may have done it already, and it must not stay untold.
    pub(super) async fn change<F>(
        &self,
        kind: EventType,
        pending: &Pending,
        files: &Files,
        planning: impl Future<Output = files::Result<F>>,
    ) -> Result<()>
    where
        F: Future<Output = files::Result<()>> + Send + 'static,
    {
        self.run(pending.operation, async {
            // First what does not depend on load: to try again later would not help whoever may not do it at all.
            let work = pending.abort.unless_requested(planning).await?;
            let telling = self.announce(kind, &pending.path, pending.from.as_ref(), files)?;
            let (verb, path, from) = (pending.operation.verb(), pending.path.clone(), pending.from.clone());
            let change = fenced(async move {
                work.await?;
                let from = from.as_ref().map(tracing::field::display);
                tracing::info!(verb, %path, from, "done");
                telling.tell(Details::default()).await
            });
            let changing = self.front.shutdown.spawn_on(spans::carried(change), &Handle::current());
            let changed = changing.map(|done| match done {
                Ok(done) => done,
                Err(error) => Err(files::Error::Internal(error.to_string())),
            });
            pending.abort.unless_requested(changed).await
        })
        .await
    }
}

/// What `work` comes to; a panic in it is an error.
pub(super) fn fenced<T>(
    work: impl Future<Output = files::Result<T>>,
) -> impl Future<Output = files::Result<T>> {
    let fenced = AssertUnwindSafe(work).catch_unwind();
    fenced.map(|done| done.unwrap_or_else(|panic| Err(files::Error::Internal(what(&*panic)))))
}

/// What a panic said.
fn what(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

/// What libunftp is told. The client's reply comes from [`failure`]; this only feeds libunftp's own metrics.
fn kind(error: &files::Error) -> ErrorKind {
    match transfer_result(error) {
        TransferResult::StoreError | TransferResult::ServerError => ErrorKind::LocalError,
        TransferResult::ClientLost | TransferResult::Stalled | TransferResult::Aborted => {
            ErrorKind::ConnectionClosed
        }
        TransferResult::Rejected | TransferResult::Ok => ErrorKind::PermanentFileNotAvailable,
    }
}
