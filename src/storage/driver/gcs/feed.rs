//! The body of a streaming request, fed piece by piece from elsewhere.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, oneshot};

/// A piece and its answer; with one piece on its way at a time there is always room for the next thing.
const ROOM: usize = 2;

/// What a body holds, as MD5: what Google keeps of an object.
pub(super) type Hash = [u8; 16];

/// What the body is made of.
pub(super) enum Fed {
    /// The next bytes, and who wants to know when all of them were taken.
    Piece(VecDeque<Bytes>, oneshot::Sender<()>),
    /// The body is whole; who wants its hash.
    End(oneshot::Sender<Hash>),
}

/// Where pieces are put in.
pub(super) type Feeder = mpsc::Sender<Fed>;

/// A body, as the request reads it. It ends only where [`Fed::End`] was put in. If the feeder goes before, it ends in an
/// error: the request breaks off in the middle of its body, and the store has nothing to keep.
#[derive(Debug)]
pub(super) struct Feed {
    fed: mpsc::Receiver<Fed>,
    piece: VecDeque<Bytes>,
    taken: Option<oneshot::Sender<()>>,
    hash: Md5,
    ended: bool,
}

/// A body and where it is fed.
pub(super) fn feed() -> (Feeder, Feed) {
    let (feeder, fed) = mpsc::channel(ROOM);
    (feeder, Feed { fed, piece: VecDeque::new(), taken: None, hash: Md5::new(), ended: false })
}

impl AsyncRead for Feed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.piece.front_mut() {
                let taken = bytes.split_to(bytes.len().min(buffer.remaining()));
                this.hash.update(&taken);
                buffer.put_slice(&taken);
                if bytes.is_empty() {
                    this.piece.pop_front();
                }
                if this.piece.is_empty()
                    && let Some(taken) = this.taken.take()
                {
                    // Who has stopped waiting does not want to know.
                    let _ = taken.send(());
                }
                // To have read nothing would be the end.
                if taken.is_empty() && buffer.remaining() > 0 {
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(this.fed.poll_recv(cx)) {
                // All of nothing is taken at once.
                Some(Fed::Piece(piece, taken)) if piece.is_empty() => drop(taken.send(())),
                Some(Fed::Piece(piece, taken)) => (this.piece, this.taken) = (piece, Some(taken)),
                Some(Fed::End(hash)) => {
                    this.ended = true;
                    let _ = hash.send(this.hash.finalize_reset().into());
                }
                None => {
                    let given_up =
                        io::Error::new(io::ErrorKind::ConnectionAborted, "the upload was given up");
                    return Poll::Ready(Err(given_up));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn piece(bytes: &[&'static [u8]]) -> (Fed, oneshot::Receiver<()>) {
        let (taken, was_taken) = oneshot::channel();
        (Fed::Piece(bytes.iter().copied().map(Bytes::from_static).collect(), taken), was_taken)
    }

    #[tokio::test]
    async fn a_body_is_its_pieces_to_the_end_that_was_put_in() {
        let (feeder, mut feed) = feed();
        let (one, mut taken) = piece(&[b"one ", b"", b"two"]);
        feeder.send(one).await.expect("room");
        let mut start = [0; 5];
        feed.read_exact(&mut start).await.expect("there");
        assert_eq!(&start, b"one t");
        assert!(taken.try_recv().is_err(), "some of it is left");
        let (end, hash) = oneshot::channel();
        feeder.send(Fed::End(end)).await.expect("room");
        let mut rest = Vec::new();
        feed.read_to_end(&mut rest).await.expect("whole");
        assert_eq!(rest, b"wo");
        taken.try_recv().expect("all of it was taken");
        assert_eq!(hash.await.expect("ended"), <Hash>::from(Md5::digest(b"one two")));
        // Whoever reads again reads the end again.
        drop(feeder);
        assert_eq!(feed.read(&mut start).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn a_body_whose_feeder_is_gone_ends_in_an_error() {
        let (feeder, mut feed) = feed();
        let (one, _) = piece(&[b"some"]);
        feeder.send(one).await.expect("room");
        drop(feeder);
        let mut read = Vec::new();
        let error = feed.read_to_end(&mut read).await.expect_err("not whole");
        assert_eq!((error.kind(), &*read), (io::ErrorKind::ConnectionAborted, &b"some"[..]));
    }
}
