//! Environment variables laid over the file: `BUCKETPORT_FTP__PASSIVE_HOST` sets `ftp.passive_host`.
//!
//! Only names with a double underscore count, because Kubernetes puts `BUCKETPORT_SERVICE_HOST` and the like
//! into the environment of every pod beside a service of that name.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::error::{Override, Report};

/// The variables that matter to the configuration, by name.
pub type Environment = BTreeMap<String, String>;

const PREFIX: &str = "BUCKETPORT_";
const SEPARATOR: &str = "__";

/// This process's variables whose names begin with `BUCKETPORT_`.
///
/// A value that is not UTF-8 has its bad bytes replaced, so that it fails where it is read instead of being
/// passed over in silence.
pub(super) fn of_process() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| name.starts_with(PREFIX))?;
            Some((name.to_owned(), value.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Puts every override into `table`, as text: the key's type decides later whether the text itself is meant
/// or the TOML value that it spells.
pub(super) fn overlay(table: Table, environment: &Environment, report: &mut Report) -> Table {
    let mut root = Value::Table(table);
    for (variable, text) in environment {
        let Some(path) = variable.strip_prefix(PREFIX).filter(|path| path.contains(SEPARATOR)) else {
            continue;
        };
        let path = path.to_ascii_lowercase();
        let segments: Vec<&str> = path.split(SEPARATOR).collect();
        match place(&mut root, String::new(), &segments, text) {
            Ok(key) => report.note_override(Override { key, variable: variable.clone() }),
            Err(message) => report.error(variable, message),
        }
    }
    match root {
        Value::Table(table) => table,
        _ => unreachable!("an override has at least two segments, so it never replaces the root"),
    }
}

/// Sets the value at `segments` below `here`; returns the key's path in the form that errors use.
fn place(here: &mut Value, path: String, segments: &[&str], text: &str) -> Result<String, String> {
    let Some((first, rest)) = segments.split_first() else {
        *here = Value::String(text.to_owned());
        return Ok(path);
    };
    if first.is_empty() {
        return Err("the name has an empty part".to_owned());
    }
    match here {
        Value::Table(table) => {
            let inner = table.entry(*first).or_insert_with(|| empty(&path, first));
            place(inner, join(&path, first), rest, text)
        }
        Value::Array(items) => {
            let index = first.parse::<usize>().ok();
            if index == Some(items.len()) {
                items.push(Value::Table(Table::new()));
            }
            let item = index.and_then(|index| items.get_mut(index));
            let item = item.ok_or_else(|| format!("`{path}` has no element `{first}`"))?;
            place(item, format!("{path}[{first}]"), rest, text)
        }
        _ => Err(format!("`{path}` is a single value, nothing can be set inside it")),
    }
}

/// What a key holds before the environment sets something in it: a table, or one of the lists of tables, so that
/// `BUCKETPORT_USERS__0__NAME` works without a file.
fn empty(path: &str, key: &str) -> Value {
    let is_list = path.is_empty() && matches!(key, "users" | "events");
    if is_list { Value::Array(Vec::new()) } else { Value::Table(Table::new()) }
}

/// `ftp` and `listen` become `ftp.listen`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(text: &str, environment: &[(&str, &str)]) -> (String, Vec<String>) {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(pair).collect();
        let mut report = Report::default();
        let table = overlay(text.parse().expect("TOML"), &environment, &mut report);
        (table.to_string(), report.into_errors().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_are_made_as_needed() {
        let (table, mistakes) = overlaid("", &[("BUCKETPORT_STORES__A__OPTIONS__AWS_REGION", "x")]);
        assert_eq!(table, "[stores.a.options]\naws_region = \"x\"\n");
        assert_eq!(mistakes, [""; 0]);
    }

    #[test]
    fn users_are_counted_from_0_and_can_be_added() {
        let environment = [
            ("BUCKETPORT_USERS__0__NAME", "changed"),
            ("BUCKETPORT_USERS__1__NAME", "added"),
            ("BUCKETPORT_USERS__3__NAME", "too far"),
        ];
        let (table, mistakes) = overlaid("[[users]]\nname = \"a\"\n", &environment);
        assert_eq!(table, "[[users]]\nname = \"changed\"\n\n[[users]]\nname = \"added\"\n");
        assert_eq!(mistakes, ["BUCKETPORT_USERS__3__NAME: `users` has no element `3`"]);
        let (table, _) = overlaid("", &[("BUCKETPORT_USERS__0__NAME", "only")]);
        assert_eq!(table, "[[users]]\nname = \"only\"\n");
    }

    #[test]
    fn nothing_is_set_inside_a_single_value() {
        let (_, mistakes) = overlaid("ftp = 1", &[("BUCKETPORT_FTP__LISTEN", "x")]);
        assert_eq!(
            mistakes,
            ["BUCKETPORT_FTP__LISTEN: `ftp` is a single value, nothing can be set inside it"]
        );
    }
}
