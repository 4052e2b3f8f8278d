//! Hashes of passwords: which kinds can be verified, verifying, and making one.

use secrecy::{ExposeSecret, SecretString};

/// A hash of a supported kind: argon2, scrypt or PBKDF2 as a PHC string, or bcrypt. Debug output does not show it.
#[derive(Clone, Debug)]
pub struct PasswordHash {
    text: SecretString,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Phc,
    Bcrypt,
}

impl PartialEq for PasswordHash {
    /// Letter by letter: another hash of the same password is another.
    fn eq(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }
}

impl PasswordHash {
    /// The hash, or why it is none that can be verified, without the hash.
    pub fn parse(text: &SecretString) -> Result<Self, String> {
        check(text.expose_secret())?;
        let kind = if is_bcrypt(text.expose_secret()) { Kind::Bcrypt } else { Kind::Phc };
        Ok(Self { text: text.clone(), kind })
    }

    /// An argon2id hash of `password` with a fresh salt.
    pub fn make(password: &SecretString) -> SecretString {
        password_auth::generate_hash(password.expose_secret()).into()
    }

    /// Whether it is the hash of `given`. Slow on purpose: tens of milliseconds and more of one core.
    pub fn matches(&self, given: &str) -> bool {
        let hash = self.text.expose_secret();
        match self.kind {
            Kind::Phc => password_auth::verify_password(given, hash).is_ok(),
            Kind::Bcrypt => bcrypt::verify(given, hash).unwrap_or(false),
        }
    }
}

/// Whether the text has the form `$kind$…` of a hash, supported or not. A hash of an unsupported kind must
/// never be taken for a plain password: the hash itself would then open the account.
pub(crate) fn is_like_hash(text: &str) -> bool {
    let kind = text.strip_prefix('$').and_then(|rest| rest.split_once('$')).map(|(kind, _)| kind);
    kind.is_some_and(|kind| !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Whether a password can be verified with it; the message says why not, without the hash.
fn check(hash: &str) -> Result<(), String> {
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
fn is_bcrypt(hash: &str) -> bool {
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
            assert_eq!(check(&format!("{form}${SALT_AND_DIGEST}")), Ok(()), "{form}");
        }
        for form in ["$pbkdf2-sha256$i=1000,l=32", "$pbkdf2-sha512$i=1000"] {
            assert_eq!(check(&format!("{form}${SALT_AND_DIGEST}")), Ok(()), "{form}");
        }
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            assert_eq!(check(&format!("{prefix}{}", &BCRYPT[4..])), Ok(()), "{prefix}");
        }
    }

    #[test]
    fn unsupported_or_malformed_hashes() {
        for wrong in ["", "plain", "$", "$$", "$6$salt$digest", "$1$salt$digest", "{SSHA}abc", "$2x$04$abc"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        for form in [
            "$argon2id$v=19$m=64,t=1,p=x",
            "$argon2id$v=19$m=64,t=1,rounds=1",
            "$argon2id$v=19",
            "$argon2x$v=19$m=64,t=1,p=1",
            "$pbkdf2-sha256$29000",
            "$pbkdf2-md5$i=1000",
        ] {
            assert!(check(&format!("{form}${SALT_AND_DIGEST}")).is_err(), "{form}");
        }
        assert!(check("$argon2id$v=19$m=64,t=1,p=1").is_err());
        assert!(check("$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg").is_err());
        assert!(check(&BCRYPT[..59]).is_err());
        assert!(check(&BCRYPT.replace("$04$", "$99$")).is_err());
    }
}
