//! Replies on the loopback pair (RFC 959 section 4.2).

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A reply: its code and its lines without code and line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// At least one line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }

    /// As it goes over the wire. Lines between the first and the last are sent as they are.
    pub fn to_wire(&self) -> String {
        let code = self.code;
        match self.lines.as_slice() {
            [] => format!("{code} \r\n"),
            [only] => format!("{code} {only}\r\n"),
            [first, between @ .., last] => {
                let mut wire = format!("{code}-{first}\r\n");
                for line in between {
                    // A line that began with a code would end the reply early.
                    let indent = if line.starts_with(|c: char| c.is_ascii_digit()) { " " } else { "" };
                    wire.push_str(indent);
                    wire.push_str(line);
                    wire.push_str("\r\n");
                }
                wire.push_str(&Self::new(code, last).to_wire());
                wire
            }
        }
    }

    /// The port in a 227.
    pub(super) fn passive_port(&self) -> Option<u16> {
        let text = self.lines.first()?;
        let numbers = text.split_once('(')?.1.split_once(')')?.0;
        let mut numbers = numbers.split(',').skip(4).map(str::parse::<u8>);
        let (high, low) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(u16::from_be_bytes([high, low]))
    }
}

/// Our end of the pair.
#[derive(Debug)]
pub(super) struct Replies {
    stream: BufReader<TcpStream>,
}

impl Replies {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::with_capacity(1024, stream) }
    }

    /// Sends one command.
    pub(super) async fn send(&mut self, line: &str) -> io::Result<()> {
        // One write is one segment: two would wait for each other's acknowledgement.
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await
    }

    /// The next reply. It comes from our own process, whose backend bounds what it puts in.
    pub(super) async fn next(&mut self) -> io::Result<Reply> {
        let first = self.line().await?;
        let code = first.get(..3).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut reply = Reply::new(code, first.get(4..).unwrap_or_default());
        if first.as_bytes().get(3) == Some(&b'-') {
            let end = format!("{code} ");
            loop {
                let line = self.line().await?;
                if let Some(last) = line.strip_prefix(&end) {
                    reply.lines.push(last.to_owned());
                    break;
                }
                reply.lines.push(line);
            }
        }
        Ok(reply)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_their_form_on_the_wire() {
        assert_eq!(Reply::new(200, "ok").to_wire(), "200 ok\r\n");
        let lines = ["Features:", " UTF8", "2 files", "End"].map(str::to_owned).to_vec();
        let wire = Reply { code: 211, lines }.to_wire();
        assert_eq!(wire, "211-Features:\r\n UTF8\r\n 2 files\r\n211 End\r\n");
    }

    #[test]
    fn the_port_of_a_227_is_found() {
        let reply = Reply::new(227, "Entering Passive Mode (127,3,4,5,195,80)");
        assert_eq!(reply.passive_port(), Some(50_000));
        assert_eq!(Reply::new(425, "no").passive_port(), None);
    }
}
