//! How transfers end whose data connection another replica hands on: what broke is never taken for what is whole.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::support::{Certificate, Cluster, Raw, assert_same, bytes, eventually, python, reset};

/// A replica may have bytes that it has not handed on yet.
fn settle() {
    std::thread::sleep(Duration::from_millis(100));
}

#[test]
fn a_reset_in_an_upload_is_no_end() {
    let cluster = Cluster::start();
    for (number, size) in [1, 1000, 70_000, 3_000_000].into_iter().enumerate() {
        let mut raw = cluster.replica(0).login();
        let mut data = Cluster::begin(&mut raw, 1, &format!("STOR {number}"));
        data.write_all(&bytes(size, 1)).expect("it reads");
        settle();
        reset(&data);
        drop(data);
        raw.reply_is(426);
    }
    assert_eq!(cluster.files(), [""; 0]);
    eventually("the ends of hops", Duration::from_secs(20), || cluster.forwarded(1, "lost") > 3.5);
}

#[test]
fn what_the_owner_breaks_off_is_a_reset_for_the_client() {
    let cluster = Cluster::start();
    let content = bytes(20_000_000, 2);
    let mut raw = cluster.replica(0).login();
    raw.stor("large", &content);
    let mut data = Cluster::begin(&mut raw, 1, "RETR large");
    let mut some = vec![0; 1_000_000];
    data.read_exact(&mut some).expect("it sends");
    raw.expect("ABOR", 426);
    raw.reply_is(226);
    let mut rest = Vec::new();
    let error = data.read_to_end(&mut rest).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(content.starts_with(&[&some[..], &rest].concat()));
    eventually("the end of the hop", Duration::from_secs(20), || cluster.forwarded(1, "lost") > 0.5);
}

/// The kernel ends the connections of a process that is killed in order, if it has read everything.
#[test]
fn a_killed_forwarder_ends_no_upload() {
    for control_lost in ["discard", "keep"] {
        let mut cluster = Cluster::with(|setup| setup.ftp(&format!("on_control_lost = \"{control_lost}\"")));
        cluster.replica(0).login().stor("old", b"old");
        for (number, size) in [1u32, 1000, 70_000, 3_000_000].into_iter().enumerate() {
            let content = bytes(usize::try_from(size).expect("small"), 1);
            let names = [format!("new{number}"), "old".to_owned()];
            let mut uploads = names.each_ref().map(|name| {
                let mut raw = cluster.replica(0).login();
                let mut data = Cluster::begin(&mut raw, 1, &format!("STOR {name}"));
                data.write_all(&content).expect("it reads");
                (raw, data)
            });
            // Everything is with the owner, so that nothing but the end is missing.
            let moved = "bucketport_forwarded_bytes_total{to=\"owner\"}";
            eventually("all bytes", Duration::from_secs(20), || {
                cluster.replica(1).metric(moved) > f64::from(2 * size) - 0.5
            });
            settle();
            cluster.replica(1).kill();
            for (raw, _data) in &mut uploads {
                raw.reply_is(426);
            }
            assert_eq!(cluster.files(), ["old"], "{size}");
            assert_eq!(cluster.stored("old").expect("stored"), b"old");
            let again = cluster.setup(1, Cluster::SECRET);
            cluster.replace(1, again);
        }
    }
}

#[test]
fn a_killed_forwarder_ends_no_upload_over_tls() {
    let certificate = Certificate::new();
    let cluster = Cluster::with(|setup| {
        setup
            .ftp("tls.mode = \"optional\"")
            .ftp(&format!("tls.certificate = \"{}\"", certificate.certificate().display()))
            .ftp(&format!("tls.private_key = \"{}\"", certificate.private_key().display()))
    });
    let script = r"
import ftplib, os, signal, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
class Client(ftplib.FTP_TLS):
    def makepasv(self):
        return sys.argv[4], super().makepasv()[1]
ftp = Client(context=context)
ftp.connect(sys.argv[2], int(sys.argv[3]), 30)
ftp.host = 'localhost'
ftp.login('demo', 'secret')
ftp.prot_p()
conn = ftp.transfercmd('STOR x')
conn.sendall(b'x' * 10000)
time.sleep(0.3)
os.kill(int(sys.argv[5]), signal.SIGKILL)
try:
    ftp.voidresp()
except ftplib.error_temp as error:
    assert str(error).startswith('426'), error
else:
    raise AssertionError('committed')
";
    let owner = cluster.replica(0);
    let arguments = [
        certificate.certificate().display().to_string(),
        owner.ftp.ip().to_string(),
        owner.ftp.port().to_string(),
        Cluster::host(1).to_string(),
        cluster.replica(1).process_id().to_string(),
    ];
    python(script, &arguments.each_ref().map(String::as_str)).success();
    assert_eq!(cluster.files(), [""; 0]);
}

/// A data connection that holds little of what the client does not read.
fn narrow(raw: &mut Raw, via: u16) -> TcpStream {
    let address = Cluster::at(raw.pasv_address(), via);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a live socket");
    socket.connect(&address.into()).expect("the passive port listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a live socket");
    socket.into()
}

/// Its buffers held what the owner had already sent.
#[test]
fn a_killed_forwarder_ends_no_download() {
    let mut cluster = Cluster::start();
    let (mut cut, mut whole) = (0, 0);
    for size in [100_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 6_000_000] {
        let content = bytes(size, 5);
        let mut raw = cluster.replica(0).login();
        raw.stor("x", &content);
        let mut data = narrow(&mut raw, 1);
        raw.expect("RETR x", 150);
        std::thread::sleep(Duration::from_millis(300));
        cluster.replica(1).kill();
        let mut got = Vec::new();
        let ended = data.read_to_end(&mut got);
        let reply = raw.reply();
        assert!(content.starts_with(&got));
        if reply.code == 226 {
            assert!(ended.is_ok());
            assert_same(&got, &content);
            whole += 1;
        } else {
            assert_eq!(reply.code, 426);
            cut += 1;
        }
        let again = cluster.setup(1, Cluster::SECRET);
        cluster.replace(1, again);
    }
    assert!(cut > 1 && whole > 0, "{cut} cut, {whole} whole");
}

#[test]
fn a_slow_client_has_as_long_as_it_takes_something() {
    let cluster = Cluster::with(|setup| setup.ftp("data_timeout = \"1s\""));
    // More than the kernel holds for a client that does not read.
    let content = bytes(12_000_000, 6);
    let mut raw = cluster.replica(0).login();
    raw.stor("x", &content);
    let mut data = narrow(&mut raw, 1);
    raw.expect("RETR x", 150);
    let mut got = Vec::new();
    while got.len() < content.len() {
        std::thread::sleep(Duration::from_millis(20));
        let mut some = vec![0; 100_000.min(content.len() - got.len())];
        data.read_exact(&mut some).expect("it sends");
        got.extend(some);
    }
    raw.reply_is(226);
    assert_same(&got, &content);
}

/// Also when the owner has sent everything, and only the replica between knows that nothing goes on.
#[test]
fn a_client_that_takes_nothing_ends_its_download() {
    let cluster = Cluster::with(|setup| setup.ftp("data_timeout = \"1s\""));
    let mut stalled = 0;
    for size in [1_000_000, 2_000_000, 3_000_000, 4_000_000, 6_000_000, 12_000_000] {
        let mut raw = cluster.replica(0).login();
        raw.stor("x", &bytes(size, 6));
        let data = narrow(&mut raw, 1);
        raw.expect("RETR x", 150);
        // What the kernel holds for a client is with the client, as without a replica between.
        let reply = raw.reply();
        assert!(matches!(reply.code, 226 | 426), "{reply:?}");
        stalled += usize::from(reply.code == 426);
        drop(data);
    }
    assert!(stalled > 1, "{stalled}");
    eventually("the ends of hops", Duration::from_secs(20), || {
        cluster.replica(1).metric("bucketport_forwarded_connections") < 0.5
    });
}

/// As `nc` does it: a client that only takes ends its own direction at once.
#[test]
fn a_client_may_end_its_direction_before_it_takes() {
    let cluster = Cluster::start();
    let content = bytes(3_000_000, 8);
    let mut raw = cluster.replica(0).login();
    raw.stor("x", &content);
    let mut data = Cluster::begin(&mut raw, 1, "RETR x");
    data.shutdown(std::net::Shutdown::Write).expect("a live socket");
    let mut got = Vec::new();
    data.read_to_end(&mut got).expect("an orderly end");
    assert_same(&got, &content);
    raw.reply_is(226);
}

#[test]
fn a_killed_owner_commits_nothing() {
    let cluster = Cluster::start();
    let mut raw = cluster.replica(0).login();
    let mut data = Cluster::begin(&mut raw, 1, "STOR x");
    data.write_all(&bytes(1_000_000, 1)).expect("it reads");
    settle();
    cluster.replica(0).signal(Signal::SIGKILL);
    raw.closed();
    let mut nothing = Vec::new();
    // What it had not read makes it a reset.
    let _ = data.read_to_end(&mut nothing);
    assert!(cluster.stored("x").is_none());
    eventually("the end of the hop", Duration::from_secs(20), || {
        cluster.replica(1).metric("bucketport_forwarded_connections") < 0.5
    });
}
