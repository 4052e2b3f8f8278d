//! libunftp's login pipeline, answered by `auth`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use tracing::Instrument;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError,
    UserDetailProvider,
};

use crate::auth::{Auth, Caller, LoginError};
use crate::config::UserSource;
use crate::limits::{Admission, Applicant, Limits, Refusal};
use crate::metrics::{LoginResult, Metrics};
use crate::recent::{FailedLogin, Recent};
use crate::reply::Reply;
use crate::session::Session;
use crate::user::User;

/// A user as libunftp holds one.
#[derive(Clone, Debug)]
pub(super) struct SessionUser(pub(super) Arc<User>);

impl UserDetail for SessionUser {}

impl fmt::Display for SessionUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// Logs one session in.
#[derive(Debug)]
pub(super) struct SessionAuthenticator {
    pub(super) auth: Arc<Auth>,
    pub(super) limits: Limits,
    pub(super) session: Arc<Session>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) recent: Arc<Recent>,
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
        let certificate = self.session.certificate();
        let address = self.session.peer.ip();
        let caller = Caller { address, tls_version: self.session.tls_version(), certificate };
        let login = self.auth.login(name, password, caller);
        match login.instrument(self.session.span.clone()).await {
            Ok(user) => {
                let admission = self.admit(&user)?;
                let is_anonymous = user.source == UserSource::Anonymous;
                self.metrics.login(if is_anonymous { LoginResult::Anonymous } else { LoginResult::Ok });
                let counted = self.metrics.logged_in(&user.name);
                self.session.log_in(Arc::clone(&user), counted, admission);
                // Whoever replaces the users looks for their sessions afterwards, and may have missed this one.
                if self.auth.is_outdated(&user) {
                    self.session.outdate();
                }
                Ok(Principal { username: name.to_owned() })
            }
            Err(error) => {
                let (result, code, text) = match error {
                    // Told apart only in the log.
                    LoginError::BadCredentials
                    | LoginError::NoCertificate
                    | LoginError::OtherCertificate
                    | LoginError::ExpiredCertificate => (LoginResult::BadCredentials, 530, "Login incorrect"),
                    // Transient, so that devices try again.
                    LoginError::LockedOut => {
                        (LoginResult::LockedOut, 421, "Too many failed logins, try again later")
                    }
                    // Told apart only in the log and the metrics.
                    LoginError::Denied => (LoginResult::Denied, 530, "Login incorrect"),
                    LoginError::Unavailable => {
                        (LoginResult::Denied, 421, "Cannot check passwords now, try later")
                    }
                };
                self.metrics.login(result);
                self.recent.login_failed(FailedLogin {
                    at: Utc::now(),
                    session: self.session.id,
                    name: name.to_owned(),
                    peer: self.session.peer.ip(),
                    reason: error.to_string(),
                });
                let _in_session = self.session.span.enter();
                let certificate = certificate.map(tracing::field::debug);
                tracing::info!(name, result = %error, certificate, "login failed");
                self.session.answer(Reply::new(code, text));
                Err(AuthenticationError::BadPassword)
            }
        }
    }
}

impl SessionAuthenticator {
    /// A place for `user`, who has shown to be this one: only they learn of their limits.
    fn admit(&self, user: &User) -> Result<Arc<Admission>, AuthenticationError> {
        let applicant =
            Applicant { address: self.session.peer.ip(), encrypted: self.session.tls_version().is_some() };
        self.limits.admit(&user.name, &user.profile.limits, applicant).map_err(|refusal| {
            self.metrics.login(LoginResult::Limited);
            let _in_session = self.session.span.enter();
            tracing::info!(name = user.name, result = %refusal, "login refused");
            self.session.answer(refused(&refusal));
            AuthenticationError::BadPassword
        })
    }
}

/// The reply to a login that a limit does not allow.
fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::TlsRequired => Reply::new(530, format!("{refusal}: send AUTH TLS first")),
        Refusal::Hours(_) => Reply::new(530, format!("Not now: {refusal}")),
        // Transient, so that devices try again.
        Refusal::Sessions { .. } | Refusal::SessionsPerAddress(_) => {
            Reply::new(421, format!("Too many sessions: {refusal}"))
        }
    }
}

#[async_trait]
impl UserDetailProvider for SessionAuthenticator {
    type User = SessionUser;

    async fn provide_user_detail(&self, principal: &Principal) -> Result<SessionUser, UserDetailError> {
        let username = principal.username.clone();
        self.session.user().map(SessionUser).ok_or(UserDetailError::UserNotFound { username })
    }
}
