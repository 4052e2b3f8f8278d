//! What must be asked of the file system itself when the store is a local folder: where links lead, which
//! directories are empty, and listings page by page.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::list::{Entry, EntryKind, PAGE};
use super::path::StorePath;

/// A local folder, given by its canonical path.
#[derive(Clone, Debug)]
pub(super) struct LocalFolder {
    root: PathBuf,
    /// No link leads out of it.
    home: PathBuf,
}

impl LocalFolder {
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

    /// Fails when the folder is gone.
    pub(super) async fn probe(&self) -> Result<()> {
        let root = self.root.clone();
        blocking(move || std::fs::read_dir(root).map(drop)).await
    }

    /// Refuses a path that a symbolic link leads out of the home, and names the file system cannot hold.
    pub(super) fn admit(&self, path: &StorePath) -> Result<()> {
        self.examine(path, |_| ())
    }

    /// What `question` says of `path`, if that is inside.
    fn examine<T>(&self, path: &StorePath, question: fn(&Path) -> T) -> Result<T> {
        if let Some(reason) = path.as_str().split('/').find_map(unusable) {
            return Err(Error::NameNotAllowed(reason));
        }
        let (root, home, full) = (self.root.clone(), self.home.clone(), self.root.join(path.as_str()));
        // Looking up a name takes microseconds on a local disk, less than a blocking thread takes to wake up, and this is
        // on the way of every small upload. Only names are looked up here; files are read and written elsewhere.
        let look_up = || {
            // A home that does not exist yet has no links in it, and what is above it is where it will be made.
            let (home, made) = match home.canonicalize() {
                Ok(real) => (real, true),
                Err(error) if error.kind() == ErrorKind::NotFound => (home, false),
                Err(error) => return Err(error),
            };
            let reachable = |real: &Path| {
                home.starts_with(&root) && (real.starts_with(&home) || (!made && home.starts_with(real)))
            };
            // What does not exist yet will be made below its deepest existing ancestor.
            let mut existing = full.as_path();
            loop {
                match existing.canonicalize() {
                    Ok(real) => return Ok(reachable(&real).then(|| question(&full))),
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                        // A dangling link exists, though its target does not: it must not be written through.
                        if existing.is_symlink() {
                            return Ok(None);
                        }
                        match existing.parent() {
                            Some(parent) => existing = parent,
                            None => return Ok(None),
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        look_up().map_err(local_error)?.ok_or(Error::NameNotAllowed("leads out of the home directory"))
    }

    /// Like `admit`, for a path that is to become a file.
    pub(super) fn admit_file(&self, path: &StorePath) -> Result<()> {
        self.examine(path, |full| {
            if full.is_dir() {
                return Err(Error::IsADirectory);
            }
            match full.ancestors().skip(1).find(|above| above.exists()) {
                Some(above) if !above.is_dir() => {
                    Err(Error::NameNotAllowed("a part of the path is a file, not a directory"))
                }
                Some(_) | None => Ok(()),
            }
        })?
    }

    /// The directories that have to be made for a file at `path`, the lowest first.
    pub(super) async fn missing_above(&self, path: &StorePath) -> Result<Vec<PathBuf>> {
        let full = self.root.join(path.as_str());
        blocking(move || {
            Ok(full.ancestors().skip(1).take_while(|above| !above.exists()).map(Into::into).collect())
        })
        .await
    }

    /// Removes the directories above `path` that are empty now, as deleting a file does.
    pub(super) async fn prune_above(&self, path: &StorePath) -> Result<()> {
        let full = self.root.join(path.as_str());
        let above =
            full.ancestors().skip(1).take_while(|above| **above != self.root).map(Into::into).collect();
        remove_while_empty(above).await
    }

    /// Whether `path` is a directory; the file system has empty ones, other stores do not.
    pub(super) async fn is_directory(&self, path: &StorePath) -> Result<bool> {
        let full = self.root.join(path.as_str());
        blocking(move || Ok(full.is_dir())).await
    }

    /// Removes the empty directory that a deleted marker has left.
    pub(super) async fn remove_empty(&self, path: &StorePath) -> Result<()> {
        let full = self.root.join(path.as_str());
        blocking(move || match std::fs::remove_dir(full) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
        .map_err(|error| if matches!(error, Error::IsADirectory) { Error::NotEmpty } else { error })
    }

    /// A listing of `path`; none if it is not a directory.
    pub(super) async fn read(&self, path: &StorePath) -> Result<Option<FolderPages>> {
        let full = self.root.join(path.as_str());
        blocking(move || match std::fs::read_dir(full) {
            Ok(entries) => Ok(Some(FolderPages { entries: Some(entries) })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }
}

/// A directory being read.
#[derive(Debug)]
pub(super) struct FolderPages {
    entries: Option<std::fs::ReadDir>,
}

impl FolderPages {
    /// The next entries; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let Some(mut entries) = self.entries.take() else { return Ok(None) };
        let (page, rest) = blocking(move || {
            let mut page = Vec::with_capacity(PAGE);
            while page.len() < PAGE {
                match entries.next() {
                    None => return Ok((page, None)),
                    Some(entry) => page.extend(describe(&entry?)),
                }
            }
            Ok((page, Some(entries)))
        })
        .await?;
        self.entries = rest;
        Ok(Some(page))
    }
}

/// None for what no client could name: staged uploads, foreign encodings, things that are no file or directory.
fn describe(entry: &std::fs::DirEntry) -> Option<Entry> {
    let name = entry.file_name().into_string().ok()?;
    StorePath::root().join(&name).ok()?;
    if unusable(&name).is_some() {
        return None;
    }
    // Follows links; a file that vanished since, and a dangling link, are skipped.
    let metadata = std::fs::metadata(entry.path()).ok()?;
    let kind = if metadata.is_dir() {
        EntryKind::Directory
    } else if metadata.is_file() {
        EntryKind::File { size: metadata.len() }
    } else {
        return None;
    };
    Some(Entry { name, kind, modified: metadata.modified().ok().map(Into::into) })
}

/// Removes `directories` in this order until one is not empty.
pub(super) async fn remove_while_empty(directories: Vec<PathBuf>) -> Result<()> {
    blocking(move || {
        let _not_empty = directories.iter().try_for_each(std::fs::remove_dir);
        Ok(())
    })
    .await
}

/// Why `object_store` cannot keep a file or directory of this name, if it cannot.
fn unusable(name: &str) -> Option<&'static str> {
    // Its staged uploads are named so; it would hide the file.
    let staged = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    if name.split_once('#').is_some_and(|(_, rest)| staged(rest)) {
        return Some("the local store keeps names that end in # and digits for its own use");
    }
    // It goes through `file:` URLs, where this is a drive of Windows and gets a slash: `note:` becomes `note:/`.
    match name.as_bytes() {
        [.., letter, b':' | b'|'] if letter.is_ascii_alphabetic() => {
            Some("the local store cannot hold names that end in a letter and : or |")
        }
        _ => None,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(local_error),
        Err(source) => Err(Error::Store(object_store::Error::JoinError { source })),
    }
}

fn local_error(source: std::io::Error) -> Error {
    object_store::Error::Generic { store: "local", source: Box::new(source) }.into()
}
