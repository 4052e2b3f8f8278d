//! Speed beside peers, all in one run on loopback: `make bench`.
//!
//! Small and large transfers to a local folder and logins beside pure-ftpd, vsftpd and proftpd (if `BENCH_DEBIAN` names
//! the folder they are unpacked in), pyftpdlib and unFTP (if `BENCH_PYFTPDLIB_PYTHON` and `BENCH_UNFTP` name them);
//! the same over TLS; data connections that another replica hands on; transfers to S3 and a long listing beside the raw `object_store` client; memory with many transfers at once; users held to a rate beside one who is
//! not. An
//! argument selects the measurements whose name contains it.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod buckets;
mod cluster;
mod debian;
mod ftp;
mod limits;
mod local;
mod peers;
mod process;
mod s3;
mod server;
mod tls;
mod turns;

use ftp::Client;
use server::Server;

const MIB: u64 = 1024 * 1024;
const LARGE: u64 = 1024 * MIB;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let measure = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    if ["local-small-one", "local-small-sixteen", "local-large", "local-logins"].into_iter().any(measure) {
        let mut servers = vec![Server::bucketport(&server::local_config())];
        servers.extend(peers::start());
        if measure("local-small-one") {
            local::small(&servers, 1);
        }
        if measure("local-small-sixteen") {
            local::small(&servers, 16);
        }
        if measure("local-large") {
            local::large(&servers);
        }
        if measure("local-logins") {
            local::logins(&servers);
        }
    }
    for (name, run) in buckets::MEASUREMENTS {
        if measure(name) {
            run();
        }
    }
    if measure("sessions") {
        sessions();
    }
    if ["cluster-large", "cluster-small"].into_iter().any(measure) {
        cluster::run(measure);
    }
    if measure("limits") {
        limits::run();
    }
    if ["tls-small", "tls-large", "tls-logins", "tls-idle"].into_iter().any(measure) {
        tls::run(measure);
    }
}

/// What idle sessions cost.
fn sessions() {
    let gateway = Server::bucketport(&server::local_config());
    let before = gateway.memory();
    let clients: Vec<_> = (0..500).map(|_| Client::login(&gateway)).collect();
    let each = (gateway.memory() - before) / clients.len() as u64;
    println!("\n{} idle sessions: {} KiB each", clients.len(), each / 1024);
}
