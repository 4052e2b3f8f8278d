//! Directories, which object stores do not have.
//!
//! Semantics decision: a directory exists if it is the root or any key has its prefix; MKD writes a hidden marker.

use std::sync::Arc;

use futures::StreamExt;
use object_store::list::PaginatedListOptions;
use object_store::{ObjectStoreExt, PutPayload};

use super::Store;
use super::error::{Error, Result};
use super::list::{Entry, EntryKind};
use super::path::StorePath;
use crate::metrics::StoreOperation;

impl Store {
    /// The file or directory at `path`. Where a store holds both, the file.
    pub async fn stat(&self, path: &StorePath) -> Result<Entry> {
        self.admit(path)?;
        if path.is_root() {
            return Ok(directory(path));
        }
        match self.file(path).await {
            Err(Error::NotFound) if self.is_directory(path).await? => Ok(directory(path)),
            result => result,
        }
    }

    /// Whether `path` is a directory.
    pub async fn is_directory(&self, path: &StorePath) -> Result<bool> {
        self.admit(path)?;
        match &self.local {
            _ if path.is_root() => Ok(true),
            // Here a directory may be empty without a marker: another program made it.
            Some(local) => local.is_directory(path).await,
            None => Ok(!self.any_key_below(path, 1).await?.is_empty()),
        }
    }

    /// Makes the directory at `path` and, as far as they are missing, those above it.
    pub async fn make_directory(&self, path: &StorePath) -> Result<()> {
        match self.stat(path).await {
            Ok(_) => return Err(Error::AlreadyExists),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let marker = path.join(self.marker())?;
        if let Some(local) = &self.local {
            local.admit_file(&marker)?;
        }
        self.objects().put(marker.as_path(), PutPayload::default()).await?;
        Ok(())
    }

    /// Removes the directory at `path`, which must be empty.
    pub async fn remove_directory(self: &Arc<Self>, path: &StorePath) -> Result<()> {
        if !self.is_directory(path).await? {
            return Err(if self.head(path).await.is_ok() { Error::NotADirectory } else { Error::NotFound });
        }
        let marker = path.join(self.marker())?;
        // Three keys tell all: this marker, a `dir/` marker of another tool, and anything else.
        let keys = self.any_key_below(path, 3).await?;
        if keys.iter().any(|key| key != path.as_str() && key != marker.as_str()) {
            return Err(Error::NotEmpty);
        }
        if keys.iter().any(|key| key == marker.as_str()) {
            // An upload that arrives now keeps the directory alive, and nothing is lost.
            self.delete_object(&marker).await?;
        }
        if let Some(local) = &self.local {
            return local.remove_empty(path).await;
        }
        if keys.iter().any(|key| key == path.as_str()) {
            return Err(Error::NotSupported("a directory marker of another tool keeps it"));
        }
        Ok(())
    }

    /// Up to `limit` keys below the directory at `path`, at any depth; a `dir/` marker counts, without its slash.
    pub(super) async fn any_key_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        let Some(pages) = &self.pages else {
            let prefix = (!path.is_root()).then(|| path.as_path());
            let found = self.objects().list(prefix).take(limit);
            let found: Vec<_> =
                self.meter.measure(StoreOperation::List, async { Ok(found.collect().await) }).await?;
            return found.into_iter().map(|meta| Ok(meta?.location.to_string())).collect();
        };
        let prefix = path.as_prefix();
        let options = PaginatedListOptions { max_keys: Some(limit), ..PaginatedListOptions::default() };
        let request = pages.page(&prefix, options);
        match self.meter.measure(StoreOperation::List, request).await {
            Ok(page) => Ok(page.result.objects.into_iter().map(|meta| meta.location.to_string()).collect()),
            // A key that cannot be named is a key all the same.
            Err(object_store::Error::InvalidPath { .. }) => Ok(vec![format!("{prefix}\u{fffd}")]),
            Err(error) => Err(error.into()),
        }
    }
}

fn directory(path: &StorePath) -> Entry {
    Entry { name: path.file_name().to_owned(), kind: EntryKind::Directory, modified: None }
}
