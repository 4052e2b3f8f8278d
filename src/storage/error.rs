//! What can go wrong with a file in a store, in terms a caller can act on.

use std::io::{self, ErrorKind};

use tokio::task::JoinError;

use super::answer::{self, Meaning};
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
    /// The store's clock and ours differ too much.
    #[error("store refused our clock")]
    ClockSkew(#[source] object_store::Error),
    /// The credentials were good once.
    #[error("store refused our credentials, which have expired")]
    ExpiredCredentials(#[source] object_store::Error),
    /// A retention period or a legal hold protects the file.
    #[error("store protects the file")]
    Locked(#[source] object_store::Error),
    /// The file is in an archive and must be restored before it can be read.
    #[error("file is archived")]
    Archived(#[source] object_store::Error),
    /// The store has no room.
    #[error("no space left in store")]
    NoSpace(#[source] object_store::Error),
    /// The store's account has used up what it may.
    #[error("quota of store used up")]
    QuotaExceeded(#[source] object_store::Error),
    /// The object was replaced while it was being sent; what was sent is not the whole of either.
    #[error("file replaced while it was sent")]
    Replaced,
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
        if let Some(answer) = answer::behind(&error) {
            return Self::answered(answer.meaning(), error);
        }
        match &error {
            E::NotFound { .. } => Self::NotFound,
            E::AlreadyExists { .. } => Self::AlreadyExists,
            // Downloads and appends are pinned to an etag; a mismatch is somebody else's write.
            E::Precondition { .. } | E::NotModified { .. } => Self::Changed,
            E::InvalidPath { .. } => Self::NameNotAllowed("not a name that the store can hold"),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Refused(error),
            // The enum is non-exhaustive, so one arm must take the rest.
            _ => Self::Store(error),
        }
    }
}

impl Error {
    /// What an answer of the store comes to. Exhaustive, so that a new meaning is not forgotten here.
    fn answered(meaning: Meaning, error: object_store::Error) -> Self {
        match meaning {
            Meaning::Exists => Self::AlreadyExists,
            Meaning::AccessDenied | Meaning::BadCredentials => Self::Refused(error),
            Meaning::ExpiredCredentials => Self::ExpiredCredentials(error),
            Meaning::ClockSkew => Self::ClockSkew(error),
            Meaning::Locked => Self::Locked(error),
            Meaning::Archived => Self::Archived(error),
            Meaning::NameNotAllowed => Self::NameNotAllowed("not a name that the store takes"),
            Meaning::TooLarge => Self::TooLarge("more than the store takes"),
            Meaning::NoSpace => Self::NoSpace(error),
            Meaning::QuotaExceeded => Self::QuotaExceeded(error),
            Meaning::NotSupported => Self::NotSupported("the store does not take such a request"),
            Meaning::Busy | Meaning::Conflict | Meaning::NoBucket | Meaning::Failed => Self::Store(error),
        }
    }

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

    /// A directory is to become a part of itself.
    pub(super) fn into_itself() -> Self {
        Self::NameNotAllowed("a directory cannot be moved into itself")
    }

    /// The store does not get on with a listing; `why` says what is wrong with it.
    pub(super) fn listing(why: &'static str) -> Self {
        let source = io::Error::other(format!("the store's listing cannot be believed: {why}"));
        Self::Store(object_store::Error::Generic { store: "list", source: Box::new(source) })
    }

    /// The content is not what was uploaded.
    pub(super) fn damaged() -> Self {
        let source = io::Error::other("the content is not what was uploaded: its SHA-256 differs");
        Self::Store(object_store::Error::Generic { store: "checksum", source: Box::new(source) })
    }

    /// The store has not said in time what it was `asked`.
    pub(super) fn silent(asked: &'static str) -> Self {
        let source = io::Error::new(ErrorKind::TimedOut, format!("the store does not say {asked}"));
        Self::Store(object_store::Error::Generic { store: "silence", source: Box::new(source) })
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
