//! A path as the client sees it: absolute and normal, so that no `..` is left to lead anywhere.

use std::fmt;

/// An absolute path without `.`, `..` or empty segments. The root is `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualPath(String);

/// Why a string is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No object can have it in its name, and no reply could show it.
    #[error("control characters are not allowed in file names")]
    ControlCharacter,
}

impl VirtualPath {
    /// `/`, the user's home.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// What `path` means to a client whose working directory is `self`. `..` at the root stays at the root.
    pub fn resolve(&self, path: &str) -> Result<Self, PathError> {
        if path.chars().any(char::is_control) {
            return Err(PathError::ControlCharacter);
        }
        let mut segments: Vec<&str> =
            if path.starts_with('/') { Vec::new() } else { self.segments().collect() };
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    segments.pop();
                }
                name => segments.push(name),
            }
        }
        Ok(Self(format!("/{}", segments.join("/"))))
    }

    /// The directory that holds it; the root holds itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            None | Some(("", _)) => Self::root(),
            Some((parent, _)) => Self(parent.to_owned()),
        }
    }

    /// The last segment; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// It in quotes, with its own quotes doubled, as 257 shows it (RFC 959 appendix II).
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }

    /// It, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It, without its leading slash: the path below the user's home.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// Its segments from the root on.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }
}

impl fmt::Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(from: &str, path: &str) -> String {
        let from = VirtualPath::root().resolve(from).expect("plain");
        from.resolve(path).expect("plain").to_string()
    }

    #[test]
    fn paths_become_normal() {
        for (from, path, expected) in [
            ("/", "a", "/a"),
            ("/a/b", "..", "/a"),
            ("/a/b", "../../..", "/"),
            ("/a", "/x//y/./z/..", "/x/y"),
            ("/a", "", "/a"),
            ("/a", " b ", "/a/ b "),
            ("/a", "...", "/a/..."),
            ("/", "é/#/%2e%2e", "/é/#/%2e%2e"),
        ] {
            assert_eq!(resolve(from, path), expected, "{path:?} from {from:?}");
        }
        assert_eq!(VirtualPath::root().resolve("a\rb"), Err(PathError::ControlCharacter));
    }

    #[test]
    fn quotes_in_names_are_doubled() {
        let path = VirtualPath::root().resolve("a \"b\"").expect("plain");
        assert_eq!(path.quoted(), "\"/a \"\"b\"\"\"");
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_root(from in "[a./]{0,12}", path in "[a./ ]{0,20}") {
            let resolved = resolve(&from, &path);
            prop_assert!(resolved.starts_with('/'));
            prop_assert!(resolved == "/" || !resolved.ends_with('/'));
            prop_assert!(resolved.split('/').skip(1).all(|s| s != ".." && s != "." && (!s.is_empty() || resolved == "/")));
            prop_assert_eq!(&resolve("/", &resolved), &resolved);
        }
    }
}
