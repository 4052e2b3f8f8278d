//! Where a user's password comes from.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::section::Section;
use super::value::SecretText;
use crate::hashes::{PasswordHash, is_like_hash};

/// Where a user's password comes from.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// A hash in the configuration; of a supported kind.
    Hash(SecretString),
    /// A file that holds a hash or a plain password. A relative path is taken from the working directory.
    File(PathBuf),
    /// The password itself.
    Plain(SecretString),
}

/// What a given password is compared with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A hash.
    Hash(PasswordHash),
    /// The password itself; not empty.
    Plain(SecretString),
}

const KEYS: [&str; 3] = ["password_hash", "password_file", "password"];

impl PasswordSource {
    /// Whether there is anything to read.
    pub(super) fn is_given(section: &Section<'_>) -> bool {
        KEYS.iter().any(|key| section.has(key))
    }

    /// Reads exactly one of `password_hash`, `password_file` and `password`.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let given: Vec<&str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
        let hash = section.optional::<SecretText>("password_hash").map(|hash| Self::Hash(hash.0));
        let file = section.optional::<PathBuf>("password_file").map(Self::File);
        let plain = section.optional::<SecretText>("password").map(|password| Self::Plain(password.0));
        let [key] = given[..] else {
            let (key, message) = match given.get(1) {
                Some(second) => (*second, "only one of password_hash, password_file and password"),
                None => (
                    KEYS[0],
                    "one of password_hash, password_file and password is required, or client_certificate",
                ),
            };
            section.error(key, message);
            return None;
        };
        let source = hash.or(file).or(plain)?;
        if let Self::File(path) = &source {
            section.report().looks_at(path);
        }
        if let Err(message) = source.credential() {
            section.error(key, message);
        }
        Some(source)
    }

    /// The credential as it is now; a file is read anew. The message of an error holds no secret.
    pub fn credential(&self) -> Result<Credential, String> {
        match self {
            Self::Hash(hash) => PasswordHash::parse(hash).map(Credential::Hash),
            Self::File(path) => read_file(path),
            Self::Plain(password) if password.expose_secret().is_empty() => Err("is empty".to_owned()),
            Self::Plain(password) if is_like_hash(password.expose_secret()) => {
                Err("looks like a hash, which belongs in password_hash".to_owned())
            }
            Self::Plain(password) => Ok(Credential::Plain(password.clone())),
        }
    }
}

fn read_file(path: &Path) -> Result<Credential, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let content = SecretString::from(text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r'));
    match content.expose_secret() {
        "" => Err(format!("{shown} is empty")),
        text if is_like_hash(text) => {
            let hash =
                PasswordHash::parse(&content).map_err(|error| format!("the hash in {shown} {error}"))?;
            Ok(Credential::Hash(hash))
        }
        _ => Ok(Credential::Plain(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn in_file(content: &str) -> Result<Credential, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("a writable file");
        PasswordSource::File(file.path().to_owned()).credential()
    }

    #[test]
    fn a_file_loses_one_line_end() {
        for (content, password) in [("a b\n", "a b"), ("a\r\n", "a"), (" a ", " a "), ("$ign", "$ign")] {
            let Ok(Credential::Plain(read)) = in_file(content) else { panic!("{content:?} is a password") };
            assert_eq!(read.expose_secret(), password);
        }
        assert!(matches!(in_file(&format!("{BCRYPT}\n")), Ok(Credential::Hash(_))));
    }

    /// Otherwise who has read the file could log in with the hash itself.
    #[test]
    fn an_unsupported_hash_is_never_a_plain_password() {
        for hash in ["$6$salt$digest", "$argon2id$v=19$broken", "$pbkdf2-sha256$29000$salt$digest"] {
            let message = in_file(hash).expect_err("not a password");
            assert!(!message.contains(hash), "{message}");
            assert!(PasswordSource::Plain(hash.into()).credential().is_err());
        }
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let missing = PasswordSource::File("/nowhere/acme".into()).credential().expect_err("no such file");
        assert!(missing.starts_with("cannot read /nowhere/acme: "), "{missing}");
        assert!(in_file("\n").expect_err("no password").ends_with("is empty"));
    }
}
