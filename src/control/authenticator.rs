//! libunftp's login pipeline, answered by `auth`.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use futures::FutureExt;
use tracing::Instrument;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError,
    UserDetailProvider,
};

use super::front::Front;
use super::telling;
use crate::auth::{Caller, LoginError};
use crate::config::UserSource;
use crate::files::Files;
use crate::limits::{Applicant, Refusal};
use crate::metrics::LoginResult;
use crate::recent::FailedLogin;
use crate::reply::Reply;
use crate::session::Session;
use crate::user::User;

/// A user as libunftp holds one.
#[derive(Clone, Debug)]
pub(super) struct SessionUser {
    pub(super) user: Arc<User>,
    pub(super) files: Files,
}

impl UserDetail for SessionUser {}

impl fmt::Display for SessionUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user.name)
    }
}

/// Logs one session in.
#[derive(Debug)]
pub(super) struct SessionAuthenticator {
    front: Front,
    session: Arc<Session>,
    /// Who has logged in last.
    welcomed: Mutex<Option<SessionUser>>,
}

/// Why somebody is not let in: how it is counted, what the log says, and what the client is told.
struct Refused {
    result: LoginResult,
    reason: String,
    reply: Reply,
}

#[async_trait]
impl Authenticator for SessionAuthenticator {
    async fn authenticate(
        &self,
        name: &str,
        credentials: &Credentials,
    ) -> Result<Principal, AuthenticationError> {
        let password = credentials.password.clone().unwrap_or_default().into();
        // libunftp sees the loopback pair; the client's address is the session's.
        let address = self.session.peer.ip();
        let certificate = self.session.certificate();
        let caller = Caller { address, tls_version: self.session.tls_version(), certificate };
        let login = self.front.auth.login(name, password, caller, |user| self.with_files(user));
        let login = login.instrument(self.session.span.clone());
        // A panic would leave the client without a reply, and the session with a login that never ends.
        let login = AssertUnwindSafe(login).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a login has failed with a panic");
            Err(LoginError::Unavailable)
        });
        match login.map_err(Refused::from).and_then(|user| self.welcome(user)) {
            Ok(()) => Ok(Principal { username: name.to_owned() }),
            Err(refused) => {
                self.turn_away(name, refused);
                Err(AuthenticationError::BadPassword)
            }
        }
    }
}

impl SessionAuthenticator {
    pub(super) fn new(front: &Front, session: &Arc<Session>) -> Self {
        Self { front: front.clone(), session: Arc::clone(session), welcomed: Mutex::default() }
    }

    /// The user with its files, if the limits let it in from here. That it can have none is a fault of the configuration, told to
    /// operators alone.
    fn with_files(&self, user: Arc<User>) -> Result<SessionUser, LoginError> {
        if !self.front.limits.let_in(&user.profile.allow_from, self.session.peer.ip()) {
            return Err(LoginError::Denied);
        }
        match Files::of(&user, self.session.peer.ip(), &self.front.stores) {
            Ok(files) => Ok(SessionUser { user, files }),
            Err(error) => {
                // Whoever looks at the status page without the token must not see a folder.
                tracing::warn!(user = user.name, %error, "login refused: the user can have no files");
                Err(LoginError::NoFiles)
            }
        }
    }

    /// Makes the session that of a user who has shown to be this one: only they learn of their limits.
    fn welcome(&self, welcomed: SessionUser) -> Result<(), Refused> {
        let address = self.session.peer.ip();
        let user = &welcomed.user;
        let applicant = Applicant { address, encrypted: self.session.tls_version().is_some() };
        let admission = self.front.limits.admit(&user.name, &user.profile.limits, applicant)?;
        let is_anonymous = user.source == UserSource::Anonymous;
        self.front.metrics.login(if is_anonymous { LoginResult::Anonymous } else { LoginResult::Ok });
        let counted = self.front.metrics.logged_in(&user.name);
        let login = telling::login(&self.front, &self.session, &user.name);
        self.session.log_in(Arc::clone(user), counted, admission, login);
        // Whoever replaces the users looks for their sessions afterwards, and may have missed this one.
        self.session.outdate_if(|user| self.front.auth.is_outdated(user));
        *self.welcomed.lock().unwrap_or_else(PoisonError::into_inner) = Some(welcomed);
        Ok(())
    }

    fn turn_away(&self, name: &str, refused: Refused) {
        let Refused { result, reason, reply } = refused;
        self.front.metrics.login(result);
        telling::login_failed(&self.front, &self.session, name, result.label());
        let _in_session = self.session.span.enter();
        let certificate = self.session.certificate().map(tracing::field::debug);
        tracing::info!(name, result = %reason, certificate, "login failed");
        self.front.recent.login_failed(FailedLogin {
            at: Utc::now(),
            session: self.session.id,
            name: name.to_owned(),
            peer: self.session.peer.ip(),
            reason,
        });
        self.session.answer(reply);
    }
}

impl From<LoginError> for Refused {
    fn from(error: LoginError) -> Self {
        let (result, code, text) = match error {
            // Told apart only in the log.
            LoginError::BadCredentials
            | LoginError::NoCertificate
            | LoginError::OtherCertificate
            | LoginError::ExpiredCertificate => (LoginResult::BadCredentials, 530, "Login incorrect"),
            // Transient, so that devices try again.
            LoginError::LockedOut => (LoginResult::LockedOut, 421, "Too many failed logins, try again later"),
            // Told apart only in the log and the metrics.
            LoginError::Denied | LoginError::NoFiles => (LoginResult::Denied, 530, "Login incorrect"),
            LoginError::Unavailable => (LoginResult::Denied, 421, "Cannot check passwords now, try later"),
        };
        Self { result, reason: error.to_string(), reply: Reply::new(code, text) }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reply = match &refusal {
            Refusal::TlsRequired => Reply::new(530, format!("{refusal}: send AUTH TLS first")),
            Refusal::Hours(_) => Reply::new(530, format!("Not now: {refusal}")),
            // Transient, so that devices try again.
            Refusal::Sessions { .. } | Refusal::SessionsPerAddress(_) => {
                Reply::new(421, format!("Too many sessions: {refusal}"))
            }
        };
        Self { result: LoginResult::Limited, reason: refusal.to_string(), reply }
    }
}

#[async_trait]
impl UserDetailProvider for SessionAuthenticator {
    type User = SessionUser;

    async fn provide_user_detail(&self, principal: &Principal) -> Result<SessionUser, UserDetailError> {
        let welcomed = self.welcomed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        welcomed.ok_or_else(|| UserDetailError::UserNotFound { username: principal.username.clone() })
    }
}
