//! The users with series of their own.

use std::collections::BTreeSet;

use crate::config::OTHER_USERS;

/// The names that the configuration lists.
#[derive(Debug, Default)]
pub(super) struct Listed(BTreeSet<String>);

impl Listed {
    pub(super) fn new(names: BTreeSet<String>) -> Self {
        Self(names)
    }

    /// How series name this user.
    pub(super) fn label<'n>(&self, name: &'n str) -> &'n str {
        if self.0.contains(name) { name } else { OTHER_USERS }
    }

    /// All names that series can have.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).chain([OTHER_USERS])
    }
}
