//! Renaming a file: in one step where the store can, else a copy, then a delete, and never a loss in between.

use super::driver::{Existing, Renamed};
use super::error::{Error, Result};
use super::path::StorePath;
use super::relocation::Seen;
use super::store::Store;

impl Store {
    /// Gives the file or directory at `from` the name `to`. A directory replaces nothing, whatever `existing` says.
    pub async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<()> {
        let source = match self.driver.head(from).await {
            Ok(meta) => meta,
            Err(Error::NotFound) if self.is_directory(from).await? => {
                return self.rename_directory(from, to).await;
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
        self.check_parents(to).await?;
        match self.driver.rename(from, to, existing).await? {
            Renamed::Done => return Ok(()),
            Renamed::NeedsCopy => {}
        }
        // Refuses a name that the store would make another of.
        self.driver.destination(to).await?;
        let replaced = self.found(to).await?;
        // Semantics decision: the old name goes only when the copy was seen.
        self.copy_surely(from, to, &source, replaced.as_ref(), existing).await?;
        // Whoever wrote to the old name meanwhile keeps what they wrote: only the version that was copied goes.
        if !Seen::of(&source).is(&self.driver.head(from).await?) {
            return Err(Error::Changed);
        }
        self.take_away(from).await
    }
}
