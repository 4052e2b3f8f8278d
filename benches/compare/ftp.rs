//! A minimal blocking FTP client that costs as little as possible beside the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::server::Server;

const BUFFER: usize = 256 * 1024;

pub(crate) struct Client {
    control: BufReader<TcpStream>,
    buffer: Vec<u8>,
    server: &'static str,
}

impl Client {
    /// Logs in and is ready to move files.
    pub(crate) fn login(server: &Server) -> Self {
        let mut client = Self::connect(server);
        client.command("TYPE I", "200");
        client.command(&format!("CWD {}", server.login.directory), "250");
        client.buffer = vec![0; BUFFER];
        client
    }

    /// Logs in, and no more.
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let mut client = Self { control: BufReader::new(stream), buffer: Vec::new(), server: server.name };
        client.expect("220");
        client.command(&format!("USER {}", server.login.user), "331");
        client.command(&format!("PASS {}", server.login.password), "230");
        client
    }

    pub(crate) fn quit(mut self) {
        self.command("QUIT", "221");
    }

    /// Uploads all of `content`.
    pub(crate) fn stor(&mut self, name: &str, content: &mut dyn Read) {
        let mut data = self.begin(&format!("STOR {name}"));
        loop {
            match content.read(&mut self.buffer).expect("content") {
                0 => break,
                read => data.write_all(&self.buffer[..read]).expect("data"),
            }
        }
        drop(data);
        self.expect("226");
    }

    /// Uploads `size` zeros.
    pub(crate) fn stor_zeros(&mut self, name: &str, size: u64) {
        self.stor(name, &mut std::io::repeat(0).take(size));
    }

    /// Downloads a file and returns its size.
    pub(crate) fn retr(&mut self, name: &str) -> u64 {
        let mut data = self.begin(&format!("RETR {name}"));
        let mut total = 0;
        loop {
            match data.read(&mut self.buffer).expect("data") {
                0 => break,
                read => total += read as u64,
            }
        }
        // Before the reply, which some servers hold back until the client has closed as well.
        drop(data);
        self.expect("226");
        total
    }

    fn begin(&mut self, command: &str) -> TcpStream {
        // Two sessions of pure-ftpd at times take the same port at once, and one of them is told 425.
        let reply = loop {
            let reply = self.command("PASV", "");
            if !reply.starts_with("425") {
                break reply;
            }
        };
        let numbers = reply.split_once('(').expect("227").1.split_once(')').expect("227").0;
        let numbers: Vec<u16> = numbers.split(',').map(|n| n.parse().expect("number")).collect();
        let address = format!(
            "{}.{}.{}.{}:{}",
            numbers[0],
            numbers[1],
            numbers[2],
            numbers[3],
            numbers[4] * 256 + numbers[5]
        );
        let data = TcpStream::connect(address).expect("data connection");
        self.command(command, "1");
        data
    }

    fn command(&mut self, line: &str, code: &str) -> String {
        self.control.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("send");
        self.expect(code)
    }

    /// The last line of a reply, which may have several (RFC 959, 4.2).
    fn expect(&mut self, code: &str) -> String {
        let mut line = self.line();
        assert!(line.starts_with(code), "expected {code} from {}, got {line:?}", self.server);
        if line.as_bytes()[3] == b'-' {
            let last = line[..3].to_owned() + " ";
            while !line.starts_with(&last) {
                line = self.line();
            }
        }
        line
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.control.read_line(&mut line).expect("reply");
        assert!(read > 3, "{} closed the connection", self.server);
        line
    }
}

/// Bytes that differ from one seed to the next and along the stream.
pub(crate) struct Pattern {
    state: u64,
    left: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, left: size }
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len()) / 8 * 8;
        for word in buffer[..wanted].chunks_exact_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes());
        }
        self.left -= wanted as u64;
        Ok(wanted)
    }
}
