//! Behind a real balancer: `HAProxy`, which sends PROXY headers on control and data connections.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Cluster, Gateway, Setup, assert_same, bytes, curl, eventually, lftp, passive_ports};

/// `HAProxy` in front of gateways: listens on 127.0.0.10, connects from 127.0.0.3.
struct Balancer {
    process: Child,
    address: SocketAddr,
}

impl Balancer {
    /// None, and says so, where `HAProxy` is not installed.
    fn before<'a>(gateways: impl IntoIterator<Item = &'a Gateway>, send_proxy: &str) -> Option<Self> {
        // Debian puts it where not everybody looks.
        let runs = |program: &&str| Command::new(program).arg("-v").output().is_ok();
        let Some(program) = ["haproxy", "/usr/sbin/haproxy"].into_iter().find(runs) else {
            eprintln!("skipped: haproxy is not installed");
            return None;
        };
        let gateways: Vec<_> = gateways.into_iter().collect();
        let gateway = gateways[0];
        let own = fs::read_to_string(gateway.folder().join("gateway.toml")).expect("its configuration");
        let ports = own.lines().find_map(|line| line.strip_prefix("passive_ports = ")).expect("a range");
        let port = passive_ports(1).split('-').next().map(str::to_owned).expect("a port");
        let servers = |address: &dyn Fn(&Gateway) -> String| -> String {
            let server =
                |each: &&Gateway| format!(" server s{} {} {send_proxy}\n", each.ftp.port(), address(each));
            gateways.iter().map(server).collect()
        };
        let config = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n source 127.0.0.3\n\
             listen control\n balance random\n bind 127.0.0.10:{port}\n{control}\
             listen data\n balance random\n bind 127.0.0.10:{ports}\n{data}",
            ports = ports.trim_matches('"'),
            control = servers(&|gateway| gateway.ftp.to_string()),
            data = servers(&|gateway| gateway.ftp.ip().to_string()),
        );
        let file = gateway.folder().join("haproxy.cfg");
        fs::write(&file, config).expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        let process = command.spawn().expect("the program starts");
        let balancer = Self { process, address: format!("127.0.0.10:{port}").parse().expect("an address") };
        eventually("HAProxy", Duration::from_secs(20), || TcpStream::connect(balancer.address).is_ok());
        Some(balancer)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn clients_behind_haproxy_are_known_by_their_own_addresses() {
    let content = bytes(3_000_000, 1);
    for send_proxy in ["send-proxy", "send-proxy-v2"] {
        let gateway = Setup::default()
            .ftp("proxy_protocol = \"required\"")
            .ftp("proxy_trusted = [\"127.0.0.3\"]")
            .users("[[users]]\nname = \"demo\"\npassword = \"secret\"\nallow_from = [\"127.0.0.9\"]\n")
            .start();
        let Some(balancer) = Balancer::before([&gateway], send_proxy) else { return };
        let sent = gateway.folder().join("sent").display().to_string();
        fs::write(&sent, &content).expect("a writable folder");
        let url = format!("ftp://demo:secret@{}/x", balancer.address);
        for passive in ["--ftp-pasv", "--disable-epsv"] {
            // The client goes where PASV says, which is where it has dialled.
            let client = ["--interface", "127.0.0.9", "--no-ftp-skip-pasv-ip", passive];
            curl(client.into_iter().chain(["-T", &sent, &url])).success();
            assert_same(&gateway.file("x"), &content);
            let got = format!("{sent}.got");
            curl(client.into_iter().chain(["-o", &got, &url])).success();
            assert_same(&fs::read(&got).expect("downloaded"), &content);
        }
        assert!(gateway.log().contains("peer=127.0.0.9:"));
        // Somebody else's name is right, but their address is not.
        assert_eq!(curl(["-T", &sent, &url]).code, Some(67));
    }
}

/// What a load balancer does that has no affinity, and hides the client's address but for the header.
#[test]
fn three_replicas_behind_haproxy_take_each_connection_at_random() {
    let cluster = Cluster::behind("127.0.0.3");
    let Some(balancer) = Balancer::before(cluster.replicas(), "send-proxy-v2") else { return };
    let content = bytes(1_000_000, 1);
    let sent = cluster.replica(0).folder().join("sent").display().to_string();
    fs::write(&sent, &content).expect("a writable folder");
    let url = |name: &str| format!("ftp://demo:secret@{}/{name}", balancer.address);
    for passive in ["--ftp-pasv", "--disable-epsv"] {
        for round in 0..10 {
            let (name, got) = (format!("{passive}-{round}"), format!("{sent}.got"));
            let client = ["--no-ftp-skip-pasv-ip", passive];
            curl(client.into_iter().chain(["-T", &sent, &url(&name)])).success();
            assert_same(&cluster.stored(&name).expect("stored"), &content);
            curl(client.into_iter().chain(["-o", &got, &url(&name)])).success();
            assert_same(&fs::read(&got).expect("downloaded"), &content);
        }
    }
    lftp(&format!("open {}; put {sent} -o lftp; ls; get lftp -o {sent}.got", url(""))).success();
    let handed: f64 = (0..Cluster::REPLICAS).map(|replica| cluster.forwarded(replica, "ok")).sum();
    // Two of three of 43 connections, at random.
    assert!(handed > 10.0, "{handed}");
}
