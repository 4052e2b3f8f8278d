//! Users who are kept elsewhere. Whoever knows them is asked with a deadline; any doubt keeps the user out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::caller::Caller;
use super::error::LoginError;
use super::granted::{Answer, Granted};
use super::http::HttpUsers;
use super::ldap::LdapUsers;
use super::lockout::LONGEST_DELAY;
use super::spelling;
use super::turns::Turns;
use crate::config::{self, AuthConfig, ConfigErrors};
use crate::seldom::Seldom;
use crate::user::User;

/// Questions under way at one time, each with a connection. More wait, within their deadline.
const MOST: usize = 32;

/// Whoever is asked for names that no local source has.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    way: Way,
    timeout: Duration,
    slots: Semaphore,
    turns: Turns,
    /// Anybody can fail here, as often as they like, while the service is down.
    told_of_doubt: Seldom,
    /// The same of an address that asks too much.
    told_of_flood: Seldom,
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
        Ok(Self {
            way,
            timeout,
            slots: Semaphore::new(MOST),
            turns: Turns::default(),
            told_of_doubt: Seldom::default(),
            told_of_flood: Seldom::default(),
        })
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
        // What needs no question waits for none: neither a service that is silent nor a flood of guesses keeps it out.
        let granted = match self.kept(name, password, caller) {
            Some(granted) => granted,
            None => self.asked(name, password, caller).await?.ok_or(LoginError::BadCredentials)?,
        };
        caller.may_be(&granted.user, granted.certificate.as_ref())?;
        Ok(Arc::clone(&granted.user))
    }

    /// What was answered before and still holds; does not wait.
    fn kept(&self, name: &str, password: &SecretString, caller: Caller<'_>) -> Option<Arc<Granted>> {
        match &self.way {
            Way::Http(http) => http.kept(name, password, caller),
            Way::Ldap(_) => None,
        }
    }

    /// What is answered now, when the address has its turn; none when name or password are wrong.
    async fn asked(
        &self,
        name: &str,
        password: &SecretString,
        caller: Caller<'_>,
    ) -> Result<Option<Arc<Granted>>, LoginError> {
        let deadline = Instant::now() + self.timeout;
        let Ok(_turn) = timeout_at(deadline, self.turns.wait(caller.address)).await else {
            if let Some(others) = self.told_of_flood.tell() {
                tracing::warn!(
                    name,
                    others,
                    "cannot ask whether the user may log in: its address asks too much at one time"
                );
            }
            return Err(LoginError::Unavailable);
        };
        let begun = Instant::now();
        // The libraries may panic at what a server sends, and that must not cost more than a login.
        let asking = AssertUnwindSafe(self.ask(name, password, caller)).catch_unwind();
        let answer = match timeout_at(deadline, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the answer made no sense".to_owned()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        };
        match answer {
            Ok(granted) => Ok(granted),
            Err(why) => {
                if let Some(others) = self.told_of_doubt.tell() {
                    tracing::warn!(name, why, others, "cannot ask whether the user may log in");
                }
                // Not counted, since nobody is to be locked out because the service is down. Instead nobody asks it again
                // so soon: the turn lasts as long as a refusal would take.
                sleep_until(begun + LONGEST_DELAY).await;
                Err(LoginError::Unavailable)
            }
        }
    }

    async fn ask(&self, name: &str, password: &SecretString, caller: Caller<'_>) -> Answer {
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        match &self.way {
            Way::Http(http) => http.ask(name, password, caller).await,
            Way::Ldap(ldap) => match spelling::in_directory(name) {
                Some(name) => ldap.ask(&name, password).await,
                None => Ok(None),
            },
        }
    }
}
