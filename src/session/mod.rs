//! What the layers share about one session. It does no I/O: the edge puts in the command that it passes on, control
//! takes it out when libunftp calls, and the reply that the client deserves travels back the same way.

mod login;
mod operation;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::data::{Abort, OpenData};
use crate::digest::Algorithm;
use crate::encoding::NameEncoding;
use crate::facts::Facts;
use crate::limits::Admission;
use crate::metrics::Counted;
use crate::net::Ends;
use crate::path::VirtualPath;
use crate::reply::Reply;
use crate::tls::ClientCertificate;
use crate::user::User;

pub(crate) use login::{Login, Traffic};
pub(crate) use operation::Operation;

/// One client's control connection, from accept to close.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique in the process; in every log line of the session.
    pub id: u64,
    /// The client's end of the control connection.
    pub peer: SocketAddr,
    /// What the client has connected to, which may be a balancer's.
    pub dialled: SocketAddr,
    /// Our end of the control connection.
    pub local: SocketAddr,
    /// When it was accepted.
    pub began: Instant,
    /// The span that every log line of the session stands in.
    pub span: Span,
    /// Of the connection, whoever is logged in.
    tls: OnceLock<SessionTls>,
    dismissed: CancellationToken,
    state: Mutex<State>,
}

/// What TLS has told of a client.
#[derive(Debug)]
struct SessionTls {
    version: &'static str,
    certificate: Option<Arc<ClientCertificate>>,
}

#[derive(Debug, Default)]
struct State {
    user: Option<Arc<User>>,
    /// Whether the user was removed or changed since.
    is_outdated: bool,
    /// The session's place among those of the user, for whoever counts them.
    counted: Option<Counted>,
    /// The session's place under the limits.
    admission: Option<Arc<Admission>>,
    login: Option<Login>,
    facts: Facts,
    names: NameEncoding,
    pending: Option<Pending>,
    activity: Option<Activity>,
    /// The span of the command that runs, where there are traces.
    command: Option<Span>,
    outcome: Option<Reply>,
}

impl Session {
    /// A session nobody has logged in to.
    pub(crate) fn new(id: u64, ends: Ends) -> Self {
        let Ends { client: peer, dialled, local } = ends;
        let span = tracing::info_span!("session", id, peer = %peer, user = tracing::field::Empty);
        let (tls, dismissed, state) = (OnceLock::new(), CancellationToken::new(), Mutex::default());
        Self { id, peer, dialled, local, began: Instant::now(), span, tls, dismissed, state }
    }

    /// Has the session end now: what runs is aborted as by ABOR, and the client is told.
    pub(crate) fn dismiss(&self) {
        self.dismissed.cancel();
    }

    /// Resolves when the session is to end now.
    pub(crate) async fn dismissed(&self) {
        self.dismissed.cancelled().await;
    }

    /// The control connection has TLS of this version now, and the client has shown this certificate in the handshake, of
    /// which there is one at most.
    pub(crate) fn secure(&self, version: &'static str, certificate: Option<Arc<ClientCertificate>>) {
        // A second one could not take the first one's place.
        let _ = self.tls.set(SessionTls { version, certificate });
    }

    /// The version of the control connection's TLS, if it has any.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        self.tls.get().map(|tls| tls.version)
    }

    /// The certificate that the client has shown, if it has.
    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.tls.get()?.certificate.as_deref()
    }

    /// Who is logged in.
    pub(crate) fn user(&self) -> Option<Arc<User>> {
        self.state().user.clone()
    }

    /// The session's place under the limits, once somebody is logged in.
    pub(crate) fn admission(&self) -> Option<Arc<Admission>> {
        self.state().admission.clone()
    }

    /// Makes the session `user`'s, who is `counted` until it ends and has this place under the limits.
    pub(crate) fn log_in(&self, user: Arc<User>, counted: Counted, admission: Arc<Admission>, login: Login) {
        self.span.record("user", user.name.as_str());
        let mut state = self.state();
        state.user = Some(user);
        state.counted = Some(counted);
        state.admission = Some(admission);
        let before = state.login.replace(login);
        // What hears of an end runs without the lock.
        drop(state);
        drop(before);
    }

    /// Where what is moved is added up, while somebody is logged in.
    pub(crate) fn traffic(&self) -> Option<Arc<Traffic>> {
        self.state().login.as_ref().map(Login::traffic)
    }

    /// The session has ended, and so has its login. One that comes about only now, from a password that was still being
    /// verified, ends with the last who knows of the session.
    pub(crate) fn end(&self) {
        let ended = self.state().login.take();
        drop(ended);
    }

    /// The client goes: others of the user may have its place. Otherwise who logs in again at once could find it still taken.
    pub(crate) fn leave(&self) {
        self.state().admission = None;
    }

    /// The user was removed or changed: what runs is finished, the next command is not begun.
    /// Only if `is_meant` means the user; tells whether it does.
    pub(crate) fn outdate_if(&self, is_meant: impl FnOnce(&Arc<User>) -> bool) -> bool {
        let mut state = self.state();
        let is_outdated = state.user.as_ref().is_some_and(is_meant);
        state.is_outdated |= is_outdated;
        is_outdated
    }

    /// Whether the user was removed or changed since the login.
    pub(crate) fn is_outdated(&self) -> bool {
        self.state().is_outdated
    }

    /// Back to the state before login (REIN, RFC 959 section 4.1.1).
    pub(crate) fn log_out(&self) {
        let before = std::mem::take(&mut *self.state());
        // What hears of the login's end runs without the lock.
        drop(before);
    }

    /// The facts that MLST and MLSD show.
    pub(crate) fn facts(&self) -> Facts {
        self.state().facts
    }

    /// Selects the facts that MLST and MLSD show (RFC 3659 section 7.9).
    pub(crate) fn select_facts(&self, facts: Facts) {
        self.state().facts = facts;
    }

    /// How names are written on the wire.
    pub(crate) fn names(&self) -> NameEncoding {
        self.state().names
    }

    /// From now on names are written so on the wire.
    pub(crate) fn write_names_in(&self, encoding: NameEncoding) {
        self.state().names = encoding;
    }

    /// A command is about to be passed to control.
    pub(crate) fn begin(&self, pending: Pending) {
        let mut state = self.state();
        state.activity = Some(pending.activity());
        state.command = Some(Span::current());
        state.pending = Some(pending);
        state.outcome = None;
    }

    /// The command that control is to work on; only the first caller gets it.
    pub(crate) fn take_pending(&self) -> Option<Pending> {
        self.state().pending.take()
    }

    /// The span that the running command's work belongs to.
    pub(crate) fn work_span(&self) -> Span {
        self.state().command.clone().unwrap_or_else(|| self.span.clone())
    }

    /// What the session is doing in its files.
    pub(crate) fn activity(&self) -> Option<Activity> {
        self.state().activity.clone()
    }

    /// States the reply to the running command, where libunftp's own would not do.
    pub(crate) fn answer(&self, reply: Reply) {
        self.state().outcome = Some(reply);
    }

    /// The command has ended: the reply that was stated for it.
    pub(crate) fn finish(&self) -> Option<Reply> {
        let mut state = self.state();
        state.pending = None;
        state.activity = None;
        state.command = None;
        state.outcome.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain assignments cannot leave the state half-written, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that the edge passes on.
#[derive(Debug)]
pub(crate) struct Pending {
    /// What is to be done.
    pub operation: Operation,
    /// With what: absolute and normal.
    pub path: VirtualPath,
    /// What RNFR named, for RNTO.
    pub from: Option<VirtualPath>,
    /// Tells it to give up.
    pub abort: Abort,
    /// Bytes of the file that have crossed the data connection.
    pub moved: Arc<AtomicU64>,
    /// How many there will be, once that is known.
    expected: Arc<OnceLock<u64>>,
    /// Which checksum, for HASH.
    pub checksum: Option<Checksum>,
    /// Which time, for MFMT.
    pub time: Option<DateTime<Utc>>,
    /// For what needs a data connection.
    pub transfer: Option<Transfer>,
}

impl Pending {
    /// A command without a data connection.
    pub(crate) fn new(operation: Operation, path: VirtualPath) -> Self {
        Self {
            operation,
            path,
            from: None,
            abort: Abort::new(),
            moved: Arc::default(),
            expected: Arc::default(),
            checksum: None,
            time: None,
            transfer: None,
        }
    }

    /// So many bytes are to cross the data connection, for those who look on.
    pub(crate) fn expect(&self, bytes: u64) {
        // The first who knows is right.
        let _ = self.expected.set(bytes);
    }

    fn activity(&self) -> Activity {
        Activity {
            operation: self.operation,
            path: self.path.clone(),
            began: Instant::now(),
            moved: Arc::clone(&self.moved),
            expected: Arc::clone(&self.expected),
        }
    }
}

/// A checksum that a client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum {
    pub algorithm: Algorithm,
    /// The first byte that counts.
    pub from: u64,
    /// The byte after the last one that counts; none is the end of the file.
    pub to: Option<u64>,
    pub reply: ChecksumReply,
}

/// How a client is told a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChecksumReply {
    /// 213 with the algorithm, the bytes and the path (draft-ietf-ftpext2-hash).
    Named,
    /// 250 and nothing else, as for XCRC and its like.
    Plain,
}

/// The part of a command that concerns its data connection.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// From REST (RFC 3659 section 5): where the file begins to be sent or replaced.
    pub offset: u64,
    /// The argument as the client gave it, which NLST's names begin with.
    pub argument: String,
    /// From ALLO (RFC 959 section 4.1.3): how many bytes are to come.
    pub announced: Option<u64>,
    /// Opens the client's data connection, once.
    pub opener: Box<dyn OpenData>,
}

/// What a session is doing, for those who look on.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    /// What is being done.
    pub operation: Operation,
    /// With what.
    pub path: VirtualPath,
    /// Since when.
    pub began: Instant,
    moved: Arc<AtomicU64>,
    expected: Arc<OnceLock<u64>>,
}

impl Activity {
    /// Bytes of the file that have crossed the data connection.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// How many there will be, where that is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_once_and_its_reply_as_well() {
        let address = SocketAddr::from(([127, 0, 0, 1], 21));
        let session = Session::new(1, Ends::direct(address, address));
        session.begin(Pending::new(Operation::Size, VirtualPath::root()));
        assert!(session.take_pending().is_some() && session.take_pending().is_none());
        session.answer(Reply::new(550, "no"));
        assert!(session.activity().is_some());
        assert_eq!(session.finish(), Some(Reply::new(550, "no")));
        assert!(session.finish().is_none() && session.activity().is_none());
    }
}
