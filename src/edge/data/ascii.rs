//! `TYPE A`: line ends are CRLF on the wire and LF in the store (RFC 959 section 3.1.1.1). Converted as the bytes pass:
//! nothing is held back but one byte of an upload, and a download needs one small buffer.

use async_trait::async_trait;

use crate::data::{DataConnection, DataError};

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// A download is sent in writes of this size, which is held beside `transfer.memory`.
const WRITE: usize = 16 * 1024;

/// A data connection whose lines end in CRLF on the wire and in LF for those above.
pub(super) struct AsciiData {
    inner: Box<dyn DataConnection>,
    /// A byte that was read and not yet passed on: a CR whose successor decides what it is, or one for which there was
    /// no room.
    held: Option<u8>,
    /// The client has sent everything.
    ended: bool,
    outgoing: Vec<u8>,
    /// What was sent last is a CR.
    after_cr: bool,
}

impl AsciiData {
    pub(super) fn new(inner: Box<dyn DataConnection>) -> Self {
        Self { inner, held: None, ended: false, outgoing: Vec::new(), after_cr: false }
    }

    /// Converts what was read into `buffer` from `start` on.
    fn convert(&mut self, buffer: &mut Vec<u8>, start: usize) {
        // Semantics decision: only CRLF is a line's end. A CR or LF alone is content, whoever sends it.
        let follows_cr = self.held.take().is_some();
        let begins_with_lf = buffer[start] == LF;
        let mut end = start;
        for at in start..buffer.len() {
            let byte = buffer[at];
            if byte == LF && end > start && buffer[end - 1] == CR {
                end -= 1;
            }
            buffer[end] = byte;
            end += 1;
        }
        buffer.truncate(end);
        if buffer.last() == Some(&CR) {
            self.held = buffer.pop();
        }
        if follows_cr && !begins_with_lf {
            if buffer.len() == buffer.capacity() {
                // So nothing was taken out, and the last byte is neither a CR nor an LF that ends a line.
                self.held = buffer.pop();
            }
            buffer.insert(start, CR);
        }
    }
}

#[async_trait]
impl DataConnection for AsciiData {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let start = buffer.len();
        while buffer.len() == start {
            if self.held.is_some_and(|byte| self.ended || byte != CR) {
                buffer.extend(self.held.take());
            } else if self.ended {
                return Ok(0);
            } else if self.inner.read(buffer).await? == 0 {
                self.ended = true;
            } else {
                self.convert(buffer, start);
            }
        }
        Ok(buffer.len() - start)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        for piece in bytes.chunks(WRITE / 2) {
            self.outgoing.clear();
            for &byte in piece {
                // Semantics decision: what is stored with CRLF, from binary uploads for instance, is sent as it is.
                if byte == LF && !self.after_cr {
                    self.outgoing.push(CR);
                }
                self.outgoing.push(byte);
                self.after_cr = byte == CR;
            }
            self.inner.write(&self.outgoing).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.inner.finish().await
    }

    fn reset(self: Box<Self>) {
        self.inner.reset();
    }
}

/// What holds for all bytes.
#[cfg(any(test, fuzzing))]
pub(in crate::edge) mod properties {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;

    use super::*;

    /// Whatever pieces a file comes in, and however little room there is for what is read of it, it is converted as a whole.
    pub(in crate::edge) fn every_split_comes_to_the_same(pieces: &[Vec<u8>], room: usize) {
        let whole = pieces.concat();
        assert_eq!(stored(pieces, room), to_lf(&whole), "{pieces:?} {room}");
        assert_eq!(sent(pieces), to_crlf(&whole), "{pieces:?}");
    }

    /// Gives what it was given piece by piece, and keeps what is written.
    #[derive(Default)]
    struct Wire {
        pieces: VecDeque<Vec<u8>>,
        sent: Arc<Mutex<Vec<u8>>>,
    }

    #[async_trait]
    impl DataConnection for Wire {
        async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
            assert!(buffer.len() < buffer.capacity(), "no room");
            let Some(piece) = self.pieces.front_mut() else { return Ok(0) };
            let taken = piece.len().min(buffer.capacity() - buffer.len());
            buffer.extend(piece.drain(..taken));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Ok(taken)
        }

        async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
            self.sent.lock().expect("no holder panics").extend(bytes);
            Ok(())
        }

        async fn finish(self: Box<Self>) -> Result<(), DataError> {
            Ok(())
        }

        fn reset(self: Box<Self>) {}
    }

    /// What an upload that arrives in these pieces comes to, read with buffers that have room for so many bytes.
    pub(super) fn stored(pieces: &[Vec<u8>], room: usize) -> Vec<u8> {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        let mut data = AsciiData::new(Box::new(Wire { pieces, ..Wire::default() }));
        let mut all = Vec::new();
        loop {
            let mut buffer = Vec::with_capacity(room + 1);
            buffer.push(b'#');
            let capacity = buffer.capacity();
            let read = data.read(&mut buffer).now_or_never().expect("never waits").expect("never fails");
            assert!(buffer.capacity() == capacity && buffer.len() == read + 1 && buffer[0] == b'#');
            if read == 0 {
                return all;
            }
            all.extend_from_slice(&buffer[1..]);
        }
    }

    /// What the client gets of a file that is sent in these pieces.
    pub(super) fn sent(pieces: &[Vec<u8>]) -> Vec<u8> {
        let wire = Wire::default();
        let sent = Arc::clone(&wire.sent);
        let mut data = AsciiData::new(Box::new(wire));
        for piece in pieces {
            data.write(piece).now_or_never().expect("never waits").expect("never fails");
        }
        sent.lock().expect("no holder panics").clone()
    }

    /// Bytes without CRLF, said simply.
    fn to_lf(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            if !(byte == CR && bytes.get(at + 1) == Some(&LF)) {
                out.push(byte);
            }
        }
        out
    }

    /// Bytes whose LF all follow a CR, said simply.
    fn to_crlf(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == LF && (at == 0 || bytes[at - 1] != CR) {
                out.push(CR);
            }
            out.push(byte);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::properties::*;
    use super::*;

    #[test]
    fn line_ends_are_converted_and_all_else_stays() {
        for (wire, store, back) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..], &b"a\r\nb\r\n"[..]),
            (b"a\rb\nc", b"a\rb\nc", b"a\rb\r\nc"),
            (b"\r\r\n\r", b"\r\n\r", b"\r\n\r"),
            (b"\r\n", b"\n", b"\r\n"),
            (b"\r\0\n\n", b"\r\0\n\n", b"\r\0\r\n\r\n"),
            (b"", b"", b""),
        ] {
            assert_eq!(stored(&[wire.to_vec()], 100), store);
            assert_eq!(sent(&[store.to_vec()]), back);
        }
    }

    #[test]
    fn long_downloads_are_written_in_bounded_pieces() {
        let lines = b"\n".repeat(100_000);
        assert_eq!(sent(&[lines]), b"\r\n".repeat(100_000));
    }

    proptest! {
        #[test]
        fn every_split_comes_to_the_same(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\na\0".to_vec()), 0..6), 0..8),
            room in 1..12_usize,
        ) {
            properties::every_split_comes_to_the_same(&pieces, room);
        }
    }

    #[test]
    fn every_split_of_every_short_text_comes_to_the_same() {
        const ALPHABET: [u8; 3] = [CR, LF, b'a'];
        for length in 0..=6_u32 {
            for number in 0..3_usize.pow(length) {
                let text: Vec<u8> = (0..length).map(|at| ALPHABET[number / 3_usize.pow(at) % 3]).collect();
                for cut in 0..=text.len() {
                    let pieces = [text[..cut].to_vec(), text[cut..].to_vec()];
                    for room in 1..=4 {
                        properties::every_split_comes_to_the_same(&pieces, room);
                    }
                }
            }
        }
    }
}
