//! File semantics on object stores. The only module that names `object_store`.
//!
//! [`Store`] is one configured store; the operations on it stand in the file that is named after them.

mod append;
mod budget;
mod directory;
mod download;
mod error;
mod instrumented;
mod list;
mod local;
mod path;
mod rename;
mod stores;
mod transfer;
mod upload;

use std::sync::Arc;

use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

pub use budget::Budget;
pub use error::{Error, Result};
use list::Pages;
pub use list::{Entry, EntryKind, Listed, Listing};
pub use path::StorePath;
pub use rename::Existing;
pub use stores::{Stores, check};
pub use transfer::{PlannedDownload, PlannedUpload, UploadMode};

use crate::config::TransferConfig;
use crate::metrics::StoreOperation;
use crate::shutdown::Shutdown;
use instrumented::Meter;
use local::LocalFolder;
use upload::Target;

/// One configured store.
#[derive(Clone, Debug)]
pub struct Store {
    name: String,
    objects: Arc<dyn ObjectStore>,
    /// For stores that list page by page.
    pages: Option<Pages>,
    /// For a local folder: what must be asked of the file system itself.
    local: Option<LocalFolder>,
    root: StorePath,
    marker: String,
    overwrite: bool,
    transfer: TransferConfig,
    budget: Arc<Budget>,
    meter: Meter,
    shutdown: Shutdown,
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
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// The same store, of which only what is below `home` may be reached. Keys cannot lead out of it, but links in a
    /// local folder can.
    #[must_use]
    pub fn within(&self, home: &StorePath) -> Self {
        Self { local: self.local.as_ref().map(|local| local.within(home)), ..self.clone() }
    }

    /// Asks the store for one key, to see that it answers.
    pub async fn probe(&self) -> Result<()> {
        self.admit(&self.root)?;
        match &self.local {
            Some(local) => local.probe().await,
            None => self.any_key_below(&self.root, 1).await.map(drop),
        }
    }

    /// Deletes the file at `path`.
    pub async fn delete(&self, path: &StorePath) -> Result<()> {
        self.admit(path)?;
        // Deleting what is not there succeeds on S3; the client is to hear 550.
        match self.head(path).await {
            Ok(_) => self.delete_object(path).await,
            Err(Error::NotFound) if self.is_directory(path).await? => Err(Error::IsADirectory),
            Err(error) => Err(error),
        }
    }

    async fn delete_object(&self, path: &StorePath) -> Result<()> {
        let delete = self.objects.delete(path.as_path());
        Ok(self.meter.measure(StoreOperation::Delete, delete).await?)
    }

    /// The object's size, time and version.
    async fn head(&self, path: &StorePath) -> Result<ObjectMeta> {
        Ok(self.objects.head(path.as_path()).await?)
    }

    /// Refuses paths that leave the home, which only a link in a local folder can do.
    fn admit(&self, path: &StorePath) -> Result<()> {
        match &self.local {
            Some(local) => local.admit(path),
            None => Ok(()),
        }
    }

    /// Fails unless `target` holds at `path`.
    async fn require(&self, path: &StorePath, target: &Target) -> Result<()> {
        match target {
            Target::Any => Ok(()),
            Target::Absent => match self.head(path).await {
                Ok(_) => Err(Error::AlreadyExists),
                Err(Error::NotFound) => Ok(()),
                Err(error) => Err(error),
            },
            Target::Unchanged(etag) => {
                let now = self.head(path).await?;
                if now.e_tag == *etag { Ok(()) } else { Err(Error::Changed) }
            }
        }
    }

    fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn part_size(&self) -> usize {
        usize::try_from(self.transfer.part_size).expect("the configuration bounds it to 5 GiB")
    }

    fn upload_concurrency(&self) -> usize {
        self.transfer.upload_concurrency
    }

    fn download_concurrency(&self) -> usize {
        self.transfer.download_concurrency
    }
}
