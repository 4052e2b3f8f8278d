//! Counting what the limits of users have refused or slowed down.

use super::Metrics;

/// A limit that something has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the configuration's keys")]
pub enum Limited {
    Sessions,
    SessionsPerAddress,
    UploadRate,
    DownloadRate,
    FileSize,
    FilesPerDay,
    BytesPerDay,
    TlsRequired,
    Hours,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One user's.
    User,
    /// That of all together.
    All,
}

impl Limited {
    const ALL: [Self; 9] = [
        Self::Sessions,
        Self::SessionsPerAddress,
        Self::UploadRate,
        Self::DownloadRate,
        Self::FileSize,
        Self::FilesPerDay,
        Self::BytesPerDay,
        Self::TlsRequired,
        Self::Hours,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::SessionsPerAddress => "sessions_per_address",
            Self::UploadRate => "upload_rate",
            Self::DownloadRate => "download_rate",
            Self::FileSize => "file_size",
            Self::FilesPerDay => "files_per_day",
            Self::BytesPerDay => "bytes_per_day",
            Self::TlsRequired => "tls_required",
            Self::Hours => "hours",
        }
    }

    /// Whether there is one for all together.
    const fn is_for_all(self) -> bool {
        match self {
            Self::Sessions
            | Self::UploadRate
            | Self::DownloadRate
            | Self::FilesPerDay
            | Self::BytesPerDay => true,
            Self::SessionsPerAddress | Self::FileSize | Self::TlsRequired | Self::Hours => false,
        }
    }
}

impl Scope {
    const fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::All => "all",
        }
    }
}

impl Metrics {
    pub(super) fn start_limited_at_zero(&self) {
        for limit in Limited::ALL {
            self.limited.with_label_values(&[limit.label(), Scope::User.label()]);
            if limit.is_for_all() {
                self.limited.with_label_values(&[limit.label(), Scope::All.label()]);
            }
        }
    }

    /// Counts what a limit has refused, or slowed down.
    pub fn limited(&self, limit: Limited, scope: Scope) {
        self.limited.with_label_values(&[limit.label(), scope.label()]).inc();
    }
}
