//! What can go wrong with a file in a store, in terms a caller can act on.

use std::io::{self, ErrorKind};

use tokio::task::JoinError;

use crate::data::DataError;

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file or directory.
    #[error("no such file or directory")]
    NotFound,
    /// A file was needed.
    #[error("is a directory")]
    IsADirectory,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// Something of that name is there already.
    #[error("already exists")]
    AlreadyExists,
    /// The directory holds something.
    #[error("directory not empty")]
    NotEmpty,
    /// The store cannot hold an object of that name.
    #[error("file name not allowed: {0}")]
    NameNotAllowed(&'static str),
    /// The restart offset lies beyond the end of the file.
    #[error("restart offset beyond the end of the file")]
    OffsetBeyondEnd,
    /// The file is larger than this operation can handle.
    #[error("file too large: {0}")]
    TooLarge(&'static str),
    /// The object changed while it was being worked on; nothing was written.
    #[error("file changed meanwhile")]
    Changed,
    /// What was kept of a broken upload has no such byte to go on from.
    #[error("the upload goes on at byte {0} at the earliest")]
    OffsetNotKept(u64),
    /// Another session is at it.
    #[error("in use by another session")]
    Busy,
    /// The operation cannot be done on this kind of file or store.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
    /// The store refused our credentials the operation.
    #[error("store refused access")]
    Refused(#[source] object_store::Error),
    /// The store has no room.
    #[error("no space left in store")]
    NoSpace(#[source] object_store::Error),
    /// The store failed, after the retries that it is configured with.
    #[error("store failed")]
    Store(#[source] object_store::Error),
    /// The client's data connection failed.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The result of an operation on a store.
pub type Result<T> = std::result::Result<T, Error>;

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        match &error {
            E::NotFound { .. } => Self::NotFound,
            E::AlreadyExists { .. } => Self::AlreadyExists,
            // Downloads and appends are pinned to an etag; a mismatch is somebody else's write.
            E::Precondition { .. } | E::NotModified { .. } => Self::Changed,
            E::InvalidPath { .. } => Self::NameNotAllowed("not a name that the store can hold"),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Refused(error),
            // The enum is non-exhaustive, so one arm must take the rest.
            _ if is_refusal(&error.to_string()) => Self::Refused(error),
            _ => Self::Store(error),
        }
    }
}

impl Error {
    /// What the operating system said of a local folder.
    pub(super) fn local(source: io::Error) -> Self {
        let kind = source.kind();
        let error = object_store::Error::Generic { store: "local", source: Box::new(source) };
        match kind {
            // Nothing stands below a file; who wants to write there is told so before.
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace(error),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Refused(error),
            ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => Self::IsADirectory,
            ErrorKind::InvalidFilename => Self::NameNotAllowed("too long for the file system"),
            // The enum is non-exhaustive.
            _ => Self::Store(error),
        }
    }

    /// The store has confirmed a copy that is not there.
    pub(super) fn unseen() -> Self {
        let source = io::Error::other("the store confirmed a copy that is not there");
        Self::Store(object_store::Error::Generic { store: "copy", source: Box::new(source) })
    }

    /// The content is not what was uploaded.
    pub(super) fn damaged() -> Self {
        let source = io::Error::other("the content is not what was uploaded: its SHA-256 differs");
        Self::Store(object_store::Error::Generic { store: "checksum", source: Box::new(source) })
    }

    /// A record of the gateway's own cannot be written or read.
    pub(super) fn record(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Store(object_store::Error::Generic { store: "record", source })
    }

    /// A task that was to do the work ended without an answer.
    pub(super) fn task_lost(source: JoinError) -> Self {
        Self::Store(object_store::Error::JoinError { source })
    }
}

/// Whether a listing, which `object_store` reports without a kind of its own, was refused. The status is only in the
/// text: the type that holds it is private.
fn is_refusal(message: &str) -> bool {
    ["status code: 401 ", "status code: 403 "].iter().any(|status| message.contains(status))
}
