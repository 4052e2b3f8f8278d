//! Accepting control connections. Accepting never waits for a session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::Instrument;

use super::socket::ControlSocket;
use super::{Edge, connection};
use crate::metrics::Rejection;
use crate::net::{ACCEPT_PAUSE, canonical, rehome};
use crate::session::Session;

/// Accepts sessions on `listener` until draining begins.
pub async fn serve(edge: Arc<Edge>, listener: TcpListener) {
    let shutdown = edge.front.shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(&edge, stream, canonical(peer)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(edge: &Arc<Edge>, stream: TcpStream, peer: SocketAddr) {
    let place = match edge.limits.admit(peer.ip()) {
        Ok(place) => place,
        Err(reason) => return turn_away(edge, &stream, peer, reason),
    };
    let worker = edge.workers.next();
    let counted = edge.front.metrics.session();
    let edge = Arc::clone(edge);
    let shutdown = edge.front.shutdown.clone();
    let session = async move {
        let _held = (place, counted);
        if let Err(error) = begin(edge, stream, peer).await {
            tracing::debug!(%peer, %error, "control connection lost at once");
        }
    };
    shutdown.spawn_on(session, worker);
}

/// Serves a session on the thread that runs this.
async fn begin(edge: Arc<Edge>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let stream = rehome(stream)?;
    let local = canonical(stream.local_addr()?);
    let socket = ControlSocket::new(stream)?;
    let id = edge.last_session.fetch_add(1, Ordering::Relaxed) + 1;
    let session = Arc::new(Session::new(id, peer, local));
    let span = session.span.clone();
    connection::run(edge, socket, session).instrument(span).await;
    Ok(())
}

fn turn_away(edge: &Edge, stream: &TcpStream, peer: SocketAddr, reason: Rejection) {
    edge.front.metrics.rejected(reason);
    tracing::info!(%peer, ?reason, "connection turned away");
    // A fresh connection has room for a line; a client that has gone away needs none.
    let _ = stream.try_write(b"421 Too many connections, try again later\r\n");
}
