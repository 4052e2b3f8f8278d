//! What a client may say while a transfer runs, and when it is answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Gateway, Place, Raw, Setup, assert_same, bytes, on_each_store};

const PART: usize = 5 * 1024 * 1024;

on_each_store! { crate::support::Setup::default().transfer("part_size = \"5MiB\"");
    abor_leaves_nothing_of_a_new_file
    abor_leaves_the_old_file
    abor_stops_a_download
}

/// An upload of `x` of which this much has been sent.
fn half_sent(raw: &mut Raw, size: usize) -> TcpStream {
    let mut data = raw.begin("STOR x");
    data.write_all(&bytes(size, 1)).expect("the gateway reads");
    data
}

fn aborted(raw: &mut Raw) {
    raw.send("ABOR");
    // RFC 959 section 4.1.3: the transfer's end first, then the answer to ABOR.
    raw.reply_is(426);
    raw.reply_is(226);
}

fn abor_leaves_nothing_of_a_new_file(place: &Place) {
    let mut raw = place.gateway.login();
    for size in [10, PART + 10, 3 * PART] {
        let data = half_sent(&mut raw, size);
        aborted(&mut raw);
        drop(data);
        raw.expect("SIZE x", 550);
        assert_eq!(place.objects(), [""; 0]);
        assert_eq!(place.left_over(), [""; 0]);
    }
    raw.stor("x", b"later");
    assert_eq!(place.stored("x").expect("stored"), b"later");
}

fn abor_leaves_the_old_file(place: &Place) {
    let old = bytes(PART + 1, 2);
    place.put("x", &old);
    let mut raw = place.gateway.login();
    for command in ["STOR x", "APPE x"] {
        let mut data = raw.begin(command);
        data.write_all(&bytes(2 * PART, 3)).expect("the gateway reads");
        aborted(&mut raw);
        drop(data);
        assert_same(&place.stored("x").expect("stored"), &old);
        assert_eq!(place.left_over(), [""; 0]);
    }
}

fn abor_stops_a_download(place: &Place) {
    let content = bytes(40_000_000, 4);
    place.put("x", &content);
    let mut raw = place.gateway.login();
    let mut data = raw.begin("RETR x");
    let mut some = vec![0; 100_000];
    data.read_exact(&mut some).expect("the beginning");
    aborted(&mut raw);
    // The end is a reset, so that the part is not taken for the whole.
    let mut rest = Vec::new();
    assert!(data.read_to_end(&mut rest).is_err() || rest.len() + some.len() < content.len());
    raw.expect("REST 39999990", 350);
    assert_eq!(raw.retr("x"), &content[39_999_990..]);
    let aborts = place.gateway.metric("bucketport_commands_total{command=\"ABOR\"}");
    assert!((aborts - 1.0).abs() < 0.5, "{aborts}");
}

#[test]
fn some_commands_are_answered_at_once() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let mut data = half_sent(&mut raw, 1000);
    for (command, code) in [
        ("NOOP", 200),
        ("PWD", 257),
        ("XPWD", 257),
        ("STAT", 211),
        ("SYST", 215),
        ("FEAT", 211),
        ("HELP", 214),
    ] {
        raw.expect(command, code);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while !raw.expect("STAT", 211).lines.iter().any(|line| line.contains("1000 bytes")) {
        assert!(Instant::now() < deadline, "STAT never tells what has arrived");
    }
    data.write_all(b"end").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
    assert_same(&gateway.file("x"), &[&bytes(1000, 1)[..], b"end"].concat());
}

#[test]
fn some_commands_are_answered_during_a_download() {
    let gateway = Gateway::start();
    let content = bytes(40_000_000, 4);
    gateway.put("x", &content);
    let mut raw = gateway.login();
    let mut data = raw.begin("RETR x");
    raw.expect("NOOP", 200);
    raw.expect("STAT", 211);
    let mut got = Vec::new();
    data.read_to_end(&mut got).expect("an orderly end");
    raw.reply_is(226);
    assert_same(&got, &content);
}

#[test]
fn other_commands_wait_for_their_turn() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let mut data = half_sent(&mut raw, 10);
    raw.send("SIZE x");
    raw.silent_for(Duration::from_millis(300));
    raw.send("FROB");
    raw.send("RNFR x");
    raw.send("RNTO y");
    data.write_all(b"end").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(raw.reply_is(213).text(), "13");
    raw.reply_is(500);
    raw.reply_is(350);
    raw.reply_is(250);
    assert_eq!(gateway.file("y").len(), 13);
}

#[test]
fn quit_lets_the_transfer_finish() {
    let gateway = Gateway::start();
    for closes in [false, true] {
        let mut raw = gateway.login();
        let mut data = half_sent(&mut raw, 10);
        raw.send("QUIT");
        if closes {
            raw.finish_sending();
        }
        raw.silent_for(Duration::from_millis(300));
        data.write_all(b"end").expect("the gateway reads");
        drop(data);
        raw.reply_is(226);
        raw.reply_is(221);
        raw.closed();
        assert_eq!(gateway.file("x").len(), 13);
        std::fs::remove_file(gateway.data().join("x")).expect("it is there");
    }
}

#[test]
fn abor_as_telnet_clients_send_it() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let data = half_sent(&mut raw, 10);
    raw.send_bytes(b"\xff\xf4");
    raw.send_urgent(b"\xff");
    raw.send_bytes(b"\xf2ABOR\r\n");
    raw.reply_is(426);
    raw.reply_is(226);
    drop(data);
    let data = half_sent(&mut raw, 10);
    raw.send_urgent(b"ABOR\r\n");
    raw.reply_is(426);
    raw.reply_is(226);
    drop(data);
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn abor_without_a_transfer() {
    let gateway = Gateway::start();
    gateway.connect().expect("ABOR", 226);
    let mut raw = gateway.login();
    raw.expect("ABOR", 226);
    raw.expect("PASV", 227);
    raw.expect("ABOR", 226);
    raw.stor("x", b"x");
    raw.expect("ABOR", 226);
}

#[test]
fn abor_before_the_data_connection() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("PASV", 227);
    raw.send("STOR x");
    raw.silent_for(Duration::from_millis(200));
    aborted(&mut raw);
    raw.stor("y", b"y");
    assert_eq!(gateway.files(), ["y"]);
}

#[test]
fn a_session_that_transfers_is_not_idle() {
    let setup = Setup::default().ftp("idle_timeout = \"1s\"").ftp("login_timeout = \"1s\"");
    let gateway = setup.start();
    let mut raw = gateway.login();
    let mut data = half_sent(&mut raw, 10);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        data.write_all(b".").expect("the gateway reads");
    }
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x").len(), 15);
    raw.reply_is(421);
}
