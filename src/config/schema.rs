//! Reads a user that the configuration does not have as one that it has.

use std::collections::BTreeSet;

use serde_json::error::Category;
use toml::Table;

use super::certificate::CertificateNames;
use super::error::{ConfigError, ConfigErrors, Report};
use super::profile::Profile;
use super::proof::Proof;
use super::section::Section;
use super::tls::ClientCa;
use super::users::Offered;

/// What the configuration has for users, for those that come to be known while the process runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    stores: BTreeSet<String>,
    client_ca: Option<ClientCa>,
}

/// A user whose password somebody else has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What is configured of the user.
    pub profile: Profile,
    /// The user is bound to a certificate with one of these names.
    pub certificate: Option<CertificateNames>,
}

impl Schema {
    pub(super) fn new(offered: Offered<'_>) -> Self {
        Self { stores: offered.stores.clone(), client_ca: offered.client_ca.cloned() }
    }

    /// The user `name` in JSON, with the keys of one of `[[users]]` but those of passwords.
    pub fn read_json(&self, name: &str, json: &[u8]) -> Result<Answered, ConfigErrors> {
        let table = serde_json::from_slice(json).map_err(|error| {
            let what = match error.classify() {
                Category::Data => "is no JSON object, or null is in it",
                Category::Syntax | Category::Eof | Category::Io => "is not JSON",
            };
            ConfigError::new("answer", what)
        })?;
        self.read(name, table)
    }

    /// The same in a table.
    pub(super) fn read(&self, name: &str, table: Table) -> Result<Answered, ConfigErrors> {
        let report = Report::default();
        let mut section = Section::root(table, &report);
        if section.optional::<String>("name").is_some_and(|said| said != name) {
            section.error("name", "is another than the one that was asked for");
        }
        let is_bound = section.has("client_certificate");
        let certificate = Proof::read_certificate(&mut section, self.client_ca.as_ref());
        if is_bound && certificate.is_none() {
            // Whoever cannot be bound as was meant is nobody; the mistake has been reported.
            section.error("client_certificate", "cannot be read");
        }
        let profile = Profile::read(&mut section, &self.stores);
        if profile.is_none() && !report.has_errors() {
            section.error("store", "is required");
        }
        section.finish();
        let mistakes = report.into_errors();
        match profile {
            Some(profile) if mistakes.is_empty() => Ok(Answered { profile, certificate }),
            _ => Err(ConfigErrors(mistakes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateName, CertificateNeed, Home, Permission, View};

    fn schema() -> Schema {
        let client_ca = ClientCa { file: "/ca".into(), need: CertificateNeed::Optional };
        Schema { stores: ["a".to_owned(), "b".to_owned()].into(), client_ca: Some(client_ca) }
    }

    #[test]
    fn an_answer_is_read_like_a_user_of_a_file() {
        let read = |json: &str| schema().read_json("acme", json.as_bytes());
        let user = read(
            r#"{"name": "acme", "store": "b", "home": "/in/", "permissions": ["read"],
                "allow_from": ["10.0.0.0/8"], "client_certificate": "cn:x"}"#,
        );
        let user = user.expect("a user");
        let home = Home::try_from("in".to_owned()).expect("a folder");
        assert_eq!(user.profile.view, View::of("b", home, [Permission::Read].into_iter().collect()));
        assert!(!user.profile.allow_from.are_unlimited());
        let certificate = user.certificate.expect("bound");
        assert!(certificate.match_any(&[CertificateName::Common("x".to_owned())]));
        for (json, expected) in [
            ("", "answer: is not JSON"),
            ("[]", "answer: is no JSON object, or null is in it"),
            (r#"{"store": "a", "home": null}"#, "answer: is no JSON object, or null is in it"),
            ("{}", "store: is required, because there is more than one store"),
            (r#"{"store": "c"}"#, "store: there is no store named `c`"),
            (r#"{"store": "a", "name": "b"}"#, "name: is another than the one that was asked for"),
            (r#"{"store": "a", "password": "hunter2"}"#, "password: unknown key"),
            (r#"{"store": "a", "permissions": ["fly"]}"#, "permissions: unknown variant `fly`"),
        ] {
            let errors = read(json).expect_err(json).to_string();
            assert!(errors.starts_with(expected) && !errors.contains("hunter2"), "{json}: {errors}");
        }
        assert!(read(r#"{"store": "a", "client_certificate": "x"}"#).is_err());
    }
}
