//! A file or directory as listings and facts show it.

use chrono::{DateTime, Utc};

/// A file or directory as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last segment of its path.
    pub name: String,
    /// File or directory.
    pub kind: EntryKind,
    /// When it was written. Directories of object stores have no time.
    pub modified: Option<DateTime<Utc>>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An object.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A prefix of keys.
    Directory,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }

    /// Bytes; 0 for a directory.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            EntryKind::Directory => 0,
        }
    }
}
