//! TLS on the control connection: AUTH, implicit listeners, what is refused without it, and what it does not let in.

use std::time::Duration;

use crate::support::{Certificate, Gateway, Raw, assert_same, bytes, curl, eventually, lftp};

const VERSIONS: [(&str, &[&str]); 2] = [("1.2", &["--tls-max", "1.2"]), ("1.3", &["--tlsv1.3"])];

#[test]
fn curl_moves_files_in_every_way() {
    let certificate = Certificate::new();
    let trusted = certificate.certificate().display().to_string();
    let content = bytes(3_000_000, 1);
    for mode in ["optional", "required"] {
        let gateway = certificate.setup(mode).start();
        let folder = gateway.folder();
        std::fs::write(folder.join("sent"), &content).expect("a writable folder");
        let (sent, got) = (folder.join("sent").display().to_string(), folder.join("got"));
        let explicit = format!("ftp://demo:secret@localhost:{}", gateway.ftp.port());
        let implicit = format!("ftps://demo:secret@localhost:{}", gateway.ftps().port());
        for (version, arguments) in VERSIONS {
            for (way, url) in [("explicit", &explicit), ("implicit", &implicit)] {
                let name = format!("{way}-{version}");
                let common = [&["--ssl-reqd", "--cacert", &trusted], arguments].concat();
                let run = |more: &[&str]| curl([&common, more].concat()).success();
                run(&["-T", &sent, &format!("{url}/{name}")]);
                assert_same(&gateway.file(&name), &content);
                run(&[&format!("{url}/{name}"), "-o", &got.display().to_string()]);
                assert_same(&std::fs::read(&got).expect("a file"), &content);
                assert!(run(&[&format!("{url}/"), "--list-only"]).lines().any(|line| line == name));
            }
        }
        for (way, sessions) in [("explicit", 6.0), ("implicit", 6.0), ("none", 0.0)] {
            let sample = format!("bucketport_sessions_total{{tls=\"{way}\"}}");
            eventually(&sample, Duration::from_secs(10), || (gateway.metric(&sample) - sessions).abs() < 0.5);
        }
    }
}

#[test]
fn lftp_moves_files_with_tls_forced() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").start();
    let content = bytes(1_000_000, 2);
    let file = |name: &str| gateway.folder().join(name);
    std::fs::write(file("sent"), &content).expect("a writable folder");
    for version in ["1.2", "1.3"] {
        for (scheme, port) in [("ftp", gateway.ftp.port()), ("ftps", gateway.ftps().port())] {
            let listed = lftp(&format!(
                "set ftp:ssl-allow true; set ftp:ssl-force true; set ftp:ssl-protect-data true; \
                 set ssl:priority NORMAL:-VERS-TLS-ALL:+VERS-TLS{version}; set ssl:ca-file {}; \
                 open -u demo,secret {scheme}://localhost:{port}; put {} -o x; get x -o {}; nlist",
                certificate.certificate().display(),
                file("sent").display(),
                file("got").display(),
            ));
            assert_eq!(listed.success(), "x\n");
            assert_same(&gateway.file("x"), &content);
            assert_same(&std::fs::read(file("got")).expect("a file"), &content);
            std::fs::remove_file(file("got")).expect("it is there");
        }
        let log = gateway.log();
        let spoken = |version: &str| log.matches(&format!("TLS begins version=\"TLSv{version}\"")).count();
        assert!(spoken("1_2") > 0 && (spoken("1_3") > 0) == (version == "1.3"), "{log}");
    }
}

#[test]
fn python_moves_files_and_hears_the_codes_of_rfc_4217() {
    let certificate = Certificate::new();
    for mode in ["optional", "required"] {
        let gateway = certificate.setup(mode).start();
        for version in ["1.2", "1.3"] {
            let script = r"
client = login()
content = bytes(range(256)) * 4000
for _ in range(3):
    assert client.storbinary('STOR x', io.BytesIO(content)).startswith('226')
    got = io.BytesIO()
    client.retrbinary('RETR x', got.write)
    assert got.getvalue() == content
    assert client.nlst() == ['x']
features = ask(client, 'FEAT')
assert all(f'\n {feature}\n' in features for feature in ('AUTH TLS', 'PBSZ', 'PROT')), features
for command, expected in [
    ('AUTH TLS', 503), ('PBSZ x', 501), ('PBSZ 100', 200), ('PROT S', 536), ('PROT E', 536), ('PROT X', 504),
    ('CCC', 533), ('ADAT x', 503), ('PROT P', 200),
]:
    assert code(client, command) == expected, command
client.voidcmd('DELE x')
client.quit()
client = connect()
assert [code(client, command) for command in ('AUTH', 'AUTH KERBEROS', 'PBSZ 0', 'PROT P')] == [501, 504, 503, 503]
client.auth()
assert code(client, 'PROT P') == 503, 'PBSZ comes first'
";
            certificate.python(&gateway, version, script);
        }
    }
}

#[test]
fn required_lets_no_password_and_no_file_through_in_the_clear() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").ftp("active_mode = true").start();
    let mut raw = gateway.connect();
    for command in ["USER demo", "PASS secret", "USER demo"] {
        assert!(raw.expect(command, 530).text().contains("AUTH TLS"));
    }
    raw.expect("PWD", 530);
    let script = r"
client = connect()
client.auth()
client.login('demo', 'secret', secure=False)
for command in ['STOR x', 'APPE x', 'STOU', 'RETR x', 'LIST', 'NLST', 'MLSD']:
    assert refused(client, command) == 521, command
    client.af = socket.AF_INET6
    client.makepasv = lambda: ('127.0.0.1', ftplib.parse229(client.sendcmd('EPSV'), ('127.0.0.1', 0))[1])
    assert refused(client, command) == 521, command
    del client.makepasv
    client.af = socket.AF_INET
    for where in ['PORT 127,0,0,1,200,10', 'EPRT |1|127.0.0.1|51210|']:
        client.voidcmd(where)
        assert code(client, command) == 521, (where, command)
assert [code(client, command) for command in ('PBSZ 0', 'PROT C')] == [200, 534]
assert refused(client, 'STOR x') == 521
client.prot_p()
client.storbinary('STOR x', io.BytesIO(b'x'))
# A new login does not take it back.
client.voidcmd('REIN')
client.login('demo', 'secret', secure=False)
assert code(client, 'PROT C') == 534
client.storbinary('STOR y', io.BytesIO(b'y'))
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.files(), ["x", "y"]);
}

#[test]
fn implicit_sessions_have_private_data_unasked() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").start();
    let script = r"
client = Client(context=context)
client._prot_p = True
plain = socket.create_connection(('localhost', implicit_port), 30)
client.host, client.af = 'localhost', plain.family
client.sock = context.wrap_socket(plain, server_hostname='localhost')
client.file = client.sock.makefile('r', encoding='utf-8')
assert client.getresp().startswith('220')
ftplib.FTP.login(client, 'demo', 'secret')
client.storbinary('STOR private', io.BytesIO(b'x'))
client.prot_c()
client.storbinary('STOR public', io.BytesIO(b'x'))
assert code(client, 'AUTH TLS') == 503
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.files(), ["private", "public"]);
}

#[test]
fn optional_leaves_the_choice() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").start();
    let mut raw = gateway.login();
    raw.stor("clear", b"x");
    raw.expect("PROT P", 503);
    let script = r"
client = connect()
client.login('demo', 'secret')
client.storbinary('STOR unasked', io.BytesIO(b'x'))
client.prot_p()
client.storbinary('STOR private', io.BytesIO(b'x'))
client.prot_c()
client.storbinary('STOR public', io.BytesIO(b'x'))
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.files(), ["clear", "private", "public", "unasked"]);
}

#[test]
fn what_was_sent_in_the_clear_is_not_executed_after_the_handshake() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").start();
    let script = r"
client = connect()
client.sock.sendall(b'AUTH TLS\r\nUSER demo\r\nPASS secret\r\nMKD injected\r\nUSER')
assert client.getresp().startswith('234')
client.sock = context.wrap_socket(client.sock, server_hostname='localhost')
client.file = client.sock.makefile('r', encoding='utf-8')
assert code(client, 'NOOP') == 200
assert code(client, 'PWD') == 530
# A login in the clear does not outlive AUTH.
client = connect()
for command in ('USER demo', 'PASS secret', 'PWD'):
    ask(client, command)
client.auth()
assert code(client, 'PWD') == 530
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn what_was_set_in_the_clear_does_not_outlive_the_handshake() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").start();
    let script = r"
client = connect()
fresh = ask(client, 'FEAT')
assert [code(client, command) for command in ('OPTS HASH MD5', 'OPTS MLST size;')] == [200, 200]
assert ask(client, 'FEAT') != fresh
client.auth()
assert ask(client, 'FEAT') == fresh
client = connect()
# The QUIT arrives while the password is looked at, and waits behind AUTH.
client.sock.sendall(b'USER demo\r\nPASS secret\r\nAUTH TLS\r\nQUIT\r\n')
assert [int(client.getmultiline()[:3]) for _ in range(3)] == [331, 230, 234]
client.sock = context.wrap_socket(client.sock, server_hostname='localhost')
client.file = client.sock.makefile('r', encoding='utf-8')
ftplib.FTP.login(client, 'demo', 'secret')
conn = client.transfercmd('STOR killed')
conn.sendall(b'x' * 300000)
time.sleep(0.1)
client.close()
conn.close()
";
    certificate.python(&gateway, "1.3", script);
    gateway.wait_for_uploads();
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let certificate = Certificate::new();
    let gateway = certificate
        .setup("optional")
        .ftp("login_timeout = \"4s\"")
        .ftp("data_timeout = \"2s\"")
        .ftp("max_connections = 2")
        .start();
    let mut implicit = Raw::connect_only(gateway.ftps(), None);
    let mut explicit = gateway.connect();
    explicit.expect("AUTH TLS", 234);
    // They count, and nobody waits for them.
    Raw::connect_only(gateway.ftp, None).reply_is(421);
    Raw::connect_only(gateway.ftps(), None).closed();
    implicit.closed();
    explicit.closed();
    for tls in ["none", "implicit"] {
        let sample = format!("bucketport_sessions{{tls=\"{tls}\"}}");
        eventually(&sample, Duration::from_secs(10), || gateway.metric(&sample) < 0.5);
    }
    // Neither is one that is no handshake.
    let mut implicit = Raw::connect_only(gateway.ftps(), None);
    implicit.send("USER demo");
    drop(implicit);
    let script = r"
client = login()
assert refused(client, 'STOR x') == 150
try:
    client.getresp()
    sys.exit('a reply without an error')
except ftplib.error_perm as error:
    assert str(error).startswith('522'), error
data = socket.create_connection(client.makepasv(), 30)
assert code(client, 'STOR x') == 150
try:
    client.getresp()
    sys.exit('a reply without an error')
except ftplib.error_perm as error:
    assert str(error).startswith('522'), error
client.storbinary('STOR y', io.BytesIO(b'y'))
";
    certificate.python(&gateway, "1.3", script);
    assert_eq!(gateway.files(), ["y"]);
}

#[test]
fn without_tls_nothing_is_offered() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    let features = raw.expect("FEAT", 211);
    assert!(
        !features.lines.iter().any(|line| ["AUTH", "PBSZ", "PROT"].iter().any(|verb| line.contains(verb)))
    );
    for (command, code) in [("AUTH TLS", 502), ("PBSZ 0", 503), ("PROT P", 503), ("CCC", 533)] {
        raw.expect(command, code);
    }
    raw.logged_in("demo", "secret").stor("x", b"x");
}
