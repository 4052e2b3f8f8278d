//! `check_parents`: for servers that keep objects as files, and others that hide what could not be in a file system.
//!
//! Semantics decision: an object store can hold both a file and a directory of one name, and is asked about it only if
//! that is configured, since it costs requests. A local folder refuses it by itself.

use futures::{StreamExt, TryStreamExt, stream};

use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;

/// Requests on their way at once.
const WINDOW: usize = 8;

impl Store {
    /// Fails if `path` is a directory or stands below a file, if that is to be looked at.
    pub(super) async fn check_file_place(&self, path: &StorePath) -> Result<()> {
        if self.looks_at_parents() && self.is_directory(path).await? {
            return Err(Error::NameNotAllowed("a directory has this name"));
        }
        self.check_parents(path).await
    }

    /// Fails if `path` stands below a file, if that is to be looked at.
    pub(super) async fn check_parents(&self, path: &StorePath) -> Result<()> {
        if !self.looks_at_parents() {
            return Ok(());
        }
        let mut above = Vec::new();
        let mut directory = path.parent();
        while !directory.is_root() && directory != self.home {
            above.push(directory.clone());
            directory = directory.parent();
        }
        let looking = stream::iter(above).map(|directory| async move { self.exists(&directory).await });
        let is_below_file = looking.buffer_unordered(WINDOW).try_any(std::future::ready).await?;
        if is_below_file {
            return Err(Error::NameNotAllowed("a part of the path is a file, not a directory"));
        }
        Ok(())
    }

    fn looks_at_parents(&self) -> bool {
        self.check_parents && !self.driver.keeps_directories()
    }
}
