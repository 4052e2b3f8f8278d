//! All keys below a directory, page by page, in constant memory.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::list::PaginatedListStore;

use super::pages::{KeyPages, PAGE};
use crate::storage::driver::contract::Keys;
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// The keys below a directory.
pub(super) struct CloudKeys {
    directory: StorePath,
    pages: KeyPages,
}

impl CloudKeys {
    /// Those below `directory`; nothing was asked yet.
    pub(super) fn new(store: &Arc<dyn PaginatedListStore>, directory: &StorePath) -> Self {
        let pages = KeyPages::below(store, directory.as_prefix(), PAGE);
        Self { directory: directory.clone(), pages }
    }

    /// `key` as a path below the directory; the directory's own `dir/` marker is the empty one.
    fn below(&self, key: &str) -> Result<String> {
        let path =
            key.strip_prefix(&self.directory.as_prefix()).map(|path| path.strip_suffix('/').unwrap_or(path));
        let path = path.filter(|path| self.directory.join(path).is_ok());
        path.map(str::to_owned).ok_or(Error::NotSupported("it holds a name that no path can have"))
    }
}

#[async_trait]
impl Keys for CloudKeys {
    async fn next(&mut self) -> Result<Option<Vec<String>>> {
        let Some(page) = self.pages.next().await? else { return Ok(None) };
        page.objects.iter().map(|object| self.below(&object.key)).collect::<Result<_>>().map(Some)
    }
}

impl std::fmt::Debug for CloudKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudKeys").field("directory", &self.directory).finish_non_exhaustive()
    }
}
