//! What holds for one data connection, whatever it runs over.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::config::OnControlLost;
use crate::data::Abort;
use crate::edge::presence::Presence;

/// What holds for one data connection.
#[derive(Debug)]
pub(in crate::edge) struct Terms {
    /// No byte for so long ends it.
    pub(in crate::edge) data_timeout: Duration,
    pub(in crate::edge) abort: Abort,
    pub(in crate::edge) line_ends: LineEnds,
    /// Counts what moves.
    pub(in crate::edge) moved: Arc<AtomicU64>,
    pub(in crate::edge) presence: Presence,
    /// What becomes of a file whose end comes with the end of the control connection.
    pub(in crate::edge) on_control_lost: OnControlLost,
    /// From ALLO (RFC 959 section 4.1.3): a file of exactly so many bytes is complete however its connection ends.
    pub(in crate::edge) announced: Option<u64>,
}

/// What becomes of the line ends of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum LineEnds {
    /// They are bytes like all others.
    Kept,
    /// They are CRLF on the wire and LF for those above.
    Converted,
}
