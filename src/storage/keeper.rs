//! A session's hold on what is kept of its upload: written down as parts arrive and when it breaks, removed when it is
//! complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::driver::{Condition, Saved};
use super::error::{Error, Result};
use super::kept::{Kept, PACE};
use super::noted::Noted;
use super::path::StorePath;
use super::store::Store;

/// A session that could not write for so long looks first whether it has the upload still.
const DOUBT: Duration = Duration::from_secs(15);
/// How long whoever leaves nothing of an upload waits for the record, which tells whether it is theirs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a session keeps of its upload. Dropped before the upload has ended, it leaves the record as it is for whoever
/// comes next.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<Store>,
    path: StorePath,
    kept: Kept,
    /// Whether it was tried to write a record.
    begun: bool,
    /// Whether the store has confirmed one.
    recorded: Arc<AtomicBool>,
    /// What another upload has left, which this one takes the place of.
    replaces: Option<Kept>,
    /// It is here only for what it takes the place of.
    keeps_nothing: bool,
    /// Where it goes on, if it goes on with what was kept.
    from: Option<u64>,
    /// Another session has written the record first: this one keeps nothing.
    lost: Arc<AtomicBool>,
    /// Then a record of the other kind has to do. It stays with the janitor.
    noted: Option<Noted>,
    /// Another session has taken the upload up, which is not this one's any more.
    taken: Arc<AtomicBool>,
    writing: Option<JoinHandle<Option<Noted>>>,
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

    /// For an upload that `kept`, which was taken up, is of, and that goes on at byte `from`.
    pub(super) fn resuming(store: &Arc<Store>, path: &StorePath, kept: Kept, from: u64) -> Self {
        let mut keeper = Self::of(store, path, kept, true);
        keeper.from = Some(from);
        keeper
    }

    fn of(store: &Arc<Store>, path: &StorePath, kept: Kept, recorded: bool) -> Self {
        Self {
            store: Arc::clone(store),
            path: path.clone(),
            kept,
            begun: recorded,
            recorded: Arc::new(AtomicBool::new(recorded)),
            replaces: None,
            keeps_nothing: false,
            from: None,
            lost: Arc::default(),
            noted: None,
            taken: Arc::default(),
            writing: None,
            next: Instant::now() + PACE,
            settled: false,
        }
    }

    /// Nothing of this upload is to be kept.
    pub(super) fn keep_nothing(&mut self) {
        self.keeps_nothing = true;
    }

    /// Leaves nothing of what this upload takes the place of, since it cannot be refused any more. Tells whether this one
    /// can be kept, which it cannot if that failed.
    pub(super) async fn begin(&mut self) -> bool {
        if let Some(from) = self.from {
            self.kept.cut(from);
        }
        let Some(replaces) = self.replaces.take() else { return !self.keeps_nothing };
        if let Err(error) = self.store.discard_unheld(&replaces).await {
            // Another session has it, or the store fails: then this upload goes on alone.
            let error = &error as &dyn std::error::Error;
            tracing::debug!(path = %self.path, error, "what was kept of another upload stays");
            return false;
        }
        !self.keeps_nothing
    }

    /// Resolves when the record is to be written again.
    pub(super) async fn due(&mut self) {
        // Nothing can be written before that, and a time that is over would keep the caller busy.
        self.written().await;
        if let Some(noted) = &self.noted {
            return sleep_until(noted.stale_at()).await;
        }
        if !self.begun || self.is_lost() || self.is_taken() {
            return std::future::pending().await;
        }
        sleep_until(self.next).await;
    }

    /// Writes down in the background that the upload is open and what has arrived of it. When it has just been opened that
    /// is at once, later in its pace.
    pub(super) fn progress(&mut self, saved: Option<Saved>) {
        if let Some(noted) = &mut self.noted {
            return noted.refresh();
        }
        let now = Instant::now();
        let opened = saved.is_some() && !self.is_in_parts();
        if (self.begun && !opened && now < self.next)
            || self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
        {
            return;
        }
        if self.is_lost() || self.is_taken() {
            return;
        }
        let new = !self.is_recorded();
        let in_doubt = !new && now > self.next + DOUBT;
        self.next = now + PACE;
        self.begun = true;
        let before = self.kept.clone();
        self.kept.advance(saved);
        self.kept.hold(self.store.resume_window);
        let (store, path, kept) = (Arc::clone(&self.store), self.path.clone(), self.kept.clone());
        let (lost, taken) = (Arc::clone(&self.lost), Arc::clone(&self.taken));
        let recorded = Arc::clone(&self.recorded);
        let writing = async move {
            if in_doubt && matches!(store.still_holds(&kept).await, Ok(false)) {
                taken.store(true, Ordering::Release);
                return None;
            }
            let written = store.keep(&kept, new).await;
            match (written, &kept.upload) {
                (Ok(()), _) => {
                    recorded.store(true, Ordering::Release);
                    if !kept.has_tail_of(&before) {
                        drop(store.forget_tail(&before).await);
                    }
                }
                (Err(Error::AlreadyExists), Some(upload)) => {
                    lost.store(true, Ordering::Release);
                    return Some(Noted::note(&store, &path, upload.clone()));
                }
                (Err(error), _) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(path = %path, error, "the progress of an upload is not recorded");
                }
            }
            None
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

    /// Whether no other session has taken the upload up. Waits for the store's answer, but not for a store that hangs:
    /// in doubt another one has.
    pub(super) async fn is_own(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.require_hold()).await, Ok(Ok(())))
    }

    /// Keeps what has arrived: `saved` of an open upload, and `tail` after it. If the store fails, what was kept before
    /// is kept still.
    pub(super) async fn suspend(&mut self, saved: Option<Saved>, tail: Vec<Bytes>) -> Result<()> {
        self.require_hold().await?;
        if self.is_lost() {
            return Err(Error::Busy);
        }
        let before = self.kept.clone();
        let size: u64 = tail.iter().map(|piece| piece.len() as u64).sum();
        // Parts that had no answer may be missing. Then less has arrived for sure than was kept before.
        if saved.as_ref().map_or(0, Saved::len) + size >= before.len() {
            let mut kept = before.clone();
            kept.upload = saved;
            self.store.keep_tail(&mut kept, tail).await?;
            self.kept = kept;
        }
        self.kept.hold(self.store.resume_window);
        self.kept.let_go();
        self.store.keep(&self.kept, !self.is_recorded()).await?;
        self.recorded.store(true, Ordering::Release);
        self.settled = true;
        tracing::info!(path = %self.path, bytes = self.kept.len(), "what arrived of an upload is kept");
        if self.kept.has_tail_of(&before) { Ok(()) } else { self.store.forget_tail(&before).await }
    }

    /// Whether what is kept is in an open upload, or in its tail alone.
    pub(super) fn is_in_parts(&self) -> bool {
        self.kept.upload.is_some()
    }

    /// Leaves nothing of what was kept, because something of it is gone.
    pub(super) async fn discard(mut self) -> Result<()> {
        self.settled = true;
        tracing::warn!(path = %self.path, bytes = self.kept.len(), "what was kept of an upload is not there any more");
        self.store.discard_kept(&self.kept).await
    }

    /// Removes what is kept, because the upload has ended.
    pub(super) async fn end(mut self) {
        self.settled = true;
        if !self.begun || self.is_lost() || self.is_taken() {
            return;
        }
        let holding = async {
            self.written().await;
            self.store.still_holds(&self.kept).await
        };
        // In doubt it is another session's.
        if matches!(timeout(PATIENCE, holding).await, Ok(Ok(true)))
            && let Err(error) = self.store.forget_kept(&self.kept).await
        {
            // It cannot be gone on with, and the janitor removes it.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %self.path, error, "the record of an upload that has ended stays");
        }
    }

    /// Whether others can go on with what was kept so far.
    fn has_record(&self) -> bool {
        self.is_recorded() && !self.is_lost() && !self.is_taken()
    }

    /// Whether others may know of the open upload: a record names it, or is being written.
    pub(super) fn may_be_known(&self) -> bool {
        let writing = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        let named = self.is_in_parts() && (writing || self.is_recorded());
        self.is_taken() || (!self.is_lost() && named)
    }

    /// Whether a record names the open upload that `saved` is of, so that it is not this session's to abort. Waits for the
    /// store's answer, but not for a store that hangs: in doubt one does.
    pub(super) async fn is_known(&mut self, saved: Option<&Saved>) -> bool {
        let looking = async {
            self.written().await;
            match saved {
                Some(saved) if self.has_record() => self.store.names(&self.kept, &saved.id).await,
                _ => Ok(self.is_taken()),
            }
        };
        !matches!(timeout(PATIENCE, looking).await, Ok(Ok(false)))
    }

    fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    /// Whether the upload is another session's now.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Waits for the record that is being written. Dropping the future loses nothing.
    async fn written(&mut self) {
        if let Some(writing) = &mut self.writing {
            // A panic in it is a matter of the log.
            if let Ok(Some(noted)) = writing.await {
                self.noted = Some(noted);
            }
            self.writing = None;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.settled || !self.begun || self.is_lost() || self.is_taken() || Handle::try_current().is_err()
        {
            return;
        }
        let (store, writing) = (Arc::clone(&self.store), self.writing.take());
        let mut kept = self.kept.clone();
        kept.let_go();
        let letting_go = async move {
            if let Some(writing) = writing {
                let _ = writing.await;
            }
            // Else others wait until it was not written again for long enough. One of them may have it already.
            if matches!(store.still_holds(&kept).await, Ok(true)) {
                let _ = store.keep(&kept, false).await;
            }
        };
        self.store.shutdown.spawn(letting_go);
    }
}
