//! Small and large files to a local folder, and logins, beside the peers.

use std::thread;
use std::time::{Duration, Instant};

use crate::ftp::Client;
use crate::server::Server;
use crate::turns::{Figure, Title, tables};
use crate::{LARGE, MIB};

const SMALL: usize = 4096;
const CONTENT: [u8; SMALL] = [7; SMALL];
/// Long enough for a dozen files of the slowest peer.
const TURN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 11;
const LARGE_ROUNDS: usize = 5;

/// Small files on so many connections at once. Each upload makes a new file.
pub(crate) fn small(servers: &[Server], connections: usize) {
    let mut clients = log_in(servers, connections);
    let stor = format!("STOR of 4 KiB, connections: {connections}");
    let retr = format!("RETR of 4 KiB, connections: {connections}");
    let titles = [&stor, &retr].map(|what| Title { what, rate: "files/s", cpu: Some("CPU ms each") });
    tables(&titles, ROUNDS, &mut clients, |(server, clients)| {
        server.clear();
        for (i, client) in clients.iter_mut().enumerate() {
            // Warms both sides up, and is there to be downloaded.
            client.stor(&format!("{i}"), &mut CONTENT.as_slice());
        }
        let stor = repeat(server, clients, |client, i, n| {
            client.stor(&format!("{i}-{n}"), &mut CONTENT.as_slice());
        });
        let retr = repeat(server, clients, |client, i, _| {
            assert_eq!(client.retr(&format!("{i}")), SMALL as u64);
        });
        [stor, retr]
    });
}

/// Large files on one connection and, as much in all, on four at once.
pub(crate) fn large(servers: &[Server]) {
    const AT_ONCE: usize = 4;
    let mut clients = log_in(servers, AT_ONCE);
    let titles = ["STOR of 1 GiB", "RETR of 1 GiB", "four STOR of 256 MiB at once"];
    let titles = titles.map(|what| Title { what, rate: "MB/s", cpu: Some("CPU s/GB") });
    tables(&titles, LARGE_ROUNDS, &mut clients, |(server, clients)| {
        server.warm(LARGE);
        let stor = moved(server, || clients[0].stor_zeros("large", LARGE));
        let retr = moved(server, || assert_eq!(clients[0].retr("large"), LARGE));
        server.clear();
        let at_once = moved(server, || {
            thread::scope(|scope| {
                for (i, client) in clients.iter_mut().enumerate() {
                    scope.spawn(move || client.stor_zeros(&format!("large-{i}"), LARGE / AT_ONCE as u64));
                }
            });
        });
        server.clear();
        [stor, retr, at_once]
    });
    println!("\npeak RSS after that, all processes        MiB");
    for server in servers {
        println!("{:<32} {:>12}", server.name, server.peak_memory() / MIB);
    }
}

/// Logins with a plain password, on four connections at once.
pub(crate) fn logins(servers: &[Server]) {
    let mut servers: Vec<_> = servers.iter().map(|server| (server.name, server)).collect();
    let title = Title { what: "logins, connections: 4", rate: "logins/s", cpu: None };
    tables(&[title], ROUNDS, &mut servers, |server| {
        [repeat(server, &mut [(); 4], |(), _, _| Client::connect(server).quit())]
    });
}

fn log_in(servers: &[Server], connections: usize) -> Vec<(&'static str, (&Server, Vec<Client>))> {
    let clients = |server| (0..connections).map(|_| Client::login(server)).collect();
    servers.iter().map(|server| (server.name, (server, clients(server)))).collect()
}

/// Lets all `clients` do something, told their own number and that of the repetition, again and again for one turn.
fn repeat<C: Send>(
    server: &Server,
    clients: &mut [C],
    something: impl Fn(&mut C, usize, u32) + Sync,
) -> Figure {
    let (cpu, begun) = (server.cpu_seconds(), Instant::now());
    let one = &|i: usize, client: &mut C| {
        let mut done = 0;
        while begun.elapsed() < TURN {
            something(client, i, done);
            done += 1;
        }
        done
    };
    let done: u32 = thread::scope(|scope| {
        let clients = clients.iter_mut().enumerate();
        let threads: Vec<_> = clients.map(|(i, client)| scope.spawn(move || one(i, client))).collect();
        threads.into_iter().map(|thread| thread.join().expect("client")).sum()
    });
    let done = f64::from(done);
    let rate = done / begun.elapsed().as_secs_f64();
    Figure { rate, cpu: (server.cpu_seconds() - cpu) * 1000.0 / done }
}

/// MB/s and CPU seconds of the server per GB of what moves `LARGE` bytes.
pub(crate) fn moved(server: &Server, run: impl FnOnce()) -> Figure {
    let (cpu, begun) = (server.cpu_seconds(), Instant::now());
    run();
    let rate = LARGE as f64 / 1e6 / begun.elapsed().as_secs_f64();
    Figure { rate, cpu: (server.cpu_seconds() - cpu) / (LARGE as f64 / 1e9) }
}
