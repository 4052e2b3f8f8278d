//! A client of the gateway's HTTP server that sends what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// An admin token.
pub(crate) const TOKEN: &str = "a-token-that-nobody-guesses";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let matching =
            |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().find(matching)?.split_once(": ").map(|(_, value)| value)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends `method path`, headers such as `Name: value`, and a body.
pub(crate) fn request(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let stream = connect(address);
    request_on(stream, line, headers, body)
}

/// The same on a connection that is there, which ends with it.
pub(crate) fn request_on(mut stream: TcpStream, line: &str, headers: &[&str], body: &str) -> Answer {
    let address = stream.peer_addr().expect("connected");
    let headers = lines(headers);
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {length}"
    );
    write!(stream, "{head}\r\n\r\n{body}").expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer that ends");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Each with the end of its line.
fn lines(headers: &[&str]) -> String {
    [headers, &[""]].concat().join("\r\n")
}

/// A connection that does nothing by itself.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a live socket");
    stream
}

/// The same from this address of the machine.
pub(crate) fn connect_from(address: SocketAddr, from: IpAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
    socket.connect(&address.into()).expect("it listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a live socket");
    stream
}

/// The header that shows the token.
pub(crate) fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

/// `/status/events`, an event at a time.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    /// None if there is no place for it.
    pub(crate) fn open(address: SocketAddr, headers: &[&str]) -> Option<Self> {
        let mut stream = connect(address);
        let headers = lines(headers);
        write!(stream, "GET /status/events HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").expect("a request");
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).expect("an answer");
        let expected = first.starts_with("HTTP/1.1 200") || first.starts_with("HTTP/1.1 503");
        assert!(expected, "{first}");
        first.starts_with("HTTP/1.1 200").then_some(Self(reader))
    }

    /// The HTML of the next event; none at the end.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("a stream") == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data.trim_end()).expect("JSON's text"));
            }
        }
    }
}
