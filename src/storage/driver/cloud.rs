//! S3, GCS, Azure, and whatever else `object_store` speaks with.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{
    GetOptions, GetRange, GetResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};
use tokio_util::task::AbortOnDropHandle;

use super::contract::{
    Body, Chunk, Condition, Destination, Driver, Existing, Get, Got, Memory, Meta, OpenUpload, Pages, Ranges,
    Renamed, Sending, Version,
};
use super::pages::{CloudPages, page_of};
use crate::config::TransferConfig;
use crate::shutdown::Shutdown;
use crate::storage::budget::{Budget, LARGEST_BUFFER};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// S3 takes 10,000 parts. Parts keep their size for the first 5,000 (40 GiB at 8 MiB; some servers want equal
/// parts), then double every 1,000, which reaches 523 GiB.
const EQUAL_PARTS: usize = 5_000;
const PARTS_PER_DOUBLING: usize = 1_000;
const MAX_PARTS: usize = 10_000;

/// S3 copies up to 5 GiB in one request, and `object_store` has no other copy.
const LARGEST_COPY: u64 = 5 * 1024 * 1024 * 1024;

/// A client of `object_store`.
#[derive(Clone)]
pub(in crate::storage) struct Cloud {
    objects: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    transfer: TransferConfig,
    budget: Arc<Budget>,
    shutdown: Shutdown,
}

impl Cloud {
    /// A store with the objects of one client and the listings of another, mostly the same.
    pub(in crate::storage) fn new(
        objects: impl ObjectStore,
        pages: impl PaginatedListStore,
        transfer: &TransferConfig,
        budget: &Arc<Budget>,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            objects: Arc::new(objects),
            pages: Arc::new(pages),
            transfer: *transfer,
            budget: Arc::clone(budget),
            shutdown: shutdown.clone(),
        }
    }

    fn part_size(&self) -> usize {
        usize::try_from(self.transfer.part_size).expect("the configuration bounds it to 5 GiB")
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cloud").field(&self.objects).finish()
    }
}

#[async_trait]
impl Driver for Cloud {
    fn within(&self, _home: &StorePath) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    fn ranges(&self) -> Option<Ranges> {
        Some(Ranges { size: self.part_size(), window: self.transfer.download_concurrency })
    }

    async fn probe(&self, root: &StorePath) -> Result<()> {
        self.keys_below(root, 1).await.map(drop)
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        Ok(self.objects.head(path.as_path()).await?.into())
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        let range = match get.to {
            Some(to) => Some(GetRange::Bounded(get.from..to)),
            None if get.from > 0 => Some(GetRange::Offset(get.from)),
            None => None,
        };
        let options = GetOptions {
            range,
            if_match: get.version.as_ref().map(|version| version.0.clone()),
            ..GetOptions::default()
        };
        let result = self.objects.get_opts(path.as_path(), options).await?;
        let meta = Meta::from(result.meta.clone());
        // Some servers ignore `If-Match`; s3s-fs is one.
        if get.version.is_some() && meta.version != get.version {
            return Err(Error::Changed);
        }
        let range = result.range.clone();
        let body = Box::new(CloudBody::new(result, get.memory, Arc::clone(&self.budget)));
        Ok(Got { meta, range, body })
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        Ok(Box::new(CloudDestination { cloud: self.clone(), path: path.clone() }))
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        Ok(self.objects.delete(path.as_path()).await?)
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, source: &Meta) -> Result<()> {
        if source.size > LARGEST_COPY {
            return Err(Error::TooLarge("more than 5 GiB cannot be renamed"));
        }
        Ok(self.objects.copy(from.as_path(), to.as_path()).await?)
    }

    async fn rename(&self, _from: &StorePath, _to: &StorePath, _existing: Existing) -> Result<Renamed> {
        Ok(Renamed::NeedsCopy)
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        let pages = CloudPages::begin(&self.pages, path).await?;
        Ok(pages.map(|pages| Box::new(pages) as Box<dyn Pages>))
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        let prefix = path.as_prefix();
        let options = PaginatedListOptions { max_keys: Some(limit), ..PaginatedListOptions::default() };
        match page_of(&self.pages, &prefix, options).await {
            Ok(page) => Ok(page.result.objects.into_iter().map(|meta| meta.location.to_string()).collect()),
            // A key that cannot be named is a key all the same.
            Err(object_store::Error::InvalidPath { .. }) => Ok(vec![format!("{prefix}\u{fffd}")]),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_directory(&self, path: &StorePath) -> Result<bool> {
        Ok(!self.keys_below(path, 1).await?.is_empty())
    }

    async fn remove_directory(&self, _path: &StorePath) -> Result<()> {
        // Without a key there is no directory.
        Ok(())
    }
}

impl From<ObjectMeta> for Meta {
    fn from(meta: ObjectMeta) -> Self {
        Self { size: meta.size, modified: meta.last_modified, version: meta.e_tag.map(Version) }
    }
}

/// The body of one answer.
struct CloudBody {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    memory: Memory,
    budget: Arc<Budget>,
}

impl CloudBody {
    fn new(result: GetResult, memory: Memory, budget: Arc<Budget>) -> Self {
        Self { stream: result.into_stream(), memory, budget }
    }
}

#[async_trait]
impl Body for CloudBody {
    async fn next(&mut self) -> Result<Option<Chunk>> {
        let Some(bytes) = self.stream.next().await else { return Ok(None) };
        let bytes = bytes?;
        let charge = match self.memory {
            Memory::Charged => {
                let mut charge = self.budget.charge();
                charge.grow(bytes.len()).await;
                Some(Arc::new(charge))
            }
            Memory::Callers => None,
        };
        Ok(Some(Chunk { bytes, _charge: charge }))
    }
}

#[derive(Debug)]
struct CloudDestination {
    cloud: Cloud,
    path: StorePath,
}

#[async_trait]
impl Destination for CloudDestination {
    fn first_part(&self) -> usize {
        self.cloud.part_size()
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<()> {
        let payload = PutPayload::from_iter(body);
        let mode = if *condition == Condition::Absent { PutMode::Create } else { PutMode::Overwrite };
        let Self { cloud, path } = *self;
        let large = payload.content_length() > LARGEST_BUFFER;
        let put = put(cloud.objects, path, payload, mode);
        // Like a part: a large body is hashed on any processor, a small one where it is.
        if large { cloud.shutdown.spawn(put).await.map_err(Error::task_lost)? } else { put.await }
    }

    async fn open(self: Box<Self>) -> Result<Box<dyn OpenUpload>> {
        let upload = self.cloud.objects.put_multipart(self.path.as_path()).await.map_err(write_error)?;
        Ok(Box::new(CloudUpload { cloud: self.cloud, upload, sent: 0 }))
    }
}

async fn put(
    objects: Arc<dyn ObjectStore>,
    path: StorePath,
    payload: PutPayload,
    mode: PutMode,
) -> Result<()> {
    let put = |mode| {
        let options = PutOptions { mode, ..PutOptions::default() };
        objects.put_opts(path.as_path(), payload.clone(), options)
    };
    match put(mode.clone()).await {
        // `conditional_put = disabled`, for servers that know none: the object has just been asked for, and that must do.
        Err(object_store::Error::NotImplemented { .. }) if mode == PutMode::Create => {
            put(PutMode::Overwrite).await.map_err(write_error)?;
        }
        result => drop(result.map_err(write_error)?),
    }
    Ok(())
}

/// A multipart upload.
#[derive(Debug)]
struct CloudUpload {
    cloud: Cloud,
    upload: Box<dyn MultipartUpload>,
    sent: usize,
}

#[async_trait]
impl OpenUpload for CloudUpload {
    fn part_size(&self) -> usize {
        let doublings = (self.sent.saturating_sub(EQUAL_PARTS)).div_ceil(PARTS_PER_DOUBLING);
        self.cloud.part_size() << doublings
    }

    fn window(&self) -> usize {
        self.cloud.transfer.upload_concurrency
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        if self.sent == MAX_PARTS {
            return Err(Error::TooLarge("more than 10000 parts; raise transfer.part_size"));
        }
        self.sent += 1;
        let sending = self.upload.put_part(PutPayload::from_iter(part));
        // Hashing and encrypting a part is work for any processor, not for the session's thread alone.
        let sending = AbortOnDropHandle::new(self.cloud.shutdown.runtime().spawn(sending));
        Ok(Box::pin(async move { sending.await.map_err(Error::task_lost)?.map_err(write_error) }))
    }

    async fn complete(&mut self, _condition: &Condition) -> Result<()> {
        // A multipart upload cannot be made conditional on every store: that the condition was just checked must do.
        self.upload.complete().await.map(drop).map_err(write_error)
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(self.upload.abort().await?)
    }
}

/// What is not found when an object is written is the bucket, or the upload itself: the store's fault, not a missing
/// file.
fn write_error(error: object_store::Error) -> Error {
    if matches!(error, object_store::Error::NotFound { .. }) { Error::Store(error) } else { error.into() }
}
