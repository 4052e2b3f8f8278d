//! Whether what is written survives a power failure (`fsync`).

use std::fs::File;
use std::io::Result;
use std::path::{Path, PathBuf};

use super::disk::Cost;

/// What is confirmed.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Durability {
    /// That the operating system has it.
    Written,
    /// That the disk has it: this makes sure of a file or directory.
    Flushed(fn(&File) -> Result<()>),
}

impl Durability {
    /// The disk has it.
    pub(in crate::storage) fn flushed() -> Self {
        Self::Flushed(File::sync_all)
    }

    /// Sees that a file's bytes are as durable as this says.
    pub(super) fn keep(self, file: &File) -> Result<()> {
        match self {
            Self::Written => Ok(()),
            Self::Flushed(flush) => flush(file),
        }
    }

    /// The same for a name in `directory`, for which `made` had to be made.
    pub(super) fn keep_name(self, directory: &Path, made: &[PathBuf]) -> Result<()> {
        if let Self::Flushed(flush) = self {
            let above = made.iter().filter_map(|made| made.parent());
            for directory in std::iter::once(directory).chain(above) {
                flush(&File::open(directory)?)?;
            }
        }
        Ok(())
    }

    /// What it costs: a disk takes its time, and a session's thread has none.
    pub(super) fn cost(self) -> Cost {
        match self {
            Self::Written => Cost::Small,
            Self::Flushed(_) => Cost::Large,
        }
    }
}
