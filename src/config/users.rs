//! `[[users]]`: who may log in, to which folder of which store, from where, and what they may do there.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::Deserialize;

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
    /// Where the user comes from.
    pub source: UserSource,
}

/// Where a user comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// The configuration itself.
    Inline,
    /// `auth.users_file`.
    File,
    /// `auth.users_folder`.
    Folder,
    /// `auth.htpasswd`.
    Htpasswd,
    /// `auth.anonymous`.
    Anonymous,
    /// `auth.http`.
    Http,
    /// `auth.ldap`.
    Ldap,
}

impl UserSource {
    /// Whether all of the source's users are known beforehand.
    pub fn is_local(self) -> bool {
        match self {
            Self::Inline | Self::File | Self::Folder | Self::Htpasswd | Self::Anonymous => true,
            Self::Http | Self::Ldap => false,
        }
    }
}

impl fmt::Display for UserSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline => "configuration",
            Self::File => "users_file",
            Self::Folder => "users_folder",
            Self::Htpasswd => "htpasswd",
            Self::Anonymous => "anonymous",
            Self::Http => "http",
            Self::Ldap => "ldap",
        })
    }
}

/// What the rest of the configuration has for users.
#[derive(Clone, Copy)]
pub(super) struct Offered<'a> {
    pub(super) stores: &'a BTreeSet<String>,
    /// Who signs certificates of clients; none where clients are not asked for any.
    pub(super) client_ca: Option<&'a ClientCa>,
}

/// What is known of a user before its keys are read.
pub(super) struct Given {
    /// Its name where no key says it; without one the key is required.
    pub(super) name: Option<String>,
    pub(super) source: UserSource,
}

impl UserConfig {
    /// Reads the users of one list.
    pub(super) fn read_all(
        sections: Vec<Section<'_>>,
        source: UserSource,
        offered: Offered<'_>,
        names: &mut Names,
    ) -> Vec<Self> {
        let given = Given { name: None, source };
        sections.into_iter().filter_map(|section| Self::read(section, &given, offered, names)).collect()
    }

    /// Reads one user.
    pub(super) fn read(
        mut section: Section<'_>,
        given: &Given,
        offered: Offered<'_>,
        names: &mut Names,
    ) -> Option<Self> {
        if let Some(name) = &given.name
            && !section.has("name")
        {
            section.supply("name", name.as_str());
        }
        let name = section.required::<UserName>("name").map(|name| name.0);
        if let Some(name) = &name
            && let Some(first) = names.insert(name, section.path())
        {
            section.error("name", format!("`{name}` is already the name of {first}"));
        }
        let proof = Proof::read(&mut section, offered.client_ca);
        let profile = Profile::read(&mut section, offered.stores);
        section.finish();
        Some(Self { name: name?, proof: proof?, profile: profile?, source: given.source })
    }
}

/// Where each user name was seen first.
#[derive(Default)]
pub(super) struct Names {
    seen: HashMap<String, String>,
    /// The file that is being read, if it is another than the configuration.
    pub(super) file: Option<String>,
}

impl Names {
    /// Notes a name; returns the place of an earlier user of that name.
    pub(super) fn insert(&mut self, name: &str, path: &str) -> Option<String> {
        if let Some(first) = self.seen.get(name) {
            return Some(first.clone());
        }
        let place = match &self.file {
            Some(file) if path.is_empty() => file.clone(),
            Some(file) => format!("{file}: {path}"),
            None => path.to_owned(),
        };
        self.seen.insert(name.to_owned(), place);
        None
    }
}

/// What is wrong with the name of a user.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        name if name.chars().any(char::is_control) => Err("holds a control character"),
        name if name.trim() != name => Err("begins or ends with a space"),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct UserName(String);

impl TryFrom<String> for UserName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        check_name(&name).map(|()| Self(name))
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
