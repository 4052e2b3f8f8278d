//! Users who are kept elsewhere. Whoever knows them is asked with a deadline; any doubt keeps the user out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::caller::Caller;
use super::error::LoginError;
use super::granted::Answer;
use super::http::HttpUsers;
use super::ldap::LdapUsers;
use crate::config::{self, AuthConfig, ConfigErrors};
use crate::user::User;

/// Questions under way at one time, each with a connection. More wait, within their deadline.
const MOST: usize = 32;

/// Whoever is asked for names that no local source has.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    way: Way,
    timeout: Duration,
    slots: Semaphore,
}

#[derive(Debug)]
enum Way {
    Http(Box<HttpUsers>),
    Ldap(Box<LdapUsers>),
}

/// Finds what is wrong with the files that only those who ask elsewhere read.
pub(crate) fn check(config: &AuthConfig) -> Result<(), ConfigErrors> {
    config.elsewhere.clone().map(Elsewhere::new).transpose().map(drop)
}

impl Elsewhere {
    /// Reads the files that the configuration names (blocking); asks nobody.
    pub(crate) fn new(config: config::Elsewhere) -> Result<Self, ConfigErrors> {
        let (timeout, way) = match config {
            config::Elsewhere::Http(http) => (http.timeout, Way::Http(Box::new(HttpUsers::new(http)?))),
            config::Elsewhere::Ldap(ldap) => (ldap.timeout, Way::Ldap(Box::new(LdapUsers::new(ldap)?))),
        };
        Ok(Self { way, timeout, slots: Semaphore::new(MOST) })
    }

    /// The user, when name and password are right and `caller` may be this user.
    pub(super) async fn log_in(
        &self,
        name: &str,
        password: &SecretString,
        caller: Caller<'_>,
    ) -> Result<Arc<User>, LoginError> {
        // To a directory the empty password means that nobody is to be logged in, and it says yes to that (RFC 4513
        // section 5.1.2). No local user has one either.
        if password.expose_secret().is_empty() {
            return Err(LoginError::BadCredentials);
        }
        // The libraries may panic at what a server sends, and that must not cost more than a login.
        let asking = AssertUnwindSafe(self.ask(name, password, caller)).catch_unwind();
        let answer = match timeout(self.timeout, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the answer made no sense".to_owned()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        };
        let granted = answer.map_err(|why| {
            tracing::warn!(name, why, "cannot ask whether the user may log in");
            LoginError::Unavailable
        })?;
        let granted = granted.ok_or(LoginError::BadCredentials)?;
        caller.may_be(&granted.user, granted.certificate.as_ref())?;
        Ok(Arc::clone(&granted.user))
    }

    async fn ask(&self, name: &str, password: &SecretString, caller: Caller<'_>) -> Answer {
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        match &self.way {
            Way::Http(http) => http.ask(name, password, caller).await,
            // A directory takes names in any case and with any spaces for one (RFC 4518); here they would be several users.
            Way::Ldap(_) if name.split(' ').any(str::is_empty) => Ok(None),
            Way::Ldap(ldap) => ldap.ask(&name.to_lowercase(), password).await,
        }
    }
}
