//! The store's side of an upload: where it goes, the parts on their way, and that nothing is left of it unless it was
//! completed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::budget::Charge;
use super::driver::{Condition, Destination, Lifetime, OpenUpload, Saved, Written};
use super::error::{Error, Result};
use super::noted::Noted;
use super::path::StorePath;
use super::store::Store;
use crate::shutdown::Shutdown;

/// How long the store may take to forget an aborted multipart upload before it is left to its lifecycle rules.
const ABORT_DEADLINE: Duration = Duration::from_secs(10);
/// How long whoever aborts waits for the store.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long parts on their way may take to arrive before an abort; then they are cancelled.
const PARTS_DEADLINE: Duration = Duration::from_secs(8);

/// Parts on their way; each gives its charge back when the store has its bytes.
type InFlight = FuturesUnordered<BoxFuture<'static, Result<()>>>;

/// An upload as far as it has got in the store. Dropping it aborts it in the background, unless it may outlive its
/// session.
#[derive(Debug)]
pub(super) struct Multipart {
    state: State,
    /// A part that waits for the window to have room. It is not lost with whoever waits.
    queued: Option<(Vec<Bytes>, Charge)>,
    in_flight: InFlight,
    lifetime: Lifetime,
    path: StorePath,
    store: Arc<Store>,
}

#[derive(Debug)]
enum State {
    /// The store knows nothing of it.
    Unknown(Box<dyn Destination>),
    /// Who stops waiting for the answer leaves it here: the store may have made the upload already, and only its answer
    /// says what there is to abort.
    Opening(JoinHandle<Result<OpenMultipart>>),
    Open(OpenMultipart),
    Ended,
}

impl Multipart {
    /// An upload to `path` that has not touched the store yet.
    pub(super) fn new(store: &Arc<Store>, path: &StorePath, destination: Box<dyn Destination>) -> Self {
        Self::in_state(store, path, State::Unknown(destination), Lifetime::Session)
    }

    /// An upload to `path` that another session has left open.
    pub(super) fn reopened(store: &Arc<Store>, path: &StorePath, upload: Box<dyn OpenUpload>) -> Self {
        let open = OpenMultipart { upload: Some(upload), noted: None, shutdown: store.shutdown.clone() };
        Self::in_state(store, path, State::Open(open), Lifetime::Kept)
    }

    fn in_state(store: &Arc<Store>, path: &StorePath, state: State, lifetime: Lifetime) -> Self {
        let (path, store) = (path.clone(), Arc::clone(store));
        Self { state, queued: None, in_flight: InFlight::new(), lifetime, path, store }
    }

    /// How long it may stay open. If it may outlive its session, whoever keeps it has a record of it.
    pub(super) fn lasts(&mut self, lifetime: Lifetime) {
        self.lifetime = lifetime;
    }

    fn upload(&self) -> Option<&dyn OpenUpload> {
        match &self.state {
            State::Open(open) => open.upload.as_deref(),
            State::Unknown(_) | State::Opening(_) | State::Ended => None,
        }
    }

    /// What others need to know to go on with it, if it is open.
    pub(super) fn saved(&self) -> Option<Saved> {
        self.upload()?.saved()
    }

    /// Whether a part that is not the last one may be of any size.
    pub(super) fn takes_short_parts(&self) -> bool {
        self.upload().is_some_and(OpenUpload::takes_short_parts)
    }

    /// Waits for all parts to arrive, but not for a store that hangs. Tells whether all have.
    pub(super) async fn settle(&mut self) -> bool {
        let arriving = async {
            self.flush().await?;
            while let Some(sent) = self.arrived().await {
                sent?;
            }
            Ok::<_, Error>(())
        };
        matches!(timeout(PARTS_DEADLINE, arriving).await, Ok(Ok(())))
    }

    /// Leaves it open, for whoever knows what [`saved`](Self::saved) tells.
    pub(super) fn leave(&mut self) {
        if let State::Open(open) = &mut self.state
            && let Some(mut upload) = open.upload.take()
        {
            upload.leave();
        }
        self.state = State::Ended;
    }

    /// Whether the store knows nothing of it, so that a single PUT will do.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.state, State::Unknown(_))
    }

    /// The size of the next part.
    pub(super) fn part_size(&self) -> usize {
        match &self.state {
            State::Unknown(destination) => destination.first_part(),
            State::Open(open) => open.upload.as_ref().map_or(0, |upload| upload.part_size()),
            // Nobody fills a part while the upload is being opened, nor after its end.
            State::Opening(_) | State::Ended => 0,
        }
    }

    /// Waits for a part on its way to arrive; none if there is none. Dropping the future loses nothing.
    pub(super) async fn arrived(&mut self) -> Option<Result<()>> {
        self.in_flight.next().await
    }

    /// Puts `part` on its way once the window has room.
    pub(super) async fn send(&mut self, part: (Vec<Bytes>, Charge)) -> Result<()> {
        self.flush().await?;
        self.queued = Some(part);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        if self.queued.is_none() {
            return Ok(());
        }
        self.open().await?;
        let State::Open(OpenMultipart { upload: Some(upload), .. }) = &mut self.state else {
            return Err(Error::Changed);
        };
        while self.in_flight.len() >= upload.window() {
            if let Some(sent) = self.in_flight.next().await {
                sent?;
            }
        }
        let Some((part, charge)) = self.queued.take() else { return Ok(()) };
        let sending = upload.send(part)?;
        self.in_flight.push(Box::pin(async move {
            let _charge = charge;
            sending.await
        }));
        Ok(())
    }

    /// When the record of it in the store is to be [renewed](Self::renew), if there is one.
    pub(super) fn stale_at(&self) -> Option<Instant> {
        match &self.state {
            State::Open(OpenMultipart { noted: Some(noted), .. }) => Some(noted.stale_at()),
            State::Open(_) | State::Unknown(_) | State::Opening(_) | State::Ended => None,
        }
    }

    /// Sees that the janitor does not take it for left over, however slowly its bytes come.
    pub(super) fn renew(&mut self) {
        if let State::Open(OpenMultipart { noted: Some(noted), .. }) = &mut self.state {
            noted.refresh();
        }
    }

    async fn open(&mut self) -> Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Unknown(destination) => {
                let opening = open(destination, self.lifetime, Arc::clone(&self.store), self.path.clone());
                State::Opening(self.store.shutdown.spawn(opening))
            }
            state => state,
        };
        if let State::Opening(opening) = &mut self.state {
            let opened = opening.await;
            self.state = State::Ended;
            self.state = State::Open(opened.map_err(Error::task_lost)??);
        }
        Ok(())
    }

    /// Makes the object appear with one PUT of all its bytes.
    pub(super) async fn put(
        &mut self,
        (body, _charge): (Vec<Bytes>, Charge),
        condition: &Condition,
    ) -> Result<Written> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Unknown(destination) => destination.put(body, condition).await,
            State::Opening(_) | State::Open(_) | State::Ended => Err(Error::Changed),
        }
    }

    /// Makes the object appear from the parts, all of which have arrived.
    pub(super) async fn complete(&mut self, condition: &Condition) -> Result<Written> {
        let mut written = Written::default();
        if let State::Open(open) = &mut self.state
            && let Some(upload) = &mut open.upload
        {
            written = upload.complete(condition).await?;
            open.upload = None;
            if let Some(noted) = open.noted.take() {
                noted.forget();
            }
        }
        self.state = State::Ended;
        Ok(written)
    }

    /// Leaves nothing of the upload in the store. Waits for that, but not for a store that hangs: then it goes on in
    /// the background.
    pub(super) async fn abort(&mut self) {
        if let Some(taking_down) = self.take_down() {
            let taking_down = self.store.shutdown.spawn(taking_down);
            // Late is no failure: the task goes on, and draining waits for it.
            let _ = timeout(ABORT_PATIENCE, taking_down).await;
        }
    }

    /// What remains to be done to leave nothing, if anything.
    fn take_down(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let in_flight = std::mem::take(&mut self.in_flight);
        let unfinished = matches!(state, State::Opening(_) | State::Open(_));
        unfinished.then_some(async move {
            let opened = match state {
                State::Opening(opening) => opening.await.ok().and_then(Result::ok),
                State::Open(open) => Some(open),
                State::Unknown(_) | State::Ended => None,
            };
            if let Some(open) = opened {
                open.abort(in_flight).await;
            }
        })
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Kept && matches!(self.state, State::Open(_)) {
            self.leave();
        }
        if let Some(taking_down) = self.take_down()
            && Handle::try_current().is_ok()
        {
            self.store.shutdown.spawn(taking_down);
        }
    }
}

async fn open(
    destination: Box<dyn Destination>,
    lifetime: Lifetime,
    store: Arc<Store>,
    path: StorePath,
) -> Result<OpenMultipart> {
    let upload = destination.open(lifetime).await?;
    let noted = match lifetime {
        Lifetime::Session => upload.saved().map(|saved| Box::new(Noted::note(&store, &path, saved))),
        // Whoever keeps it has a record of its own.
        Lifetime::Kept => None,
    };
    Ok(OpenMultipart { upload: Some(upload), noted, shutdown: store.shutdown.clone() })
}

/// An upload that the store holds open; dropped with one in it, it is aborted.
#[derive(Debug)]
struct OpenMultipart {
    /// None once it has ended.
    upload: Option<Box<dyn OpenUpload>>,
    noted: Option<Box<Noted>>,
    shutdown: Shutdown,
}

impl OpenMultipart {
    /// Ends the parts that are on their way, then the upload.
    async fn abort(mut self, mut in_flight: InFlight) {
        // A part that the server takes in after the abort stays behind, and a cancelled request may still be taken in.
        let arriving = async { while in_flight.next().await.is_some() {} };
        // Late ones are cancelled.
        let _ = timeout(PARTS_DEADLINE, arriving).await;
        drop(in_flight);
        if let Some(upload) = self.upload.take() {
            abort(upload, self.noted.take()).await;
        }
    }
}

impl Drop for OpenMultipart {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && Handle::try_current().is_ok()
        {
            self.shutdown.spawn(abort(upload, self.noted.take()));
        }
    }
}

async fn abort(mut upload: Box<dyn OpenUpload>, noted: Option<Box<Noted>>) {
    match timeout(ABORT_DEADLINE, upload.abort()).await {
        Ok(Ok(())) => {
            if let Some(noted) = noted {
                noted.forget();
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "an aborted multipart upload stays in the store for a day, or until its lifecycle rules end it");
        }
        Err(_) => tracing::warn!("the store did not abort a multipart upload in time; it stays for a day"),
    }
}
