//! The passive port pool. The whole range is bound once and shared: a waiting session is found by port and client
//! address, so N ports serve N waiting data connections for each client address.
//!
//! Each port is accepted on by one of the threads that sessions run on, and a session takes a port of its own thread
//! where it can: then no other thread has to be woken for its data connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::host::Hosts;
use crate::config::{FtpConfig, PeerCheck};
use crate::metrics::{Counted, Metrics, Rejection};
use crate::net;
use crate::shutdown::Shutdown;
use crate::workers::Workers;

/// The pool.
#[derive(Debug)]
pub(crate) struct PassivePool {
    /// The ports of each thread.
    ports: Vec<Vec<u16>>,
    hosts: Hosts,
    check: PeerCheck,
    /// How long a slot is good for.
    patience: Duration,
    waiting: Mutex<HashMap<Key, oneshot::Sender<TcpStream>>>,
    metrics: Arc<Metrics>,
}

/// Who waits where. Without the check of addresses, a port serves one session at a time.
type Key = (u16, Option<IpAddr>);

impl PassivePool {
    /// Binds the range on each address that control connections are accepted on, and accepts on the threads of
    /// `workers` until the process stops. Ports that are taken are left out; fails if none is left.
    pub(crate) fn bind(
        config: &FtpConfig,
        listeners: &[SocketAddr],
        workers: &Workers,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> io::Result<Arc<Self>> {
        let mut addresses: Vec<IpAddr> = listeners.iter().map(SocketAddr::ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut bound = Vec::new();
        let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in config.passive_ports.range() {
            let listeners: io::Result<Vec<_>> =
                addresses.iter().map(|&address| net::bind((address, port).into())).collect();
            match listeners {
                Ok(listeners) => bound.push((port, listeners)),
                Err(error) => {
                    tracing::warn!(port, %error, "passive port left out");
                    last_error = error;
                }
            }
        }
        if bound.is_empty() {
            return Err(last_error);
        }
        metrics.passive_ports(bound.len());
        let mut ports = vec![Vec::new(); workers.count()];
        for (index, (port, _)) in bound.iter().enumerate() {
            ports[index % workers.count()].push(*port);
        }
        let pool = Arc::new(Self {
            ports,
            hosts: Hosts::new(config),
            check: config.data_peer_check,
            patience: config.data_timeout,
            waiting: Mutex::default(),
            metrics: Arc::clone(metrics),
        });
        for (index, (port, listeners)) in bound.into_iter().enumerate() {
            for listener in listeners {
                let accepting = Arc::clone(&pool).accept(port, listener, shutdown.clone());
                shutdown.spawn_service_on("passive port", accepting, workers.handle(index % workers.count()));
            }
        }
        Ok(pool)
    }

    /// A port on which `client` may connect, one of the thread `worker` if possible; none if `client`'s address waits
    /// on all of them.
    pub(in crate::edge) fn wait_for(self: &Arc<Self>, client: IpAddr, worker: usize) -> Option<Slot> {
        let address = match self.check {
            PeerCheck::Strict => Some(client),
            PeerCheck::Off => None,
        };
        let mut waiting = self.waiting();
        let free = |ports: &[u16]| {
            // A random start makes the next port hard to guess for others behind the client's address.
            let (before, after) = ports.split_at(rand::random_range(0..ports.len().max(1)));
            after.iter().chain(before).copied().find(|&port| !waiting.contains_key(&(port, address)))
        };
        let (others, own) = self.ports.split_at(worker);
        let port = own.iter().chain(others).find_map(|ports| free(ports))?;
        let key = (port, address);
        let (sender, connection) = oneshot::channel();
        waiting.insert(key, sender);
        drop(waiting);
        let counted = self.metrics.passive_waiting();
        let foreign = !self.ports[worker].contains(&port);
        let expires = Instant::now() + self.patience;
        Some(Slot { pool: Arc::clone(self), key, foreign, connection, expires, _counted: counted })
    }

    /// The IPv4 address that `client`, which dialled `local`, is told; none if there is none to tell.
    pub(in crate::edge) async fn address_for(&self, client: IpAddr, local: IpAddr) -> Option<Ipv4Addr> {
        self.hosts.told(client, local).await
    }

    async fn accept(self: Arc<Self>, port: u16, listener: TcpListener, shutdown: Shutdown) {
        let listener = match net::rehome_listener(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(port, %error, "passive port lost"),
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.stopping() => return,
                // Draining sessions may still hold a slot for a transfer that has begun; the listeners end with them.
            };
            match accepted {
                Ok((stream, peer)) => self.hand_over(port, stream, net::canonical(peer)),
                Err(error) => {
                    tracing::warn!(port, %error, "cannot accept a data connection");
                    sleep(net::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn hand_over(&self, port: u16, stream: TcpStream, peer: SocketAddr) {
        let address = match self.check {
            PeerCheck::Strict => Some(peer.ip()),
            PeerCheck::Off => None,
        };
        let waiter = self.waiting().remove(&(port, address));
        if waiter.is_none_or(|waiter| waiter.send(stream).is_err()) {
            self.metrics.rejected(Rejection::UnexpectedData);
            tracing::debug!(port, %peer, "nobody waits for this data connection");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, oneshot::Sender<TcpStream>>> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that waits for one session's data connection; given back when dropped.
#[derive(Debug)]
pub(in crate::edge) struct Slot {
    pool: Arc<PassivePool>,
    key: Key,
    /// The port is accepted on by another thread.
    foreign: bool,
    connection: oneshot::Receiver<TcpStream>,
    expires: Instant,
    _counted: Counted,
}

impl Slot {
    pub(in crate::edge) fn port(&self) -> u16 {
        self.key.0
    }

    /// When its owner gives it back unless a transfer has taken it, and closes what has connected.
    pub(super) fn expires(&self) -> Instant {
        self.expires
    }

    /// The client's connection on the calling thread, once it is there. The slot's owner bounds the wait.
    pub(super) async fn connected(&mut self) -> Option<TcpStream> {
        let stream = (&mut self.connection).await.ok()?;
        if self.foreign { net::rehome(stream).ok() } else { Some(stream) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Closing first makes sure that the entry, if it is still there, is ours and not a successor's: a successor
        // can take the key only after the entry was removed, and then ours has been sent to.
        self.connection.close();
        if let Err(oneshot::error::TryRecvError::Closed) = self.connection.try_recv() {
            let mut waiting = self.pool.waiting();
            if waiting.get(&self.key).is_some_and(oneshot::Sender::is_closed) {
                waiting.remove(&self.key);
            }
        }
    }
}
