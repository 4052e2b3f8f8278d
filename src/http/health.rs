//! Whether the process is ready, from asking each store now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::storage::{Store, Stores};

/// How often a store is asked.
const PERIOD: Duration = Duration::from_secs(15);
/// Sooner while it does not answer, so that recovery is noticed.
const PERIOD_WHEN_FAILING: Duration = Duration::from_secs(2);
/// A store that takes longer is as good as unreachable for clients that wait for a reply.
const DEADLINE: Duration = Duration::from_secs(10);

/// The readiness of the process.
#[derive(Debug)]
pub(crate) struct Health {
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
    /// By store; none until it has been asked for the first time.
    stores: Mutex<BTreeMap<String, Option<Reach>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Answers,
    Unreachable,
}

impl Health {
    /// Begins to ask `stores`.
    pub(crate) fn watch(stores: &Stores, metrics: &Arc<Metrics>, shutdown: &Shutdown) -> Arc<Self> {
        let unknown = stores.iter().map(|store| (store.name().to_owned(), None)).collect();
        let (metrics, stores_known) = (Arc::clone(metrics), Mutex::new(unknown));
        let health = Arc::new(Self { shutdown: shutdown.clone(), metrics, stores: stores_known });
        for store in stores.iter() {
            shutdown.spawn_service("store probe", Arc::clone(&health).ask(Arc::clone(store)));
        }
        health
    }

    /// Why the process is not ready; empty if it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.shutdown.is_draining() {
            reasons.push("draining".to_owned());
        }
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if stores.values().any(Option::is_none) {
            reasons.push("starting".to_owned());
        }
        let unreachable = stores.iter().filter(|(_, reach)| **reach == Some(Reach::Unreachable));
        reasons.extend(unreachable.map(|(name, _)| format!("store {name} unreachable")));
        reasons
    }

    /// Returns what was known before.
    fn note(&self, store: &str, reach: Reach) -> Option<Reach> {
        self.metrics.store_reachable(store, reach == Reach::Answers);
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.insert(store.to_owned(), Some(reach)).flatten()
    }

    async fn ask(self: Arc<Self>, store: Arc<Store>) {
        loop {
            let reach = tokio::select! {
                reach = probe(&store) => reach,
                () = self.shutdown.stopping() => return,
            };
            let before = self.note(store.name(), reach);
            if before == Some(Reach::Unreachable) && reach == Reach::Answers {
                tracing::info!(store = store.name(), "store answers again");
            }
            tokio::select! {
                () = sleep(if reach == Reach::Answers { PERIOD } else { PERIOD_WHEN_FAILING }) => {}
                () = self.shutdown.stopping() => return,
            }
        }
    }
}

async fn probe(store: &Store) -> Reach {
    match timeout(DEADLINE, store.probe()).await {
        Ok(Ok(())) => Reach::Answers,
        Ok(Err(error)) => {
            tracing::warn!(
                store = store.name(),
                error = &error as &dyn std::error::Error,
                "store unreachable"
            );
            Reach::Unreachable
        }
        Err(_) => {
            tracing::warn!(store = store.name(), "store does not answer in time");
            Reach::Unreachable
        }
    }
}
