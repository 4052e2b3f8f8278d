//! The TCP connection that a data connection runs over: the client's own, or that of a replica which hands it on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::hop::Handed;
use crate::net;

/// A TCP connection on which the client's bytes arrive, and what is sent goes to the client.
#[derive(Debug)]
pub(super) enum Transport {
    /// The client's.
    Own(TcpStream),
    /// Another replica's, which has the client's. Its end is one only if that replica says so.
    Handed(Handed),
}

impl Transport {
    /// The same connection, that nothing was read from, woken on the thread that calls this.
    pub(super) fn rehome(self) -> io::Result<Self> {
        match self {
            Self::Own(stream) => net::rehome(stream).map(Self::Own),
            Self::Handed(handed) => handed.rehome().map(Self::Handed),
        }
    }

    /// What the kernel knows it by.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Own(stream) => stream,
            Self::Handed(handed) => handed.tcp(),
        }
    }

    /// Waits until what was sent is with the kernel that talks to the client, which then knows that it has everything. That
    /// is so at once unless another replica hands it on.
    pub(super) async fn deliver(&mut self) -> io::Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Handed(handed) => handed.deliver().await,
        }
    }

    fn writing(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(match self.get_mut() {
            Self::Own(stream) => stream,
            Self::Handed(handed) => handed.tcp_mut(),
        })
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Handed(handed) => Pin::new(handed).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing().poll_shutdown(context)
    }
}
