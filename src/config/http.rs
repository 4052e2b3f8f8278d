//! `[http]`: where metrics and probes are served.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::section::Section;
use super::value::Listen;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address of the HTTP server.
    pub listen: SocketAddr,
    /// Where the admin token is, for those who may see names and change something; none if nobody may.
    pub admin_token_file: Option<PathBuf>,
    /// Users with metrics of their own; those of all others are counted together.
    pub metrics_users: BTreeSet<String>,
}

/// How metrics name all users who have none of their own.
pub const OTHER_USERS: &str = "other";

/// Each brings some twenty-five series, which Prometheus keeps for every gateway.
const MOST_USERS: usize = 200;
/// Nobody guesses so many characters if they are random.
const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 1024;

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let everywhere = Listen((Ipv4Addr::UNSPECIFIED, 8080).into());
        let config = Self {
            listen: section.field("listen", everywhere).0,
            admin_token_file: read_admin_token_file(&mut section),
            metrics_users: section.checked("metrics_users", BTreeSet::new(), few_and_distinct),
        };
        section.finish();
        config
    }
}

fn read_admin_token_file(section: &mut Section<'_>) -> Option<PathBuf> {
    let file: PathBuf = section.optional("admin_token_file")?;
    // Kubernetes and samples say with an empty value that there is none.
    if file.as_os_str().is_empty() {
        return None;
    }
    if let Err(message) = read_admin_token(&file) {
        section.error("admin_token_file", message);
    }
    Some(file)
}

/// The admin token as the file has it now, without the line end. The message of an error holds no secret.
pub fn read_admin_token(file: &Path) -> Result<SecretString, String> {
    let shown = file.display();
    let mut text = String::new();
    let reading =
        File::open(file).and_then(|file| file.take(LONGEST_TOKEN as u64 + 3).read_to_string(&mut text));
    reading.map_err(|error| format!("cannot read {shown}: {error}"))?;
    let token = text.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    if !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len()) {
        return Err(format!("the token in {shown} must have {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters"));
    }
    // It has to fit in a header.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "the token in {shown} has characters other than letters, digits and signs of ASCII"
        ));
    }
    Ok(token.into())
}

fn few_and_distinct(users: &BTreeSet<String>) -> Result<(), String> {
    if users.contains(OTHER_USERS) {
        return Err(format!("`{OTHER_USERS}` stands for all users that are not listed"));
    }
    if users.len() > MOST_USERS {
        return Err(format!(
            "must be at most {MOST_USERS} users, each of which brings some twenty-five series"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::Report;

    fn read(text: &str) -> (HttpConfig, Vec<String>) {
        let report = Report::default();
        let config = HttpConfig::read(Section::root(text.parse().expect("TOML"), &report));
        (config, report.into_errors().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_token_is_long_and_fits_in_a_header() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let key = format!("admin_token_file = '{}'", file.path().display());
        let long = "x".repeat(1025);
        for (content, mistake) in [
            ("0123456789abcdef\n", None),
            ("0123456789abcdef\r\n", None),
            ("", Some("is empty")),
            ("\n", Some("is empty")),
            ("0123456789abcde", Some("must have 16 to 1024 characters")),
            (&long, Some("must have 16 to 1024 characters")),
            ("0123456789 abcdef", Some("has characters other than")),
        ] {
            std::fs::write(file.path(), content).expect("a writable file");
            let (config, mistakes) = read(&key);
            assert_eq!(mistakes.len(), usize::from(mistake.is_some()), "{content:?} {mistakes:?}");
            let expected = mistake.unwrap_or_default();
            assert!(mistakes.iter().all(|said| said.starts_with("admin_token_file: ")), "{mistakes:?}");
            assert!(mistakes.iter().all(|said| said.contains(expected) && !said.contains("abcde")));
            assert_eq!(config.admin_token_file.as_deref(), Some(file.path()));
        }
        let mistakes = read("admin_token_file = '/nowhere/token'").1;
        assert!(mistakes[0].starts_with("admin_token_file: cannot read /nowhere/token: "), "{mistakes:?}");
        assert_eq!(read("admin_token_file = ''").0.admin_token_file, None);
    }

    #[test]
    fn users_with_metrics_are_listed() {
        assert_eq!(read("").0.metrics_users.len(), 0);
        let (config, mistakes) = read("metrics_users = ['acme', 'camera', 'acme']");
        assert_eq!((config.metrics_users.len(), mistakes.len()), (2, 0));
        let many = (0..=MOST_USERS).map(|number| format!("'user-{number}'")).collect::<Vec<_>>().join(",");
        for (users, message) in [
            ("'other'", "metrics_users: `other` stands for"),
            (&many[..], "metrics_users: must be at most 200 users"),
        ] {
            let mistakes = read(&format!("metrics_users = [{users}]")).1;
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(message), "{mistakes:?}");
        }
    }
}
