//! Uploads to a bucket: one PUT, or a multipart upload whose parts go side by side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    Attribute, Attributes, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    TagSet,
};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::claim::{CHECKSUM, Claim, Holder};
use super::labels::Labels;
use super::parts::{Clients, Named, Parts, begin};
use super::sizes::PartSizes;
use crate::shutdown::Shutdown;
use crate::storage::answer::{self, Meaning};
use crate::storage::budget::LARGEST_BUFFER;
use crate::storage::checksum::{Checksum, Hasher};
use crate::storage::driver::contract::{
    Condition, Destination, Lifetime, OpenUpload, Saved, Sending, Uploader, Written,
};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// How a bucket's uploads are sent.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) clients: Clients,
    pub(super) sizes: PartSizes,
    pub(super) window: usize,
    pub(super) labels: Labels,
    pub(super) shutdown: Shutdown,
}

/// The key that an upload goes to.
#[derive(Debug)]
pub(super) struct CloudDestination {
    pub(super) manner: Manner,
    pub(super) path: StorePath,
    /// None on the gateway's own objects.
    pub(super) labels: Option<(Attributes, TagSet)>,
}

#[async_trait]
impl Destination for CloudDestination {
    fn first_part(&self) -> usize {
        self.manner.part_size(0)
    }

    fn describe(&mut self, uploader: Uploader<'_>) {
        self.labels = Some(self.manner.labels.for_file(&self.path, uploader));
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<Written> {
        let payload = PutPayload::from_iter(body);
        let mode = if matches!(condition, Condition::Absent) { PutMode::Create } else { PutMode::Overwrite };
        let Self { manner: Manner { clients, shutdown, .. }, path, labels } = *self;
        let large = payload.content_length() > LARGEST_BUFFER;
        let put = put(clients.objects, path, payload, (mode, labels));
        // Like a part: a large body is hashed on any processor, a small one where it is.
        if large { shutdown.spawn(put).await.map_err(Error::task_lost)? } else { put.await }
    }

    async fn open(self: Box<Self>, lifetime: Lifetime) -> Result<Box<dyn OpenUpload>> {
        let Self { manner, path, labels } = *self;
        let (attributes, tags) = labels.unwrap_or_default();
        let options = PutMultipartOptions { attributes, tags, ..PutMultipartOptions::default() };
        let begun = begin(&manner.clients, &path, lifetime, options).await;
        let (parts, claim) = begun.map_err(write_error)?;
        Ok(Box::new(CloudUpload { parts, path, claim, sent: 0, manner }))
    }
}

/// How often an upload that was to make a new object is tried again when the store says that there is one, and there is
/// none; and the pause before.
const TRIES: usize = 2;
const PAUSE: Duration = Duration::from_millis(200);

/// Stores the body in one request.
async fn put(
    objects: Arc<dyn ObjectStore>,
    path: StorePath,
    payload: PutPayload,
    (mode, labels): (PutMode, Option<(Attributes, TagSet)>),
) -> Result<Written> {
    let claim = Claim::new();
    let checksum = labels.is_some().then(|| checksum(&payload));
    let (mut attributes, tags) = labels.unwrap_or_default();
    if let Some(checksum) = checksum {
        attributes.insert(Attribute::Metadata(CHECKSUM.into()), checksum.to_string().into());
    }
    claim.put_on(&mut attributes);
    let mut options = PutOptions { mode, attributes, tags, ..PutOptions::default() };
    let mut tries = 0;
    loop {
        let error = match objects.put_opts(path.as_path(), payload.clone(), options.clone()).await {
            Ok(PutResult { e_tag, version, .. }) => return Ok(Written { etag: e_tag, version, checksum }),
            Err(error) => error,
        };
        let creates = options.mode == PutMode::Create;
        // `conditional_put = disabled`, for servers that know none: the object has just been asked for, and that must do.
        if creates && matches!(error, object_store::Error::NotImplemented { .. }) {
            options.mode = PutMode::Overwrite;
            continue;
        }
        match claim.holder(&objects, &path).await {
            // The answer that named it was lost.
            Holder::Ours => return Ok(Written { checksum, ..Written::default() }),
            // That the name is taken is said only of what is there.
            Holder::Another if creates && is_lost(&error) => return Err(Error::AlreadyExists),
            // It was taken, and is not any more.
            Holder::Unknown if creates && is_lost(&error) && tries < TRIES => {
                tries += 1;
                sleep(PAUSE).await;
            }
            Holder::Another | Holder::Unknown => return Err(write_error(error)),
        }
    }
}

/// A multipart upload.
#[derive(Debug)]
pub(super) struct CloudUpload {
    parts: Parts,
    path: StorePath,
    /// None where the store takes no mark.
    claim: Option<Claim>,
    sent: usize,
    manner: Manner,
}

impl CloudUpload {
    /// One that another session has left open.
    pub(super) fn reopen(manner: Manner, path: &StorePath, saved: &Saved) -> Self {
        let named = Named::new(&manner.clients, path, saved.id.clone(), saved.parts.clone());
        Self {
            parts: Parts::Named(named),
            path: path.clone(),
            claim: saved.mark.as_deref().map(Claim::of),
            sent: saved.parts.len(),
            manner,
        }
    }
}

#[async_trait]
impl OpenUpload for CloudUpload {
    fn part_size(&self) -> usize {
        self.manner.part_size(self.sent)
    }

    fn window(&self) -> usize {
        self.manner.window
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        if self.manner.sizes.of(self.sent).is_none() {
            return Err(Error::TooLarge("more than 10000 parts; raise transfer.part_size"));
        }
        let sending = self.parts.send(self.sent, PutPayload::from_iter(part));
        self.sent += 1;
        // Hashing and encrypting a part is work for any processor, not for the session's thread alone.
        let sending = AbortOnDropHandle::new(self.manner.shutdown.runtime().spawn(sending));
        Ok(Box::pin(async move { sending.await.map_err(Error::task_lost)?.map_err(write_error) }))
    }

    async fn complete(&mut self, _condition: &Condition) -> Result<Written> {
        // A multipart upload cannot be made conditional on every store: that the condition was just checked must do.
        let error = match self.parts.complete().await {
            Ok(PutResult { e_tag, version, .. }) => {
                return Ok(Written { etag: e_tag, version, ..Written::default() });
            }
            Err(error) => error,
        };
        match &self.claim {
            Some(claim) if claim.holder(&self.manner.clients.objects, &self.path).await == Holder::Ours => {
                Ok(Written::default())
            }
            Some(_) | None => Err(write_error(error)),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(self.parts.abort().await?)
    }

    fn saved(&self) -> Option<Saved> {
        match &self.parts {
            Parts::Named(named) => Some(Saved {
                id: named.id().to_owned(),
                mark: self.claim.as_ref().map(|claim| claim.mark().to_owned()),
                parts: named.arrived(),
                directories: 0,
            }),
            Parts::Unnamed(_) => None,
        }
    }

    fn takes_short_parts(&self) -> bool {
        false
    }

    fn leave(&mut self) {
        // Nothing ends it but a request.
    }
}

impl Manner {
    /// The size of part `index`. A part beyond the last is refused when it is sent.
    pub(super) fn part_size(&self, index: usize) -> usize {
        let size = self.sizes.of(index).unwrap_or(1);
        usize::try_from(size).expect("no part is larger than memory")
    }
}

fn checksum(payload: &PutPayload) -> Checksum {
    let mut hasher = Hasher::new();
    payload.iter().for_each(|piece| hasher.update(piece));
    hasher.finish()
}

/// Whether an upload that was to make a new object may have lost to a rival.
fn is_lost(error: &object_store::Error) -> bool {
    let conflict = answer::behind(error).is_some_and(|answer| answer.meaning() == Meaning::Conflict);
    conflict || matches!(error, object_store::Error::AlreadyExists { .. })
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
