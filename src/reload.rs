//! Reading again, while the process runs, what may change: the users.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::auth::Auth;
use crate::config::{ConfigErrors, Reload};

/// How often the users file is looked at. Polling sees every way in which Kubernetes and editors replace a file.
const PERIOD: Duration = Duration::from_secs(2);

/// The users, and where they come from.
#[derive(Debug)]
pub(crate) struct Reloader {
    auth: Arc<Auth>,
    source: Arc<Reload>,
    /// What the users file held when it was last looked at.
    seen: Option<Vec<u8>>,
}

impl Reloader {
    /// Watches the file that `source` names, if it names one.
    pub(crate) async fn watch(auth: Arc<Auth>, source: Reload) -> Self {
        let mut reloader = Self { auth, source: Arc::new(source), seen: None };
        reloader.seen = reloader.file_content().await;
        reloader
    }

    /// Reloads the users when their file has changed. Runs until it is dropped, which loses nothing.
    pub(crate) async fn follow(&mut self) {
        if self.source.users_file().is_none() {
            return std::future::pending().await;
        }
        loop {
            sleep(PERIOD).await;
            let now = self.file_content().await;
            if now != self.seen {
                tracing::info!("users file changed");
                self.reload().await;
                self.seen = now;
            }
        }
    }

    /// Reads the users again; with errors, those that are in force stay.
    pub(crate) async fn reload(&self) {
        let (auth, source) = (Arc::clone(&self.auth), Arc::clone(&self.source));
        let reloading = tokio::task::spawn_blocking(move || {
            let users = source.users()?;
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
        let path: PathBuf = self.source.users_file()?.to_owned();
        tokio::fs::read(path).await.ok()
    }
}
