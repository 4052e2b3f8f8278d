//! What the layers share about one session. It does no I/O: the edge puts in what it knows of the client, control's
//! backend takes it out when libunftp calls, and the reason of a failure travels back the same way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::user::User;

/// One client's control connection, from accept to close.
#[derive(Debug)]
pub struct Session {
    /// Unique in the process; in every log line of the session.
    pub id: u64,
    /// The client's end of the control connection.
    pub peer: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// The span that every log line of the session stands in.
    pub span: Span,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    user: Option<Arc<User>>,
    verb: &'static str,
    transfer: Option<Transfer>,
    failure: Option<Failure>,
}

impl Session {
    /// A session nobody has logged in to.
    pub fn new(id: u64, peer: SocketAddr, local: SocketAddr) -> Self {
        let span = tracing::info_span!("session", id, peer = %peer, user = tracing::field::Empty);
        Self { id, peer, local, span, state: Mutex::default() }
    }

    /// Who is logged in.
    pub fn user(&self) -> Option<Arc<User>> {
        self.state().user.clone()
    }

    /// Makes the session `user`'s.
    pub fn log_in(&self, user: Arc<User>) {
        self.span.record("user", user.name.as_str());
        self.state().user = Some(user);
    }

    /// Back to the state before login (REIN, RFC 959 section 4.1.1).
    pub fn log_out(&self) {
        *self.state() = State::default();
    }

    /// A command is about to be passed to control: what it is, and the transfer that belongs to it.
    pub fn begin(&self, verb: &'static str, transfer: Option<Transfer>) {
        let mut state = self.state();
        state.verb = verb;
        state.transfer = transfer;
        state.failure = None;
    }

    /// The command that control is working on.
    pub fn verb(&self) -> &'static str {
        self.state().verb
    }

    /// The transfer of the running command; only the first caller gets it.
    pub fn take_transfer(&self) -> Option<Transfer> {
        self.state().transfer.take()
    }

    /// States why the running command fails.
    pub fn fail(&self, failure: Failure) {
        self.state().failure = Some(failure);
    }

    /// Why the running command failed, if a reason was stated.
    pub fn take_failure(&self) -> Option<Failure> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain assignments cannot leave the state half-written, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reply that a failed command deserves: its code (RFC 959 section 4.2) and one line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The three-digit reply code.
    pub code: u16,
    /// What went wrong, in the user's terms; nothing internal.
    pub text: String,
}

/// A transfer that the edge has prepared.
#[derive(Debug)]
pub struct Transfer {
    /// What is to be moved.
    pub kind: TransferKind,
    /// Opens the client's data connection, once.
    pub opener: Box<dyn OpenData>,
    /// Tells the transfer to give up.
    pub abort: Abort,
}

/// What a transfer moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// STOR and STOU, from byte `offset` of an existing file on if that is not 0 (REST, RFC 3659 section 5).
    Store {
        /// How many of the old file's bytes stay.
        offset: u64,
    },
    /// APPE.
    Append,
    /// RETR.
    Retrieve {
        /// The first byte sent.
        offset: u64,
    },
    /// LIST, NLST, MLSD.
    List {
        /// Only names that match this pattern of the shell's kind.
        pattern: Option<String>,
        /// What NLST puts before each name.
        prefix: String,
    },
}

/// Opens data connections. The edge implements it; control's backend calls it when the transfer can really begin.
#[async_trait]
pub trait OpenData: Send + std::fmt::Debug {
    /// Waits for the client's data connection and announces the transfer with 150.
    async fn open(self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError>;
}

/// The client's data connection. Each wait in it ends after `ftp.data_timeout` or when the transfer is aborted.
#[async_trait]
pub trait DataConnection: Send {
    /// Appends what has arrived to `buffer`, up to its spare capacity, which must not be 0. Dropping the future loses nothing. `Ok(0)` is the orderly
    /// end, and says as well that the control connection was still there when it came.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError>;

    /// Sends all of `bytes`.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError>;

    /// Ends the connection so that the client knows it has everything.
    async fn finish(self: Box<Self>) -> Result<(), DataError>;

    /// Ends the connection so that the client cannot take what it got for the whole.
    fn reset(self: Box<Self>);
}

/// Why a data connection failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It was never opened.
    #[error("cannot open data connection: {0}")]
    NotOpened(&'static str),
    /// It broke.
    #[error("data connection lost")]
    Lost(#[source] std::io::Error),
    /// No byte moved for this long.
    #[error("no data for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
    /// The control connection went away before the transfer was complete.
    #[error("control connection lost")]
    ControlLost,
    /// The transfer was told to give up.
    #[error("transfer aborted")]
    Aborted,
}

/// Tells a transfer to give up, and why. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    token: CancellationToken,
    reason: Arc<OnceLock<AbortReason>>,
}

/// Why a transfer is to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The client sent ABOR.
    Requested,
    /// The control connection went away.
    ClientLost,
    /// The process stops.
    Shutdown,
}

impl Abort {
    /// Not aborted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives up; the first reason stays.
    pub fn abort(&self, reason: AbortReason) {
        // A second reason changes nothing: the transfer ends for the first.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why, once it was told.
    pub fn reason(&self) -> Option<AbortReason> {
        self.reason.get().copied()
    }

    /// Resolves when the transfer is to give up.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the transfer is to give up.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The error that a data connection reports for it.
    pub fn error(&self) -> DataError {
        match self.reason() {
            Some(AbortReason::ClientLost) => DataError::ControlLost,
            Some(AbortReason::Requested | AbortReason::Shutdown) | None => DataError::Aborted,
        }
    }
}
