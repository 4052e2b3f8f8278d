//! Puts the parts together, runs them, and stops them in two stages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::auth::{self, Auth, Elsewhere};
use crate::config::{ClusterConfig, Config, ConfigError, ConfigErrors, Reload};
use crate::control::Front;
use crate::edge::{self, Edge, Entrance, PassivePool};
use crate::events::{self, Events};
use crate::http::{self, Cluster, Health, Observer, Order};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net;
use crate::reload::Reloader;
use crate::session::Activity;
use crate::sessions::Sessions;
use crate::shutdown::Shutdown;
use crate::storage::{self, Budget, Stores};
use crate::tls::{self, Tls};
use crate::workers::Workers;

/// How long aborted transfers have to leave nothing behind.
const CLEAN_UP: Duration = Duration::from_secs(20);
/// The same after a second signal: whoever sends it does not want to wait.
const CLEAN_UP_IN_HASTE: Duration = Duration::from_secs(1);
/// How long events have to get to disk when everything else has ended.
const CLOSING: Duration = Duration::from_secs(5);

/// Finds what parsing alone cannot: options that a store does not have, files and folders that are not there or cannot be used.
pub(crate) fn check(config: &Config) -> Vec<ConfigError> {
    let mut errors = storage::check(&config.stores);
    errors.extend(events::check(&config.events));
    if let Some(Err(ConfigErrors(mistakes))) = config.ftp.tls.as_ref().map(tls::check) {
        errors.extend(mistakes);
    }
    if let Err(ConfigErrors(mistakes)) = auth::check(&config.auth) {
        errors.extend(mistakes);
    }
    errors
}

/// Runs the gateway until a signal stops it. Fails if it cannot start, and if a part of it ends on its own.
pub(crate) async fn run(config: Config, reload: Reload) -> anyhow::Result<()> {
    let signals = Signals::new().context("cannot listen for signals")?;
    App::build(config, reload)?.serve(signals).await
}

/// The signals that the process heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload(None),
        }
    }

    /// Resolves at the next signal to stop. What asks for a reload meanwhile is kept.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves when so many more signals to stop have come. Dropped, it has counted those that came.
    async fn stop_after(&mut self, left: &mut u32) {
        while *left > 0 {
            self.stop().await;
            *left -= 1;
            if *left > 0 {
                tracing::info!("it drains already, another signal stops it now");
            }
        }
    }
}

/// What a signal asks for, or somebody over HTTP.
enum Asked {
    Stop,
    /// With who is told what was not reloaded.
    Reload(Option<oneshot::Sender<Vec<String>>>),
}

impl From<Order> for Asked {
    fn from(order: Order) -> Self {
        match order {
            Order::Reload(tell) => Self::Reload(Some(tell)),
            Order::Drain => Self::Stop,
        }
    }
}

/// Everything that runs.
struct App {
    shutdown: Shutdown,
    sessions: Sessions,
    events: Events,
    reloader: Reloader,
    orders: mpsc::Receiver<Order>,
    drain_timeout: Duration,
}

impl App {
    fn build(config: Config, reload: Reload) -> anyhow::Result<Self> {
        let shutdown = Shutdown::new(Handle::current());
        let metrics = Metrics::new(config.stores.keys().map(String::as_str), edge::verb_names());
        let metrics = metrics.of_sinks(config.events.sinks.iter().map(|sink| sink.name.as_str()));
        let metrics = Arc::new(metrics.of_users(config.http.metrics_users));
        metrics.sessions_limit(config.ftp.max_connections);
        let memory = usize::try_from(config.transfer.memory).context("transfer.memory")?;
        let budget = Budget::new(memory, Arc::clone(&metrics));
        let stores = Stores::build(&config.stores, &config.transfer, &budget, &metrics, &shutdown)
            .map_err(ConfigErrors)
            .context("cannot use the stores")?;
        let events = Events::start(&config.events, &metrics, &shutdown).context("cannot tell of events")?;
        let elsewhere = config.auth.elsewhere.map(Elsewhere::new).transpose().context("cannot use [auth]")?;
        let auth = Arc::new(Auth::new(&config.users).asking(elsewhere));
        let sessions = Sessions::new(config.ftp.max_connections, config.ftp.max_connections_per_ip);
        let tls = config.ftp.tls.clone().map(|tls| Tls::load(tls, Arc::clone(&metrics)));
        let tls = tls.transpose().context("cannot use the certificate")?.map(Arc::new);
        let reloader =
            Reloader::new(Arc::clone(&auth), sessions.clone(), tls.clone(), reload, Arc::clone(&metrics));
        let workers = Arc::new(Workers::start().context("cannot start threads")?);

        let web = net::bind(config.http.listen)
            .with_context(|| format!("cannot listen on {}", config.http.listen))?;
        let mut control = Vec::new();
        let entrances =
            [(Entrance::Clear, &config.ftp.listen), (Entrance::ImplicitTls, &config.ftp.implicit_tls_listen)];
        for (entrance, addresses) in entrances {
            for &address in addresses {
                let listener = net::bind(address).with_context(|| format!("cannot listen on {address}"))?;
                control.push((entrance, listener));
            }
        }
        let addresses = [&config.ftp.listen[..], &config.ftp.implicit_tls_listen].concat();
        let passive = PassivePool::bind(
            &config.ftp,
            config.cluster.as_ref(),
            &addresses,
            &workers,
            &metrics,
            &shutdown,
        )
        .context("cannot listen on any port of ftp.passive_ports")?;

        let health = Health::watch(&stores, &metrics, &shutdown);
        let facts = config.cluster.as_ref().map(cluster_facts);
        for store in stores.iter() {
            shutdown.spawn_service("janitor", Arc::clone(store).look_after(Arc::clone(&metrics)));
        }
        if let Some(cluster) = config.cluster {
            let listener =
                net::bind(cluster.listen).with_context(|| format!("cannot listen on {}", cluster.listen))?;
            announce("cluster", &listener);
            let (ordinal, ports) = (cluster.ordinal, cluster.slices.of(cluster.ordinal));
            tracing::info!(
                ordinal,
                first = ports.start(),
                last = ports.end(),
                "passive ports of this replica"
            );
            let (pool, metrics) = (Arc::clone(&passive), Arc::clone(&metrics));
            let serving = edge::serve_peers(listener, pool, cluster, metrics, shutdown.clone());
            shutdown.spawn_service("cluster listener", serving);
            shutdown.spawn(edge::linger(shutdown.clone(), config.ftp.drain_timeout));
        }
        let drain_timeout = config.ftp.drain_timeout;
        let limits = Limits::new(config.limits, Arc::clone(&metrics));
        let front = Front::new(auth, limits, stores, events.clone(), Arc::clone(&metrics), shutdown.clone())
            .context("cannot use loopback")?;
        let recent = Arc::clone(&front.recent);
        let observer =
            Observer::new(metrics, health, sessions.clone(), recent, events.clone(), shutdown.clone(), facts);
        announce("http", &web);
        let (serving, orders) = http::serve(web, observer, config.http.admin_token_file);
        shutdown.spawn_service("http server", serving);
        let edge = Arc::new(Edge::new(config.ftp, tls, front, passive, sessions.clone(), workers));
        for (entrance, listener) in control {
            let name = match entrance {
                Entrance::Clear => "ftp",
                Entrance::ImplicitTls => "ftps",
            };
            announce(name, &listener);
            shutdown.spawn_service("ftp listener", edge::serve(Arc::clone(&edge), listener, entrance));
        }
        Ok(Self { shutdown, sessions, events, reloader, orders, drain_timeout })
    }

    /// Runs until told to stop, or until a service ends on its own; then drains, then stops.
    async fn serve(mut self, mut signals: Signals) -> anyhow::Result<()> {
        // Whoever drains over HTTP, and what drains by itself, does not know of a signal that comes later, as every orchestrator
        // sends it: that one changes nothing, the one after it ends the drain.
        let mut more_signals = loop {
            let (asked, left) = tokio::select! {
                asked = signals.next() => (asked, 1),
                // Its sender lives as long as the server.
                Some(order) = self.orders.recv() => (order.into(), 2),
                () = self.shutdown.failed() => break 2,
                () = self.reloader.follow() => continue,
            };
            let Asked::Reload(tell) = asked else { break left };
            tracing::info!("reloading users and certificate");
            self.events.reopen();
            // A file on a network that hangs does not hold up the stop.
            let (reloading, orders) = (self.reloader.reload(), &mut self.orders);
            let errors = tokio::select! {
                errors = reloading => errors,
                () = drained(orders) => break 2,
                () = signals.stop() => break 1,
                () = self.shutdown.failed() => break 2,
            };
            if let Some(tell) = tell {
                // Whoever asked may have gone.
                let _ = tell.send(errors);
            }
        };
        let sessions = self.sessions.views();
        let busy = sessions.iter().filter(|session| session.activity.is_some()).count();
        tracing::info!(drain_timeout = ?self.drain_timeout, sessions = sessions.len(), busy, "draining");
        self.shutdown.begin_drain();
        tokio::select! {
            () = self.drain() => {}
            () = signals.stop_after(&mut more_signals) => {}
        }
        self.shutdown.stop_now();
        let stopped = if more_signals == 0 {
            self.shutdown.all_done(CLEAN_UP_IN_HASTE).await
        } else {
            tokio::select! {
                done = self.shutdown.all_done(CLEAN_UP) => done,
                () = signals.stop_after(&mut more_signals) => false,
            }
        };
        self.events.close(CLOSING).await;
        if stopped {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped before everything was cleaned up");
        }
        anyhow::ensure!(!self.shutdown.is_failed(), "a service ended on its own");
        Ok(())
    }

    /// Waits until all work is done and everybody was told of it, for `ftp.drain_timeout` at most.
    async fn drain(&self) {
        let begun = Instant::now();
        if !self.shutdown.work_done(self.drain_timeout).await {
            self.tell_what_is_left();
        }
        self.events.settle(self.drain_timeout.saturating_sub(begun.elapsed())).await;
    }

    fn tell_what_is_left(&self) {
        tracing::warn!("drain timeout reached, aborting what is left");
        for session in self.sessions.views() {
            let activity = session.activity.as_ref();
            tracing::warn!(
                id = session.id,
                peer = %session.peer,
                user = session.user,
                age = ?session.age,
                verb = activity.map(|activity| activity.operation.verb()),
                path = activity.map(|activity| tracing::field::display(&activity.path)),
                bytes = activity.map(Activity::moved),
                "session aborted"
            );
        }
    }
}

/// What the status page tells of the cluster.
fn cluster_facts(config: &ClusterConfig) -> Cluster {
    let ports = config.slices.of(config.ordinal);
    Cluster {
        ordinal: config.ordinal,
        replicas: config.peers.len(),
        first_port: *ports.start(),
        last_port: *ports.end(),
        forwarding: 0,
    }
}

/// Resolves when somebody orders a drain. Another order to reload is answered as one too many.
async fn drained(orders: &mut mpsc::Receiver<Order>) {
    loop {
        match orders.recv().await {
            Some(Order::Drain) => return,
            Some(Order::Reload(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// States where a listener really is, which matters when the configuration said port 0.
fn announce(what: &str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} listening");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_fails_drains_the_process_and_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("bucketport.toml");
        let text = "[ftp]\nlisten = [\"127.0.0.1:0\"]\npassive_ports = \"20990-20999\"\n\
                    [http]\nlisten = \"127.0.0.1:0\"\n[stores.only]\nurl = \"memory:///\"\n";
        std::fs::write(&file, text).expect("a writable folder");
        let loaded = crate::config::load(Some(&file)).expect("a valid configuration");
        let app = App::build(loaded.config, loaded.reload).expect("free ports");
        let shutdown = app.shutdown.clone();
        shutdown.spawn_service("test", async { panic!("expected by the test") });
        let served = tokio::time::timeout(CLEAN_UP, app.serve(Signals::new().expect("signals"))).await;
        assert!(served.expect("it stops").is_err());
        assert!(shutdown.is_draining());
    }
}
