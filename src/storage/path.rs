//! The key of an object: a store's prefix and a path below it, byte for byte in UTF-8.

use object_store::path::Path;

use super::error::{Error, Result};

/// The longest key that S3, GCS and Azure all take, in bytes of UTF-8.
const MAX_KEY: usize = 1024;

/// A key (or, for a directory, a key prefix without its final `/`) that every store can hold.
///
/// Made with `Path::parse`, never with `Path::from`: the latter percent-encodes `é # ? * ~`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(Path);

impl StorePath {
    /// The store's own root.
    pub fn root() -> Self {
        Self(Path::default())
    }

    /// `relative`, whose segments are separated by `/`, below `self`. The empty string is `self`.
    pub fn join(&self, relative: &str) -> Result<Self> {
        if relative.is_empty() {
            return Ok(self.clone());
        }
        let key = if self.is_root() { relative.to_owned() } else { format!("{}/{relative}", self.0) };
        if key.len() > MAX_KEY {
            return Err(Error::NameNotAllowed("longer than 1024 bytes"));
        }
        let path =
            Path::parse(&key).map_err(|_| Error::NameNotAllowed("not a name that the store can hold"))?;
        // `parse` drops a leading and a trailing slash, which would make two names one.
        if path.as_ref() != key {
            return Err(Error::NameNotAllowed("empty segments cannot be stored"));
        }
        Ok(Self(path))
    }

    /// The directory that holds it; the root holds itself.
    pub(super) fn parent(&self) -> Self {
        let parent = self.0.as_ref().rsplit_once('/').map_or("", |(parent, _)| parent);
        // Every part of it is one of ours already.
        Self(Path::parse(parent).unwrap_or_default())
    }

    /// Whether this is the store's own root.
    pub fn is_root(&self) -> bool {
        self.0.as_ref().is_empty()
    }

    /// The last segment; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.as_ref().rsplit('/').next().unwrap_or_default()
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// For calls to the object store.
    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// The string that all keys below this directory begin with: empty for the root, else with a final `/`.
    pub(super) fn as_prefix(&self) -> String {
        if self.is_root() { String::new() } else { format!("{}/", self.0) }
    }
}

impl std::fmt::Display for StorePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_byte_for_byte() {
        let home = StorePath::root().join("acme/in").expect("plain names");
        for name in ["é.txt", "a#b", "a?b*c", "~x", " lead and trail ", "100%.csv", "%41", "🐟", "a\\b", "-l"]
        {
            assert_eq!(home.join(name).expect(name).as_str(), format!("acme/in/{name}"));
        }
    }

    #[test]
    fn what_no_store_holds_is_refused() {
        for name in ["a//b", "a/../b", ".", "..", "/a", "a/", "new\nline", "nul\0"] {
            assert!(matches!(StorePath::root().join(name), Err(Error::NameNotAllowed(_))), "{name:?}");
        }
        assert!(matches!(StorePath::root().join(&"x".repeat(1025)), Err(Error::NameNotAllowed(_))));
    }
}
