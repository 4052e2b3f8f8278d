//! The connected pair between a session and its libunftp, which speaks with nothing but TCP sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Connecting on loopback takes microseconds, and what is accepted is there already. Only strangers who fill the
/// listener's queue can make it take longer.
const DEADLINE: Duration = Duration::from_secs(1);
const BACKLOG: i32 = 128;

/// Makes pairs.
#[derive(Debug)]
pub(super) struct Pairs {
    address: SocketAddr,
    /// One pair at a time, so that the connection that is accepted is the one that was just made.
    listener: Mutex<Socket>,
}

impl Pairs {
    /// Listens on a random loopback address.
    pub(super) fn new() -> io::Result<Self> {
        let [_, b, c, d] = rand::random::<[u8; 4]>();
        // 127.0.0.0 and 127.255.255.255 are the network's own.
        let address = SocketAddr::from((Ipv4Addr::new(127, b, c, d.clamp(1, 254)), 0));
        let listener = socket()?;
        listener.bind(&address.into())?;
        listener.listen(BACKLOG)?;
        listener.set_read_timeout(Some(DEADLINE))?;
        let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { address, listener: Mutex::new(listener) })
    }

    /// A new pair, on the calling thread's runtime: our end and libunftp's.
    pub(super) fn connect(&self) -> io::Result<(TcpStream, TcpStream)> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = socket()?;
        ours.set_write_timeout(Some(DEADLINE))?;
        ours.connect(&self.address.into())?;
        let expected = ours.local_addr()?;
        let theirs = loop {
            // Any process of this machine could have connected first.
            let (stream, peer) = listener.accept()?;
            if peer.as_socket() == expected.as_socket() {
                break stream;
            }
        };
        drop(listener);
        Ok((end(ours)?, end(theirs)?))
    }
}

fn socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
}

fn end(socket: Socket) -> io::Result<TcpStream> {
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stranger_gets_no_end_of_a_pair() {
        let pairs = Pairs::new().expect("a listener");
        let mut stranger = std::net::TcpStream::connect(pairs.address).expect("anybody can connect");
        let (mut ours, mut theirs) = pairs.connect().expect("a pair");
        ours.write_all(b"for libunftp").await.expect("written");
        let mut read = [0; 12];
        theirs.read_exact(&mut read).await.expect("read");
        assert_eq!(&read, b"for libunftp");
        assert_eq!(std::io::Read::read(&mut stranger, &mut read).ok(), Some(0), "closed without a word");
    }
}
