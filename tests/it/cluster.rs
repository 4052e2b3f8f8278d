//! Several replicas: any of them takes any data connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Certificate, Cluster, Raw, assert_same, bytes, eventually, python, reset};

/// Each replica with each other, and with itself.
fn pairs() -> impl Iterator<Item = (u16, u16)> {
    (0..Cluster::REPLICAS).flat_map(|owner| (0..Cluster::REPLICAS).map(move |via| (owner, via)))
}

/// A connection to `address` ends with a reset before it is of use.
#[track_caller]
fn is_refused(address: SocketAddr) {
    match TcpStream::connect_timeout(&address, Duration::from_secs(20)) {
        Ok(data) => is_reset(&data),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// The connection ends with a reset, and nothing was sent on it.
#[track_caller]
fn is_reset(mut data: &TcpStream) {
    let mut nothing = Vec::new();
    let error = data.read_to_end(&mut nothing).expect_err("a reset");
    assert_eq!((error.kind(), nothing.len()), (ErrorKind::ConnectionReset, 0));
}

#[test]
fn any_replica_takes_any_data_connection() {
    let cluster = Cluster::start();
    for (owner, via) in pairs() {
        let mut raw = cluster.replica(owner).login();
        let (first, last) = cluster.slice(owner);
        for size in [0, 1, 100, 70_000, 3_000_000] {
            let (name, content) = (format!("{owner}{via}{size}"), bytes(size, 7));
            let address = raw.pasv_address();
            assert_eq!(address.ip(), Cluster::host(owner), "the address that was dialled");
            assert!((first..=last).contains(&address.port()), "{address} is not in its slice");
            let mut data = raw.open_data(Cluster::at(address, via));
            raw.expect(&format!("STOR {name}"), 150);
            data.write_all(&content).expect("it reads");
            drop(data);
            raw.reply_is(226);
            assert_same(&cluster.stored(&name).expect("stored"), &content);
            // The other way round: the command before the connection.
            let port = raw.epsv_port();
            raw.send(&format!("RETR {name}"));
            let mut data = raw.open_data(SocketAddr::new(Cluster::host(via), port));
            raw.reply_is(150);
            let mut got = Vec::new();
            data.read_to_end(&mut got).expect("an orderly end");
            assert_same(&got, &content);
            raw.reply_is(226);
        }
        let mut listing = String::new();
        let mut data = Cluster::begin(&mut raw, via, "NLST");
        data.read_to_string(&mut listing).expect("an orderly end");
        raw.reply_is(226);
        assert!(listing.contains(&format!("{owner}{via}70000\r\n")), "{listing}");
    }
    for via in 0..Cluster::REPLICAS {
        // Two owners, eleven connections each.
        eventually("the ends of hops", Duration::from_secs(20), || cluster.forwarded(via, "ok") > 21.5);
        assert!(cluster.forwarded(via, "ok") < 22.5);
        let bytes =
            |to| cluster.replica(via).metric(&format!("bucketport_forwarded_bytes_total{{to=\"{to}\"}}"));
        assert!(bytes("owner") > 6_140_000.0 && bytes("client") > 6_140_000.0);
        assert!(cluster.replica(via).metric("bucketport_forwarded_connections") < 0.5);
    }
}

#[test]
fn many_at_once_are_handed_on() {
    let cluster = Cluster::with(|setup| setup.ftp("max_connections_per_ip = 1000"));
    std::thread::scope(|scope| {
        for number in 0..60u16 {
            let cluster = &cluster;
            scope.spawn(move || {
                let (owner, content) = (number % 3, bytes(300_000, number.into()));
                let mut raw = cluster.replica(owner).login();
                for via in 0..3 {
                    // Ten ports serve ten waiting sessions of one address, here twenty come at once.
                    let address = loop {
                        let reply = raw.ask("EPSV");
                        if reply.code == 229 {
                            let port = reply.text().split('|').nth(3).and_then(|port| port.parse().ok());
                            break SocketAddr::new(Cluster::host(via), port.expect("a port"));
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    };
                    let mut data = raw.open_data(address);
                    raw.expect(&format!("STOR {number}-{via}"), 150);
                    data.write_all(&content).expect("it reads");
                    drop(data);
                    raw.reply_is(226);
                    assert_same(&cluster.stored(&format!("{number}-{via}")).expect("stored"), &content);
                }
            });
        }
    });
}

#[test]
fn only_the_client_itself_is_handed_on_to_its_session() {
    let other: IpAddr = [127, 0, 0, 9].into();
    let cluster = Cluster::start();
    let mut raw = cluster.replica(0).login();
    let address = Cluster::at(raw.pasv_address(), 1);
    let theirs = cluster.replica(1).connect_from(other).open_data(address);
    let mut nothing = Vec::new();
    (&theirs).read_to_end(&mut nothing).expect("an orderly end");
    // It is still waited for.
    let mut data = raw.open_data(address);
    raw.expect("STOR x", 150);
    data.write_all(b"mine").expect("it reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(cluster.stored("x").expect("stored"), b"mine");

    let cluster = Cluster::with(|setup| setup.ftp("data_peer_check = \"off\""));
    let mut raw = cluster.replica(0).login();
    let address = Cluster::at(raw.pasv_address(), 1);
    let mut theirs = cluster.replica(1).connect_from(other).open_data(address);
    raw.expect("STOR x", 150);
    theirs.write_all(b"theirs").expect("it reads");
    drop(theirs);
    raw.reply_is(226);
    assert_eq!(cluster.stored("x").expect("stored"), b"theirs");
}

/// A header of version 1, as a balancer sends it.
fn header(client: &str, dialled: u16) -> String {
    format!("PROXY TCP4 {client} 203.0.113.5 40001 {dialled}\r\n")
}

#[test]
fn the_client_is_who_the_balancer_says_at_either_replica() {
    let cluster = Cluster::behind("127.0.0.1");
    let mut raw = Raw::connect_only(cluster.replica(2).ftp, None);
    raw.send_bytes(header("192.0.2.7", 21).as_bytes());
    raw.reply_is(220);
    let mut raw = raw.logged_in("demo", "secret");
    let address = raw.pasv_address();
    assert_eq!(address.ip().to_string(), "203.0.113.5");
    let connect = |client: &str| {
        let mut data = raw.open_data(Cluster::at(address, 0));
        data.write_all(header(client, address.port()).as_bytes()).expect("a fresh connection");
        data
    };
    let mut nothing = Vec::new();
    connect("192.0.2.8").read_to_end(&mut nothing).expect("an orderly end");
    let mut data = connect("192.0.2.7");
    raw.expect("STOR x", 150);
    data.write_all(b"balanced").expect("it reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(cluster.stored("x").expect("stored"), b"balanced");
}

#[test]
fn tls_is_the_owners_whoever_takes_the_connection() {
    let certificate = Certificate::new();
    let cluster = Cluster::with(|setup| {
        setup
            .ftp("tls.mode = \"required\"")
            .ftp("tls.require_session_reuse = true")
            .ftp(&format!("tls.certificate = \"{}\"", certificate.certificate().display()))
            .ftp(&format!("tls.private_key = \"{}\"", certificate.private_key().display()))
    });
    let script = r"
import ftplib, io, ssl, sys
def client(version):
    context = ssl.create_default_context(cafile=sys.argv[1])
    context.minimum_version = context.maximum_version = version
    class Client(ftplib.FTP_TLS):
        def ntransfercmd(self, cmd, rest=None):
            conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
            return context.wrap_socket(conn, server_hostname='localhost', session=self.sock.session), size
        def makepasv(self):
            return sys.argv[4], super().makepasv()[1]
    client = Client(context=context)
    client.connect(sys.argv[2], int(sys.argv[3]), 30)
    client.host = 'localhost'
    client.login('demo', 'secret')
    client.prot_p()
    return client
content = bytes(range(256)) * 9000
for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
    # With a close_notify, for whose answer the client waits, and without.
    for unwraps in [True, False]:
        ftp = client(version)
        conn = ftp.transfercmd('STOR x')
        conn.sendall(content)
        if unwraps:
            conn.unwrap()
        conn.close()
        ftp.voidresp()
        for command in ['RETR x', 'RETR x']:
            got = io.BytesIO()
            conn = ftp.transfercmd(command)
            while True:
                data = conn.recv(65536)
                if not data: break
                got.write(data)
            if unwraps:
                conn.unwrap()
            conn.close()
            ftp.voidresp()
            assert got.getvalue() == content, len(got.getvalue())
        ftp.quit()
";
    let owner = cluster.replica(1);
    let arguments = [
        certificate.certificate().display().to_string(),
        owner.ftp.ip().to_string(),
        owner.ftp.port().to_string(),
        Cluster::host(2).to_string(),
    ];
    python(script, &arguments.each_ref().map(String::as_str)).success();
    eventually("the ends of hops", Duration::from_secs(20), || cluster.forwarded(2, "ok") > 11.5);
    let resumed = "bucketport_tls_handshakes_total{connection=\"data\",result=\"resumed\"}";
    assert!(owner.metric(resumed) > 11.5);
}

#[test]
fn what_belongs_to_a_dead_replica_is_reset_at_once() {
    let mut cluster = Cluster::start();
    let address = cluster.replica(1).login().pasv_address();
    cluster.replica(1).kill();
    let begun = Instant::now();
    for via in [0, 2] {
        is_refused(Cluster::at(address, via));
        assert!(cluster.forwarded(via, "unreachable") > 0.5);
        cluster.replica(via).wait_for_log("data connection not handed on to its replica");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Another one in its place is found.
    let again = cluster.setup(1, Cluster::SECRET);
    cluster.replace(1, again);
    let mut raw = cluster.replica(1).login();
    let mut data = Cluster::begin(&mut raw, 0, "STOR x");
    data.write_all(b"again").expect("it reads");
    drop(data);
    raw.reply_is(226);
}

#[test]
fn who_has_another_secret_is_not_believed_in_either_direction() {
    let mut cluster = Cluster::start();
    let other = cluster.setup(2, "another secret than the others have");
    cluster.replace(2, other);
    for (owner, via) in [(0, 2), (2, 0)] {
        let mut raw = cluster.replica(owner).login();
        let address = raw.pasv_address();
        is_refused(Cluster::at(address, via));
        // The session still waits.
        let mut data = raw.open_data(address);
        raw.expect(&format!("STOR {owner}"), 150);
        data.write_all(b"own").expect("it reads");
        drop(data);
        raw.reply_is(226);
        cluster.replica(via).wait_for_log("differs in cluster.secret");
    }
}

#[test]
fn nobody_else_hands_anything_on() {
    let cluster = Cluster::start();
    let mut raw = cluster.replica(0).login();
    let port = raw.pasv_address().port();
    let rejected =
        || cluster.replica(0).metric("bucketport_connections_rejected_total{reason=\"no_replica\"}");
    // As long as a header with its proof, and made of another one.
    let mut forged = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x3a\x7f\0\0\x01\x7f\0\0\x02\x9c\x41".to_vec();
    forged.extend(port.to_be_bytes());
    forged.extend([&[0xe0, 0, 8][..], &[0; 8], &[0xe1, 0, 32], &[7; 32]].concat());
    for said in [&forged[..], b"PROXY TCP4 127.0.0.1 127.0.0.2 40001 50000\r\n", b"USER demo\r\n"] {
        let before = rejected();
        let mut hop = raw.open_data(cluster.hop(0));
        hop.write_all(said).expect("a fresh connection");
        hop.write_all(b"smuggled").expect("a fresh connection");
        let mut greeting = Vec::new();
        // What it had not read makes it a reset.
        let _ = hop.read_to_end(&mut greeting);
        assert!(greeting.len() <= 64, "{greeting:?}");
        eventually("a rejection", Duration::from_secs(20), || rejected() > before + 0.5);
    }
    let mut data = raw.open_data(SocketAddr::new(Cluster::host(0), port));
    raw.expect("STOR x", 150);
    data.write_all(b"own").expect("it reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(cluster.stored("x").expect("stored"), b"own");
}

#[test]
fn a_draining_replica_owns_and_hands_on_until_it_ends() {
    let cluster = Cluster::start();
    let content = bytes(2_000_000, 3);
    // One that runs over a hop, one whose connection comes when its owner drains, and two that the same replica hands on.
    let (mut running, mut waiting) = (cluster.replica(0).login(), cluster.replica(0).login());
    let (mut through, mut later) = (cluster.replica(1).login(), cluster.replica(2).login());
    let mut data = Cluster::begin(&mut running, 1, "STOR running");
    data.write_all(&content[..1_000_000]).expect("it reads");
    let address = Cluster::at(waiting.pasv_address(), 2);
    waiting.send("STOR waiting");
    // Commands are taken in order, so it has begun.
    waiting.expect("STAT", 211);
    let mut handed = Cluster::begin(&mut through, 0, "STOR through");
    handed.write_all(&content[..1_000_000]).expect("it reads");

    cluster.replica(0).signal(nix::sys::signal::Signal::SIGTERM);
    cluster.replica(0).wait_for_log("draining");
    let mut new = Cluster::begin(&mut later, 0, "STOR later");
    new.write_all(&content).expect("it reads");
    drop(new);
    later.reply_is(226);
    let mut came = waiting.open_data(address);
    waiting.reply_is(150);
    came.write_all(&content).expect("it reads");
    drop(came);
    waiting.reply_is(226);
    for (raw, mut data) in [(&mut running, data), (&mut through, handed)] {
        data.write_all(&content[1_000_000..]).expect("it reads");
        drop(data);
        raw.reply_is(226);
    }
    for name in ["running", "waiting", "through", "later"] {
        assert_same(&cluster.stored(name).expect("stored"), &content);
    }
    assert_eq!(cluster.replica(0).ended(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn an_idle_replica_takes_what_balancers_still_send_for_a_while() {
    let cluster = Cluster::start();
    let mut raw = cluster.replica(1).login();
    cluster.replica(0).signal(nix::sys::signal::Signal::SIGTERM);
    cluster.replica(0).wait_for_log("draining");
    let mut data = Cluster::begin(&mut raw, 0, "STOR x");
    data.write_all(b"late").expect("it reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(cluster.replica(0).ended(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn hops_end_with_the_process() {
    let cluster = Cluster::with(|setup| setup.ftp("drain_timeout = \"1s\""));
    let mut raw = cluster.replica(1).login();
    let mut data = Cluster::begin(&mut raw, 0, "STOR x");
    data.write_all(&bytes(1000, 1)).expect("it reads");
    cluster.replica(0).signal(nix::sys::signal::Signal::SIGTERM);
    raw.reply_is(426);
    is_reset(&data);
    assert_eq!(cluster.replica(0).ended(Duration::from_secs(20)).code(), Some(0));
    assert_eq!(cluster.files(), [""; 0]);
    reset(&data);
}

#[test]
fn the_ordinal_may_be_a_pods_name() {
    let cluster = Cluster::start();
    let named = cluster.setup(1, Cluster::SECRET).env("BUCKETPORT_CLUSTER__ORDINAL", "bucketport-2");
    let (first, last) = cluster.slice(2);
    drop(cluster);
    let port = named.start().login().pasv_address().port();
    assert!((first..=last).contains(&port), "{port}");
}
