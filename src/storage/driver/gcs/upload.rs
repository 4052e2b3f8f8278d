//! An upload as one streaming request: pieces go out as they come, and the store keeps them only if the body ends in order.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use unftp_core::auth::DefaultUser;
use unftp_core::storage::{Error as GcsError, ErrorKind, StorageBackend};
use unftp_sbe_gcs::CloudStorage;

use super::feed::{Fed, Feeder, Hash, feed};
use crate::shutdown::Shutdown;
use crate::storage::budget::LARGEST_BUFFER;
use crate::storage::driver::contract::{
    Condition, Destination, Lifetime, OpenUpload, Saved, Sending, Uploader, Written,
};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// The client has no deadlines of its own. Within this time it must have a token and a connection.
const BEGINNING: Duration = Duration::from_secs(15);
/// Silence of the store that ends an upload, as with the other clients.
const SILENCE: Duration = Duration::from_mins(2);
/// What a small body may take in all before it is left to the client that tries again.
const WHOLE: Duration = Duration::from_secs(20);
/// How long it may take to say why a request has failed, or what has become of it.
const ASKING: Duration = Duration::from_secs(10);

/// The key that an upload goes to.
#[derive(Debug)]
pub(super) struct StreamedDestination {
    /// `object_store`'s way there.
    pub(super) whole: Box<dyn Destination>,
    pub(super) uploads: CloudStorage,
    pub(super) path: StorePath,
    pub(super) shutdown: Shutdown,
}

#[async_trait]
impl Destination for StreamedDestination {
    fn first_part(&self) -> usize {
        LARGEST_BUFFER
    }

    fn describe(&mut self, uploader: Uploader<'_>) {
        // The crate puts nothing on its objects.
        self.whole.describe(uploader);
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<Written> {
        let Self { whole, uploads, path, shutdown } = *self;
        // The crate knows no conditions.
        if matches!(condition, Condition::Any) {
            let upload = StreamedUpload::begin(uploads, path, &shutdown);
            match timeout(WHOLE, upload.whole(body.clone())).await.unwrap_or_else(|_| Err(silent())) {
                // The crate tells nothing of it.
                Ok(()) => return Ok(Written::default()),
                // The body is still here. The other client tries again, and knows what has become of an upload whose
                // answer was lost.
                Err(error) => tracing::debug!(%error, "sent again by the other client"),
            }
        }
        whole.put(body, condition).await
    }

    async fn open(self: Box<Self>, _lifetime: Lifetime) -> Result<Box<dyn OpenUpload>> {
        // The configuration allows no `resume_window` beside this driver: a request that breaks off leaves nothing.
        Ok(Box::new(StreamedUpload::begin(self.uploads, self.path, &self.shutdown)))
    }
}

/// A request whose body is not whole yet. Dropped, it breaks off.
#[derive(Debug)]
struct StreamedUpload {
    uploads: CloudStorage,
    path: StorePath,
    /// None once the upload was given up.
    feeder: Option<Feeder>,
    answer: Answer,
    sent: u64,
}

/// The request on its way; it yields how many bytes the store has kept.
type Request = AbortOnDropHandle<std::result::Result<u64, GcsError>>;

/// What the store says in the end, which may be before the end of the body.
#[derive(Clone, Debug)]
struct Answer {
    /// None once somebody has heard it.
    answer: Arc<Mutex<Option<Request>>>,
    is_there: CancellationToken,
}

impl StreamedUpload {
    fn begin(uploads: CloudStorage, path: StorePath, shutdown: &Shutdown) -> Self {
        let (feeder, feed) = feed();
        let is_there = CancellationToken::new();
        let (guard, client, key) = (is_there.clone().drop_guard(), uploads.clone(), path.as_str().to_owned());
        let request = async move {
            let _guard = guard;
            client.put(&DefaultUser, feed, key, 0).await
        };
        // On the process's own runtime: the client's connections outlive the session, and hashing is for any processor.
        let request = AbortOnDropHandle::new(shutdown.runtime().spawn(request));
        let answer = Answer { answer: Arc::new(Mutex::new(Some(request))), is_there };
        Self { uploads, path, feeder: Some(feeder), answer, sent: 0 }
    }

    /// Sends all there is.
    async fn whole(mut self, body: Vec<Bytes>) -> Result<()> {
        self.send(body)?.await?;
        self.end().await.map_err(|(error, _)| error)
    }

    /// Ends the body and hears whether the store has kept all of it. The hash of the body comes with a failure that leaves
    /// it open what the store has done: once the end has gone out and nothing was refused.
    async fn end(&mut self) -> std::result::Result<(), (Error, Option<Hash>)> {
        let (end, mut hash) = oneshot::channel();
        if let Some(feeder) = &self.feeder {
            // A body that nobody reads any more has an answer.
            let _ = feeder.try_send(Fed::End(end));
        }
        match self.answer.wait(SILENCE).await {
            Ok(kept) if kept == self.sent => Ok(()),
            Ok(_) => Err((failed("the store has kept another number of bytes"), None)),
            Err(Unanswered::Failed(error)) if is_refusal(&error) => {
                Err((client_error(error, &self.path), None))
            }
            Err(Unanswered::Failed(error)) => Err((client_error(error, &self.path), hash.try_recv().ok())),
            Err(Unanswered::Other(error)) => Err((error, hash.try_recv().ok())),
        }
    }

    /// Whether the object holds just what was sent, whoever put it there.
    async fn holds(&self, hash: Hash) -> bool {
        let md5 = StorageBackend::<DefaultUser>::md5(&self.uploads, &DefaultUser, self.path.as_str());
        let Ok(Ok(md5)) = timeout(ASKING, md5).await else { return false };
        md5 == format!("{:032x}", u128::from_be_bytes(hash))
    }
}

#[async_trait]
impl OpenUpload for StreamedUpload {
    fn part_size(&self) -> usize {
        LARGEST_BUFFER
    }

    fn window(&self) -> usize {
        1
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        let patience = if self.sent == 0 { BEGINNING } else { SILENCE };
        self.sent += part.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        let (taken, was_taken) = oneshot::channel();
        if let Some(feeder) = &self.feeder {
            // Where it cannot be put in, it is dropped, and that is heard below.
            let _ = feeder.try_send(Fed::Piece(part.into(), taken));
        }
        let (answer, path) = (self.answer.clone(), self.path.clone());
        let sending = async move {
            tokio::select! {
                taken = was_taken => if taken.is_ok() { return Ok(()) },
                () = answer.is_there.cancelled() => {}
                () = sleep(patience) => return Err(silent()),
            }
            Err(match answer.wait(ASKING).await {
                Ok(_) => failed("the store has answered before the end"),
                Err(Unanswered::Failed(error)) => client_error(error, &path),
                Err(Unanswered::Other(error)) => error,
            })
        };
        Ok(sending.boxed())
    }

    async fn complete(&mut self, _condition: &Condition) -> Result<Written> {
        // The request cannot be made conditional: that the condition was just checked must do.
        match self.end().await {
            Ok(()) => Ok(Written::default()),
            // Semantics decision: an upload cannot be marked here, so the object itself is asked. If it holds the very bytes
            // that were sent, the client's file is there.
            Err((_, Some(hash))) if self.holds(hash).await => {
                tracing::info!(key = %self.path, "the store's answer said otherwise, but the upload is there");
                Ok(Written::default())
            }
            Err((error, _)) => Err(error),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.feeder = None;
        match self.answer.wait(ASKING).await {
            Ok(_) => Err(failed("the store has kept an upload that was given up")),
            // It has failed, as it should.
            Err(_) => Ok(()),
        }
    }

    fn saved(&self) -> Option<Saved> {
        None
    }

    fn takes_short_parts(&self) -> bool {
        true
    }

    fn leave(&mut self) {
        // There is nothing that could be left; dropped, it breaks off.
    }
}

/// Why there is no answer that says that the object is there.
enum Unanswered {
    Failed(GcsError),
    Other(Error),
}

impl Answer {
    /// How many bytes the store has kept. If nothing is heard within `patience`, the request is broken off.
    async fn wait(&self, patience: Duration) -> std::result::Result<u64, Unanswered> {
        let answer = self.answer.lock().await.take();
        let Some(answer) = answer else { return Err(Unanswered::Other(failed("the request has ended"))) };
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer.map_err(Unanswered::Failed),
            Ok(Err(lost)) => Err(Unanswered::Other(Error::task_lost(lost))),
            Err(_) => Err(Unanswered::Other(silent())),
        }
    }
}

/// 401, 403 and 404, and a token that cannot be had: nothing was kept.
fn is_refusal(error: &GcsError) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::PermanentFileNotAvailable)
}

fn client_error(error: GcsError, path: &StorePath) -> Error {
    // The status is only in the text. For some seconds of each hour the client uses a token that has just expired, so a 401
    // says nothing that holds.
    let expired = error.source().is_some_and(|source| source.to_string().contains("Status: 401 "));
    let (kind, path, source) = (error.kind(), path.to_string(), Box::new(error));
    match kind {
        ErrorKind::PermissionDenied if !expired => {
            object_store::Error::PermissionDenied { path, source }.into()
        }
        _ => Error::Store(object_store::Error::Generic { store: "unftp-sbe-gcs", source }),
    }
}

fn failed(why: &'static str) -> Error {
    client_failure(io::Error::other(why))
}

fn silent() -> Error {
    client_failure(io::Error::new(
        io::ErrorKind::TimedOut,
        "the store, or what gives a token for it, is silent",
    ))
}

fn client_failure(source: io::Error) -> Error {
    Error::Store(object_store::Error::Generic { store: "unftp-sbe-gcs", source: Box::new(source) })
}
