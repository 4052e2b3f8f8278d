//! One upload: up to one part in memory; a single PUT when the body ends within it, else a multipart upload with a
//! bounded window. Nothing is visible before [`Upload::commit`] has succeeded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::Store;
use super::budget::{Buffer, Charge, LARGEST_BUFFER};
use super::error::{Error, Result};
use super::local;
use super::path::StorePath;
use crate::data::DataConnection;

/// The first buffer of an upload; later ones grow with what has arrived, so that a slow or small upload holds at most
/// about twice what it sent.
const FIRST_BUFFER: usize = 8 * 1024;

/// S3 takes 10,000 parts. Parts keep their size for the first 5,000 (40 GiB at 8 MiB; some servers want equal
/// parts), then double every 1,000, which reaches 523 GiB.
const EQUAL_PARTS: usize = 5_000;
const PARTS_PER_DOUBLING: usize = 1_000;
const MAX_PARTS: usize = 10_000;

/// How long the store may take to forget an aborted multipart upload before it is left to its lifecycle rules.
const ABORT_DEADLINE: Duration = Duration::from_secs(10);
/// How long whoever aborts waits for the store.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long parts on their way may take to arrive before an abort; then they are cancelled.
const PARTS_DEADLINE: Duration = Duration::from_secs(8);

/// Where an upload's bytes come from.
#[async_trait]
pub(super) trait Source: Send {
    /// Appends to `buffer`, up to its spare capacity; 0 is the end. Dropping the future loses nothing.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize>;
}

#[async_trait]
impl Source for Box<dyn DataConnection> {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        Ok(self.as_mut().read(buffer).await?)
    }
}

/// What must hold of the target when the upload is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Whatever is there is replaced.
    Any,
    /// Nothing may be there.
    Absent,
    /// The object with this etag must still be there.
    Unchanged(Option<String>),
}

/// An upload in progress. Dropping it aborts it in the background.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<Store>,
    path: StorePath,
    part: Part,
    parts_sent: usize,
    total: u64,
    /// The multipart upload that is being opened. Who stops waiting for it leaves it here: the store may have made it
    /// already, and only its answer says what there is to abort.
    opening: Option<JoinHandle<Result<OpenMultipart>>>,
    multipart: Option<OpenMultipart>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl Upload {
    /// An upload to `path` that has not touched the store yet.
    pub(super) fn new(store: &Arc<Store>, path: StorePath) -> Self {
        Self {
            part: Part::new(store),
            store: Arc::clone(store),
            path,
            parts_sent: 0,
            total: 0,
            opening: None,
            multipart: None,
            in_flight: JoinSet::new(),
        }
    }

    /// Bytes taken so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Takes from `source` until its end. Parts are sent while the next one is filled.
    pub(super) async fn fill(&mut self, source: &mut dyn Source) -> Result<()> {
        loop {
            if self.part.len == self.part_size() {
                if self.multipart.is_none() && self.ends_with_part(source).await? {
                    return Ok(());
                }
                // Without memory for a look ahead the part goes out as it is.
                if self.part.len == self.part_size() {
                    self.send_part().await?;
                }
            }
            self.make_room().await?;
            let read = tokio::select! {
                read = source.read(self.part.buffer.bytes_mut()) => read?,
                Some(sent) = self.in_flight.join_next() => {
                    part_sent(sent)?;
                    continue;
                }
            };
            if read == 0 {
                return Ok(());
            }
            self.part.len += read;
            self.total += read as u64;
        }
    }

    /// Whether the first part, which is full, is all there is: then one PUT will do. If not, the next part has begun.
    async fn ends_with_part(&mut self, source: &mut dyn Source) -> Result<bool> {
        let mut next = Part::new(&self.store);
        // A part that is full must not wait for memory: others may wait for its own.
        if !next.charge.try_grow(FIRST_BUFFER) {
            return Ok(false);
        }
        next.next_buffer(self.store.budget().buffer(FIRST_BUFFER));
        next.len = source.read(next.buffer.bytes_mut()).await?;
        if next.len == 0 {
            return Ok(true);
        }
        self.total += next.len as u64;
        self.send_part().await?;
        self.part = next;
        Ok(false)
    }

    /// Makes the object appear, whole, if `target` holds. The caller must not drop this future: the store may be
    /// just about to confirm.
    pub(super) async fn commit(mut self, target: &Target) -> Result<()> {
        let result = self.finish(target).await;
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    async fn finish(&mut self, target: &Target) -> Result<()> {
        if self.multipart.is_none() {
            self.store.require(&self.path, target).await?;
            let mode = if *target == Target::Absent { PutMode::Create } else { PutMode::Overwrite };
            let (payload, _charge) = self.part.take(&self.store);
            let large = payload.content_length() > LARGEST_BUFFER;
            let put = put(Arc::clone(&self.store), self.path.clone(), payload, mode);
            // Like a part: a large body is hashed on any processor, a small one where it is.
            return if large {
                self.store.shutdown().spawn(put).await.map_err(task_lost)?
            } else {
                put.await
            };
        }
        if self.part.len > 0 {
            self.send_part().await?;
        }
        while let Some(sent) = self.in_flight.join_next().await {
            part_sent(sent)?;
        }
        // A multipart upload cannot be made conditional on every store, so its condition is checked last of all.
        self.store.require(&self.path, target).await?;
        if let Some(multipart) = &mut self.multipart {
            multipart.complete().await?;
        }
        self.multipart = None;
        Ok(())
    }

    /// Leaves nothing of the upload in the store. Waits for that, but not for a store that hangs: then it goes on in
    /// the background.
    pub(super) async fn abort(mut self) {
        let taking_down = self.take_down();
        let taking_down = self.store.shutdown().spawn(taking_down);
        // Late is no failure: the task goes on, and draining waits for it.
        let _ = tokio::time::timeout(ABORT_PATIENCE, taking_down).await;
    }

    /// What remains to be done to leave nothing. The upload itself is empty afterwards.
    fn take_down(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (opening, open) = (self.opening.take(), self.multipart.take());
        let in_flight = std::mem::take(&mut self.in_flight);
        async move {
            let opened = match opening {
                Some(opening) => opening.await.ok().and_then(Result::ok),
                None => open,
            };
            if let Some(multipart) = opened {
                multipart.abort(in_flight).await;
            }
        }
    }

    fn part_size(&self) -> usize {
        let doublings = (self.parts_sent.saturating_sub(EQUAL_PARTS)).div_ceil(PARTS_PER_DOUBLING);
        self.store.part_size() << doublings
    }

    /// Room in the current buffer, charged to the budget.
    async fn make_room(&mut self) -> Result<()> {
        if self.part.buffer.has_room() {
            return Ok(());
        }
        let grown = usize::try_from(self.total).unwrap_or(usize::MAX);
        let left = self.part_size() - self.part.len;
        let size = grown.clamp(FIRST_BUFFER, LARGEST_BUFFER).min(left);
        // More parts than one are taken only from what is free: who has a part on its way waits for that one.
        while !self.part.charge.try_grow(size) {
            let Some(sent) = self.in_flight.join_next().await else {
                self.part.charge.grow(size).await;
                break;
            };
            part_sent(sent)?;
        }
        self.part.next_buffer(self.store.budget().buffer(size));
        Ok(())
    }

    /// Puts the part on its way once the window has room.
    async fn send_part(&mut self) -> Result<()> {
        if self.parts_sent == MAX_PARTS {
            return Err(Error::TooLarge("more than 10000 parts; raise transfer.part_size"));
        }
        while self.in_flight.len() >= self.store.upload_concurrency() {
            if let Some(sent) = self.in_flight.join_next().await {
                part_sent(sent)?;
            }
        }
        if self.multipart.is_none() {
            let opening = self.opening.get_or_insert_with(|| {
                let opening = open_multipart(Arc::clone(&self.store), self.path.clone());
                self.store.shutdown().spawn(opening)
            });
            let opened = opening.await;
            self.opening = None;
            self.multipart = Some(opened.map_err(task_lost)??);
        }
        let multipart = self.multipart.as_mut().expect("just made");
        let (payload, charge) = self.part.take(&self.store);
        let sending = multipart.put_part(payload);
        self.parts_sent += 1;
        // The set ends its tasks when it is dropped, and the charge goes back when the store has the bytes.
        let part = async move {
            let _charge = charge;
            sending.await
        };
        // Hashing and encrypting a part is work for any processor, not for the session's thread alone.
        self.in_flight.spawn_on(part, self.store.shutdown().runtime());
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let unfinished = self.opening.is_some() || self.multipart.is_some();
        if unfinished && tokio::runtime::Handle::try_current().is_ok() {
            let taking_down = self.take_down();
            self.store.shutdown().spawn(taking_down);
        }
    }
}

async fn put(store: Arc<Store>, path: StorePath, payload: PutPayload, mode: PutMode) -> Result<()> {
    let put = |mode| {
        let options = PutOptions { mode, ..PutOptions::default() };
        store.objects().put_opts(path.as_path(), payload.clone(), options)
    };
    match put(mode.clone()).await {
        // `conditional_put = disabled`, for servers that know none: `require` has just asked, and that must do.
        Err(object_store::Error::NotImplemented { .. }) if mode == PutMode::Create => {
            put(PutMode::Overwrite).await.map_err(write_error)?;
        }
        result => drop(result.map_err(write_error)?),
    }
    Ok(())
}

/// Opens a multipart upload.
async fn open_multipart(store: Arc<Store>, path: StorePath) -> Result<OpenMultipart> {
    let made = match &store.local {
        Some(local) => local.missing_above(&path).await?,
        None => Vec::new(),
    };
    let upload = store.objects().put_multipart(path.as_path()).await.map_err(write_error)?;
    Ok(OpenMultipart { upload: Some(upload), made, store })
}

fn part_sent(joined: std::result::Result<object_store::Result<()>, JoinError>) -> Result<()> {
    match joined {
        Ok(sent) => sent.map_err(write_error),
        Err(source) => Err(task_lost(source)),
    }
}

fn task_lost(source: JoinError) -> Error {
    Error::Store(object_store::Error::JoinError { source })
}

/// What is not found when an object is written is the bucket, or the upload itself: the store's fault, not a missing
/// file.
fn write_error(error: object_store::Error) -> Error {
    if matches!(error, object_store::Error::NotFound { .. }) { Error::Store(error) } else { error.into() }
}

/// The part that is being filled.
#[derive(Debug)]
struct Part {
    full: Vec<Bytes>,
    buffer: Buffer,
    len: usize,
    charge: Charge,
}

impl Part {
    fn new(store: &Store) -> Self {
        Self { full: Vec::new(), buffer: Buffer::default(), len: 0, charge: store.budget().charge() }
    }

    fn next_buffer(&mut self, next: Buffer) {
        let filled = std::mem::replace(&mut self.buffer, next);
        if !filled.as_ref().is_empty() {
            self.full.push(Bytes::from_owner(filled));
        }
    }

    /// The part's bytes and their charge, leaving an empty part.
    fn take(&mut self, store: &Store) -> (PutPayload, Charge) {
        let mut part = std::mem::replace(self, Self::new(store));
        part.next_buffer(Buffer::default());
        (PutPayload::from_iter(part.full), part.charge)
    }
}

/// A multipart upload that the store holds open; dropped without [`OpenMultipart::complete`] it is aborted.
#[derive(Debug)]
struct OpenMultipart {
    upload: Option<Box<dyn MultipartUpload>>,
    /// The directories that a local folder made for it, the lowest first.
    made: Vec<PathBuf>,
    store: Arc<Store>,
}

impl OpenMultipart {
    fn put_part(&mut self, payload: PutPayload) -> object_store::UploadPart {
        self.upload.as_mut().expect("taken only when it ends").put_part(payload)
    }

    async fn complete(&mut self) -> Result<()> {
        self.upload.as_mut().expect("taken only when it ends").complete().await.map_err(write_error)?;
        self.upload = None;
        Ok(())
    }

    /// Ends the parts that are on their way, then the upload.
    async fn abort(mut self, mut in_flight: JoinSet<object_store::Result<()>>) {
        // A part that the server takes in after the abort stays behind, and a cancelled request may still be taken in.
        let arriving = async { while in_flight.join_next().await.is_some() {} };
        if tokio::time::timeout(PARTS_DEADLINE, arriving).await.is_err() {
            in_flight.shutdown().await;
        }
        if let Some(upload) = self.upload.take() {
            abort(upload, std::mem::take(&mut self.made)).await;
        }
    }
}

impl Drop for OpenMultipart {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.store.shutdown().spawn(abort(upload, std::mem::take(&mut self.made)));
        }
    }
}

async fn abort(mut upload: Box<dyn MultipartUpload>, made: Vec<PathBuf>) {
    let aborting = async {
        upload.abort().await?;
        local::remove_while_empty(made).await
    };
    match tokio::time::timeout(ABORT_DEADLINE, aborting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "an aborted multipart upload stays in the store until its lifecycle rules end it");
        }
        Err(_) => tracing::warn!(
            "the store did not abort a multipart upload in time; its lifecycle rules must end it"
        ),
    }
}
