//! Staged files that a process left when it died: found and removed.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use walkdir::{DirEntry, WalkDir};

use super::staged::lifetime_of;
use crate::storage::driver::contract::{LeftOver, Lifetime, Swept};

/// Names that are looked at in one step.
const STEP: usize = 1000;

/// A walk through a folder. It follows no link, and holds a few directories open at a time.
pub(super) struct Sweep {
    walk: walkdir::IntoIter,
    left_over: LeftOver,
}

impl Sweep {
    /// Through all of `root`, for files that are left over.
    pub(super) fn of(root: &Path, left_over: LeftOver) -> Self {
        Self { walk: WalkDir::new(root).into_iter(), left_over }
    }

    /// Goes on for a while, and tells what it has removed; none at the end. Blocks.
    pub(super) fn step(&mut self) -> Option<Swept> {
        let mut swept = Swept::default();
        for looked_at in 0..STEP {
            match self.walk.next() {
                None if looked_at == 0 => return None,
                None => break,
                Some(Ok(entry)) => swept = swept + self.remove(&entry),
                // What cannot be read, or is gone again, is somebody else's.
                Some(Err(error)) => tracing::debug!(%error, "left out of the clean-up"),
            }
        }
        Some(swept)
    }

    /// How old a file of this name must be to go; none if it stays.
    fn limit(&self, name: &OsStr) -> Option<Duration> {
        let name = name.to_str()?;
        match lifetime_of(name)? {
            Lifetime::Session => Some(self.left_over.older_than),
            Lifetime::Kept if self.left_over.claimed.contains(name) => None,
            Lifetime::Kept => self.left_over.kept_older_than,
        }
    }

    /// Removes the file if it was staged and left.
    fn remove(&self, entry: &DirEntry) -> Swept {
        let limit = if entry.file_type().is_file() { self.limit(entry.file_name()) } else { None };
        let Some(limit) = limit else { return Swept::default() };
        let Ok(metadata) = entry.metadata() else { return Swept::default() };
        let age = metadata.modified().ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        if age.is_none_or(|age| age < limit) {
            return Swept::default();
        }
        match std::fs::remove_file(entry.path()) {
            Ok(()) => {
                tracing::info!(path = %entry.path().display(), bytes = metadata.len(), "removed an unfinished upload");
                Swept { files: 1, bytes: metadata.len() }
            }
            Err(error) => {
                tracing::warn!(path = %entry.path().display(), %error, "an unfinished upload stays in the folder");
                Swept::default()
            }
        }
    }
}
