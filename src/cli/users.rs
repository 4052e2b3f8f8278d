//! `bucketport users`: shows, checks and adds users.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use secrecy::SecretString;

use super::amend;
use crate::config::{self, Config, ConfigErrors, NewUser, NewValue, Permission, Permissions, UserConfig};
use crate::hashes::PasswordHash;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Users {
    /// Show the users of all sources but those that are asked, without passwords and hashes
    List {
        /// Those of this users file alone
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check the users and show every mistake
    Check {
        /// Those of this users file alone
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Add a user to a users file; asks for the password, or reads it from standard input
    Add {
        /// The name of the user
        name: String,
        /// A users file in TOML; made if it is not there
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The store, needed where there are several
        #[arg(long)]
        store: Option<String>,
        /// The folder in the store that the user sees as / [default: all of the store]
        #[arg(long)]
        home: Option<String>,
        /// What the user may do, such as list,read [default: everything]
        #[arg(long, value_delimiter = ',')]
        permissions: Vec<String>,
    },
}

/// What `list` shows.
pub(super) fn list(file: Option<&Path>, config: Option<&Config>) -> Result<String, ConfigErrors> {
    Ok(table(&chosen(file, config)?))
}

/// What `check` says of users that are valid.
pub(super) fn check(file: Option<&Path>, config: Option<&Config>) -> Result<String, ConfigErrors> {
    Ok(format!("{} users are valid\n", chosen(file, config)?.len()))
}

/// The users of the file, else those of the configuration.
fn chosen(file: Option<&Path>, config: Option<&Config>) -> Result<Vec<UserConfig>, ConfigErrors> {
    match file {
        Some(file) => config::read_users_file(file, config),
        None => Ok(config.map(|config| config.users.clone()).unwrap_or_default()),
    }
}

/// A user that `add` was told of, without its password.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) store: Option<String>,
    pub(super) home: Option<String>,
    pub(super) permissions: Vec<String>,
}

/// Adds the user to the file, or leaves the file as it is. `password` is asked for only if all else is right.
pub(super) fn add(
    file: &Path,
    wanted: Wanted,
    config: Option<&Config>,
    password: impl FnOnce() -> anyhow::Result<SecretString>,
) -> anyhow::Result<()> {
    let is_toml = file.extension().is_none_or(|ending| ending != "yaml" && ending != "yml");
    anyhow::ensure!(is_toml, "{}: users are added to TOML only", file.display());
    let Wanted { name, store, home, permissions } = wanted;
    let texts = [("store", store), ("home", home)];
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, NewValue::Text(text?))));
    let list = (!permissions.is_empty()).then_some(("permissions", NewValue::List(permissions)));
    let keys = texts.chain(list).collect();
    // Through links, so that what they lead to is replaced and not they.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    // A name that is taken is told before anybody has typed a password twice.
    let mut user = NewUser { name, password_hash: PLACEHOLDER.into(), keys };
    let text = amend::read(&target).with_context(|| format!("cannot read {}", file.display()))?;
    config::with_user(&text.unwrap_or_default(), &user, config)?;
    user.password_hash = PasswordHash::make(&password()?);
    amend::amend(&target, |text| Ok(config::with_user(text, &user, config)?))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// A hash that stands for the one that is made later; it is never written.
const PLACEHOLDER: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

const HEADINGS: [&str; 5] = ["NAME", "SOURCE", "STORE", "HOME", "PERMISSIONS"];

fn table(users: &[UserConfig]) -> String {
    let row = |user: &UserConfig| {
        let view = &user.profile.view;
        let root = view.root();
        [
            user.name.clone(),
            user.source.to_string(),
            root.map_or_else(|| "-".to_owned(), |root| root.store.clone()),
            root.map_or_else(|| "-".to_owned(), |root| format!("/{}", root.home)),
            shown(view.rules("").permissions),
        ]
    };
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned)).chain(users.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("writing to a string cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn shown(permissions: Permissions) -> String {
    if permissions == Permissions::all() {
        return "all".to_owned();
    }
    let held = Permission::ALL.into_iter().filter(|&permission| permissions.contains(permission));
    let names: Vec<_> = held.map(|permission| format!("{permission:?}").to_lowercase()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}
