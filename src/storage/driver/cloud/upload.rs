//! Uploads to a bucket: one PUT, or a multipart upload whose parts go side by side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::claim::{Claim, Holder};
use crate::config::TransferConfig;
use crate::shutdown::Shutdown;
use crate::storage::budget::LARGEST_BUFFER;
use crate::storage::driver::contract::{Condition, Destination, OpenUpload, Sending};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// S3 takes 10,000 parts. Parts keep their size for the first 5,000 (40 GiB at 8 MiB; some servers want equal
/// parts), then double every 1,000, which reaches 523 GiB.
const EQUAL_PARTS: usize = 5_000;
const PARTS_PER_DOUBLING: usize = 1_000;
const MAX_PARTS: usize = 10_000;

/// Between the tries of a PUT that another request is in the way of; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(4);

/// The key that an upload goes to.
#[derive(Debug)]
pub(super) struct CloudDestination {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) path: StorePath,
    pub(super) transfer: TransferConfig,
    pub(super) shutdown: Shutdown,
}

#[async_trait]
impl Destination for CloudDestination {
    fn first_part(&self) -> usize {
        part_size(&self.transfer)
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<()> {
        let payload = PutPayload::from_iter(body);
        let mode = if matches!(condition, Condition::Absent) { PutMode::Create } else { PutMode::Overwrite };
        let Self { objects, path, shutdown, .. } = *self;
        let large = payload.content_length() > LARGEST_BUFFER;
        let put = put(objects, path, payload, mode);
        // Like a part: a large body is hashed on any processor, a small one where it is.
        if large { shutdown.spawn(put).await.map_err(Error::task_lost)? } else { put.await }
    }

    async fn open(self: Box<Self>) -> Result<Box<dyn OpenUpload>> {
        let Self { objects, path, transfer, shutdown } = *self;
        let claim = Claim::new();
        let options =
            PutMultipartOptions { attributes: claim.attributes(), ..PutMultipartOptions::default() };
        let upload = objects.put_multipart_opts(path.as_path(), options).await.map_err(write_error)?;
        Ok(Box::new(CloudUpload { upload, objects, path, claim, sent: 0, transfer, shutdown }))
    }
}

/// Stores the body in one request, which is tried again when the store says that another one was in its way.
async fn put(
    objects: Arc<dyn ObjectStore>,
    path: StorePath,
    payload: PutPayload,
    mut mode: PutMode,
) -> Result<()> {
    let claim = Claim::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let options =
            PutOptions { mode: mode.clone(), attributes: claim.attributes(), ..PutOptions::default() };
        let error = match objects.put_opts(path.as_path(), payload.clone(), options).await {
            Ok(_) => return Ok(()),
            // `conditional_put = disabled`, for servers that know none: the object has just been asked for, and that
            // must do.
            Err(object_store::Error::NotImplemented { .. }) if mode == PutMode::Create => {
                mode = PutMode::Overwrite;
                continue;
            }
            Err(error) => error,
        };
        let holder = claim.holder(&objects, &path).await;
        if holder == Holder::Ours {
            return Ok(());
        }
        match error {
            object_store::Error::AlreadyExists { .. }
                if mode == PutMode::Create && holder == Holder::Another =>
            {
                return Err(Error::AlreadyExists);
            }
            // Another request was in its way.
            object_store::Error::AlreadyExists { .. } if pause <= LAST_PAUSE => {
                sleep(pause).await;
                pause *= 2;
            }
            error => return Err(write_error(error)),
        }
    }
}

/// A multipart upload.
#[derive(Debug)]
struct CloudUpload {
    upload: Box<dyn MultipartUpload>,
    objects: Arc<dyn ObjectStore>,
    path: StorePath,
    claim: Claim,
    sent: usize,
    transfer: TransferConfig,
    shutdown: Shutdown,
}

#[async_trait]
impl OpenUpload for CloudUpload {
    fn part_size(&self) -> usize {
        let doublings = (self.sent.saturating_sub(EQUAL_PARTS)).div_ceil(PARTS_PER_DOUBLING);
        part_size(&self.transfer) << doublings
    }

    fn window(&self) -> usize {
        self.transfer.upload_concurrency
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        if self.sent == MAX_PARTS {
            return Err(Error::TooLarge("more than 10000 parts; raise transfer.part_size"));
        }
        self.sent += 1;
        let sending = self.upload.put_part(PutPayload::from_iter(part));
        // Hashing and encrypting a part is work for any processor, not for the session's thread alone.
        let sending = AbortOnDropHandle::new(self.shutdown.runtime().spawn(sending));
        Ok(Box::pin(async move { sending.await.map_err(Error::task_lost)?.map_err(write_error) }))
    }

    async fn complete(&mut self, _condition: &Condition) -> Result<()> {
        // A multipart upload cannot be made conditional on every store: that the condition was just checked must do.
        match self.upload.complete().await {
            Ok(_) => Ok(()),
            Err(_) if self.claim.holder(&self.objects, &self.path).await == Holder::Ours => Ok(()),
            Err(error) => Err(write_error(error)),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(self.upload.abort().await?)
    }
}

/// As configured.
pub(super) fn part_size(transfer: &TransferConfig) -> usize {
    usize::try_from(transfer.part_size).expect("the configuration bounds it to 5 GiB")
}

/// What is not found when an object is written is the bucket, or the upload itself: the store's fault, not a missing
/// file.
fn write_error(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::Store(error),
        error => unconditional(error),
    }
}

/// The error of a request without a condition. What is said to exist although nothing forbids it to is a conflict of the
/// store's own making: `object_store` takes every 409 (`OperationAborted` and the like) for that.
pub(super) fn unconditional(error: object_store::Error) -> Error {
    match error {
        object_store::Error::AlreadyExists { .. } => Error::Store(error),
        error => error.into(),
    }
}
