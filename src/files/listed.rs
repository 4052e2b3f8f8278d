//! Directories as a user sees them: what the store has, without what is hidden, and with the mounts.

use std::sync::Arc;

use super::error::Result;
use super::tree::Tree;
use crate::path::VirtualPath;
use crate::storage::{self, Entry, EntryKind};

/// What stands at a path that is to be listed.
#[derive(Debug)]
pub enum Listed {
    /// A directory and its entries.
    Directory(Listing),
    /// A single file.
    File(Entry),
}

/// A directory being listed.
#[derive(Debug)]
pub struct Listing {
    tree: Arc<Tree>,
    path: VirtualPath,
    has_mounts: bool,
    /// Whether the mounts in it are still to be told.
    is_new: bool,
    pages: Option<storage::Listing>,
}

impl Listing {
    /// The directory at `path`, of which a store has these pages, if it has any.
    pub(super) fn new(tree: &Arc<Tree>, path: &VirtualPath, pages: Option<storage::Listing>) -> Self {
        let has_mounts = !tree.fixed_in(path).is_empty();
        Self { tree: Arc::clone(tree), path: path.clone(), has_mounts, is_new: has_mounts, pages }
    }

    /// The next entries, possibly none of them; `None` after the last page.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>> {
        if std::mem::take(&mut self.is_new) {
            return Ok(Some(self.tree.fixed_in(&self.path).into_iter().map(directory).collect()));
        }
        let Some(pages) = &mut self.pages else { return Ok(None) };
        let Some(mut page) = pages.next_page().await? else { return Ok(None) };
        let hide = &self.tree.rules(&self.path).hide;
        if !hide.is_empty() {
            page.retain(|entry| !hide.iter().any(|pattern| pattern.matches(&entry.name)));
        }
        if self.has_mounts {
            let mounts = self.tree.fixed_in(&self.path);
            page.retain(|entry| !mounts.contains(entry.name.as_str()));
        }
        Ok(Some(page))
    }
}

/// A directory of which no store tells anything.
pub(super) fn directory(name: &str) -> Entry {
    Entry { name: name.to_owned(), kind: EntryKind::Directory, modified: None }
}
