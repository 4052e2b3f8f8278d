//! Whether the process is ready, from asking each store now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
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
    stores: Mutex<BTreeMap<String, Option<Seen>>>,
}

/// How a store was found.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) reach: Reach,
    /// Since when.
    pub(super) since: DateTime<Utc>,
}

/// Whether a store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Answers,
    /// With what it said, or did not say.
    Unreachable(String),
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
        let unreachable =
            stores.iter().filter(|(_, seen)| seen.as_ref().is_some_and(|seen| seen.reach != Reach::Answers));
        reasons.extend(unreachable.map(|(name, _)| format!("store {name} unreachable")));
        reasons
    }

    /// Each store by name and how it was found, if it has been asked yet.
    pub(super) fn stores(&self) -> BTreeMap<String, Option<Seen>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, store: &str, reach: Reach) {
        let answers = reach == Reach::Answers;
        self.metrics.store_reachable(store, answers);
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let before = stores.get_mut(store).and_then(Option::take);
        let changed = before.as_ref().is_none_or(|before| (before.reach == Reach::Answers) != answers);
        if changed && answers && before.is_some() {
            tracing::info!(store, "store answers again");
        }
        let since = before.filter(|_| !changed).map_or_else(Utc::now, |before| before.since);
        stores.insert(store.to_owned(), Some(Seen { reach, since }));
    }

    async fn ask(self: Arc<Self>, store: Arc<Store>) {
        loop {
            let reach = tokio::select! {
                reach = probe(&store) => reach,
                () = self.shutdown.stopping() => return,
            };
            let pause = if reach == Reach::Answers { PERIOD } else { PERIOD_WHEN_FAILING };
            self.note(store.name(), reach);
            tokio::select! {
                () = sleep(pause) => {}
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
            Reach::Unreachable(error.to_string())
        }
        Err(_) => {
            tracing::warn!(store = store.name(), "store does not answer in time");
            Reach::Unreachable("does not answer in time".to_owned())
        }
    }
}
