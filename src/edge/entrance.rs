//! How sessions begin, which depends on the address that the client dialled.

/// How sessions begin on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// In the clear, with the greeting.
    Clear,
    /// With a TLS handshake.
    ImplicitTls,
}
