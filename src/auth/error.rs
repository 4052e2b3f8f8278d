//! Why a login fails.

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// The name is unknown or the password is wrong; which of them is not told, not even by the time taken.
    #[error("wrong name or password")]
    BadCredentials,
    /// Name and password are right, or no password is needed, but the user is bound to a certificate and none was shown.
    /// The client is not told, nor does it take another time or count otherwise.
    #[error("no client certificate was shown")]
    NoCertificate,
    /// The same where one was shown that names somebody else.
    #[error("the client certificate is not the user's")]
    OtherCertificate,
    /// The same where the user's was shown, but has expired since.
    #[error("the client certificate has expired")]
    ExpiredCertificate,
    /// The name or the address has failed too often lately. Whether the password is right is not told.
    #[error("locked out after too many failures")]
    LockedOut,
    /// Name and password are right, but the user may not log in from this address. The client is not told, nor does it
    /// take another time or count otherwise.
    #[error("login from this address is not allowed")]
    Denied,
    /// Name and password are right, but the user's folders cannot be had as they are configured. The client is not told, nor
    /// does it take another time or count otherwise.
    #[error("the user can have no files")]
    NoFiles,
    /// The password could not be verified in time, or whoever knows it cannot be asked.
    #[error("login is not possible at the moment")]
    Unavailable,
}
