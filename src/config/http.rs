//! `[http]`: where metrics and probes are served.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::Section;
use super::value::Listen;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address of the HTTP server.
    pub listen: SocketAddr,
}

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let everywhere = Listen((Ipv4Addr::UNSPECIFIED, 8080).into());
        let config = Self { listen: section.field("listen", everywhere).0 };
        section.finish();
        config
    }
}
