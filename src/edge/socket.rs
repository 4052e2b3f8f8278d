//! The client's end of the control connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::net;

/// A client that does not take a reply for this long is gone.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// A client that has given no sign of life for so long has vanished.
const VANISHED: Duration = Duration::from_mins(2);
/// How long, and for how many bytes, a connection that we end is read on, because closing it with bytes unread would
/// be a reset that can overtake the last reply.
const LINGER: Duration = Duration::from_secs(1);
const MOST_LINGERED: usize = 64 * 1024;

/// What the client sends.
#[derive(Debug)]
pub(super) struct Incoming(OwnedReadHalf);

/// What the client is sent.
#[derive(Debug)]
pub(super) struct Outgoing(OwnedWriteHalf);

/// Prepares a control connection.
pub(super) fn split(stream: TcpStream) -> io::Result<(Incoming, Outgoing)> {
    stream.set_nodelay(true)?;
    net::watch(&stream, VANISHED)?;
    // ABOR comes with its last byte marked urgent (RFC 959 section 4.1.3), which would be lost out of line.
    SockRef::from(&stream).set_out_of_band_inline(true)?;
    let (read, write) = stream.into_split();
    Ok((Incoming(read), Outgoing(write)))
}

impl Incoming {
    /// Appends what has arrived; 0 is the end. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        // A read stops short of a byte that was sent as urgent, and `AsyncRead` takes a short read for the sign that
        // nothing more is there. Only this way it is tried until nothing is.
        loop {
            self.0.readable().await?;
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

impl Incoming {
    /// Whether the client has ended its side, whatever of it is still to be read. A failure is an end as well.
    pub(super) async fn is_ended(&self) -> bool {
        self.0.ready(Interest::READABLE).await.map_or(true, tokio::io::Ready::is_read_closed)
    }
}

impl Outgoing {
    /// Sends all of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(WRITE_DEADLINE, self.0.write_all(bytes)).await?
    }

    /// Ends the connection so that everything that was sent arrives.
    pub(super) async fn close(mut self, mut incoming: Incoming) {
        if self.0.shutdown().await.is_err() {
            return;
        }
        let reading = async {
            let mut left = MOST_LINGERED;
            let mut buffer = BytesMut::with_capacity(1024);
            while let Ok(read @ 1..) = incoming.read(&mut buffer).await
                && read < left
            {
                left -= read;
                buffer.clear();
            }
        };
        // Late or early, the connection closes now.
        let _ = timeout(LINGER, reading).await;
    }
}
