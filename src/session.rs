//! What the layers share about one session. It does no I/O: the edge puts in what it knows of the client, control's
//! backend takes it out when libunftp calls, and the reason of a failure travels back the same way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Span;

use crate::data::{Abort, OpenData};
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
