//! Renaming a file: in one step where the store can, else a copy, then a delete, and never a loss in between.

use super::driver::{Existing, Meta, Renamed};
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
            Renamed::Done => return Ok(()),
            Renamed::NeedsCopy => {}
        }
        let replaced = self.found(to).await?;
        let copied = self.driver.copy(from, to, &source).await;
        // Semantics decision: the old name goes only when the copy was seen. A store can answer 200 and have copied
        // nothing, or fail to answer and have copied all.
        let found = self.driver.head(to).await;
        match (copied, found) {
            (Ok(()), Ok(found)) if is_copy(&found, &source, replaced.as_ref()) => {}
            (Err(_), Ok(found)) if found.version.is_some() && found.version == source.version => {}
            (Ok(()), Ok(_) | Err(Error::NotFound)) => return Err(Error::unseen()),
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
        }
        // Whoever wrote to the old name meanwhile keeps what they wrote: only the version that was copied goes.
        if self.driver.head(from).await?.version != source.version {
            return Err(Error::Changed);
        }
        self.take_away(from).await
    }
}

/// Whether `found` at the new name is a copy of `source`, and not what stood there before.
fn is_copy(found: &Meta, source: &Meta, before: Option<&Meta>) -> bool {
    let same = source.version.is_some() && found.version == source.version;
    // A copy of an object of many parts has another etag than its source.
    let written = |before: &Meta| found.version != before.version || found.modified > before.modified;
    found.size == source.size && (same || before.is_none_or(written))
}
