//! The driver: uploads by `unftp-sbe-gcs`, everything else by `object_store`'s client of the same bucket.
//!
//! What of that crate is not used, and why (0.3.1): its downloads are not pinned to a version and know no end of a range;
//! its listings are held whole, take a folder without an object for one of now, and put a page's token into the URL as it
//! is; its metadata has no version; its folders are `dir/` objects; it cannot rename and knows no conditions; and it tries
//! nothing again.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use unftp_sbe_gcs::CloudStorage;

use super::upload::StreamedDestination;
use crate::shutdown::Shutdown;
use crate::storage::driver::cloud::Bucket;
use crate::storage::driver::contract::{
    Dated, Destination, Directory, Driver, Existing, Get, Got, Keys, LeftOver, Meta, OpenUpload, Pages,
    Ranges, Renamed, Saved, Swept,
};
use crate::storage::error::Result;
use crate::storage::path::StorePath;

/// A bucket that takes uploads as streams.
#[derive(Clone, Debug)]
pub(in crate::storage) struct StreamedBucket {
    bucket: Bucket,
    uploads: CloudStorage,
    shutdown: Shutdown,
}

impl StreamedBucket {
    /// `bucket`, with its uploads left to `uploads`, which is a client of the same bucket.
    pub(in crate::storage) fn new(bucket: Bucket, uploads: CloudStorage, shutdown: &Shutdown) -> Self {
        Self { bucket, uploads, shutdown: shutdown.clone() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Driver for StreamedBucket {
    fn within(&self, _home: &StorePath) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    fn ranges(&self) -> Option<Ranges> {
        self.bucket.ranges()
    }

    async fn probe(&self, root: &StorePath) -> Result<()> {
        self.bucket.probe(root).await
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        self.bucket.head(path).await
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        self.bucket.get(path, get).await
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        let whole = self.bucket.destination(path).await?;
        let (uploads, shutdown) = (self.uploads.clone(), self.shutdown.clone());
        Ok(Box::new(StreamedDestination { whole, uploads, path: path.clone(), shutdown }))
    }

    async fn reopen(&self, path: &StorePath, saved: &Saved) -> Result<Box<dyn OpenUpload>> {
        self.bucket.reopen(path, saved).await
    }

    async fn discard(&self, path: &StorePath, saved: &Saved) -> Result<()> {
        self.bucket.discard(path, saved).await
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.bucket.delete(path).await
    }

    fn largest_copy(&self) -> Option<u64> {
        self.bucket.largest_copy()
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, source: &Meta, existing: Existing) -> Result<()> {
        self.bucket.copy(from, to, source, existing).await
    }

    async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<Renamed> {
        self.bucket.rename(from, to, existing).await
    }

    async fn rename_directory(&self, from: &StorePath, to: &StorePath) -> Result<Renamed> {
        self.bucket.rename_directory(from, to).await
    }

    async fn set_modified(&self, path: &StorePath, time: DateTime<Utc>) -> Result<Dated> {
        self.bucket.set_modified(path, time).await
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        self.bucket.list(path).await
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        self.bucket.keys_below(path, limit).await
    }

    async fn keys(&self, path: &StorePath) -> Result<Box<dyn Keys>> {
        self.bucket.keys(path).await
    }

    async fn directory(&self, path: &StorePath) -> Result<Option<Directory>> {
        self.bucket.directory(path).await
    }

    fn keeps_directories(&self) -> bool {
        self.bucket.keeps_directories()
    }

    async fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.bucket.remove_directory(path).await
    }

    async fn sweep(&self, left_over: LeftOver) -> Result<Swept> {
        self.bucket.sweep(left_over).await
    }
}
