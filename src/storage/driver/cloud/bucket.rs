//! The operations on a bucket or container, each one request of `object_store`'s.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::claim::CHECKSUM;
use super::labels::Labels;
use super::pages::{CloudPages, page_of};
use super::parts::{Clients, Named, Parts};
use super::sizes::PartSizes;
use super::upload::{CloudDestination, CloudUpload, Manner, unconditional};
use crate::config::{StoreConfig, TransferConfig};
use crate::shutdown::Shutdown;
use crate::storage::budget::Budget;
use crate::storage::checksum::Checksum;
use crate::storage::driver::contract::{
    Body, Chunk, Destination, Directory, Driver, Existing, Get, Got, Memory, Meta, OpenUpload, Pages, Ranges,
    Renamed, Saved, Version,
};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// S3 copies up to 5 GiB in one request, and `object_store` has no other copy.
const LARGEST_COPY: u64 = 5 * 1024 * 1024 * 1024;

/// A client of `object_store`.
#[derive(Clone)]
pub(in crate::storage) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    manner: Manner,
    ranges: Ranges,
    budget: Arc<Budget>,
}

impl Bucket {
    /// A store with the objects of one client and the listings of another, mostly the same.
    pub(in crate::storage) fn new(
        objects: impl ObjectStore + MultipartStore,
        pages: impl PaginatedListStore,
        config: &StoreConfig,
        transfer: &TransferConfig,
        budget: &Arc<Budget>,
        shutdown: &Shutdown,
    ) -> Self {
        let objects = Arc::new(objects);
        let sizes = if config.equal_parts {
            PartSizes::equal(transfer.part_size)
        } else {
            PartSizes::growing(transfer.part_size, transfer.memory)
        };
        let manner = Manner {
            clients: Clients { objects: objects.clone(), multipart: objects.clone() },
            sizes,
            window: transfer.upload_concurrency,
            labels: Labels::of(config),
            shutdown: shutdown.clone(),
        };
        Self {
            objects,
            pages: Arc::new(pages),
            ranges: Ranges { size: manner.part_size(0), window: transfer.download_concurrency },
            manner,
            budget: Arc::clone(budget),
        }
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bucket").field(&self.objects).finish()
    }
}

#[async_trait]
impl Driver for Bucket {
    fn within(&self, _home: &StorePath) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    fn ranges(&self) -> Option<Ranges> {
        Some(self.ranges)
    }

    async fn probe(&self, root: &StorePath) -> Result<()> {
        self.keys_below(root, 1).await.map(drop)
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        Ok(meta(&self.objects.get_opts(path.as_path(), head).await?))
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
        let meta = meta(&result);
        // Some servers ignore `If-Match`; s3s-fs is one.
        if get.version.is_some() && meta.version != get.version {
            return Err(Error::Changed);
        }
        let range = result.range.clone();
        let body = Box::new(CloudBody::new(result, get.memory, Arc::clone(&self.budget)));
        Ok(Got { meta, range, body })
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        Ok(Box::new(CloudDestination { manner: self.manner.clone(), path: path.clone(), labels: None }))
    }

    async fn reopen(&self, path: &StorePath, saved: &Saved) -> Result<Box<dyn OpenUpload>> {
        Ok(Box::new(CloudUpload::reopen(self.manner.clone(), path, saved)))
    }

    async fn discard(&self, path: &StorePath, saved: &Saved) -> Result<()> {
        let named = Named::new(&self.manner.clients, path, saved.id.clone(), Vec::new());
        match Parts::Named(named).abort().await {
            // It has ended already.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.objects.delete(path.as_path()).await.map_err(unconditional)
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, source: &Meta) -> Result<()> {
        if source.size > LARGEST_COPY {
            return Err(Error::TooLarge("more than 5 GiB cannot be renamed"));
        }
        self.objects.copy(from.as_path(), to.as_path()).await.map_err(unconditional)
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

    async fn directory(&self, path: &StorePath) -> Result<Option<Directory>> {
        let exists = !self.keys_below(path, 1).await?.is_empty();
        Ok(exists.then_some(Directory { modified: None }))
    }

    fn keeps_directories(&self) -> bool {
        false
    }

    async fn remove_directory(&self, _path: &StorePath) -> Result<()> {
        // Without a key there is no directory.
        Ok(())
    }
}

/// What an answer says of its object.
fn meta(result: &GetResult) -> Meta {
    let ObjectMeta { size, last_modified, e_tag, .. } = result.meta.clone();
    let checksum = result.attributes.get(&Attribute::Metadata(CHECKSUM.into()));
    let checksum = checksum.and_then(|text| Checksum::parse(text));
    Meta { size, modified: last_modified, version: e_tag.map(Version), checksum }
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
