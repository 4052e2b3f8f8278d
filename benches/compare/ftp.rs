//! A minimal blocking FTP client that costs as little as possible beside the server.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::server::{Login, Server};

const BUFFER: usize = 256 * 1024;

pub(crate) struct Client {
    control: BufReader<Channel>,
    buffer: Vec<u8>,
    server: &'static str,
    tls: Option<Arc<ClientConfig>>,
    /// Where data connections go instead of where they should.
    via: Option<IpAddr>,
}

/// A connection to a server.
enum Channel {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A socket that is read far more than the 4 KiB at a time that TLS asks for: a client that needs four system calls a record
/// would be measured instead of the server.
struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.get_mut().write_vectored(pieces)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.get_mut().flush()
    }
}

impl Channel {
    fn new(stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Self {
        let Some(tls) = tls else { return Self::Plain(stream) };
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(tls), name).expect("client");
        Self::Tls(Box::new(StreamOwned::new(client, Socket(BufReader::with_capacity(BUFFER, stream)))))
    }

    /// Says that all has been sent, and waits for the server to have it: a close with bytes unread, such as tickets, is a
    /// reset.
    fn finish(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush().expect("data");
            stream.sock.0.get_ref().shutdown(Shutdown::Write).expect("data");
            std::io::copy(&mut stream.sock, &mut std::io::sink()).ok();
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => match stream.read(buffer) {
                // Some servers leave out the sign that this is all.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Client {
    /// Logs in and is ready to move files.
    pub(crate) fn login(server: &Server) -> Self {
        Self::login_as(server, &server.login)
    }

    /// The same as another user.
    pub(crate) fn login_as(server: &Server, login: &Login) -> Self {
        let mut client = Self::connect_as(server, login);
        client.command("TYPE I", "200");
        client.command(&format!("CWD {}", login.directory), "250");
        client.buffer = vec![0; BUFFER];
        client
    }

    /// From now on data connections go to another address.
    pub(crate) fn via(mut self, address: IpAddr) -> Self {
        self.via = Some(address);
        self
    }

    /// Logs in, and no more.
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_as(server, &server.login)
    }

    fn connect_as(server: &Server, login: &Login) -> Self {
        let stream = TcpStream::connect(server.address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let tls = server.tls.clone();
        let control = BufReader::new(Channel::new(stream, None));
        let mut client = Self { control, buffer: Vec::new(), server: server.name, tls, via: None };
        client.expect("220");
        if client.tls.is_some() {
            client.command("AUTH TLS", "234");
            let Channel::Plain(stream) = client.control.into_inner() else { unreachable!("it was plain") };
            client.control = BufReader::new(Channel::new(stream, client.tls.as_ref()));
        }
        client.command(&format!("USER {}", login.user), "331");
        client.command(&format!("PASS {}", login.password), "230");
        if client.tls.is_some() {
            client.command("PBSZ 0", "200");
            client.command("PROT P", "200");
        }
        client
    }

    pub(crate) fn quit(mut self) {
        self.command("QUIT", "221");
    }

    /// Uploads all of `content`.
    pub(crate) fn stor(&mut self, name: &str, content: &mut dyn Read) {
        self.send(name, content).finish();
        self.expect("226");
    }

    /// Uploads all of `content` and is gone before the server can tell that this was all.
    pub(crate) fn stor_and_vanish(mut self, name: &str, content: &mut dyn Read) {
        let data = self.send(name, content);
        drop(self.control);
        drop(data);
    }

    /// Goes on with an upload at `offset` (RFC 3659, 5).
    pub(crate) fn restart(&mut self, offset: u64) {
        self.command(&format!("REST {offset}"), "350");
    }

    /// The size of a file, or none while there is no such file.
    pub(crate) fn size(&mut self, name: &str) -> Option<u64> {
        let reply = self.command(&format!("SIZE {name}"), "");
        reply.strip_prefix("213 ").map(|size| size.trim().parse().expect("size"))
    }

    fn send(&mut self, name: &str, content: &mut dyn Read) -> Channel {
        let mut data = self.begin(&format!("STOR {name}"));
        loop {
            match content.read(&mut self.buffer).expect("content") {
                0 => return data,
                read => data.write_all(&self.buffer[..read]).expect("data"),
            }
        }
    }

    /// Lists a directory, and returns how many lines there were and how many seconds the first one took.
    pub(crate) fn list(&mut self, directory: &str) -> (usize, f64) {
        let begun = Instant::now();
        let mut data = BufReader::new(self.begin(&format!("LIST {directory}")));
        let mut line = String::new();
        data.read_line(&mut line).expect("line");
        let first = begun.elapsed().as_secs_f64();
        let mut lines = 1;
        while data.skip_until(b'\n').expect("line") > 0 {
            lines += 1;
        }
        self.expect("226");
        (lines, first)
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

    fn begin(&mut self, command: &str) -> Channel {
        // Two sessions of pure-ftpd at times take the same port at once, and one of them is told 425.
        let reply = loop {
            let reply = self.command("PASV", "");
            if !reply.starts_with("425") {
                break reply;
            }
        };
        let numbers = reply.split_once('(').expect("227").1.split_once(')').expect("227").0;
        let numbers: Vec<u16> = numbers.split(',').map(|n| n.parse().expect("number")).collect();
        let [a, b, c, d, high, low] = numbers[..] else { panic!("six numbers") };
        let told = format!("{a}.{b}.{c}.{d}").parse().expect("an address");
        let address = SocketAddr::new(self.via.unwrap_or(told), high * 256 + low);
        let data = TcpStream::connect(address).expect("data connection");
        self.command(command, "1");
        Channel::new(data, self.tls.as_ref())
    }

    fn command(&mut self, line: &str, code: &str) -> String {
        let control = self.control.get_mut();
        control.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| control.flush()).expect("send");
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
    /// Bytes of the state that have not been read.
    rest: usize,
}

impl Pattern {
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, left: size, rest: 0 }
    }

    /// The same bytes without the first ones.
    pub(crate) fn skip(mut self, bytes: u64) -> Self {
        std::io::copy(&mut self.by_ref().take(bytes), &mut std::io::sink()).expect("pattern");
        self
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let mut filled = 0;
        while filled < wanted {
            if self.rest == 0 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.rest = 8;
            }
            let word = self.state.to_le_bytes();
            let fits = self.rest.min(wanted - filled);
            buffer[filled..filled + fits].copy_from_slice(&word[8 - self.rest..][..fits]);
            self.rest -= fits;
            filled += fits;
        }
        self.left -= wanted as u64;
        Ok(wanted)
    }
}
