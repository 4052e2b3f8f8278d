//! All sinks: what is about to happen is announced to them, and what has happened is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::time::timeout;
use uuid::Uuid;

use super::disk::Disk;
use super::event::{Event, Letter, Origin};
use super::filter::About;
use super::ledger::Found;
use super::room::{Place, Share};
use super::sink::{Kept, Sink};
use crate::config::{EventType, EventsConfig, SinkKind};
use crate::metrics::{EventOutcome, Metrics};
use crate::shutdown::Shutdown;

/// How long whoever tells of something waits until that is safe, for all sinks together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sinks of the configuration. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Events(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    origin: Origin,
    sinks: Vec<Sink>,
    disk: Option<Disk>,
    metrics: Arc<Metrics>,
}

/// A sink that is `required` cannot keep an event.
#[derive(Debug, thiserror::Error)]
pub enum Unannounced {
    /// Nothing has happened yet.
    #[error("the event sink `{0}` has no room")]
    NoRoom(String),
    /// Nothing has happened yet.
    #[error("the event sink `{0}` cannot be written to")]
    Failing(String),
    /// What it tells of has happened.
    #[error("the event sink `{0}` could not keep an event")]
    NotKept(String),
}

/// Something is about to happen, and these sinks want to know. Dropped, it does not.
#[derive(Debug)]
pub(crate) struct Announced {
    hub: Arc<Hub>,
    /// Their indices, with the room that is held there.
    places: Vec<(usize, Option<Place>)>,
    paths: usize,
}

/// How much waits for a sink.
#[derive(Clone, Debug)]
pub(crate) struct Depth {
    /// Its name.
    pub sink: String,
    /// Events.
    pub waiting: u64,
    /// When the oldest of them was made, as far as that is known.
    pub oldest: Option<DateTime<Utc>>,
    /// How many of them are in memory alone, so that a kill loses them.
    pub at_stake: u64,
}

impl Events {
    /// Opens every sink and the queue's folder, and runs what serves them.
    pub(crate) fn start(
        config: &EventsConfig,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let mut found = BTreeMap::new();
        let queued = config.sinks.iter().any(|sink| matches!(sink.kind, SinkKind::Webhook(_)));
        let folder = config.queue.folder.as_ref().filter(|_| queued);
        let disk = folder.map(|folder| {
            let note = |sink: &str, there| found.extend([(sink.to_owned(), there)]);
            Disk::open(folder, note).with_context(|| format!("events_queue.folder {}", folder.display()))
        });
        let disk = disk.transpose()?;
        let mut sinks = Vec::new();
        for sink in &config.sinks {
            // What waits for one that is of another kind now waits for nobody.
            let webhook = matches!(sink.kind, SinkKind::Webhook(_));
            let there: Found = webhook.then(|| found.remove(&sink.name)).flatten().unwrap_or_default();
            if there.count > 0 {
                tracing::info!(sink = sink.name, events = there.count, "events wait since before the start");
            }
            let disk = disk.as_ref().map(|disk| (disk, there));
            let started = Sink::start(sink, &config.queue, disk, metrics, shutdown);
            sinks.push(started.with_context(|| format!("events `{}`", sink.name))?);
        }
        for (sink, Found { count, .. }) in found {
            tracing::warn!(sink, events = count, "events wait for a sink that is not configured any more");
        }
        let host = nix::unistd::gethostname().unwrap_or_default();
        let source = format!("urn:bucketport:{}", host.to_string_lossy());
        let origin = Origin { source, process: Uuid::now_v7() };
        if !sinks.is_empty() {
            tracing::info!(sinks = sinks.len(), process = %origin.process, "events are told");
        }
        Ok(Self(Arc::new(Hub { origin, sinks, disk, metrics: Arc::clone(metrics) })))
    }

    /// Something of this kind is about to happen at these paths. Refused if a sink that is `required` has no room for it, or is
    /// known not to keep it.
    pub(crate) fn announce(
        &self,
        kind: EventType,
        user: Option<&str>,
        paths: &[&str],
    ) -> Result<Announced, Unannounced> {
        let length = paths.iter().map(|path| path.len()).sum();
        let mut places = Vec::new();
        for (index, sink) in self.wanting(About { kind, user, paths }) {
            let place = if sink.required { Some(self.reserve(sink, length)?) } else { None };
            places.push((index, place));
        }
        Ok(Announced { hub: Arc::clone(&self.0), places, paths: length })
    }

    fn reserve(&self, sink: &Sink, paths: usize) -> Result<Place, Unannounced> {
        let reserved = if sink.fails() {
            Err(Unannounced::Failing(sink.name.clone()))
        } else {
            sink.hold(paths, Share::Whole).ok_or_else(|| Unannounced::NoRoom(sink.name.clone()))
        };
        if reserved.is_err() {
            self.0.metrics.events(&sink.name, EventOutcome::Refused, 1);
        }
        reserved
    }

    /// Something has happened that cannot be refused: dropped where half of the room is used, the rest is for what can be.
    pub(crate) fn tell(&self, event: &Event) {
        let paths: Vec<&str> = event.details.path.as_deref().into_iter().collect();
        let about = About { kind: event.kind, user: event.user.as_deref(), paths: &paths };
        let mut places = Vec::new();
        for (index, sink) in self.wanting(about) {
            match sink.hold(0, Share::Half) {
                Some(place) => places.push((index, Some(place))),
                None => self.0.metrics.events(&sink.name, EventOutcome::Dropped, 1),
            }
        }
        let announced = Announced { hub: Arc::clone(&self.0), places, paths: 0 };
        // Nobody waits: there is nothing that could be refused any more.
        drop(announced.put(event));
    }

    fn wanting(&self, about: About<'_>) -> impl Iterator<Item = (usize, &Sink)> {
        self.0.sinks.iter().enumerate().filter(move |(_, sink)| sink.wants(&about))
    }

    /// Opens the files of sinks anew.
    pub(crate) fn reopen(&self) {
        self.0.sinks.iter().for_each(Sink::reopen);
    }

    /// How much waits for each sink.
    pub(crate) fn depths(&self) -> Vec<Depth> {
        let depth = |sink: &Sink| {
            let (waiting, oldest) = sink.depth();
            Depth { sink: sink.name.clone(), waiting, oldest, at_stake: sink.at_stake() }
        };
        self.0.sinks.iter().map(depth).collect()
    }

    /// Waits until nothing is left that a stop would lose, for `limit` at most.
    pub(crate) async fn settle(&self, limit: Duration) {
        let settling = futures::future::join_all(self.0.sinks.iter().map(Sink::settled));
        // What is left then is counted by `close`.
        let _ = timeout(limit, settling).await;
    }

    /// Flushes what outlives the process, within `limit`, and counts what does not.
    pub(crate) async fn close(&self, limit: Duration) {
        self.0.sinks.iter().for_each(|sink| sink.close(Instant::now() + limit));
        let settling = self.0.sinks.iter().filter(|sink| !sink.is_queue()).map(Sink::settled);
        let closing = async {
            futures::future::join_all(settling).await;
            if let Some(disk) = &self.0.disk {
                disk.close().await;
            }
        };
        // What is late is lost, or delivered again.
        let _ = timeout(limit, closing).await;
        for sink in &self.0.sinks {
            let ((waiting, oldest), lost, sink) = (sink.depth(), sink.at_stake(), &sink.name);
            let (stay, oldest) = (waiting.saturating_sub(lost), oldest.map(tracing::field::display));
            if stay > 0 {
                tracing::info!(sink, events = stay, oldest, "events wait for the next start");
            }
            if lost > 0 {
                tracing::error!(sink, events = lost, oldest, "events are lost");
                self.0.metrics.events(sink, EventOutcome::Lost, lost);
            }
        }
    }
}

impl Announced {
    /// Whether any sink wants to know.
    pub(crate) fn is_heard(&self) -> bool {
        !self.places.is_empty()
    }

    /// It has happened. Waits until the event outlives the process, where there is a folder for that, and until a sink that is
    /// `required` has it. Only such a sink can fail this.
    pub(crate) async fn tell(self, event: &Event) -> Result<(), Unannounced> {
        let hub = Arc::clone(&self.hub);
        let until = Instant::now() + PATIENCE;
        for (index, kept) in self.put(event) {
            let sink = &hub.sinks[index];
            if !sink.required && !sink.lasts() {
                continue;
            }
            let kept = sink.is_kept(kept, until).await;
            if !kept && sink.required {
                return Err(Unannounced::NotKept(sink.name.clone()));
            }
            if !kept {
                sink.warn_not_kept();
            }
        }
        Ok(())
    }

    /// Puts the event into every sink that wants it and has room.
    fn put(self, event: &Event) -> Vec<(usize, Kept)> {
        if self.places.is_empty() {
            return Vec::new();
        }
        let letter = Letter::write(event, &self.hub.origin);
        let mut waiting = Vec::new();
        for (index, place) in self.places {
            let sink = &self.hub.sinks[index];
            match place.or_else(|| sink.hold(self.paths, Share::Whole)) {
                Some(place) => waiting.push((index, sink.put(&letter, place))),
                None => self.hub.metrics.events(&sink.name, EventOutcome::Dropped, 1),
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::config::{Config, Environment};
    use crate::events::Details;

    #[tokio::test]
    async fn what_the_folder_does_not_keep_is_at_stake() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Nobody listens there.
        let text = format!(
            "[stores.only]\nurl = \"memory:///\"\n[events_queue]\nfolder = \"{}\"\n[[events]]\nname = \"hook\"\n\
             type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\n",
            folder.path().display()
        );
        let config = Config::parse(&text, &Environment::new()).expect("a valid configuration");
        let metrics = Arc::new(Metrics::new([], []));
        let events =
            Events::start(&config.events, &metrics, &Shutdown::new(Handle::current())).expect("a queue");
        let client = "192.0.2.1".parse().expect("an address");
        let event =
            Event { kind: EventType::Login, user: None, client, session: 1, details: Details::default() };
        let tell = async || events.announce(EventType::Login, None, &[]).expect("room").tell(&event).await;
        let depth = || (events.depths()[0].waiting, events.depths()[0].at_stake);
        tell().await.expect("nothing is required");
        assert_eq!(depth(), (1, 0));
        events.0.disk.as_ref().expect("there is a folder").close().await;
        tell().await.expect("nothing is required");
        assert_eq!(depth(), (2, 1));
    }
}
