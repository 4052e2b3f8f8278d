//! The connected pair between the edge and libunftp, on a random loopback address of its own, so that libunftp's check
//! of the data connection's peer lets in nobody but us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use libunftp::options::Binder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// On loopback only a starved machine takes longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The address of one pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loopback {
    address: Ipv4Addr,
}

impl Loopback {
    /// A new pair: the edge's end and libunftp's end.
    pub(super) async fn connect() -> io::Result<(Self, TcpStream, TcpStream)> {
        let [_, b, c, d] = rand::random::<[u8; 4]>();
        // 127.0.0.0 and 127.255.255.255 are the network's own.
        let pair = Self { address: Ipv4Addr::new(127, b, c, d.clamp(1, 254)) };
        let listener = TcpListener::bind((pair.address, 0)).await?;
        let ours = pair.doorbell(listener.local_addr()?.port()).await?;
        let expected = ours.local_addr()?;
        let theirs = timeout(DEADLINE, async {
            loop {
                // Any process of this machine could have connected first.
                let (stream, peer) = listener.accept().await?;
                if peer == expected {
                    return io::Result::Ok(stream);
                }
            }
        })
        .await??;
        theirs.set_nodelay(true)?;
        Ok((pair, ours, theirs))
    }

    /// Connects to `port` of the pair's address, from that address.
    pub(super) async fn doorbell(&self, port: u16) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.address, 0)))?;
        let stream = timeout(DEADLINE, socket.connect(SocketAddr::from((self.address, port)))).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Makes libunftp listen for its doorbell on the pair's address.
    pub(super) fn binder(self) -> impl Binder + 'static {
        self
    }
}

#[async_trait]
impl Binder for Loopback {
    async fn bind(&mut self, _local: IpAddr, _ports: RangeInclusive<u16>) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.address, 0)))?;
        Ok(socket)
    }
}
