//! Active mode: connecting to where the client listens, from the port that its firewall expects (RFC 959 section 3.2).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use tokio::net::{TcpSocket, TcpStream};

/// Where a client listens, and where we connect from.
#[derive(Debug)]
pub(in crate::edge) struct Target {
    client: SocketAddr,
    local: IpAddr,
    source_port: u16,
}

impl Target {
    /// `client`, connected to from `local`. The caller has made sure that `client` is who sits at the other end of the
    /// control connection, and `local` is our end of that.
    pub(in crate::edge) fn new(client: SocketAddr, local: IpAddr, source_port: u16) -> Self {
        Self { client, local, source_port }
    }

    /// The connection. The caller bounds the wait.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        if self.source_port != 0 {
            match self.connect_from(self.source_port).await {
                // The client uses its port again while the kernel still remembers the last connection between the two.
                Err(error) if is_taken(&error) => {
                    tracing::debug!(%error, port = self.source_port, "active data connection from another port");
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => tell_once(self.source_port),
                connected => return connected,
            }
        }
        self.connect_from(0).await
    }

    async fn connect_from(&self, port: u16) -> io::Result<TcpStream> {
        let socket = if self.local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Many connections leave from one port; each has another end.
        socket.set_reuseaddr(true)?;
        socket.bind((self.local, port).into())?;
        socket.connect(self.client).await
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// Warns of what an operator can mend, but not for every connection.
fn tell_once(port: u16) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            port,
            "no right to ftp.active_source_port, active data connections come from any port"
        );
    });
}
