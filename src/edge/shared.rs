//! What all connections share.

use std::sync::Arc;

use super::data::PassivePool;
use super::proxy::Proxies;
use crate::config::FtpConfig;
use crate::control::Front;
use crate::sessions::Sessions;
use crate::tls::Tls;
use crate::workers::Workers;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(super) config: FtpConfig,
    /// None where connections begin without a PROXY header.
    pub(super) proxies: Option<Arc<Proxies>>,
    /// None where TLS is off.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) front: Front,
    pub(super) passive: Arc<PassivePool>,
    pub(super) sessions: Sessions,
    pub(super) workers: Arc<Workers>,
}

impl Edge {
    /// An edge in front of `front` that speaks `tls` and offers the ports of `passive`, enters its sessions into `sessions` and runs
    /// them on `workers`.
    pub(crate) fn new(
        config: FtpConfig,
        tls: Option<Arc<Tls>>,
        front: Front,
        passive: Arc<PassivePool>,
        sessions: Sessions,
        workers: Arc<Workers>,
    ) -> Self {
        let trusted = config.trusted_proxies.clone();
        let proxies = trusted.map(|trusted| Arc::new(Proxies::new(trusted, Arc::clone(&front.metrics))));
        Self { config, proxies, tls, front, passive, sessions, workers }
    }
}
