//! Who tries to log in, as far as the connection tells.

use std::net::IpAddr;

use super::error::LoginError;
use crate::config::CertificateNames;
use crate::tls::ClientCertificate;
use crate::user::User;

/// A client that tries to log in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// Where it connects from.
    pub address: IpAddr,
    /// The version of the control connection's TLS, if it has any.
    pub tls_version: Option<&'static str>,
    /// The certificate that it has shown.
    pub certificate: Option<&'a ClientCertificate>,
}

impl Caller<'_> {
    /// Whether it may be `user`, whose password was right, and who may be bound to a certificate.
    pub(super) fn may_be(self, user: &User, bound: Option<&CertificateNames>) -> Result<(), LoginError> {
        if let Some(bound) = bound {
            let shown = self.certificate.ok_or(LoginError::NoCertificate)?;
            if !bound.match_any(shown.names()) {
                return Err(LoginError::OtherCertificate);
            }
            // Semantics decision: it has to be valid at each login. Sessions that are logged in go on.
            if shown.is_expired() {
                return Err(LoginError::ExpiredCertificate);
            }
        }
        if user.profile.allow_from.hold(self.address) { Ok(()) } else { Err(LoginError::Denied) }
    }
}
