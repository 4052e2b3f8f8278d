//! A users file on its own, for whoever looks after it: read without the configuration that names it, and added to.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};
use toml_edit::{ArrayOfTables, DocumentMut, Item, value};

use super::Config;
use super::error::{ConfigError, ConfigErrors, Report};
use super::file::{parse_table, read_users_table};
use super::section::Section;
use super::tls::{CertificateNeed, ClientCa};
use super::users::{Names, Offered, UserConfig, UserSource};

/// A user that is to be added to a file.
#[derive(Debug)]
pub struct NewUser {
    /// The name given with USER.
    pub name: String,
    /// A hash of the password.
    pub password_hash: SecretString,
    /// The other keys that are to be set.
    pub keys: Vec<(&'static str, NewValue)>,
}

/// A value of a new user's key.
#[derive(Clone, Debug)]
pub enum NewValue {
    /// One text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// The users in the file, or every mistake in it.
///
/// With a `config` they are judged by its stores. Without one any store may be meant, and a certificate may be asked for.
pub fn read_users_file(path: &Path, config: Option<&Config>) -> Result<Vec<UserConfig>, ConfigErrors> {
    let shown = path.display().to_string();
    let table = read_users_table(path).map_err(|error| ConfigError::new(shown, error))?;
    read(table, config)
}

/// The text of a users file in TOML with one more user in it; everything else in it stays as it is.
///
/// The name is nobody's in it, and the whole is valid, or it is an error.
pub fn with_user(text: &str, user: &NewUser, config: Option<&Config>) -> Result<String, ConfigErrors> {
    // Mistakes that are there already are told first, and with a better message.
    let table = parse_table(text).map_err(|error| ConfigError::new("the file", error))?;
    let known = read(table, config)?;
    let elsewhere = config.into_iter().flat_map(|config| &config.users);
    if known.iter().chain(elsewhere).any(|known| known.name == user.name) {
        return Err(ConfigError::new("name", format!("there is a user `{}` already", user.name)).into());
    }
    let mut document: DocumentMut =
        text.parse().map_err(|_| ConfigError::new("the file", "is not TOML that can be added to"))?;
    let users = document.entry("users").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(users) = users.as_array_of_tables_mut() else {
        return Err(ConfigError::new("users", "is not written as [[users]], which can be added to").into());
    };
    let mut entry = toml_edit::Table::new();
    entry.insert("name", value(&user.name));
    entry.insert("password_hash", value(user.password_hash.expose_secret()));
    for (key, given) in &user.keys {
        entry.insert(
            key,
            match given {
                NewValue::Text(text) => value(text),
                NewValue::List(items) => value(items.iter().collect::<toml_edit::Array>()),
            },
        );
    }
    if !text.trim().is_empty() {
        entry.decor_mut().set_prefix("\n");
    }
    users.push(entry);
    let text = document.to_string();
    let table = parse_table(&text).map_err(|error| ConfigError::new("the new file", error))?;
    read(table, config)?;
    Ok(text)
}

fn read(table: Table, config: Option<&Config>) -> Result<Vec<UserConfig>, ConfigErrors> {
    let report = Report::default();
    let (stores, asked);
    let offered = if let Some(config) = config {
        stores = config.stores.keys().cloned().collect();
        let client_ca = config.ftp.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        Offered { stores: &stores, client_ca }
    } else {
        stores = stores_in(&table);
        asked = ClientCa { file: "/any".into(), need: CertificateNeed::Optional };
        Offered { stores: &stores, client_ca: Some(&asked) }
    };
    let mut root = Section::root(table, &report);
    let sections = root.sections("users");
    root.finish();
    let users = UserConfig::read_all(sections, UserSource::File, offered, &mut Names::default());
    report.finish(users)
}

/// All stores that are named anywhere: who names none then means the only one there is.
fn stores_in(table: &Table) -> BTreeSet<String> {
    fn look(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Table(table) => table.iter().for_each(|(key, value)| match value {
                Value::String(name) if key == "store" => {
                    found.insert(name.clone());
                }
                value => look(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| look(item, found)),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    table.values().for_each(|value| look(value, &mut found));
    if found.is_empty() {
        found.insert("(the only one)".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn new(name: &str, keys: Vec<(&'static str, NewValue)>) -> NewUser {
        NewUser { name: name.to_owned(), password_hash: HASH.into(), keys }
    }

    #[test]
    fn a_user_is_added_and_comments_stay() {
        let text = "# Ours.\n\n[[users]]\nname = 'a' # first\npassword = \"x\"   # not good\n# the end\n";
        let keys = vec![
            ("home", NewValue::Text("in".to_owned())),
            ("permissions", NewValue::List(vec!["list".to_owned(), "read".to_owned()])),
        ];
        let added = with_user(text, &new("b", keys), None).expect("valid");
        let expected = format!(
            "{}\n[[users]]\nname = \"b\"\npassword_hash = \"{HASH}\"\nhome = \"in\"\n\
             permissions = [\"list\", \"read\"]\n# the end\n",
            text.trim_end_matches("# the end\n")
        );
        assert_eq!(added, expected);
        let first = with_user("", &new("b", Vec::new()), None).expect("valid");
        assert_eq!(first, format!("[[users]]\nname = \"b\"\npassword_hash = \"{HASH}\"\n"));
    }

    #[test]
    fn what_is_wrong_before_or_after_is_refused() {
        let file = "[[users]]\nname = \"a\"\npassword = \"x\"\nstore = \"s\"\n";
        let refused = |text: &str, user: &NewUser| with_user(text, user, None).expect_err(text).to_string();
        assert_eq!(refused(file, &new("a", Vec::new())), "name: there is a user `a` already");
        assert_eq!(refused(file, &new(" a", Vec::new())), "users[1].name: begins or ends with a space");
        assert!(refused("[[users]\n", &new("b", Vec::new())).starts_with("the file: line 1: "));
        let inline = "users = [{ name = \"a\", password = \"x\" }]\n";
        assert!(refused(inline, &new("b", Vec::new())).starts_with("users: is not written as [[users]]"));
        let broken = "[[users]]\nname = \"a\"\npassword = \"\"\n";
        assert_eq!(refused(broken, &new("b", Vec::new())), "users[0].password: is empty");
        let text = |text: &str| NewValue::Text(text.to_owned());
        assert!(refused(file, &new("b", vec![("home", text(".."))])).starts_with("users[1].home: "));
        let two = with_user(file, &new("b", vec![("store", text("t"))]), None).expect("valid");
        let required = "users[2].store: is required, because there is more than one store";
        assert_eq!(refused(&two, &new("c", Vec::new())), required);
    }
}
