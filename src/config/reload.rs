//! Reading the users again, for what the running service has.

use std::collections::BTreeSet;
use std::fmt;

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::source::Source;
use super::watched::Watched;
use super::{ClientCa, Config, Elsewhere, LimitsConfig, TlsConfig, UserConfig};

/// Reads the users again, from the same file and the same environment as at the start.
pub struct Reload {
    pub(super) source: Source,
    pub(super) environment: Environment,
    pub(super) stores: BTreeSet<String>,
    /// What is in force.
    pub(super) tls: Option<TlsConfig>,
    /// What is in force.
    pub(super) elsewhere: Option<Elsewhere>,
    /// What is in force.
    pub(super) limits: LimitsConfig,
    pub(super) watched: Watched,
}

/// An attempt to read the configuration, or what of it may change.
#[derive(Debug)]
pub struct Attempt<T> {
    /// What was read, or every mistake.
    pub result: Result<T, ConfigErrors>,
    /// What it was read from, as far as that could be found out.
    pub watched: Watched,
}

/// What was read again.
#[derive(Debug)]
pub struct Reread {
    /// The users.
    pub users: Vec<UserConfig>,
    /// What has changed but is not in force before a restart, one line each, as far as it concerns who gets in.
    pub warnings: Vec<String>,
}

impl Reload {
    /// The users as the files name them now, and their passwords' files checked again.
    ///
    /// The whole configuration must be valid, and users may only name stores that the running service has. They may be
    /// bound to certificates only while these are asked for as the running service does it: with another authority than
    /// the one in force, a name could be somebody else's.
    pub fn users(&self) -> Attempt<Reread> {
        let Attempt { result, watched } =
            Config::read_watched(&self.source, &self.environment, |_| Vec::new());
        Attempt { result: result.and_then(|config| self.reread(config)), watched }
    }

    fn reread(&self, config: Config) -> Result<Reread, ConfigErrors> {
        let Config { users, ftp, auth, limits, .. } = config;
        let errors: Vec<ConfigError> =
            users.iter().filter_map(|user| self.missing(user, ftp.tls.as_ref())).collect();
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let changed = [
            (ftp.tls != self.tls, "[ftp.tls]"),
            (auth.elsewhere != self.elsewhere, "[auth.http] or [auth.ldap]"),
            (limits != self.limits, "[limits]"),
        ];
        let changed = changed.into_iter().filter(|(is_changed, _)| *is_changed);
        let warnings = changed.map(|(_, section)| format!("{section} has changed, which needs a restart"));
        Ok(Reread { users, warnings: warnings.collect() })
    }

    /// What `user` needs and the running service lacks. `tls` is what it would have after a restart.
    fn missing(&self, user: &UserConfig, tls: Option<&TlsConfig>) -> Option<ConfigError> {
        let new_store = user.profile.view.stores().find(|&store| !self.stores.contains(store));
        let needed = if let Some(store) = new_store {
            format!("the new store `{store}`")
        } else if user.proof.certificate().is_some() && client_ca(tls) != client_ca(self.tls.as_ref()) {
            "ftp.tls.client_ca or ftp.tls.client_certificates".to_owned()
        } else {
            return None;
        };
        Some(ConfigError::new("users", format!("user `{}` needs a restart for {needed}", user.name)))
    }

    /// What the users of the start were read from, to be watched for changes.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }
}

fn client_ca(tls: Option<&TlsConfig>) -> Option<&ClientCa> {
    tls.and_then(|tls| tls.client_ca.as_ref())
}

impl fmt::Debug for Reload {
    /// Without the environment, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("watched", &self.watched).finish_non_exhaustive()
    }
}
