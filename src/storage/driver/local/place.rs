//! Where a key really is in a local folder: no name that cannot be kept, no link that leads out of the home.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::disk::Cost;
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// The longest name that Linux's file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// A local folder, given by its canonical path, of which only what is below the home may be reached.
#[derive(Clone, Debug)]
pub(super) struct Root {
    root: PathBuf,
    /// No link leads out of it.
    home: PathBuf,
}

/// What stands at a key.
#[derive(Debug)]
pub(super) struct Place {
    /// The key's path. It may go through links, but only to what is inside.
    pub(super) path: PathBuf,
    pub(super) found: Found,
}

/// What was found there, links followed.
#[derive(Debug)]
pub(super) enum Found {
    File(Metadata),
    Directory,
    /// A pipe, a socket, a device.
    Other,
    Nothing,
    /// Nothing, and nothing can be: a part of the path is a file.
    BelowFile,
}

impl Found {
    /// What it costs to let go of it.
    pub(super) fn freeing(&self) -> Cost {
        match self {
            Self::File(metadata) => Cost::of_freeing(metadata.len()),
            Self::Directory | Self::Other | Self::Nothing | Self::BelowFile => Cost::Small,
        }
    }
}

impl Root {
    /// The folder at `root`, made if it is missing.
    pub(super) fn open(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        Ok(Self { home: root.clone(), root })
    }

    /// The same folder, of which only what is below `home` may be reached.
    pub(super) fn within(&self, home: &StorePath) -> Self {
        Self { root: self.root.clone(), home: self.root.join(home.as_str()) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Looks up `key`. Refuses names that cannot be kept and what a symbolic link leads out of the home.
    pub(super) fn look_up(&self, key: &StorePath) -> Result<Place> {
        if let Some(reason) = key.as_str().split('/').find_map(unusable) {
            return Err(Error::NameNotAllowed(reason));
        }
        let path = self.root.join(key.as_str());
        match self.find(&path).map_err(Error::local)? {
            Some(found) => Ok(Place { path, found }),
            None => Err(Error::NameNotAllowed("leads out of the home directory")),
        }
    }

    /// What stands at `path`; none if that is outside. Nearly always no part of it is a link, and then it is where it says:
    /// one look at each part below the root is all that takes.
    fn find(&self, path: &Path) -> std::io::Result<Option<Found>> {
        if !path.starts_with(&self.home) {
            return self.resolve(path);
        }
        let parts = path.strip_prefix(&self.root).map_or_else(|_| path.components(), Path::components);
        let mut at = self.root.clone();
        let mut found = Found::Directory;
        for part in parts {
            match found {
                Found::Directory => {}
                Found::File(_) | Found::Other | Found::BelowFile => return Ok(Some(Found::BelowFile)),
                Found::Nothing => return Ok(Some(Found::Nothing)),
            }
            at.push(part);
            found = match at.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => return self.resolve(path),
                Ok(metadata) => Found::of(metadata),
                Err(error) if error.kind() == ErrorKind::NotFound => Found::Nothing,
                Err(error) => return Err(error),
            };
        }
        Ok(Some(found))
    }

    /// The same where links are to be followed.
    fn resolve(&self, path: &Path) -> std::io::Result<Option<Found>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(self.contains(path)?.then_some(Found::Directory));
        };
        let parent = match parent.canonicalize() {
            Ok(parent) => parent,
            Err(error) if is_missing(&error) => return self.find_missing(path),
            Err(error) => return Err(error),
        };
        let real = parent.join(name);
        let metadata = match real.symlink_metadata() {
            Ok(metadata) if !metadata.is_symlink() => {
                return Ok(self.contains(&real)?.then(|| Found::of(metadata)));
            }
            // The target counts. A dangling link exists, though its target does not: it must not be written through.
            Ok(_) => match real.canonicalize() {
                Ok(target) if self.contains(&target)? => target.metadata()?,
                Ok(_) => return Ok(None),
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(self.contains(&parent)?.then_some(Found::Nothing));
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Ok(self.contains(&parent)?.then_some(Found::BelowFile));
            }
            Err(error) => return Err(error),
        };
        Ok(Some(Found::of(metadata)))
    }

    /// For a path whose directory is missing: it would be made below its deepest existing ancestor.
    fn find_missing(&self, path: &Path) -> std::io::Result<Option<Found>> {
        for above in path.ancestors().skip(1) {
            match above.canonicalize() {
                Ok(real) => {
                    let found = if real.is_dir() { Found::Nothing } else { Found::BelowFile };
                    return Ok(self.contains(&real)?.then_some(found));
                }
                Err(error) if is_missing(&error) => {
                    if above.is_symlink() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether `real`, in which no link is left, is inside.
    fn contains(&self, real: &Path) -> std::io::Result<bool> {
        // Then no part of the home is a link either.
        if real.starts_with(&self.home) {
            return Ok(true);
        }
        // A home that does not exist yet has no links in it, and what is above it is where it will be made.
        let (home, made) = match self.home.canonicalize() {
            Ok(home) => (home, true),
            Err(error) if error.kind() == ErrorKind::NotFound => (self.home.clone(), false),
            Err(error) => return Err(error),
        };
        Ok(home.starts_with(&self.root) && (real.starts_with(&home) || (!made && home.starts_with(real))))
    }
}

impl Place {
    /// The place of a file that is to be written.
    pub(super) fn for_writing(self) -> Result<PathBuf> {
        match self.found {
            Found::File(_) | Found::Other | Found::Nothing => Ok(self.path),
            Found::Directory => Err(Error::IsADirectory),
            Found::BelowFile => Err(Error::NameNotAllowed("a part of the path is a file, not a directory")),
        }
    }
}

impl Found {
    fn of(metadata: Metadata) -> Self {
        if metadata.is_file() {
            Self::File(metadata)
        } else if metadata.is_dir() {
            Self::Directory
        } else {
            Self::Other
        }
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Why a file or directory of this name cannot be kept, if it cannot.
pub(super) fn unusable(name: &str) -> Option<&'static str> {
    // Looked at only when it is made if a directory above it is missing: too late.
    if name.len() > LONGEST_NAME {
        return Some("longer than 255 bytes");
    }
    // Staged uploads are named so; such a file would be hidden.
    let staged = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    if name.split_once('#').is_some_and(|(_, rest)| staged(rest)) {
        return Some("the local store keeps names that end in # and digits for its own use");
    }
    // `object_store`'s own client of local folders, which other programs read them with, goes through `file:` URLs,
    // where this is a drive of Windows: it makes `note:/` of `note:`.
    match name.as_bytes() {
        [.., letter, b':' | b'|'] if letter.is_ascii_alphabetic() => {
            Some("the local store cannot hold names that end in a letter and : or |")
        }
        _ => None,
    }
}
