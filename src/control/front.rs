//! What all sessions' front ends share.

use std::io;
use std::sync::Arc;

use super::pair::Pairs;
use crate::auth::Auth;
use crate::events::Events;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::shutdown::Shutdown;
use crate::storage::Stores;

/// What all sessions' front ends share.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// Who may log in.
    pub auth: Arc<Auth>,
    /// How much they may have of the gateway.
    pub limits: Limits,
    /// Where files live.
    pub stores: Stores,
    /// Who is told of what happens.
    pub events: Events,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Where what has ended is shown for a while.
    pub recent: Arc<Recent>,
    /// The stages of stopping.
    pub shutdown: Shutdown,
    pub(super) pairs: Arc<Pairs>,
}

impl Front {
    /// Fails if this machine has no loopback interface to spare a port on.
    pub(crate) fn new(
        auth: Arc<Auth>,
        limits: Limits,
        stores: Stores,
        events: Events,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
    ) -> io::Result<Self> {
        let (recent, pairs) = (Arc::default(), Arc::new(Pairs::new()?));
        Ok(Self { auth, limits, stores, events, metrics, recent, shutdown, pairs })
    }
}
