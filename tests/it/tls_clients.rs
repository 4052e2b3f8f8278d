//! Users bound to client certificates: alone or with a password, what is told to whom, and resumed sessions.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, DnType, SanType, date_time_ymd};

use crate::support::{
    Authority, Gateway, Pair, Setup, assert_same, bytes, curl, eventually, lftp, python_with_tls, setup,
};

const USERS: &str = r#"
[[users]]
name = "demo"
password = "secret"
[[users]]
name = "camera"
client_certificate = ["cn:camera-7", "dns:camera7.example"]
home = "camera"
[[users]]
name = "both"
client_certificate = "email:both@site.example"
password = "different"
[[users]]
name = "press"
client_certificate = ['subject:C=DE, O=Acme\, Inc., CN=press', "uri:urn:press:1"]
"#;

/// Who signs what servers and clients show, and what they do show.
struct World {
    servers: Authority,
    server: Pair,
    clients: Authority,
    /// Who has signed `foreign`; has the files of it.
    _strangers: Authority,
    /// The certificates that `USERS` wants, one of the same authority that nobody has, and one of another.
    pairs: Vec<(&'static str, Pair)>,
}

impl World {
    fn new() -> Self {
        let [servers, clients, strangers] = [(); 3].map(|()| Authority::new());
        let server = servers.server("server", &["localhost"]);
        let ascii = |text: &str| text.try_into().expect("ASCII");
        let named = |kind: DnType, value: &'static str| {
            move |parameters: &mut CertificateParams| parameters.distinguished_name.push(kind, value)
        };
        let alternative = |name: SanType| {
            move |parameters: &mut CertificateParams| parameters.subject_alt_names = vec![name]
        };
        let pairs = vec![
            ("camera", clients.issue("camera", named(DnType::CommonName, "camera-7"))),
            ("dns", clients.issue("dns", alternative(SanType::DnsName(ascii("Camera7.Example"))))),
            ("both", clients.issue("both", alternative(SanType::Rfc822Name(ascii("both@site.example"))))),
            ("uri", clients.issue("uri", alternative(SanType::URI(ascii("urn:press:1"))))),
            (
                "press",
                clients.issue("press", |parameters| {
                    parameters.distinguished_name.push(DnType::CountryName, "DE");
                    parameters.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
                    parameters.distinguished_name.push(DnType::CommonName, "press");
                }),
            ),
            ("stranger", clients.issue("stranger", named(DnType::CommonName, "stranger"))),
            ("foreign", strangers.issue("foreign", named(DnType::CommonName, "camera-7"))),
        ];
        Self { servers, server, clients, _strangers: strangers, pairs }
    }

    fn setup(&self, mode: &str, certificates: &str) -> Setup {
        setup(mode, &self.server)
            .ftp(&format!("tls.client_ca = \"{}\"", self.clients.certificate().display()))
            .ftp(&format!("tls.client_certificates = \"{certificates}\""))
            .users(USERS)
    }

    fn pair(&self, name: &str) -> &Pair {
        &self.pairs.iter().find(|(known, _)| *known == name).expect("a known name").1
    }

    /// Runs `script`, in which `show(name)` makes clients show that certificate from now on, none for `None`, and
    /// `attempt(user, password)` returns the reply to the password after AUTH TLS, and the client; `resumed(session)`
    /// returns a client that has resumed this one.
    #[track_caller]
    fn python(&self, gateway: &Gateway, version: &str, script: &str) {
        let pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(name, pair)| {
                format!("{name:?}: ({:?}, {:?})", pair.certificate.display(), pair.private_key.display())
            })
            .collect();
        let prelude = format!(
            r"
pairs = {{{}}}
def show(name):
    global context
    context = ssl.create_default_context(cafile=sys.argv[1])
    context.minimum_version = context.maximum_version = version
    if name: context.load_cert_chain(*pairs[name])
def attempt(user, password):
    client = connect()
    client.auth()
    assert code(client, 'USER ' + user) == 331
    return ask(client, 'PASS ' + password), client
def resumed(session):
    client = connect()
    client.voidcmd('AUTH TLS')
    client.sock = context.wrap_socket(client.sock, server_hostname='localhost', session=session)
    client.file = client.sock.makefile('r', encoding='utf-8')
    assert client.sock.session_reused
    return client
",
            pairs.join(", ")
        );
        python_with_tls(gateway, &self.servers.certificate(), version, &format!("{prelude}\n{script}"));
    }
}

#[test]
fn the_certificate_alone_opens_where_there_is_no_password() {
    let world = World::new();
    for (mode, certificates, reuse) in
        [("required", "required", false), ("required", "optional", true), ("optional", "optional", false)]
    {
        let gateway =
            world.setup(mode, certificates).ftp(&format!("tls.require_session_reuse = {reuse}")).start();
        for version in ["1.2", "1.3"] {
            let script = r"
for name, user in [('camera', 'camera'), ('dns', 'camera'), ('press', 'press'), ('uri', 'press')]:
    show(name)
    for password in ['', 'anything', 'two words']:
        reply, client = attempt(user, password)
        assert reply.startswith('230'), (name, reply)
    client.prot_p()
    client.storbinary('STOR ' + name, io.BytesIO(name.encode()))
    # The connection is still whose it was, whoever logs in on it next.
    client.voidcmd('REIN')
    assert ask(client, 'USER ' + user)[:3] + ask(client, 'PASS x')[:3] == '331230'
client = login('press', 'no password')
assert sorted(client.nlst()) == ['camera', 'press', 'uri'], client.nlst()
";
            world.python(&gateway, version, script);
        }
        assert_eq!(gateway.file("camera/dns"), b"dns");
    }
}

#[test]
fn with_a_password_both_are_needed_and_only_the_log_tells_what_was_wrong() {
    let world = World::new();
    let gateway = world.setup("optional", "optional").start();
    for version in ["1.2", "1.3"] {
        let script = r"
show('both')
reply, client = attempt('both', 'different')
assert reply.startswith('230'), reply
replies = set()
for name, user, password in [
    ('both', 'both', 'wrong'), ('both', 'both', ''), ('both', 'camera', 'x'), ('both', 'nobody', 'different'),
    (None, 'both', 'different'), (None, 'both', 'wrong'), (None, 'camera', 'x'), ('stranger', 'camera', 'x'),
    ('camera', 'both', 'different'), ('camera', 'demo', 'wrong'),
]:
    show(name)
    replies.add(attempt(user, password)[0])
    # Nobody shall be locked out here.
    show('both')
    assert attempt('both', 'different')[0].startswith('230')
    show('camera')
    assert attempt('camera', 'x')[0].startswith('230')
    show(None)
    assert attempt('demo', 'secret')[0].startswith('230')
client = connect()
assert code(client, 'USER camera') == 331
replies.add(ask(client, 'PASS in the clear'))
assert replies == {'530 Login incorrect'}, replies
";
        world.python(&gateway, version, script);
    }
    let login = |result: &str| gateway.metric(&format!("bucketport_logins_total{{result=\"{result}\"}}"));
    assert_eq!((login("bad_credentials"), login("denied"), login("locked_out")), (22.0, 0.0, 0.0));
    let log = gateway.log();
    let failed = |parts: &[&str]| {
        log.lines()
            .filter(|line| line.contains("login failed"))
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    };
    let (password, none, other) = (
        "wrong name or password",
        "no client certificate was shown",
        "the client certificate is not the user's",
    );
    assert_eq!([password, none, other].map(|why| failed(&[why])), [10, 6, 6]);
    assert_eq!(failed(&[other, "name=\"camera\"", "cn:stranger"]), 2);
    assert_eq!(failed(&[other, "name=\"both\"", "cn:camera-7", "subject:CN=camera-7"]), 2);
    assert!(!log.contains("different"), "a password is logged");
    let begun = log.lines().find(|line| line.contains("TLS begins") && line.contains("email:"));
    assert!(begun.is_some_and(|line| line.contains("[\"email:both@site.example\"]")), "{begun:?}");
}

#[test]
fn who_is_bound_to_none_needs_one_or_not_as_configured() {
    let world = World::new();
    for certificates in ["required", "optional"] {
        let gateway = world.setup("required", certificates).start();
        for version in ["1.2", "1.3"] {
            let script = format!(
                r"
def outcome(name):
    show(name)
    try:
        client = login()
        client.storbinary('STOR x', io.BytesIO(b'x'))
        return 'in'
    except (OSError, EOFError):
        return 'out'
outcomes = [outcome(name) for name in ('stranger', None, 'foreign', 'stranger')]
assert outcomes == ['in', 'out' if {certificates:?} == 'required' else 'in', 'out', 'in'], outcomes
"
            );
            world.python(&gateway, version, &script);
        }
    }
}

#[test]
fn a_resumed_session_is_still_whose_it_was() {
    let world = World::new();
    let gateway = world.setup("required", "optional").start();
    for version in ["1.2", "1.3"] {
        let script = r"
def enters(client, user):
    assert code(client, 'USER ' + user) == 331
    return ask(client, 'PASS different').startswith('230')
show('camera')
first = attempt('camera', 'x')[1]
for _ in range(3):
    # No certificate crosses the network where a session is resumed.
    client = resumed(first.sock.session)
    client.voidcmd('NOOP')
    assert not enters(client, 'both') and enters(client, 'camera')
    client.voidcmd('NOOP')
    first = client
show(None)
first = attempt('demo', 'secret')[1]
context.load_cert_chain(*pairs['camera'])
client = resumed(first.sock.session)
assert not enters(client, 'camera'), 'it began without a certificate'
assert attempt('camera', 'x')[0].startswith('230')
";
        world.python(&gateway, version, script);
    }
}

#[test]
fn a_certificate_that_has_expired_opens_nothing_although_its_session_is_resumed() {
    let mut world = World::new();
    let [optional, required] = ["optional", "required"].map(|need| world.setup("required", need).start());
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock that is right");
    let expires = since_1970.as_secs() + 10;
    let short = world.clients.issue("short", |parameters| {
        parameters.distinguished_name.push(DnType::CommonName, "camera-7");
        parameters.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(expires);
    });
    world.pairs.push(("short", short));
    let script = format!(
        r"
begun = []
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    show('short')
    reply, first = attempt('camera', 'x')
    assert reply.startswith('230'), reply
    begun.append((context, first))
time.sleep({expires} + 1.5 - time.time())
for context, first in begun:
    client = resumed(first.sock.session)
    if ending:
        try:
            sys.exit(ask(client, 'NOOP'))
        except (OSError, EOFError):
            pass
    else:
        assert ask(client, 'USER camera')[:3] + ask(client, 'PASS x') == '331530 Login incorrect'
        assert ask(client, 'USER demo')[:3] + ask(client, 'PASS secret')[:3] == '331230'
    # Who is in, goes on, but does not come in again.
    first.prot_p()
    first.storbinary('STOR x', io.BytesIO(b'x'))
    first.voidcmd('REIN')
    assert ask(first, 'USER camera')[:3] + ask(first, 'PASS x') == '331530 Login incorrect'
"
    );
    std::thread::scope(|threads| {
        threads.spawn(|| world.python(&optional, "1.3", &format!("ending = False\n{script}")));
        threads.spawn(|| world.python(&required, "1.3", &format!("ending = True\n{script}")));
    });
    for (gateway, failed, ended) in [(&optional, 4, 0), (&required, 2, 2)] {
        let log = gateway.log();
        assert_eq!(log.matches("result=the client certificate has expired").count(), failed, "{log}");
        let told = "TLS handshake failed error=the client certificate of the resumed session has expired";
        assert_eq!(log.matches(told).count(), ended, "{log}");
    }
}

#[test]
fn a_data_connection_shows_what_its_control_connection_has_shown() {
    let world = World::new();
    let gateway = world.setup("required", "optional").start();
    for version in ["1.2", "1.3"] {
        let script = r"
def moved(client, shown, resuming=False):
    client.context, client.resuming = shown, resuming
    data = client.transfercmd('STOR x')
    # Of TLS 1.3 the client has done its part when it is refused.
    try: data.sendall(b'x')
    except OSError: pass
    data.close()
    return client.getmultiline()
for control, user, password in [('camera', 'camera', 'x'), ('camera', 'demo', 'secret'), (None, 'demo', 'secret')]:
    show(control)
    reply, client = attempt(user, password)
    assert reply.startswith('230'), reply
    client.prot_p()
    own = client.context
    for name in ['camera', 'dns', 'stranger', None]:
        show(name)
        reply = moved(client, context)
        assert reply.startswith('226' if name == control else '522'), (control, user, name, reply)
    # As with all refusals of TLS, the session goes on.
    assert moved(client, own, True).startswith('226')
";
        world.python(&gateway, version, script);
    }
    let handshakes = |result: &str| {
        let labels = format!("connection=\"data\",result=\"{result}\"");
        gateway.metric(&format!("bucketport_tls_handshakes_total{{{labels}}}"))
    };
    assert_eq!((handshakes("full"), handshakes("resumed"), handshakes("refused")), (6.0, 6.0, 18.0));
}

#[test]
fn curl_and_lftp_log_in_with_a_certificate() {
    let world = World::new();
    let gateway = world.setup("required", "required").start();
    let content = bytes(200_000, 4);
    let file = |name: &str| gateway.folder().join(name).display().to_string();
    let (sent, got) = (file("sent"), file("got"));
    std::fs::write(&sent, &content).expect("a writable folder");
    let trusted = world.servers.certificate().display().to_string();
    let shown = |name: &str| {
        let pair = world.pair(name);
        (pair.certificate.display().to_string(), pair.private_key.display().to_string())
    };
    let (certificate, key) = shown("camera");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        for (scheme, port) in [("ftp", gateway.ftp.port()), ("ftps", gateway.ftps().port())] {
            let url = format!("{scheme}://localhost:{port}/curl");
            let common =
                ["--ssl-reqd", "--cacert", &trusted, "--cert", &certificate, "--key", &key, "--user"];
            for password in ["camera:", "camera:anything"] {
                let common = [&common[..], &[password], version].concat();
                curl([&common[..], &["-T", &sent, &url]].concat()).success();
                curl([&common[..], &[&url, "-o", &got]].concat()).success();
                assert_same(&std::fs::read(&got).expect("a file"), &content);
            }
        }
    }
    assert_same(&gateway.file("camera/curl"), &content);
    let (certificate, key) = shown("both");
    lftp(&format!(
        "set ftp:ssl-allow true; set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:ca-file {trusted}; \
         set ssl:cert-file {certificate}; set ssl:key-file {key}; \
         open -u both,different ftp://localhost:{}; put {sent} -o lftp",
        gateway.ftp.port(),
    ))
    .success();
    assert_same(&gateway.file("lftp"), &content);
}

#[test]
fn a_reload_binds_and_frees_users() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    let write = |proof: &str| {
        std::fs::write(&file, format!("[[users]]\nname = \"acme\"\n{proof}\n")).expect("a writable folder");
    };
    write("password = \"x\"");
    let users = format!("[auth]\nusers_file = \"{}\"\n{USERS}", file.display());
    let gateway = world.setup("optional", "optional").users(&users).start();
    let enters = |name: &str, password: &str, expected: &str| {
        let script =
            format!("show({name})\nassert {expected} attempt('acme', '{password}')[0].startswith('230')");
        world.python(&gateway, "1.3", &script);
    };
    enters("None", "x", "");
    write("client_certificate = \"cn:camera-7\"");
    gateway.wait_for_log("users reloaded");
    enters("None", "x", "not");
    enters("'stranger'", "x", "not");
    enters("'camera'", "y", "");
    // What is wrong leaves it so.
    write("client_certificate = \"camera-7\"");
    gateway.wait_for_log("users not reloaded");
    assert!(gateway.log().contains("users[0].client_certificate: `camera-7` is not a name"));
    enters("'camera'", "y", "");
    write("password = \"z\"");
    gateway.signal(Signal::SIGHUP);
    let reloaded = || gateway.log().matches("users reloaded").count();
    eventually("the users", Duration::from_secs(20), || reloaded() >= 2);
    enters("'camera'", "y", "not");
    enters("None", "z", "");
}
