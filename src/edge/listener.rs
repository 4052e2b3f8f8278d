//! Accepting control connections. Accepting never waits for a session.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::entrance::Entrance;
use super::proxy::Proxies;
use super::shared::Edge;
use super::{client, socket};
use crate::metrics::{Rejection, SessionTls};
use crate::net::{ACCEPT_PAUSE, Ends, canonical, rehome};
use crate::seldom::Seldom;
use crate::sessions::Place;
use crate::spans;

/// Accepts sessions on `listener` until draining begins.
pub(crate) async fn serve(edge: Arc<Edge>, listener: TcpListener, entrance: Entrance) {
    let shutdown = edge.front.shutdown.clone();
    let told = Seldom::default();
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
                if let Some(others) = told.tell() {
                    tracing::warn!(%error, others, "cannot accept a control connection");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(edge: &Arc<Edge>, stream: TcpStream, peer: SocketAddr, entrance: Entrance) -> io::Result<()> {
    let proxies = edge.proxies.clone();
    if proxies.as_ref().is_some_and(|proxies| !proxies.trusts(peer)) {
        return Ok(());
    }
    let place = match edge.sessions.arrive() {
        Ok(place) => place,
        Err(reason) => {
            turn_away(edge, &stream, peer, entrance, reason);
            return Ok(());
        }
    };
    match proxies {
        None => {
            let ends = Ends::direct(peer, canonical(stream.local_addr()?));
            begin(edge, stream, ends, entrance, place);
        }
        Some(proxies) => {
            let arriving = after_header(Arc::clone(edge), proxies, stream, peer, entrance, place);
            edge.front.shutdown.spawn(arriving);
        }
    }
    Ok(())
}

/// Begins the session of a connection that a balancer has made, once that has said for whom.
async fn after_header(
    edge: Arc<Edge>,
    proxies: Arc<Proxies>,
    mut stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    place: Place,
) {
    let ends = tokio::select! {
        biased;
        () = edge.front.shutdown.draining() => return,
        ends = proxies.ends(&mut stream, peer) => ends,
    };
    if let Some(ends) = ends {
        begin(&edge, stream, ends, entrance, place);
    }
}

fn begin(edge: &Arc<Edge>, stream: TcpStream, ends: Ends, entrance: Entrance, place: Place) {
    let entry = match place.open(ends) {
        Ok(entry) => entry,
        Err(reason) => return turn_away(edge, &stream, ends.client, entrance, reason),
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
    edge.front.shutdown.spawn_on(spans::in_session(span, session), edge.workers.handle(worker));
}

fn turn_away(edge: &Edge, stream: &TcpStream, peer: SocketAddr, entrance: Entrance, reason: Rejection) {
    edge.front.metrics.rejected(reason);
    tracing::info!(%peer, ?reason, "connection turned away");
    if entrance == Entrance::ImplicitTls {
        // A handshake is work that is refused here, and text without one is not understood.
        return;
    }
    let socket = SockRef::from(stream);
    // A PROXY header that stays unread would make the close a reset, which can overtake the reply.
    let _ = socket.recv(&mut [MaybeUninit::uninit(); 256]);
    // A fresh connection has room for a line; a client that has gone away needs none.
    let _ = socket.send(b"421 Too many connections, try again later\r\n");
}
