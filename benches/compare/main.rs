//! Speed beside peers, all in one run on loopback: `make bench`.
//!
//! Small and large transfers to a local folder and logins beside pure-ftpd, vsftpd and proftpd (if `BENCH_DEBIAN` names
//! the folder they are unpacked in), pyftpdlib and unFTP (if `BENCH_PYFTPDLIB_PYTHON` and `BENCH_UNFTP` name them), a
//! large upload to S3 beside the raw `object_store` client, and the memory of a hundred uploads at once. An argument
//! selects the measurements whose name contains it.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod debian;
mod ftp;
mod local;
mod peers;
mod process;
mod s3;
mod server;
mod turns;

use std::time::Instant;

use ftp::Client;
use server::Server;
use turns::Figure;

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
    if measure("s3") {
        s3_upload();
    }
    if measure("sessions") {
        sessions();
    }
    if measure("memory") {
        memory();
    }
}

/// A large upload through the gateway beside the raw client, with the same server, part size and window.
fn s3_upload() {
    println!("\nlarge upload to S3, 8 MiB parts, window 4        MB/s   CPU s/GB of the gateway");
    let s3 = s3::Running::start();
    let gateway = Server::bucketport(&s3.config("256MiB"));
    let mut client = Client::login(&gateway);
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let raw = s3.raw_upload("raw", LARGE);
        let Figure { rate: ours, cpu } = local::moved(&gateway, || client.stor_zeros("ours", LARGE));
        println!("raw object_store client                  {raw:>12.0}");
        println!("bucketport                               {ours:>12.0} {cpu:>10.2}");
        ratios.push(ours / raw);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio, median of {}                      {:>12.2}", ratios.len(), ratios[ratios.len() / 2]);
    assert_eq!(s3.size("ours"), LARGE);
}

/// What idle sessions cost.
fn sessions() {
    let gateway = Server::bucketport(&server::local_config());
    let before = gateway.memory();
    let clients: Vec<_> = (0..500).map(|_| Client::login(&gateway)).collect();
    let each = (gateway.memory() - before) / clients.len() as u64;
    println!("\n{} idle sessions: {} KiB each", clients.len(), each / 1024);
}

/// A hundred large uploads at once with a small budget: all arrive intact, and memory stays bounded.
fn memory() {
    const UPLOADS: u64 = 100;
    const SIZE: u64 = 64 * MIB;
    let s3 = s3::Running::start();
    let gateway = Server::bucketport(&s3.config("128MiB"));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for i in 0..UPLOADS {
            let gateway = &gateway;
            scope.spawn(move || {
                Client::login(gateway).stor(&format!("upload-{i}"), &mut ftp::Pattern::new(i, SIZE));
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    for i in 0..UPLOADS {
        assert!(
            s3.holds(&format!("upload-{i}"), ftp::Pattern::new(i, SIZE)),
            "upload {i} is not what was sent"
        );
    }
    println!(
        "\n{UPLOADS} concurrent uploads of 64 MiB to S3, transfer.memory = 128 MiB: all intact, {:.0} MB/s, peak RSS {} MiB",
        (UPLOADS * SIZE) as f64 / 1e6 / took,
        gateway.peak_memory() / MIB
    );
}
