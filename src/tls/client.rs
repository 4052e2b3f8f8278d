//! Whom a client's certificate names.

use std::fmt;

use chrono::Utc;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, BmpString, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::CertificateName;

/// As many names are logged, each up to so many letters; more is for whoever looks into the certificate.
const MOST_LOGGED: usize = 8;
const LONGEST_LOGGED: usize = 200;

/// The names in the certificate that a client has shown. An authority of the configuration has signed them, and a
/// handshake carries 64 KiB of them at most.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    der: CertificateDer<'static>,
    names: Vec<CertificateName>,
    /// The last second in which it is valid, in seconds since 1970.
    not_after: i64,
}

impl ClientCertificate {
    /// Of one that was verified. What of it cannot be read is nobody's name, and valid in no other handshake.
    pub(super) fn read(der: &CertificateDer<'static>) -> Self {
        let (names, not_after) = match parse_x509_certificate(der) {
            Ok((_, certificate)) => (names(&certificate), certificate.validity().not_after.timestamp()),
            Err(error) => {
                tracing::info!(%error, "a client's certificate cannot be read, so it names nobody");
                (Vec::new(), i64::MIN)
            }
        };
        Self { der: der.clone(), names, not_after }
    }

    /// One with these names, which expires in so many seconds.
    #[cfg(test)]
    pub(crate) fn of(names: Vec<CertificateName>, expires_in: i64) -> Self {
        Self { der: Vec::new().into(), names, not_after: Utc::now().timestamp() + expires_in }
    }

    /// As it was shown.
    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
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
        list.entries(self.names.iter().take(MOST_LOGGED).map(|name| shortened(name.to_string())));
        if self.names.len() > MOST_LOGGED { list.finish_non_exhaustive() } else { list.finish() }
    }
}

fn shortened(name: String) -> String {
    match name.char_indices().nth(LONGEST_LOGGED) {
        None => name,
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    let subject = certificate.subject();
    let common = subject.iter_common_name().filter_map(|name| text(name.attr_value()));
    let common = common.map(CertificateName::Common);
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
            let value = text(attribute.attr_value())?;
            Some(format!("{}={}", kind(attribute), escaped(&value)))
        });
        Some(parts.collect::<Option<Vec<_>>>()?.join(" + "))
    });
    let sets: Vec<_> = sets.collect::<Option<_>>()?;
    (!sets.is_empty()).then(|| sets.join(", "))
}

/// The kind of one part of a subject, such as `CN`. What has no name is told by the digits of its object identifier.
fn kind(attribute: &AttributeTypeAndValue<'_>) -> String {
    let digits = attribute.attr_type().to_id_string();
    let name = KINDS.iter().find(|(known, _)| *known == digits).map(|(_, name)| (*name).to_owned());
    name.unwrap_or(digits)
}

/// OpenSSL's short names, which have those of RFC 4514 section 3 among them. They stand in configurations, so they are not
/// taken from a library, which could come to spell them otherwise.
const KINDS: [(&str, &str); 26] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
];

/// A value that is text. Bytes of another kind are nobody's name, whatever they would look like.
fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        // Of these all agree only on the letters of ASCII.
        Tag::T61String | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().filter(|text| text.is_ascii()).map(str::to_owned)
        }
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            BmpString::try_from(value).ok().map(|text| text.string())
        }
        _ => None,
    }
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
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

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
    fn kinds_are_those_of_openssl_and_else_digits() {
        let found = read(|parameters| {
            let subject = &mut parameters.distinguished_name;
            subject.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@site.example");
            subject.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), "camera");
            subject.push(DnType::CustomDnType(vec![2, 5, 4, 4]), "Seven");
            subject.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "x");
        });
        assert_eq!(found, ["subject:emailAddress=a@site.example, UID=camera, SN=Seven, 1.2.3.4=x"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_nobodys_name() {
        let certificate = |value: DnValue| {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, value);
            let key = KeyPair::generate().expect("a key");
            parameters.self_signed(&key).expect("a certificate").der().to_vec()
        };
        let names = |der: Vec<u8>| ClientCertificate::read(&CertificateDer::from(der)).names;
        let both = |name: &str| {
            [CertificateName::Common(name.to_owned()), CertificateName::Subject(format!("CN={name}"))]
        };
        for text in [
            DnValue::Utf8String("qz".to_owned()),
            DnValue::PrintableString("qz".try_into().expect("letters")),
            DnValue::Ia5String("qz".try_into().expect("letters")),
            DnValue::TeletexString("qz".try_into().expect("letters")),
            DnValue::BmpString("qz".try_into().expect("letters")),
        ] {
            assert_eq!(names(certificate(text)), both("qz"));
        }
        let universal = DnValue::UniversalString("qz".try_into().expect("letters"));
        assert_eq!(names(certificate(universal)), []);
        // The tag and the bytes of the two letters are replaced; nobody looks at the signature here.
        let with = |tag: u8, bytes: [u8; 2]| {
            let mut der = certificate(DnValue::Utf8String("qz".to_owned()));
            for place in 0..der.len() - 3 {
                if der[place..place + 4] == [0x0C, 2, b'q', b'z'] {
                    der[place..place + 4].copy_from_slice(&[tag, 2, bytes[0], bytes[1]]);
                }
            }
            names(der)
        };
        assert_eq!(with(0x0C, *b"ab"), both("ab"));
        for (tag, bytes) in [(0x04, [0xDE, 0xAD]), (0x04, *b"ab"), (0x02, *b"ab"), (0x14, [0xC3, 0xBC])] {
            assert_eq!(with(tag, bytes), [], "{tag} {bytes:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_names_nobody_and_a_log_line_is_bounded() {
        assert_eq!(ClientCertificate::read(&CertificateDer::from(vec![1, 2, 3])).names(), []);
        let many = |count| ClientCertificate::of(vec![CertificateName::dns("a"); count], 1);
        assert_eq!(format!("{:?}", many(2)), "[\"dns:a\", \"dns:a\"]");
        assert!(format!("{:?}", many(1000)).ends_with("\"dns:a\", ..]"));
        let long = |count| ClientCertificate::of(vec![CertificateName::Common("ü".repeat(count))], 1);
        assert_eq!(format!("{:?}", long(197)), format!("[\"cn:{}\"]", "ü".repeat(197)));
        assert_eq!(format!("{:?}", long(60_000)), format!("[\"cn:{}…\"]", "ü".repeat(197)));
    }
}
