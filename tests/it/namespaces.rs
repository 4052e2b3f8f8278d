//! Through real routes: a client, a router that may replace addresses, and a gateway, each in a network namespace of its
//! own. Nothing outside of them is touched. Needs root, iproute2 and nftables.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use crate::support::{
    Gateway, Namespace, Raw, Setup, accepted, assert_same, bytes, eprt_command, port_command,
};

/// The router's address on the client's side, and two on the gateway's.
const BALANCER: &str = "10.0.0.1";
const HOP: &str = "10.0.1.1";
const OTHER_HOP: &str = "10.0.1.11";
const GATEWAY: &str = "10.0.1.2";
const PORT: u16 = 2121;

const STRANGERS: &str = "bucketport_connections_rejected_total{reason=\"unexpected_data_connection\"}";

/// Client, router and gateway, in this order on one line.
struct Network {
    client: Namespace,
    router: Namespace,
    gateway: Namespace,
}

impl Network {
    /// A router that forwards. None, and says so, where there can be no such network.
    fn new() -> Option<Self> {
        let [client, router, gateway] = Namespace::each(["client", "router", "gateway"])?;
        client.link(&router, "inner", "10.0.0");
        gateway.link(&router, "outer", "10.0.1");
        router.ip(&format!("address add {OTHER_HOP}/24 dev outer"));
        router.inside(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("root may");
        Some(Self { client, router, gateway })
    }

    /// From now on the router passes what comes to its own address on to the gateway, control connections from [`HOP`]
    /// and data connections from `data`.
    fn balance(&self, data: &str) {
        let rules = format!(
            "table ip balancer {{
                chain in {{
                    type nat hook prerouting priority dstnat
                    ip daddr {BALANCER} dnat to {GATEWAY}
                }}
                chain out {{
                    type nat hook postrouting priority srcnat
                    ip daddr {GATEWAY} tcp dport {PORT} snat to {HOP}
                    ip daddr {GATEWAY} snat to {data}
                }}
            }}"
        );
        self.router.nft(&rules);
    }

    fn start(&self, setup: Setup) -> Gateway {
        let setup = setup.env("BUCKETPORT_FTP__LISTEN", &format!("[\"{GATEWAY}:{PORT}\"]"));
        self.gateway.inside(|| setup.start())
    }

    /// A session of the client, which dials `address`. Its data connections are to be opened inside as well.
    fn login(&self, address: &str) -> Raw {
        let address = format!("{address}:{PORT}").parse().expect("an address");
        self.client.inside(|| Raw::connect(address, None).logged_in("demo", "secret"))
    }

    fn metric(&self, gateway: &Gateway, sample: &str) -> f64 {
        self.gateway.inside(|| gateway.metric(sample))
    }

    /// Uploads, downloads and lists in passive mode, which `raw` dials for with `open`.
    fn passive_transfers(&self, raw: &mut Raw, gateway: &Gateway) {
        let content = bytes(700_000, 1);
        self.client.inside(|| {
            raw.stor("x", &content);
            assert_same(&raw.retr("x"), &content);
            assert_eq!(raw.list("NLST"), ["x"]);
            let data = raw.epsv();
            raw.expect("STOR y", 150);
            drop(data);
            raw.reply_is(226);
        });
        assert_same(&gateway.file("x"), &content);
        assert_eq!(gateway.file("y"), b"");
    }

    /// A client in the middle of a download of `big`, one in the middle of an upload of `half` and one that is idle vanish
    /// without a word.
    fn lose_clients(&self, gateway: &Gateway) {
        gateway.put("big", &bytes(50_000_000, 1));
        let mut sessions = [(); 3].map(|()| self.login(GATEWAY));
        let [_, uploading, downloading] = &mut sessions;
        let _moving = self.client.inside(|| {
            let mut up = uploading.begin("STOR half");
            up.write_all(&bytes(300_000, 2)).expect("the gateway reads");
            let mut down = downloading.begin("RETR big");
            down.read_exact(&mut vec![0; 300_000]).expect("the gateway sends");
            (up, down)
        });
        self.client.ip("link set eth0 down");
    }

    /// Nothing is left of the clients but what they had completed.
    #[track_caller]
    fn are_forgotten(&self, gateway: &Gateway, limit: Duration, result: &str) {
        self.gateway.inside(|| gateway.wait_for_sessions(limit));
        self.gateway.inside(|| gateway.wait_for_uploads());
        for direction in ["upload", "download"] {
            let sample =
                format!("bucketport_transfers_total{{direction=\"{direction}\",result=\"{result}\"}}");
            assert!(self.metric(gateway, &sample) > 0.5, "{sample}");
        }
        assert_eq!(gateway.files(), ["big"]);
    }
}

#[test]
fn behind_a_hop_with_one_address_the_check_of_addresses_is_kept() {
    let Some(network) = Network::new() else { return };
    network.balance(HOP);
    let gateway = network.start(Setup::default().ftp(&format!("passive_host = \"{BALANCER}\"")));
    let mut raw = network.login(BALANCER);
    network.passive_transfers(&mut raw, &gateway);
    assert!(gateway.log().contains(&format!("peer={HOP}:")), "nothing hides the client");
    assert!(network.metric(&gateway, STRANGERS) < 0.5);
}

#[test]
fn behind_a_hop_with_several_addresses_the_check_has_to_be_off() {
    let Some(network) = Network::new() else { return };
    network.balance(OTHER_HOP);
    let setup =
        || Setup::default().ftp(&format!("passive_host = \"{BALANCER}\"")).ftp("data_timeout = \"1s\"");
    let gateway = network.start(setup());
    let mut raw = network.login(BALANCER);
    network.client.inside(|| {
        for _ in 0..2 {
            let data = raw.pasv();
            raw.expect("STOR x", 425);
            drop(data);
        }
    });
    assert!((network.metric(&gateway, STRANGERS) - 2.0).abs() < 0.5);
    assert_eq!(gateway.files(), [""; 0]);
    drop((raw, gateway));

    let gateway = network.start(setup().ftp("data_peer_check = \"off\""));
    let mut raw = network.login(BALANCER);
    network.passive_transfers(&mut raw, &gateway);
}

#[test]
fn active_connections_come_from_port_20_to_the_client_alone() {
    let Some(network) = Network::new() else { return };
    let gateway = network.start(Setup::default().ftp("active_mode = true"));
    let mut raw = network.login(GATEWAY);
    let content = bytes(700_000, 1);
    network.client.inside(|| {
        for (listen, name) in [(Raw::port as fn(&mut Raw) -> _, "port"), (Raw::eprt, "eprt")] {
            let listener = listen(&mut raw);
            raw.expect(&format!("STOR {name}"), 150);
            let mut data = accepted(&listener);
            assert_eq!(data.peer_addr().expect("a live socket").to_string(), format!("{GATEWAY}:20"));
            data.write_all(&content).expect("the gateway reads");
            drop(data);
            raw.reply_is(226);
        }
        let elsewhere = format!("{BALANCER}:2000").parse().expect("an address");
        for command in [port_command(elsewhere), eprt_command(elsewhere)] {
            raw.expect(&command, 504);
        }
    });
    for name in ["port", "eprt"] {
        assert_same(&gateway.file(name), &content);
    }
}

#[test]
fn clients_that_vanish_lose_their_transfers_and_sessions() {
    let Some(network) = Network::new() else { return };
    let gateway = network.start(Setup::default().ftp("data_timeout = \"2s\"").ftp("idle_timeout = \"4s\""));
    network.lose_clients(&gateway);
    network.are_forgotten(&gateway, Duration::from_secs(30), "stalled");
}

/// Takes two minutes, which are those of the control connection.
#[test]
fn clients_that_vanish_are_found_where_nothing_else_ends_them() {
    let Some(network) = Network::new() else { return };
    let gateway = network.start(Setup::default().ftp("data_timeout = \"1h\"").ftp("idle_timeout = \"1h\""));
    network.lose_clients(&gateway);
    network.are_forgotten(&gateway, Duration::from_secs(160), "client_lost");
}
