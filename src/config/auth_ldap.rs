//! `[auth.ldap]`: a directory in which users bind, by a name that is made of theirs or that is searched for.

use std::path::PathBuf;
use std::time::Duration;

use toml::{Table, Value};
use url::Url;

use super::error::{ConfigError, ConfigErrors};
use super::profile::Profile;
use super::schema::Schema;
use super::section::Section;
use super::users::Offered;
use super::value::{path, short_timeout};

/// What a user's name is put in place of.
pub const PLACE_OF_USER: &str = "{user}";

/// `[auth.ldap]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LdapAuth {
    /// The server: `ldap` or `ldaps`, and a host.
    pub url: Url,
    /// Begin TLS on a connection of `ldap://`.
    pub start_tls: bool,
    /// PEM: who has to have signed the server's certificate; none for the authorities of the system.
    pub ca_file: Option<PathBuf>,
    /// How long all of one login may take.
    pub timeout: Duration,
    /// How a user's entry is found.
    pub entry: LdapEntry,
    /// The attribute that says the home.
    pub home_attribute: Option<String>,
    /// The attribute that says the permissions.
    pub permissions_attribute: Option<String>,
    /// The keys that are the same for all of its users.
    keys: Table,
    schema: Schema,
}

/// How the entry of a user is found.
#[derive(Clone, Debug, PartialEq)]
pub enum LdapEntry {
    /// Its name has the user's in place of `{user}`.
    Named(String),
    /// Another user looks for it.
    Searched {
        /// Where: everything below this entry.
        base: String,
        /// What: this filter with the user's name in place of `{user}`.
        filter: String,
        /// Who searches, and the file with the password, which is read each time; none searches without a name.
        by: Option<(String, PathBuf)>,
    },
}

impl LdapAuth {
    /// None where there is no URL, or where there are mistakes, which are reported.
    pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Option<Self> {
        let text = section.field("url", String::new());
        let start_tls = section.field("start_tls", false);
        let ca_file = path(&mut section, "ca_file");
        let timeout = short_timeout(&mut section, "timeout", Duration::from_secs(5));
        let entry = read_entry(&mut section, !text.is_empty());
        let home_attribute = attribute(&mut section, "home_attribute");
        let permissions_attribute = attribute(&mut section, "permissions_attribute");
        let keys = section.rest().clone();
        // So that mistakes in the keys are told now, and not at the first login.
        let is_given = !(text.is_empty() && keys.is_empty());
        let profile = is_given.then(|| Profile::read(&mut section, offered.stores)).flatten();
        let url = match (text.as_str(), parse(&text)) {
            ("", _) => None,
            (_, Ok(url)) => Some(url),
            (_, Err(message)) => {
                section.error("url", message);
                None
            }
        };
        if start_tls && url.as_ref().is_some_and(|url| url.scheme() == "ldaps") {
            section.error("start_tls", "is for ldap:// only");
        }
        section.finish();
        profile?;
        let schema = Schema::new(offered);
        Some(Self {
            url: url?,
            start_tls,
            ca_file,
            timeout,
            entry: entry?,
            home_attribute,
            permissions_attribute,
            keys,
            schema,
        })
    }

    /// Whether passwords cross the network as they are.
    pub fn is_clear(&self) -> bool {
        self.url.scheme() == "ldap" && !self.start_tls
    }

    /// What is configured of the user `name`, whose entry says this. A key that an attribute stands for counts only where
    /// the entry has no such attribute; without both the user is nobody's, rather than one of the whole store.
    pub fn profile(
        &self,
        name: &str,
        home: Option<String>,
        permissions: &[String],
    ) -> Result<Profile, ConfigErrors> {
        let mut keys = self.keys.clone();
        if let Some(home) = home {
            // Accounts of services often have `/`, which nobody has meant to be all of a store.
            if home.split('/').all(str::is_empty) {
                return Err(ConfigError::new("home", "in the entry is the whole store").into());
            }
            keys.insert("home".to_owned(), Value::String(home));
        }
        let words =
            permissions.iter().flat_map(|value| value.split([',', ' '])).filter(|word| !word.is_empty());
        let words: Vec<Value> = words.map(|word| Value::String(word.to_owned())).collect();
        if !words.is_empty() {
            keys.insert("permissions".to_owned(), Value::Array(words));
        }
        let missing: Vec<ConfigError> =
            [("home", &self.home_attribute), ("permissions", &self.permissions_attribute)]
                .into_iter()
                .filter(|(key, attribute)| attribute.is_some() && !keys.contains_key(*key))
                .map(|(key, _)| ConfigError::new(key, "is neither in the entry nor in [auth.ldap]"))
                .collect();
        if missing.is_empty() {
            Ok(self.schema.read(name, keys)?.profile)
        } else {
            Err(ConfigErrors(missing))
        }
    }
}

fn read_entry(section: &mut Section<'_>, is_needed: bool) -> Option<LdapEntry> {
    let text = |section: &mut Section<'_>, key| section.field(key, String::new());
    let bind_dn = text(section, "bind_dn");
    let base = text(section, "search_base");
    let filter = section.field("filter", format!("(uid={PLACE_OF_USER})"));
    let search_dn = text(section, "search_bind_dn");
    let file = path(section, "search_password_file");
    for (key, value) in [("bind_dn", &bind_dn), ("filter", &filter)] {
        if !value.is_empty() && !value.contains(PLACE_OF_USER) {
            section.error(key, "needs `{user}` where the user's name is to stand");
        }
    }
    let searches = !base.is_empty() || !search_dn.is_empty() || file.is_some();
    match (bind_dn.is_empty(), base.is_empty()) {
        (true, true) if is_needed => section.error("bind_dn", "one of bind_dn and search_base is required"),
        (false, _) if searches => section.error("bind_dn", "does not go with a search"),
        (false, true) => return Some(LdapEntry::Named(bind_dn)),
        (true, false) => {
            let by = match (search_dn.is_empty(), file) {
                (true, None) => None,
                (false, Some(file)) => Some((search_dn, file)),
                (true, Some(_)) => {
                    section.error("search_password_file", "needs search_bind_dn");
                    None
                }
                (false, None) => {
                    section.error("search_bind_dn", "needs search_password_file");
                    None
                }
            };
            return Some(LdapEntry::Searched { base, filter, by });
        }
        (true, true) | (false, false) => {}
    }
    None
}

fn attribute(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    Some(section.field(key, String::new())).filter(|name| !name.is_empty())
}

fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL such as \"ldaps://ldap.example\"")?;
    if !matches!(url.scheme(), "ldap" | "ldaps") {
        return Err("must begin with ldap:// or ldaps://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a name or a password");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Elsewhere, Environment, Permission, View};

    fn read(keys: &str) -> Result<Option<Elsewhere>, String> {
        let text = format!("[stores.a]\nurl = \"memory:///\"\n[auth.ldap]\n{keys}\n");
        let config = Config::parse(&text, &Environment::new());
        config.map(|config| config.auth.elsewhere).map_err(|errors| errors.to_string())
    }

    fn ldap(keys: &str) -> LdapAuth {
        match read(keys) {
            Ok(Some(Elsewhere::Ldap(ldap))) => ldap,
            other => panic!("{keys}: {other:?}"),
        }
    }

    const NAMED: &str = "url = \"ldap://h\"\nbind_dn = \"uid={user},dc=x\"\n";

    #[test]
    fn an_entry_is_named_or_searched_for() {
        assert_eq!(ldap(NAMED).entry, LdapEntry::Named("uid={user},dc=x".to_owned()));
        let searched = "url = \"ldaps://h\"\nsearch_base = \"dc=x\"\nsearch_bind_dn = \"cn=s\"\nsearch_password_file = \"/p\"";
        let by = Some(("cn=s".to_owned(), "/p".into()));
        let expected = LdapEntry::Searched { base: "dc=x".to_owned(), filter: "(uid={user})".to_owned(), by };
        assert_eq!(ldap(searched).entry, expected);
        assert_eq!(read("url = \"\""), Ok(None));
        for (keys, expected) in [
            ("url = \"ldap://h\"", "bind_dn: one of bind_dn and search_base is required"),
            ("url = \"http://h\"\nbind_dn = \"{user}\"", "url: must begin with ldap:// or ldaps://"),
            ("url = \"ldap://\"\nbind_dn = \"{user}\"", "url: "),
            ("url = \"ldap://h\"\nbind_dn = \"uid=x\"", "bind_dn: needs `{user}`"),
            ("url = \"ldap://h\"\nsearch_base = \"dc=x\"\nfilter = \"(uid=*)\"", "filter: needs `{user}`"),
            ("url = \"ldap://h\"\nsearch_base = \"dc=x\"\nbind_dn = \"{user}\"", "bind_dn: does not go"),
            ("url = \"ldap://h\"\nsearch_base = \"dc=x\"\nsearch_bind_dn = \"x\"", "search_bind_dn: needs"),
            ("url = \"ldaps://h\"\nstart_tls = true\nbind_dn = \"{user}\"", "start_tls: is for ldap://"),
            ("url = \"ldap://h\"\nbind_dn = \"{user}\"\ntimeout = \"1h\"", "timeout: must not be longer"),
            ("url = \"ldap://h\"\nbind_dn = \"{user}\"\nhome = \"..\"", "home: must not hold"),
            ("url = \"ldap://h\"\nbind_dn = \"{user}\"\npasword = \"..\"", "pasword: unknown key"),
        ] {
            let errors = read(keys).expect_err(keys);
            let expected = format!("auth.ldap.{expected}");
            assert!(errors.starts_with(&expected) && errors.lines().count() == 1, "{keys}: {errors}");
        }
    }

    #[test]
    fn attributes_go_before_keys_and_their_absence_does_not_open_the_store() {
        let both = format!("{NAMED}home_attribute = \"h\"\npermissions_attribute = \"p\"\n");
        let without = ldap(&both);
        let of = |ldap: &LdapAuth, home: Option<&str>, permissions: &[&str]| {
            let permissions: Vec<String> = permissions.iter().map(|&text| text.to_owned()).collect();
            let profile = ldap.profile("acme", home.map(str::to_owned), &permissions);
            let seen =
                |view: &View| (view.root().expect("a folder").home.to_string(), view.rules("").permissions);
            profile.map(|it| seen(&it.view)).map_err(|errors| errors.to_string())
        };
        let some = [Permission::List, Permission::Read].into_iter().collect();
        for given in [&["list", "read"][..], &["list,read"], &["read, list"], &["list read"]] {
            assert_eq!(of(&without, Some("/in/"), given), Ok(("in".to_owned(), some)));
        }
        let missing = of(&without, None, &[]).expect_err("missing");
        assert_eq!(missing.lines().count(), 2, "{missing}");
        assert!(of(&without, Some("in"), &[]).is_err() && of(&without, None, &["read"]).is_err());
        assert!(
            of(&without, Some("../.."), &["read"]).is_err() && of(&without, Some("a"), &["fly"]).is_err()
        );
        for whole in ["/", "", "//"] {
            assert!(of(&without, Some(whole), &["read"]).is_err(), "{whole}");
        }
        let with = ldap(&format!("{both}home = \"all\"\npermissions = [\"list\", \"read\"]\n"));
        assert_eq!(of(&with, None, &[]), Ok(("all".to_owned(), some)));
        assert_eq!(of(&with, Some("own"), &[]), Ok(("own".to_owned(), some)));
    }
}
