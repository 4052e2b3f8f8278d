//! The client's end of the control connection, in the clear or encrypted.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tcp::Tcp;
use crate::net;
use crate::tls::Stream;

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
pub(super) struct Incoming {
    from: From,
    socket: Tcp,
}

#[derive(Debug)]
enum From {
    Clear(Tcp),
    Secure(ReadHalf<Stream<Tcp>>),
}

/// What the client is sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// As it is.
    Clear(Tcp),
    /// Encrypted.
    Secure(WriteHalf<Stream<Tcp>>),
}

/// Prepares a control connection.
pub(super) fn prepare(stream: TcpStream) -> io::Result<Tcp> {
    stream.set_nodelay(true)?;
    net::watch(&stream, VANISHED)?;
    // ABOR comes with its last byte marked urgent (RFC 959 section 4.1.3), which would be lost out of line.
    SockRef::from(&stream).set_out_of_band_inline(true)?;
    Ok(Tcp::new(stream))
}

/// Both directions of a connection in the clear.
pub(super) fn clear(socket: &Tcp) -> (Incoming, Outgoing) {
    let incoming = Incoming { from: From::Clear(socket.clone()), socket: socket.clone() };
    (incoming, Outgoing::Clear(socket.clone()))
}

/// Both directions of the encrypted connection that runs over `socket`.
pub(super) fn secure(socket: &Tcp, stream: Stream<Tcp>) -> (Incoming, Outgoing) {
    let (read, write) = tokio::io::split(stream);
    let incoming = Incoming { from: From::Secure(read), socket: socket.clone() };
    (incoming, Outgoing::Secure(write))
}

impl Incoming {
    /// Appends what has arrived; 0 is the end. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match &mut self.from {
            From::Clear(socket) => socket.read_buf(buffer).await,
            From::Secure(stream) => match stream.read_buf(buffer).await {
                // A line is whole by its own end. Many clients leave without the farewell of TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }

    /// Whether the client has ended its side, whatever of it is still to be read. A failure is an end as well.
    pub(super) async fn is_ended(&self) -> bool {
        self.socket.is_ended().await
    }
}

impl Outgoing {
    /// Sends all of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            match self {
                Self::Clear(socket) => socket.write_all(bytes).await,
                Self::Secure(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        };
        timeout(WRITE_DEADLINE, writing).await?
    }

    /// Ends the connection so that everything that was sent arrives.
    pub(super) async fn close(mut self, mut incoming: Incoming) {
        let closing = async {
            let ended = match &mut self {
                Self::Clear(socket) => socket.shutdown().await,
                Self::Secure(stream) => stream.shutdown().await,
            };
            if ended.is_err() {
                return;
            }
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
        let _ = timeout(LINGER, closing).await;
    }
}
