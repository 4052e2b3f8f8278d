//! Reading again, while the process runs, what may change: the users, and the files of `[ftp.tls]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::auth::Auth;
use crate::config::{ConfigErrors, Reload, Reread};
use crate::metrics::{Metrics, Reloaded};
use crate::tls::Tls;

/// How often the files are looked at. Polling sees every way in which Kubernetes and editors replace a file.
const PERIOD: Duration = Duration::from_secs(2);

/// The users, what TLS begins with, and where they come from.
#[derive(Debug)]
pub(crate) struct Reloader {
    auth: Arc<Auth>,
    tls: Option<Arc<Tls>>,
    source: Arc<Reload>,
    metrics: Arc<Metrics>,
    /// What the users file held when it was last looked at.
    seen: Option<Vec<u8>>,
}

impl Reloader {
    /// Watches the file that `source` names, if it names one, and those of `tls`.
    pub(crate) async fn watch(
        auth: Arc<Auth>,
        tls: Option<Arc<Tls>>,
        source: Reload,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut reloader = Self { auth, tls, source: Arc::new(source), metrics, seen: None };
        reloader.seen = reloader.file_content().await;
        reloader
    }

    /// Reloads what has changed. Runs until it is dropped, which loses nothing.
    pub(crate) async fn follow(&mut self) {
        loop {
            sleep(PERIOD).await;
            self.on_tls(Tls::reload_if_changed).await;
            let now = self.file_content().await;
            if now != self.seen {
                tracing::info!("users file changed");
                self.reload_users().await;
                self.seen = now;
            }
        }
    }

    /// Reads everything again; of what has errors, the old stays in force.
    pub(crate) async fn reload(&self) {
        self.on_tls(Tls::reload).await;
        self.reload_users().await;
    }

    /// Off the async threads: a mounted file may come over a network.
    async fn on_tls(&self, work: fn(&Tls)) {
        if let Some(tls) = self.tls.clone()
            && let Err(error) = tokio::task::spawn_blocking(move || work(&tls)).await
        {
            tracing::error!(%error, "certificates not reloaded, the old ones stay");
        }
    }

    async fn reload_users(&self) {
        let (auth, source) = (Arc::clone(&self.auth), Arc::clone(&self.source));
        let reloading = tokio::task::spawn_blocking(move || {
            let Reread { users, warnings } = source.users()?;
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            auth.replace_users(&users);
            Ok::<_, ConfigErrors>(users.len())
        });
        let reloaded = reloading.await;
        self.metrics.reloaded(Reloaded::Users, matches!(reloaded, Ok(Ok(_))));
        match reloaded {
            Ok(Ok(users)) => tracing::info!(users, "users reloaded"),
            Ok(Err(errors)) => tracing::error!(%errors, "users not reloaded, the old ones stay"),
            Err(error) => tracing::error!(%error, "users not reloaded, the old ones stay"),
        }
    }

    async fn file_content(&self) -> Option<Vec<u8>> {
        let path: PathBuf = self.source.users_file()?.to_owned();
        tokio::fs::read(path).await.ok()
    }
}
