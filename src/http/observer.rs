//! Looks at the gateway: once a second at most, however many look on, and not at all while nobody does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::health::{Health, Reach};
use super::page;
use super::report::{
    Buffers, Certificate, Cluster, EndedTransfer, EventQueue, FailedLogin, PassivePorts, Readiness, Report,
    RunningTransfer, Session, Sessions, Store, Transfers,
};
use crate::events::{Depth, Events};
use crate::metrics::{Direction, Metrics};
use crate::recent::Recent;
use crate::session::{Activity, Operation};
use crate::sessions::{self, View};
use crate::shutdown::Shutdown;

/// A look lasts so long. A little less than a second, so that who looks once a second sees another each time.
const LASTS: Duration = Duration::from_millis(900);
/// How many sessions and running transfers are listed; counted are all.
pub(super) const MOST_LISTED: usize = 500;

/// Everything that can be looked at.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) sessions: sessions::Sessions,
    pub(super) shutdown: Shutdown,
    recent: Arc<Recent>,
    events: Events,
    cluster: Option<Cluster>,
    began: Instant,
    last: Mutex<Option<(Instant, Arc<Look>)>>,
}

/// What somebody may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Names, addresses and paths as well.
    Details,
    /// Numbers.
    Numbers,
}

/// One look at the gateway, for both kinds of viewers.
#[derive(Debug)]
pub(super) struct Look {
    details: Shown,
    numbers: Shown,
}

/// A report, and how the page shows it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) report: Report,
    pub(super) html: String,
    /// The same as JSON's text, which has no line ends.
    pub(super) event: String,
}

impl Shown {
    fn new(report: Report) -> Self {
        let html = page::content(&report).into_string();
        let event = serde_json::to_string(&html).expect("text can be written");
        Self { report, html, event }
    }
}

impl Look {
    pub(super) fn shown(&self, sight: Sight) -> &Shown {
        match sight {
            Sight::Details => &self.details,
            Sight::Numbers => &self.numbers,
        }
    }
}

impl Observer {
    /// Of `cluster`, what the configuration says.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        sessions: sessions::Sessions,
        recent: Arc<Recent>,
        events: Events,
        shutdown: Shutdown,
        cluster: Option<Cluster>,
    ) -> Self {
        let (began, last) = (Instant::now(), Mutex::default());
        Self { metrics, health, sessions, shutdown, recent, events, cluster, began, last }
    }

    /// The gateway as it was within the last second.
    pub(super) fn look(&self) -> Arc<Look> {
        // Held while looking, so that of those who come at once only one looks.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, look)) if at.elapsed() < LASTS => Arc::clone(look),
            Some(_) | None => {
                let report = self.report();
                let numbers = Shown::new(report.without_details());
                let look = Arc::new(Look { details: Shown::new(report), numbers });
                *last = Some((Instant::now(), Arc::clone(&look)));
                look
            }
        }
    }

    fn report(&self) -> Report {
        let reading = self.metrics.read();
        let views = self.sessions.views();
        let reasons = self.health.reasons();
        let state = match &reasons[..] {
            _ if self.shutdown.is_draining() => Readiness::Draining,
            [] => Readiness::Ready,
            [..] => Readiness::NotReady,
        };
        let cluster =
            self.cluster.map(|known| Cluster { forwarding: reading.forwarded_connections, ..known });
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: Utc::now(),
            uptime_seconds: self.began.elapsed().as_secs(),
            state,
            reasons,
            details: true,
            transfers: self.transfers(&views),
            sessions: Sessions {
                open: views.len(),
                limit: self.sessions.most(),
                list: views.into_iter().take(MOST_LISTED).map(session).collect(),
            },
            stores: self.stores(),
            passive_ports: PassivePorts {
                listening: reading.passive_ports,
                waiting: reading.passive_ports_waiting,
            },
            buffers: Buffers { bytes: reading.buffer_bytes, limit_bytes: reading.buffer_limit_bytes },
            event_queues: self.events.depths().into_iter().map(event_queue).collect(),
            failed_logins: self.failed_logins(),
            certificates: reading.certificates.into_iter().filter_map(certificate).collect(),
            cluster,
        }
    }

    fn transfers(&self, views: &[View]) -> Transfers {
        let running = || views.iter().filter_map(running);
        let ended = self.recent.transfers().into_iter().map(|ended| EndedTransfer {
            ended: ended.ended,
            session: ended.session,
            user: Some(ended.user),
            address: Some(ended.peer.to_string()),
            path: Some(ended.path.to_string()),
            store: ended.store,
            direction: ended.direction.label().to_owned(),
            result: ended.result.label().to_owned(),
            bytes: ended.bytes,
            seconds: ended.took.as_secs_f64(),
        });
        Transfers {
            active: running().count(),
            running: running().take(MOST_LISTED).collect(),
            last: ended.collect(),
        }
    }

    fn stores(&self) -> Vec<Store> {
        let stores = self.health.stores().into_iter().map(|(name, seen)| {
            let since = seen.as_ref().map(|seen| seen.since);
            let (reachable, error) = match seen.map(|seen| seen.reach) {
                None => (None, None),
                Some(Reach::Answers) => (Some(true), None),
                Some(Reach::Unreachable(error)) => (Some(false), Some(error)),
            };
            Store { name, reachable, since, error }
        });
        stores.collect()
    }

    fn failed_logins(&self) -> Vec<FailedLogin> {
        let logins = self.recent.failed_logins().into_iter().map(|login| FailedLogin {
            time: login.at,
            session: login.session,
            name: Some(login.name),
            address: Some(login.peer.to_string()),
            reason: login.reason,
        });
        logins.collect()
    }
}

fn event_queue(depth: Depth) -> EventQueue {
    let Depth { sink, waiting, oldest, at_stake } = depth;
    EventQueue { sink, waiting, oldest, at_stake }
}

fn session(view: View) -> Session {
    Session {
        id: view.id,
        user: view.user,
        address: Some(view.peer.to_string()),
        seconds: view.age.as_secs(),
        command: view.activity.map(|activity| activity.operation.verb().to_owned()),
    }
}

fn running(view: &View) -> Option<RunningTransfer> {
    let activity = view.activity.as_ref()?;
    let direction = direction(activity.operation)?;
    let (bytes, seconds) = (activity.moved(), activity.began.elapsed().as_secs_f64());
    Some(RunningTransfer {
        session: view.id,
        user: view.user.clone(),
        path: Some(activity.path.to_string()),
        direction: direction.label().to_owned(),
        bytes,
        size: Activity::expected(activity),
        seconds,
        bytes_per_second: speed(bytes, seconds),
    })
}

fn direction(operation: Operation) -> Option<Direction> {
    match operation {
        Operation::Stor => Some(Direction::Upload),
        Operation::Appe => Some(Direction::Append),
        Operation::Retr => Some(Direction::Download),
        Operation::Cwd
        | Operation::Mkd
        | Operation::Rmd
        | Operation::Dele
        | Operation::Rnfr
        | Operation::Rnto
        | Operation::Size
        | Operation::Mdtm
        | Operation::Mfmt
        | Operation::Mlst
        | Operation::Stat
        | Operation::Hash
        | Operation::List
        | Operation::Nlst
        | Operation::Mlsd => None,
    }
}

/// On average; of what has only begun it would be noise.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "it is shown with three digits"
)]
fn speed(bytes: u64, seconds: f64) -> u64 {
    if seconds < 0.1 { 0 } else { (bytes as f64 / seconds) as u64 }
}

fn certificate((file, expires): (String, i64)) -> Option<Certificate> {
    Some(Certificate { file: Some(file), expires: DateTime::from_timestamp(expires, 0)? })
}
