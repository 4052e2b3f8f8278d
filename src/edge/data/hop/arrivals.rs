//! The owner's side of hops as they begin: whoever connects to `cluster.listen` has to prove that it is a replica before
//! anything that it sends reaches a session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::handed::Handed;
use super::introduction::{Introduced, Secret};
use crate::config::ClusterConfig;
use crate::edge::data::passive::{Arrived, PassivePool};
use crate::edge::data::transport::Transport;
use crate::edge::proxy::{self, Refusal};
use crate::metrics::{Metrics, Rejection};
use crate::net;
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;

/// A replica answers as soon as it has the challenge.
const DEADLINE: Duration = Duration::from_secs(5);
/// So many may be on their way to the end of their header. Each has five seconds at most.
const MOST_ARRIVING: usize = 1024;

/// How long balancers may take to see that a replica drains, and send new data connections elsewhere.
const LINGER: Duration = Duration::from_secs(5);

/// Why a connection is closed that was to be a hop.
#[derive(Debug, thiserror::Error)]
enum Dropped {
    #[error("it does not know the secret")]
    Unproven,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("it did not answer in time")]
    Late,
    #[error("it was lost: {0}")]
    Lost(#[from] io::Error),
}

/// Takes data connections of `pool`'s ports that other replicas hand on to `listener`, until the process stops: those of
/// sessions that finish while we drain come this way as well.
pub(crate) async fn serve(
    listener: TcpListener,
    pool: Arc<PassivePool>,
    cluster: ClusterConfig,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(MOST_ARRIVING));
    let arrivals = Arc::new(Arrivals {
        ordinal: cluster.ordinal,
        secret: Secret::new(&cluster.secret, &cluster.slices),
        pool,
        told: Seldom::default(),
        metrics,
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(others) = arrivals.told.tell() {
                    tracing::warn!(%error, others, "cannot accept a data connection from another replica");
                }
                sleep(net::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            arrivals.metrics.rejected(Rejection::MaxConnections);
            continue;
        };
        let (arrivals, stage) = (Arc::clone(&arrivals), shutdown.clone());
        shutdown.spawn(async move {
            let _held = place;
            tokio::select! {
                biased;
                () = stage.stopping() => {}
                () = arrivals.arrive(stream, net::canonical(peer)) => {}
            }
        });
    }
}

/// Keeps a draining process, which may drain for `drain_timeout`, for as long as balancers may still send it data connections of
/// other replicas' sessions.
pub(crate) async fn linger(shutdown: Shutdown, drain_timeout: Duration) {
    shutdown.draining().await;
    tokio::select! {
        () = shutdown.stopping() => {}
        () = sleep(LINGER.min(drain_timeout / 2)) => {}
    }
}

struct Arrivals {
    ordinal: u16,
    secret: Secret,
    pool: Arc<PassivePool>,
    told: Seldom,
    metrics: Arc<Metrics>,
}

impl Arrivals {
    async fn arrive(&self, mut stream: TcpStream, peer: SocketAddr) {
        let introduced = timeout(DEADLINE, self.introduced(&mut stream)).await.unwrap_or(Err(Dropped::Late));
        let introduced = match introduced {
            Ok(introduced) => introduced,
            Err(dropped) => return self.refuse(peer, &dropped),
        };
        let now = Instant::now();
        let arrived = Arrived {
            stream: Transport::Handed(Handed::new(stream)),
            client: introduced.client,
            // It was there before we knew of it.
            at: now.checked_sub(introduced.age).unwrap_or(now),
        };
        self.pool.hand_over(introduced.dialled.port(), arrived);
    }

    async fn introduced(&self, stream: &mut TcpStream) -> Result<Introduced, Dropped> {
        stream.set_nodelay(true)?;
        let (greeting, challenge) = self.secret.greet(self.ordinal);
        stream.write_all(&greeting).await?;
        let header = proxy::take(stream).await?;
        self.secret.introduced(&challenge, &header).ok_or(Dropped::Unproven)
    }

    fn refuse(&self, peer: SocketAddr, dropped: &Dropped) {
        tracing::debug!(%peer, %dropped, "no replica");
        // Health checks connect and say nothing.
        if matches!(dropped, Dropped::Lost(_) | Dropped::Refused(Refusal::Gone(_))) {
            return;
        }
        self.metrics.rejected(Rejection::NoReplica);
        if let Some(others) = self.told.tell() {
            tracing::warn!(%peer, %dropped, others, "connection to cluster.listen refused");
        }
    }
}
