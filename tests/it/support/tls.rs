//! Certificates as `bucketport self-signed` makes them, and a client with TLS to be told what to do.

use std::path::PathBuf;

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
        Setup::default()
            .ftp("implicit_tls_listen = [\"127.0.0.1:0\"]")
            .ftp(&format!("tls.mode = \"{mode}\""))
            .ftp(&format!("tls.certificate = \"{}\"", self.certificate().display()))
            .ftp(&format!("tls.private_key = \"{}\"", self.private_key().display()))
    }

    /// Runs `script` in Python and returns what it prints. It finds a TLS `context` that trusts this certificate and
    /// no other, for TLS of this `version`; the `port` of the gateway and its `implicit_port`; `Client`, an `FTP_TLS`
    /// whose data connections resume the session of the control connection; and `connect()` and `login()`, which
    /// return one.
    #[track_caller]
    pub(crate) fn python(&self, gateway: &Gateway, version: &str, script: &str) -> String {
        let certificate = self.certificate().display().to_string();
        let (port, implicit) = (gateway.ftp.port().to_string(), gateway.ftps().port().to_string());
        python(&format!("{PRELUDE}\n{script}"), &[&certificate, &port, &implicit, version]).success()
    }
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
def connect():
    client = Client(context=context)
    client.connect('localhost', port, 30)
    return client
def login():
    client = connect()
    client.login('demo', 'secret')
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
