//! Several certificates: which of them a client is shown, how they are renewed, and whose sessions are resumed.

use std::time::Duration;

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, date_time_ymd};

use crate::support::{
    Authority, Gateway, Pair, Setup, assert_same, bytes, curl, eventually, python_with_tls, setup,
};

/// Certificates for `localhost`, which is the default, `a.example.org`, and all servers below `b.example.org`.
fn three(authority: &Authority) -> [Pair; 3] {
    [("default", "localhost"), ("a", "a.example.org"), ("b", "*.b.example.org")]
        .map(|(file, name)| authority.server(file, &[name]))
}

fn with([first, others @ ..]: &[Pair; 3], mode: &str) -> Setup {
    let table = |pair: &Pair| {
        let (certificate, private_key) = (pair.certificate.display(), pair.private_key.display());
        format!("{{ certificate = \"{certificate}\", private_key = \"{private_key}\" }}")
    };
    let others: Vec<_> = others.iter().map(table).collect();
    setup(mode, first).ftp(&format!("tls.more_certificates = [{}]", others.join(", ")))
}

/// What `shown(server)` in the scripts needs: which of the files is shown to a client that asks for `server`.
fn shown(certificates: &[Pair]) -> String {
    let files: Vec<_> = certificates.iter().map(|pair| pair.certificate.display().to_string()).collect();
    format!(
        r"
files = {files:?}
known = {{ssl.PEM_cert_to_DER_cert(open(file).read()): place for place, file in enumerate(files)}}
open_context = ssl.create_default_context()
open_context.check_hostname, open_context.verify_mode = False, ssl.CERT_NONE
open_context.minimum_version = open_context.maximum_version = version
def shown(server):
    plain = socket.create_connection(('127.0.0.1', implicit_port), 30)
    with open_context.wrap_socket(plain, server_hostname=server) as connection:
        return known.get(connection.getpeercert(binary_form=True))
"
    )
}

#[test]
fn a_client_is_shown_the_certificate_of_the_server_that_it_asks_for() {
    let authority = Authority::new();
    let certificates = three(&authority);
    let gateway = with(&certificates, "required").start();
    for version in ["1.2", "1.3"] {
        let script = r"
for server, expected in [
    ('localhost', 0), ('a.example.org', 1), ('A.Example.Org', 1), ('one.b.example.org', 2), ('two.b.example.org', 2),
    ('b.example.org', 0), ('one.two.b.example.org', 0), ('unknown.example', 0), ('127.0.0.1', 0), (None, 0),
]:
    assert shown(server) == expected, (server, shown(server))
";
        let script = format!("{}{script}", shown(&certificates));
        python_with_tls(&gateway, &authority.certificate(), version, &script);
    }
}

#[test]
fn data_connections_resume_and_show_what_the_control_connection_has_shown() {
    let authority = Authority::new();
    let certificates = three(&authority);
    for reuse in [false, true] {
        let gateway =
            with(&certificates, "required").ftp(&format!("tls.require_session_reuse = {reuse}")).start();
        for version in ["1.2", "1.3"] {
            let script = r"
def transfer(client, command, session, server):
    conn, _ = ftplib.FTP.ntransfercmd(client, command)
    conn = open_context.wrap_socket(conn, server_hostname=server, session=session)
    while conn.recv(1000): pass
    certificate, resumed = conn.getpeercert(binary_form=True), conn.session_reused
    conn.close()
    client.voidresp()
    return known[certificate], resumed
for place, host in enumerate(['localhost', 'a.example.org', 'one.b.example.org']):
    client = login(host=host)
    assert known[client.sock.getpeercert(binary_form=True)] == place, host
    client.storbinary('STOR x', io.BytesIO(host.encode()))
    got = io.BytesIO()
    client.retrbinary('RETR x', got.write)
    assert got.getvalue() == host.encode()
    if not required:
        for server in ['localhost', 'a.example.org', 'two.b.example.org', 'unknown.example', None]:
            assert transfer(client, 'RETR x', None, server) == (place, False), (host, server)
";
            let required = if reuse { "True" } else { "False" };
            let script = format!("{}\nrequired = {required}\n{script}", shown(&certificates));
            python_with_tls(&gateway, &authority.certificate(), version, &script);
        }
        let data = |result: &str| {
            let labels = format!("connection=\"data\",result=\"{result}\"");
            gateway.metric(&format!("bucketport_tls_handshakes_total{{{labels}}}"))
        };
        assert_eq!((data("resumed"), data("refused"), data("failed")), (12.0, 0.0, 0.0));
    }
}

#[test]
fn curl_finds_the_certificate_of_each_name() {
    let authority = Authority::new();
    let gateway = with(&three(&authority), "required").ftp("tls.require_session_reuse = true").start();
    let content = bytes(300_000, 3);
    let (sent, got) = (gateway.folder().join("sent"), gateway.folder().join("got"));
    std::fs::write(&sent, &content).expect("a writable folder");
    let trusted = authority.certificate().display().to_string();
    let (sent, path) = (sent.display().to_string(), got.display().to_string());
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        for host in ["localhost", "a.example.org", "one.b.example.org"] {
            for (scheme, port) in [("ftp", gateway.ftp.port()), ("ftps", gateway.ftps().port())] {
                let address = format!("{host}:{port}:127.0.0.1");
                let url = format!("{scheme}://demo:secret@{host}:{port}/{host}");
                let common = [&["--ssl-reqd", "--cacert", &trusted, "--resolve", &address], version].concat();
                curl([&common[..], &["-T", &sent, &url]].concat()).success();
                curl([&common[..], &[&url, "-o", &path]].concat()).success();
                assert_same(&std::fs::read(&got).expect("a file"), &content);
            }
        }
    }
}

#[test]
fn a_session_is_not_resumed_in_another_name() {
    let authority = Authority::new();
    let certificates = three(&authority);
    let gateway = with(&certificates, "required").start();
    for version in ["1.2", "1.3"] {
        let script = r"
def is_offered(host, previous):
    # In the first message of a client that is told to do the same: in the extension session_ticket, or pre_shared_key.
    outgoing = ssl.MemoryBIO()
    client = open_context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host, session=previous)
    try: client.do_handshake()
    except ssl.SSLWantReadError: pass
    hello = outgoing.read()[5 + 4 + 2 + 32:]
    hello = hello[1 + hello[0]:]
    hello = hello[2 + int.from_bytes(hello[:2], 'big'):]
    extensions, found = hello[1 + hello[0] + 2:], {}
    while extensions:
        kind, length = int.from_bytes(extensions[:2], 'big'), int.from_bytes(extensions[2:4], 'big')
        found[kind], extensions = length, extensions[4 + length:]
    return found.get(35 if version == ssl.TLSVersion.TLSv1_2 else 41, 0) > 0
def session(host, previous=None):
    plain = socket.create_connection(('127.0.0.1', implicit_port), 30)
    connection = open_context.wrap_socket(plain, server_hostname=host, session=previous)
    connection.recv(1000)
    reused, given = connection.session_reused, connection.session
    certificate = known[connection.getpeercert(binary_form=True)]
    connection.close()
    return given, reused, certificate
first = session('a.example.org')[0]
assert session('a.example.org', first)[1:] == (True, 1)
for host, place in [('one.b.example.org', 2), ('localhost', 0), (None, 0)]:
    given = session('a.example.org')[0]
    assert is_offered(host, given) and not is_offered(host, None), host
    assert session(host, given)[1:] == (False, place), host
";
        let script = format!("{}{script}", shown(&certificates));
        python_with_tls(&gateway, &authority.certificate(), version, &script);
    }
}

/// Which certificate clients of `host` are shown, after the script has found them in the files as they were.
fn place(gateway: &Gateway, authority: &Authority, shown: &str, host: &str) -> String {
    let script = format!("{shown}\nprint(shown('{host}'))");
    python_with_tls(gateway, &authority.certificate(), "1.3", &script).trim().to_owned()
}

/// When a certificate expires, in whole seconds.
fn expiry(gateway: &Gateway, pair: &Pair) -> String {
    let name = "bucketport_tls_certificate_expiry_timestamp_seconds";
    let seconds = gateway.metric(&format!("{name}{{certificate=\"{}\"}}", pair.certificate.display()));
    format!("{seconds:.0}")
}

#[test]
fn all_certificates_are_renewed_together_or_none() {
    let authority = Authority::new();
    let certificates = three(&authority);
    let gateway = with(&certificates, "required").start();
    let [default, second, _] = &certificates;
    // The scripts find what is shown in files that do not change.
    let issue = |file: &str, host: &str, year| {
        authority.issue(file, |parameters| {
            *parameters = CertificateParams::new(vec![host.to_owned()]).expect("a name");
            parameters.not_after = date_time_ymd(year, 1, 1);
        })
    };
    let old = ["old0", "old1"].map(|file| authority.server(file, &["localhost"]));
    old[0].replace_by(default);
    old[1].replace_by(second);
    let [old0, old1] = old;
    let (new0, new1) = (issue("new0", "localhost", 2090), issue("new1", "a.example.org", 2080));
    let shown = shown(&[old0, old1, new0, new1]);
    let places = || ["localhost", "a.example.org"].map(|host| place(&gateway, &authority, &shown, host));
    assert_eq!(places(), ["0", "1"]);
    let before = [default, second].map(|pair| expiry(&gateway, pair));

    // The first is renewed rightly, the key of the second is that of another: nothing changes.
    let at = |name: &str| Pair {
        certificate: authority.certificate().with_file_name(format!("{name}.crt")),
        private_key: authority.certificate().with_file_name(format!("{name}.key")),
    };
    std::fs::copy(at("new0").private_key, &second.private_key).expect("a writable folder");
    default.replace_by(&at("new0"));
    let mistake = format!(
        "ftp.tls.more_certificates[0].private_key: {}: does not belong to the certificate",
        second.private_key.display()
    );
    gateway.wait_for_log(&mistake);
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_log("users reloaded");
    assert_eq!(places(), ["0", "1"]);
    assert_eq!([default, second].map(|pair| expiry(&gateway, pair)), before);

    // Both are right, as they are found to be without being told and on SIGHUP.
    second.replace_by(&at("new1"));
    eventually("the new ones", Duration::from_secs(30), || places() == ["2", "3"]);
    assert_eq!([default, second].map(|pair| expiry(&gateway, pair)), ["3786912000", "3471292800"]);
    second.replace_by(&at("old1"));
    gateway.signal(Signal::SIGHUP);
    eventually("the old one", Duration::from_secs(30), || places() == ["2", "1"]);
}
