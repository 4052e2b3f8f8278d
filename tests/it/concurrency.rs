//! Many sessions at once, the passive pool, and the limits on connections.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Barrier;
use std::time::Duration;

use crate::support::{Gateway, Raw, S3Server, Setup, assert_same, bytes, eventually, files_below};

#[test]
fn two_hundred_sessions_at_once() {
    let gateway =
        Setup::default().ports(400).ftp("max_connections_per_ip = 300").log("level = \"info\"").start();
    let all_there = Barrier::new(200);
    std::thread::scope(|scope| {
        for number in 0..200 {
            let (gateway, all_there) = (&gateway, &all_there);
            scope.spawn(move || {
                let mut raw = gateway.login();
                all_there.wait();
                let (name, content) = (format!("f{number}"), bytes(10_000 + number, number as u64));
                for _ in 0..3 {
                    raw.stor(&name, &content);
                    assert_same(&raw.retr(&name), &content);
                    assert_eq!(raw.list(&format!("NLST {name}")).len(), 1);
                }
                all_there.wait();
                raw.expect("QUIT", 221);
            });
        }
    });
    assert_eq!(gateway.files().len(), 200);
    assert!(gateway.metric("bucketport_transfers_total{direction=\"upload\",result=\"ok\"}") > 599.5);
    eventually("the sessions' end", Duration::from_secs(10), || {
        gateway.metric("bucketport_sessions{tls=\"none\"}") < 0.5
    });
}

#[test]
fn fifty_sessions_on_s3() {
    let server = S3Server::start();
    let gateway = Setup::default().ports(100).s3(&server).log("level = \"info\"").start();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut raw = gateway.login();
                let content = bytes(100_000 + number, number as u64);
                raw.stor(&format!("f{number}"), &content);
                assert_same(&raw.retr(&format!("f{number}")), &content);
            });
        }
    });
    assert_eq!(files_below(&server.bucket()).len(), 50);
}

#[test]
fn when_all_ports_wait_the_next_gets_425_and_may_try_again() {
    let gateway = Setup::default().ports(2).start();
    let mut sessions = [gateway.login(), gateway.login(), gateway.login()];
    let [first, second, third] = &mut sessions;
    let data = first.pasv_address();
    second.expect("EPSV", 229);
    third.expect("PASV", 425);
    third.expect("EPSV", 425);
    // Asking again changes the port, it takes no second one.
    second.expect("PASV", 227);
    third.expect("PASV", 425);
    // A port that a client has connected to is free again.
    let mut data = first.open_data(data);
    first.expect("STOR x", 150);
    third.stor("y", b"y");
    data.write_all(b"x").expect("the gateway reads");
    drop(data);
    first.reply_is(226);
    // So is that of a session that goes.
    third.expect("PASV", 227);
    second.expect("QUIT", 221);
    // The reply comes a moment before the port is given back.
    eventually("a free port", Duration::from_secs(5), || first.ask("PASV").code == 227);
    first.stor("z", b"z");
    assert_eq!(gateway.files(), ["x", "y", "z"]);
}

#[test]
fn each_client_address_has_the_whole_range() {
    let gateway = Setup::default().ports(2).start();
    let mut waiting: Vec<(Raw, std::net::SocketAddr, String)> = Vec::new();
    for client in 1..=50 {
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 1, client));
        for number in 0..2 {
            let mut raw = gateway.connect_from(address).logged_in("demo", "secret");
            let data = raw.pasv_address();
            waiting.push((raw, data, format!("f{client}-{number}")));
        }
        gateway.connect_from(address).logged_in("demo", "secret").expect("PASV", 425);
    }
    assert!(gateway.metric("bucketport_passive_ports_waiting") > 99.5);
    // In another order than they came.
    waiting.reverse();
    for (raw, data, name) in &mut waiting {
        let mut data = raw.open_data(*data);
        raw.expect(&format!("STOR {name}"), 150);
        data.write_all(name.as_bytes()).expect("the gateway reads");
        drop(data);
        raw.reply_is(226);
    }
    for (_, _, name) in &waiting {
        assert_eq!(gateway.file(name), name.as_bytes());
    }
    assert!(gateway.metric("bucketport_passive_ports_waiting") < 0.5);
}

fn turned_away(gateway: &Gateway, from: Option<IpAddr>) {
    let mut raw = Raw::connect_only(gateway.ftp, from);
    raw.reply_is(421);
    raw.closed();
}

#[test]
fn connections_are_limited() {
    let gateway = Setup::default().ftp("max_connections = 3").start();
    let mut sessions = [gateway.login(), gateway.login(), gateway.connect()];
    turned_away(&gateway, None);
    turned_away(&gateway, Some(IpAddr::from([127, 0, 0, 2])));
    sessions[0].expect("NOOP", 200);
    let rejected = "bucketport_connections_rejected_total{reason=\"max_connections\"}";
    assert!(gateway.metric(rejected) > 1.5);
    sessions[0].expect("QUIT", 221);
    let gone = "bucketport_sessions{tls=\"none\"}";
    eventually("the session's end", Duration::from_secs(10), || gateway.metric(gone) < 2.5);
    gateway.login().expect("NOOP", 200);
}

#[test]
fn connections_from_one_address_are_limited() {
    let gateway = Setup::default().ftp("max_connections_per_ip = 2").start();
    let _sessions = [gateway.login(), gateway.login()];
    turned_away(&gateway, None);
    let other = IpAddr::from([127, 0, 0, 2]);
    let _others = [gateway.connect_from(other), gateway.connect_from(other)];
    turned_away(&gateway, Some(other));
}

#[test]
fn the_server_goes_on_accepting_while_a_transfer_runs() {
    let gateway = Gateway::start();
    gateway.put("large", &bytes(40_000_000, 1));
    let (mut up, mut down) = (gateway.login(), gateway.login());
    let (mut sending, mut taking) = (up.begin("STOR x"), down.begin("RETR large"));
    for number in 0..20 {
        let mut raw = gateway.login();
        raw.stor(&format!("f{number}"), b"x");
        raw.expect("QUIT", 221);
    }
    sending.write_all(b"x").expect("the gateway reads");
    drop(sending);
    up.reply_is(226);
    let mut got = Vec::new();
    taking.read_to_end(&mut got).expect("an orderly end");
    down.reply_is(226);
    assert_eq!(got.len(), 40_000_000);
}

#[test]
fn a_passive_port_that_nothing_came_of_is_given_back() {
    let gateway = Setup::default().ports(1).ftp("data_timeout = \"1s\"").start();
    let (mut raw, mut other) = (gateway.login(), gateway.login());
    raw.pasv_address();
    other.expect("PASV", 425);
    eventually("the port", Duration::from_secs(20), || {
        // Commands do not keep it.
        raw.expect("NOOP", 200);
        other.ask("PASV").code == 227
    });
    raw.expect("LIST", 425);
    other.expect("ABOR", 226);
    // What has connected is closed.
    let mut data = raw.pasv();
    assert_eq!(data.read(&mut [0]).expect("an orderly end"), 0);
    raw.expect("LIST", 425);
    let waiting = gateway.metric("bucketport_passive_ports_waiting");
    assert_eq!(waiting.to_bits(), 0.0_f64.to_bits());
    raw.stor("x", b"x");
}
