//! Commands and replies on our end of the loopback pair.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::reply::Reply;

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
