//! `[[users]]`: who may log in, to which folder of which store, from where, and what they may do there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use toml::Table;

use super::error::Report;
use super::file::read_table;
use super::profile::Profile;
use super::proof::Proof;
use super::section::Section;
use super::tls::ClientCa;

/// One of `[[users]]`. Names are unique, and the store exists.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// The name given with USER; not empty, without control characters.
    pub name: String,
    /// What the user has to show.
    pub proof: Proof,
    /// Everything else.
    pub profile: Profile,
}

/// What the rest of the configuration has for users.
#[derive(Clone, Copy)]
pub(super) struct Offered<'a> {
    pub(super) stores: &'a BTreeSet<String>,
    /// Who signs certificates of clients; none where clients are not asked for any.
    pub(super) client_ca: Option<&'a ClientCa>,
}

/// Reads the users of the main file and of `users_file`.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    users_file: Option<&Path>,
    offered: Offered<'_>,
    report: &Report,
) -> Vec<UserConfig> {
    let mut names = Names::default();
    let mut users: Vec<UserConfig> =
        sections.into_iter().filter_map(|section| UserConfig::read(section, offered, &mut names)).collect();
    let Some(path) = users_file else { return users };
    let file = path.display().to_string();
    match read_table(path) {
        Err(error) => report.error("auth.users_file", format!("{file}: {error}")),
        Ok(table) => {
            names.file = Some(file.clone());
            let inner = Report::default();
            users.extend(read_users_file(table, offered, &mut names, &inner));
            report.merge(&file, inner.into_errors());
        }
    }
    users
}

fn read_users_file(
    table: Table,
    offered: Offered<'_>,
    names: &mut Names,
    report: &Report,
) -> Vec<UserConfig> {
    let mut root = Section::root(table, report);
    let sections = root.sections("users");
    root.finish();
    sections.into_iter().filter_map(|section| UserConfig::read(section, offered, names)).collect()
}

impl UserConfig {
    fn read(mut section: Section<'_>, offered: Offered<'_>, names: &mut Names) -> Option<Self> {
        let name = section.required::<UserName>("name").map(|name| name.0);
        if let Some(name) = &name
            && let Some(first) = names.insert(name, section.path())
        {
            section.error("name", format!("`{name}` is already the name of {first}"));
        }
        let proof = Proof::read(&mut section, offered.client_ca);
        let profile = Profile::read(&mut section, offered.stores);
        section.finish();
        Some(Self { name: name?, proof: proof?, profile: profile? })
    }
}

/// Where each user name was seen first.
#[derive(Default)]
struct Names {
    seen: BTreeMap<String, String>,
    /// The users file, while it is being read.
    file: Option<String>,
}

impl Names {
    /// Notes a name; returns the place of an earlier user of that name.
    fn insert(&mut self, name: &str, path: &str) -> Option<String> {
        let place = match &self.file {
            Some(file) => format!("{file}: {path}"),
            None => path.to_owned(),
        };
        if let Some(first) = self.seen.get(name) {
            return Some(first.clone());
        }
        self.seen.insert(name.to_owned(), place);
        None
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct UserName(String);

impl TryFrom<String> for UserName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "" => Err("is empty"),
            name if name.chars().any(char::is_control) => Err("holds a control character"),
            name if name.trim() != name => Err("begins or ends with a space"),
            _ => Ok(Self(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::config::{CertificateName, Config, Environment};

    fn mistakes(text: &str) -> Vec<String> {
        match Config::parse(text, &Environment::new()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn exactly_one_password_is_given() {
        let one_of = "one of password_hash, password_file and password is required, or client_certificate";
        let user =
            |password: &str| format!("[stores.a]\nurl = \"memory:///\"\n[[users]]\nname = \"x\"\n{password}");
        assert_eq!(mistakes(&user("")), [format!("users[0].password_hash: {one_of}")]);
        let two = mistakes(&user("password = \"x\"\npassword_file = \"/x\""));
        assert_eq!(two, ["users[0].password: only one of password_hash, password_file and password"]);
        assert_eq!(mistakes(&user("password = \"\"")), ["users[0].password: is empty"]);
        let missing = mistakes(&user("password_file = \"/nowhere/x\""));
        assert!(missing[0].starts_with("users[0].password_file: cannot read /nowhere/x"), "{missing:?}");
    }

    #[test]
    fn a_certificate_is_enough_or_comes_with_a_password() {
        let config = |tls: &str, user: &str| {
            format!("[ftp.tls]\n{tls}\n[stores.a]\nurl = \"memory:///\"\n[[users]]\nname = \"x\"\n{user}")
        };
        let asked = "mode = \"required\"\nclient_ca = \"/ca\"";
        let proof = |user: &str| {
            let config = Config::parse(&config(asked, user), &Environment::new());
            config.expect("a valid user").users.remove(0).proof
        };
        assert!(matches!(proof("client_certificate = \"cn:x\""), Proof::Certificate(_)));
        assert!(matches!(proof("password = \"x\""), Proof::Password(_)));
        assert!(matches!(proof("client_certificate = [\"cn:x\"]\npassword = \"x\""), Proof::Both(..)));
        let unasked = "users[0].client_certificate: needs ftp.tls.client_ca, and ftp.tls.mode = \"optional\" or \
                       \"required\"";
        for tls in ["", "mode = \"required\""] {
            assert_eq!(mistakes(&config(tls, "client_certificate = \"cn:x\"")), [unasked]);
        }
        for (user, message) in [
            ("client_certificate = \"x\"", "client_certificate: `x` is not a name in a certificate"),
            ("client_certificate = []", "client_certificate: needs at least one name"),
            ("client_certificate = \"cn:x\"\npassword = \"\"", "password: is empty"),
            (
                "client_certificate = \"cn:x\"\npassword = \"x\"\npassword_file = \"/x\"",
                "password: only one of",
            ),
        ] {
            let found = mistakes(&config(asked, user));
            assert!(found.len() == 1 && found[0].starts_with(&format!("users[0].{message}")), "{found:?}");
        }
        let set = ("BUCKETPORT_USERS__0__CLIENT_CERTIFICATE".to_owned(), "[\"cn:x\", \"dns:y\"]".to_owned());
        let text = config(asked, "client_certificate = \"cn:z\"");
        let config = Config::parse(&text, &Environment::from([set])).expect("a valid user");
        let expected = [CertificateName::dns("y")];
        assert!(config.users[0].proof.certificate().is_some_and(|names| names.match_any(&expected)));
    }

    fn with_users_file(content: &str) -> (String, NamedTempFile) {
        let mut file = NamedTempFile::new().expect("a temporary file");
        file.write_all(content.as_bytes()).expect("a writable file");
        let path = file.path().display();
        let text = format!(
            "[stores.a]\nurl = \"memory:///\"\n[auth]\nusers_file = \"{path}\"\n\
             [[users]]\nname = \"main\"\npassword = \"x\"\n"
        );
        (text, file)
    }

    #[test]
    fn the_users_file_adds_users() {
        let (text, _file) = with_users_file("[[users]]\nname = \"more\"\npassword = \"x\"\n");
        let config = Config::parse(&text, &Environment::new()).expect("a valid configuration");
        let names: Vec<&str> = config.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["main", "more"]);
    }

    #[test]
    fn mistakes_of_the_users_file_come_with_its_path() {
        let (text, file) =
            with_users_file("x = 1\n[[users]]\nname = \"main\"\npassword = \"x\"\nhome = \"..\"\n");
        let path = file.path().display().to_string();
        let expected = [
            format!("{path}: x: unknown key"),
            format!("{path}: users[0].name: `main` is already the name of users[0]"),
            format!("{path}: users[0].home: must not hold `.` or `..`"),
        ];
        assert_eq!(mistakes(&text), expected);
        std::fs::write(&path, "[[users]\n").expect("our own file");
        assert!(
            mistakes(&text)[0].starts_with(&format!("auth.users_file: {path}: line 1: ")),
            "{:?}",
            mistakes(&text)
        );
        file.close().expect("our own file");
        assert!(mistakes(&text)[0].starts_with(&format!("auth.users_file: {path}: cannot be read: ")));
    }
}
