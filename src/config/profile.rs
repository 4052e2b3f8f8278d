//! What is the same for every way to learn of a user: whose files, where, and what may be done with them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Deserialize;

use super::ftp::OnControlLost;
use super::permissions::Permissions;
use super::section::Section;
use super::value::Network;

/// All that is configured of a user but the name and how it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The store that holds the user's files; it exists.
    pub store: String,
    /// The folder in the store that the user sees as `/`: segments joined by `/`, none of them `.` or `..`,
    /// without a slash at either end; empty for the store's root.
    pub home: String,
    /// What the user may do.
    pub permissions: Permissions,
    /// Networks that the user may log in from; empty for anywhere.
    pub allow_from: Vec<IpNet>,
    /// Instead of `ftp.on_control_lost`.
    pub on_control_lost: Option<OnControlLost>,
}

impl Profile {
    /// Reads its keys from the section of a user. None if the store is missing or unknown, which is reported.
    pub(super) fn read(section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<Self> {
        let store = read_store(section, stores);
        let home = section.field("home", Home::default()).0;
        let permissions = section.field("permissions", Permissions::all());
        let allow_from = section.field("allow_from", Vec::<Network>::new());
        let on_control_lost = section.optional("on_control_lost");
        Some(Self {
            store: store?,
            home,
            permissions,
            allow_from: allow_from.into_iter().map(|network| network.0).collect(),
            on_control_lost,
        })
    }
}

fn read_store(section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<String> {
    let mut known = stores.iter();
    match (section.optional::<String>("store"), known.next(), known.next()) {
        (Some(name), ..) if stores.contains(&name) => Some(name),
        // With no store at all the one mistake is the missing store, not each user.
        (_, None, _) => None,
        (Some(name), ..) => {
            section.error("store", format!("there is no store named `{name}`"));
            None
        }
        (None, Some(only), None) => Some(only.clone()),
        (None, Some(_), Some(_)) => {
            section.error("store", "is required, because there is more than one store");
            None
        }
    }
}

/// A folder in a store, normalised.
#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
struct Home(String);

impl TryFrom<String> for Home {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err("must not hold `.` or `..`");
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character");
        }
        Ok(Self(segments.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Permission};

    const STORES: &str = "[stores.a]\nurl = \"memory:///\"\n[stores.b]\nurl = \"memory:///\"\n";

    fn mistakes(text: &str) -> Vec<String> {
        match Config::parse(text, &Environment::new()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
        }
    }

    fn only(keys: &str) -> Profile {
        let text =
            format!("[stores.a]\nurl = \"memory:///\"\n[[users]]\nname = \"x\"\npassword = \"x\"\n{keys}");
        Config::parse(&text, &Environment::new()).expect("a valid user").users.remove(0).profile
    }

    #[test]
    fn defaults_are_the_only_store_its_root_and_everything() {
        let user = only("");
        assert_eq!((user.store.as_str(), user.home.as_str()), ("a", ""));
        assert_eq!(user.permissions, Permissions::all());
        assert!(user.allow_from.is_empty());
    }

    #[test]
    fn values_are_normalised() {
        let user = only(
            "home = \"/in//acme/\"\npermissions = [\"list\", \"write\"]\nallow_from = [\"10.1.2.3/8\", \"::1\"]",
        );
        assert_eq!(user.home, "in/acme");
        assert_eq!(user.permissions, [Permission::List, Permission::Write].into_iter().collect());
        let networks: Vec<String> = user.allow_from.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
        assert_eq!(only("home = \"/\"").home, "");
    }

    #[test]
    fn homes_stay_inside_the_store() {
        for wrong in ["..", "a/../b", "./a", "a/.", "a\tb"] {
            assert!(Home::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
        assert!(Home::try_from("a/..b/c.d".to_owned()).is_ok());
    }

    #[test]
    fn the_store_must_be_known_and_is_needed_among_several() {
        let user = |store: &str| format!("{STORES}[[users]]\nname = \"x\"\npassword = \"x\"\n{store}");
        assert_eq!(mistakes(&user("store = \"b\"")), [""; 0]);
        assert_eq!(mistakes(&user("store = \"c\"")), ["users[0].store: there is no store named `c`"]);
        let missing = "users[0].store: is required, because there is more than one store";
        assert_eq!(mistakes(&user("")), [missing]);
    }
}
