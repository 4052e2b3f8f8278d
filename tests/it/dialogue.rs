//! The dialogues of a common desktop client in passive and in active mode, command by command.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Gateway, Raw, Setup, accepted, may_use_port_20};

/// 2,052 bytes of lines that end in CRLF.
fn page() -> Vec<u8> {
    let mut text = b"<html>\r\n".to_vec();
    while text.len() < 2036 {
        text.extend_from_slice(b"<p>not here</p>\r\n");
    }
    text.truncate(2044);
    text.extend_from_slice(b"<html>\r\n");
    assert_eq!(text.len(), 2052);
    text
}

/// How a data connection comes about: before the command in passive mode, after its 150 in active mode.
enum Data {
    There(TcpStream),
    Comes(TcpListener),
}

impl Data {
    fn opened(self) -> TcpStream {
        match self {
            Self::There(stream) => stream,
            Self::Comes(listener) => {
                let stream = accepted(&listener);
                if may_use_port_20() {
                    assert_eq!(stream.peer_addr().expect("a live socket").port(), 20);
                }
                stream
            }
        }
    }
}

fn converse(open: impl Fn(&mut Raw) -> Data) {
    let gateway = Setup::default().ftp("active_mode = true").start();
    gateway.put("index.htm", b"home");
    let mut raw = gateway.connect();

    raw.expect("USER demo", 331);
    raw.expect("PASS secret", 230);
    assert_eq!(raw.expect("PWD", 257).text(), "\"/\" is current directory.");
    let data = open(&mut raw);
    raw.expect("MLSD", 150);
    let listing = read(data);
    raw.reply_is(226);
    assert!(listing.starts_with("type=file;size=4;modify="), "{listing}");
    assert!(listing.ends_with("; index.htm\r\n"), "{listing}");

    raw.expect("CWD /", 250);
    assert_eq!(raw.expect("TYPE A", 200).text(), "Type set to A.");
    let data = open(&mut raw);
    assert_eq!(raw.expect("STOR 404.htm", 150).text(), "Opening ASCII mode data connection for 404.htm.");
    data.opened().write_all(&page()).expect("the gateway reads");
    raw.reply_is(226);

    raw.expect("TYPE I", 200);
    let data = open(&mut raw);
    assert_eq!(raw.expect("MLSD", 150).text(), "Opening BINARY mode data connection for MLSD.");
    let mut names: Vec<_> =
        read(data).lines().filter_map(|l| Some(l.split_once(' ')?.1.to_owned())).collect();
    names.sort_unstable();
    assert_eq!(names, ["404.htm", "index.htm"]);
    raw.reply_is(226);

    assert_eq!(
        gateway.file("404.htm"),
        String::from_utf8(page()).expect("text").replace("\r\n", "\n").as_bytes()
    );
    raw.expect("QUIT", 221);
    raw.closed();
}

fn read(data: Data) -> String {
    let mut text = String::new();
    data.opened().read_to_string(&mut text).expect("an orderly end");
    text
}

#[test]
fn with_pasv() {
    converse(|raw| Data::There(raw.pasv()));
}

#[test]
fn with_epsv() {
    converse(|raw| Data::There(raw.epsv()));
}

#[test]
fn with_port() {
    converse(|raw| Data::Comes(raw.port()));
}

#[test]
fn with_eprt() {
    converse(|raw| Data::Comes(raw.eprt()));
}

#[test]
fn epsv_names_the_protocol_and_all() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("EPSV 1", 229);
    raw.expect("EPSV 2", 522);
    raw.expect("EPSV 3", 522);
    raw.expect("EPSV x", 501);
    raw.expect("EPSV ALL", 200);
    raw.expect("PASV", 503);
    let mut data = raw.epsv();
    raw.expect("STOR x", 150);
    data.write_all(b"x").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
}

#[test]
fn active_mode_is_refused_and_passive_goes_on() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("PORT 127,0,0,1,200,10", 502);
    raw.expect("EPRT |1|127.0.0.1|51210|", 502);
    raw.expect("LIST", 425);
    raw.stor("x", b"passive");
    assert_eq!(gateway.file("x"), b"passive");
}
