//! What a data connection runs over: TCP in the clear, or TLS.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use super::transport::Transport;
use crate::data::DataError;
use crate::net;
use crate::tls::{self, DataTlsError, Way};

/// TLS reads 4 KiB at a time, which is a quarter of a record. This saves it most of the system calls. It is held for the
/// whole upload, beside `transfer.memory`.
const READ_AHEAD: usize = 16 * 1024;

/// How much TLS holds of what the client does not take; by itself it would be twice as much.
const SENT_AHEAD: usize = 32 * 1024;

/// What a data connection runs over.
#[derive(Debug)]
pub(super) enum Wire {
    /// Nothing but TCP.
    Clear(Transport),
    /// TLS of this session, which is told once of an end that was not declared.
    Secure(Box<tls::Stream<BufReader<Transport>>>, Option<tls::Session>),
}

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// So many bytes.
    Bytes(usize),
    /// The connection has ended in order, which it does for a client that was killed, too.
    End,
    /// The client has said that this is the end.
    DeclaredEnd,
}

impl Wire {
    /// The handshake of `tls` on `stream`. The caller bounds the wait.
    pub(super) async fn secure(stream: Transport, tls: tls::Session, way: Way) -> Result<Self, DataError> {
        // The parts of a handshake answer each other.
        stream.tcp().set_nodelay(true).map_err(DataError::Lost)?;
        let read_ahead = match way {
            Way::Upload => READ_AHEAD,
            // A client says little more than its handshake.
            Way::Download => 1024,
        };
        match tls.accept(BufReader::with_capacity(read_ahead, stream), way).await {
            Ok(mut stream) => {
                stream.get_mut().1.set_buffer_limit(Some(SENT_AHEAD));
                Ok(Self::Secure(Box::new(stream), Some(tls)))
            }
            Err(error) => {
                tracing::debug!(%error, "TLS on a data connection failed");
                Err(DataError::NotSecured(match error {
                    DataTlsError::Handshake(_) => "the TLS handshake failed",
                    DataTlsError::NotResumed => "it must resume the TLS session of the control connection",
                    DataTlsError::OtherCertificate => {
                        "it must show the certificate of the control connection"
                    }
                }))
            }
        }
    }

    /// Appends what has arrived to `buffer`, up to its spare capacity. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Arrived> {
        match self {
            Self::Clear(stream) => Ok(match stream.read_buf(buffer).await? {
                0 => Arrived::End,
                read => Arrived::Bytes(read),
            }),
            Self::Secure(stream, session) => match stream.read_buf(buffer).await {
                Ok(0) => Ok(Arrived::DeclaredEnd),
                Ok(read) => Ok(Arrived::Bytes(read)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    if let Some(session) = session.take() {
                        session.ended_without_close_notify();
                    }
                    Ok(Arrived::End)
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Whether clients that are not killed say so when they end.
    pub(super) fn declares_ends(&self) -> bool {
        matches!(self, Self::Secure(..))
    }

    /// Sends some of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes).await,
            Self::Secure(stream, _) => stream.write(bytes).await,
        }
    }

    /// What is written next does not wait for the acknowledgement of what was written before.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.transport().tcp().set_nodelay(true)
    }

    /// Tells the client that this is the end of what it is sent.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        match self {
            // Closing ends the connection in order, as long as the client has sent nothing.
            Self::Clear(_) => Ok(()),
            Self::Secure(stream, _) => stream.shutdown().await,
        }
    }

    /// Waits, after the end, until the client's kernel can have everything without our doing. It takes as long as the client
    /// where another replica hands the connection on, and else no time.
    pub(super) async fn deliver(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.deliver().await,
            Self::Secure(stream, _) => stream.get_mut().0.get_mut().deliver().await,
        }
    }

    /// Closes the connection so that the client cannot take what it got for the whole.
    pub(super) fn reset(self) {
        net::reset_on_close(self.transport().tcp());
    }

    fn transport(&self) -> &Transport {
        match self {
            Self::Clear(stream) => stream,
            Self::Secure(stream, _) => stream.get_ref().0.get_ref(),
        }
    }
}
