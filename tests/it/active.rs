//! Active mode: PORT and EPRT, from which port and to whom the gateway connects, and what it refuses.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{
    Gateway, Raw, Setup, accepted, assert_same, bytes, curl, eprt_command, lftp, may_use_port_20,
    port_command, python,
};

fn active() -> Setup {
    Setup::default().ftp("active_mode = true")
}

/// Nobody has connected to `listener`.
#[track_caller]
fn untouched(listener: &TcpListener) {
    listener.set_nonblocking(true).expect("a live socket");
    let connected = listener.accept();
    assert!(connected.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{connected:?}");
}

/// Everything that uses a data connection, each over one that the gateway opens.
fn everything(raw: &mut Raw, listens: fn(&mut Raw) -> TcpListener) {
    let content = bytes(700_000, 1);
    let listener = listens(raw);
    raw.expect("STOR x", 150);
    let mut data = accepted(&listener);
    data.write_all(&content).expect("the gateway reads");
    drop(data);
    raw.reply_is(226);

    let listener = listens(raw);
    raw.expect("RETR x", 150);
    let mut received = Vec::new();
    accepted(&listener).read_to_end(&mut received).expect("all of it");
    raw.reply_is(226);
    assert_same(&received, &content);

    for command in ["LIST", "NLST", "MLSD"] {
        let listener = listens(raw);
        raw.expect(command, 150);
        let mut listing = String::new();
        accepted(&listener).read_to_string(&mut listing).expect("all of it");
        raw.reply_is(226);
        assert!(listing.ends_with("x\r\n"), "{listing}");
    }
}

#[test]
fn files_and_listings_with_port_and_eprt() {
    let gateway = active().start();
    let mut raw = gateway.login();
    everything(&mut raw, Raw::port);
    everything(&mut raw, Raw::eprt);
    // Each is good for one transfer.
    raw.expect("LIST", 425);
}

#[test]
fn eprt_over_ipv6() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        return eprintln!("skipped: no IPv6 here: {error}");
    }
    let gateway = active().env("BUCKETPORT_FTP__LISTEN", "[\"[::1]:0\"]").start();
    let mut raw = gateway.login();
    everything(&mut raw, Raw::eprt);
    for command in ["EPRT |1|127.0.0.1|1025|", "EPRT |3|::1|1025|"] {
        assert!(raw.expect(command, 522).text().ends_with("use (2)"));
    }
    raw.expect("EPRT |2|::2|1025|", 504);
    raw.expect("PORT 127,0,0,1,4,1", 504);
}

#[test]
fn many_connections_come_from_port_20_at_once() {
    if !may_use_port_20() {
        return;
    }
    let gateway = active().start();
    let mut sessions: Vec<_> = (0..20)
        .map(|number| {
            let mut raw = gateway.login();
            let listener = raw.port();
            raw.expect(&format!("STOR {number}"), 150);
            let (data, from) = listener.accept().expect("a connection");
            assert_eq!(from.to_string(), "127.0.0.1:20");
            (raw, data)
        })
        .collect();
    for (raw, data) in &mut sessions {
        data.write_all(b"x").expect("the gateway reads");
        data.shutdown(std::net::Shutdown::Write).expect("a live socket");
        raw.reply_is(226);
    }
}

#[test]
fn another_source_port_can_be_configured() {
    let gateway = active().ftp("active_source_port = 19999").start();
    let mut raw = gateway.login();
    let listener = raw.port();
    raw.expect("LIST", 150);
    assert_eq!(listener.accept().expect("a connection").1.port(), 19_999);
    raw.reply_is(226);
    // The kernel still knows a connection between these two ports: the next one comes from another.
    for _ in 0..3 {
        raw.expect(&port_command(listener.local_addr().expect("bound")), 200);
        raw.expect("LIST", 150);
        drop(listener.accept().expect("a connection"));
        raw.reply_is(226);
    }
}

#[test]
fn any_port_where_the_source_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let gateway = active().ftp(&format!("active_source_port = {port}")).start();
    let mut raw = gateway.login();
    let listener = raw.port();
    raw.expect("LIST", 150);
    assert_ne!(listener.accept().expect("a connection").1.port(), port);
    raw.reply_is(226);
}

#[test]
fn data_goes_from_the_address_that_the_client_dialled_to_the_clients_own() {
    let gateway = active().env("BUCKETPORT_FTP__LISTEN", "[\"0.0.0.0:0\"]").start();
    let dialled = SocketAddr::from(([127, 0, 0, 3], gateway.ftp.port()));
    let mut raw = Raw::connect(dialled, Some(Ipv4Addr::new(127, 0, 0, 2).into())).logged_in("demo", "secret");
    let listener = raw.port();
    assert_eq!(listener.local_addr().expect("bound").ip(), Ipv4Addr::new(127, 0, 0, 2));
    raw.expect("LIST", 150);
    assert_eq!(listener.accept().expect("a connection").1.ip(), Ipv4Addr::new(127, 0, 0, 3));
    raw.reply_is(226);
}

#[test]
fn nothing_is_dialled_for_a_bounce() {
    let gateway = active().start();
    gateway.put("x", b"x");
    let mut raw = gateway.login();
    let victim = TcpListener::bind("127.0.0.2:0").expect("a free port");
    let address = victim.local_addr().expect("bound");
    for command in [port_command(address), eprt_command(address)] {
        raw.expect(&command, 504);
        raw.expect("RETR x", 425);
    }
    for port in [0, 1, 22, 25, 1023] {
        raw.expect(&port_command(([127, 0, 0, 1], port).into()), 504);
        raw.expect(&eprt_command(([127, 0, 0, 1], port).into()), 504);
        raw.expect("RETR x", 425);
    }
    untouched(&victim);
}

#[test]
fn what_is_no_address_is_refused() {
    let gateway = active().start();
    let mut raw = gateway.login();
    for command in [
        "PORT",
        "PORT 127,0,0,1,4",
        "PORT 127,0,0,1,256,1",
        "PORT 127.0.0.1:1025",
        "EPRT",
        "EPRT |1|127.0.0.1|1025",
        "EPRT |1|127.0.0.1|70000|",
        "EPRT |2|127.0.0.1|1025|",
        "EPRT 127.0.0.1",
    ] {
        raw.expect(command, 501);
    }
    for command in ["EPRT |2|::1|1025|", "EPRT |3|127.0.0.1|1025|"] {
        assert!(raw.expect(command, 522).text().ends_with("use (1)"));
    }
    raw.expect("LIST", 425);
}

#[test]
fn the_last_of_pasv_and_port_counts() {
    let gateway = active().ports(1).start();
    let mut raw = gateway.login();
    raw.pasv_address();
    let listener = raw.port();
    assert_eq!(gateway.metric("bucketport_passive_ports_waiting").to_bits(), 0.0_f64.to_bits());
    raw.expect("LIST", 150);
    drop(accepted(&listener));
    raw.reply_is(226);

    let listener = raw.port();
    raw.stor("x", b"passive");
    untouched(&listener);
    raw.expect("LIST", 425);

    // A refused one changes nothing.
    let data = raw.pasv();
    raw.expect("PORT 127,0,0,2,4,1", 504);
    raw.expect("LIST", 150);
    drop(data);
    raw.reply_is(226);
    raw.port();
    raw.expect("ABOR", 226);
    raw.expect("LIST", 425);

    // One that finds no port leaves none; a port of one's own can always be had again.
    let listener = raw.port();
    let mut other = gateway.login();
    for command in ["PASV", "EPSV", "PASV"] {
        assert!([227, 229].contains(&other.ask(command).code), "{command}");
    }
    for command in ["PASV", "EPSV"] {
        raw.expect(command, 425);
        raw.expect("LIST", 425);
    }
    untouched(&listener);
}

#[test]
fn after_epsv_all_only_epsv_counts() {
    let gateway = active().start();
    let mut raw = gateway.login();
    raw.expect("EPSV ALL", 200);
    for command in ["PORT 127,0,0,1,4,1", "EPRT |1|127.0.0.1|1025|", "PASV"] {
        raw.expect(command, 503);
    }
    raw.expect("LIST", 425);
    raw.epsv_port();
}

#[test]
fn a_client_that_does_not_listen_gets_425_and_no_150() {
    let gateway = active().start();
    gateway.put("x", b"x");
    let mut raw = gateway.login();
    // Bound, so that nobody else listens there meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an internet address");
    for command in ["STOR y", "RETR x", "LIST", "APPE x", "MLSD"] {
        raw.expect(&port_command(address), 200);
        raw.expect(command, 425);
    }
    assert_eq!(gateway.files(), ["x"]);
}

#[test]
fn a_client_that_does_not_answer_gets_425_in_time() {
    let gateway = active().ftp("data_timeout = \"1s\"").start();
    let mut raw = gateway.login();
    // A queue of waiting connections that is full takes no more.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(0).expect("a live socket");
    let address = socket.local_addr().expect("bound").as_socket().expect("an internet address");
    let fill = |_: &usize| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let waiting: Vec<_> = (0..10).map_while(|number| fill(&number)).collect();
    assert!(waiting.len() < 10, "the queue never fills");
    raw.expect(&port_command(address), 200);
    let begun = Instant::now();
    raw.expect("LIST", 425);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    raw.expect("NOOP", 200);
}

#[test]
fn an_active_upload_can_be_aborted() {
    let gateway = active().start();
    let mut raw = gateway.login();
    let listener = raw.port();
    raw.expect("STOR x", 150);
    let mut data = accepted(&listener);
    data.write_all(b"some").expect("the gateway reads");
    raw.expect("ABOR", 426);
    raw.reply_is(226);
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn feat_and_help_tell_whether_it_is_on() {
    for (setup, on) in [(active(), true), (Setup::default(), false)] {
        let gateway = setup.start();
        let mut raw = gateway.login();
        let lists = |reply: Vec<String>, name: &str| {
            reply.iter().any(|line| line.split_whitespace().any(|word| word == name))
        };
        assert_eq!(lists(raw.expect("FEAT", 211).lines, "EPRT"), on);
        assert_eq!(lists(raw.expect("HELP", 214).lines, "PORT"), on);
        assert_eq!(raw.expect("HELP PORT", 214).text().starts_with("Syntax"), on);
    }
}

#[test]
fn real_clients() {
    let gateway = active().start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let content = bytes(3_000_000, 1);
    fs::write(path("x"), &content).expect("a writable folder");

    for (number, options) in [vec!["-P", "-"], vec!["-P", "-", "--disable-eprt"]].into_iter().enumerate() {
        let url = gateway.url(&format!("/curl{number}"));
        curl(options.iter().copied().chain(["-T", &path("x"), &url])).success();
        assert_same(&gateway.file(&format!("curl{number}")), &content);
        curl(options.iter().copied().chain(["-o", &path("back"), &url])).success();
        assert_same(&fs::read(path("back")).expect("a file"), &content);
    }

    let site = format!("set ftp:passive-mode no; open -u demo,secret ftp://{};", gateway.ftp);
    lftp(&format!("{site} put {} -o lftp; get lftp -o {}; ls", path("x"), path("again"))).success();
    assert_same(&gateway.file("lftp"), &content);
    assert_same(&fs::read(path("again")).expect("a file"), &content);

    python(PYTHON, &[&gateway.ftp.port().to_string()]).success();
    assert_eq!(passive_replies(&gateway), 0);
}

/// How often somebody was told a passive port.
fn passive_replies(gateway: &Gateway) -> usize {
    let log = gateway.log();
    log.lines().filter(|line| line.contains("code=227") || line.contains("code=229")).count()
}

const PYTHON: &str = r"
import ftplib, io, sys
ftp = ftplib.FTP()
ftp.connect('127.0.0.1', int(sys.argv[1]), 30)
ftp.login('demo', 'secret')
ftp.set_pasv(False)
content = bytes(range(256)) * 4000
ftp.storbinary('STOR python', io.BytesIO(content))
out = io.BytesIO()
ftp.retrbinary('RETR python', out.write)
assert out.getvalue() == content
assert 'python' in ftp.nlst()
ftp.quit()
";
