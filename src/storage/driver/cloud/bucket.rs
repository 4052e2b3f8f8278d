//! The operations on a bucket or container, each one request of `object_store`'s.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{
    Attribute, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore,
    ObjectStoreExt,
};

use super::claim::{CHECKSUM, mark_of};
use super::keys::CloudKeys;
use super::labels::Labels;
use super::names::Names;
use super::pages::{CloudPages, KeyPages};
use super::parts::{Clients, Named, Parts};
use super::sizes::PartSizes;
use super::upload::{CloudDestination, CloudUpload, Manner, unconditional};
use super::wire::{Unsaid, for_object};
use crate::config::{StoreConfig, TransferConfig};
use crate::shutdown::Shutdown;
use crate::storage::answer::{self, Answer, Meaning};
use crate::storage::budget::{Budget, Charge};
use crate::storage::checksum::Checksum;
use crate::storage::driver::contract::{
    Body, Chunk, Dated, Destination, Directory, Driver, Existing, Get, Got, Keys, LeftOver, Mark, Memory,
    Meta, OpenUpload, Pages, Ranges, Renamed, Saved, Swept, Version,
};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// S3 copies up to 5 GiB in one request, and `object_store` has no other copy.
const LARGEST_COPY: u64 = 5 * 1024 * 1024 * 1024;

/// What a body holds while it waits for its reader: the HTTP client reads up to 400 KiB at once, and a piece that it has
/// handed out keeps such a buffer alive beside the next one.
const READ_AHEAD: usize = 1024 * 1024;

/// A client of `object_store`.
#[derive(Clone)]
pub(in crate::storage) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    names: Names,
    manner: Manner,
    ranges: Ranges,
    budget: Arc<Budget>,
}

impl Bucket {
    /// A store with the objects of one client and the listings of another, mostly the same.
    pub(in crate::storage) fn new(
        objects: impl ObjectStore + MultipartStore,
        pages: impl PaginatedListStore,
        names: Names,
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
            names,
            ranges: Ranges {
                size: manner.part_size(0),
                window: transfer.download_concurrency,
                beside: READ_AHEAD,
            },
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
        self.names.check(path)?;
        let options = GetOptions { head: true, ..for_object() };
        self.describe(path, facts(&self.objects.get_opts(path.as_path(), options).await?)).await
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        self.names.check(path)?;
        let range = match get.to {
            Some(to) => Some(GetRange::Bounded(get.from..to)),
            None if get.from > 0 => Some(GetRange::Offset(get.from)),
            None => None,
        };
        let whole = range.is_none();
        let options = GetOptions {
            range,
            if_match: get.version.as_ref().map(|version| version.strong().to_owned()),
            ..for_object()
        };
        let mut charge = match get.memory {
            Memory::Charged => Some(self.budget.charge()),
            Memory::Callers => None,
        };
        if let Some(charge) = &mut charge {
            charge.grow(READ_AHEAD).await;
        }
        let result = self.objects.get_opts(path.as_path(), options).await?;
        let meta = self.describe(path, facts(&result)).await?;
        // Some servers ignore `If-Match`; s3s-fs is one. What has no version cannot be told apart.
        if get.version.is_some() && meta.version.is_some() && meta.version != get.version {
            return Err(Error::Changed);
        }
        let range = if whole { 0..meta.size } else { result.range.clone() };
        if let Some(charge) = &mut charge {
            let length = range.end.saturating_sub(range.start);
            charge.shrink(usize::try_from(length).unwrap_or(usize::MAX));
        }
        let body = Box::new(CloudBody { stream: result.into_stream(), charge: charge.map(Arc::new) });
        Ok(Got { meta, range, body })
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        self.names.check(path)?;
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
        self.names.check(path)?;
        self.objects.delete(path.as_path()).await.map_err(unconditional)
    }

    fn largest_copy(&self) -> Option<u64> {
        Some(LARGEST_COPY)
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, _source: &Meta, existing: Existing) -> Result<()> {
        self.names.check(from)?;
        self.names.check(to)?;
        let (from, to) = (from.as_path(), to.as_path());
        if existing == Existing::Refuse {
            let options = CopyOptions::new().with_mode(CopyMode::Create);
            match self.objects.copy_opts(from, to, options).await {
                // S3 has no such request, some servers like it do (`aws_copy_if_not_exists`). There the look before must
                // do.
                Err(
                    object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. },
                ) => {}
                // `object_store` takes every conflict for that, also those of which the store says what they are.
                Err(error @ object_store::Error::AlreadyExists { .. }) => {
                    return Err(match answer::behind(&error).map(Answer::meaning) {
                        None | Some(Meaning::Exists | Meaning::Failed) => Error::AlreadyExists,
                        Some(_) => error.into(),
                    });
                }
                copied => return Ok(copied?),
            }
        }
        self.objects.copy(from, to).await.map_err(unconditional)
    }

    async fn rename(&self, _from: &StorePath, _to: &StorePath, _existing: Existing) -> Result<Renamed> {
        Ok(Renamed::NeedsCopy)
    }

    async fn rename_directory(&self, _from: &StorePath, _to: &StorePath) -> Result<Renamed> {
        Ok(Renamed::NeedsCopy)
    }

    // Semantics decision: a time in the metadata of an object would cost a copy of it on most of these stores, and no listing
    // would show it.
    async fn set_modified(&self, _path: &StorePath, _time: DateTime<Utc>) -> Result<Dated> {
        Ok(Dated::ByUpload)
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        self.names.check(path)?;
        let pages = CloudPages::begin(&self.pages, path).await?;
        Ok(pages.map(|pages| Box::new(pages) as Box<dyn Pages>))
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        self.names.check(path)?;
        let mut pages = KeyPages::below(&self.pages, path.as_prefix(), limit);
        let mut keys = Vec::new();
        // A store may give less than it was asked for, and more.
        while keys.len() < limit
            && let Some(page) = pages.next().await?
        {
            keys.extend(page.objects.into_iter().map(|object| object.key.trim_end_matches('/').to_owned()));
        }
        keys.truncate(limit);
        Ok(keys)
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

    async fn sweep(&self, _left_over: LeftOver) -> Result<Swept> {
        // What an upload leaves is no object.
        Ok(Swept::default())
    }
}

impl Bucket {
    /// What the store says of an object, without what was put in place of what it does not say.
    async fn describe(&self, path: &StorePath, facts: Facts) -> Result<Meta> {
        let Facts { unsaid, meta, mark, checksum } = facts;
        Ok(Meta {
            size: if unsaid.size { self.listed_size(path).await? } else { meta.size },
            modified: (!unsaid.modified).then_some(meta.last_modified),
            version: meta.e_tag.filter(|_| !unsaid.version).map(Version),
            mark,
            checksum,
        })
    }

    /// The size of an object as listings have it, for servers that do not say it with the object.
    async fn listed_size(&self, path: &StorePath) -> Result<u64> {
        let mut pages = KeyPages::below(&self.pages, path.as_str().to_owned(), 1);
        // Of all keys that begin like this one, its own comes first.
        let first = pages.next().await?.and_then(|page| page.objects.into_iter().next());
        match first {
            Some(object) if object.key == path.as_str() => Ok(object.size),
            _ => Err(Error::listing("an object is not in it")),
        }
    }
}

/// What an answer says of an object, apart from its body, which cannot wait for another answer.
struct Facts {
    unsaid: Unsaid,
    meta: ObjectMeta,
    mark: Option<Mark>,
    checksum: Option<Checksum>,
}

fn facts(result: &GetResult) -> Facts {
    let unsaid = result.extensions.get().copied().unwrap_or_default();
    let checksum = result.attributes.get(&Attribute::Metadata(CHECKSUM.into()));
    let checksum = checksum.and_then(|text| Checksum::parse(text));
    Facts { unsaid, meta: result.meta.clone(), mark: mark_of(&result.attributes), checksum }
}

/// The body of one answer.
struct CloudBody {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    charge: Option<Arc<Charge>>,
}

#[async_trait]
impl Body for CloudBody {
    async fn next(&mut self) -> Result<Option<Chunk>> {
        let Some(bytes) = self.stream.next().await else { return Ok(None) };
        Ok(Some(Chunk { bytes: bytes?, _charge: self.charge.clone() }))
    }
}
