//! What the gateway proves itself with and what it asks of clients, read from PEM files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::certificates::{Certificate, Certificates, Role, Source};
use super::chain::BoundedChain;
use crate::config::{CertificateNeed, ConfigError, ConfigErrors, TlsConfig, TlsVersion};

/// Sessions that clients without tickets, all of them of TLS 1.2, can resume. Some 300 bytes each.
const SESSIONS_BY_ID: usize = 1024;

/// The same where each holds the chain that the client has shown, up to `chain::LONGEST`: 4 MiB at most, and mostly 0.5.
const SESSIONS_BY_ID_WITH_CHAIN: usize = 256;

const SECTION: &str = "ftp.tls";

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    /// Of each certificate, in the configuration's order: the certificate and its key.
    certificates: Vec<[Vec<u8>; 2]>,
    client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for Files {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads all files, or says which cannot be read.
    pub(super) fn read(config: &TlsConfig) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut read = |key: String, file: &Path| {
            std::fs::read(file).unwrap_or_else(|error| {
                errors.push(Source { key, file }.mistake(error));
                Vec::new()
            })
        };
        let certificates = config.certificates().enumerate().map(|(place, files)| {
            let section = section(place);
            [
                read(format!("{section}.certificate"), &files.certificate),
                read(format!("{section}.private_key"), &files.private_key),
            ]
        });
        let certificates = certificates.collect();
        let client_ca = config.client_ca.as_ref().map(|ca| read(client_ca(), &ca.file));
        if errors.is_empty() { Ok(Self { certificates, client_ca }) } else { Err(ConfigErrors(errors)) }
    }
}

/// Where the configuration names the certificate at this place.
fn section(place: usize) -> String {
    match place.checked_sub(1) {
        None => SECTION.to_owned(),
        Some(index) => format!("{SECTION}.more_certificates[{index}]"),
    }
}

fn client_ca() -> String {
    format!("{SECTION}.client_ca")
}

/// Certificates with their keys and everything else that handshakes need.
pub(super) struct Identity {
    pub(super) server: ServerConfig,
    /// In the configuration's order.
    pub(super) certificates: Certificates,
}

impl Identity {
    /// Makes one of `files`, or says all that is wrong with them. Sessions of other identities cannot be resumed with it,
    /// so that nobody goes on with a certificate that is not accepted any more.
    pub(super) fn new(config: &TlsConfig, files: &Files) -> Result<Self, ConfigErrors> {
        let provider = Arc::new(default_provider());
        let (mut certificates, mut errors) = (Vec::new(), Vec::new());
        for (place, (named, [certificate, private_key])) in
            config.certificates().zip(&files.certificates).enumerate()
        {
            let role = if place == 0 { Role::Default } else { Role::Named };
            match Certificate::new(&section(place), named, [certificate, private_key], role, &provider) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(error),
            }
        }
        let roots = match config.client_ca.as_ref().zip(files.client_ca.as_deref()) {
            None => None,
            Some((ca, pem)) => roots(&Source { key: client_ca(), file: &ca.file }, pem)
                .map_err(|error| errors.push(error))
                .ok()
                .map(|roots| (ca, roots)),
        };
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let mut certificates = certificates.into_iter();
        let default =
            certificates.next().expect("the configuration names a first certificate, and it has no mistake");
        let certificates = Certificates::new(default, certificates.collect());
        let versions: &[&SupportedProtocolVersion] = match config.min_version {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| ConfigError::new("ftp.tls.min_version", error.to_string()))?;
        let (builder, by_id) = match roots {
            None => (builder.with_no_client_auth(), SESSIONS_BY_ID),
            Some((ca, roots)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match ca.need {
                    CertificateNeed::Required => verifier,
                    CertificateNeed::Optional => verifier.allow_unauthenticated(),
                };
                let refused = |error| Source { key: client_ca(), file: &ca.file }.mistake(error);
                let verifier = Arc::new(BoundedChain(verifier.build().map_err(refused)?));
                (builder.with_client_cert_verifier(verifier), SESSIONS_BY_ID_WITH_CHAIN)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(certificates.clone()));
        fresh_sessions(&mut server, by_id).map_err(|error| ConfigError::new(SECTION, error.to_string()))?;
        Ok(Self { server, certificates })
    }
}

/// From now on only sessions that begin with this `server` can be resumed with it: by ticket, or by an ID as long as
/// no more than `by_id` newer ones were given out.
pub(super) fn fresh_sessions(server: &mut ServerConfig, by_id: usize) -> Result<(), Error> {
    server.ticketer = Ticketer::new()?;
    server.session_storage = ServerSessionMemoryCache::new(by_id);
    Ok(())
}

fn roots(source: &Source<'_>, pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in source.certificates(pem)? {
        roots.add(certificate).map_err(|error| source.mistake(error))?;
    }
    Ok(roots)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateFiles, ClientCa, TlsNeed};
    use crate::tls::SelfSigned;

    fn mistakes(pairs: &[[&str; 2]], client_ca: Option<&str>) -> Vec<String> {
        let files = |place: usize| CertificateFiles {
            certificate: format!("{place}.crt").into(),
            private_key: format!("{place}.key").into(),
        };
        let config = TlsConfig {
            need: TlsNeed::Optional,
            certificate: files(0),
            more_certificates: (1..pairs.len()).map(files).collect(),
            min_version: TlsVersion::Tls12,
            client_ca: Some(ClientCa { file: "ca.crt".into(), need: CertificateNeed::Required }),
            require_session_reuse: false,
        };
        let files = Files {
            certificates: pairs.iter().map(|pair| pair.map(Into::into)).collect(),
            client_ca: client_ca.map(Into::into),
        };
        let errors = Identity::new(&config, &files).err().map(|errors| errors.0);
        errors.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_its_file() {
        let [one, other] =
            [(); 2].map(|()| SelfSigned::new(&["localhost".to_owned()], 1).expect("a certificate"));
        let (certificate, key) = (&one.certificate[..], &one.private_key[..]);
        let right = [certificate, key];
        assert_eq!(mistakes(&[right, right], Some(&other.certificate)), [""; 0]);
        for (wrong, at) in [
            (["", key], "certificate: {}.crt: no certificate"),
            ([key, key], "certificate: {}.crt: no certificate"),
            ([certificate, "nothing"], "private_key: {}.key: no PKCS#8"),
            ([certificate, certificate], "private_key: {}.key: no PKCS#8"),
            ([certificate, &other.private_key], "private_key: {}.key: does not belong"),
        ] {
            for (pairs, place) in [([wrong, right], 0), ([right, wrong], 1)] {
                let [found] = &mistakes(&pairs, None)[..] else { panic!("one mistake") };
                let expected = format!("{}.{}", section(place), at.replace("{}", &place.to_string()));
                assert!(found.starts_with(&expected), "{found} instead of {expected}");
            }
        }
        // All at once.
        let found = mistakes(&[["", key], [certificate, ""]], Some("nothing"));
        let [first, second, third] = &found[..] else { panic!("{found:?}") };
        assert!(first.starts_with("ftp.tls.certificate: 0.crt: "), "{first}");
        assert!(second.starts_with("ftp.tls.more_certificates[0].private_key: 1.key: "), "{second}");
        assert!(third.starts_with("ftp.tls.client_ca: ca.crt: no certificate"), "{third}");
    }
}
