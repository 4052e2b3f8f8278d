//! The operations on files that a session can ask control for, and what kind of work each is.

/// What control does for a client, named after the verb that asks for it. Other spellings of a verb (XMKD, STOU) are
/// the same operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Cwd,
    Mkd,
    Rmd,
    Dele,
    Rnfr,
    Rnto,
    Size,
    Mdtm,
    Mfmt,
    Mlst,
    Stat,
    Hash,
    Stor,
    Appe,
    Retr,
    List,
    Nlst,
    Mlsd,
}

impl Operation {
    /// The verb, as control and the log know it.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Cwd => "CWD",
            Self::Mkd => "MKD",
            Self::Rmd => "RMD",
            Self::Dele => "DELE",
            Self::Rnfr => "RNFR",
            Self::Rnto => "RNTO",
            Self::Size => "SIZE",
            Self::Mdtm => "MDTM",
            Self::Mfmt => "MFMT",
            Self::Mlst => "MLST",
            Self::Stat => "STAT",
            Self::Hash => "HASH",
            Self::Stor => "STOR",
            Self::Appe => "APPE",
            Self::Retr => "RETR",
            Self::List => "LIST",
            Self::Nlst => "NLST",
            Self::Mlsd => "MLSD",
        }
    }

    /// The reply code when the name is no good: 553 exists only for commands that write a file (RFC 959 section 5.4).
    pub(crate) const fn name_refused(self) -> u16 {
        if self.writes_file() { 553 } else { 550 }
    }

    /// Whether its name is to be that of a file, so that a slash at the end is a mistake.
    pub(crate) const fn writes_file(self) -> bool {
        match self.work() {
            Work::Upload | Work::NewName => true,
            Work::Download | Work::Listing | Work::Names => false,
        }
    }

    /// Whether it moves something over a data connection.
    pub(crate) const fn has_data_connection(self) -> bool {
        match self.work() {
            Work::Upload | Work::Download | Work::Listing => true,
            Work::NewName | Work::Names => false,
        }
    }

    /// Whether it moves a file, and not a listing, over a data connection.
    pub(crate) const fn moves_file(self) -> bool {
        match self.work() {
            Work::Upload | Work::Download => true,
            Work::Listing | Work::NewName | Work::Names => false,
        }
    }

    /// Whether it takes a file from the client.
    pub(crate) const fn is_upload(self) -> bool {
        match self.work() {
            Work::Upload => true,
            Work::Download | Work::Listing | Work::NewName | Work::Names => false,
        }
    }

    const fn work(self) -> Work {
        match self {
            Self::Stor | Self::Appe => Work::Upload,
            Self::Retr => Work::Download,
            Self::List | Self::Nlst | Self::Mlsd => Work::Listing,
            Self::Rnto => Work::NewName,
            Self::Cwd
            | Self::Mkd
            | Self::Rmd
            | Self::Dele
            | Self::Rnfr
            | Self::Size
            | Self::Mdtm
            | Self::Mfmt
            | Self::Mlst
            | Self::Stat
            | Self::Hash => Work::Names,
        }
    }
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A file from the client.
    Upload,
    /// A file to the client.
    Download,
    /// A listing to the client.
    Listing,
    /// A name that a file is to get.
    NewName,
    /// Names of what is there or is not.
    Names,
}
