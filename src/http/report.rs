//! The shape of `/status.json`. Fields keep their names and meaning; new ones may come.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The state of the gateway at one moment. What only holders of the admin token may see is null without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub version: String,
    pub time: DateTime<Utc>,
    pub uptime_seconds: u64,
    pub state: Readiness,
    /// Why it is not ready; empty if it is.
    pub reasons: Vec<String>,
    /// Whether names, addresses and paths are shown.
    pub details: bool,
    pub sessions: Sessions,
    pub transfers: Transfers,
    pub stores: Vec<Store>,
    pub passive_ports: PassivePorts,
    pub buffers: Buffers,
    /// What waits for each sink of events.
    #[serde(default)]
    pub event_queues: Vec<EventQueue>,
    /// The latest first.
    pub failed_logins: Vec<FailedLogin>,
    pub certificates: Vec<Certificate>,
    pub cluster: Option<Cluster>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Readiness {
    Ready,
    NotReady,
    Draining,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sessions {
    pub open: usize,
    pub limit: usize,
    /// The oldest first, at most [`super::observer::MOST_LISTED`].
    pub list: Vec<Session>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub id: u64,
    /// Null before login, too.
    pub user: Option<String>,
    pub address: Option<String>,
    pub seconds: u64,
    /// The verb that runs.
    pub command: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Transfers {
    /// How many run.
    pub active: usize,
    /// The oldest sessions' first, at most [`super::observer::MOST_LISTED`].
    pub running: Vec<RunningTransfer>,
    /// The latest first.
    pub last: Vec<EndedTransfer>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunningTransfer {
    pub session: u64,
    pub user: Option<String>,
    pub path: Option<String>,
    pub direction: String,
    pub bytes: u64,
    /// How many there will be, where that is known.
    pub size: Option<u64>,
    pub seconds: f64,
    /// On average since it began.
    pub bytes_per_second: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventQueue {
    pub sink: String,
    /// Events that wait to be delivered.
    pub waiting: u64,
    /// When the oldest of them was made, as far as that is known.
    pub oldest: Option<DateTime<Utc>>,
    /// How many of them are in memory alone, so that a kill loses them.
    pub at_stake: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EndedTransfer {
    pub ended: DateTime<Utc>,
    pub session: u64,
    pub user: Option<String>,
    pub address: Option<String>,
    pub path: Option<String>,
    pub store: Option<String>,
    pub direction: String,
    pub result: String,
    pub bytes: u64,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    pub name: String,
    /// Null until it has been asked.
    pub reachable: Option<bool>,
    pub since: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PassivePorts {
    pub listening: i64,
    pub waiting: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Buffers {
    pub bytes: i64,
    pub limit_bytes: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FailedLogin {
    pub time: DateTime<Utc>,
    pub session: u64,
    pub name: Option<String>,
    pub address: Option<String>,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub file: Option<String>,
    pub expires: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub ordinal: u16,
    /// The most that there will ever be.
    pub replicas: usize,
    pub first_port: u16,
    pub last_port: u16,
    /// Data connections of others that are handed on now.
    pub forwarding: i64,
}

impl Report {
    /// The same for everybody: without names, addresses and paths.
    pub(super) fn without_details(&self) -> Self {
        let mut report = self.clone();
        report.details = false;
        for session in &mut report.sessions.list {
            (session.user, session.address) = (None, None);
        }
        for transfer in &mut report.transfers.running {
            (transfer.user, transfer.path) = (None, None);
        }
        for transfer in &mut report.transfers.last {
            (transfer.user, transfer.address, transfer.path) = (None, None, None);
        }
        // What a store says may name its address.
        report.stores.iter_mut().for_each(|store| store.error = None);
        for login in &mut report.failed_logins {
            (login.name, login.address) = (None, None);
        }
        report.certificates.iter_mut().for_each(|certificate| certificate.file = None);
        report
    }
}
