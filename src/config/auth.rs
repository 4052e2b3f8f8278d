//! `[auth]`: where more users are kept.

use std::path::PathBuf;

use super::section::Section;

/// `[auth]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// A file with more `[[users]]`, read again when it changes. A relative path is taken from the working
    /// directory.
    pub users_file: Option<PathBuf>,
}

impl AuthConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let users_file = section.field("users_file", PathBuf::new());
        section.finish();
        Self { users_file: Some(users_file).filter(|path| !path.as_os_str().is_empty()) }
    }
}
