//! One configured store.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::budget::Budget;
use super::driver::{Condition, Dated, Driver, Meta};
use super::error::{Error, Result};
use super::path::StorePath;
use crate::shutdown::Shutdown;

/// The hidden folder at the root of a store that holds the gateway's own records.
pub(super) const HIDDEN: &str = ".bucketport";

/// One configured store.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) name: String,
    pub(super) driver: Arc<dyn Driver>,
    /// The same without the bounds of a home, for the gateway's own records.
    pub(super) whole: Arc<dyn Driver>,
    pub(super) root: StorePath,
    /// What the user sees as `/`; it exists whatever is in it.
    pub(super) home: StorePath,
    pub(super) marker: String,
    pub(super) overwrite: bool,
    /// Whether what could not be in a file system is refused.
    pub(super) check_parents: bool,
    /// Instead of the driver's own limit.
    pub(super) largest_copy: Option<u64>,
    /// How long what arrived of a broken upload is kept; zero keeps nothing.
    pub(super) resume_window: Duration,
    /// Whose uploads these are. Nothing is kept of an upload that is nobody's.
    pub(super) owner: Option<Arc<str>>,
    /// Where they come from, for the objects to say.
    pub(super) address: Option<IpAddr>,
    pub(super) budget: Arc<Budget>,
    pub(super) shutdown: Shutdown,
}

impl Store {
    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The prefix that the store's URL names.
    pub fn root(&self) -> &StorePath {
        &self.root
    }

    /// Whether an upload may replace a file (`overwrite` in the configuration).
    pub fn allows_overwrite(&self) -> bool {
        self.overwrite
    }

    /// The name of the hidden object that keeps an empty directory.
    pub(super) fn marker(&self) -> &str {
        &self.marker
    }

    /// Whether a file or directory of this name is the gateway's own, which users neither see nor make.
    pub fn reserves(&self, name: &str) -> bool {
        name == self.marker || name == HIDDEN
    }

    /// The same store, of which only what is below `home` may be reached. Keys cannot lead out of it, but links in a
    /// local folder can.
    #[must_use]
    pub fn within(&self, home: &StorePath) -> Self {
        Self { driver: self.driver.within(home), home: home.clone(), ..self.clone() }
    }

    /// The same store, as if its server copied files of up to so many bytes only.
    #[must_use]
    pub fn copying_at_most(&self, bytes: u64) -> Self {
        Self { largest_copy: Some(bytes), ..self.clone() }
    }

    /// The same store, as `owner` uses it: what is kept of broken uploads is theirs alone.
    #[must_use]
    pub fn owned_by(&self, owner: &str) -> Self {
        Self { owner: Some(owner.into()), ..self.clone() }
    }

    /// The same store, for whom nothing is kept of broken uploads.
    #[must_use]
    pub fn keeping_nothing(&self) -> Self {
        Self { resume_window: Duration::ZERO, ..self.clone() }
    }

    /// The same store, used from `address`: uploaded objects say so where the store keeps metadata.
    #[must_use]
    pub fn used_from(&self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self.clone() }
    }

    /// Sees that the store answers.
    pub async fn probe(&self) -> Result<()> {
        self.driver.probe(&self.root).await
    }

    /// Deletes the file at `path`.
    pub async fn delete(&self, path: &StorePath) -> Result<()> {
        // Semantics decision: who deletes a name gives up what was kept of their upload to it as well.
        let given_up = match Box::pin(self.give_up(path)).await {
            // A session that is at it makes its own file; the one that is complete goes.
            Err(Error::Busy) => None,
            given_up => Some(given_up?),
        };
        // Deleting what is not there succeeds on S3; the client is to hear 550.
        match self.driver.head(path).await {
            Ok(_) => self.take_away(path).await,
            Err(Error::NotFound) if given_up == Some(true) => Ok(()),
            Err(Error::NotFound) if given_up.is_none() => Err(Error::Busy),
            Err(Error::NotFound) if self.is_directory(path).await? => Err(Error::IsADirectory),
            Err(error) => Err(error),
        }
    }

    /// Deletes what stands at `path` and keeps its directory.
    pub(super) async fn take_away(&self, path: &StorePath) -> Result<()> {
        self.delete_surely(path).await?;
        self.keep_directory_of(path).await;
        Ok(())
    }

    /// Deletes what stands at `path`. An error does not say that it is still there: that is asked, and if so it is tried
    /// once more.
    pub(super) async fn delete_surely(&self, path: &StorePath) -> Result<()> {
        match self.driver.delete(path).await {
            // It was there just now: what is not found is what a request whose answer was lost has deleted. Google says so.
            Err(Error::NotFound) => Ok(()),
            Err(Error::Store(error)) => match self.driver.head(path).await {
                Err(Error::NotFound) => Ok(()),
                Ok(_) => self.driver.delete(path).await,
                Err(_) => Err(Error::Store(error)),
            },
            deleted => deleted,
        }
    }

    /// Gives the file at `path` this time, if its store keeps times that are not its own.
    pub async fn set_modified(&self, path: &StorePath, time: DateTime<Utc>) -> Result<Dated> {
        match self.driver.set_modified(path, time).await {
            Err(Error::NotFound) if self.is_directory(path).await? => Err(Error::IsADirectory),
            set => set,
        }
    }

    /// Whether a file stands at `path`.
    pub async fn exists(&self, path: &StorePath) -> Result<bool> {
        Ok(self.found(path).await?.is_some())
    }

    /// The file at `path`, if there is one.
    pub(super) async fn found(&self, path: &StorePath) -> Result<Option<Meta>> {
        match self.driver.head(path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether `path` is a directory.
    pub async fn is_directory(&self, path: &StorePath) -> Result<bool> {
        Ok(path.is_root() || self.driver.directory(path).await?.is_some())
    }

    /// Semantics decision: a directory does not vanish under a client that takes the last file out of it. Only RMD
    /// removes one, whoever made it and whatever the store thinks of empty directories.
    ///
    /// Whoever stops waiting does not stop it: what was in the directory is gone already.
    pub(super) async fn keep_directory_of(&self, path: &StorePath) {
        let directory = path.parent();
        if directory.is_root() || directory == self.home || self.driver.keeps_directories() {
            return;
        }
        let store = self.clone();
        let keeping = self.shutdown.spawn(async move {
            // What the client asked for is done, and cannot be taken back.
            if let Err(error) = store.mark_if_empty(&directory).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%directory, error, "an empty directory is not kept");
            }
        });
        // A panic in it is a matter of the log.
        let _ = keeping.await;
    }

    async fn mark_if_empty(&self, directory: &StorePath) -> Result<()> {
        if self.driver.keys_below(directory, 1).await?.is_empty() {
            self.put_marker(directory).await?;
        }
        Ok(())
    }

    /// Makes the hidden object that keeps `directory`.
    pub(super) async fn put_marker(&self, directory: &StorePath) -> Result<()> {
        let marker = self.driver.destination(&directory.join(self.marker())?).await?;
        marker.put(Vec::new(), &Condition::Any).await.map(drop)
    }

    /// Fails unless `condition` holds at `path`.
    pub(super) async fn require(&self, path: &StorePath, condition: &Condition) -> Result<()> {
        match condition {
            Condition::Absent if self.exists(path).await? => Err(Error::AlreadyExists),
            Condition::Any | Condition::Absent => Ok(()),
            Condition::Unchanged(seen) => match self.driver.head(path).await {
                Ok(now) if now.may_equal(seen) => Ok(()),
                Ok(_) | Err(Error::NotFound) => Err(Error::Changed),
                Err(error) => Err(error),
            },
        }
    }
}
