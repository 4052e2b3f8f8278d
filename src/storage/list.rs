//! Listing a directory page by page, in constant memory.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};

use super::Store;
use super::error::{Error, Result};
use super::instrumented::Meter;
use super::local::FolderPages;
use super::path::StorePath;
use crate::metrics::StoreOperation;

/// Entries in a page: what S3 gives in one answer.
pub(super) const PAGE: usize = 1000;

/// A file or directory as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last segment of its path.
    pub name: String,
    /// File or directory.
    pub kind: EntryKind,
    /// When it was written. Directories of object stores have no time.
    pub modified: Option<DateTime<Utc>>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An object.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A prefix of keys.
    Directory,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }

    /// Bytes; 0 for a directory.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            EntryKind::Directory => 0,
        }
    }
}

/// What stands at a path that is to be listed.
#[derive(Debug)]
pub enum Listed {
    /// A directory and its entries.
    Directory(Listing),
    /// A single file.
    File(Entry),
}

/// A directory being listed. Entries come in the order in which the store gives them.
#[derive(Debug)]
pub struct Listing {
    entries: Entries,
    first: Option<Vec<Entry>>,
    marker: String,
}

#[derive(Debug)]
enum Entries {
    Folder(FolderPages),
    Cloud(CloudPages),
    Once(Option<(StorePath, ListResult)>),
}

impl Store {
    /// Lists the directory at `path`, or describes the file there. Markers are never listed.
    pub async fn list(&self, path: &StorePath) -> Result<Listed> {
        self.admit(path)?;
        let pages = match (&self.local, &self.pages) {
            (Some(local), _) => match local.read(path).await? {
                Some(pages) => Entries::Folder(pages),
                None if path.is_root() => return Err(Error::NotFound),
                None => return self.list_file(path).await,
            },
            (None, Some(store)) => Entries::Cloud(CloudPages::new(store, path, self.meter.clone())),
            (None, None) => {
                let prefix = (!path.is_root()).then(|| path.as_path());
                Entries::Once(Some((path.clone(), self.objects().list_with_delimiter(prefix).await?)))
            }
        };
        let mut listing = Listing { entries: pages, first: None, marker: self.marker().to_owned() };
        // A directory exists because of a key below it, if only a marker: an empty first page may be a file instead.
        let mut exists = path.is_root() || matches!(listing.entries, Entries::Folder(_));
        listing.first = listing.fetch(&mut exists).await?;
        if exists { Ok(Listed::Directory(listing)) } else { self.list_file(path).await }
    }

    async fn list_file(&self, path: &StorePath) -> Result<Listed> {
        Ok(Listed::File(self.file(path).await?))
    }

    /// The file at `path`.
    pub(super) async fn file(&self, path: &StorePath) -> Result<Entry> {
        let meta = self.head(path).await?;
        Ok(Entry {
            name: path.file_name().to_owned(),
            kind: EntryKind::File { size: meta.size },
            modified: Some(meta.last_modified),
        })
    }
}

impl Listing {
    /// The next entries, possibly none of them; `None` after the last page.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>> {
        match self.first.take() {
            Some(page) => Ok(Some(page)),
            None => self.fetch(&mut false).await,
        }
    }

    async fn fetch(&mut self, any_key: &mut bool) -> Result<Option<Vec<Entry>>> {
        let mut page = match &mut self.entries {
            Entries::Folder(folder) => match folder.next().await? {
                Some(page) => page,
                None => return Ok(None),
            },
            Entries::Cloud(cloud) => match cloud.next().await? {
                Some(result) => entries(&cloud.directory, result, any_key),
                None => return Ok(None),
            },
            Entries::Once(once) => match once.take() {
                Some((directory, result)) => entries(&directory, result, any_key),
                None => return Ok(None),
            },
        };
        page.retain(|entry| entry.name != self.marker);
        Ok(Some(page))
    }
}

fn entries(directory: &StorePath, result: ListResult, any_key: &mut bool) -> Vec<Entry> {
    *any_key |= !result.objects.is_empty() || !result.common_prefixes.is_empty();
    let directories = result.common_prefixes.into_iter().map(|prefix| Entry {
        name: prefix.filename().unwrap_or_default().to_owned(),
        kind: EntryKind::Directory,
        modified: None,
    });
    let files = result
        .objects
        .into_iter()
        // A `dir/` marker that another tool made comes back in its own directory under the directory's own name.
        .filter(|meta| meta.location.as_ref() != directory.as_str())
        .map(|meta| Entry {
            name: meta.location.filename().unwrap_or_default().to_owned(),
            kind: EntryKind::File { size: meta.size },
            modified: Some(meta.last_modified),
        });
    directories.chain(files).collect()
}

/// A store's own pages.
#[derive(Clone)]
pub(super) struct Pages(Arc<dyn PaginatedListStore>);

impl Pages {
    pub(super) fn new(store: impl PaginatedListStore) -> Self {
        Self(Arc::new(store))
    }

    /// One page of the keys that begin with `prefix`.
    pub(super) async fn page(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        self.0.list_paginated((!prefix.is_empty()).then_some(prefix), options).await
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

/// A directory of a store that lists in pages.
#[derive(Debug)]
struct CloudPages {
    store: Pages,
    meter: Meter,
    directory: StorePath,
    token: Option<String>,
    offset: Option<String>,
    max_keys: usize,
    done: bool,
}

impl CloudPages {
    fn new(store: &Pages, directory: &StorePath, meter: Meter) -> Self {
        let (store, directory) = (store.clone(), directory.clone());
        Self { store, meter, directory, token: None, offset: None, max_keys: PAGE, done: false }
    }

    /// The next page. One key that `object_store` cannot name (`a//b`, a control character) makes it fail a whole
    /// page, so pages get smaller until that key stands alone, and it is stepped over.
    async fn next(&mut self) -> Result<Option<ListResult>> {
        let prefix = self.directory.as_prefix();
        while !self.done {
            let options = PaginatedListOptions {
                offset: self.offset.clone().filter(|_| self.token.is_none()),
                delimiter: Some(Cow::Borrowed("/")),
                max_keys: Some(self.max_keys),
                page_token: self.token.clone(),
                ..PaginatedListOptions::default()
            };
            let request = self.store.page(&prefix, options);
            match self.meter.measure(StoreOperation::List, request).await {
                Ok(page) => {
                    self.token = page.page_token.filter(|token| !token.is_empty());
                    self.done = self.token.is_none();
                    return Ok(Some(page.result));
                }
                Err(object_store::Error::InvalidPath { source }) if self.max_keys > 1 => {
                    tracing::debug!(error = %source, "a key cannot be listed");
                    self.max_keys /= 2;
                }
                Err(object_store::Error::InvalidPath { source }) => {
                    let key =
                        invalid_key(&source).ok_or(Error::NameNotAllowed("a key that cannot be listed"))?;
                    tracing::warn!(key, "left out of the listing: no client could name it");
                    // A prefix is left behind with all that it groups: no key sorts after the last character.
                    let beyond = if key.ends_with('/') { format!("{key}\u{10ffff}") } else { key.to_owned() };
                    (self.offset, self.token, self.max_keys) = (Some(beyond), None, PAGE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The key that `object_store` could not turn into a path.
fn invalid_key(error: &object_store::path::Error) -> Option<&str> {
    use object_store::path::Error as E;
    match error {
        E::EmptySegment { path } | E::BadSegment { path, .. } | E::NonUnicode { path, .. } => Some(path),
        // The others are about local folders.
        _ => None,
    }
}
