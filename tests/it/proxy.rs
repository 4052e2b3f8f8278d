//! The PROXY protocol: connections that a balancer makes, and says for whom.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Certificate, Gateway, Raw, Setup, accepted, eventually, port_command, reset};

/// Networks that hold this machine's `127.0.0.1` and `127.0.0.3`, where the tests' balancers are, but not `127.0.0.2`.
const TRUSTED: &str = "proxy_trusted = [\"127.0.0.1\", \"127.0.0.3/32\", \"2001:db8::/32\"]";

const USERS: &str = r#"
[[users]]
name = "demo"
password = "secret"
[[users]]
name = "inside"
password = "secret"
allow_from = ["192.0.2.0/24", "2001:db8:7::/48"]
[[users]]
name = "neighbour"
password = "secret"
allow_from = ["127.0.0.1"]
"#;

fn balanced() -> Setup {
    Setup::default().ftp("proxy_protocol = \"required\"").ftp(TRUSTED).users(USERS)
}

/// A version of the protocol, as the header that says who has dialled what.
type Version = fn(&str, &str) -> Vec<u8>;

fn version_1(client: &str, dialled: &str) -> Vec<u8> {
    let (client, dialled): (SocketAddr, SocketAddr) = (address(client), address(dialled));
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), dialled.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), dialled.port()).into_bytes()
}

/// With extensions, as balancers send them.
fn version_2(client: &str, dialled: &str) -> Vec<u8> {
    let (client, dialled): (SocketAddr, SocketAddr) = (address(client), address(dialled));
    let bytes = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [client.port().to_be_bytes(), dialled.port().to_be_bytes()].concat();
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    let extension = [&[0xea, 0, 200][..], &[b'x'; 200]].concat();
    head(0x21, family, &[bytes(client.ip()), bytes(dialled.ip()), ports, extension].concat())
}

/// LOCAL, as for a health check.
fn local() -> Vec<u8> {
    head(0x20, 0, b"")
}

fn head(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A control connection that begins with these bytes.
#[track_caller]
fn connect(gateway: &Gateway, header: &[u8]) -> Raw {
    let mut raw = Raw::connect_only(gateway.ftp, None);
    raw.send_bytes(header);
    raw
}

/// A greeted one.
#[track_caller]
fn greeted(gateway: &Gateway, header: &[u8]) -> Raw {
    let mut raw = connect(gateway, header);
    raw.reply_is(220);
    raw
}

/// A data connection that begins with these bytes.
#[track_caller]
fn data(raw: &Raw, gateway: &Gateway, port: u16, header: &[u8]) -> TcpStream {
    let mut data = raw.open_data(SocketAddr::new(gateway.ftp.ip(), port));
    data.write_all(header).expect("a fresh connection");
    data
}

/// The gateway closes the connection and has sent nothing.
#[track_caller]
fn closed(mut data: &TcpStream) {
    let mut nothing = Vec::new();
    // What it had not read makes it a reset.
    let _ = data.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
}

fn rejected(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("bucketport_connections_rejected_total{{reason=\"{reason}\"}}"))
}

const VERSIONS: [Version; 2] = [version_1, version_2];

#[test]
fn the_address_in_the_header_is_the_clients() {
    let gateway = balanced().start();
    for version in VERSIONS {
        for (client, dialled) in
            [("192.0.2.7:40001", "203.0.113.5:21"), ("[2001:db8:7::1]:40001", "[2001:db8::5]:21")]
        {
            let mut raw = greeted(&gateway, &version(client, dialled)).logged_in("inside", "secret");
            gateway.wait_for_log(&format!("peer={client}"));
            if client.starts_with('[') {
                raw.expect("PASV", 425);
                raw.expect("EPSV 1", 522);
                raw.expect("EPSV 2", 229);
            } else {
                assert_eq!(raw.pasv_address().ip().to_string(), "203.0.113.5");
                raw.expect("EPSV 1", 229);
            }
        }
        for client in ["198.51.100.7:40001", "127.0.0.1:40001"] {
            let mut raw = greeted(&gateway, &version(client, "203.0.113.5:21"));
            raw.expect("USER inside", 331);
            // The right password, from where this user may not log in.
            raw.expect("PASS secret", 530);
        }
    }
}

#[test]
fn who_guesses_behind_a_balancer_locks_nobody_else_out() {
    let gateway = balanced().start();
    let from = |client: &str| greeted(&gateway, &version_2(client, "203.0.113.5:21"));
    for guess in 0..10 {
        let mut raw = from("192.0.2.7:40001");
        raw.expect(&format!("USER {}", ["demo", "inside", "nobody"][guess % 3]), 331);
        raw.expect("PASS wrong", 530);
    }
    let mut raw = from("192.0.2.7:40002");
    raw.expect("USER demo", 331);
    raw.expect("PASS secret", 421);
    from("192.0.2.8:40001").logged_in("demo", "secret");
}

#[test]
fn connections_are_limited_by_the_address_in_the_header() {
    let gateway = balanced().ftp("max_connections_per_ip = 2").start();
    let from = |client: &str| connect(&gateway, &version_2(client, "203.0.113.5:21"));
    let mut held: Vec<_> = (0..2).map(|_| from("192.0.2.7:40001")).collect();
    held.push(from("192.0.2.8:40001"));
    for raw in &mut held {
        raw.reply_is(220);
    }
    let mut turned_away = from("192.0.2.7:40002");
    turned_away.reply_is(421);
    turned_away.closed();
    assert!((rejected(&gateway, "max_connections_per_ip") - 1.0).abs() < 0.5);
    from("192.0.2.8:40002").reply_is(220);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let gateway = balanced().ftp("max_connections = 3").start();
    let mut silent = Raw::connect_only(gateway.ftp, None);
    let mut slow = connect(&gateway, b"PROXY TCP4 192.0.2.7");
    // They count, and nobody waits for them.
    let header = version_1("192.0.2.7:40001", "203.0.113.5:21");
    let mut raw = greeted(&gateway, &header).logged_in("demo", "secret");
    let mut turned_away = connect(&gateway, &header);
    turned_away.reply_is(421);
    let port = raw.epsv_port();
    let data_silent = data(&raw, &gateway, port, b"");
    let mut sending = data(&raw, &gateway, port, &header);
    raw.expect("STOR x", 150);
    sending.write_all(b"x").expect("the gateway reads");
    drop(sending);
    raw.reply_is(226);
    silent.closed();
    slow.closed();
    closed(&data_silent);
    eventually("three refusals", Duration::from_secs(5), || rejected(&gateway, "proxy_header") > 2.5);
    let _another = [greeted(&gateway, &header), greeted(&gateway, &header)];
}

#[test]
fn data_connections_begin_with_a_header_of_the_same_client() {
    let gateway = balanced().start();
    for version in VERSIONS {
        let mine = version("192.0.2.7:40001", "203.0.113.5:21");
        let strangers = version("192.0.2.8:40001", "203.0.113.5:21");
        let mut raw = greeted(&gateway, &mine).logged_in("demo", "secret");
        for passive in ["PASV", "EPSV"] {
            let port = if passive == "PASV" { raw.pasv_address().port() } else { raw.epsv_port() };
            let before = rejected(&gateway, "unexpected_data_connection");
            raw.send("STOR x");
            for stranger in [&strangers, &local()] {
                closed(&data(&raw, &gateway, port, &[&stranger[..], b"injected"].concat()));
            }
            // Closed first and counted then.
            eventually("two refusals", Duration::from_secs(5), || {
                rejected(&gateway, "unexpected_data_connection") - before > 1.5
            });
            closed(&data(&raw, &gateway, port, b"injected, and as long as a header of any kind"));
            raw.silent_for(Duration::from_millis(300));
            // In one segment with the content.
            let sending = data(&raw, &gateway, port, &[&mine[..], passive.as_bytes()].concat());
            raw.reply_is(150);
            drop(sending);
            raw.reply_is(226);
            assert_eq!(gateway.file("x"), passive.as_bytes());

            // Before the command.
            let port = raw.epsv_port();
            let mut taking = data(&raw, &gateway, port, &mine);
            raw.expect("RETR x", 150);
            let mut content = Vec::new();
            taking.read_to_end(&mut content).expect("the gateway sends it all");
            raw.reply_is(226);
            assert_eq!(content, passive.as_bytes());
        }
    }
}

#[test]
fn without_the_check_data_may_be_for_anybody_but_has_its_header() {
    let gateway = balanced().ftp("data_peer_check = \"off\"").start();
    let header = version_2("192.0.2.7:40001", "203.0.113.5:21");
    let mut raw = greeted(&gateway, &header).logged_in("demo", "secret");
    let port = raw.epsv_port();
    closed(&data(&raw, &gateway, port, b"injected, and as long as a header of any kind"));
    let sending = data(&raw, &gateway, port, &version_2("192.0.2.8:40001", "203.0.113.5:21"));
    raw.expect("STOR x", 150);
    drop(sending);
    raw.reply_is(226);
}

#[test]
fn nobody_else_is_believed() {
    let gateway = balanced().start();
    let header = version_1("192.0.2.7:40001", "203.0.113.5:21");
    let stranger = Some(IpAddr::from([127, 0, 0, 2]));
    Raw::connect_only(gateway.ftp, stranger).closed();
    let mut raw = greeted(&gateway, &header).logged_in("demo", "secret");
    let port = raw.epsv_port();
    let own = Raw::connect_only(gateway.ftp, stranger);
    let mut injected = own.open_data(SocketAddr::new(gateway.ftp.ip(), port));
    // It may be closed by now.
    let _ = injected.write_all(&header);
    closed(&injected);
    eventually("three are rejected", Duration::from_secs(10), || {
        (rejected(&gateway, "untrusted_proxy") - 3.0).abs() < 0.5
    });
    let sending = data(&raw, &gateway, port, &header);
    raw.expect("STOR x", 150);
    drop(sending);
    raw.reply_is(226);
}

#[test]
fn local_and_unknown_are_the_balancers_own() {
    let gateway = balanced().start();
    for header in [local(), b"PROXY UNKNOWN\r\n".to_vec(), b"PROXY UNKNOWN ::1 ::1 1 2\r\n".to_vec()] {
        let mut raw = greeted(&gateway, &header).logged_in("neighbour", "secret");
        let address = raw.pasv_address();
        assert_eq!(address.ip(), gateway.ftp.ip());
        let sending = data(&raw, &gateway, address.port(), &header);
        raw.expect("STOR x", 150);
        drop(sending);
        raw.reply_is(226);
    }
}

#[test]
fn a_header_may_come_in_pieces_and_with_commands() {
    let gateway = balanced().start();
    for version in VERSIONS {
        let header = version("192.0.2.7:40001", "203.0.113.5:21");
        let mut raw = Raw::connect_only(gateway.ftp, None);
        for byte in &header {
            raw.send_bytes(&[*byte]);
            // So that the kernel has no occasion to join them.
            std::thread::sleep(Duration::from_millis(1));
        }
        raw.reply_is(220);
        raw.logged_in("inside", "secret");

        let mut raw = connect(&gateway, &[&header[..], b"USER inside\r\nPASS secret\r\nPW"].concat());
        raw.reply_is(220);
        raw.reply_is(331);
        raw.reply_is(230);
        raw.send("D");
        raw.reply_is(257);
    }
}

#[test]
fn what_is_no_header_hears_nothing_and_does_not_flood_the_log() {
    let gateway = balanced().start();
    let wrong: [&[u8]; 6] = [
        b"USER demo\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.5 40001\r\n",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 100], b"\r\n"].concat(),
        &head(0x21, 0x11, &[1; 11]),
        &[&head(0x21, 0x11, b"")[..14], &60_000_u16.to_be_bytes()].concat(),
        &head(0x31, 0x11, &[1; 12]),
    ];
    for header in wrong {
        connect(&gateway, header).closed();
    }
    eventually("refusals", Duration::from_secs(5), || rejected(&gateway, "proxy_header") > 5.5);
    let log = gateway.log();
    assert_eq!(log.matches("look at ftp.proxy_protocol").count(), 1, "{log}");
    // Who says nothing is a health check.
    for ends in [|raw: Raw| drop(raw), Raw::reset] {
        ends(Raw::connect_only(gateway.ftp, None));
    }
    greeted(&gateway, &version_1("192.0.2.7:40001", "203.0.113.5:21")).logged_in("demo", "secret");
    assert!((rejected(&gateway, "proxy_header") - 6.0).abs() < 0.5);
}

#[test]
fn headers_come_before_tls() {
    let certificate = Certificate::new();
    let gateway =
        certificate.setup("required").ftp("proxy_protocol = \"required\"").ftp(TRUSTED).users(USERS).start();
    let script = r"
header = b'PROXY TCP4 192.0.2.7 127.0.0.1 40001 21\r\n'
connect_plainly = socket.create_connection
def create_connection(*arguments, **named):
    sock = connect_plainly(*arguments, **named)
    sock.sendall(header)
    return sock
socket.create_connection = create_connection
for implicit in (True, False):
    client = Client(context=context)
    client.trust_server_pasv_ipv4_address = True
    client.host = 'localhost'
    client.sock = create_connection(('127.0.0.1', implicit_port if implicit else port), 30)
    client.af = client.sock.family
    if implicit:
        client.sock = context.wrap_socket(client.sock, server_hostname='localhost')
    client.file = client.sock.makefile('r', encoding='utf-8')
    assert client.getresp().startswith('220')
    if not implicit:
        client.auth()
    ftplib.FTP.login(client, 'inside', 'secret')
    client.prot_p()
    client.storbinary('STOR x', io.BytesIO(b'whole'))
    assert client.nlst() == ['x']
    client.quit()
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.file("x"), b"whole");
    // What is no header is not answered with an alert of TLS either.
    let mut raw = Raw::connect_only(gateway.ftps(), None);
    raw.send_bytes(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    raw.closed();
}

#[test]
fn active_connections_go_to_the_address_in_the_header() {
    let gateway = balanced().ftp("active_mode = true").ftp("active_source_port = 0").start();
    let header = version_2("127.0.0.9:40001", "203.0.113.5:21");
    let mut raw = greeted(&gateway, &header).logged_in("demo", "secret");
    raw.expect("PORT 127,0,0,1,200,10", 504);
    let listener = TcpListener::bind("127.0.0.9:0").expect("a free port");
    raw.expect(&port_command(listener.local_addr().expect("bound")), 200);
    raw.expect("STOR x", 150);
    accepted(&listener).write_all(b"whole").expect("the gateway reads");
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"whole");
}

#[test]
fn a_client_that_resets_before_its_header_is_gone() {
    let gateway = balanced().start();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(gateway.ftp).expect("the gateway listens");
        stream.write_all(b"PROXY ").expect("a fresh connection");
        reset(&stream);
    }
    greeted(&gateway, &local()).logged_in("demo", "secret");
}
