//! Staged files that a process left when it died: found and removed.

use std::path::Path;
use std::time::{Duration, SystemTime};

use walkdir::{DirEntry, WalkDir};

use super::staged::is_staged;
use crate::storage::driver::contract::Swept;

/// Names that are looked at in one step.
const STEP: usize = 1000;

/// A walk through a folder. It follows no link, and holds a few directories open at a time.
pub(super) struct Sweep {
    walk: walkdir::IntoIter,
    older_than: Duration,
}

impl Sweep {
    /// Through all of `root`, for files that nobody has written to for `older_than`.
    pub(super) fn of(root: &Path, older_than: Duration) -> Self {
        Self { walk: WalkDir::new(root).into_iter(), older_than }
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

    /// Removes the file if it was staged and left.
    fn remove(&self, entry: &DirEntry) -> Swept {
        let staged = entry.file_type().is_file() && entry.file_name().to_str().is_some_and(is_staged);
        let metadata = if staged { entry.metadata().ok() } else { None };
        let Some(metadata) = metadata else { return Swept::default() };
        let age = metadata.modified().ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        if age.is_none_or(|age| age < self.older_than) {
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
