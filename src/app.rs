//! Puts the parts together, runs them, and stops them in two stages.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::auth::Auth;
use crate::config::{Config, ConfigErrors, Reload};
use crate::control::Front;
use crate::edge::{self, Edge, PassivePool};
use crate::http::{self, Health};
use crate::metrics::Metrics;
use crate::net;
use crate::shutdown::Shutdown;
use crate::storage::{self, Budget, Stores};
use crate::workers::Workers;

/// How long aborted transfers have to leave nothing behind.
const CLEAN_UP: Duration = Duration::from_secs(20);
/// The same after a second signal: whoever sends it does not want to wait.
const CLEAN_UP_IN_HASTE: Duration = Duration::from_secs(1);
/// How often the users file is looked at. Polling sees every way in which Kubernetes and editors replace a file.
const USERS_FILE_PERIOD: Duration = Duration::from_secs(2);

/// Finds what parsing alone cannot: options that a store does not have.
pub fn check(config: &Config) -> Result<(), ConfigErrors> {
    let errors = storage::check(&config.stores);
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
}

/// Runs the gateway until a signal stops it.
pub async fn run(config: Config, reload: Reload) -> anyhow::Result<()> {
    let signals = Signals::new().context("cannot listen for signals")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let app = App::build(config, reload)?;
    app.serve(signals, hangup).await;
    Ok(())
}

/// The signals that stop the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Everything that runs.
struct App {
    shutdown: Shutdown,
    users: Users,
    drain_timeout: Duration,
}

impl App {
    fn build(config: Config, reload: Reload) -> anyhow::Result<Self> {
        let shutdown = Shutdown::new(Handle::current());
        let metrics = Arc::new(Metrics::new(config.stores.keys().map(String::as_str), edge::verb_names()));
        let memory = usize::try_from(config.transfer.memory).context("transfer.memory")?;
        let budget = Budget::new(memory, Arc::clone(&metrics));
        let stores = Stores::build(&config.stores, &config.transfer, &budget, &metrics, &shutdown)
            .map_err(ConfigErrors)
            .context("cannot use the stores")?;
        let auth = Arc::new(Auth::new(&config.users));
        let users = Users { auth: Arc::clone(&auth), reload: Arc::new(reload) };

        let web = net::bind(config.http.listen)
            .with_context(|| format!("cannot listen on {}", config.http.listen))?;
        let mut control = Vec::new();
        for &address in &config.ftp.listen {
            control.push(net::bind(address).with_context(|| format!("cannot listen on {address}"))?);
        }
        let passive = PassivePool::bind(&config.ftp, &config.ftp.listen, &metrics, &shutdown)
            .context("cannot listen on any port of ftp.passive_ports")?;

        let health = Health::watch(&stores, &shutdown);
        announce("http", &web);
        shutdown.spawn_service({
            let (metrics, shutdown) = (Arc::clone(&metrics), shutdown.clone());
            async move {
                if let Err(error) = http::serve(web, metrics, health, shutdown).await {
                    tracing::error!(%error, "http server failed");
                }
            }
        });
        let drain_timeout = config.ftp.drain_timeout;
        let front = Front { auth, stores, metrics, shutdown: shutdown.clone() };
        let workers = Workers::start().context("cannot start threads")?;
        let edge = Arc::new(Edge::new(config.ftp, front, passive, workers));
        for listener in control {
            announce("ftp", &listener);
            shutdown.spawn_service(edge::serve(Arc::clone(&edge), listener));
        }
        Ok(Self { shutdown, users, drain_timeout })
    }

    /// Runs until told to stop, then drains, then stops.
    async fn serve(self, mut signals: Signals, mut hangup: Signal) {
        let mut watched = self.users.file_content().await;
        loop {
            tokio::select! {
                () = signals.stop() => break,
                _ = hangup.recv() => {
                    tracing::info!("reloading users");
                    self.users.reload().await;
                }
                () = sleep(USERS_FILE_PERIOD), if self.users.reload.users_file().is_some() => {
                    let now = self.users.file_content().await;
                    if now != watched {
                        tracing::info!("users file changed");
                        self.users.reload().await;
                        watched = now;
                    }
                }
            }
        }
        tracing::info!(drain_timeout = ?self.drain_timeout, "draining");
        self.shutdown.begin_drain();
        let again = tokio::select! {
            done = self.shutdown.work_done(self.drain_timeout) => {
                if !done {
                    tracing::warn!("drain timeout reached, aborting what is left");
                }
                false
            }
            () = signals.stop() => true,
        };
        self.shutdown.stop_now();
        let stopped = if again {
            self.shutdown.all_done(CLEAN_UP_IN_HASTE).await
        } else {
            or_signal(self.shutdown.all_done(CLEAN_UP), &mut signals).await
        };
        if stopped {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped before everything was cleaned up");
        }
    }
}

async fn or_signal(done: impl Future<Output = bool>, signals: &mut Signals) -> bool {
    tokio::select! {
        done = done => done,
        () = signals.stop() => false,
    }
}

/// States where a listener really is, which matters when the configuration said port 0.
fn announce(what: &str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} listening");
    }
}

/// The users, and where they come from.
struct Users {
    auth: Arc<Auth>,
    reload: Arc<Reload>,
}

impl Users {
    /// Reads the users again; with errors, those that are in force stay.
    async fn reload(&self) {
        let (auth, reload) = (Arc::clone(&self.auth), Arc::clone(&self.reload));
        let reloading = tokio::task::spawn_blocking(move || {
            let users = reload.users()?;
            auth.replace_users(&users);
            Ok::<_, ConfigErrors>(users.len())
        });
        match reloading.await {
            Ok(Ok(users)) => tracing::info!(users, "users reloaded"),
            Ok(Err(errors)) => tracing::error!(%errors, "users not reloaded, the old ones stay"),
            Err(error) => tracing::error!(%error, "users not reloaded, the old ones stay"),
        }
    }

    async fn file_content(&self) -> Option<Vec<u8>> {
        let path: PathBuf = self.reload.users_file()?.to_owned();
        tokio::fs::read(path).await.ok()
    }
}
