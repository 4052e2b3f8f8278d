//! Reads one table of the configuration key by key; what nobody asked for is an unknown key.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::environment::join;
use super::error::Report;

/// A table that is being read. Values are taken out as they are read, and [`Section::finish`] reports the rest.
///
/// A bad value is reported and then replaced by its default, so that reading goes on and finds the other
/// mistakes; the report decides at the end that the result is not used.
#[must_use = "call `finish` so that unknown keys are reported"]
pub(super) struct Section<'r> {
    table: Table,
    path: String,
    asked: Vec<&'static str>,
    report: &'r Report,
}

impl<'r> Section<'r> {
    /// The whole file.
    pub(super) fn root(table: Table, report: &'r Report) -> Self {
        Self::at(table, String::new(), report)
    }

    fn at(table: Table, path: String, report: &'r Report) -> Self {
        Self { table, path, asked: Vec::new(), report }
    }

    /// The path of a key of this section, as errors show it.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// This section's own path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the key is there and not yet read.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether nothing is there that was not read.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &Table {
        &self.table
    }

    /// Puts a value where the file has none.
    pub(super) fn supply(&mut self, key: &str, value: impl Into<Value>) {
        self.table.insert(key.to_owned(), value.into());
    }

    /// Reports a mistake at a key of this section.
    pub(super) fn error(&self, key: &str, message: impl std::fmt::Display) {
        self.report.error(self.path_of(key), message);
    }

    /// Where mistakes of this section go.
    pub(super) fn report(&self) -> &'r Report {
        self.report
    }

    /// The value, or `default` when the key is absent.
    pub(super) fn field<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value, if the key is there and right.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        self.convert(key, value)
    }

    /// The value; its absence is a mistake.
    pub(super) fn required<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        if !self.has(key) {
            self.asked.push(key);
            self.error(key, "is required");
            return None;
        }
        self.optional(key)
    }

    /// The value, which `check` must accept; else the mistake is what `check` says.
    pub(super) fn checked<T: DeserializeOwned + Clone>(
        &mut self,
        key: &'static str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let value = self.field(key, default.clone());
        match check(&value) {
            Ok(()) => value,
            Err(message) => {
                self.error(key, message);
                default
            }
        }
    }

    /// The table below `key`; an absent one reads as empty, so that all its defaults apply.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'r> {
        let table = self.take(key).and_then(|value| self.convert(key, value));
        Section::at(table.unwrap_or_default(), self.path_of(key), self.report)
    }

    /// The tables of the array below `key`, for `[[users]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'r>> {
        let items: Vec<Value> = self.field(key, Vec::new());
        let sections = items.into_iter().enumerate().filter_map(|(index, item)| {
            let path = format!("{}[{index}]", self.path_of(key));
            match item {
                Value::Table(table) => Some(Section::at(table, path, self.report)),
                other => {
                    self.report.error(path, format!("expected a table, found {}", other.type_str()));
                    None
                }
            }
        });
        sections.collect()
    }

    /// Every key as a table of its own, for sections whose keys are names that the operator chose.
    pub(super) fn into_named_sections(self) -> Vec<(String, Section<'r>)> {
        let names: Vec<String> = self.table.keys().cloned().collect();
        let report = self.report;
        let read = |name: String| {
            let table = self.convert(&name, self.table[&name].clone())?;
            Some((name.clone(), Section::at(table, self.path_of(&name), report)))
        };
        names.into_iter().filter_map(read).collect()
    }

    /// Every key as a value of one type, for tables whose keys are checked elsewhere.
    pub(super) fn into_fields<T: DeserializeOwned>(self) -> BTreeMap<String, T> {
        let read = |(key, value): (&String, &Value)| Some((key.clone(), self.convert(key, value.clone())?));
        self.table.iter().filter_map(read).collect()
    }

    /// Reports every key that was not read.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let path = self.path_of(key);
            let hint = match self.asked.iter().find(|known| is_near(key, known)) {
                Some(known) => format!("unknown key, did you mean `{known}`?"),
                None => "unknown key".to_owned(),
            };
            match self.report.override_within(&path) {
                Some(variable) if !self.report.is_override(&path) => {
                    self.report.error(path, format!("{hint} (set by {variable})"));
                }
                _ => self.report.error(path, hint),
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }

    /// The value as its type, or a report of why not. Text from the environment is tried as it stands, then as
    /// the TOML value that it spells: `BUCKETPORT_FTP__MAX_CONNECTIONS=50` is a number.
    fn convert<T: DeserializeOwned>(&self, key: &str, value: Value) -> Option<T> {
        let path = self.path_of(key);
        let literal = match &value {
            Value::String(text) if self.report.is_override(&path) => text.parse::<Value>().ok(),
            _ => None,
        };
        let result = value.try_into().or_else(|error| match literal {
            Some(literal) => literal.try_into(),
            None => Err(error),
        });
        result.map_err(|error: toml::de::Error| self.report.error(path, for_operators(error.message()))).ok()
    }
}

/// A parser's message without line breaks, so that one mistake stays one line.
pub(super) fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

/// The message of a failed conversion without the names of Rust's types.
fn for_operators(message: &str) -> String {
    let words = [
        ("expected usize", "expected a whole number"),
        ("expected u16", "expected a whole number up to 65535"),
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("a map", "a table"),
        ("map,", "a table,"),
    ];
    words.iter().fold(one_line(message), |message, (from, to)| message.replace(from, to))
}

/// Whether one letter was added, left out or changed (or `-` written for `_`).
fn is_near(given: &str, known: &str) -> bool {
    let given = given.to_lowercase().replace('-', "_");
    let common = given.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
    let (given, known) = (&given.as_bytes()[common..], &known.as_bytes()[common..]);
    let skip = |text: &[u8]| text.get(1..).unwrap_or_default().to_vec();
    given == known || skip(given) == known || given == skip(known) || skip(given) == skip(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, work: impl FnOnce(Section<'_>)) -> Vec<String> {
        let report = Report::default();
        work(Section::root(text.parse().expect("TOML"), &report));
        report.into_errors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reading_goes_on_after_a_mistake() {
        let mistakes = read("a = 1\nb = 'x'\n[c]\nd = true", |mut section| {
            assert_eq!(section.field("a", String::new()), "");
            assert_eq!(section.field("b", 7_u16), 7);
            assert_eq!(section.required::<u16>("missing"), None);
            let mut inner = section.section("c");
            assert_eq!(inner.optional::<u16>("d"), None);
            inner.finish();
            section.finish();
        });
        let expected = [
            "a: invalid type: integer `1`, expected a string",
            "b: invalid type: string \"x\", expected a whole number up to 65535",
            "missing: is required",
            "c.d: invalid type: boolean `true`, expected a whole number up to 65535",
        ];
        assert_eq!(mistakes, expected);
    }

    #[test]
    fn a_section_must_be_a_table() {
        let mistakes = read("a = 1\nb = [2]\nc = 3", |mut section| {
            section.section("a").finish();
            assert!(section.sections("b").is_empty());
            assert!(section.sections("c").is_empty());
            section.finish();
        });
        let expected = [
            "a: invalid type: integer `1`, expected a table",
            "b[0]: expected a table, found integer",
            "c: invalid type: integer `3`, expected a list",
        ];
        assert_eq!(mistakes, expected);
    }

    #[test]
    fn near_misses_are_recognised() {
        for given in ["passive_ports", "pasive_ports", "passive_portss", "passive-ports", "Passive_Ports"] {
            assert!(is_near(given, "passive_ports"), "{given}");
        }
        for given in ["ports", "passive_host", "", "x"] {
            assert!(!is_near(given, "passive_ports"), "{given}");
        }
    }
}
