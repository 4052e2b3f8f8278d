//! A file as a table: TOML, or what means the same in YAML.

use std::path::Path;

use serde_saphyr::Error;
use toml::Table;

use super::section::one_line;

/// The file's table, which is YAML where its name ends so, else TOML; the message says the line of a mistake in the syntax
/// but not its text, which may be secret.
pub(super) fn read_users_table(path: &Path) -> Result<Table, String> {
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if is_yaml { parse_yaml(&read(path)?) } else { read_table(path) }
}

/// The same for a file that can only be TOML.
pub(super) fn read_table(path: &Path) -> Result<Table, String> {
    parse_table(&read(path)?)
}

/// The file's text.
pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

pub(super) fn parse_table(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        format!("line {line}: {}", one_line(error.message()))
    })
}

/// Enough for some hundred thousand users; the parser's own bounds are reached by 20,000.
const MOST: usize = 20_000_000;
/// Bytes of text in the values.
const MOST_TEXT: usize = 1 << 30;

fn parse_yaml(text: &str) -> Result<Table, String> {
    // An empty document is null, but an empty file has no users in either language.
    if text.lines().all(|line| line.is_empty() || line.starts_with('#')) {
        return Ok(Table::new());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: MOST,
            max_nodes: MOST,
            max_total_scalar_bytes: MOST_TEXT,
        },
        // A user may be called `no`.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let what = match error.without_snippet() {
            Error::Message { msg, .. } => one_line(msg),
            Error::DuplicateMappingKey { .. } => "a key is there twice".to_owned(),
            // Others may repeat the text, as that of a password which begins with an asterisk.
            _ => "is not valid YAML, is a value to be in quotes?".to_owned(),
        };
        format!("line {line}: {what}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_means_what_toml_means() {
        let yaml = "# users\nusers:\n  - name: acme\n    password: \"x\"\n    permissions: [list, read]\n  - name: no\n\
                    \x20   home: |-\n      a\n    hidden: false\n    size: 12\n";
        let toml = "[[users]]\nname = 'acme'\npassword = 'x'\npermissions = ['list', 'read']\n\
                    [[users]]\nname = 'no'\nhome = 'a'\nhidden = false\nsize = 12\n";
        assert_eq!(parse_yaml(yaml), parse_table(toml));
        for nothing in ["", "\n", "# nothing\n"] {
            assert_eq!(parse_yaml(nothing), Ok(Table::new()), "{nothing:?}");
        }
    }

    #[test]
    fn a_mistake_in_yaml_has_its_line_and_not_its_text() {
        for (text, line) in [
            ("a: 1\nb: [1\n", ""),
            ("a: 1\na: 2\n", "line 2: a key is there twice"),
            ("a:\n  - b: *hunter2\n", "line 2: is not valid YAML"),
            ("a: 1\nb: null\n", "line 2: "),
            ("a: !!int hunter2\n", "line 1: "),
            ("- hunter2\n", "line 1: "),
        ] {
            let message = parse_yaml(text).expect_err(text);
            assert!(message.starts_with(line) && message.starts_with("line "), "{text}: {message}");
            assert!(!message.contains("hunter2") && !message.contains('\n'), "{text}: {message}");
        }
    }

    /// As many as a gateway is to start with, with more keys than most have.
    #[test]
    fn a_long_list_in_yaml_is_no_bomb() {
        use std::fmt::Write;
        let mut text = "users:\n".to_owned();
        for number in 0..50_000 {
            let user = write!(
                text,
                "- name: u{number}\n  password: x\n  home: h\n  store: s\n  on_control_lost: keep\n"
            );
            user.expect("writing to a string cannot fail");
        }
        let table = parse_yaml(&text).expect("YAML");
        assert_eq!(table["users"].as_array().map(Vec::len), Some(50_000));
    }
}
