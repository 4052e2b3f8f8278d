//! What sockets need, whoever they serve.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// After a failed accept, which is mostly a lack of file descriptors: time for sessions to end.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;
/// A connection on which nothing moves is asked after this long whether its other end is still there, and then again.
const KEEPALIVE: Duration = Duration::from_mins(1);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(15);

/// Listens on `address`. An IPv6 address takes no IPv4 connections, so that both can be listed.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the last process to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Ends `stream` when its other end has given no sign of life for `patience`, whether something was to be sent to it or
/// not: a client that vanished without a word must not hold its session for ever.
pub(crate) fn watch(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_AGAIN))?;
    // This bounds the probes as well, and takes the place of their number.
    socket.set_tcp_user_timeout(Some(patience))
}

/// Makes the close of `stream` a reset, which nobody takes for the end of a file.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // Without lingering it is one.
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot reset a data connection");
    }
}

/// The same connection, woken on the thread that calls this instead of the one that accepted it.
pub(crate) fn rehome(stream: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

/// The same listener, woken by the runtime that the caller has entered instead of the one that it was bound in.
pub(crate) fn rehome_listener(listener: TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener.into_std()?)
}

/// The addresses that a client's connection is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client's.
    pub(crate) client: SocketAddr,
    /// What the client has connected to, which may be a balancer's.
    pub(crate) dialled: SocketAddr,
    /// Our own.
    pub(crate) local: SocketAddr,
}

impl Ends {
    /// Those of a connection that nobody has made for somebody else.
    pub(crate) fn direct(client: SocketAddr, local: SocketAddr) -> Self {
        Self { client, dialled: local, local }
    }
}

/// IPv4 addresses that arrive on an IPv6 socket are IPv4 addresses.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What one client can take addresses from: a host with IPv6 has a whole /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_one_host_counts_as_one() {
        let at = |address: &str| -> IpAddr { address.parse().expect("an address") };
        assert_eq!(network(at("2001:db8::1")), network(at("2001:db8::ffff:1:2:3")));
        assert_ne!(network(at("2001:db8::1")), network(at("2001:db8:0:1::1")));
        assert_eq!(network(at("::ffff:192.0.2.1")), at("192.0.2.1"));
        assert_ne!(network(at("192.0.2.1")), network(at("192.0.2.2")));
    }

    #[tokio::test]
    async fn a_watched_connection_is_asked_for_signs_of_life() {
        let listener = bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connect");
        watch(&stream, Duration::from_secs(90)).expect("a live socket");
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("a live socket"));
        assert_eq!(socket.tcp_keepalive_time().expect("a live socket"), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().expect("a live socket"), KEEPALIVE_AGAIN);
        assert_eq!(socket.tcp_user_timeout().expect("a live socket"), Some(Duration::from_secs(90)));
    }
}
