//! Listing a directory page by page.

use std::sync::Arc;

use super::driver::Pages;
use super::entry::{Entry, EntryKind};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;

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
    pages: Box<dyn Pages>,
    store: Arc<Store>,
}

impl Store {
    /// Lists the directory at `path`, or describes the file there. What the gateway keeps for itself is never listed.
    pub async fn list(self: &Arc<Self>, path: &StorePath) -> Result<Listed> {
        match self.driver.list(path).await? {
            Some(pages) => Ok(Listed::Directory(Listing { pages, store: Arc::clone(self) })),
            None if path.is_root() => Err(Error::NotFound),
            None => Ok(Listed::File(self.file(path).await?)),
        }
    }

    /// The file at `path`.
    pub(super) async fn file(&self, path: &StorePath) -> Result<Entry> {
        let meta = self.driver.head(path).await?;
        Ok(Entry {
            name: path.file_name().to_owned(),
            kind: EntryKind::File { size: meta.size },
            modified: meta.modified,
        })
    }
}

impl Listing {
    /// The next entries, possibly none of them; `None` after the last page.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>> {
        let Some(mut page) = self.pages.next().await? else { return Ok(None) };
        page.entries.retain(|entry| !self.store.reserves(&entry.name));
        Ok(Some(page.entries))
    }
}
