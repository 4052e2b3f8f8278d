//! Compares a given password with a hash or with the password itself.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::config::{Credential, PasswordSource};
use crate::hashes::PasswordHash;

/// How one user's password is verified. Debug output shows no secret.
#[derive(Debug)]
pub(super) enum Verifier {
    Hash(PasswordHash),
    Plain(SecretString),
    /// Accepts no password.
    Nothing,
}

impl PartialEq for Verifier {
    /// Whether the same is verified in the same way.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hash(hash), Self::Hash(other)) => hash == other,
            (Self::Plain(password), Self::Plain(other)) => {
                is_same(password.expose_secret().as_bytes(), other.expose_secret().as_bytes())
            }
            (Self::Nothing, Self::Nothing) => true,
            (Self::Hash(_) | Self::Plain(_) | Self::Nothing, _) => false,
        }
    }
}

impl Verifier {
    /// Reads the password's file, if that is where it is.
    pub(super) fn from_source(source: &PasswordSource) -> Result<Self, String> {
        Ok(match source.credential()? {
            Credential::Hash(hash) => Self::Hash(hash),
            Credential::Plain(password) => Self::Plain(password),
        })
    }

    /// Whether the password is right. Slow on purpose: tens of milliseconds and more of one core for a hash. The empty
    /// password opens nothing, whatever is configured.
    pub(super) fn verify(&self, given: &SecretString) -> bool {
        let given = given.expose_secret();
        let matches = match self {
            Self::Hash(hash) => hash.matches(given),
            Self::Plain(password) => is_same(given.as_bytes(), password.expose_secret().as_bytes()),
            Self::Nothing => false,
        };
        // Looked at last, so that it takes the same time as any other wrong password.
        matches && !given.is_empty()
    }

    /// Whether verifying is a matter of microseconds.
    pub(super) fn is_quick(&self) -> bool {
        match self {
            Self::Hash(_) => false,
            Self::Plain(_) | Self::Nothing => true,
        }
    }
}

/// Compares in a time that depends on the given password's length only, which its sender knows anyway.
fn is_same(given: &[u8], password: &[u8]) -> bool {
    let stretched: Vec<u8> = password.iter().copied().cycle().take(given.len()).collect();
    // Only with equal lengths is the stretched password the password itself.
    (stretched.as_slice().ct_eq(given) & given.len().ct_eq(&password.len())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verifies `tr\u{fc}stno1` and near misses of it.
    fn check(source: &PasswordSource) {
        let verifier = Verifier::from_source(source).expect("a supported credential");
        assert!(verifier.verify(&"trüstno1".into()), "{source:?}");
        for wrong in ["", "trüstno", "trüstno11", "trüstno1trüstno1", "Trüstno1", "trüstno1 "] {
            assert!(!verifier.verify(&wrong.into()), "{source:?} accepts {wrong:?}");
        }
    }

    fn hash_password(password: &SecretString) -> String {
        PasswordHash::make(password).expose_secret().to_owned()
    }

    fn hash(text: &str) -> PasswordSource {
        PasswordSource::Hash(text.into())
    }

    #[test]
    fn plain() {
        check(&PasswordSource::Plain("trüstno1".into()));
        assert!(!is_same(b"", b"x"));
        assert!(!is_same(b"xx", b"x"));
        assert!(!is_same(b"x", b"xx"));
    }

    #[test]
    fn argon2() {
        check(&hash(&hash_password(&"trüstno1".into())));
        check(&hash(ARGON2ID));
        check(&hash(ARGON2I));
        check(&hash(ARGON2D));
    }

    #[test]
    fn scrypt() {
        check(&hash(SCRYPT));
    }

    #[test]
    fn pbkdf2() {
        check(&hash(PBKDF2_SHA256));
        check(&hash(PBKDF2_SHA512));
    }

    #[test]
    fn bcrypt_of_every_age() {
        let made = "$2b$04$PBpFLWegS06qG2PFSGYRxOSRq6iLkmbeCdFAKiTSNDe7RNLgzw8CG";
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            check(&hash(&format!("{prefix}{}", &made[4..])));
        }
    }

    #[test]
    fn the_empty_password_opens_nothing() {
        let bcrypt = "$2b$04$nwHIfmJ.uTMzy3kNVdTjJebWnPqe2BYvK7/WNYtXRwK6UwJuv2UeG";
        for made in [&hash_password(&"".into()), bcrypt] {
            let verifier = Verifier::from_source(&hash(made)).expect("a supported credential");
            assert!(!verifier.verify(&"".into()), "{made}");
        }
        assert!(Verifier::from_source(&PasswordSource::Plain("".into())).is_err());
    }

    #[test]
    fn a_file_holds_a_password_or_a_hash() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for content in ["trüstno1\n", "trüstno1\r\n", "trüstno1", SCRYPT, &format!("{SCRYPT}\n")] {
            std::fs::write(file.path(), content).expect("a writable file");
            check(&PasswordSource::File(file.path().to_owned()));
        }
    }

    #[test]
    fn a_made_hash_is_argon2id_with_its_own_salt() {
        let [first, second] = [(); 2].map(|()| hash_password(&"x".into()));
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn debug_shows_no_secret() {
        let sources = [PasswordSource::Plain("trüstno1".into()), hash(SCRYPT)];
        for source in sources {
            let verifier = Verifier::from_source(&source).expect("a supported credential");
            let shown = format!("{source:?} {verifier:?}");
            assert!(!shown.contains("trüstno1") && !shown.contains("$scrypt$"), "{shown}");
        }
    }

    // Hashes of `trüstno1` made by other programs' libraries, at low cost.
    const ARGON2ID: &str =
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$RqeoUzTb2X6ZdHs54plVhoUR8Agh5TU9lqq5MHJ2gSI";
    const ARGON2I: &str =
        "$argon2i$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$qM3fnbIdmjAu/P87zFbzhBf2C9lm3inoFZeCt9VEc+Y";
    const ARGON2D: &str =
        "$argon2d$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$9btFySXXub+iHT7lsVznMw2gTqOOdEFXFYyFf3m0lNI";
    const SCRYPT: &str =
        "$scrypt$ln=4,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$QWN3Scrt0qRXBLpLTc0CUyqrj7+PmklAEwBeFByjGW8";
    const PBKDF2_SHA256: &str =
        "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$4dLSASJSXv9JyAJUn54YiscpPYXNwWWAxZJNJCBxyts";
    const PBKDF2_SHA512: &str =
        "$pbkdf2-sha512$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$4NNiJR2EvhaiiyRV1Uh2R/rXbauYrrgTbXHZXP6GXBM";
}
