//! Connecting to the other replicas, wherever they are at the moment.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::introduction::{Challenge, GREETING, Secret};
use crate::config::Peer;

/// A replica is near: one that has not answered by then will not, and its client waits.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
const RESOLVE_DEADLINE: Duration = Duration::from_secs(2);
/// After this time a name is looked up again, by one of those who need it. A pod that is replaced has another address; that it
/// is not at the old one is noticed as well, but by a connection that has to wait for it.
const FRESH: Duration = Duration::from_secs(5);

/// Why a replica was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("its name does not resolve: {0}")]
    Unresolved(#[source] io::Error),
    #[error("its name does not resolve in time")]
    UnresolvedInTime,
    #[error("cannot connect to it: {0}")]
    Unconnected(#[from] io::Error),
    #[error("it does not answer")]
    Silent,
    #[error(
        "who answers is another replica, or differs in cluster.secret, cluster.replicas or ftp.passive_ports"
    )]
    Unknown,
}

/// One of the replicas.
#[derive(Debug)]
pub(super) struct Replica {
    ordinal: u16,
    peer: Peer,
    resolved: Mutex<Option<Resolved>>,
}

/// What its name has led to.
#[derive(Debug)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    /// When, or when somebody began to look again.
    at: Instant,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}

impl Replica {
    pub(super) fn new(ordinal: u16, peer: Peer) -> Self {
        Self { ordinal, peer, resolved: Mutex::default() }
    }

    /// A connection on which the replica has introduced itself, within four seconds. If nobody listens where its name leads,
    /// that is told at once.
    pub(super) async fn connect(&self, secret: &Secret) -> Result<(TcpStream, Challenge), Unreached> {
        if let Some(known) = self.known()
            && let Ok(connected) = self.connect_to(&known, secret).await
        {
            return Ok(connected);
        }
        let addresses = self.look_up().await?;
        self.connect_to(&addresses, secret).await
    }

    async fn connect_to(
        &self,
        addresses: &[SocketAddr],
        secret: &Secret,
    ) -> Result<(TcpStream, Challenge), Unreached> {
        let connecting = async {
            let mut stream = TcpStream::connect(addresses).await?;
            stream.set_nodelay(true)?;
            let mut greeting = [0; GREETING];
            stream.read_exact(&mut greeting).await?;
            let challenge = secret.challenge(self.ordinal, &greeting).ok_or(Unreached::Unknown)?;
            Ok((stream, challenge))
        };
        timeout(CONNECT_DEADLINE, connecting).await.unwrap_or(Err(Unreached::Silent))
    }

    /// Where it was, unless it is the caller's turn to look again.
    fn known(&self) -> Option<Vec<SocketAddr>> {
        let mut resolved = self.resolved();
        let resolved = resolved.as_mut()?;
        if resolved.at.elapsed() < FRESH {
            return Some(resolved.addresses.clone());
        }
        resolved.at = Instant::now();
        None
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, Unreached> {
        let looking = lookup_host((self.peer.host.as_str(), self.peer.port));
        let found = timeout(RESOLVE_DEADLINE, looking).await.map_err(|_| Unreached::UnresolvedInTime)?;
        let addresses: Vec<_> = found.map_err(Unreached::Unresolved)?.collect();
        *self.resolved() = Some(Resolved { addresses: addresses.clone(), at: Instant::now() });
        Ok(addresses)
    }

    fn resolved(&self) -> MutexGuard<'_, Option<Resolved>> {
        // No code that can panic runs under the lock.
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
