//! Why a user cannot have what they ask for, wherever it was found out.

use crate::config::Permission;
use crate::data::DataError;
use crate::events::Unannounced;
use crate::storage;

/// Why a user cannot have what they ask for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user lacks the permission there.
    #[error("permission denied")]
    Denied(Permission),
    /// The root cannot be written, renamed or removed.
    #[error("not possible with the root directory")]
    Root,
    /// Nor can a mount, or what is above one.
    #[error("not possible with a mounted folder")]
    Mounted,
    /// There are only mounts, and no store to write to.
    #[error("outside of every mounted folder")]
    OutsideOfMounts,
    /// Both names of a rename must be in the same.
    #[error("renames do not cross mounted folders")]
    AcrossMounts,
    /// What is below a directory would come under other rules.
    #[error("other rules hold at the new name")]
    AcrossRules,
    /// The name is one of the gateway's own.
    #[error("name is reserved")]
    Reserved,
    /// The user's rules for names refuse it.
    #[error("file name not allowed: {0}")]
    Name(String),
    /// Somebody has to be told of it, and cannot be.
    #[error(transparent)]
    Unannounced(#[from] Unannounced),
    /// A fault of ours, such as a panic or a command that reached control other than the edge sent it.
    #[error("internal error: {0}")]
    Internal(String),
    /// The store says no.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        storage::Error::from(error).into()
    }
}

/// The result of an operation on a user's files.
pub type Result<T> = std::result::Result<T, Error>;
