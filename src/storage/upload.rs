//! One upload: up to one part in memory; a single PUT when the body ends within it, else an upload in parts with a
//! bounded window. Nothing is visible before [`Upload::commit`] has succeeded.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::budget::LARGEST_BUFFER;
use super::driver::{Condition, Lifetime, Uploader, Written};
use super::error::{Error, Result};
use super::keeper::Keeper;
use super::kept::Kept;
use super::multipart::Multipart;
use super::part::Part;
use super::path::StorePath;
use super::source::{OldBytes, Source};
use super::store::Store;

/// The first buffer of an upload; later ones grow with what has arrived, so that a slow or small upload holds at most
/// about twice what it sent.
const FIRST_BUFFER: usize = 8 * 1024;

/// How long whoever keeps what arrived waits for the store.
const KEEPING_PATIENCE: Duration = Duration::from_secs(10);

/// How long the store may take to say what stands at the name of an upload whose bytes are all sent, and whose it is.
///
/// Semantics decision: the client waits for its 226 then, and with all retries it would wait four minutes; curl waits one.
/// The retries over a restart of the store mostly fit in.
const LAST_LOOK: Duration = Duration::from_secs(45);

/// An upload in progress. Dropping it aborts it in the background.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<Store>,
    path: StorePath,
    part: Part,
    total: u64,
    multipart: Multipart,
    /// None if nothing is kept when it breaks.
    keeper: Option<Box<Keeper>>,
}

impl Upload {
    /// An upload to `path` that has not touched the store yet. Fails if `path` cannot become a file.
    pub(super) async fn plan(store: &Arc<Store>, path: StorePath) -> Result<Self> {
        let mut destination = store.driver.destination(&path).await?;
        destination.describe(Uploader { name: store.owner.as_deref(), address: store.address });
        let multipart = Multipart::new(store, &path, destination);
        Ok(Self::of(store, path, multipart, 0))
    }

    /// One of which `total` bytes are in `multipart`.
    fn of(store: &Arc<Store>, path: StorePath, multipart: Multipart, total: u64) -> Self {
        let part = Part::new(&store.budget);
        Self { store: Arc::clone(store), path, part, total, multipart, keeper: None }
    }

    /// The upload to `path` that `kept`, which was taken up, is of, from the end of its parts on; and what was kept
    /// behind those, up to byte `from`. Fails with `Changed` if something of it is gone; then nothing of it is left.
    pub(super) async fn resume(
        store: &Arc<Store>,
        path: &StorePath,
        kept: Kept,
        from: u64,
    ) -> Result<(Self, Option<OldBytes>)> {
        // Made first: if the rest fails, others may take it up.
        let keeper = Keeper::resuming(store, path, kept.clone(), from);
        match Self::reopen(store, path, &kept, from).await {
            Ok((mut upload, old)) => {
                upload.kept_by(keeper);
                Ok((upload, old))
            }
            Err(Error::NotFound | Error::Changed) => {
                Box::pin(keeper.discard()).await?;
                Err(Error::Changed)
            }
            Err(error) => Err(error),
        }
    }

    async fn reopen(
        store: &Arc<Store>,
        path: &StorePath,
        kept: &Kept,
        from: u64,
    ) -> Result<(Self, Option<OldBytes>)> {
        let upload = match &kept.upload {
            Some(saved) => {
                let multipart = Multipart::reopened(store, path, store.driver.reopen(path, saved).await?);
                Self::of(store, path.clone(), multipart, kept.in_parts())
            }
            None => Self::plan(store, path.clone()).await?,
        };
        let old = store.read_tail(kept, from - kept.in_parts()).await?;
        Ok((upload, old))
    }

    /// From now on `keeper` keeps what has arrived.
    pub(super) fn kept_by(&mut self, keeper: Keeper) {
        self.multipart.lasts(Lifetime::Kept);
        self.keeper = Some(Box::new(keeper));
    }

    /// Nothing of it is kept, whatever it takes the place of.
    pub(super) fn keep_nothing(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keep_nothing();
        }
    }

    /// It begins now, and cannot be refused any more.
    pub(super) async fn begin(&mut self) {
        // Seldom, and large.
        if let Some(keeper) = &mut self.keeper
            && !Box::pin(keeper.begin()).await
        {
            self.keeper = None;
            self.multipart.lasts(Lifetime::Session);
        }
    }

    /// Bytes taken so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Takes from `source` until its end. Parts are sent while the next one is filled.
    pub(super) async fn fill(&mut self, source: &mut dyn Source) -> Result<()> {
        loop {
            if self.part.len() == self.multipart.part_size() {
                if self.multipart.is_unknown() && self.ends_with_part(source).await? {
                    return Ok(());
                }
                // Without memory for a look ahead the part goes out as it is.
                if self.part.len() == self.multipart.part_size() {
                    self.send_part().await?;
                }
            }
            self.make_room().await?;
            let read = {
                // One read until it is done: who waits for a rate has a place in its queue, and would lose it.
                let mut reading = pin!(source.read(self.part.room()));
                loop {
                    let stale = self.multipart.stale_at();
                    tokio::select! {
                        read = &mut reading => break read?,
                        Some(sent) = self.multipart.arrived() => sent?,
                        () = due(self.keeper.as_deref_mut()) => progress(&mut self.keeper, &self.multipart),
                        () = reached(stale) => self.multipart.renew(),
                    }
                }
            };
            if read == 0 {
                return Ok(());
            }
            self.part.filled(read);
            self.total += read as u64;
        }
    }

    /// Whether the first part, which is full, is all there is: then one PUT will do. If not, the next part has begun.
    async fn ends_with_part(&mut self, source: &mut dyn Source) -> Result<bool> {
        let mut next = Part::new(&self.store.budget);
        // A part that is full must not wait for memory: others may wait for its own.
        if !next.try_extend(FIRST_BUFFER) {
            return Ok(false);
        }
        let read = renewing(&mut self.keeper, source.read(next.room())).await?;
        if read == 0 {
            return Ok(true);
        }
        next.filled(read);
        self.total += read as u64;
        self.send_part().await?;
        self.part = next;
        Ok(false)
    }

    /// Makes the object appear, whole, if `condition` holds. The caller must not drop this future: the store may be
    /// just about to confirm.
    pub(super) async fn commit(mut self, condition: &Condition) -> Result<Written> {
        let result = self.finish(condition).await;
        if result.is_err() {
            self.abort().await;
        } else {
            self.end_keeping().await;
        }
        result
    }

    async fn finish(&mut self, condition: &Condition) -> Result<Written> {
        if !self.multipart.is_unknown() {
            if self.part.len() > 0 {
                self.send_part().await?;
            }
            while let Some(sent) = renewing(&mut self.keeper, self.multipart.arrived()).await {
                sent?;
            }
        }
        // Seldom, and large.
        timeout(LAST_LOOK, Box::pin(self.look(condition))).await.unwrap_or_else(|_| {
            Err(Error::silent("what stands at the name of an upload that is all sent, or whose it is"))
        })?;
        if self.multipart.is_unknown() {
            return self.multipart.put(self.part.take(), condition).await;
        }
        renewing(&mut self.keeper, self.multipart.complete(condition)).await
    }

    /// Fails unless the upload may end now.
    async fn look(&mut self, condition: &Condition) -> Result<()> {
        // Not every store can make the end of a multipart upload conditional, so this is checked last of all...
        renewing(&mut self.keeper, self.store.require(&self.path, condition)).await?;
        match &mut self.keeper {
            // ...but for this: whoever has taken the upload up meanwhile may be changing it.
            Some(keeper) => keeper.require_hold().await,
            None => Ok(()),
        }
    }

    /// Leaves nothing of the upload in the store. Waits for that, but not for a store that hangs.
    pub(super) async fn abort(mut self) {
        // What another session has taken up must not go with this one.
        if let Some(keeper) = &mut self.keeper
            && !Box::pin(keeper.is_own()).await
        {
            self.multipart.leave();
        }
        self.multipart.abort().await;
        self.end_keeping().await;
    }

    /// Removes what was kept. Waits for that, since the client may ask for the size next, but not for a store that hangs.
    async fn end_keeping(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            let ending = self.store.shutdown.spawn(keeper.end());
            // Late is no failure: the task goes on, and draining waits for it.
            let _ = timeout(KEEPING_PATIENCE, ending).await;
        }
    }

    /// Keeps what has arrived, if somebody keeps it; else leaves nothing. Waits for that, but not for a store that hangs.
    pub(super) async fn suspend(mut self) {
        if self.keeper.is_none() || self.total == 0 {
            return self.abort().await;
        }
        let store = Arc::clone(&self.store);
        let keeping = store.shutdown.spawn(async move {
            let Some(mut keeper) = self.keeper.take() else { return };
            if let Err(error) = self.keep(&mut keeper).await {
                tracing::warn!(path = %self.path, %error, "what arrived of an upload is not kept");
                // Others can go on with what a record tells of; it stays as it is.
                if !keeper.is_known(self.multipart.saved().as_ref()).await {
                    self.multipart.abort().await;
                }
            }
        });
        // Late is no failure: the task goes on, and draining waits for it.
        let _ = timeout(KEEPING_PATIENCE, keeping).await;
    }

    async fn keep(&mut self, keeper: &mut Keeper) -> Result<()> {
        if self.multipart.is_unknown() {
            let (tail, _charge) = self.part.take();
            return keeper.suspend(None, tail).await;
        }
        // Opens it if that is what it was at.
        let mut whole = self.multipart.settle().await;
        if whole && self.multipart.takes_short_parts() && self.part.len() > 0 {
            self.multipart.send(self.part.take()).await?;
            whole = self.multipart.settle().await;
        }
        let saved = self.multipart.saved().ok_or(Error::Changed)?;
        let (tail, _charge) = self.part.take();
        let size: usize = tail.iter().map(bytes::Bytes::len).sum();
        // What has been lost on the way leaves a gap, and nothing after that is of use.
        let tail = if whole && saved.len() + size as u64 == self.total { tail } else { Vec::new() };
        keeper.suspend(Some(saved), tail).await?;
        if keeper.is_in_parts() {
            self.multipart.leave();
        } else {
            self.multipart.abort().await;
        }
        Ok(())
    }

    /// Room in the current buffer, charged to the budget.
    async fn make_room(&mut self) -> Result<()> {
        if self.part.has_room() {
            return Ok(());
        }
        let grown = usize::try_from(self.total).unwrap_or(usize::MAX);
        let left = self.multipart.part_size() - self.part.len();
        let size = grown.clamp(FIRST_BUFFER, LARGEST_BUFFER).min(left);
        // More parts than one are taken only from what is free: who has a part on its way waits for that one.
        while !self.part.try_extend(size) {
            let Some(sent) = renewing(&mut self.keeper, self.multipart.arrived()).await else {
                renewing(&mut self.keeper, self.part.extend(size)).await;
                break;
            };
            sent?;
        }
        Ok(())
    }

    /// Puts the part on its way once the window has room.
    async fn send_part(&mut self) -> Result<()> {
        renewing(&mut self.keeper, self.multipart.send(self.part.take())).await?;
        progress(&mut self.keeper, &self.multipart);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // What no record names nobody can go on with.
        if self.keeper.as_ref().is_some_and(|keeper| !keeper.may_be_known()) {
            self.multipart.lasts(Lifetime::Session);
        }
    }
}

/// Writes down what has arrived.
fn progress(keeper: &mut Option<Box<Keeper>>, multipart: &Multipart) {
    if let Some(keeper) = keeper {
        keeper.progress(multipart.saved());
    }
}

/// Waits for this moment; for ever if there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits for `work`, which may take longer than others wait for a session that is not heard of.
async fn renewing<T>(keeper: &mut Option<Box<Keeper>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = due(keeper.as_deref_mut()) => {
                if let Some(keeper) = keeper {
                    keeper.progress(None);
                }
            }
        }
    }
}

/// Resolves when progress is to be written down.
async fn due(keeper: Option<&mut Keeper>) {
    match keeper {
        Some(keeper) => keeper.due().await,
        None => std::future::pending().await,
    }
}
