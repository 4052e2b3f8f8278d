//! What a user has to show: a password, a client certificate, or both; nothing, if anybody may be this user.

use super::certificate::CertificateNames;
use super::secret::PasswordSource;
use super::section::Section;
use super::tls::ClientCa;

/// What a user has to show to log in. `P` is how the password is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof<P = PasswordSource> {
    /// Nothing, and any password is taken: only for the users of `[auth.anonymous]`.
    Nothing,
    /// The password.
    Password(P),
    /// A certificate that holds one of these names, and any password.
    Certificate(CertificateNames),
    /// The password, and a certificate that holds one of these names.
    Both(P, CertificateNames),
}

impl<P> Proof<P> {
    /// The password, if one is needed.
    pub fn password(&self) -> Option<&P> {
        match self {
            Self::Password(password) | Self::Both(password, _) => Some(password),
            Self::Nothing | Self::Certificate(_) => None,
        }
    }

    /// The names of the certificate, if one is needed.
    pub fn certificate(&self) -> Option<&CertificateNames> {
        match self {
            Self::Certificate(names) | Self::Both(_, names) => Some(names),
            Self::Nothing | Self::Password(_) => None,
        }
    }

    /// The same with the password known otherwise.
    pub fn map_password<Q>(self, known: impl FnOnce(P) -> Q) -> Proof<Q> {
        match self {
            Self::Nothing => Proof::Nothing,
            Self::Password(password) => Proof::Password(known(password)),
            Self::Certificate(names) => Proof::Certificate(names),
            Self::Both(password, names) => Proof::Both(known(password), names),
        }
    }
}

impl Proof {
    /// Reads `client_certificate` alone, for users whose password is known elsewhere. None where there is none or it is
    /// wrong, which is reported.
    pub(super) fn read_certificate(
        section: &mut Section<'_>,
        client_ca: Option<&ClientCa>,
    ) -> Option<CertificateNames> {
        if section.has("client_certificate") && client_ca.is_none() {
            // Nobody could log in.
            section.error(
                "client_certificate",
                "needs ftp.tls.client_ca, and ftp.tls.mode = \"optional\" or \"required\"",
            );
        }
        section.optional("client_certificate")
    }

    /// Reads `client_certificate`, and exactly one of the keys of a password or, beside a certificate, none.
    pub(super) fn read(section: &mut Section<'_>, client_ca: Option<&ClientCa>) -> Option<Self> {
        let is_bound = section.has("client_certificate");
        let names = Self::read_certificate(section, client_ca);
        if !is_bound {
            return PasswordSource::read(section).map(Self::Password);
        }
        if !PasswordSource::is_given(section) {
            return names.map(Self::Certificate);
        }
        let password = PasswordSource::read(section);
        Some(Self::Both(password?, names?))
    }
}
