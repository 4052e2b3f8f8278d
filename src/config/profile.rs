//! What is the same for every way to learn of a user: whose files, where, and what may be done with them.

use std::collections::BTreeSet;

use super::ftp::OnControlLost;
use super::limits::UserLimits;
use super::networks::Networks;
use super::section::Section;
use super::view::View;

/// All that is configured of a user but the name and how it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the user sees, and may do there.
    pub view: View,
    /// Where the user may log in from.
    pub allow_from: Networks,
    /// Instead of `ftp.on_control_lost`.
    pub on_control_lost: Option<OnControlLost>,
    /// How much of the gateway the user may have, where that differs from what holds for each.
    pub limits: UserLimits,
}

impl Profile {
    /// Reads its keys from the section of a user. None if the store is missing or unknown, which is reported.
    pub(super) fn read(section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<Self> {
        let view = View::read(section, stores);
        let allow_from = section.field("allow_from", Networks::default());
        let on_control_lost = section.optional("on_control_lost");
        let limits = UserLimits::read(section.section("limits"));
        Some(Self { view: view?, allow_from, on_control_lost, limits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Home, Permission, Permissions};

    fn only(keys: &str) -> Profile {
        let text =
            format!("[stores.a]\nurl = \"memory:///\"\n[[users]]\nname = \"x\"\npassword = \"x\"\n{keys}");
        Config::parse(&text, &Environment::new()).expect("a valid user").users.remove(0).profile
    }

    #[test]
    fn defaults_are_the_only_store_and_anywhere() {
        let user = only("");
        assert_eq!(user.view, View::of("a", Home::default(), Permissions::all()));
        assert!(user.allow_from.are_unlimited());
    }

    #[test]
    fn values_are_normalised() {
        let user = only(
            "home = \"/in//acme/\"\npermissions = [\"list\", \"write\"]\nallow_from = [\"10.1.2.3/8\", \"::1\"]",
        );
        let home = Home::try_from("in/acme".to_owned()).expect("a folder");
        let permissions = [Permission::List, Permission::Write].into_iter().collect();
        assert_eq!(user.view, View::of("a", home, permissions));
        let networks = toml::Value::from(vec!["10.0.0.0/8", "::1/128"]);
        assert_eq!(user.allow_from, networks.try_into().expect("networks"));
        assert_eq!(only("home = \"/\"").view, only("").view);
    }
}
