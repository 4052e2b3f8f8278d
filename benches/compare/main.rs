//! Speed beside peers, all in one run on loopback: `make bench`.
//!
//! Small and large transfers to a local folder beside pyftpdlib and unFTP (if `BENCH_PYFTPDLIB_PYTHON` and
//! `BENCH_UNFTP` name them), a large upload to S3 beside the raw `object_store` client, and the memory of a hundred
//! uploads at once. An argument selects the measurements whose name contains it.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod ftp;
mod s3;
mod server;

use std::time::Instant;

use ftp::Client;
use server::Server;

const MIB: u64 = 1024 * 1024;
const LARGE: u64 = 1024 * MIB;
const SMALL: usize = 4096;
const ROUNDS: usize = 11;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let measure = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    if measure("local") {
        local();
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

/// Small and large files to a local folder, for every server that is there.
fn local() {
    let mut servers = vec![("bucketport", Server::bucketport(&server::local_config()), 400)];
    match Server::pyftpdlib() {
        Some(peer) => servers.push(("pyftpdlib", peer, 400)),
        None => println!("pyftpdlib left out: BENCH_PYFTPDLIB_PYTHON is not set"),
    }
    match Server::unftp() {
        Some(peer) => servers.push(("unFTP", peer, 20)),
        None => println!("unFTP left out: BENCH_UNFTP is not set"),
    }
    // In turns, because a machine that is not ours alone is faster in one minute than in the next.
    let mut small: Vec<Vec<(f64, f64)>> = vec![Vec::new(); servers.len()];
    for _ in 0..ROUNDS {
        for ((_, server, files), figures) in servers.iter().zip(&mut small) {
            figures.push(small_files(server, *files));
        }
    }
    println!(
        "\nlocal folder, one connection      small STOR/s  CPU ms each  large STOR MB/s  CPU s/GB  \
         large RETR MB/s  CPU s/GB  peak RSS MiB"
    );
    for ((name, server, _), mut figures) in servers.into_iter().zip(small) {
        figures.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, cpu) = figures[figures.len() / 2];
        let mut client = Client::login(&server);
        let (stor, stor_cpu) = best(3, &server, || client.stor_zeros("large", LARGE));
        let (retr, retr_cpu) = best(3, &server, || assert_eq!(client.retr("large"), LARGE));
        println!(
            "{name:<32} {rate:>13.0} {cpu:>12.2} {stor:>16.0} {stor_cpu:>9.2} {retr:>16.0} {retr_cpu:>9.2} {:>13}",
            server.peak_memory() / MIB
        );
    }
}

/// Uploads so many small files on one connection: files per second, and CPU milliseconds of the server for each.
fn small_files(server: &Server, files: u32) -> (f64, f64) {
    let mut client = Client::login(server);
    let content = vec![7_u8; SMALL];
    // The first ones warm both sides up.
    for i in 0..10 {
        client.stor(&format!("warm-{i}"), &mut content.as_slice());
    }
    let (cpu, begun) = (server.cpu_seconds(), Instant::now());
    for i in 0..files {
        client.stor(&format!("small-{i}"), &mut content.as_slice());
    }
    let rate = f64::from(files) / begun.elapsed().as_secs_f64();
    (rate, (server.cpu_seconds() - cpu) * 1000.0 / f64::from(files))
}

/// The best of some runs that move `LARGE` bytes: MB/s and CPU seconds of the server per GB.
fn best(runs: usize, server: &Server, mut run: impl FnMut()) -> (f64, f64) {
    let gigabytes = LARGE as f64 / 1e9;
    let measured = (0..runs).map(|_| {
        let (cpu, begun) = (server.cpu_seconds(), Instant::now());
        run();
        (LARGE as f64 / 1e6 / begun.elapsed().as_secs_f64(), (server.cpu_seconds() - cpu) / gigabytes)
    });
    measured.max_by(|a, b| a.0.total_cmp(&b.0)).expect("at least one run")
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
        let (ours, cpu) = best(1, &gateway, || client.stor_zeros("ours", LARGE));
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
