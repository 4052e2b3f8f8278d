//! The owner's end of a hop: the client's bytes, taken out of the pieces that the forwarder sends them in.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, Take, copy, sink};
use tokio::net::TcpStream;

use super::word::{LENGTH, Word};
use crate::net;

/// A connection on which a forwarder has introduced itself.
#[derive(Debug)]
pub(in crate::edge::data) struct Handed {
    /// Up to the end of the piece that is being read.
    stream: Take<TcpStream>,
    /// What has arrived of the next word.
    word: [u8; LENGTH],
    arrived: usize,
    /// The client has ended its direction in order.
    ended: bool,
}

impl Handed {
    /// `stream`, of which everything up to the header has been read.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: stream.take(0), word: [0; LENGTH], arrived: 0, ended: false }
    }

    /// A connection that nothing was read from, woken on the thread that calls this.
    pub(in crate::edge::data) fn rehome(self) -> io::Result<Self> {
        net::rehome(self.stream.into_inner()).map(Self::new)
    }

    pub(in crate::edge::data) fn tcp(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(in crate::edge::data) fn tcp_mut(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Ends our direction, and waits until all of it is with the kernel that talks to the client. What the client sends
    /// meanwhile is dropped. Fails if the forwarder goes away before.
    pub(in crate::edge::data) async fn deliver(&mut self) -> io::Result<()> {
        // If this fails the next read does as well.
        let _ = self.stream.get_mut().shutdown().await;
        loop {
            copy(&mut self.stream, &mut sink()).await?;
            if self.stream.limit() > 0 {
                return Err(lost());
            }
            match poll_fn(|context| self.poll_word(context)).await? {
                Word::Piece(length) => self.stream.set_limit(length.get().into()),
                Word::End => {}
                Word::Delivered => return Ok(()),
            }
        }
    }

    fn poll_word(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Word>> {
        while self.arrived < LENGTH {
            let mut rest = ReadBuf::new(&mut self.word[self.arrived..]);
            ready!(Pin::new(self.stream.get_mut()).poll_read(context, &mut rest))?;
            match rest.filled().len() {
                0 => return Poll::Ready(Err(lost())),
                read => self.arrived += read,
            }
        }
        self.arrived = 0;
        Poll::Ready(Ok(Word::from_bytes(self.word)))
    }
}

impl AsyncRead for Handed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.ended && buffer.remaining() > 0 {
            if this.stream.limit() > 0 {
                let before = buffer.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                let ended = buffer.filled().len() == before;
                return Poll::Ready(if ended { Err(lost()) } else { Ok(()) });
            }
            match ready!(this.poll_word(context))? {
                Word::Piece(length) => this.stream.set_limit(length.get().into()),
                Word::End => this.ended = true,
                // We have not ended our direction.
                Word::Delivered => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Of another kind than the end of the data: TLS has to tell the two apart.
fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the replica that handed the connection on went away")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::net::TcpListener;

    use super::*;

    /// What is read of what a forwarder sends in these pieces, with room for so many bytes at a time.
    async fn read(sent: &[u8], room: usize) -> (Vec<u8>, io::Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut forwarder = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connect");
        let (stream, _) = listener.accept().await.expect("a connection");
        forwarder.write_all(sent).await.expect("loopback takes it");
        drop(forwarder);
        let (mut handed, mut all) = (Handed::new(stream), Vec::new());
        loop {
            let mut buffer = Vec::with_capacity(room);
            match (&mut handed).take(room as u64).read_buf(&mut buffer).await {
                Ok(0) => return (all, Ok(())),
                Ok(_) => all.extend(buffer),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    fn pieces(pieces: &[&[u8]]) -> Vec<u8> {
        let length =
            |piece: &[u8]| NonZeroU32::new(u32::try_from(piece.len()).expect("short")).expect("some");
        pieces.iter().flat_map(|piece| [&Word::Piece(length(piece)).to_bytes(), *piece].concat()).collect()
    }

    #[tokio::test]
    async fn only_a_word_is_an_end() {
        let all = pieces(&[b"one", b"2", b"and three"]);
        for room in [1, 2, 5, 1000] {
            let whole = [&all[..], &Word::End.to_bytes()].concat();
            let (bytes, ended) = read(&whole, room).await;
            assert_eq!((bytes.as_slice(), ended.is_ok()), (&b"one2and three"[..], true), "{room}");
            for cut in 0..whole.len() {
                let (bytes, ended) = read(&whole[..cut], room).await;
                let kind = ended.expect_err("no end").kind();
                assert_eq!(kind, io::ErrorKind::ConnectionReset, "{cut}");
                assert!(b"one2and three".starts_with(&bytes));
            }
        }
    }

    #[tokio::test]
    async fn what_was_sent_is_delivered_when_the_forwarder_says_so() {
        let deliver = async |sent: Vec<u8>| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            let mut forwarder = TcpStream::connect(address).await.expect("connect");
            let (stream, _) = listener.accept().await.expect("a connection");
            forwarder.write_all(&sent).await.expect("loopback takes it");
            forwarder.shutdown().await.expect("a live socket");
            Handed::new(stream).deliver().await
        };
        let delivered = Word::Delivered.to_bytes();
        for before in [Vec::new(), Word::End.to_bytes().to_vec(), pieces(&[b"alert", b"another"])] {
            assert!(deliver([&before[..], &delivered].concat()).await.is_ok());
            assert!(deliver([&before[..], &delivered[..3]].concat()).await.is_err());
            assert!(deliver(before).await.is_err());
        }
    }
}
