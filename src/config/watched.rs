//! Whether files have changed, told by their metadata: a look costs one question to the file system for each.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files and folders that users were read from, and how those were then. They are watched whether or not they could be
/// read, so that whoever mends one is noticed. Two are equal if nothing has changed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    paths: Arc<Vec<PathBuf>>,
    /// A sum, because a folder names its files in any order.
    facts: u64,
}

impl Watched {
    /// Adds one that is about to be read, so that what changes from here on will be seen.
    pub(super) fn add(&mut self, path: &Path) {
        self.facts = self.facts.wrapping_add(of_path(path));
        Arc::make_mut(&mut self.paths).push(path.to_owned());
    }

    pub(super) fn append(&mut self, other: Self) {
        self.facts = self.facts.wrapping_add(other.facts);
        Arc::make_mut(&mut self.paths).extend(Arc::unwrap_or_clone(other.paths));
    }

    /// The same as they are now (blocking).
    #[must_use]
    pub fn again(&self) -> Self {
        let facts = self.paths.iter().map(|path| of_path(path)).fold(0, u64::wrapping_add);
        Self { paths: Arc::clone(&self.paths), facts }
    }
}

/// Of no user: Kubernetes keeps what it mounts below such names, and editors their own files.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

fn of_path(path: &Path) -> u64 {
    let metadata = fs::metadata(path).ok();
    let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
    let own = of_facts(path, metadata.as_ref());
    if !is_folder {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| !is_hidden(&entry.file_name()));
    // Through links: Kubernetes replaces what a link leads to.
    let facts = entries.map(|entry| of_facts(&entry.path(), fs::metadata(entry.path()).ok().as_ref()));
    facts.fold(own, u64::wrapping_add)
}

/// A file that is written has another time of change, and one that is put in its place is another file.
fn of_facts(path: &Path, metadata: Option<&Metadata>) -> u64 {
    let facts = metadata.map(|it| {
        let times = (it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec());
        (it.dev(), it.ino(), it.len(), times)
    });
    let mut hasher = DefaultHasher::new();
    (path, facts).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn watching(paths: &[&Path]) -> Watched {
        let mut watched = Watched::default();
        for path in paths {
            watched.add(path);
        }
        watched
    }

    #[test]
    fn every_way_to_change_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let users = folder.path().join("users");
        let (file, more) = (users.join("a"), folder.path().join("more"));
        fs::create_dir(&users).expect("a writable folder");
        let mut last = watching(&[&users, &more]);
        let mut is_new = |what: &str, expected: bool| {
            let now = last.again();
            assert_eq!(now != last, expected, "{what}");
            last = now;
        };
        let write = |path: &Path, text: &str| fs::write(path, text).expect("a writable folder");
        is_new("nothing", false);
        write(&file, "1");
        is_new("a file", true);
        is_new("nothing", false);
        write(&file, "22");
        is_new("its length", true);
        let times = fs::File::options().write(true).open(&file).expect("the file");
        times.set_modified(SystemTime::now() - Duration::from_hours(1)).expect("our own file");
        is_new("its time", true);
        write(&users.join("..hidden"), "x");
        // The folder's own time has changed.
        is_new("the folder", true);
        write(&users.join("..hidden"), "longer");
        is_new("a hidden file", false);
        fs::rename(&file, users.join("b")).expect("a writable folder");
        is_new("its name", true);
        write(&more, "x");
        is_new("a file that was not there", true);
        write(&folder.path().join("other"), "x");
        fs::rename(folder.path().join("other"), &more).expect("a writable folder");
        is_new("another file of the same length", true);
    }

    /// As a `ConfigMap` or a Secret is mounted.
    #[test]
    fn a_link_that_leads_elsewhere_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "x"), ("..2", "y")] {
            fs::create_dir(at(version)).expect("a writable folder");
            fs::write(at(version).join("acme.toml"), text).expect("a writable folder");
        }
        symlink("..1", at("..data")).expect("a writable folder");
        symlink("..data/acme.toml", at("acme.toml")).expect("a writable folder");
        for watched in [folder.path().to_owned(), at("acme.toml")] {
            let swap = |version: &str| {
                symlink(version, at("..next")).expect("a writable folder");
                fs::rename(at("..next"), at("..data")).expect("a writable folder");
            };
            swap("..1");
            let before = watching(&[&watched]);
            swap("..2");
            assert_ne!(before.again(), before, "{watched:?}");
        }
    }
}
