//! Directories, which object stores do not have.
//!
//! Semantics decision: a directory exists if it is the root or any key has its prefix; MKD writes a hidden marker, and so
//! does whatever takes the last key out of one.

use super::entry::{Entry, EntryKind};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;

impl Store {
    /// The file or directory at `path`. Where a store holds both, the file.
    pub async fn stat(&self, path: &StorePath) -> Result<Entry> {
        if path.is_root() {
            return Ok(directory(path));
        }
        match self.file(path).await {
            Err(Error::NotFound) => {
                let found = self.driver.directory(path).await?.ok_or(Error::NotFound)?;
                Ok(Entry { modified: found.modified, ..directory(path) })
            }
            result => result,
        }
    }

    /// Makes the directory at `path` and, as far as they are missing, those above it.
    pub async fn make_directory(&self, path: &StorePath) -> Result<()> {
        match self.stat(path).await {
            Ok(_) => return Err(Error::AlreadyExists),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.check_parents(path).await?;
        // The highest first: if one fails, those above it are directories like any other.
        for directory in self.missing(path).await?.iter().rev() {
            self.put_marker(directory).await?;
        }
        Ok(())
    }

    /// `path`, which is missing, and those above it that are, the lowest first.
    async fn missing(&self, path: &StorePath) -> Result<Vec<StorePath>> {
        let mut missing = vec![path.clone()];
        // Where directories are kept, those above it come with it.
        if self.driver.keeps_directories() {
            return Ok(missing);
        }
        let mut above = path.parent();
        while above != self.home && !self.is_directory(&above).await? {
            missing.push(above.clone());
            above = above.parent();
        }
        Ok(missing)
    }

    /// Removes the directory at `path`, which must be empty.
    pub async fn remove_directory(&self, path: &StorePath) -> Result<()> {
        if !self.is_directory(path).await? {
            return Err(if self.exists(path).await? { Error::NotADirectory } else { Error::NotFound });
        }
        let marker = path.join(self.marker())?;
        // Three keys tell all: this marker, a `dir/` marker of another tool, and anything else.
        let keys = self.driver.keys_below(path, 3).await?;
        if keys.iter().any(|key| key != path.as_str() && key != marker.as_str()) {
            return Err(Error::NotEmpty);
        }
        if keys.iter().any(|key| key == marker.as_str()) {
            // An upload that arrives now keeps the directory alive, and nothing is lost.
            self.delete_surely(&marker).await?;
        }
        if keys.iter().any(|key| key == path.as_str()) {
            return Err(Error::NotSupported("a directory marker of another tool keeps it"));
        }
        self.driver.remove_directory(path).await?;
        self.keep_directory_of(path).await;
        Ok(())
    }
}

fn directory(path: &StorePath) -> Entry {
    Entry { name: path.file_name().to_owned(), kind: EntryKind::Directory, modified: None }
}
