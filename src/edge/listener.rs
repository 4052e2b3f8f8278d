//! Accepting control connections. Accepting never waits for a session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::Instrument;

use super::entrance::Entrance;
use super::shared::Edge;
use super::{client, socket};
use crate::metrics::{Rejection, SessionTls};
use crate::net::{ACCEPT_PAUSE, canonical, rehome};

/// Accepts sessions on `listener` until draining begins.
pub(crate) async fn serve(edge: Arc<Edge>, listener: TcpListener, entrance: Entrance) {
    let shutdown = edge.front.shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = canonical(peer);
                if let Err(error) = admit(&edge, stream, peer, entrance) {
                    tracing::debug!(%peer, %error, "control connection lost at once");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(edge: &Arc<Edge>, stream: TcpStream, peer: SocketAddr, entrance: Entrance) -> io::Result<()> {
    let local = canonical(stream.local_addr()?);
    let entry = match edge.sessions.open(peer, local) {
        Ok(entry) => entry,
        Err(reason) => {
            turn_away(edge, &stream, peer, entrance, reason);
            return Ok(());
        }
    };
    let worker = edge.workers.next();
    let counted = edge.front.metrics.session(match entrance {
        Entrance::Clear => SessionTls::None,
        Entrance::ImplicitTls => SessionTls::Implicit,
    });
    let (session, span) = (Arc::clone(&entry), entry.span.clone());
    let serving = Arc::clone(edge);
    let session = async move {
        let _held = entry;
        match rehome(stream).and_then(socket::prepare) {
            Ok(socket) => client::serve(serving, socket, entrance, session, worker, counted).await,
            Err(error) => tracing::debug!(%error, "control connection lost at once"),
        }
    };
    edge.front.shutdown.spawn_on(session.instrument(span), edge.workers.handle(worker));
    Ok(())
}

fn turn_away(edge: &Edge, stream: &TcpStream, peer: SocketAddr, entrance: Entrance, reason: Rejection) {
    edge.front.metrics.rejected(reason);
    tracing::info!(%peer, ?reason, "connection turned away");
    if entrance == Entrance::ImplicitTls {
        // A handshake is work that is refused here, and text without one is not understood.
        return;
    }
    // A fresh connection has room for a line; a client that has gone away needs none.
    let _ = stream.try_write(b"421 Too many connections, try again later\r\n");
}
