//! One sink: what it is told of, and where that waits.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::timeout_at;

use super::disk::{Disk, NotKept};
use super::event::Letter;
use super::filter::{About, passes};
use super::ledger::Found;
use super::lines::{Lines, Output};
use super::queue::Queue;
use super::room::{Place, Share};
use super::sender::Sender;
use super::webhook::Webhook;
use super::window::Limits;
use crate::config::{ConfigError, EventFilter, QueueConfig, SinkConfig, SinkKind};
use crate::metrics::Metrics;
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;

/// One of `[[events]]`.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) name: String,
    pub(super) required: bool,
    filter: EventFilter,
    outlet: Outlet,
    /// That an event is not safe yet.
    told: Seldom,
    /// Those that were not safe in time and are not yet: no more than the sink has room for.
    late: Mutex<Vec<Kept>>,
}

/// Tells when an event is as safe as it gets here, or that it is not. Dropped, it is not.
pub(super) type Kept = oneshot::Receiver<Result<(), NotKept>>;

#[derive(Debug)]
enum Outlet {
    Queue(Arc<Queue>),
    Lines(Lines),
}

/// What of the sinks of the configuration could not be opened, as far as looking tells.
pub(super) fn check(sinks: &[SinkConfig]) -> Vec<ConfigError> {
    let missing = |sink: &SinkConfig| {
        let SinkKind::File(path) = &sink.kind else { return None };
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let message = format!("there is no folder {}", folder.display());
        (!folder.is_dir()).then(|| ConfigError::new(format!("{}.path", sink.key), message))
    };
    sinks.iter().filter_map(missing).collect()
}

impl Sink {
    /// Opens it, and runs what serves it.
    pub(super) fn start(
        config: &SinkConfig,
        limits: &QueueConfig,
        disk: Option<(&Disk, Found)>,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let name = config.name.clone();
        let lines = |output| Lines::start(&name, output, limits.memory, metrics).map(Outlet::Lines);
        let outlet = match &config.kind {
            SinkKind::Stdout => lines(Output::stdout()?)?,
            SinkKind::File(path) => lines(Output::file(path.clone())?)?,
            SinkKind::Webhook(hook) => {
                let queue = match disk {
                    Some((disk, found)) => {
                        Queue::on_disk(&name, limits.memory, (disk, limits.disk, found), metrics)
                    }
                    None => Queue::in_memory(&name, limits.memory, metrics),
                };
                let queue = Arc::new(queue);
                let (max_age, max_attempts) = (hook.max_age, hook.max_attempts);
                let given_up = Limits { max_age, max_attempts, longest_pause: Duration::MAX };
                let webhook = Webhook::new(hook.clone()).map_err(io::Error::other)?;
                let sender = Sender::new(&name, &queue, webhook, hook.concurrency, given_up);
                shutdown.spawn_service("event sender", sender.run(shutdown.clone()));
                Outlet::Queue(queue)
            }
        };
        Ok(Self {
            name,
            required: config.required,
            filter: config.filter.clone(),
            outlet,
            told: Seldom::default(),
            late: Mutex::default(),
        })
    }

    /// Whether it is told of such events.
    pub(super) fn wants(&self, about: &About<'_>) -> bool {
        passes(&self.filter, about)
    }

    /// Holds room for an event about paths of so many bytes.
    pub(super) fn hold(&self, paths: usize, share: Share) -> Option<Place> {
        match &self.outlet {
            Outlet::Queue(queue) => queue.hold(paths, share),
            Outlet::Lines(lines) => lines.hold(share),
        }
    }

    /// Whether an event that is put in now would not be kept, as far as can be told: writing has failed when it was tried last,
    /// or what was put in before is still not safe.
    pub(super) fn fails(&self) -> bool {
        let failing = match &self.outlet {
            Outlet::Queue(queue) => queue.fails(),
            Outlet::Lines(lines) => lines.fails(),
        };
        failing || !self.still_late().is_empty()
    }

    fn still_late(&self) -> MutexGuard<'_, Vec<Kept>> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.retain_mut(|late| matches!(late.try_recv(), Err(TryRecvError::Empty)));
        late
    }

    /// Waits until an event is as safe as it gets here, but no longer than `until`; tells whether it is.
    pub(super) async fn is_kept(&self, mut kept: Kept, until: Instant) -> bool {
        if let Ok(kept) = timeout_at(until.into(), &mut kept).await {
            return matches!(kept, Ok(Ok(())));
        }
        self.still_late().push(kept);
        false
    }

    /// Puts an event in.
    pub(super) fn put(&self, letter: &Letter, place: Place) -> Kept {
        match &self.outlet {
            Outlet::Queue(queue) => queue.put(letter.clone(), place),
            Outlet::Lines(lines) => lines.put(letter, place),
        }
    }

    /// Warns that an event is not safe although its client has its reply; once a minute at most.
    pub(super) fn warn_not_kept(&self) {
        if let Some(others) = self.told.tell() {
            tracing::warn!(
                sink = self.name,
                others,
                "events are not on the disk although their clients have a reply"
            );
        }
    }

    /// Whether what it is told waits for somebody else to take it.
    pub(super) fn is_queue(&self) -> bool {
        matches!(self.outlet, Outlet::Queue(_))
    }

    /// Whether what it was told outlives the process, as soon as that is safe.
    pub(super) fn lasts(&self) -> bool {
        matches!(&self.outlet, Outlet::Queue(queue) if queue.lasts())
    }

    /// Opens its file anew.
    pub(super) fn reopen(&self) {
        if let Outlet::Lines(lines) = &self.outlet {
            lines.reopen();
        }
    }

    /// Resolves when nothing waits that a stop would lose.
    pub(super) async fn settled(&self) {
        match &self.outlet {
            Outlet::Queue(queue) => queue.settled().await,
            Outlet::Lines(lines) => lines.settled().await,
        }
    }

    /// Nothing is written any more after this moment.
    pub(super) fn close(&self, until: Instant) {
        if let Outlet::Lines(lines) = &self.outlet {
            lines.close(until);
        }
    }

    /// How many of those that wait a stop would lose.
    pub(super) fn at_stake(&self) -> u64 {
        match &self.outlet {
            Outlet::Queue(queue) => queue.at_stake(),
            Outlet::Lines(lines) => lines.depth(),
        }
    }

    /// How many events wait, and since when the oldest of a queue does.
    pub(super) fn depth(&self) -> (u64, Option<DateTime<Utc>>) {
        match &self.outlet {
            Outlet::Queue(queue) => queue.depth(),
            Outlet::Lines(lines) => (lines.depth(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_safe_in_time_makes_it_fail_until_it_is_known_what_became_of_it() {
        let (disk, hangs) = Disk::hanging();
        let metrics = Arc::new(Metrics::new([], []));
        let queue = Queue::on_disk("x", 9, (&disk, 1 << 20, Found::default()), &metrics);
        let sink = Sink {
            name: "x".to_owned(),
            required: true,
            filter: EventFilter::default(),
            outlet: Outlet::Queue(Arc::new(queue)),
            told: Seldom::default(),
            late: Mutex::default(),
        };
        let letter = Letter { made: Utc::now(), about: Vec::new(), body: "event".into() };
        let kept = sink.put(&letter, sink.hold(0, Share::Whole).expect("room"));
        assert!(!sink.fails());
        assert!(!sink.is_kept(kept, Instant::now()).await);
        assert!(sink.fails());
        drop(hangs);
        assert!(!sink.fails());
    }
}
