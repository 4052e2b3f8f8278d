//! `[auth.anonymous]`: users whom anybody may be, with few permissions.

use serde::Deserialize;

use super::error::Report;
use super::permissions::{Permission, Permissions};
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
    fn permissions(self) -> Permissions {
        match self {
            Self::Off => Permissions::none(),
            Self::ReadOnly => [Permission::List, Permission::Read].into_iter().collect(),
            Self::DropBox => [Permission::Write, Permission::Mkdir].into_iter().collect(),
        }
    }
}

/// What is configured of them; none while it is off.
pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Option<Profile> {
    let rights = section.field("profile", Rights::Off);
    if section.has("permissions") {
        section.error("permissions", "is what `profile` says");
    }
    let profile = if rights == Rights::Off && section.is_empty() {
        None
    } else {
        Profile::read(&mut section, offered.stores)
    };
    section.finish();
    let profile = profile.filter(|_| rights != Rights::Off)?;
    Some(Profile { permissions: rights.permissions(), ..profile })
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
    use crate::config::{Config, Environment, Permission, Permissions, UserConfig};

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
            assert!(users.iter().all(|user| user.profile.home == "pub"));
            users[0].profile.permissions
        };
        let set = |permissions: &[Permission]| permissions.iter().copied().collect::<Permissions>();
        assert_eq!(of("read-only"), set(&[Permission::List, Permission::Read]));
        assert_eq!(of("drop-box"), set(&[Permission::Write, Permission::Mkdir]));
        let wrong = users("profile = \"read-only\"\npermissions = [\"delete\"]");
        assert_eq!(wrong.expect_err("a mistake"), "auth.anonymous.permissions: is what `profile` says");
        let unknown = users("profile = \"all\"").expect_err("a mistake");
        assert!(unknown.starts_with("auth.anonymous.profile: unknown variant `all`"), "{unknown}");
    }
}
