//! Moving bytes from one socket to another inside the kernel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a pipe is to hold. The more it holds, the fewer pieces there are; the kernel gives one user 64 MiB of pipes in all and
/// refuses to enlarge more, which then hold 64 KiB.
const ROOM: u32 = 256 * 1024;

/// A pipe between two sockets, which is made when there is something to move. Each fill is poured out before the next.
#[derive(Debug, Default)]
pub(super) struct Pipe(Option<Ends>);

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    /// Takes what has arrived on `from`, once there is something; 0 is its orderly end. The pipe must be empty. Dropping the
    /// future loses nothing.
    pub(super) async fn fill(&mut self, from: &TcpStream) -> io::Result<u32> {
        from.readable().await?;
        let write = &self.ends()?.write;
        from.async_io(Interest::READABLE, || moved(from, write, ROOM)).await
    }

    /// Gives up to `most` bytes of what is in the pipe, which must not be empty, to `to` and tells how many they were.
    pub(super) async fn pour(&mut self, to: &TcpStream, most: u32) -> io::Result<u32> {
        let read = &self.ends()?.read;
        to.async_io(Interest::WRITABLE, || moved(read, to, most)).await
    }

    fn ends(&mut self) -> io::Result<&Ends> {
        if self.0.is_none() {
            let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
            // Without it there are more pieces, nothing else.
            let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(ROOM.cast_signed()));
            self.0 = Some(Ends { read, write });
        }
        Ok(self.0.as_ref().expect("made above"))
    }
}

fn moved(from: impl AsFd, to: impl AsFd, most: u32) -> io::Result<u32> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    let moved = splice(from, None, to, None, most as usize, flags)?;
    Ok(u32::try_from(moved).expect("not more than was asked for"))
}
