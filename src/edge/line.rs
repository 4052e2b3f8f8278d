//! Command lines: bounded, with Telnet's bytes taken out (RFC 959 section 5.3), and a bounded queue of those that came
//! before their turn.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};

use tokio::time::sleep;

use super::pace::Pace;
use super::socket::Incoming;
use super::telnet;

/// The longest command line in bytes, its end included.
const LONGEST_LINE: usize = 4096;
/// How much of an overlong line is dropped before the client is cut off.
const LONGEST_DROPPED: usize = 64 * 1024;
const FIRST_READ: usize = 512;
/// How many bytes of lines may wait for their turn; beyond that they wait in the client's kernel.
const LONGEST_QUEUE: usize = 64 * 1024;
/// How often a connection that is not read is looked at for its end.
const GLANCE: Duration = Duration::from_millis(5);
/// What a queued line costs besides its bytes.
const QUEUED_LINE: usize = size_of::<Line>();

/// What the client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A command line without its end.
    Command(Vec<u8>),
    /// A line longer than 4096 bytes, of which the rest will be dropped.
    TooLong,
    /// A line without end.
    Endless,
    /// The end of the connection.
    End,
}

/// Reads lines from a control connection.
#[derive(Debug)]
pub(super) struct LineReader {
    incoming: Incoming,
    pace: Pace,
    cutter: Cutter,
    /// Lines that came while an earlier command ran.
    queue: VecDeque<Line>,
    queued: usize,
    ended: bool,
}

impl LineReader {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            pace: Pace::new(),
            cutter: Cutter::default(),
            queue: VecDeque::new(),
            queued: 0,
            ended: false,
        }
    }

    /// The next line in its turn. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        if let Some(line) = self.queue.pop_front() {
            self.queued -= cost(&line);
            return Ok(line);
        }
        self.arrive().await
    }

    /// The next line that arrives, past those that are queued. Dropping the future loses nothing.
    pub(super) async fn arrive(&mut self) -> io::Result<Line> {
        self.pace.ready().await;
        loop {
            if let Some(line) = self.cutter.next() {
                self.pace.take();
                return Ok(line);
            }
            if self.ended {
                return Ok(Line::End);
            }
            // A client that sends faster than it is read must not keep everybody else from this thread.
            tokio::task::coop::consume_budget().await;
            // A session that is idle holds no buffer for its next command.
            self.cutter.buffer.reserve(FIRST_READ);
            if self.incoming.read(&mut self.cutter.buffer).await? == 0 {
                self.ended = true;
            }
        }
    }

    /// Keeps a line that has arrived until its turn comes.
    pub(super) fn queue(&mut self, line: Line) {
        self.queued += cost(&line);
        self.queue.push_back(line);
    }

    /// Whether lines wait for their turn.
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Like [`LineReader::arrive`]; but while no more lines may be queued, nothing is read, and only the end of the
    /// connection arrives, past what is not read.
    pub(super) async fn arrive_or_end(&mut self) -> io::Result<Line> {
        if !self.is_full() {
            return self.arrive().await;
        }
        while !self.incoming.is_ended().await {
            sleep(GLANCE).await;
        }
        Ok(Line::End)
    }

    /// Whether no more lines may be queued.
    fn is_full(&self) -> bool {
        self.queued >= LONGEST_QUEUE
    }

    /// From now on lines come from `incoming`. What has been read and what waits is dropped: it came in the clear,
    /// where anybody could have put it.
    pub(super) fn secure(&mut self, incoming: Incoming) {
        *self = Self::new(incoming);
    }

    /// The connection, without what has been read.
    pub(super) fn into_incoming(self) -> Incoming {
        self.incoming
    }
}

/// Cuts what has arrived into lines.
#[derive(Debug, Default)]
struct Cutter {
    /// What has arrived and was not given out.
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no line end.
    searched: usize,
    /// Bytes dropped of an overlong line; none if the line is not overlong.
    dropped: Option<usize>,
    /// Bytes of empty lines since the last command.
    blank: usize,
}

impl Cutter {
    /// The next line; none until more arrives.
    fn next(&mut self) -> Option<Line> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let Some(end) = end.map(|found| self.searched + found) else {
                self.searched = self.buffer.len();
                return self.without_end();
            };
            let line = self.buffer.split_to(end + 1);
            self.searched = 0;
            // The end of a line that was reported already.
            if self.dropped.take().is_some() {
                continue;
            }
            if line.len() > LONGEST_LINE {
                return Some(Line::TooLong);
            }
            let line = telnet::clean(&line[..end]);
            // Some programs end each line twice; the second end is no command.
            if line.is_empty() {
                self.blank += end + 1;
                if self.blank > LONGEST_DROPPED {
                    return Some(Line::Endless);
                }
                continue;
            }
            self.blank = 0;
            return Some(Line::Command(line));
        }
    }

    fn without_end(&mut self) -> Option<Line> {
        match &mut self.dropped {
            None if self.buffer.len() <= LONGEST_LINE => return None,
            None => self.dropped = Some(0),
            Some(dropped) => {
                *dropped += self.buffer.len();
                let endless = *dropped > LONGEST_DROPPED;
                self.forget();
                return endless.then_some(Line::Endless);
            }
        }
        self.dropped = Some(self.buffer.len());
        self.forget();
        Some(Line::TooLong)
    }

    fn forget(&mut self) {
        self.buffer.advance(self.buffer.len());
        self.searched = 0;
    }
}

fn cost(line: &Line) -> usize {
    let bytes = match line {
        Line::Command(line) => line.len(),
        Line::TooLong | Line::Endless | Line::End => 0,
    };
    QUEUED_LINE + bytes
}

/// What holds for all bytes.
#[cfg(any(test, fuzzing))]
pub(super) mod properties {
    use super::*;

    /// The lines that `pieces` come to, which are the same for all pieces of the same bytes, and none longer than it may be.
    pub(in crate::edge) fn lines_however_cut(pieces: &[Vec<u8>]) -> Vec<Line> {
        let mut cutter = Cutter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            cutter.buffer.extend_from_slice(piece);
            lines.extend(std::iter::from_fn(|| cutter.next()));
            assert!(cutter.buffer.len() <= LONGEST_LINE, "{} bytes are held", cutter.buffer.len());
        }
        let whole = pieces.concat();
        // More than that in one line is given up, sooner or later with the pieces.
        if whole.len() <= LONGEST_DROPPED {
            assert_eq!(lines, said_simply(&whole));
        }
        lines
    }

    fn said_simply(bytes: &[u8]) -> Vec<Line> {
        let line = |line: &[u8]| match line.strip_suffix(b"\n") {
            _ if line.len() > LONGEST_LINE => Some(Line::TooLong),
            Some(line) => {
                Some(Line::Command(telnet::clean(line))).filter(|line| *line != Line::Command(Vec::new()))
            }
            None => None,
        };
        bytes.split_inclusive(|&byte| byte == b'\n').filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::edge::socket;

    async fn lines(input: Vec<u8>) -> Vec<Line> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let writing = tokio::spawn(async move {
            let mut client = TcpStream::connect(address).await.expect("connect");
            client.write_all(&input).await.ok();
        });
        let (stream, _) = listener.accept().await.expect("accept");
        let mut reader = LineReader::new(socket::clear(&socket::prepare(stream).expect("socket")).0);
        let mut lines = Vec::new();
        loop {
            let line = reader.next().await.expect("read");
            let last = matches!(line, Line::End | Line::Endless);
            lines.push(line);
            if last {
                drop(reader);
                writing.await.expect("write");
                return lines;
            }
        }
    }

    fn command(text: &[u8]) -> Line {
        Line::Command(text.to_vec())
    }

    #[tokio::test]
    async fn line_ends_and_telnet_bytes_are_taken_out() {
        let input = b"NOOP\r\r\n\r\n\nPWD\nSTOR a\xffb\r\n\xff\xf4\xff\xf2ABOR\r\n\xf2ABOR\r\nx\xff\xffy\r\n\xff\xfb\x01NOOP\r\n\
            STOR \xff\xf0\xff\xfd\xff\xff\r\n";
        let expected = [
            command(b"NOOP"),
            command(b"PWD"),
            command(b"STOR a\xffb"),
            command(b"ABOR"),
            command(b"ABOR"),
            command(b"x\xffy"),
            command(b"NOOP"),
            command(b"STOR \xff\xf0\xff\xfd\xff"),
            Line::End,
        ];
        assert_eq!(lines(input.to_vec()).await, expected);
    }

    #[tokio::test]
    async fn an_overlong_line_is_dropped_and_the_next_one_counts() {
        let mut input = vec![b'a'; 10_000];
        input.extend_from_slice(b"\r\nNOOP\r\n");
        assert_eq!(lines(input).await, [Line::TooLong, command(b"NOOP"), Line::End]);
        let mut fits = vec![b'a'; LONGEST_LINE - 2];
        fits.extend_from_slice(b"\r\n");
        assert_eq!(lines(fits.clone()).await, [command(&fits[..LONGEST_LINE - 2]), Line::End]);
    }

    #[tokio::test]
    async fn the_queue_is_served_first_and_is_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let (stream, _) = listener.accept().await.expect("accept");
        let mut reader = LineReader::new(socket::clear(&socket::prepare(stream).expect("socket")).0);
        client.write_all(b"NOOP\r\nPWD\r\n").await.expect("write");
        let early = reader.arrive().await.expect("read");
        reader.queue(early);
        assert_eq!(reader.arrive().await.expect("read"), command(b"PWD"), "arrives past the queue");
        assert_eq!(reader.next().await.expect("queued"), command(b"NOOP"));
        assert!(!reader.has_queued() && reader.queued == 0);
        while !reader.is_full() {
            reader.queue(command(b"NOOP"));
        }
        assert!(reader.queue.len() < 4000, "{} lines", reader.queue.len());
    }

    #[tokio::test]
    async fn a_flood_of_empty_lines_is_given_up() {
        let mut input = b"\r\n".repeat(1000);
        input.extend_from_slice(b"NOOP\r\n");
        input.extend_from_slice(&b"\n".repeat(1 << 20));
        assert_eq!(lines(input).await, [command(b"NOOP"), Line::Endless]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        assert_eq!(lines(vec![b'a'; 1 << 20]).await, [Line::TooLong, Line::Endless]);
    }

    proptest! {
        #[test]
        fn every_cut_gives_the_same_lines(
            lines in prop::collection::vec(
                prop_oneof!["[A-Z]{1,4} ?[a-z\r]{0,9}\r?\n", "[\r\n]{1,4}", "x{4000,4200}\r?\n?"], 0..9,
            ),
            size in 1..6000_usize,
        ) {
            let bytes = lines.concat().into_bytes();
            properties::lines_however_cut(&bytes.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}
