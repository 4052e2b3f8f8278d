//! Certificates as `bucketport self-signed` makes them, and those of an authority, and a client with TLS to be told what
//! to do.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{Gateway, Setup, program, python};

/// A certificate for `localhost` with its key.
pub(crate) struct Certificate(TempDir);

impl Certificate {
    /// A new one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = program();
        command.arg("self-signed").arg("--folder").arg(folder.path());
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{output:?}");
        Self(folder)
    }

    /// The certificate's file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.path().join("tls.crt")
    }

    /// The key's file.
    pub(crate) fn private_key(&self) -> PathBuf {
        self.0.path().join("tls.key")
    }

    /// A gateway with this certificate, TLS in this mode and an implicit listener.
    pub(crate) fn setup(&self, mode: &str) -> Setup {
        setup(mode, &Pair { certificate: self.certificate(), private_key: self.private_key() })
    }

    /// [`python_with_tls`], which trusts this certificate and no other.
    #[track_caller]
    pub(crate) fn python(&self, gateway: &Gateway, version: &str, script: &str) -> String {
        python_with_tls(gateway, &self.certificate(), version, script)
    }
}

/// A certificate's file and its key's.
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

impl Pair {
    /// Makes these files' content that of `other`.
    pub(crate) fn replace_by(&self, other: &Self) {
        // The key goes first, as no reader could tell which of the two belongs to which.
        for (to, from) in [(&self.private_key, &other.private_key), (&self.certificate, &other.certificate)] {
            std::fs::copy(from, to).expect("a writable folder");
        }
    }
}

/// An authority that gives certificates out.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "the tests' authority");
        let key = KeyPair::generate().expect("a key");
        let own = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.crt"), own.pem()).expect("a writable folder");
        Self { folder, issuer: Issuer::new(parameters, key) }
    }

    /// Its own certificate's file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A certificate for these servers, in files of this name.
    pub(crate) fn server(&self, file: &str, names: &[&str]) -> Pair {
        self.issue(file, |parameters| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            *parameters = CertificateParams::new(names).expect("names");
        })
    }

    /// A certificate in files of this name. `describe` says what stands in it, which is nothing at first.
    pub(crate) fn issue(&self, file: &str, describe: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.remove(DnType::CommonName);
        describe(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let at = |ending: &str| self.folder.path().join(format!("{file}.{ending}"));
        let pair = Pair { certificate: at("crt"), private_key: at("key") };
        std::fs::write(&pair.certificate, certificate.pem()).expect("a writable folder");
        std::fs::write(&pair.private_key, key.serialize_pem()).expect("a writable folder");
        pair
    }
}

/// A gateway with this certificate, TLS in this mode and an implicit listener.
pub(crate) fn setup(mode: &str, pair: &Pair) -> Setup {
    Setup::default()
        .ftp("implicit_tls_listen = [\"127.0.0.1:0\"]")
        .ftp(&format!("tls.mode = \"{mode}\""))
        .ftp(&format!("tls.certificate = \"{}\"", pair.certificate.display()))
        .ftp(&format!("tls.private_key = \"{}\"", pair.private_key.display()))
}

/// Runs `script` in Python and returns what it prints. It finds a TLS `context` that trusts `authority`, for TLS of this
/// `version`; the `port` of the gateway and its `implicit_port`; `Client`, an `FTP_TLS` whose data connections resume the
/// session of the control connection; and `connect()` and `login()`, which return one that asks for the server `host`.
#[track_caller]
pub(crate) fn python_with_tls(gateway: &Gateway, authority: &Path, version: &str, script: &str) -> String {
    let authority = authority.display().to_string();
    let (port, implicit) = (gateway.ftp.port().to_string(), gateway.ftps().port().to_string());
    python(&format!("{PRELUDE}\n{script}"), &[&authority, &port, &implicit, version]).success()
}

const PRELUDE: &str = r"
import ftplib, io, os, signal, socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
port, implicit_port = int(sys.argv[2]), int(sys.argv[3])
version = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}[sys.argv[4]]
context.minimum_version = context.maximum_version = version
class Client(ftplib.FTP_TLS):
    resuming = True
    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session if self.resuming else None
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
        return conn, size
def connect(host='localhost'):
    client = Client(context=context)
    client.connect('localhost', port, 30)
    client.host = host
    return client
def login(user='demo', password='secret', host='localhost'):
    client = connect(host)
    client.login(user, password)
    client.prot_p()
    return client
def code(client, command):
    return int(ask(client, command)[:3])
def ask(client, command):
    client.putcmd(command)
    return client.getmultiline()
def refused(client, command):
    data = socket.create_connection(client.makepasv(), 30)
    reply = ask(client, command)
    data.close()
    return int(reply[:3])
";
