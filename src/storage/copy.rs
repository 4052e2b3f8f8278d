//! One file copied to another name, and seen to be there: a store can answer 200 and have copied nothing, or fail to
//! answer and have copied all.

use std::sync::Arc;

use super::driver::{Condition, Existing, Get, Memory, Meta};
use super::error::{Error, Result};
use super::path::StorePath;
use super::source::OldBytes;
use super::store::Store;
use super::upload::Upload;

impl Store {
    /// Copies the file `from`, which `source` describes, to `to`, where `replaced` stood. If nothing may be replaced, it
    /// fails with `AlreadyExists` where the store can tell that somebody else was faster. Succeeds only if the copy was seen
    /// there, and tells what was seen.
    pub(super) async fn copy_surely(
        &self,
        from: &StorePath,
        to: &StorePath,
        source: &Meta,
        replaced: Option<&Meta>,
        existing: Existing,
    ) -> Result<Meta> {
        let largest = self.largest_copy.or(self.driver.largest_copy());
        let copied = if largest.is_some_and(|largest| source.size > largest) {
            // Large, and seldom needed.
            Box::pin(self.stream_through(from, to, source, existing)).await
        } else {
            self.driver.copy(from, to, source, existing).await
        };
        let found = self.driver.head(to).await;
        match (copied, found) {
            (Ok(()), Ok(found)) if is_copy(&found, source, replaced) => Ok(found),
            (Err(_), Ok(found)) if same_bytes(&found, source) => Ok(found),
            (Ok(()), Ok(_) | Err(Error::NotFound)) => Err(Error::unseen()),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        }
    }

    /// Copies what is too large for the store to copy: its bytes come here and go back, a part at a time, within the
    /// budget. What the store keeps beside them (content type, metadata) is not carried over.
    async fn stream_through(
        &self,
        from: &StorePath,
        to: &StorePath,
        source: &Meta,
        existing: Existing,
    ) -> Result<()> {
        let condition = match existing {
            Existing::Replace => Condition::Any,
            Existing::Refuse => Condition::Absent,
        };
        let get = Get { from: 0, to: None, version: source.version.clone(), memory: Memory::Callers };
        let got = self.driver.get(from, get).await?;
        let mut bytes = OldBytes::of(&self.driver, from, (got.body, got.meta.version), got.meta.size);
        let mut upload = Upload::plan(&Arc::new(self.clone()), to.clone()).await?;
        match upload.fill(&mut bytes).await {
            Ok(()) => upload.commit(&condition).await.map(drop),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }
}

/// Whether both are known to hold the same bytes, because one is a copy of the other.
pub(super) fn same_bytes(one: &Meta, other: &Meta) -> bool {
    let version = one.version.is_some() && one.version == other.version;
    // A copy takes the mark of the upload along, and no two uploads have the same.
    let mark = one.mark.is_some() && one.mark == other.mark;
    one.size == other.size && (version || mark)
}

/// Whether `found` at the new name is a copy of `source`, and not what stood there before.
fn is_copy(found: &Meta, source: &Meta, before: Option<&Meta>) -> bool {
    // A copy of an object of many parts has another etag than its source.
    let written = |before: &Meta| found.version != before.version || found.modified > before.modified;
    found.size == source.size && (same_bytes(found, source) || before.is_none_or(written))
}
