//! What a limit has refused, so that the client can be told which one it was.

use bytesize::ByteSize;

use crate::config::Hours;
use crate::metrics::{Limited, Scope};

/// Why an upload may not be, or not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// The file would be larger than this.
    #[error("limit of {} a file", ByteSize(*.0).display().iec())]
    FileSize(u64),
    /// So many files were uploaded today.
    #[error("limit of {most} files a day{}", of(*.scope))]
    FilesPerDay {
        /// The limit.
        most: u64,
        /// Whose it is.
        scope: Scope,
    },
    /// So many bytes were uploaded today, or would be.
    #[error("limit of {} a day{}", ByteSize(*.most).display().iec(), of(*.scope))]
    BytesPerDay {
        /// The limit.
        most: u64,
        /// Whose it is.
        scope: Scope,
    },
}

/// Why somebody who is a user may not log in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The control connection is in the clear.
    #[error("TLS is required for this user")]
    TlsRequired,
    /// It is not the time.
    #[error("logins of this user are allowed {0}")]
    Hours(Hours),
    /// There are so many sessions already.
    #[error("limit of {most} sessions{}", of(*.scope))]
    Sessions {
        /// The limit.
        most: usize,
        /// Whose it is.
        scope: Scope,
    },
    /// There are so many sessions of the user from this address already.
    #[error("limit of {0} sessions of this user from one address")]
    SessionsPerAddress(usize),
}

fn of(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "",
        Scope::All => " of all users together",
    }
}

impl Exceeded {
    pub(super) fn counted(self) -> (Limited, Scope) {
        match self {
            Self::FileSize(_) => (Limited::FileSize, Scope::User),
            Self::FilesPerDay { scope, .. } => (Limited::FilesPerDay, scope),
            Self::BytesPerDay { scope, .. } => (Limited::BytesPerDay, scope),
        }
    }
}

impl Refusal {
    pub(super) fn counted(&self) -> (Limited, Scope) {
        match self {
            Self::TlsRequired => (Limited::TlsRequired, Scope::User),
            Self::Hours(_) => (Limited::Hours, Scope::User),
            Self::Sessions { scope, .. } => (Limited::Sessions, *scope),
            Self::SessionsPerAddress(_) => (Limited::SessionsPerAddress, Scope::User),
        }
    }
}
