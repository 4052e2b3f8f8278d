//! Reading again, while the process runs, what may change: the users, and the files of `[ftp.tls]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::auth::Auth;
use crate::config::{Attempt, ConfigErrors, Reload, Watched};
use crate::metrics::{Metrics, Reloaded};
use crate::sessions::Sessions;
use crate::tls::Tls;

/// How often the files are looked at. Polling sees every way in which Kubernetes and editors replace a file.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a file that has changed must stay as it is, and how often that is looked at.
const SETTLING: Duration = Duration::from_millis(500);
const MOST_LOOKS: usize = 20;
/// So many times as long as a look has taken it is rested at least: many files cost one core 5 % at most.
const REST: u32 = 20;

/// The users, what TLS begins with, and where they come from.
#[derive(Debug)]
pub(crate) struct Reloader {
    auth: Arc<Auth>,
    sessions: Sessions,
    tls: Option<Arc<Tls>>,
    source: Arc<Reload>,
    metrics: Arc<Metrics>,
    /// What the users were last read from.
    watched: Watched,
}

impl Reloader {
    /// Watches the files that `source` names, and those of `tls`.
    pub(crate) fn new(
        auth: Arc<Auth>,
        sessions: Sessions,
        tls: Option<Arc<Tls>>,
        source: Reload,
        metrics: Arc<Metrics>,
    ) -> Self {
        let watched = source.watched().clone();
        Self { auth, sessions, tls, source: Arc::new(source), metrics, watched }
    }

    /// Reloads what has changed. Runs until it is dropped, which loses nothing.
    pub(crate) async fn follow(&mut self) {
        let mut rest = PERIOD;
        loop {
            sleep(rest).await;
            self.on_tls(Tls::reload_if_changed).await;
            let begun = Instant::now();
            let now = self.look().await;
            rest = PERIOD.max(begun.elapsed() * REST);
            if let Some(now) = now
                && now != self.watched
            {
                let now = self.settled(now).await;
                tracing::info!("the configuration or files of users have changed");
                self.reload_users(Some(now)).await;
            }
        }
    }

    /// Reads everything again; of what has errors, the old stays in force. Returns the errors.
    pub(crate) async fn reload(&mut self) -> Vec<String> {
        let mut errors = self.on_tls(Tls::reload).await;
        errors.extend(self.reload_users(None).await);
        errors
    }

    /// Off the async threads: a mounted file may come over a network.
    async fn on_tls(&self, work: fn(&Tls) -> Result<(), ConfigErrors>) -> Vec<String> {
        let Some(tls) = self.tls.clone() else { return Vec::new() };
        match tokio::task::spawn_blocking(move || work(&tls)).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(errors)) => lines(&errors),
            Err(error) => {
                tracing::error!(%error, "certificates not reloaded, the old ones stay");
                vec![error.to_string()]
            }
        }
    }

    /// `now` is how the files are, if that is known. Returns the errors.
    async fn reload_users(&mut self, now: Option<Watched>) -> Vec<String> {
        let (auth, source, sessions) =
            (Arc::clone(&self.auth), Arc::clone(&self.source), self.sessions.clone());
        let reloading = tokio::task::spawn_blocking(move || {
            let Attempt { result, watched } = source.users();
            let replaced = result.map(|reread| {
                for warning in reread.warnings {
                    tracing::warn!("{warning}");
                }
                auth.replace_users(&reread.users);
                let ended = sessions.outdate(|user| auth.is_outdated(user));
                (reread.users.len(), ended)
            });
            (replaced, watched)
        });
        let reloaded = reloading.await;
        self.metrics.reloaded(Reloaded::Users, matches!(reloaded, Ok((Ok(_), _))));
        // A mistake is told once, and looked at again when something has changed.
        match reloaded {
            Ok((replaced, watched)) => {
                self.watched = watched;
                tell(replaced)
            }
            Err(error) => {
                if let Some(now) = now {
                    self.watched = now;
                }
                tracing::error!(%error, "users not reloaded, the old ones stay");
                vec![error.to_string()]
            }
        }
    }

    /// How the files are when nobody writes to them any more: half of a file can be valid and lack users, whose sessions would end.
    async fn settled(&self, mut last: Watched) -> Watched {
        for _ in 0..MOST_LOOKS {
            sleep(SETTLING).await;
            match self.look().await {
                Some(now) if now != last => last = now,
                Some(_) | None => break,
            }
        }
        last
    }

    /// How the files are now; none if that cannot be found out.
    async fn look(&self) -> Option<Watched> {
        let watched = self.watched.clone();
        tokio::task::spawn_blocking(move || watched.again()).await.ok()
    }
}

/// Returns the errors.
fn tell(replaced: Result<(usize, usize), ConfigErrors>) -> Vec<String> {
    match replaced {
        Ok((users, ended)) => {
            tracing::info!(users, sessions_ended = ended, "users reloaded");
            Vec::new()
        }
        Err(errors) => {
            tracing::error!(%errors, "users not reloaded, the old ones stay");
            lines(&errors)
        }
    }
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}
