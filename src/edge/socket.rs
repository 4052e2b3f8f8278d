//! The client's end of the control connection.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A client that does not take a reply for this long is gone.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Finds clients that vanished without a word during a long transfer.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A control connection. Clones are the same connection.
#[derive(Clone, Debug)]
pub(super) struct ControlSocket {
    stream: Arc<TcpStream>,
    /// The client has sent commands that are still to be answered, so its silence is no loss.
    owed: Arc<AtomicBool>,
}

impl ControlSocket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        // ABOR comes with its last byte marked urgent (RFC 959 section 4.1.3), which would be lost out of line.
        socket.set_out_of_band_inline(true)?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
        Ok(Self { stream: Arc::new(stream), owed: Arc::default() })
    }

    /// Appends what has arrived; 0 is the end. Dropping the future loses nothing.
    pub(super) async fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Sends all of `bytes`.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        timeout(WRITE_DEADLINE, async {
            while !bytes.is_empty() {
                match self.stream.try_write(bytes) {
                    Ok(written) => bytes = &bytes[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
        .await?
    }

    /// States whether commands of the client are still to be answered.
    pub(super) fn set_owed(&self, owed: bool) {
        self.owed.store(owed, Ordering::Relaxed);
    }

    /// Whether commands of the client are still to be answered.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Whether the client has closed the connection, or lost it, with nothing left to answer. A client that was killed
    /// closes its data connection as orderly as one that has sent everything; this tells the two apart.
    pub(super) fn is_gone(&self) -> bool {
        if self.is_owed() {
            return false;
        }
        match SockRef::from(&*self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(waiting) => waiting == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}
