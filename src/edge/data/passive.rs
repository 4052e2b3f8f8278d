//! The passive port pool. The whole range is bound once and shared: a waiting session is found by port and client
//! address, so N ports serve N waiting data connections for each client address.
//!
//! In a cluster only the ports of this replica's slice are given to sessions. Those of the others are listened on as well, and
//! what connects to them is handed on.
//!
//! Each port is accepted on by one of the threads that sessions run on, and a session takes a port of its own thread
//! where it can: then no other thread has to be woken for its data connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

use super::hop::{Forwarder, Reached};
use super::host::Hosts;
use super::transport::Transport;
use crate::config::{ClusterConfig, FtpConfig, PeerCheck};
use crate::edge::proxy::Proxies;
use crate::metrics::{Counted, Metrics, Rejection};
use crate::net;
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;
use crate::workers::Workers;

/// As many as one listener holds back.
const MOST_EARLY: usize = 1024;

/// The pool.
#[derive(Debug)]
pub(crate) struct PassivePool {
    /// The ports of each thread, without those of other replicas.
    ports: Vec<Vec<u16>>,
    hosts: Hosts,
    check: PeerCheck,
    /// None where this is the only replica.
    forwarder: Option<Arc<Forwarder>>,
    /// None where connections begin without a PROXY header.
    proxies: Option<Arc<Proxies>>,
    /// How many more connections may be on their way to the end of their PROXY header.
    arriving: Arc<Semaphore>,
    /// How long a slot is good for.
    patience: Duration,
    /// What listens on each port, on the thread that accepts there.
    listeners: HashMap<u16, Vec<Arc<TcpListener>>>,
    waiting: Mutex<HashMap<Key, Waiter>>,
    /// Without descriptors each port fails ten times a second.
    told: Seldom,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

/// Who waits where. Without the check of addresses, a port serves one session at a time.
type Key = (u16, Option<IpAddr>);

/// Who waits, and since when: what has connected before is not theirs.
#[derive(Debug)]
struct Waiter {
    since: Instant,
    connection: oneshot::Sender<Transport>,
}

/// A connection to one of the ports, and since when it is known.
#[derive(Debug)]
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    at: Instant,
}

impl Accepted {
    fn now(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { stream, peer: net::canonical(peer), at: Instant::now() }
    }
}

/// What has come to a port of ours, here or at another replica.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: Transport,
    pub(super) client: SocketAddr,
    /// Since when it is known.
    pub(super) at: Instant,
}

impl PassivePool {
    /// Binds the range on each address that control connections are accepted on, and accepts until the process stops: on the
    /// threads of `workers`, on the process's own runtime where a port is another replica's. Ports that are taken are left
    /// out; fails if none of our own is left.
    pub(crate) fn bind(
        config: &FtpConfig,
        cluster: Option<&ClusterConfig>,
        listeners: &[SocketAddr],
        workers: &Workers,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> io::Result<Arc<Self>> {
        let mut addresses: Vec<IpAddr> = listeners.iter().map(SocketAddr::ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let forwarder = cluster.map(|cluster| Forwarder::new(cluster, config, metrics, shutdown));
        let is_foreign = |port| forwarder.as_ref().is_some_and(|forwarder| forwarder.is_foreign(port));
        let (mut bound, mut foreign) = (Vec::new(), Vec::new());
        let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in config.passive_ports.range() {
            let listeners: io::Result<Vec<_>> =
                addresses.iter().map(|&address| net::bind((address, port).into())).collect();
            match listeners {
                Ok(listeners) if is_foreign(port) => {
                    foreign.extend(listeners.into_iter().map(|each| (port, each)));
                }
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
        let mut listeners = HashMap::new();
        for (index, (port, bound)) in bound.into_iter().enumerate() {
            let _on_its_thread = workers.handle(index % workers.count()).enter();
            let rehomed = bound.into_iter().map(|listener| net::rehome_listener(listener).map(Arc::new));
            listeners.insert(port, rehomed.collect::<io::Result<Vec<_>>>()?);
        }
        let trusted = config.trusted_proxies.clone();
        let proxies = trusted.map(|trusted| Proxies::new(trusted, Arc::clone(metrics)));
        let pool = Arc::new(Self {
            ports,
            hosts: Hosts::new(config, shutdown),
            check: config.data_peer_check,
            forwarder: forwarder.map(Arc::new),
            proxies: proxies.map(Arc::new),
            arriving: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            patience: config.data_timeout,
            listeners,
            waiting: Mutex::default(),
            told: Seldom::default(),
            shutdown: shutdown.clone(),
            metrics: Arc::clone(metrics),
        });
        for (worker, ports) in pool.ports.iter().enumerate() {
            for &port in ports {
                for listener in &pool.listeners[&port] {
                    let accepting = Arc::clone(&pool).accept(port, Arc::clone(listener));
                    shutdown.spawn_service_on("passive port", accepting, workers.handle(worker));
                }
            }
        }
        for (port, listener) in foreign {
            let accepting = Arc::clone(&pool).accept(port, Arc::new(listener));
            shutdown.spawn_service("passive port of another replica", accepting);
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
        // What is there already was meant for somebody else, or for a transfer that was refused: taken for this one it
        // would be an empty file.
        let early = self.early(port);
        waiting.insert(key, Waiter { since: Instant::now(), connection: sender });
        drop(waiting);
        for accepted in early {
            self.accepted(port, accepted);
        }
        let counted = self.metrics.passive_waiting();
        let foreign = !self.ports[worker].contains(&port);
        let expires = Instant::now() + self.patience;
        Some(Slot { pool: Arc::clone(self), key, foreign, connection, expires, _counted: counted })
    }

    /// The IPv4 address that `client`, which dialled `local`, is told; none if there is none to tell.
    pub(in crate::edge) async fn address_for(&self, client: IpAddr, local: IpAddr) -> Option<Ipv4Addr> {
        self.hosts.told(client, local).await
    }

    async fn accept(self: Arc<Self>, port: u16, listener: Arc<TcpListener>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.stopping() => return,
                // Draining sessions may still hold a slot for a transfer that has begun; the listeners end with them.
            };
            match accepted {
                Ok((stream, peer)) => self.accepted(port, Accepted::now(stream, peer)),
                Err(error) => {
                    if let Some(others) = self.told.tell() {
                        tracing::warn!(port, %error, others, "cannot accept a data connection");
                    }
                    sleep(net::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// What has connected to `port` and is not accepted yet. It is woken on the calling thread, whoever it turns out to be for:
    /// mostly it is nobody's and closed at once.
    fn early(&self, port: u16) -> Vec<Accepted> {
        let accepted = |listener: &Arc<TcpListener>| {
            let (socket, address) = SockRef::from(&**listener).accept().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(Accepted::now(TcpStream::from_std(socket.into()).ok()?, address.as_socket()?))
        };
        let of = |listener| std::iter::from_fn(move || accepted(listener)).take(MOST_EARLY);
        self.listeners[&port].iter().flat_map(of).collect()
    }

    fn accepted(self: &Arc<Self>, port: u16, mut accepted: Accepted) {
        let Some(proxies) = self.proxies.clone() else { return self.pass_on(port, accepted, None) };
        if !proxies.trusts(accepted.peer) {
            return;
        }
        let Ok(place) = Arc::clone(&self.arriving).try_acquire_owned() else {
            return self.metrics.rejected(Rejection::MaxConnections);
        };
        let (pool, stage) = (Arc::clone(self), self.shutdown.clone());
        let arriving = async move {
            let _held = place;
            let ends = tokio::select! {
                biased;
                () = stage.stopping() => return,
                ends = proxies.ends(&mut accepted.stream, accepted.peer) => ends,
            };
            if let Some(ends) = ends {
                pool.pass_on(port, Accepted { peer: ends.client, ..accepted }, Some(ends.dialled));
            }
        };
        // On the thread that has accepted it: mostly that of this port, which sessions have chosen it for.
        self.shutdown.spawn_on(arriving, &Handle::current());
    }

    /// To the session that waits for it, or to the replica that owns the port. The client has dialled the connection's own
    /// address unless a balancer has said another.
    fn pass_on(&self, port: u16, Accepted { stream, peer, at }: Accepted, dialled: Option<SocketAddr>) {
        let Some(forwarder) = self.forwarder.as_ref().filter(|forwarder| forwarder.is_foreign(port)) else {
            return self.hand_over(port, Arrived { stream: Transport::Own(stream), client: peer, at });
        };
        let Some(dialled) = dialled.or_else(|| stream.local_addr().ok()) else { return };
        let dialled = SocketAddr::new(dialled.ip().to_canonical(), port);
        forwarder.hand_on(Reached { stream, client: peer, dialled, at });
    }

    /// To the session that waits for `port` and this client, if there is one.
    pub(super) fn hand_over(&self, port: u16, Arrived { stream, client, at }: Arrived) {
        let address = match self.check {
            PeerCheck::Strict => Some(client.ip()),
            PeerCheck::Off => None,
        };
        let key = (port, address);
        let mut waiting = self.waiting();
        let waiter = waiting.get(&key).is_some_and(|waiter| waiter.since <= at);
        let waiter = waiter.then(|| waiting.remove(&key)).flatten();
        drop(waiting);
        if waiter.is_none_or(|waiter| waiter.connection.send(stream).is_err()) {
            self.metrics.rejected(Rejection::UnexpectedData);
            tracing::debug!(port, %client, "nobody waits for this data connection");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Waiter>> {
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
    connection: oneshot::Receiver<Transport>,
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
    pub(super) async fn connected(&mut self) -> Option<Transport> {
        let stream = (&mut self.connection).await.ok()?;
        match stream {
            Transport::Own(_) if !self.foreign => Some(stream),
            Transport::Own(_) | Transport::Handed(_) => stream.rehome().ok(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Closing first makes sure that the entry, if it is still there, is ours and not a successor's: a successor
        // can take the key only after the entry was removed, and then ours has been sent to.
        self.connection.close();
        if let Err(oneshot::error::TryRecvError::Closed) = self.connection.try_recv() {
            let mut waiting = self.pool.waiting();
            if waiting.get(&self.key).is_some_and(|waiter| waiter.connection.is_closed()) {
                waiting.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::{Config, Environment};

    /// A pool of one port.
    fn pool(workers: &Workers, shutdown: &Shutdown) -> (Arc<PassivePool>, SocketAddr) {
        let any = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = any.local_addr().expect("bound").port();
        drop(any);
        let text = format!("[ftp]\npassive_ports = \"{port}\"\n[stores.only]\nurl = \"memory:///\"\n");
        let config = Config::parse(&text, &Environment::new()).expect("a valid configuration").ftp;
        let metrics = Arc::new(Metrics::new(["only"], []));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let pool = PassivePool::bind(&config, None, &[address], workers, &metrics, shutdown).expect("free");
        (pool, address)
    }

    /// The client of a transfer that was refused has closed its connection; the next transfer must not take it for its own.
    #[tokio::test]
    async fn what_was_there_before_is_nobodys() {
        let (workers, shutdown) = (Workers::start().expect("threads"), Shutdown::new(Handle::current()));
        let (pool, address) = pool(&workers, &shutdown);
        // The thread that accepts has something else to do meanwhile.
        let (go_on, wait) = mpsc::channel::<()>();
        workers.handle(0).spawn(async move { wait.recv() });
        let stale = TcpStream::connect(address).await.expect("it listens");
        drop(stale);
        let mut slot = pool.wait_for(address.ip(), 0).expect("the port is free");
        drop(go_on);
        let fresh = TcpStream::connect(address).await.expect("it listens");
        let taken = slot.connected().await.expect("it is there");
        assert_eq!(taken.tcp().peer_addr().expect("open"), fresh.local_addr().expect("open"));
        shutdown.stop_now();
    }

    /// It reached another replica before the PASV, and this one after it.
    #[tokio::test]
    async fn what_was_elsewhere_before_is_nobodys() {
        let (workers, shutdown) = (Workers::start().expect("threads"), Shutdown::new(Handle::current()));
        let (pool, address) = pool(&workers, &shutdown);
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let connect =
            async || TcpStream::connect(elsewhere.local_addr().expect("bound")).await.expect("it listens");
        let arrive = |stream, at| {
            let stream = Transport::Own(stream);
            pool.hand_over(address.port(), Arrived { stream, client: address, at });
        };
        let (stale, fresh, before) = (connect().await, connect().await, Instant::now());
        let mut slot = pool.wait_for(address.ip(), 0).expect("the port is free");
        let expected = fresh.local_addr().expect("open");
        arrive(stale, before);
        arrive(fresh, Instant::now());
        let taken = slot.connected().await.expect("it is there");
        assert_eq!(taken.tcp().local_addr().expect("open"), expected);
        shutdown.stop_now();
    }
}
