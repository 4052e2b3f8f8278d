//! `[auth.htpasswd]`: names and hashes in Apache's format; all else is the same for these users.

use std::path::PathBuf;

use super::error::Report;
use super::file;
use super::profile::Profile;
use super::proof::Proof;
use super::secret::PasswordSource;
use super::section::Section;
use super::users::{Names, Offered, UserConfig, UserSource, check_name};
use super::value::path;

/// `[auth.htpasswd]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Htpasswd {
    /// Lines of a name, a colon and a hash. A relative path is taken from the working directory.
    pub file: PathBuf,
    /// What is configured of each of its users.
    pub profile: Profile,
}

impl Htpasswd {
    /// None where there is no file, or a mistake in the rest, which is reported.
    pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Option<Self> {
        let file = path(&mut section, "file");
        let profile = if file.is_some() || !section.is_empty() {
            Profile::read(&mut section, offered.stores)
        } else {
            None
        };
        section.finish();
        Some(Self { file: file?, profile: profile? })
    }
}

/// The users in the file.
pub(super) fn read(source: &Htpasswd, names: &mut Names, report: &Report) -> Vec<UserConfig> {
    report.looks_at(&source.file);
    let path = source.file.display().to_string();
    let text = match file::read(&source.file) {
        Ok(text) => text,
        Err(error) => {
            report.error("auth.htpasswd.file", format!("{path}: {error}"));
            return Vec::new();
        }
    };
    names.file = Some(path.clone());
    let inner = Report::default();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let users =
        lines.filter_map(|(number, line)| read_line(line, &format!("line {number}"), source, names, &inner));
    let users = users.collect();
    report.merge(&path, inner);
    users
}

fn read_line(
    line: &str,
    place: &str,
    source: &Htpasswd,
    names: &mut Names,
    report: &Report,
) -> Option<UserConfig> {
    let Some((name, hash)) = line.split_once(':') else {
        report.error(place, "is no name and hash with a colon between them");
        return None;
    };
    if let Err(message) = check_name(name) {
        report.error(place, format!("the name {message}"));
        return None;
    }
    if let Some(first) = names.insert(name, place) {
        report.error(place, format!("`{name}` is already the name of {first}"));
    }
    let password = PasswordSource::Hash(hash.into());
    if let Err(message) = password.credential() {
        report.error(place, format!("user `{name}`: {message} (`htpasswd -B` makes bcrypt)"));
    }
    let profile = source.profile.clone();
    Some(UserConfig {
        name: name.to_owned(),
        proof: Proof::Password(password),
        profile,
        source: UserSource::Htpasswd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Environment, Permission};

    const BCRYPT: &str = "$2y$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn shown(content: &str) -> Result<Vec<UserConfig>, Vec<String>> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("our own file");
        let path = file.path().display().to_string();
        let text = format!(
            "[stores.a]\nurl = \"memory:///\"\n[auth.htpasswd]\nfile = \"{path}\"\nhome = \"in\"\n\
             permissions = [\"write\"]\n"
        );
        let shown = |error: &ConfigError| error.to_string().replace(&path, "FILE");
        let config = Config::parse(&text, &Environment::new());
        config.map(|config| config.users).map_err(|errors| errors.0.iter().map(shown).collect())
    }

    #[test]
    fn its_users_have_what_the_section_says() {
        let users = shown(&format!("# comment\n\na:{BCRYPT}\r\nb:{BCRYPT}\n")).expect("valid users");
        let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        for user in &users {
            let root = user.profile.view.root().expect("a folder");
            assert_eq!((root.home.to_string().as_str(), user.source), ("in", UserSource::Htpasswd));
            assert_eq!(user.profile.view.rules("").permissions, [Permission::Write].into_iter().collect());
        }
    }

    #[test]
    fn weak_hashes_are_each_users_own_mistake() {
        let content = format!("a:{BCRYPT}\nb:$apr1$salt$digest\nc:{{SHA}}abc=\nd:plain\n:{BCRYPT}\n");
        let found = shown(&content).expect_err("mistakes");
        assert_eq!(found.len(), 4, "{found:#?}");
        for (line, (number, name)) in found.iter().zip([(2, "b"), (3, "c"), (4, "d")]) {
            assert!(line.starts_with(&format!("FILE: line {number}: user `{name}`: ")), "{line}");
            assert!(!line.contains("digest") && !line.contains("abc") && !line.contains("plain"), "{line}");
        }
        assert_eq!(found[3], "FILE: line 5: the name is empty");
    }
}
