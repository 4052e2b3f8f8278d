//! One upload: up to one part in memory; a single PUT when the body ends within it, else an upload in parts with a
//! bounded window. Nothing is visible before [`Upload::commit`] has succeeded.

use std::sync::Arc;

use async_trait::async_trait;

use super::budget::LARGEST_BUFFER;
use super::driver::Condition;
use super::error::Result;
use super::multipart::Multipart;
use super::part::Part;
use super::path::StorePath;
use super::store::Store;
use crate::data::DataConnection;

/// The first buffer of an upload; later ones grow with what has arrived, so that a slow or small upload holds at most
/// about twice what it sent.
const FIRST_BUFFER: usize = 8 * 1024;

/// Where an upload's bytes come from.
#[async_trait]
pub(super) trait Source: Send {
    /// Appends to `buffer`, up to its spare capacity; 0 is the end. Dropping the future loses nothing.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize>;
}

#[async_trait]
impl Source for Box<dyn DataConnection> {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        Ok(self.as_mut().read(buffer).await?)
    }
}

/// An upload in progress. Dropping it aborts it in the background.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<Store>,
    path: StorePath,
    part: Part,
    total: u64,
    multipart: Multipart,
}

impl Upload {
    /// An upload to `path` that has not touched the store yet. Fails if `path` cannot become a file.
    pub(super) async fn plan(store: &Arc<Store>, path: StorePath) -> Result<Self> {
        let destination = store.driver.destination(&path).await?;
        Ok(Self {
            part: Part::new(&store.budget),
            multipart: Multipart::new(destination, &store.shutdown),
            store: Arc::clone(store),
            path,
            total: 0,
        })
    }

    /// Bytes taken so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Takes from `source` until its end. Parts are sent while the next one is filled.
    pub(super) async fn fill(&mut self, source: &mut dyn Source) -> Result<()> {
        loop {
            if self.part.len() == self.multipart.part_size() {
                if self.multipart.is_unknown() && self.ends_with_part(source).await? {
                    return Ok(());
                }
                // Without memory for a look ahead the part goes out as it is.
                if self.part.len() == self.multipart.part_size() {
                    self.send_part().await?;
                }
            }
            self.make_room().await?;
            let read = tokio::select! {
                read = source.read(self.part.room()) => read?,
                Some(sent) = self.multipart.arrived() => {
                    sent?;
                    continue;
                }
            };
            if read == 0 {
                return Ok(());
            }
            self.part.filled(read);
            self.total += read as u64;
        }
    }

    /// Whether the first part, which is full, is all there is: then one PUT will do. If not, the next part has begun.
    async fn ends_with_part(&mut self, source: &mut dyn Source) -> Result<bool> {
        let mut next = Part::new(&self.store.budget);
        // A part that is full must not wait for memory: others may wait for its own.
        if !next.try_extend(FIRST_BUFFER) {
            return Ok(false);
        }
        let read = source.read(next.room()).await?;
        if read == 0 {
            return Ok(true);
        }
        next.filled(read);
        self.total += read as u64;
        self.send_part().await?;
        self.part = next;
        Ok(false)
    }

    /// Makes the object appear, whole, if `condition` holds. The caller must not drop this future: the store may be
    /// just about to confirm.
    pub(super) async fn commit(mut self, condition: &Condition) -> Result<()> {
        let result = self.finish(condition).await;
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    async fn finish(&mut self, condition: &Condition) -> Result<()> {
        if self.multipart.is_unknown() {
            self.store.require(&self.path, condition).await?;
            return self.multipart.put(self.part.take(), condition).await;
        }
        if self.part.len() > 0 {
            self.send_part().await?;
        }
        while let Some(sent) = self.multipart.arrived().await {
            sent?;
        }
        // Not every store can make the end of a multipart upload conditional, so this is checked last of all.
        self.store.require(&self.path, condition).await?;
        self.multipart.complete(condition).await
    }

    /// Leaves nothing of the upload in the store. Waits for that, but not for a store that hangs.
    pub(super) async fn abort(mut self) {
        self.multipart.abort().await;
    }

    /// Room in the current buffer, charged to the budget.
    async fn make_room(&mut self) -> Result<()> {
        if self.part.has_room() {
            return Ok(());
        }
        let grown = usize::try_from(self.total).unwrap_or(usize::MAX);
        let left = self.multipart.part_size() - self.part.len();
        let size = grown.clamp(FIRST_BUFFER, LARGEST_BUFFER).min(left);
        // More parts than one are taken only from what is free: who has a part on its way waits for that one.
        while !self.part.try_extend(size) {
            let Some(sent) = self.multipart.arrived().await else {
                self.part.extend(size).await;
                break;
            };
            sent?;
        }
        Ok(())
    }

    /// Puts the part on its way once the window has room.
    async fn send_part(&mut self) -> Result<()> {
        self.multipart.send(self.part.take()).await
    }
}
