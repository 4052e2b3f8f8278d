//! The connected pair between a session and its libunftp, which speaks with nothing but TCP sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Connecting on loopback takes microseconds, and what is accepted is there already. Only strangers who fill the
/// listener's queue at this very moment can make it take longer, and a session's thread must not wait for them.
const DEADLINE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(1);
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
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { address, listener: Mutex::new(listener) })
    }

    /// A new pair, on the calling thread's runtime: our end and libunftp's.
    pub(super) fn connect(&self) -> io::Result<(TcpStream, TcpStream)> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        // Any process of this machine can have connected, and a full queue would keep us out.
        while accept(&listener)?.is_some() {}
        let ours = socket()?;
        ours.set_write_timeout(Some(DEADLINE))?;
        ours.connect(&self.address.into())?;
        let expected = ours.local_addr()?.as_socket();
        let begun = Instant::now();
        let theirs = loop {
            match accept(&listener)? {
                Some((stream, peer)) if peer == expected => break stream,
                Some(_) => {}
                None if begun.elapsed() > DEADLINE => return Err(io::ErrorKind::TimedOut.into()),
                None => std::thread::sleep(PAUSE),
            }
        };
        drop(listener);
        Ok((end(ours)?, end(theirs)?))
    }
}

/// The next connection in the queue, if there is one.
fn accept(listener: &Socket) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
    match listener.accept() {
        Ok((stream, peer)) => Ok(Some((stream, peer.as_socket()))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // A stranger that went away again, which concerns nobody.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
        Err(error) => Err(error),
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
        let mut strangers: Vec<_> =
            (0..=BACKLOG).map(|_| std::net::TcpStream::connect_timeout(&pairs.address, DEADLINE)).collect();
        let mut stranger = strangers.remove(0).expect("anybody can connect");
        let (mut ours, mut theirs) = pairs.connect().expect("a pair, though the queue was full");
        ours.write_all(b"for libunftp").await.expect("written");
        let mut read = [0; 12];
        theirs.read_exact(&mut read).await.expect("read");
        assert_eq!(&read, b"for libunftp");
        assert_eq!(std::io::Read::read(&mut stranger, &mut read).ok(), Some(0), "closed without a word");
        drop(strangers);
        pairs.connect().expect("another pair");
    }
}
