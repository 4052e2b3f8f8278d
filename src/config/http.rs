//! `[http]`: where metrics and probes are served.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use super::section::Section;
use super::value::Listen;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address of the HTTP server.
    pub listen: SocketAddr,
    /// Users with metrics of their own; those of all others are counted together.
    pub metrics_users: BTreeSet<String>,
}

/// How metrics name all users who have none of their own.
pub const OTHER_USERS: &str = "other";

/// Each brings some twenty-five series, which Prometheus keeps for every gateway.
const MOST_USERS: usize = 200;

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let everywhere = Listen((Ipv4Addr::UNSPECIFIED, 8080).into());
        let config = Self {
            listen: section.field("listen", everywhere).0,
            metrics_users: section.checked("metrics_users", BTreeSet::new(), few_and_distinct),
        };
        section.finish();
        config
    }
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
