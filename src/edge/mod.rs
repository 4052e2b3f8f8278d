//! All that touches a client's socket: accepting, limits, bounded command lines, the working directory, passive ports,
//! data connections, timeouts and the words of the replies.

mod answer;
mod command;
mod connection;
mod data;
mod limits;
mod line;
mod listener;
mod login;
mod passive;
mod reply;
mod socket;
mod transfer;
mod verb;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use listener::serve;
pub use passive::PassivePool;
pub use verb::names as verb_names;

use crate::config::FtpConfig;
use crate::control::Front;
use crate::workers::Workers;
use limits::Limits;

/// What all connections share.
#[derive(Debug)]
pub struct Edge {
    config: FtpConfig,
    front: Front,
    passive: Arc<PassivePool>,
    limits: Limits,
    workers: Workers,
    last_session: AtomicU64,
}

impl Edge {
    /// An edge in front of `front` that offers the ports of `passive` and runs sessions on `workers`.
    pub fn new(config: FtpConfig, front: Front, passive: Arc<PassivePool>, workers: Workers) -> Self {
        let limits = Limits::new(config.max_connections, config.max_connections_per_ip);
        Self { config, front, passive, limits, workers, last_session: AtomicU64::new(0) }
    }
}
