//! The gateway's certificates, and which of them a client is shown.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, pki_types};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::config::{CertificateFiles, ConfigError};

/// A key of the configuration and the file that it names.
pub(super) struct Source<'a> {
    pub(super) key: String,
    pub(super) file: &'a Path,
}

impl Source<'_> {
    /// A mistake in the file.
    pub(super) fn mistake(&self, what: impl fmt::Display) -> ConfigError {
        ConfigError::new(&self.key, format!("{}: {what}", self.file.display()))
    }

    /// The certificates in `pem`, which the file holds; at least one.
    pub(super) fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let read: Result<Vec<_>, pki_types::pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
        match read {
            Ok(found) if found.is_empty() => Err(self.mistake("no certificate in PEM")),
            Ok(found) => Ok(found),
            Err(error) => Err(self.mistake(format!("no certificate in PEM: {error}"))),
        }
    }
}

/// Whether a certificate is looked for by the names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is also for clients that ask for nothing or for something else, so its names may be of any kind.
    Default,
    /// It is only for clients that ask for one of its names.
    Named,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names in it, wildcards among them.
    names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub(super) expires: i64,
}

impl Certificate {
    /// Makes one of what `files` hold, or says what is wrong with it. `section` is where the configuration names them.
    pub(super) fn new(
        section: &str,
        files: &CertificateFiles,
        [certificate, private_key]: [&[u8]; 2],
        role: Role,
        provider: &CryptoProvider,
    ) -> Result<Self, ConfigError> {
        let source = Source { key: format!("{section}.certificate"), file: &files.certificate };
        let key_source = Source { key: format!("{section}.private_key"), file: &files.private_key };
        let chain = source.certificates(certificate)?;
        let (names, expires) = names_and_expiry(&chain[0], role).map_err(|error| source.mistake(error))?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|error| key_source.mistake(format!("no PKCS#8, PKCS#1 or SEC1 key in PEM: {error}")))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(_) => key_source.mistake("does not belong to the certificate"),
            Error::InvalidCertificate(_) => source.mistake(error),
            error => key_source.mistake(error),
        })?;
        Ok(Self { key: Arc::new(key), names, expires })
    }

    /// Whether clients that ask for `server` take it, as they judge that.
    fn is_for(&self, server: &ServerName<'_>) -> bool {
        let certificate = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, server).is_ok())
    }

    /// Whether `server` itself is named in it, and not only by a wildcard.
    fn names(&self, server: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(server))
    }
}

/// The DNS names in a certificate, and when it expires. One that is to be found by its names needs a name to be found by.
fn names_and_expiry(certificate: &CertificateDer<'_>, role: Role) -> Result<(Vec<String>, i64), String> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = match (certificate.subject_alternative_name(), role) {
        (Ok(names), _) => names,
        (Err(_), Role::Default) => None,
        (Err(error), Role::Named) => return Err(error.to_string()),
    };
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match *name {
        GeneralName::DNSName(name) => Some(name.to_owned()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    if role == Role::Named && names.is_empty() {
        return Err("has no DNS name in it, so no client can ask for it".to_owned());
    }
    Ok((names, certificate.validity().not_after.timestamp()))
}

/// All certificates, each at a place of its own; never empty.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// At place 0: what is shown to clients that ask for no server by name, or for one that no certificate names.
    default: Arc<Certificate>,
    more: Arc<[Certificate]>,
}

impl Certificates {
    pub(super) fn new(default: Certificate, more: Vec<Certificate>) -> Self {
        Self { default: Arc::new(default), more: more.into() }
    }

    /// All, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&*self.default).chain(&*self.more)
    }

    /// The place of the one for clients that ask for `server`: the first that names it, else the first that names it with a
    /// wildcard.
    pub(super) fn place(&self, server: Option<&str>) -> usize {
        let Some(asked) = server.filter(|_| !self.more.is_empty()) else { return 0 };
        // Looked at one after another, which takes some microseconds each; there are as many as the operator has named.
        let server = || ServerName::try_from(asked).ok();
        let exact = self.iter().position(|certificate| certificate.names(asked));
        let wildcard = || server().and_then(|name| self.iter().position(|one| one.is_for(&name)));
        exact.or_else(wildcard).unwrap_or(0)
    }

    /// The one at `place`.
    pub(super) fn at(&self, place: usize) -> &Arc<CertifiedKey> {
        &place.checked_sub(1).and_then(|place| self.more.get(place)).unwrap_or(&self.default).key
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.at(self.place(hello.server_name()))))
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;
    use crate::tls::SelfSigned;

    fn certificate(names: &[&str], role: Role) -> Result<Certificate, ConfigError> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let SelfSigned { certificate, private_key } = SelfSigned::new(&names, 1).expect("a certificate");
        let files = CertificateFiles { certificate: "a.crt".into(), private_key: "a.key".into() };
        let content = [certificate.as_bytes(), private_key.as_bytes()];
        Certificate::new("x", &files, content, role, &default_provider())
    }

    #[test]
    fn the_first_that_names_the_server_is_shown_else_a_wildcard_else_the_default() {
        let [default, exact, wildcard, late, same] = [
            &["ftp.example", "192.0.2.1"][..],
            &["a.example.org", "b.example.org"],
            &["*.example.org"],
            &["late.example.org", "*.late.example.org", "a.example.org"],
            &["*.example.org", "*.late.example.org"],
        ]
        .map(|names| certificate(names, Role::Default).expect("a certificate"));
        let certificates = Certificates::new(default, vec![exact, wildcard, late, same]);
        for (server, place) in [
            (None, 0),
            (Some("ftp.example"), 0),
            (Some("192.0.2.1"), 0),
            (Some("unknown.example"), 0),
            (Some("no name"), 0),
            (Some("a.example.org"), 1),
            (Some("B.Example.Org"), 1),
            (Some("c.example.org"), 2),
            (Some("late.example.org"), 3),
            (Some("LATE.example.org"), 3),
            (Some("x.late.example.org"), 3),
            (Some("example.org"), 0),
            (Some("d.c.example.org"), 0),
        ] {
            assert_eq!(certificates.place(server), place, "{server:?}");
            let expected = certificates.iter().nth(place).expect("it is there");
            assert!(Arc::ptr_eq(certificates.at(place), &expected.key), "{server:?}");
        }
    }

    #[test]
    fn what_nobody_can_ask_for_is_a_mistake() {
        assert!(certificate(&["192.0.2.1"], Role::Default).is_ok());
        let mistake = certificate(&["192.0.2.1"], Role::Named).expect_err("no DNS name").to_string();
        assert_eq!(mistake, "x.certificate: a.crt: has no DNS name in it, so no client can ask for it");
    }
}
