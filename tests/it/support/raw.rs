//! An FTP client made of bare sockets, which sends what it is told and shows every reply.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// No reply may take longer, on a busy machine either.
const DEADLINE: Duration = Duration::from_secs(40);

/// A reply: its code and its lines as they came, codes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// The text of the last line, without the code.
    pub(crate) fn text(&self) -> &str {
        self.lines.last().and_then(|line| line.get(4..)).unwrap_or_default()
    }
}

/// A control connection, and how to open data connections beside it.
pub(crate) struct Raw {
    reader: BufReader<TcpStream>,
    source: Option<IpAddr>,
    /// What was said, for the output of a test that fails.
    transcript: Vec<String>,
}

impl Raw {
    /// Connects and takes the greeting.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, source: Option<IpAddr>) -> Self {
        let mut raw = Self::connect_only(address, source);
        let greeting = raw.reply();
        assert_eq!(greeting.code, 220, "{greeting:?}");
        raw
    }

    /// Connects and leaves the greeting unread.
    #[track_caller]
    pub(crate) fn connect_only(address: SocketAddr, source: Option<IpAddr>) -> Self {
        let stream = open(address, source).expect("the gateway listens");
        Self { reader: BufReader::new(stream), source, transcript: Vec::new() }
    }

    /// Connects from this address; none if that is refused.
    #[track_caller]
    pub(crate) fn try_connect(address: SocketAddr, source: IpAddr) -> Option<Self> {
        match open(address, Some(source)) {
            Ok(stream) => {
                Some(Self { reader: BufReader::new(stream), source: Some(source), transcript: Vec::new() })
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
                None
            }
        }
    }

    /// The next reply; none if the gateway ends the connection, or has ended it, because it stops.
    #[track_caller]
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        match self.reader.fill_buf() {
            Ok([]) => return None,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                return None;
            }
        }
        Some(self.reply()).filter(|reply| reply.code != 421)
    }

    /// Sends a line and takes the reply in the same way.
    #[track_caller]
    pub(crate) fn try_ask(&mut self, line: &str) -> Option<Reply> {
        self.transcript.push(format!("C {line}"));
        // If nobody reads any more, the reply tells.
        let _ = self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes());
        self.try_reply()
    }

    /// Logs in.
    #[track_caller]
    pub(crate) fn logged_in(mut self, name: &str, password: &str) -> Self {
        self.expect(&format!("USER {name}"), 331);
        self.expect(&format!("PASS {password}"), 230);
        self
    }

    /// Sends a line.
    #[track_caller]
    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes());
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let shown: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
        self.transcript.push(format!("C {}", shown.trim_end().escape_debug()));
        self.reader.get_mut().write_all(bytes).expect("the gateway reads");
    }

    /// The next reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let first = self.line();
        let code = first.get(..3).and_then(|code| code.parse().ok());
        let code: u16 = code.unwrap_or_else(|| panic!("no reply but {first:?}"));
        let mut lines = vec![first];
        if lines[0].as_bytes().get(3) == Some(&b'-') {
            let end = format!("{code} ");
            while !lines.last().is_some_and(|line| line.starts_with(&end)) {
                lines.push(self.line());
            }
        } else {
            assert_eq!(lines[0].as_bytes().get(3), Some(&b' '), "{:?}", lines[0]);
        }
        Reply { code, lines }
    }

    /// The next reply, which must have this code.
    #[track_caller]
    pub(crate) fn reply_is(&mut self, code: u16) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.code, code, "{reply:?}");
        reply
    }

    /// Sends a line and takes the reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> Reply {
        self.send(line);
        self.reply()
    }

    /// Sends a line whose reply must have this code.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, code: u16) -> Reply {
        let reply = self.ask(line);
        assert_eq!(reply.code, code, "{line:?} got {reply:?}");
        reply
    }

    /// Sends these bytes as a line, and takes the reply as it comes; it must have this code.
    #[track_caller]
    pub(crate) fn expect_bytes(&mut self, line: &[u8], code: u16) -> Vec<u8> {
        self.send_bytes(&[line, b"\r\n"].concat());
        let mut reply = self.line_bytes();
        let last = format!("{code} ").into_bytes();
        let mut ended = reply.starts_with(&last);
        assert!(ended || reply.starts_with(format!("{code}-").as_bytes()), "{}", reply.escape_ascii());
        while !ended {
            let line = self.line_bytes();
            ended = line.starts_with(&last);
            reply.extend(line);
        }
        reply
    }

    /// The gateway closes the connection, without another word.
    #[track_caller]
    pub(crate) fn closed(&mut self) {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            // What we had sent and it had not read turns the close into a reset.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// The gateway ends the connection without another word and without a reset.
    #[track_caller]
    pub(crate) fn ends_in_order(&mut self) {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("an orderly end");
        assert_eq!(rest, "");
    }

    /// Nothing comes for this long.
    #[track_caller]
    pub(crate) fn silent_for(&mut self, time: Duration) {
        assert_eq!(self.reader.buffer(), b"");
        self.stream().set_read_timeout(Some(time)).expect("a live socket");
        let mut byte = [0];
        let read = self.stream().peek(&mut byte);
        self.stream().set_read_timeout(Some(DEADLINE)).expect("a live socket");
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("not silent: {other:?}"),
        }
    }

    /// PASV and the address in its reply.
    #[track_caller]
    pub(crate) fn pasv_address(&mut self) -> SocketAddr {
        let reply = self.expect("PASV", 227);
        let numbers =
            reply.text().split_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("brackets").0;
        let numbers: Vec<u8> = numbers.split(',').map(|number| number.parse().expect("a byte")).collect();
        let [a, b, c, d, high, low] = numbers[..] else { panic!("{reply:?}") };
        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
    }

    /// EPSV and the port in its reply.
    #[track_caller]
    pub(crate) fn epsv_port(&mut self) -> u16 {
        let reply = self.expect("EPSV", 229);
        let port =
            reply.text().split_once("(|||").and_then(|(_, rest)| rest.split_once("|)")).expect("bars").0;
        port.parse().expect("a port")
    }

    /// PASV and a connection to where it says.
    #[track_caller]
    pub(crate) fn pasv(&mut self) -> TcpStream {
        let address = self.pasv_address();
        self.open_data(address)
    }

    /// EPSV and a connection to where it says.
    #[track_caller]
    pub(crate) fn epsv(&mut self) -> TcpStream {
        let port = self.epsv_port();
        let host = self.stream().peer_addr().expect("a live socket").ip();
        self.open_data(SocketAddr::new(host, port))
    }

    /// PORT with where the listener that it returns listens.
    #[track_caller]
    pub(crate) fn port(&mut self) -> TcpListener {
        let listener = self.listener();
        self.expect(&port_command(listener.local_addr().expect("bound")), 200);
        listener
    }

    /// EPRT with where the listener that it returns listens.
    #[track_caller]
    pub(crate) fn eprt(&mut self) -> TcpListener {
        let listener = self.listener();
        self.expect(&eprt_command(listener.local_addr().expect("bound")), 200);
        listener
    }

    /// A listener at the control connection's address.
    fn listener(&self) -> TcpListener {
        let host = self.stream().local_addr().expect("a live socket").ip();
        TcpListener::bind((host, 0)).expect("a free port")
    }

    /// A data connection from the control connection's address.
    #[track_caller]
    pub(crate) fn open_data(&self, address: SocketAddr) -> TcpStream {
        open(address, self.source).expect("the passive port listens")
    }

    /// Begins an upload: PASV, the command, 150.
    #[track_caller]
    pub(crate) fn begin(&mut self, command: &str) -> TcpStream {
        let data = self.pasv();
        self.expect(command, 150);
        data
    }

    /// Uploads with `command`, such as `STOR x`, and returns the final reply.
    #[track_caller]
    pub(crate) fn upload(&mut self, command: &str, content: &[u8]) -> Reply {
        let mut data = self.begin(command);
        // A gateway that gives up resets the connection; its reply says why.
        let _ = data.write_all(content);
        drop(data);
        self.reply()
    }

    /// Uploads successfully.
    #[track_caller]
    pub(crate) fn stor(&mut self, path: &str, content: &[u8]) {
        let reply = self.upload(&format!("STOR {path}"), content);
        assert_eq!(reply.code, 226, "{reply:?}");
    }

    /// Downloads, or lists, with `command`.
    #[track_caller]
    pub(crate) fn download(&mut self, command: &str) -> Vec<u8> {
        let mut data = self.begin(command);
        let mut content = Vec::new();
        data.read_to_end(&mut content).expect("the gateway sends it all");
        self.reply_is(226);
        content
    }

    /// Downloads a file.
    #[track_caller]
    pub(crate) fn retr(&mut self, path: &str) -> Vec<u8> {
        self.download(&format!("RETR {path}"))
    }

    /// The lines of a listing.
    #[track_caller]
    pub(crate) fn list(&mut self, command: &str) -> Vec<String> {
        let text = String::from_utf8(self.download(command)).expect("UTF-8");
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        text.lines().map(str::to_owned).collect()
    }

    /// A transfer command that fails with this code and without a 150.
    #[track_caller]
    pub(crate) fn refused(&mut self, command: &str, code: u16) -> Reply {
        let _data = self.pasv();
        self.expect(command, code)
    }

    /// Sends these bytes with the last one marked urgent, as Telnet's Synch does.
    #[track_caller]
    pub(crate) fn send_urgent(&mut self, bytes: &[u8]) {
        self.transcript.push(format!("C urgent {}", String::from_utf8_lossy(bytes).escape_debug()));
        let sent = SockRef::from(self.stream()).send_out_of_band(bytes).expect("a live socket");
        assert_eq!(sent, bytes.len());
    }

    /// Closes our direction of the control connection.
    pub(crate) fn finish_sending(&self) {
        self.stream().shutdown(Shutdown::Write).expect("a live socket");
    }

    /// Closes the control connection with a reset.
    pub(crate) fn reset(self) {
        reset(self.reader.get_ref());
    }

    /// Another handle to send with, for a thread of its own.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream().try_clone().expect("a live socket")
    }

    fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let line = String::from_utf8(self.line_bytes()).expect("replies are UTF-8");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    #[track_caller]
    fn line_bytes(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        let shown = String::from_utf8_lossy(&line);
        assert!(line.ends_with(b"\r\n"), "no reply: {read:?} {shown:?}");
        self.transcript.push(format!("S {}", shown.trim_end()));
        line
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = &self.transcript[self.transcript.len().saturating_sub(100)..];
            eprintln!("--- the dialogue\n{}\n---", last.join("\n"));
        }
    }
}

/// PORT for this address.
pub(crate) fn port_command(address: SocketAddr) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("PORT {},{high},{low}", address.ip().to_string().replace('.', ","))
}

/// EPRT for this address.
pub(crate) fn eprt_command(address: SocketAddr) -> String {
    let protocol = if address.is_ipv4() { 1 } else { 2 };
    format!("EPRT |{protocol}|{}|{}|", address.ip(), address.port())
}

/// The connection that the gateway has made to `listener`.
#[track_caller]
pub(crate) fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a live socket");
    stream.set_write_timeout(Some(DEADLINE)).expect("a live socket");
    stream
}

/// Whether this process, and so the gateway that it starts, may use port 20; says so if not.
pub(crate) fn may_use_port_20() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a live socket");
    let bound = socket.bind(&SocketAddr::from(([127, 0, 0, 1], 20)).into());
    let may = !bound.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if !may {
        eprintln!("skipped: no right to port 20");
    }
    may
}

/// Makes the close of `stream` a reset.
pub(crate) fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a live socket");
}

fn open(address: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&address.into(), DEADLINE)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
