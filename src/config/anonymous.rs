//! `[auth.anonymous]`: users whom anybody may be, with few permissions.

use serde::Deserialize;

use super::error::Report;
use super::profile::Profile;
use super::proof::Proof;
use super::section::Section;
use super::users::{Names, Offered, UserConfig, UserSource};

/// The names that stand for nobody (RFC 1635 has the first, old clients send the second).
const NAMES: [&str; 2] = ["anonymous", "ftp"];

/// What anybody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rights {
    /// There are no such users.
    Off,
    /// Look around and download.
    ReadOnly,
    /// Upload and make directories, and see nothing.
    DropBox,
}

impl Rights {
    /// As the key of that name says it.
    fn permissions(self) -> Vec<&'static str> {
        match self {
            Self::Off => Vec::new(),
            Self::ReadOnly => vec!["list", "read"],
            Self::DropBox => vec!["write", "mkdir"],
        }
    }
}

/// What is configured of them; none while it is off.
pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Option<Profile> {
    let rights = section.field("profile", Rights::Off);
    for key in ["permissions", "drop_box"] {
        if section.has(key) {
            section.error(key, "is what `profile` says");
        }
    }
    if rights == Rights::Off && section.is_empty() {
        section.finish();
        return None;
    }
    section.supply("permissions", rights.permissions());
    section.supply("drop_box", rights == Rights::DropBox);
    let profile = Profile::read(&mut section, offered.stores);
    let has_more = |profile: &Profile| {
        let most = profile.view.rules("");
        let mut rules = profile.view.folders.iter().map(|folder| &folder.rules);
        rules.any(|rules| {
            rules.permissions & most.permissions != rules.permissions || rules.drop_box != most.drop_box
        })
    };
    if profile.as_ref().is_some_and(has_more) {
        section.error("folders", "or `mounts` allow more than `profile` says");
    }
    section.finish();
    profile.filter(|_| rights != Rights::Off)
}

/// The users.
pub(super) fn users(profile: &Profile, names: &mut Names, report: &Report) -> Vec<UserConfig> {
    let user = |name: &str| {
        if let Some(first) = names.insert(name, "auth.anonymous") {
            report.error("auth.anonymous", format!("`{name}` is already the name of {first}"));
        }
        let (proof, source) = (Proof::Nothing, UserSource::Anonymous);
        UserConfig { name: name.to_owned(), proof, profile: profile.clone(), source }
    };
    NAMES.into_iter().map(user).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Home, Permission, Permissions, UserConfig};

    fn users(keys: &str) -> Result<Vec<UserConfig>, String> {
        let text = format!("[stores.a]\nurl = \"memory:///\"\n[auth.anonymous]\n{keys}\n");
        let config = Config::parse(&text, &Environment::new());
        config.map(|config| config.users).map_err(|errors| errors.to_string())
    }

    #[test]
    fn off_by_default_and_never_with_more_than_its_profile() {
        assert!(users("").expect("valid").is_empty());
        assert!(users("profile = \"off\"\nhome = \"pub\"").expect("valid").is_empty());
        let of = |profile: &str| {
            let users = users(&format!("profile = \"{profile}\"\nhome = \"pub\"")).expect("valid");
            let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
            assert_eq!(names, ["anonymous", "ftp"]);
            let home = Home::try_from("pub".to_owned()).expect("a folder");
            assert!(users.iter().all(|user| user.profile.view.root().is_some_and(|root| root.home == home)));
            let rules = users[0].profile.view.rules("");
            (rules.permissions, rules.drop_box)
        };
        let set = |permissions: &[Permission]| permissions.iter().copied().collect::<Permissions>();
        assert_eq!(of("read-only"), (set(&[Permission::List, Permission::Read]), false));
        assert_eq!(of("drop-box"), (set(&[Permission::Write, Permission::Mkdir]), true));
        let wrong = users("profile = \"read-only\"\npermissions = [\"delete\"]");
        assert_eq!(wrong.expect_err("a mistake"), "auth.anonymous.permissions: is what `profile` says");
        for more in [
            "folders = [{ path = \"/x\", drop_box = false, permissions = [\"write\"] }]",
            "mounts = [{ path = \"/x\", home = \"other\", permissions = [\"write\", \"delete\"] }]",
        ] {
            let more = users(&format!("profile = \"drop-box\"\nhome = \"pub\"\n{more}"));
            let expected = "auth.anonymous.folders: or `mounts` allow more than `profile` says";
            assert_eq!(more.expect_err("a mistake"), expected);
        }
        let unknown = users("profile = \"all\"").expect_err("a mistake");
        assert!(unknown.starts_with("auth.anonymous.profile: unknown variant `all`"), "{unknown}");
    }
}
