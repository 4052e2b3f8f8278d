//! A minimal blocking FTP client that costs as little as possible beside the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::server::Server;

const BUFFER: usize = 256 * 1024;

pub(crate) struct Client {
    control: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn login(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let mut client = Self { control: BufReader::new(stream) };
        client.expect("220");
        client.command(&format!("USER {}", server.user), "331");
        client.command(&format!("PASS {}", server.password), "230");
        client.command("TYPE I", "200");
        client
    }

    /// Uploads all of `content`.
    pub(crate) fn stor(&mut self, name: &str, content: &mut dyn Read) {
        let mut data = self.begin(&format!("STOR {name}"));
        let mut buffer = vec![0; BUFFER];
        loop {
            match content.read(&mut buffer).expect("content") {
                0 => break,
                read => data.write_all(&buffer[..read]).expect("data"),
            }
        }
        end(&data);
        self.expect("226");
    }

    /// Uploads `size` zeros.
    pub(crate) fn stor_zeros(&mut self, name: &str, size: u64) {
        self.stor(name, &mut std::io::repeat(0).take(size));
    }

    /// Downloads a file and returns its size.
    pub(crate) fn retr(&mut self, name: &str) -> u64 {
        let mut data = self.begin(&format!("RETR {name}"));
        let mut buffer = vec![0; BUFFER];
        let mut total = 0;
        loop {
            match data.read(&mut buffer).expect("data") {
                0 => break,
                read => total += read as u64,
            }
        }
        self.expect("226");
        total
    }

    fn begin(&mut self, command: &str) -> TcpStream {
        let reply = self.command("PASV", "227");
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

    fn expect(&mut self, code: &str) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).expect("reply");
        assert!(line.starts_with(code), "expected {code}, got {line:?}");
        line
    }
}

fn end(data: &TcpStream) {
    data.shutdown(Shutdown::Write).expect("shutdown");
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
