//! The operations on a local folder.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::disk::{Cost, Disk};
use super::durability::Durability;
use super::pages::{FolderPages, first_page};
use super::place::{Found, Place, Root};
use super::reading::FileBody;
use super::staged::{Publish, Staged, in_directory, move_to};
use super::sweep::Sweep;
use super::upload::{FolderDestination, FolderUpload};
use crate::storage::budget::Budget;
use crate::storage::driver::contract::{
    Dated, Destination, Directory, Driver, Existing, Get, Got, Keys, LeftOver, Lifetime, Meta, OpenUpload,
    Pages, Ranges, Renamed, Saved, Swept, Version,
};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// A local folder.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Folder {
    root: Arc<Root>,
    durability: Durability,
    disk: Arc<Disk>,
    budget: Arc<Budget>,
}

impl Folder {
    /// The folder at `root`, made if it is missing.
    pub(in crate::storage) fn open(
        root: &Path,
        durability: Durability,
        budget: &Arc<Budget>,
    ) -> std::io::Result<Self> {
        let root = Root::open(root)?;
        let disk = Arc::new(Disk::of(root.root()));
        Ok(Self { root: Arc::new(root), durability, disk, budget: Arc::clone(budget) })
    }

    /// Sees that a rename is durable: the name that is gone, and the one in `directory`, for which `made` were made.
    fn keep_names(&self, gone: &Path, directory: &Path, made: &[PathBuf]) -> Result<Renamed> {
        self.durability.keep_name(directory, made).map_err(Error::local)?;
        if let Some(old) = gone.parent().filter(|old| *old != directory) {
            self.durability.keep_name(old, &[]).map_err(Error::local)?;
        }
        Ok(Renamed::Done)
    }

    /// Asks `question` of what stands at `path`.
    async fn at<T: Send + 'static>(
        &self,
        cost: Cost,
        path: &StorePath,
        question: impl FnOnce(&Self, Place) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (folder, path) = (self.clone(), path.clone());
        self.disk
            .run(cost, move || {
                let place = folder.root.look_up(&path)?;
                question(&folder, place)
            })
            .await
    }
}

#[async_trait]
impl Driver for Folder {
    fn within(&self, home: &StorePath) -> Arc<dyn Driver> {
        Arc::new(Self { root: Arc::new(self.root.within(home)), ..self.clone() })
    }

    fn ranges(&self) -> Option<Ranges> {
        None
    }

    async fn probe(&self, _root: &StorePath) -> Result<()> {
        let root = self.root.root().to_owned();
        self.disk.probe(move || std::fs::read_dir(root).map(drop).map_err(Error::local)).await
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        self.at(Cost::Small, path, |_, place| match place.found {
            Found::File(metadata) => Ok(describe(&metadata)),
            Found::Directory | Found::Other | Found::Nothing | Found::BelowFile => Err(Error::NotFound),
        })
        .await
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        self.at(Cost::Small, path, move |folder, place| {
            // Opening a pipe would wait for somebody who writes to it.
            if !matches!(place.found, Found::File(_)) {
                return Err(Error::NotFound);
            }
            let file = File::open(&place.path).map_err(Error::local)?;
            let metadata = file.metadata().map_err(Error::local)?;
            let meta = describe(&metadata);
            if get.version.is_some() && meta.version != get.version {
                return Err(Error::Changed);
            }
            let range = get.from.min(meta.size)..get.to.unwrap_or(meta.size).min(meta.size);
            let span = (range.start, range.end.saturating_sub(range.start));
            let body = FileBody::open(file, span, get.memory, &folder.budget)?;
            Ok(Got { meta, range, body: Box::new(body) })
        })
        .await
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        let (path, freeing) = self
            .at(Cost::Small, path, |_, place| {
                let freeing = place.found.freeing();
                Ok((place.for_writing()?, freeing))
            })
            .await?;
        Ok(Box::new(FolderDestination {
            path,
            freeing,
            durability: self.durability,
            disk: Arc::clone(&self.disk),
        }))
    }

    async fn reopen(&self, path: &StorePath, saved: &Saved) -> Result<Box<dyn OpenUpload>> {
        let (written, saved) = (saved.len(), saved.clone());
        let take_up = move |folder: &Self, place: Place| {
            Staged::take_up(&place.for_writing()?, &saved, folder.durability)
        };
        let staged = self.at(Cost::Small, path, take_up).await?;
        Ok(Box::new(FolderUpload::of(staged, Lifetime::Kept, written, &self.disk)))
    }

    async fn discard(&self, path: &StorePath, saved: &Saved) -> Result<()> {
        // Nothing of it is to stay, so none of it need be there.
        let saved = Saved { parts: Vec::new(), ..saved.clone() };
        let drop_it =
            move |_: &Self, place: Place| match Staged::take_up(&place.path, &saved, Durability::Written) {
                Err(Error::NotFound) => Ok(()),
                taken => taken.map(drop),
            };
        self.at(Cost::Large, path, drop_it).await
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let remove = |_: &Self, place: Place| std::fs::remove_file(&place.path).map_err(Error::local);
        let small = self.at(Cost::Small, path, move |folder, place| match place.found.freeing() {
            Cost::Small => remove(folder, place).map(Some),
            Cost::Large => Ok(None),
        });
        match small.await? {
            Some(()) => Ok(()),
            None => self.at(Cost::Large, path, remove).await,
        }
    }

    fn largest_copy(&self) -> Option<u64> {
        None
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, _source: &Meta, existing: Existing) -> Result<()> {
        let to = to.clone();
        let publish = over(existing);
        self.at(Cost::Large, from, move |folder, place| {
            let to = folder.root.look_up(&to)?.for_writing()?;
            let mut from = File::open(&place.path).map_err(Error::local)?;
            let staged = Staged::create(&to, Lifetime::Session, folder.durability)?;
            staged.fill_from(&mut from)?;
            staged.publish(publish)
        })
        .await
    }

    async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<Renamed> {
        let to = to.clone();
        let freeing = self.at(Cost::Small, &to, |_, place| Ok(place.found.freeing())).await?;
        self.at(freeing.max(self.durability.cost()), from, move |folder, place| {
            let to = folder.root.look_up(&to)?.for_writing()?;
            let publish = over(existing);
            let directory = to.parent().ok_or(Error::IsADirectory)?;
            match in_directory(directory, || move_to(&place.path, &to, publish)) {
                Ok(((), made)) => folder.keep_names(&place.path, directory, &made),
                // Another file system is mounted, or linked to, below the folder.
                Err(error) if error.kind() == ErrorKind::CrossesDevices => Ok(Renamed::NeedsCopy),
                Err(error) => Err(Error::local(error)),
            }
        })
        .await
    }

    async fn rename_directory(&self, from: &StorePath, to: &StorePath) -> Result<Renamed> {
        let to = to.clone();
        self.at(self.durability.cost(), from, move |folder, place| {
            let to = folder.root.look_up(&to)?;
            match (&place.found, &to.found) {
                (Found::Directory, Found::Nothing | Found::BelowFile) => {}
                (Found::Directory, _) => return Err(Error::AlreadyExists),
                _ => return Err(Error::NotFound),
            }
            let to = to.for_writing()?;
            let directory = to.parent().ok_or(Error::IsADirectory)?;
            match in_directory(directory, || std::fs::rename(&place.path, &to)) {
                Ok(((), made)) => folder.keep_names(&place.path, directory, &made),
                Err(error) => Err(match error.kind() {
                    ErrorKind::CrossesDevices => {
                        Error::NotSupported("a directory cannot be moved to another file system")
                    }
                    // A link leads back into it.
                    ErrorKind::InvalidInput => Error::into_itself(),
                    // Somebody was quicker.
                    ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory => Error::AlreadyExists,
                    _ => Error::local(error),
                }),
            }
        })
        .await
    }

    async fn set_modified(&self, path: &StorePath, time: DateTime<Utc>) -> Result<Dated> {
        self.at(Cost::Small, path, move |_, place| match place.found {
            Found::File(_) => {
                let file = File::open(&place.path).map_err(Error::local)?;
                file.set_modified(time.into()).map_err(Error::local)?;
                Ok(Dated::Done)
            }
            Found::Directory | Found::Other | Found::Nothing | Found::BelowFile => Err(Error::NotFound),
        })
        .await
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        let page = self
            .at(Cost::Large, path, |_, place| match first_page(&place.path) {
                Ok(page) => Ok(Some(page)),
                Err(Error::NotFound) => Ok(None),
                Err(error) => Err(error),
            })
            .await?;
        Ok(page.map(|page| Box::new(FolderPages::new(&self.disk, page)) as Box<dyn Pages>))
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        let prefix = path.as_prefix();
        self.at(Cost::Small, path, move |_, place| {
            let entries = match std::fs::read_dir(&place.path) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(Error::local(error)),
            };
            let key = |entry: std::io::Result<std::fs::DirEntry>| {
                Ok(format!("{prefix}{}", entry.map_err(Error::local)?.file_name().to_string_lossy()))
            };
            entries.take(limit).map(key).collect()
        })
        .await
    }

    async fn keys(&self, _path: &StorePath) -> Result<Box<dyn Keys>> {
        Err(Error::NotSupported("a local folder renames directories in one step"))
    }

    async fn directory(&self, path: &StorePath) -> Result<Option<Directory>> {
        // It may be empty without a marker: another program made it.
        self.at(Cost::Small, path, |_, place| match place.found {
            Found::Directory => {
                let modified = std::fs::metadata(&place.path).and_then(|metadata| metadata.modified());
                Ok(Some(Directory { modified: modified.ok().map(Into::into) }))
            }
            Found::File(_) | Found::Other | Found::Nothing | Found::BelowFile => Ok(None),
        })
        .await
    }

    fn keeps_directories(&self) -> bool {
        true
    }

    async fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.at(Cost::Small, path, |_, place| match std::fs::remove_dir(&place.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Err(Error::NotEmpty),
            Err(error) => Err(Error::local(error)),
        })
        .await
    }

    async fn sweep(&self, left_over: LeftOver) -> Result<Swept> {
        let mut sweep = Some(Sweep::of(self.root.root(), left_over));
        let mut swept = Swept::default();
        // A step at a time, so that it stops when nobody waits for it any more.
        while let Some(mut next) = sweep.take() {
            let step = move || Ok((next.step(), next));
            let (removed, rest) = self.disk.run(Cost::Large, step).await?;
            match removed {
                Some(removed) => (swept, sweep) = (swept + removed, Some(rest)),
                None => break,
            }
        }
        Ok(swept)
    }
}

/// What a file may take the place of.
fn over(existing: Existing) -> Publish {
    match existing {
        Existing::Replace => Publish::OverAnything,
        Existing::Refuse => Publish::OverNothing,
    }
}

/// A file's facts. It is another version when it is another file or was written to.
fn describe(metadata: &Metadata) -> Meta {
    let version = format!(
        "{:x}-{:x}-{:x}-{:x}",
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.len()
    );
    let modified = metadata.modified().ok().map(Into::into);
    let version = Some(Version(version));
    Meta { size: metadata.len(), modified, version, mark: None, checksum: None }
}
