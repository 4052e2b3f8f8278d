//! The operations on a bucket or container, each one request of `object_store`'s.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt};

use super::claim::mark_of;
use super::keys::CloudKeys;
use super::names::Names;
use super::pages::{CloudPages, page_of};
use super::upload::{CloudDestination, part_size, unconditional};
use crate::config::TransferConfig;
use crate::shutdown::Shutdown;
use crate::storage::budget::Budget;
use crate::storage::driver::contract::{
    Body, Chunk, Destination, Directory, Driver, Existing, Get, Got, Keys, Memory, Meta, Pages, Ranges,
    Renamed, Swept, Version,
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
    names: Names,
    transfer: TransferConfig,
    budget: Arc<Budget>,
    shutdown: Shutdown,
}

impl Bucket {
    /// A store with the objects of one client and the listings of another, mostly the same.
    pub(in crate::storage) fn new(
        objects: impl ObjectStore,
        pages: impl PaginatedListStore,
        names: Names,
        transfer: &TransferConfig,
        budget: &Arc<Budget>,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            objects: Arc::new(objects),
            pages: Arc::new(pages),
            names,
            transfer: *transfer,
            budget: Arc::clone(budget),
            shutdown: shutdown.clone(),
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
        Some(Ranges { size: part_size(&self.transfer), window: self.transfer.download_concurrency })
    }

    async fn probe(&self, root: &StorePath) -> Result<()> {
        self.keys_below(root, 1).await.map(drop)
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        self.names.check(path)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(describe(&self.objects.get_opts(path.as_path(), options).await?))
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        self.names.check(path)?;
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
        let meta = describe(&result);
        // Some servers ignore `If-Match`; s3s-fs is one.
        if get.version.is_some() && meta.version != get.version {
            return Err(Error::Changed);
        }
        let range = result.range.clone();
        let body = Box::new(CloudBody::new(result, get.memory, Arc::clone(&self.budget)));
        Ok(Got { meta, range, body })
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        self.names.check(path)?;
        Ok(Box::new(CloudDestination {
            objects: Arc::clone(&self.objects),
            path: path.clone(),
            transfer: self.transfer,
            shutdown: self.shutdown.clone(),
        }))
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.names.check(path)?;
        self.objects.delete(path.as_path()).await.map_err(unconditional)
    }

    fn largest_copy(&self) -> Option<u64> {
        Some(LARGEST_COPY)
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, _source: &Meta) -> Result<()> {
        self.names.check(from)?;
        self.names.check(to)?;
        self.objects.copy(from.as_path(), to.as_path()).await.map_err(unconditional)
    }

    async fn rename(&self, _from: &StorePath, _to: &StorePath, _existing: Existing) -> Result<Renamed> {
        Ok(Renamed::NeedsCopy)
    }

    async fn rename_directory(&self, _from: &StorePath, _to: &StorePath) -> Result<Renamed> {
        Ok(Renamed::NeedsCopy)
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        self.names.check(path)?;
        let pages = CloudPages::begin(&self.pages, path).await?;
        Ok(pages.map(|pages| Box::new(pages) as Box<dyn Pages>))
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        self.names.check(path)?;
        let prefix = path.as_prefix();
        let options = PaginatedListOptions { max_keys: Some(limit), ..PaginatedListOptions::default() };
        match page_of(&self.pages, &prefix, options).await {
            Ok(page) => Ok(page.result.objects.into_iter().map(|meta| meta.location.to_string()).collect()),
            // A key that cannot be named is a key all the same.
            Err(object_store::Error::InvalidPath { .. }) => Ok(vec![format!("{prefix}\u{fffd}")]),
            Err(error) => Err(error.into()),
        }
    }

    async fn keys(&self, path: &StorePath) -> Result<Box<dyn Keys>> {
        self.names.check(path)?;
        Ok(Box::new(CloudKeys::new(&self.pages, path)))
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

    async fn sweep(&self, _older_than: Duration) -> Result<Swept> {
        // What an upload leaves is no object.
        Ok(Swept::default())
    }
}

fn describe(result: &GetResult) -> Meta {
    let GetResult { meta, attributes, .. } = result;
    let version = meta.e_tag.clone().map(Version);
    Meta { size: meta.size, modified: meta.last_modified, version, mark: mark_of(attributes) }
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
