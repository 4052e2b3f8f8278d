//! The HTTP server: axum's router on hyper, so that there is a limit on whatever a client can hold.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use super::places::{Holder, Kept, Place, Places};
use crate::shutdown::Shutdown;

/// How many connections there may be. Who comes then takes the place of another one.
const MOST_CONNECTIONS: usize = 128;
/// How many of one address, which may be a proxy's. More than there may be streams, which do not give way.
const MOST_OF_ADDRESS: usize = 64;
/// How long a client may take for the head of a request, and a connection may do nothing.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// After this a connection ends with the answer that it is at; clients make another.
pub(super) const LONGEST: Duration = Duration::from_mins(5);
/// How long that answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(10);
const MOST_HEADERS: usize = 64;
const LARGEST_HEAD: usize = 32 * 1024;

/// Who has made a request.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<Holder>);

impl Peer {
    pub(super) fn address(&self) -> SocketAddr {
        self.0.peer()
    }

    /// The connection is not closed in favour of others while what is returned lives.
    pub(super) fn keep(&self) -> Kept {
        self.0.keep()
    }
}

/// Serves until the second stage of stopping.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let places = Places::new(MOST_CONNECTIONS, MOST_OF_ADDRESS);
    let mut connections = JoinSet::new();
    let serving = async {
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let Some(place) = places.take(peer) else { continue };
                    let router = router.clone().layer(Extension(Peer(Arc::clone(place.holder()))));
                    connections.spawn(connection(socket, router, shutdown.clone(), place));
                }
                Err(error) => {
                    // The process may be out of files, which passes.
                    tracing::warn!(%error, "cannot accept an http connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = shutdown.stopping() => {}
    }
    // What is left then is aborted.
    let _ = timeout(LAST_ANSWER, connections.join_all()).await;
}

async fn connection(socket: TcpStream, router: Router, shutdown: Shutdown, place: Place) {
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(SILENCE));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    let serving = http.serve_connection(TokioIo::new(Box::pin(socket)), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    tokio::select! {
        // How it ended is the client's affair.
        _ = serving.as_mut() => return,
        () = place.gives_way() => return,
        () = shutdown.stopping() => {}
        () = sleep(LONGEST) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ = timeout(LAST_ANSWER, serving) => {}
        () = place.gives_way() => {}
    }
}
