//! Renaming a file: in one step where the store can, else a copy, then a delete, and never a loss in between.

use super::driver::{Existing, Renamed};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;

impl Store {
    /// Gives the file at `from` the name `to`.
    pub async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<()> {
        let source = match self.driver.head(from).await {
            Ok(meta) => meta,
            Err(Error::NotFound) if self.is_directory(from).await? => {
                return Err(Error::NotSupported("directories cannot be renamed"));
            }
            Err(error) => return Err(error),
        };
        // A copy onto itself followed by a delete would lose the file.
        if from == to {
            return Ok(());
        }
        if self.is_directory(to).await? {
            return Err(Error::AlreadyExists);
        }
        if existing == Existing::Refuse && self.exists(to).await? {
            return Err(Error::AlreadyExists);
        }
        match self.driver.rename(from, to, existing).await? {
            Renamed::Done => {
                self.keep_directory_of(from).await;
                return Ok(());
            }
            Renamed::NeedsCopy => {}
        }
        self.driver.copy(from, to, &source).await?;
        // Whoever wrote to the old name meanwhile keeps what they wrote: only the version that was copied goes.
        if self.driver.head(from).await?.version != source.version {
            return Err(Error::Changed);
        }
        self.driver.delete(from).await?;
        self.keep_directory_of(from).await;
        Ok(())
    }
}
