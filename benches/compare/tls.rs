//! Transfers and logins over TLS beside the same in the clear and beside peers, and what idle sessions over TLS cost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::ftp::Client;
use crate::server::{Server, folder, local_config};
use crate::{debian, local};

const IDLE: usize = 5000;

/// A certificate for `localhost`, and what clients know it by.
struct Certificate {
    folder: TempDir,
    client: Arc<ClientConfig>,
}

impl Certificate {
    fn new() -> Self {
        let folder = folder();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(folder.path().join("tls.crt"), &certificate).expect("file");
        std::fs::write(folder.path().join("tls.key"), &key).expect("file");
        // pure-ftpd and vsftpd take one file with both.
        std::fs::write(folder.path().join("both.pem"), format!("{key}{certificate}")).expect("file");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a certificate");
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { folder, client: Arc::new(client) }
    }

    fn both(&self) -> PathBuf {
        self.folder.path().join("both.pem")
    }

    /// Ours with TLS.
    fn bucketport(&self) -> Server {
        let folder = self.folder.path().display();
        let tls = format!(
            "[ftp.tls]\nmode = \"required\"\ncertificate = \"{folder}/tls.crt\"\nprivate_key = \"{folder}/tls.key\"\n"
        );
        Server::bucketport(&(tls + &local_config())).with_tls("bucketport, TLS", Arc::clone(&self.client))
    }

    fn peer(&self, name: &'static str, start: fn(Option<&Path>) -> Result<Server, String>) -> Option<Server> {
        let server = start(Some(&self.both())).inspect_err(|reason| println!("{name} left out: {reason}"));
        Some(server.ok()?.with_tls(name, Arc::clone(&self.client)))
    }
}

/// Whatever `measure` wants.
pub(crate) fn run(measure: impl Fn(&str) -> bool) {
    let certificate = Certificate::new();
    let mut servers = vec![certificate.bucketport(), Server::bucketport(&local_config())];
    servers.extend(certificate.peer("pure-ftpd, TLS", debian::pure_ftpd));
    servers.extend(certificate.peer("vsftpd, TLS", debian::vsftpd));
    if measure("tls-small") {
        local::small(&servers, 1);
    }
    if measure("tls-large") {
        local::large(&servers);
    }
    if measure("tls-logins") {
        local::logins(&servers);
    }
    if measure("tls-idle") {
        let gateway = certificate.bucketport();
        let before = gateway.memory();
        let clients: Vec<_> = (0..IDLE).map(|_| Client::connect(&gateway)).collect();
        let each = (gateway.memory() - before) / clients.len() as u64;
        println!("\n{IDLE} idle sessions over TLS: {} KiB each", each / 1024);
    }
}
