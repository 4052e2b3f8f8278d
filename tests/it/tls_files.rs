//! The certificate: how a first one is made, what is wrong with one, and how another one takes its place.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, SanType};

use crate::support::{Authority, Certificate, Gateway, Setup, eventually, program, python_with_tls, setup};

/// When the certificate in this file expires, as the metric tells it.
fn expiry(gateway: &Gateway, file: &Path) -> f64 {
    let name = "bucketport_tls_certificate_expiry_timestamp_seconds";
    gateway.metric(&format!("{name}{{certificate=\"{}\"}}", file.display()))
}

#[test]
fn a_first_certificate_is_made_and_none_is_overwritten() {
    let certificate = Certificate::new();
    let rights = |path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(rights(certificate.private_key()), 0o600);
    let folder = certificate.certificate().parent().expect("a folder").to_owned();
    let files = [certificate.private_key(), certificate.certificate()];
    // With both files there, and with either of them alone: nothing is added and nothing is changed.
    for missing in [None, Some(&files[0]), Some(&files[1])] {
        let there: Vec<_> = files.iter().filter(|file| Some(*file) != missing).collect();
        let before = there.iter().map(|file| std::fs::read(file).expect("a file")).collect::<Vec<_>>();
        let content = missing.map(|file| std::fs::read(file).expect("a file"));
        missing.map(std::fs::remove_file).transpose().expect("a writable folder");
        let again = program().arg("self-signed").arg("--folder").arg(&folder).output().expect("it runs");
        assert_eq!(again.status.code(), Some(64), "{again:?}");
        assert!(missing.is_none_or(|file| !file.exists()), "{missing:?} is left");
        assert!(there.iter().map(|file| std::fs::read(file).expect("a file")).eq(before));
        if let Some((file, content)) = missing.zip(content) {
            std::fs::write(file, content).expect("a writable folder");
        }
    }
    let other = tempfile::tempdir().expect("a temporary folder");
    let arguments = ["self-signed", "--host", "ftp.example.com", "--host", "192.0.2.1", "--days", "30"];
    let made = program().args(arguments).current_dir(other.path()).output().expect("it runs");
    assert!(made.status.success() && other.path().join("tls.crt").is_file(), "{made:?}");
}

#[test]
fn what_is_wrong_is_told_before_the_start() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |certificate: &Path, key: &Path, more: &str| {
        let file = folder.path().join("x.toml");
        let text = format!(
            "[ftp.tls]\nmode = \"required\"\ncertificate = \"{}\"\nprivate_key = \"{}\"\n{more}\n\
             [stores.a]\nurl = \"memory:///\"\n",
            certificate.display(),
            key.display()
        );
        std::fs::write(&file, text).expect("a writable folder");
        let output = program().arg("check").arg("--config").arg(&file).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (certificate, key) = (one.certificate(), one.private_key());
    assert_eq!(check(&certificate, &key, "min_version = \"1.3\"").0, Some(0));
    let missing = folder.path().join("missing");
    // The key is another's.
    let second = format!(
        "[[ftp.tls.more_certificates]]\ncertificate = \"{}\"\nprivate_key = \"{}\"",
        other.certificate().display(),
        key.display()
    );
    for (certificate, key, more, at) in [
        (&missing, &key, "", "ftp.tls.certificate: "),
        (&certificate, &missing, "", "ftp.tls.private_key: "),
        (&key, &key, "", "ftp.tls.certificate: "),
        (&certificate, &other.private_key(), "", "ftp.tls.private_key: "),
        (&certificate, &key, "client_ca = \"/missing\"", "ftp.tls.client_ca: "),
        (&certificate, &key, second.as_str(), "ftp.tls.more_certificates[0].private_key: "),
    ] {
        let (code, said) = check(certificate, key, more);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.lines().any(|line| line.starts_with(at)), "{at} in {said}");
    }
}

/// The certificate that clients see: whether it is this one.
fn shows(gateway: &Gateway, certificate: &Certificate) -> bool {
    let script = r"
open_context = ssl.create_default_context()
open_context.check_hostname, open_context.verify_mode = False, ssl.CERT_NONE
with open_context.wrap_socket(socket.create_connection(('127.0.0.1', implicit_port), 30)) as connection:
    shown = connection.getpeercert(binary_form=True)
print(shown == ssl.PEM_cert_to_DER_cert(open(sys.argv[1]).read()))
";
    certificate.python(gateway, "1.3", script).trim() == "True"
}

#[test]
fn a_swapped_secret_is_taken_up_and_a_bad_one_is_not() {
    let certificates = [Certificate::new(), Certificate::new()];
    // As Kubernetes mounts a Secret: files that are links through a link, which is replaced in one step.
    let mount = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| mount.path().join(name);
    for (index, certificate) in certificates.iter().enumerate() {
        std::fs::create_dir(at(&index.to_string())).expect("a writable folder");
        for (name, from) in [("tls.crt", certificate.certificate()), ("tls.key", certificate.private_key())] {
            std::fs::copy(from, at(&index.to_string()).join(name)).expect("a writable folder");
        }
    }
    let swap = |to: &str| {
        symlink(to, at("new")).expect("a writable folder");
        std::fs::rename(at("new"), at("..data")).expect("a writable folder");
    };
    swap("0");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), at(name)).expect("a writable folder");
    }
    let gateway = Setup::default()
        .ftp("implicit_tls_listen = [\"127.0.0.1:0\"]")
        .ftp("tls.mode = \"required\"")
        .ftp(&format!("tls.certificate = \"{}\"", at("tls.crt").display()))
        .ftp(&format!("tls.private_key = \"{}\"", at("tls.key").display()))
        .start();
    assert!(shows(&gateway, &certificates[0]));
    assert!(expiry(&gateway, &at("tls.crt")) > 1.7e9);
    swap("1");
    eventually("the new certificate", Duration::from_secs(30), || shows(&gateway, &certificates[1]));
    gateway.wait_for_log("certificates reloaded");
    // Its key is another's.
    std::fs::create_dir(at("bad")).expect("a writable folder");
    std::fs::copy(certificates[0].certificate(), at("bad").join("tls.crt")).expect("a writable folder");
    std::fs::copy(certificates[1].private_key(), at("bad").join("tls.key")).expect("a writable folder");
    swap("bad");
    gateway.wait_for_log("certificates not reloaded, the old ones stay");
    assert!(shows(&gateway, &certificates[1]));
    let mistake =
        format!("ftp.tls.private_key: {}: does not belong to the certificate", at("tls.key").display());
    assert!(gateway.log().contains(&mistake));
    // It is not told again and again, but when somebody asks.
    let told = || gateway.log().matches("certificates not reloaded").count();
    let before = told();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(told(), before);
    gateway.signal(Signal::SIGHUP);
    eventually("another complaint", Duration::from_secs(20), || told() == before + 1);
    swap("0");
    eventually("the first certificate", Duration::from_secs(30), || shows(&gateway, &certificates[0]));
}

#[test]
fn running_sessions_go_on_with_the_certificate_that_they_began_with() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("required").ftp("tls.require_session_reuse = true").start();
    let script = format!(
        r"
client = login()
client.storbinary('STOR x', io.BytesIO(b'x'))
os.kill({}, signal.SIGHUP)
time.sleep(1)
client.storbinary('STOR y', io.BytesIO(b'y'))
",
        gateway.process_id()
    );
    certificate.python(&gateway, "1.3", &script);
    gateway.wait_for_log("certificates reloaded");
    assert_eq!(gateway.files(), ["x", "y"]);
}

#[test]
fn a_client_ca_keeps_out_who_has_no_certificate_of_it() {
    let (certificate, clients, strangers) = (Certificate::new(), Certificate::new(), Certificate::new());
    let ca = format!("tls.client_ca = \"{}\"", clients.certificate().display());
    let gateway = certificate.setup("required").ftp(&ca).start();
    for version in ["1.2", "1.3"] {
        let script = format!(
            r"
def attempt():
    client = login()
    client.storbinary('STOR x', io.BytesIO(b'x'))
    return client
def refused():
    try:
        attempt()
        sys.exit('let in')
    except (OSError, EOFError):
        pass
refused()
context.load_cert_chain('{}', '{}')
refused()
context.load_cert_chain('{}', '{}')
attempt()
",
            strangers.certificate().display(),
            strangers.private_key().display(),
            clients.certificate().display(),
            clients.private_key().display(),
        );
        certificate.python(&gateway, version, &script);
    }
}

#[test]
fn a_client_shows_16_kib_of_certificates_at_most() {
    let authority = Authority::new();
    let ca = format!("tls.client_ca = \"{}\"", authority.certificate().display());
    let gateway = setup("required", &authority.server("server", &["localhost"])).ftp(&ca).start();
    let with_names = |file: &str, count: usize| {
        authority.issue(file, |parameters: &mut CertificateParams| {
            let name = || SanType::URI(format!("urn:{}", "x".repeat(994)).try_into().expect("ASCII"));
            parameters.subject_alt_names = std::iter::repeat_with(name).take(count).collect();
        })
    };
    let [small, middle, large, larger] = [1, 13, 15, 17].map(|count| with_names(&count.to_string(), count));
    let chain = with_names("chain", 2);
    // What follows the first counts as well, although it leads nowhere.
    for (first, next) in [(&small, &middle), (&chain, &large)] {
        let pem = [first, next].map(|pair| std::fs::read_to_string(&pair.certificate).expect("a file"));
        std::fs::write(&first.certificate, pem.concat()).expect("a writable folder");
    }
    for version in ["1.2", "1.3"] {
        for (pair, enters) in [(&small, true), (&large, true), (&larger, false), (&chain, false)] {
            let script = format!(
                r"
context.load_cert_chain({:?}, {:?})
try:
    login().storbinary('STOR x', io.BytesIO(b'x'))
    print('in')
except (OSError, EOFError):
    print('out')
",
                pair.certificate.display(),
                pair.private_key.display()
            );
            let outcome = python_with_tls(&gateway, &authority.certificate(), version, &script);
            assert_eq!(outcome.trim(), if enters { "in" } else { "out" }, "{:?} {version}", pair.certificate);
        }
    }
}

#[test]
fn a_reload_says_that_another_authority_needs_a_restart() {
    let (certificate, one, other) = (Certificate::new(), Certificate::new(), Certificate::new());
    let ca = format!("tls.client_ca = \"{}\"", one.certificate().display());
    let bound = "client_certificate = \"cn:localhost\"";
    let gateway =
        certificate.setup("required").ftp(&ca).users(&format!("[[users]]\nname = \"a\"\n{bound}\n")).start();
    let config = gateway.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&config).expect("written at the start");
    let changed =
        text.replace(&one.certificate().display().to_string(), &other.certificate().display().to_string());
    let reload = |text: &str| {
        std::fs::write(&config, text).expect("a writable folder");
        gateway.signal(Signal::SIGHUP);
    };
    reload(&changed);
    gateway.wait_for_log("users not reloaded, the old ones stay");
    assert!(gateway.log().contains("user `a` needs a restart for ftp.tls.client_ca"));
    reload(&changed.replace(bound, "password = \"x\""));
    gateway.wait_for_log("users reloaded");
    assert!(gateway.log().contains("[ftp.tls] has changed, which needs a restart"));
}
