//! Whom a client's certificate names.

use std::fmt;

use chrono::Utc;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::oid_registry;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::CertificateName;

/// As many names are logged; more is for whoever looks into the certificate.
const MOST_LOGGED: usize = 8;

/// The names in the certificate that a client has shown. An authority of the configuration has signed them, and a
/// handshake carries 64 KiB of them at most.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    names: Vec<CertificateName>,
    /// The last second in which it is valid, in seconds since 1970.
    not_after: i64,
}

impl ClientCertificate {
    /// Of one that was verified. What of it cannot be read is nobody's name, and valid in no other handshake.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Self {
        match parse_x509_certificate(certificate) {
            Ok((_, certificate)) => {
                Self { names: names(&certificate), not_after: certificate.validity().not_after.timestamp() }
            }
            Err(error) => {
                tracing::info!(%error, "a client's certificate cannot be read, so it names nobody");
                Self { names: Vec::new(), not_after: i64::MIN }
            }
        }
    }

    /// One with these names, which expires in so many seconds.
    #[cfg(test)]
    pub(crate) fn of(names: Vec<CertificateName>, expires_in: i64) -> Self {
        Self { names, not_after: Utc::now().timestamp() + expires_in }
    }

    /// All names.
    pub(crate) fn names(&self) -> &[CertificateName] {
        &self.names
    }

    /// Whether it is not valid any more. It was when it was shown, but a TLS session, and one that resumes it, and so on,
    /// may be of any age.
    pub(crate) fn is_expired(&self) -> bool {
        Utc::now().timestamp() > self.not_after
    }
}

impl fmt::Debug for ClientCertificate {
    /// As the configuration writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.names.iter().take(MOST_LOGGED).map(ToString::to_string));
        if self.names.len() > MOST_LOGGED { list.finish_non_exhaustive() } else { list.finish() }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    let subject = certificate.subject();
    let common = subject.iter_common_name().filter_map(|name| Some(CertificateName::Common(part(name)?.1)));
    let whole = whole(subject).map(CertificateName::Subject);
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
    let alternative = alternative.filter_map(|name| match *name {
        GeneralName::DNSName(name) => Some(CertificateName::dns(name)),
        GeneralName::RFC822Name(address) => Some(CertificateName::email(address)),
        GeneralName::URI(uri) => Some(CertificateName::Uri(uri.to_owned())),
        _ => None,
    });
    common.chain(whole).chain(alternative).collect()
}

/// The subject in the certificate's order, with what has a meaning there escaped in its values (RFC 4514 section 2.4), so
/// that no part can look like two.
fn whole(subject: &X509Name<'_>) -> Option<String> {
    let sets = subject.iter_rdn().map(|set| {
        let parts = set.iter().map(|attribute| {
            let (kind, value) = part(attribute)?;
            Some(format!("{kind}={}", escaped(&value)))
        });
        Some(parts.collect::<Option<Vec<_>>>()?.join(" + "))
    });
    let sets: Vec<_> = sets.collect::<Option<_>>()?;
    (!sets.is_empty()).then(|| sets.join(", "))
}

/// The kind and the value of one part of a subject, such as `CN` and `camera-7`.
fn part(attribute: &AttributeTypeAndValue<'_>) -> Option<(String, String)> {
    let alone = X509Name::new(vec![[attribute.clone()].into_iter().collect()], &[]);
    let text = alone.to_string_with_registry(oid_registry()).ok()?;
    text.split_once('=').map(|(kind, value)| (kind.to_owned(), value.to_owned()))
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (place, letter) in value.chars().enumerate() {
        if matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (letter == '#' && place == 0)
            || (letter == ' ' && (place == 0 || place == last))
        {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn read(describe: impl FnOnce(&mut CertificateParams)) -> Vec<String> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.remove(DnType::CommonName);
        describe(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let read = ClientCertificate::read(certificate.der());
        read.names().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_name_is_found_with_its_kind() {
        let found = read(|parameters| {
            let subject = &mut parameters.distinguished_name;
            subject.push(DnType::CountryName, "DE");
            subject.push(DnType::OrganizationName, "Acme, Inc.");
            subject.push(DnType::CommonName, "camera-7");
            parameters.subject_alt_names = vec![
                SanType::DnsName("Camera7.example".try_into().expect("ASCII")),
                SanType::Rfc822Name("a@Site.example".try_into().expect("ASCII")),
                SanType::URI("urn:camera:7".try_into().expect("ASCII")),
                SanType::IpAddress([192, 0, 2, 7].into()),
            ];
        });
        assert_eq!(
            found,
            [
                "cn:camera-7",
                "subject:C=DE, O=Acme\\, Inc., CN=camera-7",
                "dns:camera7.example",
                "email:a@site.example",
                "uri:urn:camera:7",
            ]
        );
        assert_eq!(read(|_| {}), [""; 0]);
    }

    #[test]
    fn no_part_of_a_subject_looks_like_two() {
        let of = |parts: &[(DnType, &str)]| {
            read(|parameters| {
                for (kind, value) in parts {
                    parameters.distinguished_name.push(kind.clone(), *value);
                }
            })
        };
        let two = of(&[(DnType::OrganizationName, "Acme"), (DnType::CommonName, "admin")]);
        assert!(two.contains(&"subject:O=Acme, CN=admin".to_owned()), "{two:?}");
        assert_eq!(of(&[(DnType::OrganizationName, "Acme, CN=admin")]), ["subject:O=Acme\\, CN=admin"]);
        assert_eq!(of(&[(DnType::OrganizationName, "Acme + CN=admin")]), ["subject:O=Acme \\+ CN=admin"]);
        assert_eq!(of(&[(DnType::OrganizationName, " #a b\\ ")]), ["subject:O=\\ #a b\\\\\\ "]);
        assert_eq!(of(&[(DnType::OrganizationName, "#")]), ["subject:O=\\#"]);
    }

    #[test]
    fn what_is_no_certificate_names_nobody_and_a_log_line_is_bounded() {
        assert_eq!(ClientCertificate::read(&CertificateDer::from(vec![1, 2, 3])).names(), []);
        let many = |count| ClientCertificate::of(vec![CertificateName::dns("a"); count], 1);
        assert_eq!(format!("{:?}", many(2)), "[\"dns:a\", \"dns:a\"]");
        assert!(format!("{:?}", many(1000)).ends_with("\"dns:a\", ..]"));
    }
}
