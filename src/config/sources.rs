//! The users of all local sources: the configuration itself, a file, a folder with a file for each, an htpasswd file, and
//! those whom anybody may be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::anonymous;
use super::auth::AuthConfig;
use super::error::Report;
use super::file::read_users_table;
use super::htpasswd;
use super::limits::LimitsConfig;
use super::section::Section;
use super::users::{Given, Names, Offered, UserConfig, UserSource};
use super::watched::is_hidden;

/// Reads all of them. Names are unique over all sources; every mistake is reported with its file and its key.
pub(super) fn read(
    inline: Vec<Section<'_>>,
    auth: &AuthConfig,
    offered: Offered<'_>,
    report: &Report,
) -> Vec<UserConfig> {
    let mut names = Names::default();
    let mut users = UserConfig::read_all(inline, UserSource::Inline, offered, &mut names);
    if let Some(path) = &auth.users_file {
        report.looks_at(path);
        let file = path.display().to_string();
        match read_users_table(path) {
            Err(error) => report.error("auth.users_file", format!("{file}: {error}")),
            Ok(table) => {
                let inner = Report::default();
                names.file = Some(file.clone());
                let mut root = Section::root(table, &inner);
                let sections = root.sections("users");
                root.finish();
                users.extend(UserConfig::read_all(sections, UserSource::File, offered, &mut names));
                report.merge(&file, inner);
            }
        }
    }
    if let Some(path) = &auth.users_folder {
        report.looks_at(path);
        match files_in(path) {
            Err(error) => {
                report.error("auth.users_folder", format!("{}: cannot be read: {error}", path.display()));
            }
            Ok(files) => {
                users.extend(files.iter().filter_map(|file| read_one(file, offered, &mut names, report)));
            }
        }
    }
    if let Some(source) = &auth.htpasswd {
        users.extend(htpasswd::read(source, &mut names, report));
    }
    names.file = None;
    if let Some(profile) = &auth.anonymous {
        users.extend(anonymous::users(profile, &mut names, report));
    }
    users
}

/// A file that is one user.
fn read_one(path: &Path, offered: Offered<'_>, names: &mut Names, report: &Report) -> Option<UserConfig> {
    let file = path.display().to_string();
    let table = match read_users_table(path) {
        Ok(table) => table,
        Err(error) => {
            report.error("auth.users_folder", format!("{file}: {error}"));
            return None;
        }
    };
    let inner = Report::default();
    names.file = Some(file.clone());
    let given = Given { name: Some(name_in(path)), source: UserSource::Folder };
    let user = UserConfig::read(Section::root(table, &inner), &given, offered, names);
    report.merge(&file, inner);
    user
}

/// The regular files in the folder, in the order of their names. What a link leads to counts, as Kubernetes mounts them.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_hidden(&entry.file_name()) {
            continue;
        }
        let kind = entry.file_type()?;
        let is_file = if kind.is_symlink() { fs::metadata(entry.path())?.is_file() } else { kind.is_file() };
        if is_file {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The user's name where the file does not say it: the file's own, without an ending that only says what is in it. Any
/// other dot is one of the user's.
fn name_in(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = [".toml", ".yaml", ".yml"].iter().find_map(|ending| name.strip_suffix(ending));
    ending.unwrap_or(&name).to_owned()
}

/// Reports who would need TLS, where it is off: nobody of them could log in.
pub(super) fn forbid_tls_required(limits: &LimitsConfig, users: &[UserConfig], report: &Report) {
    let needs = "needs ftp.tls.mode = \"optional\" or \"required\"";
    if limits.each_user.requires_tls() {
        report.error("limits.each_user.tls_required", needs);
    }
    for user in users.iter().filter(|user| user.profile.limits.requires_tls()) {
        report.error("users", format!("user `{}` has limits.tls_required, which {needs}", user.name));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::config::{Config, ConfigErrors, Environment};

    /// A folder of users with these files, and the configuration that names it.
    fn folder(files: &[(&str, &str)]) -> (TempDir, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a writable folder");
        }
        let path = folder.path().display();
        let text = format!("[stores.a]\nurl = \"memory:///\"\n[auth]\nusers_folder = \"{path}\"\n");
        (folder, text)
    }

    fn parse(text: &str) -> Result<Config, ConfigErrors> {
        Config::parse(text, &Environment::new())
    }

    #[test]
    fn each_file_of_the_folder_is_a_user() {
        let (folder, text) = folder(&[
            ("acme.toml", "password = \"x\"\nhome = \"in\"\n"),
            ("beta.yaml", "password: x\nhome: in\n"),
            ("gamma.yml", "name: other\npassword: x\n"),
            ("john.doe", "password = \"x\"\n"),
            (".hidden", "not TOML"),
        ]);
        fs::create_dir(folder.path().join("nested")).expect("a writable folder");
        fs::create_dir(folder.path().join("..1")).expect("a writable folder");
        fs::write(folder.path().join("..1/linked"), "password = \"x\"\n").expect("a writable folder");
        symlink("..1", folder.path().join("..data")).expect("a writable folder");
        symlink("..data/linked", folder.path().join("linked")).expect("a writable folder");
        let users = parse(&text).expect("valid users").users;
        let home = |user: &UserConfig| user.profile.view.root().expect("a folder").home.to_string();
        let found: Vec<_> = users.iter().map(|user| (user.name.clone(), home(user))).collect();
        let found: Vec<_> = found.iter().map(|(name, home)| (name.as_str(), home.as_str())).collect();
        assert_eq!(found, [("acme", "in"), ("beta", "in"), ("other", ""), ("john.doe", ""), ("linked", "")]);
        assert!(users.iter().all(|user| user.source == UserSource::Folder));
    }

    #[test]
    fn all_mistakes_of_all_sources_come_at_once_with_file_and_key() {
        let (folder, text) = folder(&[
            ("a.toml", "password = \"x\"\nhome = \"..\"\nshoe_size = 45\n"),
            ("b.yaml", "name: main\npassword: x\n"),
            ("c.yaml", "name: a\npassword: [x]\n"),
            ("d.toml", "password ="),
            (" e", "password = \"x\"\n"),
        ]);
        let more = tempfile::tempdir().expect("a temporary folder");
        let (file, htpasswd) = (more.path().join("u.yml"), more.path().join("htpasswd"));
        fs::write(&file, "users:\n- {name: main, password: x}\n- {name: other, pasword: x}\n").expect("ours");
        fs::write(&htpasswd, "other:{SHA}x\nno line\n").expect("a writable folder");
        let text = format!(
            "{text}users_file = \"{}\"\nhtpasswd.file = \"{}\"\nanonymous.profile = \"read-only\"\n\
             [[users]]\nname = \"main\"\npassword = \"x\"\n[[users]]\nname = \"ftp\"\npassword = \"x\"\n",
            file.display(),
            htpasswd.display(),
        );
        let shown = parse(&text).expect_err("mistakes").to_string();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (file, htpasswd) = (file.display().to_string(), htpasswd.display().to_string());
        let expected = [
            format!("{file}: users[0].name: `main` is already the name of users[0]"),
            format!("{file}: users[1].password_hash: one of password_hash, password_file and password"),
            format!("{file}: users[1].pasword: unknown key, did you mean `password`?"),
            format!("{}: name: begins or ends with a space", path(" e")),
            format!("{}: home: must not hold `.` or `..`", path("a.toml")),
            format!("{}: shoe_size: unknown key", path("a.toml")),
            format!("{}: name: `main` is already the name of users[0]", path("b.yaml")),
            format!("{}: name: `a` is already the name of {}", path("c.yaml"), path("a.toml")),
            format!("{}: password: expected a string, found array", path("c.yaml")),
            format!("auth.users_folder: {}: line 1: ", path("d.toml")),
            format!("{htpasswd}: line 1: `other` is already the name of {file}: users[1]"),
            format!("{htpasswd}: line 1: user `other`: is not a supported hash"),
            format!("{htpasswd}: line 2: is no name and hash with a colon between them"),
            "auth.anonymous: `ftp` is already the name of users[1]".to_owned(),
        ];
        assert_eq!(shown.lines().count(), expected.len(), "{shown}");
        for (line, expected) in shown.lines().zip(&expected) {
            assert!(line.starts_with(expected.as_str()), "{line}\n{expected}");
        }
        drop(folder);
        let shown = parse(&text).expect_err("mistakes").to_string();
        assert!(shown.contains("auth.users_folder: ") && shown.contains(": cannot be read: "), "{shown}");
    }
}
