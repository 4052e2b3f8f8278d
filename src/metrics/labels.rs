//! The values of the metrics' labels, as enums, so that no other value can occur.

/// Which way a transfer moves a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// STOR, STOU, REST + STOR.
    Upload,
    /// RETR.
    Download,
    /// APPE.
    Append,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferResult {
    /// The store confirmed the whole object, or the client took every byte.
    Ok,
    /// ABOR, or the process stopped.
    Aborted,
    /// The data or control connection broke.
    ClientLost,
    /// No byte moved for `ftp.data_timeout`.
    Stalled,
    /// Refused before any byte: no such file, no permission, a bad name.
    Rejected,
    /// The store failed.
    StoreError,
    /// The gateway itself failed.
    ServerError,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// The session is the user's.
    Ok,
    /// The session is one of those that anybody may have.
    Anonymous,
    /// Unknown name or wrong password.
    BadCredentials,
    /// Too many failures before this one.
    LockedOut,
    /// Right password, but the address or the state of the server does not allow it.
    Denied,
    /// Right password, but a limit does not allow it.
    Limited,
}

/// What is read again while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what SIGHUP reads")]
pub enum Reloaded {
    Users,
    Certificates,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// `ftp.max_connections` reached.
    MaxConnections,
    /// `ftp.max_connections_per_ip` reached.
    MaxConnectionsPerIp,
    /// A connection to a passive port that no session of its address waits on.
    UnexpectedData,
    /// A connection from outside `ftp.proxy_trusted` where a PROXY header is required.
    UntrustedProxy,
    /// A connection that does not begin with a valid PROXY header where one is required.
    ProxyHeader,
    /// A connection to `cluster.listen` of somebody who does not prove to be a replica.
    NoReplica,
}

/// What became of a data connection that was handed on to another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The replica ended it in order, and everything is with the client.
    Ok,
    /// The client or the replica broke it, or the client took nothing for `ftp.data_timeout`.
    Lost,
    /// The replica was not reached.
    Unreachable,
}

/// Whom forwarded bytes go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// The replica that owns the port.
    Owner,
    /// The client.
    Client,
}

/// How a control connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTls {
    /// Not at all.
    None,
    /// After AUTH.
    Explicit,
    /// From its first byte.
    Implicit,
}

/// What a TLS handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds of connections of FTP")]
pub enum TlsConnection {
    Control,
    Data,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeResult {
    /// With a new session.
    Full,
    /// With a session from before.
    Resumed,
    /// With a new session where one of the control connection was asked for, or with another client certificate.
    Refused,
    /// Not at all.
    Failed,
}

impl SessionTls {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Explicit, Self::Implicit];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        }
    }
}

impl TlsConnection {
    pub(super) const ALL: [Self; 2] = [Self::Control, Self::Data];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

impl HandshakeResult {
    pub(super) const ALL: [Self; 4] = [Self::Full, Self::Resumed, Self::Refused, Self::Failed];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Direction {
    pub(super) const ALL: [Self; 3] = [Self::Upload, Self::Download, Self::Append];

    /// The label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Append => "append",
        }
    }
}

impl TransferResult {
    pub(super) const ALL: [Self; 7] = [
        Self::Ok,
        Self::Aborted,
        Self::ClientLost,
        Self::Stalled,
        Self::Rejected,
        Self::StoreError,
        Self::ServerError,
    ];

    /// The label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Aborted => "aborted",
            Self::ClientLost => "client_lost",
            Self::Stalled => "stalled",
            Self::Rejected => "rejected",
            Self::StoreError => "store_error",
            Self::ServerError => "server_error",
        }
    }
}

impl LoginResult {
    pub(super) const ALL: [Self; 6] =
        [Self::Ok, Self::Anonymous, Self::BadCredentials, Self::LockedOut, Self::Denied, Self::Limited];

    /// The label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Anonymous => "anonymous",
            Self::BadCredentials => "bad_credentials",
            Self::LockedOut => "locked_out",
            Self::Denied => "denied",
            Self::Limited => "limited",
        }
    }
}

impl Reloaded {
    pub(super) const ALL: [Self; 2] = [Self::Users, Self::Certificates];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Certificates => "certificates",
        }
    }
}

impl Rejection {
    pub(super) const ALL: [Self; 6] = [
        Self::MaxConnections,
        Self::MaxConnectionsPerIp,
        Self::UnexpectedData,
        Self::UntrustedProxy,
        Self::ProxyHeader,
        Self::NoReplica,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::MaxConnectionsPerIp => "max_connections_per_ip",
            Self::UnexpectedData => "unexpected_data_connection",
            Self::UntrustedProxy => "untrusted_proxy",
            Self::ProxyHeader => "proxy_header",
            Self::NoReplica => "no_replica",
        }
    }
}

impl Forwarded {
    pub(super) const ALL: [Self; 3] = [Self::Ok, Self::Lost, Self::Unreachable];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lost => "lost",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Toward {
    pub(super) const ALL: [Self; 2] = [Self::Owner, Self::Client];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Client => "client",
        }
    }
}

/// What became of an event, or of a try to deliver it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// The sink has taken it.
    Delivered,
    /// The sink has not, and is tried again.
    Retried,
    /// It was given up, and is among the dead letters.
    Dead,
    /// There was no room for it.
    Dropped,
    /// There was no room for it, so what it would have told of was refused.
    Refused,
    /// The process has stopped before it was delivered.
    Lost,
}

impl EventOutcome {
    pub(super) const ALL: [Self; 6] =
        [Self::Delivered, Self::Retried, Self::Dead, Self::Dropped, Self::Refused, Self::Lost];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

/// A call to a store, named after the object store's own operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the object store's own")]
pub enum StoreOperation {
    Put,
    CreateMultipart,
    PutPart,
    CompleteMultipart,
    AbortMultipart,
    Get,
    Head,
    List,
    Delete,
    Copy,
    Rename,
}

impl StoreOperation {
    pub(super) const ALL: [Self; 11] = [
        Self::Put,
        Self::CreateMultipart,
        Self::PutPart,
        Self::CompleteMultipart,
        Self::AbortMultipart,
        Self::Get,
        Self::Head,
        Self::List,
        Self::Delete,
        Self::Copy,
        Self::Rename,
    ];

    /// The label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::CreateMultipart => "create_multipart",
            Self::PutPart => "put_part",
            Self::CompleteMultipart => "complete_multipart",
            Self::AbortMultipart => "abort_multipart",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Rename => "rename",
        }
    }
}

/// What the janitor removes from a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// A multipart upload that a crash had left open.
    Upload,
    /// What was kept of a broken upload that nobody went on with.
    Kept,
    /// The rename of a directory that a crash had cut, which was finished or undone.
    Rename,
    /// The file of an upload to a local folder that a crash had cut.
    Staged,
}

impl Cleaned {
    pub(super) const ALL: [Self; 4] = [Self::Upload, Self::Kept, Self::Rename, Self::Staged];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Kept => "kept",
            Self::Rename => "rename",
            Self::Staged => "staged",
        }
    }
}

/// How a call to a store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// It did what was asked.
    Ok,
    /// There is no such object.
    NotFound,
    /// A condition on the object did not hold.
    Precondition,
    /// Anything else.
    Error,
}

impl StoreOutcome {
    /// The label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::Precondition => "precondition",
            Self::Error => "error",
        }
    }
}
