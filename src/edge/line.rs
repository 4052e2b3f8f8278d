//! Command lines: bounded, with Telnet's bytes taken out (RFC 959 section 5.3, RFC 854).

use std::io;

use bytes::{Buf, BytesMut};

use super::socket::ControlSocket;

/// The longest command line in bytes, its end included.
const LONGEST_LINE: usize = 4096;
/// How much of an overlong line is dropped before the client is cut off.
const LONGEST_DROPPED: usize = 64 * 1024;

/// Telnet's "interpret as command"; doubled it stands for itself.
const IAC: u8 = 0xff;
/// Telnet commands from here on up to IAC are followed by one option byte (WILL, WONT, DO, DONT).
const FIRST_WITH_OPTION: u8 = 0xfb;
/// The first Telnet command; lower bytes after IAC are data of a client that does not double it.
const FIRST_TELNET_COMMAND: u8 = 0xf0;

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
    socket: ControlSocket,
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no line end.
    searched: usize,
    /// Bytes dropped of an overlong line; none if the line is not overlong.
    dropped: Option<usize>,
}

impl LineReader {
    pub(super) fn new(socket: ControlSocket) -> Self {
        Self { socket, buffer: BytesMut::new(), searched: 0, dropped: None }
    }

    /// The next line. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(line);
            }
            // A session that is idle holds no buffer for its next command.
            self.buffer.reserve(LONGEST_LINE.min(512));
            if self.socket.read(&mut self.buffer).await? == 0 {
                return Ok(Line::End);
            }
        }
    }

    fn buffered(&mut self) -> Option<Line> {
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
            return Some(Line::Command(clean(&line[..end])));
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

/// The line without Telnet commands and without the CR before its LF.
fn clean(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut cleaned = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (IAC, Some(IAC)) => {
                bytes.next();
                cleaned.push(IAC);
            }
            (IAC, Some(FIRST_WITH_OPTION..)) => {
                bytes.next();
                bytes.next();
            }
            (IAC, Some(FIRST_TELNET_COMMAND..)) => {
                bytes.next();
            }
            _ => cleaned.push(byte),
        }
    }
    // The data mark of a Synch arrives without its IAC when that came as urgent data (RFC 854).
    if cleaned.first() == Some(&0xf2) {
        cleaned.remove(0);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn lines(input: Vec<u8>) -> Vec<Line> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let writing = tokio::spawn(async move {
            let mut client = TcpStream::connect(address).await.expect("connect");
            client.write_all(&input).await.ok();
        });
        let (stream, _) = listener.accept().await.expect("accept");
        let mut reader = LineReader::new(ControlSocket::new(stream).expect("socket"));
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
        let input = b"NOOP\r\nPWD\nSTOR a\xffb\r\n\xff\xf4\xff\xf2ABOR\r\n\xf2ABOR\r\nx\xff\xffy\r\n\xff\xfb\x01NOOP\r\n";
        let expected = [
            command(b"NOOP"),
            command(b"PWD"),
            command(b"STOR a\xffb"),
            command(b"ABOR"),
            command(b"ABOR"),
            command(b"x\xffy"),
            command(b"NOOP"),
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
    async fn a_line_without_end_is_given_up() {
        assert_eq!(lines(vec![b'a'; 1 << 20]).await, [Line::TooLong, Line::Endless]);
    }
}
