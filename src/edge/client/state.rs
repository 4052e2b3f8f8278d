//! What one client is and has set.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{AsciiMode, OnControlLost};
use crate::digest::Algorithm;
use crate::edge::data::{LineEnds, Route};
use crate::edge::line::LineReader;
use crate::edge::presence::Presence;
use crate::edge::shared::Edge;
use crate::edge::socket::{self, Outgoing};
use crate::edge::tcp::Tcp;
use crate::edge::telnet;
use crate::metrics::CountedSession;
use crate::path::VirtualPath;
use crate::reply::Reply;
use crate::session::Session;
use crate::tls;

/// One client: its control connection and what it has set.
pub(super) struct Client {
    pub(super) edge: Arc<Edge>,
    pub(super) session: Arc<Session>,
    /// The thread that the session runs on.
    pub(super) worker: usize,
    /// What `outgoing` and `lines` run over.
    pub(super) socket: Tcp,
    pub(super) security: Security,
    pub(super) counted: CountedSession,
    pub(super) outgoing: Outgoing,
    pub(super) lines: LineReader,
    pub(super) presence: Presence,
    /// The control connection has ended; what came before is still answered.
    pub(super) ended: bool,
    /// How the data connection of its next transfer comes about; the last command that said so counts.
    pub(super) route: Option<Route>,
    /// When the connection, or the REIN or USER that ended the last login, came.
    pub(super) accepted: Instant,
    pub(super) login: Login,
    /// Logins that have failed.
    pub(super) failed_logins: u32,
    pub(super) settings: Settings,
}

/// How far login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Nothing yet.
    Fresh,
    /// USER was sent.
    Named,
    /// The session is a user's.
    Done,
}

/// How the control connection is protected.
#[derive(Debug)]
pub(super) enum Security {
    Clear,
    Secure { tls: tls::Session, data: Protection },
}

/// What a client has asked for on its data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Nothing yet, which is none.
    Unasked,
    /// PBSZ, which has to come before PROT.
    Sized,
    /// PROT C.
    Clear,
    /// PROT P.
    Private,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Close,
}

/// TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Image,
    Ascii,
}

/// What a client has set since it logged in.
pub(super) struct Settings {
    pub(super) directory: VirtualPath,
    pub(super) data_type: DataType,
    pub(super) next: NextTransfer,
    /// After EPSV ALL (RFC 2428 section 4).
    pub(super) extended_passive_only: bool,
    /// What RNFR has named.
    pub(super) renaming: Option<VirtualPath>,
    /// From OPTS HASH.
    pub(super) hash: Algorithm,
    /// From SITE IDLE, instead of the configured time.
    pub(super) idle_timeout: Option<Duration>,
}

/// What holds for the next transfer only, whatever becomes of that (RFC 3659 section 5.2).
#[derive(Debug, Default)]
pub(super) struct NextTransfer {
    /// From REST.
    pub(super) restart: u64,
    /// From ALLO: the size of an upload.
    pub(super) announced: Option<u64>,
    /// From RANG: the first and the last byte.
    pub(super) range: Option<(u64, u64)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: VirtualPath::root(),
            data_type: DataType::Image,
            next: NextTransfer::default(),
            extended_passive_only: false,
            renaming: None,
            hash: Algorithm::default(),
            idle_timeout: None,
        }
    }
}

impl Client {
    pub(super) fn new(
        edge: Arc<Edge>,
        socket: Tcp,
        session: Arc<Session>,
        worker: usize,
        counted: CountedSession,
    ) -> Self {
        let (incoming, outgoing) = socket::clear(&socket);
        session.write_names_in(edge.config.filename_encoding);
        Self {
            edge,
            session,
            worker,
            socket,
            security: Security::Clear,
            counted,
            outgoing,
            lines: LineReader::new(incoming),
            presence: Presence::default(),
            ended: false,
            route: None,
            accepted: Instant::now(),
            login: Login::Fresh,
            failed_logins: 0,
            settings: Settings::default(),
        }
    }

    /// Sends a reply.
    pub(super) async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        tracing::debug!(code = reply.code, text = reply.lines.first(), "reply");
        let text = reply.to_wire();
        self.outgoing.write(&telnet::double(self.session.names().encode_what_fits(&text))).await
    }

    /// What becomes of the line ends of the files that the client transfers.
    pub(super) fn line_ends(&self) -> LineEnds {
        match (self.settings.data_type, self.edge.config.ascii) {
            (DataType::Ascii, AsciiMode::Convert) => LineEnds::Converted,
            (DataType::Ascii, AsciiMode::Ignore) | (DataType::Image, _) => LineEnds::Kept,
        }
    }

    /// What becomes of an upload whose control connection ends with it.
    pub(super) fn on_control_lost(&self) -> OnControlLost {
        let own = self.session.user().and_then(|user| user.profile.on_control_lost);
        own.unwrap_or(self.edge.config.on_control_lost)
    }
}

/// The reply to commands that are for users only.
pub(super) fn log_in_first() -> Reply {
    Reply::new(530, "Log in with USER and PASS first")
}
