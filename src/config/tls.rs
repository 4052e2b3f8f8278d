//! `[ftp.tls]`: whether and how connections are encrypted.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::section::Section;

/// `[ftp.tls]`, when it is not off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Whether clients may do without.
    pub need: TlsNeed,
    /// What clients are shown that ask for no server by name, or for one that no certificate names.
    pub certificate: CertificateFiles,
    /// What clients are shown that ask for a server which it names. No two certificates are the same file.
    pub more_certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Who signs certificates of clients. None: clients are not asked for any.
    pub client_ca: Option<ClientCa>,
    /// Whether data connections must resume a TLS session of their control connection.
    pub require_session_reuse: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, and those that lead from it to one that clients know.
    pub certificate: PathBuf,
    /// PEM: its key, as PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
}

/// What is asked of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM: one of these has to have signed it.
    pub file: PathBuf,
    /// Whether clients may do without one.
    pub need: CertificateNeed,
}

/// Whether clients may do without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateNeed {
    /// They may, but not log in as users who are bound to one.
    Optional,
    /// Each handshake needs one.
    Required,
}

/// Whether clients may do without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsNeed {
    /// They may.
    Optional,
    /// No password and no file crosses the network in the clear.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the versions")]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Off,
    Optional,
    Required,
}

impl TlsConfig {
    /// None when it is off.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let need = match section.field("mode", Mode::Off) {
            Mode::Off => None,
            Mode::Optional => Some(TlsNeed::Optional),
            Mode::Required => Some(TlsNeed::Required),
        };
        let certificate = CertificateFiles {
            certificate: section.field("certificate", PathBuf::from("/tls/tls.crt")),
            private_key: section.field("private_key", PathBuf::from("/tls/tls.key")),
        };
        let more_certificates = more_certificates(&mut section, &certificate);
        let min_version = section.field("min_version", TlsVersion::Tls12);
        let client_ca = section.field("client_ca", PathBuf::new());
        let certificates = section.optional("client_certificates");
        let client_ca = if client_ca.as_os_str().is_empty() {
            if certificates == Some(CertificateNeed::Required) {
                section.error("client_certificates", "needs client_ca: without it nobody is asked for one");
            }
            None
        } else {
            // Where clients may do without TLS they may do without a certificate.
            let usual = match need {
                Some(TlsNeed::Optional) => CertificateNeed::Optional,
                Some(TlsNeed::Required) | None => CertificateNeed::Required,
            };
            Some(ClientCa { file: client_ca, need: certificates.unwrap_or(usual) })
        };
        let require_session_reuse = section.field("require_session_reuse", false);
        // Who believes that certificates keep others out, or that sessions are reused, shall not be wrong.
        match (client_ca.as_ref().map(|ca| ca.need), need) {
            (None, _)
            | (Some(_), Some(TlsNeed::Required))
            | (Some(CertificateNeed::Optional), Some(TlsNeed::Optional)) => {}
            (Some(CertificateNeed::Optional), None) => {
                section.error("client_ca", "needs mode = \"optional\" or \"required\"");
            }
            (Some(CertificateNeed::Required), Some(TlsNeed::Optional) | None) => section.error(
                "client_ca",
                "needs mode = \"required\", or client_certificates = \"optional\": clients without TLS show no \
                 certificate",
            ),
        }
        if require_session_reuse && need.is_none() {
            section.error("require_session_reuse", "needs mode = \"optional\" or \"required\"");
        }
        section.finish();
        Some(Self {
            need: need?,
            certificate,
            more_certificates,
            min_version,
            client_ca,
            require_session_reuse,
        })
    }

    /// All certificates, the one for everybody first.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateFiles> {
        std::iter::once(&self.certificate).chain(&self.more_certificates)
    }
}

fn more_certificates(section: &mut Section<'_>, first: &CertificateFiles) -> Vec<CertificateFiles> {
    let mut seen = BTreeSet::from([first.certificate.clone()]);
    let mut read = |mut section: Section<'_>| {
        let certificate: Option<PathBuf> = section.required("certificate");
        let private_key = section.required("private_key");
        // The file's name is how metrics tell certificates apart.
        if let Some(file) = certificate.as_ref().filter(|file| !seen.insert((*file).clone())) {
            section.error("certificate", format!("{} is named twice", file.display()));
        }
        section.finish();
        Some(CertificateFiles { certificate: certificate?, private_key: private_key? })
    };
    section.sections("more_certificates").into_iter().filter_map(&mut read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::Report;

    fn read(text: &str) -> (Option<TlsConfig>, Vec<String>) {
        let report = Report::default();
        let config = TlsConfig::read(Section::root(text.parse().expect("TOML"), &report));
        (config, report.into_errors().iter().map(ToString::to_string).collect())
    }

    fn files(certificate: &str, private_key: &str) -> CertificateFiles {
        CertificateFiles { certificate: certificate.into(), private_key: private_key.into() }
    }

    #[test]
    fn it_is_off_unless_it_is_on() {
        assert_eq!(read("certificate = \"x\"\nmin_version = \"1.3\""), (None, Vec::new()));
        let (config, mistakes) = read("mode = \"optional\"");
        assert_eq!(mistakes, [""; 0]);
        let config = config.expect("it is on");
        assert_eq!((config.need, config.min_version), (TlsNeed::Optional, TlsVersion::Tls12));
        assert_eq!(config.certificate, files("/tls/tls.crt", "/tls/tls.key"));
        assert_eq!(config.more_certificates, []);
        assert_eq!((config.client_ca, config.require_session_reuse), (None, false));
    }

    #[test]
    fn what_would_not_hold_is_a_mistake() {
        for (text, key) in [
            ("client_ca = \"/ca\"", "client_ca"),
            ("mode = \"optional\"\nclient_ca = \"/ca\"\nclient_certificates = \"required\"", "client_ca"),
            ("client_ca = \"/ca\"\nclient_certificates = \"optional\"", "client_ca"),
            ("client_certificates = \"some\"", "client_certificates"),
            ("client_certificates = \"required\"", "client_certificates"),
            (
                "mode = \"required\"\nclient_ca = \"\"\nclient_certificates = \"required\"",
                "client_certificates",
            ),
            ("require_session_reuse = true", "require_session_reuse"),
            ("min_version = \"1.1\"", "min_version"),
            ("certificat = \"x\"", "certificat"),
        ] {
            let mistakes = read(text).1;
            assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
            assert!(mistakes[0].starts_with(&format!("{key}: ")), "{mistakes:?}");
        }
        // It promises nothing.
        let (config, mistakes) = read("mode = \"required\"\nclient_certificates = \"optional\"");
        assert_eq!((config.expect("it is on").client_ca, mistakes), (None, Vec::new()));
        for (text, need) in [
            ("mode = \"required\"", CertificateNeed::Required),
            ("mode = \"optional\"", CertificateNeed::Optional),
            ("mode = \"required\"\nclient_certificates = \"optional\"", CertificateNeed::Optional),
            ("mode = \"optional\"\nclient_certificates = \"optional\"", CertificateNeed::Optional),
        ] {
            let (config, mistakes) = read(&format!("{text}\nclient_ca = \"/ca\""));
            assert_eq!(mistakes, [""; 0]);
            let expected = ClientCa { file: "/ca".into(), need };
            assert_eq!(config.expect("it is on").client_ca, Some(expected));
        }
    }

    #[test]
    fn more_certificates_are_whole_and_named_once() {
        let on = "mode = \"optional\"\ncertificate = \"a\"\nprivate_key = \"k\"\n";
        let (config, mistakes) = read(&format!(
            "{on}[[more_certificates]]\ncertificate = \"b\"\nprivate_key = \"k\"\n\
             [[more_certificates]]\ncertificate = \"c\"\nprivate_key = \"l\"\n"
        ));
        assert_eq!(mistakes, [""; 0]);
        let all: Vec<_> = config.expect("it is on").certificates().cloned().collect();
        assert_eq!(all, [files("a", "k"), files("b", "k"), files("c", "l")]);
        let wrong = "[[more_certificates]]\ncertificate = \"a\"\nprivate_key = \"l\"\n\
                     [[more_certificates]]\nkey = \"l\"\n";
        let expected = [
            "more_certificates[0].certificate: a is named twice",
            "more_certificates[1].certificate: is required",
            "more_certificates[1].private_key: is required",
            "more_certificates[1].key: unknown key",
        ];
        assert_eq!(read(&format!("{on}{wrong}")).1, expected);
    }
}
