//! Data connections: opening one for a transfer, and moving bytes with a deadline.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::passive::Slot;
use super::socket::ControlSocket;
use crate::data::{Abort, DataConnection, DataError, OpenData};
use crate::net::rehome;

/// A client that does not open its data connection for this long will not.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// A file of up to this many bytes is handed to the client's kernel in one go: it is not killed half way through it.
const SENT_AT_ONCE: u64 = 64 * 1024;
/// How long, as a share of the transfer, the end of a larger file waits for the end of the control connection.
const GRACE_SHARE: u32 = 20;
/// The kernel of a killed process ends its connections one after the other, last opened first; on a busy machine
/// milliseconds pass in between.
const SHORTEST_GRACE: Duration = Duration::from_millis(20);
/// Ends that were sent together arrive together, unless one is lost and sent again.
const LONGEST_GRACE: Duration = Duration::from_millis(250);

/// Opens the data connection of a passive transfer.
#[derive(Debug)]
pub(super) struct PassiveOpener {
    pub(super) slot: Slot,
    pub(super) control: ControlSocket,
    pub(super) data_timeout: Duration,
    pub(super) abort: Abort,
    /// Counts what moves, for STAT.
    pub(super) moved: Arc<AtomicU64>,
    /// Told when the connection is there, so that 150 goes out.
    pub(super) opened: oneshot::Sender<()>,
}

#[async_trait]
impl OpenData for PassiveOpener {
    async fn open(mut self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError> {
        let stream = tokio::select! {
            biased;
            () = self.abort.requested() => return Err(self.abort.error()),
            connected = timeout(OPEN_DEADLINE.min(self.data_timeout), self.slot.connected()) => connected,
        };
        let stream = match stream {
            Ok(Some(stream)) => stream,
            Ok(None) => return Err(DataError::NotOpened("the port was taken back")),
            Err(_) => return Err(DataError::NotOpened("the client did not connect")),
        };
        let stream = rehome(stream).map_err(DataError::Lost)?;
        stream.set_nodelay(true).map_err(DataError::Lost)?;
        // The receiver is gone only if the session is, which the first read or write will notice.
        let _ = self.opened.send(());
        let (control, moved, opened) = (self.control.clone(), Arc::clone(&self.moved), Instant::now());
        Ok(Box::new(PlainData { stream, control, data_timeout: self.data_timeout, moved, opened }))
    }
}

/// A data connection in the clear.
#[derive(Debug)]
struct PlainData {
    stream: TcpStream,
    control: ControlSocket,
    data_timeout: Duration,
    moved: Arc<AtomicU64>,
    opened: Instant,
}

impl PlainData {
    async fn ready(&self, ready: impl Future<Output = io::Result<()>> + Send) -> Result<(), DataError> {
        match timeout(self.data_timeout, ready).await {
            Ok(ready) => ready.map_err(DataError::Lost),
            Err(_) => Err(DataError::Stalled(self.data_timeout)),
        }
    }

    /// At the end of the data: fails if the client did not end it but went away. The ends of the connections of a
    /// client that was killed come in any order, so the end of a larger file waits a little for the other.
    async fn control_remains(&self) -> Result<(), DataError> {
        if self.control.is_owed() {
            return Ok(());
        }
        if self.moved.load(Ordering::Relaxed) > SENT_AT_ONCE {
            sleep((self.opened.elapsed() / GRACE_SHARE).clamp(SHORTEST_GRACE, LONGEST_GRACE)).await;
        } else {
            tokio::task::yield_now().await;
        }
        if self.control.is_gone() { Err(DataError::ControlLost) } else { Ok(()) }
    }

    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[async_trait]
impl DataConnection for PlainData {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        // `try_read_buf` would make room of its own in a full buffer, which nobody has accounted for.
        debug_assert!(buffer.len() < buffer.capacity(), "no room to read into");
        loop {
            match self.stream.try_read_buf(buffer) {
                Ok(0) => {
                    self.control_remains().await?;
                    return Ok(0);
                }
                Ok(read) => {
                    self.count(read);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(self.stream.readable()).await?;
                }
                Err(error) => return Err(DataError::Lost(error)),
            }
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), DataError> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => {
                    self.count(written);
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(self.stream.writable()).await?;
                }
                Err(error) => return Err(DataError::Lost(error)),
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), DataError> {
        self.stream.shutdown().await.map_err(DataError::Lost)
    }

    fn reset(self: Box<Self>) {
        // Without lingering the close is a reset, which no client takes for the end of a file.
        if let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot reset a data connection");
        }
    }
}
