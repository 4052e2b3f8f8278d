//! Two users who are held to a rate and one who is not, on one gateway: whether the first two keep to it, and whether the third
//! one notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::ftp::Client;
use crate::server::{BENCH, Login, Server};

const RATE: u64 = 5_000_000;
const SECONDS: u64 = 20;
const SIZE: u64 = RATE * SECONDS;
/// What the user without a limit moves again and again.
const FREE: u64 = 64 * 1024 * 1024;
const ALONE: Duration = Duration::from_secs(10);

const HELD: [Login; 2] = [held("one"), held("two")];

const fn held(user: &'static str) -> Login {
    Login { user, password: "bench", directory: "/" }
}

pub(crate) fn run() {
    let users = HELD.map(|Login { user, .. }| {
        let limits = format!("upload_rate = {RATE}\ndownload_rate = {RATE}");
        format!("[[users]]\nname = \"{user}\"\npassword = \"bench\"\n[users.limits]\n{limits}\n")
    });
    let gateway = Server::bucketport(&format!("{}{}", crate::server::local_config(), users.concat()));
    let file = std::fs::File::create(gateway.data().join("large")).expect("file");
    file.set_len(SIZE).expect("file");
    let stor: fn(&mut Client, &str, u64) = Client::stor_zeros;
    let retr: fn(&mut Client, &str, u64) = |client, _, size| assert_eq!(client.retr("large"), size);
    let free_retr: fn(&mut Client, &str, u64) = |client, _, size| assert_eq!(client.retr("free"), size);
    println!("\nMB/s of two users held to {} MB/s for {SECONDS} s, and of one who is not", RATE / 1_000_000);
    for (what, held, free) in [("STOR", stor, stor), ("RETR", retr, free_retr)] {
        // Warm, and for RETR the file that it needs.
        Client::login(&gateway).stor_zeros("free", FREE);
        let before = Instant::now();
        let alone = again_and_again(&gateway, free, || before.elapsed() > ALONE);
        let done = AtomicBool::new(false);
        let (rates, beside) = std::thread::scope(|threads| {
            let beside = threads.spawn(|| again_and_again(&gateway, free, || done.load(Ordering::Relaxed)));
            let (gateway, logins) = (&gateway, &HELD);
            let held = [0, 1].map(|user| threads.spawn(move || rate_of(gateway, &logins[user], held)));
            let rates = held.map(|thread| thread.join().expect("done"));
            done.store(true, Ordering::Relaxed);
            (rates, beside.join().expect("done"))
        });
        let [one, two] = rates;
        println!("{what}: {one:.2} and {two:.2}; without a limit {beside:.0} beside them, {alone:.0} alone");
        for rate in rates {
            let off = (rate * 1e6 / RATE as f64 - 1.0).abs();
            assert!(off < 0.1, "{what}: a user held to {RATE} bytes a second has {rate:.2} MB/s");
        }
    }
}

/// MB/s of one large transfer.
fn rate_of(gateway: &Server, login: &Login, transfer: fn(&mut Client, &str, u64)) -> f64 {
    let name = login.user;
    let mut client = Client::login_as(gateway, login);
    let begun = Instant::now();
    transfer(&mut client, name, SIZE);
    SIZE as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

/// MB/s of transfers without a limit, until there have been enough.
fn again_and_again(gateway: &Server, transfer: fn(&mut Client, &str, u64), enough: impl Fn() -> bool) -> f64 {
    let mut client = Client::login_as(gateway, &BENCH);
    let (begun, mut moved) = (Instant::now(), 0);
    while !enough() {
        transfer(&mut client, "free", FREE);
        moved += FREE;
    }
    moved as f64 / 1e6 / begun.elapsed().as_secs_f64()
}
