//! The forwarder's end of a hop: a client's connection to a port of another replica, handed on to that one.

use std::io;
use std::net::{Shutdown as Direction, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::MSG_MORE;
use socket2::SockRef;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use super::introduction::{Introduced, Secret};
use super::peers::{Replica, Unreached};
use super::splice::Pipe;
use super::word::Word;
use crate::config::{ClusterConfig, FtpConfig, Slices};
use crate::metrics::{ByteCount, Forwarded, Metrics, Rejection, Toward};
use crate::net;
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;

/// After our own deadline for a client that takes nothing. An owner whose store or memory is short may leave its client's
/// bytes unread for longer.
const CLIENT_VANISHED: Duration = Duration::from_mins(1);
const OWNER_VANISHED: Duration = Duration::from_mins(10);

/// Hands on what belongs to other replicas.
#[derive(Debug)]
pub(in crate::edge::data) struct Forwarder {
    slices: Slices,
    ordinal: u16,
    replicas: Vec<Replica>,
    secret: Secret,
    /// How many more connections may be handed on at one time.
    places: Arc<Semaphore>,
    data_timeout: Duration,
    to_owner: ByteCount,
    to_client: ByteCount,
    told: Seldom,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

/// A client's connection.
#[derive(Debug)]
pub(in crate::edge::data) struct Reached {
    pub(in crate::edge::data) stream: TcpStream,
    pub(in crate::edge::data) client: SocketAddr,
    /// What the client has dialled, with the port that it reached.
    pub(in crate::edge::data) dialled: SocketAddr,
    /// Since when it is known.
    pub(in crate::edge::data) at: Instant,
}

/// Why a connection was not handed on.
#[derive(Debug, thiserror::Error)]
enum NotHandedOn {
    #[error(transparent)]
    Unreached(#[from] Unreached),
    #[error("its addresses are of two families")]
    Mixed,
    #[error("lost at once: {0}")]
    Lost(#[from] io::Error),
}

impl Forwarder {
    pub(in crate::edge::data) fn new(
        cluster: &ClusterConfig,
        ftp: &FtpConfig,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Self {
        let replica = |(ordinal, peer)| Replica::new(ordinal, Clone::clone(peer));
        Self {
            slices: cluster.slices.clone(),
            ordinal: cluster.ordinal,
            replicas: (0..).zip(&cluster.peers).map(replica).collect(),
            secret: Secret::new(&cluster.secret, &cluster.slices),
            places: Arc::new(Semaphore::new(ftp.max_connections.min(Semaphore::MAX_PERMITS))),
            data_timeout: ftp.data_timeout,
            to_owner: metrics.forwarded_bytes(Toward::Owner),
            to_client: metrics.forwarded_bytes(Toward::Client),
            told: Seldom::default(),
            metrics: Arc::clone(metrics),
            shutdown: shutdown.clone(),
        }
    }

    /// Whether `port` is another replica's.
    pub(in crate::edge::data) fn is_foreign(&self, port: u16) -> bool {
        self.slices.owner(port) != self.ordinal
    }

    /// Hands a connection on to the replica whose port it has reached. If that cannot be had, the client gets a reset. It goes
    /// on while we drain, and draining waits for it.
    pub(in crate::edge::data) fn hand_on(self: &Arc<Self>, reached: Reached) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            net::reset_on_close(&reached.stream);
            return self.metrics.rejected(Rejection::MaxConnections);
        };
        let forwarder = Arc::clone(self);
        self.shutdown.spawn(async move {
            let _held = place;
            let _counted = forwarder.metrics.forwarding();
            let result = tokio::select! {
                biased;
                () = forwarder.shutdown.stopping() => Forwarded::Lost,
                result = forwarder.hop(&reached) => result,
            };
            if result != Forwarded::Ok {
                // The owner needs none: to it, an end of the connection is no end of the data.
                net::reset_on_close(&reached.stream);
            }
            forwarder.metrics.forwarded(result);
        });
    }

    async fn hop(&self, reached: &Reached) -> Forwarded {
        let (port, client) = (reached.dialled.port(), reached.client);
        let owner = self.slices.owner(port);
        let stream = match self.introduce(owner, reached).await {
            Ok(stream) => stream,
            Err(error) => {
                self.tell(owner, reached, &error);
                return Forwarded::Unreachable;
            }
        };
        tracing::debug!(port, owner, %client, "data connection handed on");
        match self.exchange(&reached.stream, &stream).await {
            Ok(()) => Forwarded::Ok,
            Err(error) => {
                tracing::debug!(port, owner, %client, %error, "handed on data connection lost");
                Forwarded::Lost
            }
        }
    }

    /// A connection to the owner that knows whose it is.
    async fn introduce(&self, owner: u16, reached: &Reached) -> Result<TcpStream, NotHandedOn> {
        let replica = &self.replicas[usize::from(owner)];
        let (mut stream, challenge) = replica.connect(&self.secret).await?;
        let (client, dialled) = (reached.client, reached.dialled);
        let introduced = Introduced { client, dialled, age: reached.at.elapsed() };
        let header = self.secret.answer(&challenge, &introduced).ok_or(NotHandedOn::Mixed)?;
        net::watch(&stream, self.data_timeout.saturating_add(OWNER_VANISHED))?;
        net::watch(&reached.stream, self.data_timeout.saturating_add(CLIENT_VANISHED))?;
        reached.stream.set_nodelay(true)?;
        // It is empty yet, and takes a header whole.
        stream.write_all(&header).await?;
        Ok(stream)
    }

    /// Moves bytes in both directions until the owner has ended its own, and the client has it all.
    async fn exchange(&self, client: &TcpStream, owner: &TcpStream) -> io::Result<()> {
        let (delivered, is_delivered) = oneshot::channel();
        let to_client = async {
            self.to_client(owner, client).await?;
            // Who waits for it is dropped only with this.
            let _ = delivered.send(());
            Ok(())
        };
        tokio::try_join!(self.to_owner(client, owner, is_delivered), to_client)?;
        Ok(())
    }

    async fn to_owner(
        &self,
        client: &TcpStream,
        owner: &TcpStream,
        mut delivered: oneshot::Receiver<()>,
    ) -> io::Result<()> {
        let (mut pipe, mut ended) = (Pipe::default(), false);
        loop {
            let filled = tokio::select! {
                biased;
                _ = &mut delivered => break,
                filled = pipe.fill(client), if !ended => filled?,
            };
            let Some(length) = NonZeroU32::new(filled) else {
                say(owner, Word::End, 0).await?;
                ended = true;
                continue;
            };
            // Together with the bytes.
            say(owner, Word::Piece(length), MSG_MORE).await?;
            let mut left = filled;
            // The owner bounds the wait: it may be short of memory, or its store slow, and when it is gone the kernel notices.
            while left > 0 {
                left -= pipe.pour(owner, left).await?;
            }
            self.to_owner.add(filled.into());
        }
        // An owner that has what it wanted does not wait for it.
        let _ = say(owner, Word::Delivered, 0).await;
        Ok(())
    }

    async fn to_client(&self, owner: &TcpStream, client: &TcpStream) -> io::Result<()> {
        let mut pipe = Pipe::default();
        loop {
            let filled = pipe.fill(owner).await?;
            if filled == 0 {
                return SockRef::from(client).shutdown(Direction::Write);
            }
            let mut left = filled;
            while left > 0 {
                left -= timeout(self.data_timeout, pipe.pour(client, left)).await??;
            }
            self.to_client.add(filled.into());
        }
    }

    fn tell(&self, owner: u16, reached: &Reached, error: &NotHandedOn) {
        let (port, client) = (reached.dialled.port(), reached.client);
        tracing::debug!(port, owner, %client, %error, "data connection not handed on");
        if let Some(others) = self.told.tell() {
            let replica = &self.replicas[usize::from(owner)];
            tracing::warn!(owner, %replica, %error, others, "data connection not handed on to its replica");
        }
    }
}

/// Says `word` in one piece, which what is written next may join.
async fn say(owner: &TcpStream, word: Word, flags: i32) -> io::Result<()> {
    let bytes = word.to_bytes();
    let mut said = 0;
    while said < bytes.len() {
        let send = || SockRef::from(owner).send_with_flags(&bytes[said..], flags);
        said += owner.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}
