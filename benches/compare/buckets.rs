//! Transfers to and from S3 and a long listing beside the raw client, and memory with many transfers at once.

use std::thread;
use std::time::{Duration, Instant};

use crate::ftp::{Client, Pattern};
use crate::local::moved;
use crate::s3::{Bucket, MANY};
use crate::server::Server;
use crate::turns::{Figure, median};
use crate::{LARGE, MIB};

const ROUNDS: usize = 5;
const BUDGET: &str = "128MiB";

pub(crate) const MEASUREMENTS: [(&str, fn()); 6] = [
    ("s3-stor", stor),
    ("s3-retr", retr),
    ("s3-list", list),
    ("s3-resume", resume),
    ("s3-memory-stor", memory_of_uploads),
    ("s3-memory-retr", memory_of_downloads),
];

/// A large upload with the same server, part size and window as the raw client's.
fn stor() {
    for (server, bucket) in [("in process", Some(Bucket::in_process())), ("MinIO", Bucket::minio())] {
        let Some(bucket) = bucket else {
            println!("\nBENCH_MINIO names no binary, so nothing is measured with {server}");
            continue;
        };
        let gateway = Server::bucketport(&bucket.config("256MiB", ""));
        let mut client = Client::login(&gateway);
        let title = format!("STOR of 1 GiB to S3 ({server}), 8 MiB parts, window 4");
        beside_raw(&title, &gateway, &mut || bucket.raw_upload("raw", LARGE), &mut || {
            client.stor_zeros("ours", LARGE);
        });
        assert!(bucket.holds("ours", std::io::Read::take(std::io::repeat(0), LARGE)));
    }
}

/// A large download over a line on which each request takes 30 ms longer.
fn retr() {
    let bucket = Bucket::in_process();
    let gateway = Server::bucketport(&bucket.config("256MiB", ""));
    let mut client = Client::login(&gateway);
    client.stor_zeros("large", LARGE);
    for delay in [0, 30] {
        bucket.delay(Duration::from_millis(delay));
        let title = format!("RETR of 1 GiB from S3, 8 MiB ranges, window 4, +{delay} ms a request");
        beside_raw(&title, &gateway, &mut || bucket.raw_download("large", LARGE), &mut || {
            assert_eq!(client.retr("large"), LARGE);
        });
    }
}

/// Moves `LARGE` bytes with the raw client and with ours in turns.
fn beside_raw(title: &str, gateway: &Server, raw: &mut dyn FnMut() -> f64, ours: &mut dyn FnMut()) {
    println!("\n{title}\n{:<32} {:>12} {:>12} {:>7}", "", "raw MB/s", "ours MB/s", "CPU s/GB");
    let ratios = (0..ROUNDS).map(|_| {
        let raw = raw();
        let Figure { rate, cpu } = moved(gateway, &mut *ours);
        println!("{:<32} {raw:>12.0} {rate:>12.0} {cpu:>7.2}", "");
        rate / raw
    });
    println!("ratio, median of {ROUNDS}: {:.2}", median(ratios));
}

/// A listing of many pages beside the raw client's first page.
fn list() {
    let bucket = Bucket::in_process();
    let gateway = Server::bucketport(&bucket.config(BUDGET, ""));
    let mut client = Client::login(&gateway);
    println!("\nLIST of {MANY} keys on S3      first page raw ms   first line ms   all s   CPU s");
    let before = gateway.memory();
    let ratios = (0..ROUNDS).map(|_| {
        let page = bucket.raw_first_page();
        let (cpu, begun) = (gateway.cpu_seconds(), Instant::now());
        let (lines, first) = client.list("many");
        let (took, cpu) = (begun.elapsed().as_secs_f64(), gateway.cpu_seconds() - cpu);
        assert_eq!(lines, MANY);
        println!("{:<32} {:>13.1} {:>15.1} {took:>7.1} {cpu:>7.2}", "", page * 1e3, first * 1e3);
        first / page
    });
    println!("first line over first page, median of {ROUNDS}: {:.2}", median(ratios));
    println!("memory above that before: {} MiB at most", (gateway.peak_memory() - before) / MIB);
}

/// An upload that breaks three times and is gone on with each time by another process.
fn resume() {
    const PIECES: u64 = 4;
    let bucket = Bucket::in_process();
    let config = bucket.config(BUDGET, "resume_window = \"1h\"");
    let pattern = || Pattern::new(7, LARGE);
    let begun = Instant::now();
    let mut kept = 0;
    print!("\nupload of 1 GiB to S3, transfer.memory = {BUDGET}, gone on with by another process at MiB:");
    let mut peaks = Vec::new();
    for piece in 1..=PIECES {
        let gateway = Server::bucketport(&config);
        let mut client = Client::login(&gateway);
        if piece > 1 {
            let size = client.size("broken").expect("what was kept");
            assert!(size > kept && size <= LARGE / PIECES * (piece - 1), "{size} kept, {kept} before");
            kept = size;
            print!(" {:.1}", kept as f64 / MIB as f64);
            client.restart(kept);
        }
        let upto = LARGE / PIECES * piece;
        let mut content = std::io::Read::take(pattern().skip(kept), upto - kept);
        if piece == PIECES {
            client.stor("broken", &mut content);
        } else {
            client.stor_and_vanish("broken", &mut content);
            // A session of its own: the uploader's has just ended.
            let mut other = Client::login(&gateway);
            let deadline = Instant::now() + Duration::from_secs(30);
            while other.size("broken").is_none_or(|size| size <= kept) {
                assert!(Instant::now() < deadline, "nothing was kept");
                thread::sleep(Duration::from_millis(20));
            }
        }
        peaks.push(gateway.peak_memory() / MIB);
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(bucket.holds("broken", pattern()), "the object is not what was sent");
    println!("\nintact after {took:.1} s, peak RSS of the four processes {peaks:?} MiB");
}

/// A hundred large uploads at once with a small budget: all arrive intact, and memory stays bounded.
fn memory_of_uploads() {
    const SIZE: u64 = 64 * MIB;
    let bucket = Bucket::in_process();
    let gateway = Server::bucketport(&bucket.config(BUDGET, ""));
    at_once(&gateway, "uploads", 100, SIZE, |client, i| {
        client.stor(&format!("upload-{i}"), &mut Pattern::new(i, SIZE));
    });
    for i in 0..100 {
        assert!(
            bucket.holds(&format!("upload-{i}"), Pattern::new(i, SIZE)),
            "upload {i} is not what was sent"
        );
    }
}

/// Two hundred downloads at once with a small budget.
fn memory_of_downloads() {
    const SIZE: u64 = 20 * MIB;
    let bucket = Bucket::in_process();
    let gateway = Server::bucketport(&bucket.config(BUDGET, ""));
    Client::login(&gateway).stor_zeros("file", SIZE);
    at_once(&gateway, "downloads", 200, SIZE, |client, _| assert_eq!(client.retr("file"), SIZE));
}

fn at_once(gateway: &Server, what: &str, clients: u64, size: u64, run: impl Fn(&mut Client, u64) + Sync) {
    let before = gateway.memory() / MIB;
    let begun = Instant::now();
    thread::scope(|scope| {
        for i in 0..clients {
            let run = &run;
            scope.spawn(move || run(&mut Client::login(gateway), i));
        }
    });
    let rate = (clients * size) as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let peak = gateway.peak_memory() / MIB;
    // Longer than connections to the store are kept without use.
    thread::sleep(Duration::from_secs(30));
    println!(
        "\n{clients} {what} of {} MiB at once, S3, transfer.memory = {BUDGET}: {rate:.0} MB/s, peak RSS {peak} MiB, \
         {before} MiB before, {} MiB 30 s after",
        size / MIB,
        gateway.memory() / MIB
    );
}
