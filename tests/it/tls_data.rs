//! TLS on data connections: whose sessions they resume, and how an upload's end is judged.

use std::time::Duration;

use crate::support::{Certificate, Gateway, bytes, curl, eventually, lftp};

fn handshakes(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("bucketport_tls_handshakes_total{{connection=\"data\",result=\"{result}\"}}"))
}

#[test]
fn clients_resume_and_so_pass_where_that_is_required() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").ftp("tls.require_session_reuse = true").start();
    let trusted = certificate.certificate().display().to_string();
    let sent = gateway.folder().join("sent").display().to_string();
    std::fs::write(&sent, bytes(200_000, 1)).expect("a writable folder");
    let url = |name: &str| format!("ftp://demo:secret@localhost:{}/{name}", gateway.ftp.port());
    let (x, y, list) = (url("x"), url("y"), url(""));
    for (arguments, uploads) in [(&["--tls-max", "1.2"][..], 3), (&["--tlsv1.3"][..], 1)] {
        // Several transfers in one session each, but one upload where its ticket is the last.
        let common = [&["--ssl-reqd", "--cacert", &trusted], arguments].concat();
        let sending: [[&str; 3]; 3] = [["-T", &sent, &x], ["-T", &sent, &y], ["-T", &sent, &x]];
        curl([&common[..], &sending[..uploads].concat()].concat()).success();
        let taking: [&str; 9] = [&x, "-o", "/dev/null", &y, "-o", "/dev/null", &list, "-o", "/dev/null"];
        curl([&common[..], &taking].concat()).success();
    }
    lftp(&format!(
        "set ftp:ssl-allow true; set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:ca-file {trusted}; \
         open -u demo,secret ftp://localhost:{}; put {sent} -o z; put {sent} -o z2; nlist; get z -o {sent}.got",
        gateway.ftp.port(),
    ))
    .success();
    for result in ["full", "refused", "failed"] {
        assert!(handshakes(&gateway, result) < 0.5, "{result}");
    }
    assert!(handshakes(&gateway, "resumed") > 13.5);
}

#[test]
fn what_resumes_nothing_or_somebody_elses_session_is_refused() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").ftp("tls.require_session_reuse = true").start();
    for version in ["1.2", "1.3"] {
        let script = r"
client, other = login(), login()
def transfers(command):
    # What does not resume may hear of it during its handshake or after it.
    try:
        conn = client.transfercmd(command)
        if command.startswith('STOR'):
            conn.sendall(b'x')
            conn.unwrap()
        else:
            while conn.recv(1000): pass
        conn.close()
    except OSError:
        pass
    return int(client.getmultiline()[:3])
def with_session_of(whom):
    Client.ntransfercmd = lambda self, cmd, rest=None: (self.context.wrap_socket(
        ftplib.FTP.ntransfercmd(self, cmd, rest)[0], server_hostname='localhost',
        session=whom.sock.session if whom else None), None)
for whom, expected in [(None, 522), (other, 522), (client, 226)]:
    with_session_of(whom)
    for command in ['STOR x', 'RETR there', 'NLST']:
        assert transfers(command) == expected, (command, expected)
";
        gateway.put("there", b"there");
        certificate.python(&gateway, version, script);
    }
    assert!(handshakes(&gateway, "refused") > 11.5);
    assert_eq!(gateway.files(), ["there", "x"]);
}

#[test]
fn what_a_refused_connection_was_given_opens_nothing() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").ftp("tls.require_session_reuse = true").start();
    gateway.put("there", b"there");
    for (version, options) in [("1.2", "0"), ("1.2", "ssl.OP_NO_TICKET"), ("1.3", "0")] {
        let script = format!(
            r"
context.options |= {options}
client = login()
def transfer(command, session):
    conn, _ = ftplib.FTP.ntransfercmd(client, command)
    try:
        conn = context.wrap_socket(conn, server_hostname='localhost', session=session)
        if command.startswith('STOR'):
            conn.sendall(b'x')
            conn.unwrap()
        else:
            while conn.recv(1000): pass
    except OSError:
        pass
    given = conn.session
    conn.close()
    return int(client.getmultiline()[:3]), given
for command in ['STOR x', 'RETR there']:
    reply, stolen = transfer(command, None)
    assert reply == 522 and stolen, reply
    for second in ['STOR x', 'RETR there']:
        assert transfer(second, stolen)[0] == 522, (command, second)
# What an accepted one was given does.
reply, given = transfer('RETR there', client.sock.session)
assert reply == 226, reply
assert [transfer(command, given)[0] for command in ['RETR there', 'STOR x']] == [226, 226]
"
        );
        certificate.python(&gateway, version, &script);
    }
}

#[test]
fn without_the_requirement_a_new_session_is_as_good() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").start();
    for version in ["1.2", "1.3"] {
        let script = r"
Client.resuming = False
client = login()
client.storbinary('STOR x', io.BytesIO(b'x'))
assert client.nlst() == ['x']
";
        certificate.python(&gateway, version, script);
    }
    assert!((handshakes(&gateway, "full") - 4.0).abs() < 0.5);
}

#[test]
fn active_mode_and_type_a_are_encrypted_as_well() {
    let certificate = Certificate::new();
    let gateway = certificate
        .setup("required")
        .ftp("tls.require_session_reuse = true")
        .ftp("active_mode = true")
        .start();
    for version in ["1.2", "1.3"] {
        let script = r"
client = login()
content = bytes(range(256)) * 4000
for passive in (True, False):
    client.set_pasv(passive)
    assert client.storbinary('STOR x', io.BytesIO(content)).startswith('226')
    got = io.BytesIO()
    client.retrbinary('RETR x', got.write)
    assert got.getvalue() == content
    assert client.storlines('STOR text', io.BytesIO(b'one\ntwo\n')).startswith('226')
    client.voidcmd('TYPE A')
    conn = client.transfercmd('RETR text')
    got = b''
    while piece := conn.recv(1000): got += piece
    conn.unwrap().close()
    client.voidresp()
    assert got == b'one\r\ntwo\r\n', got
    assert client.nlst() == ['text', 'x']
";
        certificate.python(&gateway, version, script);
        assert_eq!(gateway.file("text"), b"one\ntwo\n");
    }
    // Ten of each version, and none in the clear.
    assert!((handshakes(&gateway, "resumed") - 20.0).abs() < 0.5);
}

#[test]
fn a_killed_client_leaves_nothing_and_one_that_only_closes_is_believed_while_it_is_there() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").start();
    for (round, size) in [100, 3000, 300_000].into_iter().cycle().take(6).enumerate() {
        let script = format!(
            r"
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    client = login()
    conn = client.transfercmd('STOR killed{round}')
    conn.sendall(b'x' * {size})
    if {round} % 2: time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"
        );
        certificate.python(&gateway, "1.3", &script);
    }
    gateway.wait_for_uploads();
    assert_eq!(gateway.files(), [""; 0]);
    let unannounced = "bucketport_tls_unannounced_ends_total";
    let killed = gateway.metric(unannounced);
    let script = r"
client = login()
conn = client.transfercmd('STOR closed')
conn.sendall(b'whole')
conn.close()
assert client.getresp().startswith('226')
client.storbinary('STOR declared', io.BytesIO(b'whole'))
";
    certificate.python(&gateway, "1.2", script);
    assert_eq!(gateway.file("closed"), b"whole");
    assert_eq!(gateway.file("declared"), b"whole");
    assert!((gateway.metric(unannounced) - killed - 1.0).abs() < 0.5);
}

#[test]
fn a_download_and_a_listing_end_with_a_declared_end_and_a_broken_one_without() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").start();
    gateway.put("large", &bytes(50_000_000, 1));
    // Python takes an end that was not declared for an error here.
    let script = r"
client = login()
for command in ['RETR large', 'LIST']:
    conn = client.transfercmd(command)
    conn.suppress_ragged_eofs = False
    while conn.recv(1 << 20): pass
    assert client.getresp().startswith('226')
conn = client.transfercmd('RETR large')
conn.suppress_ragged_eofs = False
conn.recv(1000)
client.putcmd('ABOR')
try:
    while conn.recv(1 << 20): pass
    sys.exit('the end of what was aborted is declared')
except (ssl.SSLError, ConnectionResetError):
    pass
";
    certificate.python(&gateway, "1.3", script);
    eventually("the transfer's end", Duration::from_secs(10), || {
        gateway.metric("bucketport_transfers_active{direction=\"download\"}") < 0.5
    });
}
