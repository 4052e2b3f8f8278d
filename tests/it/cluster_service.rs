//! Three replicas as pods behind one address that spreads control and data connections at random, of which one is drained
//! and replaced under load.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Gateway, Namespace, Raw, Setup, assert_same, bytes};

const CLIENTS: usize = 300;
const PIECE: usize = 10_000;
const PIECES: usize = 10;
const PACE: Duration = Duration::from_millis(100);

/// Where clients connect to. Nobody has this address: the router gives each connection that of a pod.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 100, 1)), 2121);
const PODS: [&str; 3] = ["10.77.1", "10.77.2", "10.77.3"];

/// The machines of clients and pods, each with a link to a router.
struct Network {
    client: Namespace,
    router: Namespace,
    pods: [Namespace; 3],
}

impl Network {
    fn new() -> Option<Self> {
        let [client, router, one, two, three] = Namespace::each(["client", "router", "one", "two", "three"])?;
        let network = Self { client, router, pods: [one, two, three] };
        network.client.link(&network.router, "clients", "10.77.0");
        // Ten addresses: a port serves one waiting session of each.
        for more in 3..12 {
            network.client.ip(&format!("address add 10.77.0.{more}/24 dev eth0"));
        }
        for (pod, addresses) in network.pods.iter().zip(PODS) {
            pod.link(&network.router, &format!("pod{}", addresses.replace('.', "-")), addresses);
        }
        network.router.inside(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("root may");
        network.spread(&PODS);
        Some(network)
    }

    /// From now on each new connection to the service, whatever its port, goes to one of these pods at random.
    fn spread(&self, pods: &[&str]) {
        let map: Vec<_> = pods.iter().enumerate().map(|(index, pod)| format!("{index} : {pod}.2")).collect();
        self.router.nft(&format!(
            "table ip service {{
                chain in {{
                    type nat hook prerouting priority dstnat
                }}
            }}
            flush table ip service
            table ip service {{
                chain in {{
                    ip daddr {} dnat to numgen random mod {} map {{ {} }}
                }}
            }}",
            SERVICE.ip(),
            map.len(),
            map.join(", ")
        ));
    }

    fn start(&self, pod: usize, store: &Path) -> Gateway {
        let peers = PODS.map(|pod| format!("\"{pod}.2:7021\"")).join(", ");
        let setup = Setup::default()
            .range("50000-50299")
            .ftp(&format!("passive_host = \"{}\"", SERVICE.ip()))
            .ftp("max_connections_per_ip = 1000")
            .at(&format!("file://{}", store.display()), Vec::new())
            .cluster(&format!(
                "replicas = 3\nordinal = {pod}\npeers = [{peers}]\nsecret = \"the secret of the three pods\""
            ))
            .env("BUCKETPORT_FTP__LISTEN", &format!("[\"{}.2:{}\"]", PODS[pod], SERVICE.port()));
        self.pods[pod].inside(|| setup.start())
    }
}

/// An upload, which has to succeed once it has begun. A replica that drains refuses connections and ends sessions that have no
/// transfer: then the client begins anew, with whichever replica that leads to. Returns how often it had to.
fn upload(source: IpAddr, name: &str, content: &[u8]) -> usize {
    for refused in 0..100 {
        let Some((mut raw, mut data)) = begin(source, name) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        for piece in content.chunks(PIECE) {
            data.write_all(piece).expect("nothing that has begun is lost");
            std::thread::sleep(PACE);
        }
        drop(data);
        raw.reply_is(226);
        return refused;
    }
    panic!("{name} is refused for ever");
}

/// A session up to the 150 of an upload; none if it was refused or ended before.
fn begin(source: IpAddr, name: &str) -> Option<(Raw, TcpStream)> {
    let mut raw = Raw::try_connect(SERVICE, source)?;
    let greeting = raw.try_reply()?;
    assert_eq!(greeting.code, 220, "{greeting:?}");
    for line in ["USER demo", "PASS secret", "TYPE I"] {
        raw.try_ask(line)?;
    }
    let told = raw.try_ask("EPSV")?;
    assert_eq!(told.code, 229, "{told:?}");
    let port = told.text().split('|').nth(3).and_then(|port| port.parse().ok()).expect("a port");
    // Not refused, whichever replica it reaches and whatever that is up to.
    let data = raw.open_data(SocketAddr::new(SERVICE.ip(), port));
    let begun = raw.try_ask(&format!("STOR {name}"))?;
    assert_eq!(begun.code, 150, "{begun:?}");
    Some((raw, data))
}

#[test]
fn nothing_is_lost_while_one_of_three_is_drained_and_replaced() {
    let Some(network) = Network::new() else { return };
    let store = tempfile::tempdir().expect("a temporary folder");
    let data = store.path().join("data");
    let mut pods = [0, 1, 2].map(|pod| network.start(pod, &data));
    // What was uploaded, and how often it was refused before; and whether the third replica is there again.
    let (uploads, replaced) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    // One upload after the other, each in a session of its own, and at last one when all replicas are there again.
    let client = |number: usize| {
        let source = Ipv4Addr::new(10, 77, 0, 2 + u8::try_from(number % 10).expect("few")).into();
        let mut last = false;
        for round in 0.. {
            // They come over the time of one upload.
            std::thread::sleep(PACE / 10 * u32::try_from(number % 100).expect("few"));
            let name = format!("{number}-{round}");
            let refused = upload(source, &name, &content(number, round));
            uploads.lock().expect("no holder panics").push((number, round, refused));
            if std::mem::replace(&mut last, replaced.load(Ordering::SeqCst)) {
                return;
            }
        }
    };
    let drained = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let all = || {
                std::thread::scope(|scope| {
                    for number in 0..CLIENTS {
                        scope.spawn(move || client(number));
                    }
                });
            };
            network.client.inside(all);
        });
        pods[1].wait_for_log("transfer ended");
        pods[1].signal(Signal::SIGTERM);
        // As in Kubernetes: that the pod ends is known to whoever spreads connections a moment later.
        std::thread::sleep(Duration::from_millis(500));
        network.spread(&[PODS[0], PODS[2]]);
        assert_eq!(pods[1].ended(Duration::from_mins(1)).code(), Some(0));
        let log = pods[1].log();
        pods[1] = network.start(1, &data);
        network.spread(&PODS);
        replaced.store(true, Ordering::SeqCst);
        crowd.join().expect("no client fails");
        log
    });
    let uploads = uploads.into_inner().expect("no holder panics");
    for &(number, round, _) in &uploads {
        let stored = fs::read(data.join(format!("{number}-{round}"))).expect("stored");
        assert_same(&stored, &content(number, round));
    }
    let logs = [pods[0].log(), drained, pods[1].log(), pods[2].log()];
    let count = |what: &str| logs.each_ref().map(|log| log.matches(what).count());
    let (ended, handed) = (count("transfer ended"), count("data connection handed on"));
    let again = uploads.iter().filter(|(.., refused)| *refused > 0).count();
    println!("uploads {ended:?}, handed on {handed:?}, {again} of {} began anew", uploads.len());
    assert_eq!(ended.iter().sum::<usize>(), uploads.len());
    assert!(ended.iter().zip(handed).all(|(ended, handed)| *ended > 0 && handed > 0), "{ended:?} {handed:?}");
    // At random two of three reach another replica than their session's, and one of two while there are two.
    assert!(handed.iter().sum::<usize>() > uploads.len() / 3, "{handed:?}");
}

fn content(number: usize, round: usize) -> Vec<u8> {
    bytes(PIECE * PIECES, (1000 * number + round) as u64)
}
