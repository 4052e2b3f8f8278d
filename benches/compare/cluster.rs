//! What it costs that another replica takes a data connection and hands it on, beside one that goes where it belongs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::LARGE;
use crate::ftp::Client;
use crate::server::{Server, free_address, free_ports};
use crate::turns::{Figure, Title, tables};

const CONTENT: [u8; 4096] = [7; 4096];
const TURN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 11;
const LARGE_ROUNDS: usize = 5;

const HOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3))];

/// Two replicas; sessions are the first one's.
struct Pair([Server; 2]);

impl Pair {
    fn start() -> Self {
        let ports = free_ports();
        let [control, hops] = [(); 2].map(|()| free_address().port());
        let start = |ordinal: usize, store: &str| {
            let peers = HOSTS.map(|host| format!("\"{host}:{hops}\"")).join(", ");
            let cluster = format!(
                "[cluster]\nreplicas = 2\nordinal = {ordinal}\npeers = [{peers}]\nlisten = \"{}:{hops}\"\n\
                 secret = \"the secret of the two\"\n[stores.data]\nurl = \"file://{store}\"\n",
                HOSTS[ordinal]
            );
            Server::ours(SocketAddr::new(HOSTS[ordinal], control), &ports, &cluster)
        };
        let first = start(0, "FOLDER/data");
        let second = start(1, &first.data().display().to_string());
        Self([first, second])
    }

    fn cpu_seconds(&self) -> f64 {
        self.0.iter().map(Server::cpu_seconds).sum()
    }

    /// MB/s and CPU seconds of both per GB of what moves `LARGE` bytes.
    fn moved(&self, run: impl FnOnce()) -> Figure {
        let (cpu, begun) = (self.cpu_seconds(), Instant::now());
        run();
        let rate = LARGE as f64 / 1e6 / begun.elapsed().as_secs_f64();
        Figure { rate, cpu: (self.cpu_seconds() - cpu) / (LARGE as f64 / 1e9) }
    }

    /// Files a second and CPU milliseconds of both for each.
    fn repeat(&self, mut run: impl FnMut(u32)) -> Figure {
        let (cpu, begun, mut done) = (self.cpu_seconds(), Instant::now(), 0);
        while begun.elapsed() < TURN {
            run(done);
            done += 1;
        }
        let done = f64::from(done);
        let rate = done / begun.elapsed().as_secs_f64();
        Figure { rate, cpu: (self.cpu_seconds() - cpu) * 1000.0 / done }
    }
}

/// Whatever `measure` wants.
pub(crate) fn run(measure: impl Fn(&str) -> bool) {
    let pair = Pair::start();
    let [first, _] = &pair.0;
    let client = |via: IpAddr| Client::login(first).via(via);
    let mut ways = [("direct", client(HOSTS[0])), ("handed on", client(HOSTS[1]))];
    if measure("cluster-large") {
        let titles = ["STOR of 1 GiB", "RETR of 1 GiB"];
        let titles = titles.map(|what| Title { what, rate: "MB/s", cpu: Some("CPU s/GB") });
        tables(&titles, LARGE_ROUNDS, &mut ways, |client| {
            first.warm(LARGE);
            let stor = pair.moved(|| client.stor_zeros("large", LARGE));
            let retr = pair.moved(|| assert_eq!(client.retr("large"), LARGE));
            first.clear();
            [stor, retr]
        });
    }
    if measure("cluster-small") {
        let titles = ["STOR of 4 KiB", "RETR of 4 KiB"];
        let titles = titles.map(|what| Title { what, rate: "files/s", cpu: Some("CPU ms each") });
        tables(&titles, ROUNDS, &mut ways, |client| {
            first.clear();
            client.stor("there", &mut CONTENT.as_slice());
            let stor = pair.repeat(|n| client.stor(&n.to_string(), &mut CONTENT.as_slice()));
            let retr = pair.repeat(|_| assert_eq!(client.retr("there"), CONTENT.len() as u64));
            [stor, retr]
        });
    }
}
