//! Uploads to a folder: written beside their name, piece by piece, and renamed when they are whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::disk::{Cost, Disk, SMALL};
use super::durability::Durability;
use super::staged::{Publish, Staged};
use crate::storage::driver::contract::{
    Condition, Destination, Lifetime, OpenUpload, Saved, SavedPart, Sending, Uploader, Written,
};
use crate::storage::error::{Error, Result};

/// The file that an upload is to become.
#[derive(Debug)]
pub(super) struct FolderDestination {
    pub(super) path: PathBuf,
    /// What it costs to free the file that it replaces.
    pub(super) freeing: Cost,
    pub(super) durability: Durability,
    pub(super) disk: Arc<Disk>,
}

#[async_trait]
impl Destination for FolderDestination {
    fn first_part(&self) -> usize {
        SMALL
    }

    fn describe(&mut self, _uploader: Uploader<'_>) {
        // A file has its bytes and nothing else.
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<Written> {
        let Self { path, freeing, durability, disk } = *self;
        let publish = publish(condition);
        let size = body.iter().map(Bytes::len).sum();
        let work = move || {
            let staged = Staged::create(&path, Lifetime::Session, durability)?;
            staged.write(&body)?;
            staged.publish(publish)
        };
        disk.run(Cost::of(size).max(freeing).max(durability.cost()), work).await?;
        // A file system says nothing of it.
        Ok(Written::default())
    }

    async fn open(self: Box<Self>, lifetime: Lifetime) -> Result<Box<dyn OpenUpload>> {
        let Self { path, durability, disk, .. } = *self;
        let staged = disk.run(Cost::Small, move || Staged::create(&path, lifetime, durability)).await?;
        Ok(Box::new(FolderUpload::of(staged, lifetime, 0, &disk)))
    }
}

/// A file that is written part by part.
#[derive(Debug)]
pub(super) struct FolderUpload {
    /// Shared with the part on its way; none once it has ended.
    staged: Option<Arc<Staged>>,
    lifetime: Lifetime,
    written: Arc<AtomicU64>,
    disk: Arc<Disk>,
}

impl FolderUpload {
    /// A staged file that holds `written` bytes already.
    pub(super) fn of(staged: Staged, lifetime: Lifetime, written: u64, disk: &Arc<Disk>) -> Self {
        let (staged, written) = (Some(Arc::new(staged)), Arc::new(AtomicU64::new(written)));
        Self { staged, lifetime, written, disk: Arc::clone(disk) }
    }
}

#[async_trait]
impl OpenUpload for FolderUpload {
    fn part_size(&self) -> usize {
        SMALL
    }

    fn window(&self) -> usize {
        // A file is written from its beginning to its end.
        1
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        let staged = Arc::clone(self.staged.as_ref().ok_or(Error::Changed)?);
        let size = part.iter().map(Bytes::len).sum();
        let written = Arc::clone(&self.written);
        Ok(self.disk.begin(Cost::of(size), move || {
            staged.write(&part)?;
            written.fetch_add(size as u64, Ordering::Release);
            Ok(())
        }))
    }

    async fn complete(&mut self, condition: &Condition) -> Result<Written> {
        // It stays here until it has its name, for whoever aborts it or leaves it to another session.
        let staged = Arc::clone(self.staged.as_ref().ok_or(Error::Changed)?);
        let (size, publish) = (self.written.load(Ordering::Acquire), publish(condition));
        let complete = move || {
            staged.require_size(size)?;
            staged.publish(publish)
        };
        // On a blocking thread: closing a large file and replacing another can take long.
        self.disk.run(Cost::Large, complete).await?;
        self.staged = None;
        Ok(Written::default())
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.take();
        self.disk
            .run(Cost::Large, move || {
                drop(staged);
                Ok(())
            })
            .await
    }

    fn saved(&self) -> Option<Saved> {
        // Of any other, what a crash leaves is known by its name.
        let staged = self.staged.as_ref().filter(|_| self.lifetime == Lifetime::Kept)?;
        let (id, directories) = staged.saved();
        let size = self.written.load(Ordering::Acquire);
        let parts = vec![SavedPart { id: String::new(), size }];
        Some(Saved { id, mark: None, parts, directories })
    }

    fn takes_short_parts(&self) -> bool {
        true
    }

    fn leave(&mut self) {
        if let Some(staged) = self.staged.take() {
            staged.leave();
        }
    }
}

fn publish(condition: &Condition) -> Publish {
    match condition {
        Condition::Absent => Publish::OverNothing,
        // That the version has just been seen there must do: no file system replaces one version only.
        Condition::Any | Condition::Unchanged(_) => Publish::OverAnything,
    }
}
