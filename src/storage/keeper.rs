//! A session's hold on what is kept of its upload: written down as parts arrive and when it breaks, removed when it is
//! complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::driver::{Condition, Saved};
use super::error::{Error, Result};
use super::kept::{Kept, PACE};
use super::noted::Noted;
use super::path::StorePath;
use super::store::Store;

/// A session that could not write for so long looks first whether it has the upload still.
const DOUBT: Duration = Duration::from_secs(15);

/// What a session keeps of its upload. Dropped before the upload has ended, it leaves the record as it is for whoever
/// comes next.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<Store>,
    path: StorePath,
    kept: Kept,
    /// Whether the store has a record, or is about to.
    recorded: bool,
    /// What another upload has left, which this one takes the place of.
    replaces: Option<Kept>,
    /// Another session has written the record first: this one keeps nothing.
    lost: Arc<AtomicBool>,
    /// Another session has taken the upload up, which is not this one's any more.
    taken: Arc<AtomicBool>,
    writing: Option<JoinHandle<()>>,
    next: Instant,
    settled: bool,
}

impl Keeper {
    /// For an upload of which nothing is kept yet. It takes the place of what `replaces` is.
    pub(super) fn new(
        store: &Arc<Store>,
        path: &StorePath,
        owner: &str,
        condition: &Condition,
        replaces: Option<Kept>,
    ) -> Self {
        let mut keeper = Self::of(store, path, Kept::nothing(path, owner, condition), false);
        keeper.replaces = replaces;
        keeper
    }

    /// For an upload that `kept`, which was taken up, is of.
    pub(super) fn resuming(store: &Arc<Store>, path: &StorePath, kept: Kept) -> Self {
        Self::of(store, path, kept, true)
    }

    fn of(store: &Arc<Store>, path: &StorePath, kept: Kept, recorded: bool) -> Self {
        Self {
            store: Arc::clone(store),
            path: path.clone(),
            kept,
            recorded,
            replaces: None,
            lost: Arc::default(),
            taken: Arc::default(),
            writing: None,
            next: Instant::now() + PACE,
            settled: false,
        }
    }

    /// Leaves nothing of what this upload takes the place of, since it cannot be refused any more. Tells whether that
    /// succeeded; if not, nothing can be kept of this one.
    pub(super) async fn begin(&mut self) -> bool {
        let Some(replaces) = self.replaces.take() else { return true };
        let discarding = async { self.store.discard_kept(&self.store.take_up(&replaces).await?).await };
        if let Err(error) = discarding.await {
            // Another session has it, or the store fails: then this upload goes on alone.
            let error = &error as &dyn std::error::Error;
            tracing::debug!(path = %self.path, error, "what was kept of another upload stays");
            return false;
        }
        true
    }

    /// Resolves when the record is to be written again.
    pub(super) async fn due(&self) {
        if self.recorded {
            sleep_until(self.next).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Writes down in the background that the upload is open and what has arrived of it. The first time that is at
    /// once, later in its pace.
    pub(super) fn progress(&mut self, saved: Option<Saved>) {
        let now = Instant::now();
        let new = !self.recorded;
        if (!new && now < self.next) || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        if self.is_lost() || self.is_taken() {
            return;
        }
        let in_doubt = !new && now > self.next + DOUBT;
        self.next = now + PACE;
        self.recorded = true;
        let before = self.kept.clone();
        self.kept.advance(saved);
        self.kept.hold();
        let (store, path, kept) = (Arc::clone(&self.store), self.path.clone(), self.kept.clone());
        let (lost, taken) = (Arc::clone(&self.lost), Arc::clone(&self.taken));
        let writing = async move {
            if in_doubt && matches!(store.still_holds(&kept).await, Ok(false)) {
                return taken.store(true, Ordering::Release);
            }
            let written = store.keep(&kept, new).await;
            match (written, &kept.upload) {
                (Ok(()), _) if kept.has_tail_of(&before) => {}
                (Ok(()), _) => drop(store.forget_tail(&before).await),
                (Err(Error::AlreadyExists), Some(upload)) => {
                    lost.store(true, Ordering::Release);
                    // Then a record of the other kind has to do.
                    drop(Noted::note(&store, &path, upload.clone()));
                }
                (Err(error), _) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(path = %path, error, "the progress of an upload is not recorded");
                }
            }
        };
        self.writing = Some(self.store.shutdown.spawn(writing));
    }

    /// Fails if another session has taken the upload up meanwhile.
    pub(super) async fn require_hold(&mut self) -> Result<()> {
        self.written().await;
        if self.has_record() && !self.store.still_holds(&self.kept).await? {
            self.taken.store(true, Ordering::Release);
        }
        if self.is_taken() { Err(Error::Busy) } else { Ok(()) }
    }

    /// Keeps what has arrived: `saved` of an open upload, and `tail` after it.
    pub(super) async fn suspend(&mut self, saved: Option<Saved>, tail: Vec<Bytes>) -> Result<()> {
        self.require_hold().await?;
        if self.is_lost() {
            return Err(Error::Busy);
        }
        let before = self.kept.clone();
        self.kept.upload = saved;
        self.store.keep_tail(&mut self.kept, tail).await?;
        self.kept.hold();
        self.kept.let_go();
        self.store.keep(&self.kept, !self.recorded).await?;
        (self.recorded, self.settled) = (true, true);
        tracing::info!(path = %self.path, bytes = self.kept.len(), "what arrived of an upload is kept");
        self.store.forget_tail(&before).await
    }

    /// Removes what is kept, because the upload has ended.
    pub(super) async fn end(mut self) {
        self.written().await;
        self.settled = true;
        if self.has_record()
            && let Err(error) = self.store.forget_kept(&self.kept).await
        {
            // It cannot be gone on with, and the janitor removes it.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %self.path, error, "the record of an upload that has ended stays");
        }
    }

    /// Whether others can go on with what was kept so far.
    pub(super) fn has_record(&self) -> bool {
        self.recorded && !self.is_lost() && !self.is_taken()
    }

    /// Whether the upload is another session's now.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Waits for the record that is being written.
    async fn written(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.settled || !self.has_record() || Handle::try_current().is_err() {
            return;
        }
        let (store, writing) = (Arc::clone(&self.store), self.writing.take());
        let mut kept = self.kept.clone();
        kept.let_go();
        let letting_go = async move {
            if let Some(writing) = writing {
                let _ = writing.await;
            }
            // Else others wait until it was not written again for long enough.
            let _ = store.keep(&kept, false).await;
        };
        self.store.shutdown.spawn(letting_go);
    }
}
