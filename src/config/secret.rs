//! Where a user's password comes from, and which hashes of passwords can be verified.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::section::Section;
use super::value::SecretText;

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
    /// A hash of a supported kind.
    Hash(SecretString),
    /// The password itself; not empty.
    Plain(SecretString),
}

impl PasswordSource {
    /// Reads exactly one of `password_hash`, `password_file` and `password`.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let keys = ["password_hash", "password_file", "password"];
        let given: Vec<&str> = keys.into_iter().filter(|key| section.has(key)).collect();
        let hash = section.optional::<SecretText>("password_hash").map(|hash| Self::Hash(hash.0));
        let file = section.optional::<PathBuf>("password_file").map(Self::File);
        let plain = section.optional::<SecretText>("password").map(|password| Self::Plain(password.0));
        let [key] = given[..] else {
            let one_of = "exactly one of password_hash, password_file and password is required";
            section.error(given.get(1).copied().unwrap_or(keys[0]), one_of);
            return None;
        };
        let source = hash.or(file).or(plain)?;
        if let Err(message) = source.credential() {
            section.error(key, message);
        }
        Some(source)
    }

    /// The credential as it is now; a file is read anew. The message of an error holds no secret.
    pub fn credential(&self) -> Result<Credential, String> {
        match self {
            Self::Hash(hash) => {
                check_hash(hash.expose_secret())?;
                Ok(Credential::Hash(hash.clone()))
            }
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
        hash if is_like_hash(hash) => {
            check_hash(hash).map_err(|error| format!("the hash in {shown} {error}"))?;
            Ok(Credential::Hash(content))
        }
        _ => Ok(Credential::Plain(content)),
    }
}

/// Whether the text has the form `$kind$…` of a hash, supported or not. A hash of an unsupported kind must
/// never be taken for a plain password: the hash itself would then open the account.
fn is_like_hash(text: &str) -> bool {
    let kind = text.strip_prefix('$').and_then(|rest| rest.split_once('$')).map(|(kind, _)| kind);
    kind.is_some_and(|kind| !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Whether this is a hash that a password can be verified with; the message says why not, without the hash.
pub fn check_hash(hash: &str) -> Result<(), String> {
    if is_bcrypt(hash) {
        let parts = hash.parse::<bcrypt::HashParts>();
        let cost = parts.map_err(|error| format!("is a malformed bcrypt hash: {error}"))?.get_cost();
        return if (4..=31).contains(&cost) {
            Ok(())
        } else {
            Err("has a bcrypt cost out of 4 to 31".to_owned())
        };
    }
    let kind = hash.strip_prefix('$').and_then(|rest| rest.split('$').next()).unwrap_or_default();
    let Some((_, parameters)) = PHC_KINDS.iter().find(|(known, _)| *known == kind) else {
        return Err("is not a supported hash; supported are argon2, scrypt, pbkdf2 and bcrypt".to_owned());
    };
    // The name says something else, but this is the crate's one way to parse without verifying.
    password_auth::is_hash_obsolete(hash).map_err(|_| format!("is a malformed {kind} hash"))?;
    // Parsing does not look at the parameters, nor does it ask for a salt and a digest; without this check a
    // user with such a hash could never log in, and nothing would say why.
    let fields: Vec<&str> = hash.split('$').skip(2).filter(|field| !field.starts_with("v=")).collect();
    let known = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        parameters.contains(&name) && value.parse::<u32>().is_ok()
    };
    match fields[..] {
        [given, _salt, _digest] if given.split(',').all(known) => Ok(()),
        _ => Err(format!("is a malformed {kind} hash")),
    }
}

/// Whether the text begins like a bcrypt hash.
pub fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

/// PHC string kinds that are verified, with their parameters.
const PHC_KINDS: [(&str, &[&str]); 6] = [
    ("argon2id", &["m", "t", "p"]),
    ("argon2i", &["m", "t", "p"]),
    ("argon2d", &["m", "t", "p"]),
    ("scrypt", &["ln", "r", "p"]),
    ("pbkdf2-sha256", &["i", "l"]),
    ("pbkdf2-sha512", &["i", "l"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SALT_AND_DIGEST: &str = "MDEyMzQ1Njc4OWFiY2RlZg$s5EVyVbRp3sGTm1B5ykPcHgoK5e0PnMW3mEwjQ3GUkY";
    const BCRYPT: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    #[test]
    fn supported_hashes() {
        for form in ["$argon2id$v=19$m=64,t=1,p=1", "$argon2i$m=64,t=1,p=1", "$scrypt$ln=4,r=8,p=1"] {
            assert_eq!(check_hash(&format!("{form}${SALT_AND_DIGEST}")), Ok(()), "{form}");
        }
        for form in ["$pbkdf2-sha256$i=1000,l=32", "$pbkdf2-sha512$i=1000"] {
            assert_eq!(check_hash(&format!("{form}${SALT_AND_DIGEST}")), Ok(()), "{form}");
        }
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            assert_eq!(check_hash(&format!("{prefix}{}", &BCRYPT[4..])), Ok(()), "{prefix}");
        }
    }

    #[test]
    fn unsupported_or_malformed_hashes() {
        for wrong in ["", "plain", "$", "$$", "$6$salt$digest", "$1$salt$digest", "{SSHA}abc", "$2x$04$abc"] {
            assert!(check_hash(wrong).is_err(), "{wrong}");
        }
        for form in [
            "$argon2id$v=19$m=64,t=1,p=x",
            "$argon2id$v=19$m=64,t=1,rounds=1",
            "$argon2id$v=19",
            "$argon2x$v=19$m=64,t=1,p=1",
            "$pbkdf2-sha256$29000",
            "$pbkdf2-md5$i=1000",
        ] {
            assert!(check_hash(&format!("{form}${SALT_AND_DIGEST}")).is_err(), "{form}");
        }
        assert!(check_hash("$argon2id$v=19$m=64,t=1,p=1").is_err());
        assert!(check_hash("$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg").is_err());
        assert!(check_hash(&BCRYPT[..59]).is_err());
        assert!(check_hash(&BCRYPT.replace("$04$", "$99$")).is_err());
    }

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
        assert!(
            matches!(in_file(&format!("{BCRYPT}\n")), Ok(Credential::Hash(hash)) if hash.expose_secret() == BCRYPT)
        );
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
