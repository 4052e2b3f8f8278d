//! A client's data connection as the layers below the edge see it: a stream of bytes that can fail, stall and be
//! aborted. What it runs over is the edge's business.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::limits::{Exceeded, Pace};

/// Opens data connections. The edge implements it; control's backend calls it when the transfer can really begin.
#[async_trait]
pub trait OpenData: Send + Sync + std::fmt::Debug {
    /// Waits for the client's data connection and announces the transfer with 150.
    async fn open(self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError>;

    /// What the bytes of its data connection are to the client.
    fn content(&self) -> Content;
}

/// What the bytes of a file above a data connection are to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Those on the wire.
    AsSent,
    /// Others than those on the wire, so an offset means another byte to the client.
    Converted,
}

/// The client's data connection. Each wait in it ends after `ftp.data_timeout` or when the transfer is aborted.
#[async_trait]
pub trait DataConnection: Send {
    /// Appends what has arrived to `buffer`, up to its spare capacity, which must not be 0. Dropping the future loses nothing. `Ok(0)` is the orderly
    /// end, and says as well that the control connection was still there when it came.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError>;

    /// Sends all of `bytes`.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError>;

    /// Ends the connection so that the client knows it has everything.
    async fn finish(self: Box<Self>) -> Result<(), DataError>;

    /// Ends the connection so that the client cannot take what it got for the whole.
    fn reset(self: Box<Self>);
}

/// What holds back whoever reads for a client what does not go to its data connection.
#[async_trait]
pub trait Pacing: Send {
    /// `bytes` have been moved, or are about to be.
    fn owe(&mut self, bytes: usize);

    /// Waits until more may be moved. Dropping the future loses nothing but the place in the queue.
    async fn pay(&mut self);
}

#[async_trait]
impl Pacing for Pace {
    fn owe(&mut self, bytes: usize) {
        Pace::owe(self, bytes);
    }

    async fn pay(&mut self) {
        Pace::pay(self).await;
    }
}

/// Why a data connection failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It was never opened.
    #[error("cannot open data connection: {0}")]
    NotOpened(&'static str),
    /// It was opened, but not encrypted as it has to be.
    #[error("cannot secure data connection: {0}")]
    NotSecured(&'static str),
    /// It broke.
    #[error("data connection lost")]
    Lost(#[source] std::io::Error),
    /// No byte moved for this long.
    #[error("no data for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
    /// The control connection went away before the transfer was complete.
    #[error("control connection lost")]
    ControlLost,
    /// A limit of the user does not allow the file, or its next byte.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The transfer was told to give up.
    #[error("transfer aborted")]
    Aborted,
}

/// Tells a transfer to give up, and why. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    token: CancellationToken,
    reason: Arc<OnceLock<AbortReason>>,
}

/// Why a transfer is to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The client sent ABOR, or the operator closed the session.
    Requested,
    /// The control connection went away.
    ClientLost,
    /// The process stops.
    Shutdown,
}

impl Abort {
    /// Not aborted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives up; the first reason stays.
    pub fn abort(&self, reason: AbortReason) {
        // A second reason changes nothing: the transfer ends for the first.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why, once it was told.
    pub fn reason(&self) -> Option<AbortReason> {
        self.reason.get().copied()
    }

    /// Resolves when the transfer is to give up.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the transfer is to give up.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// What `work` comes to, or the error of giving up when that is asked for first; `work` is dropped then.
    pub async fn unless_requested<T, E: From<DataError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            () = self.requested() => Err(self.error().into()),
            done = work => done,
        }
    }

    /// The error that a data connection reports for it.
    pub fn error(&self) -> DataError {
        match self.reason() {
            Some(AbortReason::ClientLost) => DataError::ControlLost,
            Some(AbortReason::Requested | AbortReason::Shutdown) | None => DataError::Aborted,
        }
    }
}
