//! The servers that Bucketport is measured beside, as far as they are there.
//!
//! Each server has passive ports of its own. Thousands of connections a second leave so many ports behind in
//! TIME-WAIT that one which took any free port would find none.

use std::process::Command;

use crate::debian;
use crate::server::{BENCH, Login, Place, Server, free_address};

/// Starts all peers that can be had, and says which ones cannot.
pub(crate) fn start() -> Vec<Server> {
    type Start = fn() -> Result<Server, String>;
    let peers: [(&str, Start); 5] = [
        ("pure-ftpd", || debian::pure_ftpd(None)),
        ("vsftpd", || debian::vsftpd(None)),
        ("proftpd", debian::proftpd),
        ("pyftpdlib", pyftpdlib),
        ("unFTP", unftp),
    ];
    let or_say = |(name, start): (&str, Start)| {
        start().inspect_err(|reason| println!("{name} left out: {reason}")).ok()
    };
    peers.into_iter().filter_map(or_say).collect()
}

fn pyftpdlib() -> Result<Server, String> {
    let python = std::env::var("BENCH_PYFTPDLIB_PYTHON").map_err(|_| "BENCH_PYFTPDLIB_PYTHON is not set")?;
    let (place, address) = (Place::new(), free_address());
    let mut command = Command::new(python);
    command.args(["-m", "pyftpdlib", "-w", "-i", "127.0.0.1", "-u", "bench", "-P", "bench", "-p"]);
    command.arg(address.port().to_string()).arg("-d").arg(place.data());
    command.args(["-r", "32000-32199"]);
    Server::start("pyftpdlib", command, address, place, BENCH)
}

fn unftp() -> Result<Server, String> {
    let program = std::env::var("BENCH_UNFTP").map_err(|_| "BENCH_UNFTP is not set")?;
    let (place, address) = (Place::new(), free_address());
    let mut command = Command::new(program);
    command.arg("--bind-address").arg(address.to_string());
    command.arg("--bind-address-http").arg(free_address().to_string());
    command.arg("--passive-ports").arg("31200-31399").arg("--root-dir").arg(place.data());
    let login = Login { user: "anonymous", ..BENCH };
    Server::start("unFTP", command, address, place, login)
}
