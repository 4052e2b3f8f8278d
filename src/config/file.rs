//! A TOML file as a table.

use std::path::Path;

use toml::Table;

use super::section::one_line;

/// The file's table; the message says the line of a mistake in the syntax but not its text, which may be secret.
pub(super) fn read_table(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    parse_table(&text)
}

pub(super) fn parse_table(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        format!("line {line}: {}", one_line(error.message()))
    })
}
