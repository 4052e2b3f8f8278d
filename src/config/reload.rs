//! Reading the users again, for what the running service has.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::source::Source;
use super::{ClientCa, Config, TlsConfig, UserConfig};

/// Reads the users again, from the same file and the same environment as at the start.
pub struct Reload {
    pub(super) source: Source,
    pub(super) environment: Environment,
    pub(super) stores: BTreeSet<String>,
    /// What is in force.
    pub(super) tls: Option<TlsConfig>,
    pub(super) users_file: Option<PathBuf>,
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
    pub fn users(&self) -> Result<Reread, ConfigErrors> {
        let Config { users, ftp, .. } = Config::read(self.source.table()?, &self.environment)?;
        let errors: Vec<ConfigError> =
            users.iter().filter_map(|user| self.missing(user, ftp.tls.as_ref())).collect();
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let changed =
            (ftp.tls != self.tls).then(|| "[ftp.tls] has changed, which needs a restart".to_owned());
        Ok(Reread { users, warnings: changed.into_iter().collect() })
    }

    /// What `user` needs and the running service lacks. `tls` is what it would have after a restart.
    fn missing(&self, user: &UserConfig, tls: Option<&TlsConfig>) -> Option<ConfigError> {
        let needed = if !self.stores.contains(&user.profile.store) {
            format!("the new store `{}`", user.profile.store)
        } else if user.proof.certificate().is_some() && client_ca(tls) != client_ca(self.tls.as_ref()) {
            "ftp.tls.client_ca or ftp.tls.client_certificates".to_owned()
        } else {
            return None;
        };
        Some(ConfigError::new("users", format!("user `{}` needs a restart for {needed}", user.name)))
    }

    /// The file with more users that was configured at the start, to be watched for changes.
    pub fn users_file(&self) -> Option<&Path> {
        self.users_file.as_deref()
    }
}

fn client_ca(tls: Option<&TlsConfig>) -> Option<&ClientCa> {
    tls.and_then(|tls| tls.client_ca.as_ref())
}

impl fmt::Debug for Reload {
    /// Without the environment, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("users_file", &self.users_file).finish_non_exhaustive()
    }
}
