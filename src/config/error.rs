//! Every mistake in a configuration, each with the path of its key, so that one run shows them all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::watched::Watched;

/// One mistake: where it is, and what is wrong there. The message never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigError {
    /// The key's path, such as `ftp.listen` or `users[0].password_hash`; a file's path when the mistake
    /// concerns a whole file.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
}

impl ConfigError {
    /// A mistake at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// All mistakes that were found; shown one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// A key that the environment has set, and the variable that did it.
pub(super) struct Override {
    pub(super) key: String,
    pub(super) variable: String,
}

/// Collects mistakes while the sections are read, and the files that were looked at for users; knows which keys the
/// environment has set.
#[derive(Default)]
pub(super) struct Report {
    errors: RefCell<Vec<ConfigError>>,
    files: RefCell<Watched>,
    /// Environment variables by the path of the key that they set.
    overrides: BTreeMap<String, String>,
}

impl Report {
    /// Notes a mistake, and the environment variable when the value came from one.
    pub(super) fn error(&self, key: impl Into<String>, message: impl fmt::Display) {
        let key = key.into();
        let message = match self.overrides.get(&key) {
            Some(variable) => format!("{message} (set by {variable})"),
            None => message.to_string(),
        };
        self.errors.borrow_mut().push(ConfigError { key, message });
    }

    /// Takes over mistakes of keys that have none yet.
    pub(super) fn add_new(&self, errors: Vec<ConfigError>) {
        let mut known = self.errors.borrow_mut();
        let new = |error: &ConfigError| !known.iter().any(|known| known.key == error.key);
        let new: Vec<_> = errors.into_iter().filter(new).collect();
        known.extend(new);
    }

    /// Takes over what another file has, with that file's name in front of each key.
    pub(super) fn merge(&self, file: &str, other: Report) {
        let Self { errors, files, .. } = other;
        let errors = errors.into_inner().into_iter();
        let prefixed = errors.map(|error| ConfigError::new(format!("{file}: {}", error.key), error.message));
        self.errors.borrow_mut().extend(prefixed);
        self.files.borrow_mut().append(files.into_inner());
    }

    /// Notes a file or a folder that users come from, before it is read, and whether or not it can be.
    pub(super) fn looks_at(&self, path: &Path) {
        self.files.borrow_mut().add(path);
    }

    /// The files and folders that were noted; they are told once.
    pub(super) fn take_files(&self) -> Watched {
        self.files.take()
    }

    pub(super) fn note_override(&mut self, set: Override) {
        self.overrides.insert(set.key, set.variable);
    }

    pub(super) fn is_override(&self, key: &str) -> bool {
        self.overrides.contains_key(key)
    }

    /// The environment variable that set `key` or something inside it.
    pub(super) fn override_within(&self, key: &str) -> Option<&str> {
        let inside = |path: &str| {
            path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.overrides.iter().find(|(path, _)| inside(path)).map(|(_, variable)| variable.as_str())
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }

    /// The value when nothing was wrong, else every mistake.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        let errors = self.into_errors();
        if errors.is_empty() { Ok(value) } else { Err(ConfigErrors(errors)) }
    }
}
