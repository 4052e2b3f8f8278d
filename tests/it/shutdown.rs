//! Stopping in two stages, and reading the users again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Gateway, Place, Setup, assert_same, bytes, eventually, on_each_store};

on_each_store! { super::patient();
    a_running_transfer_finishes
}

mod past_the_deadline {
    use super::what_is_left_is_aborted;
    use crate::support::on_each_store;

    on_each_store! { super::super::impatient();
        what_is_left_is_aborted
    }
}

mod twice {
    use super::a_second_signal_stops_at_once;
    use crate::support::on_each_store;

    on_each_store! { super::super::patient();
        a_second_signal_stops_at_once
    }
}

fn patient() -> Setup {
    Setup::default().transfer("part_size = \"5MiB\"")
}

fn impatient() -> Setup {
    patient().ftp("drain_timeout = \"1s\"")
}

fn a_running_transfer_finishes(place: &Place) {
    let gateway = &place.gateway;
    place.put("large", &bytes(40_000_000, 2));
    let (mut idle, mut unknown) = (gateway.login(), gateway.connect());
    let (mut up, mut down) = (gateway.login(), gateway.login());
    let (mut sending, mut taking) = (up.begin("STOR x"), down.begin("RETR large"));
    sending.write_all(&bytes(6_000_000, 1)).expect("the gateway reads");
    assert_eq!(gateway.get("/livez").0, 200);

    gateway.signal(Signal::SIGTERM);
    for raw in [&mut idle, &mut unknown] {
        raw.reply_is(421);
        raw.closed();
    }
    eventually("refused connections", Duration::from_secs(5), || TcpStream::connect(gateway.ftp).is_err());
    let (status, body) = gateway.get("/readyz");
    assert_eq!((status, body.as_str()), (503, "draining\n"));
    assert_eq!(gateway.get("/livez").0, 200);
    assert_eq!(gateway.get("/metrics").0, 200);

    up.expect("NOOP", 200);
    sending.write_all(b"end").expect("the gateway reads");
    drop(sending);
    up.reply_is(226);
    up.reply_is(421);
    up.closed();
    let mut got = Vec::new();
    taking.read_to_end(&mut got).expect("an orderly end");
    assert_same(&got, &bytes(40_000_000, 2));
    down.reply_is(226);
    down.reply_is(421);
    assert_same(&place.stored("x").expect("stored"), &[&bytes(6_000_000, 1)[..], b"end"].concat());
    ends_cleanly(place, Duration::from_secs(5));
}

fn what_is_left_is_aborted(place: &Place) {
    let old = bytes(1000, 3);
    place.put("old", &old);
    place.put("large", &bytes(40_000_000, 2));
    let gateway = &place.gateway;
    let mut waiting = gateway.login();
    let mut uploads: Vec<_> = ["new", "old"]
        .into_iter()
        .map(|name| {
            let mut raw = gateway.login();
            let mut data = raw.begin(&format!("STOR {name}"));
            data.write_all(&bytes(12_000_000, 1)).expect("the gateway reads");
            (raw, data)
        })
        .collect();
    let mut down = gateway.login();
    let _taking = down.begin("RETR large");
    waiting.expect("PASV", 227);
    waiting.send("STOR never");
    waiting.silent_for(Duration::from_millis(200));
    gateway.signal(Signal::SIGTERM);
    for (raw, _data) in &mut uploads {
        raw.reply_is(426);
        raw.reply_is(421);
    }
    down.reply_is(426);
    waiting.reply();
    ends_cleanly(place, Duration::from_secs(15));
    assert_eq!(place.left_over(), [""; 0]);
    assert_eq!(place.objects(), ["large", "old"]);
    assert_same(&place.stored("old").expect("stored"), &old);
}

fn a_second_signal_stops_at_once(place: &Place) {
    let mut raw = place.gateway.login();
    let mut data = raw.begin("STOR new");
    data.write_all(&bytes(12_000_000, 1)).expect("the gateway reads");
    place.gateway.signal(Signal::SIGTERM);
    place.gateway.wait_for_log("draining");
    raw.expect("NOOP", 200);
    place.gateway.signal(Signal::SIGTERM);
    let begun = Instant::now();
    ends_cleanly(place, Duration::from_secs(3));
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(place.left_over(), [""; 0]);
    assert_eq!(place.objects(), [""; 0]);
}

fn ends_cleanly(place: &Place, limit: Duration) {
    let status = place.gateway.ended(limit);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_idle_gateway_stops_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let gateway = Gateway::start();
        gateway.signal(signal);
        assert_eq!(gateway.ended(Duration::from_secs(3)).code(), Some(0));
    }
}

const OTHER: &str = "[[users]]\nname = \"other\"\npassword = \"new\"\n";

#[test]
fn sighup_reads_the_users_again() {
    let gateway = Gateway::start();
    let mut session = gateway.login();
    let config = gateway.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&config).expect("written at the start");
    let demo = text.find("[[users]]").expect("a user");
    std::fs::write(&config, format!("{}{OTHER}", &text[..demo])).expect("a writable folder");
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_log("users reloaded");
    let mut raw = gateway.connect();
    raw.expect("USER demo", 331);
    raw.expect("PASS secret", 530);
    raw.logged_in("other", "new").expect("PWD", 257);
    // Who is no user any more is sent away.
    session.expect("PWD", 421);
    // A mistake changes nothing.
    std::fs::write(&config, "nonsense").expect("a writable folder");
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_log("users not reloaded");
    gateway.connect().logged_in("other", "new");
}

#[test]
fn the_users_file_is_watched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    std::fs::write(&file, OTHER).expect("a writable folder");
    let gateway = Setup::default().users(&format!("[auth]\nusers_file = \"{}\"\n", file.display())).start();
    gateway.connect().logged_in("other", "new");
    // As editors and Kubernetes do it: another file takes the name.
    let next = folder.path().join("next");
    std::fs::write(&next, OTHER.replace("other", "third")).expect("a writable folder");
    std::fs::rename(&next, &file).expect("a writable folder");
    gateway.wait_for_log("users reloaded");
    gateway.connect().logged_in("third", "new");
    let mut raw = gateway.connect();
    raw.expect("USER other", 331);
    raw.expect("PASS new", 530);
}

/// A mounted file can hang for as long as its server is away.
#[test]
fn a_reload_that_hangs_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    std::fs::write(&file, "").expect("a writable folder");
    let gateway = Setup::default().users(&format!("[auth]\nusers_file = \"{}\"\n", file.display())).start();
    // Whoever opens a pipe waits until somebody writes to it.
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils are there");
    assert!(made.success());
    std::fs::rename(&pipe, &file).expect("a writable folder");
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_log("reloading users and certificate");
    std::thread::sleep(Duration::from_millis(200));
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(Duration::from_secs(20)).success());
}
