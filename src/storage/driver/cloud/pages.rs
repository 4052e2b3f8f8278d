//! Listing a cloud's directory page by page, in constant memory.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};

use crate::storage::driver::contract::Pages;
use crate::storage::entry::{Entry, EntryKind};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// Entries in a page: what S3 gives in one answer.
const PAGE: usize = 1000;

/// A directory of a store that lists in pages.
pub(super) struct CloudPages {
    store: Arc<dyn PaginatedListStore>,
    directory: StorePath,
    first: Option<Vec<Entry>>,
    token: Option<String>,
    offset: Option<String>,
    max_keys: usize,
    done: bool,
}

impl CloudPages {
    /// The directory's listing; none if there is no such directory. It exists because of a key below it, if only a
    /// marker, and the first page shows that.
    pub(super) async fn begin(
        store: &Arc<dyn PaginatedListStore>,
        directory: &StorePath,
    ) -> Result<Option<Self>> {
        let (store, directory) = (Arc::clone(store), directory.clone());
        let mut pages =
            Self { store, directory, first: None, token: None, offset: None, max_keys: PAGE, done: false };
        let Some(first) = pages.fetch().await? else { return Ok(pages.directory.is_root().then_some(pages)) };
        let exists =
            pages.directory.is_root() || !first.objects.is_empty() || !first.common_prefixes.is_empty();
        pages.first = Some(entries(&pages.directory, first));
        Ok(exists.then_some(pages))
    }

    /// The next page. One key that `object_store` cannot name (`a//b`, a control character) makes it fail a whole
    /// page, so pages get smaller until that key stands alone, and it is stepped over.
    async fn fetch(&mut self) -> Result<Option<ListResult>> {
        let prefix = self.directory.as_prefix();
        while !self.done {
            let options = PaginatedListOptions {
                offset: self.offset.clone().filter(|_| self.token.is_none()),
                delimiter: Some(Cow::Borrowed("/")),
                max_keys: Some(self.max_keys),
                page_token: self.token.clone(),
                ..PaginatedListOptions::default()
            };
            match page_of(&self.store, &prefix, options).await {
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

#[async_trait]
impl Pages for CloudPages {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        Ok(self.fetch().await?.map(|page| entries(&self.directory, page)))
    }
}

impl std::fmt::Debug for CloudPages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudPages").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// One page of the keys that begin with `prefix`.
pub(super) async fn page_of(
    store: &Arc<dyn PaginatedListStore>,
    prefix: &str,
    options: PaginatedListOptions,
) -> object_store::Result<PaginatedListResult> {
    store.list_paginated((!prefix.is_empty()).then_some(prefix), options).await
}

fn entries(directory: &StorePath, page: ListResult) -> Vec<Entry> {
    let directories = page.common_prefixes.into_iter().map(|prefix| Entry {
        name: prefix.filename().unwrap_or_default().to_owned(),
        kind: EntryKind::Directory,
        modified: None,
    });
    let files = page
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

/// The key that `object_store` could not turn into a path.
fn invalid_key(error: &object_store::path::Error) -> Option<&str> {
    use object_store::path::Error as E;
    match error {
        E::EmptySegment { path } | E::BadSegment { path, .. } | E::NonUnicode { path, .. } => Some(path),
        // The others are about local folders.
        _ => None,
    }
}
