//! What the gateway proves itself with and what it asks of clients, read from PEM files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use crate::config::{ConfigError, ConfigErrors, TlsConfig, TlsVersion};

/// Sessions that clients without tickets, all of them of TLS 1.2, can resume. Some 300 bytes each.
const SESSIONS_BY_ID: usize = 1024;

const CERTIFICATE: &str = "ftp.tls.certificate";
const PRIVATE_KEY: &str = "ftp.tls.private_key";
const CLIENT_CA: &str = "ftp.tls.client_ca";

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for Files {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads all files, or says which cannot be read.
    pub(super) fn read(config: &TlsConfig) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut read = |key: &str, path: &Path| {
            std::fs::read(path).unwrap_or_else(|error| {
                errors.push(ConfigError::new(key, format!("{}: {error}", path.display())));
                Vec::new()
            })
        };
        let files = Self {
            certificate: read(CERTIFICATE, &config.certificate),
            private_key: read(PRIVATE_KEY, &config.private_key),
            client_ca: config.client_ca.as_deref().map(|path| read(CLIENT_CA, path)),
        };
        if errors.is_empty() { Ok(files) } else { Err(ConfigErrors(errors)) }
    }
}

/// A certificate with its key and everything else that handshakes need.
pub(super) struct Identity {
    pub(super) server: ServerConfig,
    /// When the certificate expires, in seconds since 1970.
    pub(super) expires: i64,
}

impl Identity {
    /// Makes one of `files`, or says what is wrong with them. Sessions of other identities cannot be resumed with it,
    /// so that nobody goes on with a certificate that is not accepted any more.
    pub(super) fn new(config: &TlsConfig, files: &Files) -> Result<Self, ConfigErrors> {
        let provider = Arc::new(default_provider());
        let certificates = certificates(CERTIFICATE, &files.certificate)?;
        let expires = expiry(&certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&files.private_key).map_err(|error| {
            ConfigError::new(PRIVATE_KEY, format!("no PKCS#8, PKCS#1 or SEC1 key in PEM: {error}"))
        })?;
        let certified =
            CertifiedKey::from_der(certificates, key, &provider).map_err(|error| match error {
                Error::InconsistentKeys(_) => {
                    ConfigError::new(PRIVATE_KEY, "does not belong to the certificate")
                }
                Error::InvalidCertificate(_) => ConfigError::new(CERTIFICATE, error.to_string()),
                error => ConfigError::new(PRIVATE_KEY, error.to_string()),
            })?;
        let versions: &[&SupportedProtocolVersion] = match config.min_version {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| ConfigError::new("ftp.tls.min_version", error.to_string()))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let refused = |error: rustls::server::VerifierBuilderError| {
                    ConfigError::new(CLIENT_CA, error.to_string())
                };
                builder.with_client_cert_verifier(verifier.map_err(refused)?)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        fresh_sessions(&mut server, SESSIONS_BY_ID)
            .map_err(|error| ConfigError::new("ftp.tls", error.to_string()))?;
        Ok(Self { server, expires })
    }
}

/// From now on only sessions that begin with this `server` can be resumed with it: by ticket, or by an ID as long as
/// no more than `by_id` newer ones were given out.
pub(super) fn fresh_sessions(server: &mut ServerConfig, by_id: usize) -> Result<(), Error> {
    server.ticketer = Ticketer::new()?;
    server.session_storage = ServerSessionMemoryCache::new(by_id);
    Ok(())
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => Err(ConfigError::new(key, "no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(ConfigError::new(key, format!("no certificate in PEM: {error}"))),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, pem)? {
        roots.add(certificate).map_err(|error| ConfigError::new(CLIENT_CA, error.to_string()))?;
    }
    Ok(roots)
}

fn expiry(chain: &[CertificateDer<'_>]) -> Result<i64, ConfigError> {
    let refused = |error: &dyn fmt::Display| ConfigError::new(CERTIFICATE, error.to_string());
    let first = chain.first().ok_or_else(|| refused(&"no certificate in PEM"))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(first).map_err(|error| refused(&error))?;
    Ok(certificate.validity().not_after.timestamp())
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsNeed;
    use crate::tls::SelfSigned;

    fn mistake(certificate: &str, private_key: &str, client_ca: Option<&str>) -> Option<String> {
        let config = TlsConfig {
            need: TlsNeed::Optional,
            certificate: "tls.crt".into(),
            private_key: "tls.key".into(),
            min_version: TlsVersion::Tls12,
            client_ca: None,
            require_session_reuse: false,
        };
        let files = Files {
            certificate: certificate.into(),
            private_key: private_key.into(),
            client_ca: client_ca.map(Into::into),
        };
        Identity::new(&config, &files).err().map(|errors| errors.to_string())
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let [one, other] =
            [(); 2].map(|()| SelfSigned::new(&["localhost".to_owned()], 1).expect("a certificate"));
        assert_eq!(mistake(&one.certificate, &one.private_key, Some(&other.certificate)), None);
        for (certificate, key, ca, at) in [
            ("", &one.private_key[..], None, "ftp.tls.certificate: no certificate"),
            (&one.private_key, &one.private_key, None, "ftp.tls.certificate: no certificate"),
            (&one.certificate, "nothing", None, "ftp.tls.private_key: no PKCS#8"),
            (&one.certificate, &one.certificate, None, "ftp.tls.private_key: no PKCS#8"),
            (&one.certificate, &other.private_key, None, "ftp.tls.private_key: does not belong"),
            (&one.certificate, &one.private_key, Some("nothing"), "ftp.tls.client_ca: no certificate"),
        ] {
            let found = mistake(certificate, key, ca).expect("a mistake");
            assert!(found.starts_with(at), "{found} instead of {at}");
        }
    }
}
