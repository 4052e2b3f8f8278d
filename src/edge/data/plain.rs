//! A data connection: moving its bytes with a deadline, and judging how it ends.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::terms::Terms;
use super::wire::{Arrived, Wire};
use crate::config::OnControlLost;
use crate::data::{DataConnection, DataError};

/// A file of up to this many bytes that came within the shortest grace was handed to the client's kernel in one go: its
/// client was not killed half way through, and needs no grace. Small files are to be fast.
const SENT_AT_ONCE: u64 = 64 * 1024;
/// How long, as a share of the transfer, the end of a file waits for the end of the control connection.
const GRACE_SHARE: u32 = 20;
/// The kernel of a killed process ends its connections one after the other, last opened first; on a busy machine
/// milliseconds pass in between.
const SHORTEST_GRACE: Duration = Duration::from_millis(20);
/// Ends that were sent together arrive together, unless one is lost and sent again.
const LONGEST_GRACE: Duration = Duration::from_millis(250);

/// How long what is left in the buffers of a replica that hands the connection on may take to a slow client. That replica ends
/// the connection when the client takes nothing.
const DELIVERY: Duration = Duration::from_hours(1);

/// A data connection, in the clear or encrypted.
#[derive(Debug)]
pub(super) struct PlainData {
    wire: Wire,
    terms: Terms,
    opened: Instant,
    /// What is written next follows something else, and is not to wait for its acknowledgement.
    writing: bool,
}

impl PlainData {
    pub(super) fn new(wire: Wire, terms: Terms) -> Self {
        Self { wire, terms, opened: Instant::now(), writing: false }
    }

    /// At the orderly end of the data: fails if the client did not end it but went away. The ends of the connections
    /// of a client that was killed come in any order, so this one waits a little for the other.
    async fn client_remains(&self) -> Result<(), DataError> {
        let presence = &self.terms.presence;
        if self.is_announced_size() || presence.is_leaving() {
            return Ok(());
        }
        let took = self.opened.elapsed();
        // Whoever ends TLS without saying so may well have been killed, and most clients do say so.
        let sent_at_once =
            !self.wire.declares_ends() && self.terms.moved.load(Ordering::Relaxed) <= SENT_AT_ONCE;
        if took >= SHORTEST_GRACE || !sent_at_once {
            let grace = (took / GRACE_SHARE).clamp(SHORTEST_GRACE, LONGEST_GRACE);
            // Late is good: the client is still there.
            let _ = timeout(grace, presence.lost()).await;
        } else {
            // Lets whoever reads the control connection see what has arrived on it.
            tokio::task::yield_now().await;
        }
        match self.terms.on_control_lost {
            OnControlLost::Discard if presence.is_lost() => Err(DataError::ControlLost),
            OnControlLost::Discard | OnControlLost::Keep => Ok(()),
        }
    }

    /// Both ends of a connection on which the client has declared its own.
    async fn end(&mut self) -> io::Result<()> {
        self.wire.end().await?;
        // Closed with something unread, it would be reset, and our end could be lost.
        self.wire.deliver().await
    }

    fn is_announced_size(&self) -> bool {
        self.terms.announced == Some(self.terms.moved.load(Ordering::Relaxed))
    }

    fn count(&self, bytes: usize) {
        self.terms.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[async_trait]
impl DataConnection for PlainData {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        // A full buffer would grow, which nobody has accounted for.
        debug_assert!(buffer.len() < buffer.capacity(), "no room to read into");
        let data_timeout = self.terms.data_timeout;
        match timeout(data_timeout, self.wire.read(buffer)).await {
            Ok(Ok(Arrived::Bytes(read))) => {
                self.count(read);
                Ok(read)
            }
            Ok(Ok(Arrived::End)) => {
                self.client_remains().await?;
                Ok(0)
            }
            Ok(Ok(Arrived::DeclaredEnd)) => {
                // Some clients wait for ours before they look at the reply. One that does not has sent everything.
                let _ = timeout(data_timeout, self.end()).await;
                Ok(0)
            }
            // Some stacks end every connection so.
            Ok(Err(_)) if self.is_announced_size() => Ok(0),
            Ok(Err(error)) => Err(DataError::Lost(error)),
            Err(_) => Err(DataError::Stalled(data_timeout)),
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), DataError> {
        let data_timeout = self.terms.data_timeout;
        if std::mem::replace(&mut self.writing, true) {
            self.wire.set_nodelay().map_err(DataError::Lost)?;
        }
        while !bytes.is_empty() {
            let written = timeout(data_timeout, self.wire.write(bytes))
                .await
                .map_err(|_| DataError::Stalled(data_timeout))?
                .map_err(DataError::Lost)?;
            self.count(written);
            bytes = &bytes[written..];
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), DataError> {
        let data_timeout = self.terms.data_timeout;
        let ended = timeout(data_timeout, self.wire.end()).await;
        ended.map_err(|_| DataError::Stalled(data_timeout))?.map_err(DataError::Lost)?;
        let delivered = timeout(DELIVERY, self.wire.deliver()).await;
        delivered.map_err(|_| DataError::Stalled(DELIVERY))?.map_err(DataError::Lost)
    }

    fn reset(self: Box<Self>) {
        self.wire.reset();
    }
}
