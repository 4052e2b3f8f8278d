//! Names that a client's certificate can hold, written with their kind in front: `cn:camera-7`, `dns:camera7.example`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Value;

/// A name in a certificate. Two are equal where the certificate means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// A common name of the subject, exactly.
    Common(String),
    /// The whole subject: its parts in the order of the certificate, such as `C=DE, O=Acme, CN=camera-7`.
    Subject(String),
    /// A DNS name, in lower case. One with a wildcard is itself and nothing else.
    Dns(String),
    /// An e-mail address, what follows its `@` in lower case (RFC 5280 section 7.5).
    Email(String),
    /// A URI, exactly.
    Uri(String),
}

impl CertificateName {
    /// The DNS name `name`.
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }

    /// The e-mail address `address`.
    pub fn email(address: &str) -> Self {
        match address.rsplit_once('@') {
            Some((mailbox, host)) => Self::Email(format!("{mailbox}@{}", host.to_ascii_lowercase())),
            None => Self::Email(address.to_owned()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        // A space at either end is a slip, such as after the colon.
        if !name.is_empty() && name.trim() == name {
            match kind {
                "cn" => return Ok(Self::Common(name.to_owned())),
                "subject" => return Ok(Self::Subject(name.to_owned())),
                "dns" => return Ok(Self::dns(name)),
                "email" => return Ok(Self::email(name)),
                "uri" => return Ok(Self::Uri(name.to_owned())),
                _ => {}
            }
        }
        Err(format!(
            "`{text}` is not a name in a certificate such as \"cn:camera-7\"; \
             the kinds are cn, dns, email, uri and subject"
        ))
    }
}

impl fmt::Display for CertificateName {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Common(name) => ("cn", name),
            Self::Subject(name) => ("subject", name),
            Self::Dns(name) => ("dns", name),
            Self::Email(name) => ("email", name),
            Self::Uri(name) => ("uri", name),
        };
        write!(f, "{kind}:{name}")
    }
}

/// The names of which a user's certificate has to hold one; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames(Vec<CertificateName>);

impl CertificateNames {
    /// Whether a certificate that holds the names `held` has one of these.
    pub fn match_any(&self, held: &[CertificateName]) -> bool {
        held.iter().any(|name| self.0.contains(name))
    }
}

impl<'de> Deserialize<'de> for CertificateNames {
    /// One name or a list of names.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(deserializer)? {
            Value::String(text) => vec![text],
            list => list.try_into::<Vec<String>>().map_err(|error| D::Error::custom(error.message()))?,
        };
        if texts.is_empty() {
            return Err(D::Error::custom("needs at least one name"));
        }
        let names = texts.iter().map(|text| CertificateName::parse(text));
        names.collect::<Result<_, _>>().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(toml: &str) -> Result<CertificateNames, String> {
        let value: Value = toml.parse().expect("TOML");
        value.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn one_name_or_several_with_their_kind() {
        for text in [
            "cn:camera-7",
            "cn:a:b",
            "dns:camera7.example",
            "dns:*.example",
            "email:Camera@site.example",
            "uri:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "subject:C=DE, O=Acme\\, Inc., CN=camera-7",
        ] {
            let name = CertificateName::parse(text).expect("a name");
            assert_eq!(name.to_string(), text);
            let one = names(&format!("'{text}'")).expect("a name");
            assert_eq!(one, names(&format!("['{text}']")).expect("a list"));
            assert!(one.match_any(&[CertificateName::dns("other"), name]), "{text}");
        }
        let two = names("['cn:a', 'dns:b']").expect("names");
        assert!(two.match_any(&[CertificateName::dns("b")]));
        assert!(!two.match_any(&[CertificateName::dns("a"), CertificateName::Common("b".to_owned())]));
        assert!(!two.match_any(&[]));
    }

    #[test]
    fn letters_count_where_the_standard_says_so() {
        let one = |text: &str| names(&format!("'{text}'")).expect("a name");
        assert!(one("dns:Camera7.Example").match_any(&[CertificateName::dns("CAMERA7.example")]));
        assert!(one("email:a@Site.Example").match_any(&[CertificateName::email("a@site.example")]));
        assert!(!one("email:A@site.example").match_any(&[CertificateName::email("a@site.example")]));
        assert!(!one("cn:Camera").match_any(&[CertificateName::Common("camera".to_owned())]));
        assert!(!one("dns:*.example").match_any(&[CertificateName::dns("a.example")]), "no pattern");
    }

    #[test]
    fn what_is_no_name_is_a_mistake() {
        for (wrong, message) in [
            ("'camera-7'", "`camera-7` is not a name in a certificate such as"),
            ("'CN=camera-7'", "`CN=camera-7` is not a name"),
            ("'cn:'", "`cn:` is not a name"),
            ("'cn: a'", "`cn: a` is not a name"),
            ("'name:x'", "`name:x` is not a name"),
            ("['cn:a', 'b']", "`b` is not a name"),
            ("[]", "needs at least one name"),
            ("[1]", "invalid type: integer `1`"),
            ("true", "invalid type: boolean `true`"),
        ] {
            let found = names(wrong).expect_err("a mistake");
            assert!(found.starts_with(message), "{found}");
        }
    }
}
