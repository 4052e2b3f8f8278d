//! A file being written: beside its name under a hidden one, until it is whole.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;

use super::durability::Durability;
use crate::storage::driver::contract::{Lifetime, Saved};
use crate::storage::error::{Error, Result};

/// How often directories that others remove meanwhile are made again.
const TRIES: usize = 100;

/// What the names of staged files begin with, before a number. Those that may be kept have another one, because what is
/// old of the others was left by a crash.
const SESSION: &str = ".bucketport#";
const KEPT: &str = ".bucketport-kept#";

/// Different in every process, so that those which share a folder seldom try a name that is taken.
static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random()));

/// A staged file. Dropped before it was published it goes, with the directories that were made for it.
#[derive(Debug)]
pub(super) struct Staged {
    /// None once it is closed.
    file: Mutex<Option<File>>,
    path: PathBuf,
    target: PathBuf,
    /// The directories that were made for it, the lowest first.
    made: Vec<PathBuf>,
    /// Published, or left for others.
    settled: AtomicBool,
    durability: Durability,
}

/// What a published file may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    OverAnything,
    OverNothing,
}

impl Staged {
    /// An empty file that is to become `target`. Directories above it are made as needed.
    pub(super) fn create(target: &Path, lifetime: Lifetime, durability: Durability) -> Result<Self> {
        let directory = target.parent().ok_or(Error::IsADirectory)?;
        let name = match lifetime {
            Lifetime::Session => SESSION,
            Lifetime::Kept => KEPT,
        };
        let ((file, path), made) =
            in_directory(directory, || open_new(directory, name)).map_err(Error::local)?;
        let (file, target) = (Mutex::new(Some(file)), target.to_owned());
        Ok(Self { file, path, target, made, settled: AtomicBool::new(false), durability })
    }

    /// The file that another session has left beside `target` under `name`, cut to the `size` that is known of it.
    pub(super) fn take_up(target: &Path, saved: &Saved, durability: Durability) -> Result<Self> {
        let directory = target.parent().ok_or(Error::IsADirectory)?;
        // The name comes from a record: no other file may be meant.
        let digits = saved.id.strip_prefix(KEPT).filter(|digits| digits.parse::<u32>().is_ok());
        let digits = digits.ok_or(Error::NameNotAllowed("not the name of a kept upload"))?;
        let path = directory.join(format!("{KEPT}{digits}"));
        let mut file = OpenOptions::new().write(true).open(&path).map_err(Error::local)?;
        if file.metadata().map_err(Error::local)?.len() < saved.len() {
            return Err(Error::Changed);
        }
        file.set_len(saved.len()).and_then(|()| file.seek(SeekFrom::End(0))).map_err(Error::local)?;
        Ok(Self {
            file: Mutex::new(Some(file)),
            path,
            target: target.to_owned(),
            made: directory.ancestors().take(saved.directories).map(Into::into).collect(),
            settled: AtomicBool::new(false),
            durability,
        })
    }

    /// Its own name, and how many directories were made for it.
    pub(super) fn saved(&self) -> (String, usize) {
        let name = self.path.file_name().unwrap_or_default();
        (name.to_string_lossy().into_owned(), self.made.len())
    }

    /// Lets it stay as it is, for whoever takes it up.
    pub(super) fn leave(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Adds to its end.
    pub(super) fn write(&self, pieces: &[Bytes]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut().ok_or(Error::Changed)?;
        pieces.iter().try_for_each(|piece| file.write_all(piece)).map_err(Error::local)
    }

    /// Adds all that `source` has.
    pub(super) fn fill_from(&self, source: &mut File) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut().ok_or(Error::Changed)?;
        std::io::copy(source, file).map(drop).map_err(Error::local)
    }

    /// Fails with `Changed` if it has not as many bytes as were written: another session has cut or continued it.
    pub(super) fn require_size(&self, size: u64) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file.as_ref().ok_or(Error::Changed)?.metadata().map_err(Error::local)?.len();
        if now == size { Ok(()) } else { Err(Error::Changed) }
    }

    /// Gives it its name. Nothing can be added afterwards.
    pub(super) fn publish(&self, publish: Publish) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file {
            self.durability.keep(&file).map_err(Error::local)?;
            // A network file system may say only now that it could not keep what was written.
            nix::unistd::close(file).map_err(|error| Error::local(error.into()))?;
        }
        move_to(&self.path, &self.target, publish).map_err(|error| match error.kind() {
            // Its directory was renamed or removed meanwhile: at the next try it is made.
            ErrorKind::NotFound => Error::Changed,
            _ => Error::local(error),
        })?;
        self.settled.store(true, Ordering::Release);
        let directory = self.target.parent().ok_or(Error::IsADirectory)?;
        self.durability.keep_name(directory, &self.made).map_err(Error::local)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Acquire) {
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "an unfinished upload stays in the folder");
            }
            remove_while_empty(&self.made);
        }
    }
}

/// Gives the file at `from` the name `to`.
pub(super) fn move_to(from: &Path, to: &Path, publish: Publish) -> std::io::Result<()> {
    if publish == Publish::OverAnything {
        return std::fs::rename(from, to);
    }
    // A link fails if the name is taken, in one step.
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        // A file system without links: that nothing was there a moment ago must do.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            std::fs::rename(from, to)
        }
        Err(error) => Err(error),
    }
}

/// A new file of a hidden name. The name's length has nothing to do with the target's, so that those may be as long as the
/// file system takes.
fn open_new(directory: &Path, name: &str) -> std::io::Result<(File, PathBuf)> {
    loop {
        let path = directory.join(format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Does `work`, which puts something into `directory`, and tells what directories had to be made for it, the lowest
/// first. If it fails they are gone again.
pub(super) fn in_directory<T>(
    directory: &Path,
    mut work: impl FnMut() -> std::io::Result<T>,
) -> std::io::Result<(T, Vec<PathBuf>)> {
    let mut made = Vec::new();
    let mut failure = std::io::Error::from(ErrorKind::NotFound);
    // Another session may remove what is made, for it is empty until the work is done, or make what is missing: then once
    // more.
    for _ in 0..TRIES {
        match work() {
            Ok(done) => return Ok((done, made)),
            Err(error) => failure = error,
        }
        if failure.kind() == ErrorKind::NotFound {
            let missing = missing(directory);
            if missing.len() > made.len() {
                made = missing;
            }
            match std::fs::create_dir_all(directory) {
                // It tells of a directory that went between two of its steps that something is in its place.
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
                    failure = error;
                }
                Ok(()) | Err(_) => {}
            }
        }
        if failure.kind() != ErrorKind::NotFound {
            break;
        }
    }
    remove_while_empty(&made);
    Err(failure)
}

/// Which of `directory` and those above it are missing, the lowest first.
fn missing(directory: &Path) -> Vec<PathBuf> {
    directory.ancestors().take_while(|above| !above.exists()).map(Into::into).collect()
}

/// Removes `directories` in this order until one is not empty.
pub(super) fn remove_while_empty<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) {
    let _not_empty = directories.into_iter().try_for_each(std::fs::remove_dir);
}

/// For how long a file of this name was staged, by this or another process; none if it was not.
pub(super) fn lifetime_of(name: &str) -> Option<Lifetime> {
    let begins_with = |prefix: &str| {
        let digits = name.strip_prefix(prefix).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    [(SESSION, Lifetime::Session), (KEPT, Lifetime::Kept)]
        .into_iter()
        .find_map(|(prefix, lifetime)| begins_with(prefix).then_some(lifetime))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// What was flushed, and whether the file had its name then.
        static FLUSHED: RefCell<Vec<(PathBuf, bool)>> = const { RefCell::new(Vec::new()) };
    }

    fn record(file: &File) -> std::io::Result<()> {
        use std::os::fd::AsRawFd;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let folder = path.ancestors().find(|above| above.join("root").exists()).expect("below the folder");
        let published = folder.join("a/b/file").exists();
        FLUSHED.with_borrow_mut(|flushed| flushed.push((path, published)));
        Ok(())
    }

    #[test]
    fn a_durable_file_is_flushed_before_it_has_its_name_and_its_directories_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("just made");
        std::fs::write(root.join("root"), "").expect("writable");
        let target = root.join("a/b/file");
        for (publish, made) in [(Publish::OverNothing, true), (Publish::OverAnything, false)] {
            let staged =
                Staged::create(&target, Lifetime::Session, Durability::Flushed(record)).expect("writable");
            staged.write(&[Bytes::from_static(b"x")]).expect("writable");
            assert_eq!(FLUSHED.take(), []);
            staged.publish(publish).expect("nothing is there");
            // The old file has the name until the new one gets it.
            let mut expected = vec![(staged.path.clone(), !made), (root.join("a/b"), true)];
            if made {
                expected.extend([(root.join("a"), true), (root.clone(), true)]);
            }
            assert_eq!(FLUSHED.take(), expected);
        }
        let staged = Staged::create(&target, Lifetime::Session, Durability::Written).expect("writable");
        staged.publish(Publish::OverAnything).expect("writable");
        assert_eq!(FLUSHED.take(), []);
    }

    #[test]
    fn only_names_of_ours_are_staged() {
        for name in [".bucketport#1", ".bucketport#4294967295"] {
            assert_eq!(lifetime_of(name), Some(Lifetime::Session), "{name}");
        }
        assert_eq!(lifetime_of(".bucketport-kept#1"), Some(Lifetime::Kept));
        for name in [".bucketport#", ".bucketport", ".bucketport#1x", "x.bucketport#1", "file#7"] {
            assert_eq!(lifetime_of(name), None, "{name}");
        }
    }
}
