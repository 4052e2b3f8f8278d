//! Renaming a file: a copy, then a delete, and never a loss in between.

use object_store::ObjectStoreExt;

use super::Store;
use super::error::{Error, Result};
use super::path::StorePath;

/// S3 copies up to 5 GiB in one request, and `object_store` has no other copy.
const LARGEST_COPY: u64 = 5 * 1024 * 1024 * 1024;

/// What to do when a file stands at the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replace it.
    Replace,
    /// Fail.
    Refuse,
}

impl Store {
    /// Gives the file at `from` the name `to`.
    pub async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<()> {
        self.admit(from)?;
        self.admit(to)?;
        let source = match self.head(from).await {
            Ok(meta) => meta,
            Err(Error::NotFound) if self.is_directory(from).await? => {
                return Err(Error::NotSupported("directories cannot be renamed"));
            }
            Err(error) => return Err(error),
        };
        // A copy onto itself followed by a delete would lose the file.
        if from == to {
            return Ok(());
        }
        if self.is_directory(to).await? {
            return Err(Error::AlreadyExists);
        }
        if existing == Existing::Refuse && self.exists(to).await? {
            return Err(Error::AlreadyExists);
        }
        if let Some(local) = &self.local {
            local.admit_file(to)?;
            self.objects().rename(from.as_path(), to.as_path()).await?;
            return local.prune_above(from).await;
        }
        if source.size > LARGEST_COPY {
            return Err(Error::TooLarge("more than 5 GiB cannot be renamed"));
        }
        self.objects().copy(from.as_path(), to.as_path()).await?;
        // Whoever wrote to the old name meanwhile keeps what they wrote: only the version that was copied goes.
        if self.head(from).await?.e_tag != source.e_tag {
            return Err(Error::Changed);
        }
        self.delete_object(from).await
    }

    /// Whether a file stands at `path`.
    pub async fn exists(&self, path: &StorePath) -> Result<bool> {
        match self.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
