//! Behind a real balancer: `HAProxy`, which sends PROXY headers on control and data connections.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Gateway, Setup, assert_same, bytes, curl, eventually, passive_ports};

/// `HAProxy` in front of a gateway: listens on 127.0.0.2, connects from 127.0.0.3.
struct Balancer {
    process: Child,
    address: SocketAddr,
}

impl Balancer {
    /// None, and says so, where `HAProxy` is not installed.
    fn before(gateway: &Gateway, send_proxy: &str) -> Option<Self> {
        // Debian puts it where not everybody looks.
        let runs = |program: &&str| Command::new(program).arg("-v").output().is_ok();
        let Some(program) = ["haproxy", "/usr/sbin/haproxy"].into_iter().find(runs) else {
            eprintln!("skipped: haproxy is not installed");
            return None;
        };
        let own = fs::read_to_string(gateway.folder().join("gateway.toml")).expect("its configuration");
        let ports = own.lines().find_map(|line| line.strip_prefix("passive_ports = ")).expect("a range");
        let port = passive_ports(1).split('-').next().map(str::to_owned).expect("a port");
        let config = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n source 127.0.0.3\n\
             listen control\n bind 127.0.0.2:{port}\n server gateway {ftp} {send_proxy}\n\
             listen data\n bind 127.0.0.2:{ports}\n server gateway {ip} {send_proxy}\n",
            ports = ports.trim_matches('"'),
            ftp = gateway.ftp,
            ip = gateway.ftp.ip(),
        );
        let file = gateway.folder().join("haproxy.cfg");
        fs::write(&file, config).expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        let process = command.spawn().expect("the program starts");
        let balancer = Self { process, address: format!("127.0.0.2:{port}").parse().expect("an address") };
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
        let Some(balancer) = Balancer::before(&gateway, send_proxy) else { return };
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
