//! `TYPE A`: line ends on the wire and in the store, and what cannot be had with it.

use std::fs;
use std::io::Write;
use std::time::Duration;

use crate::support::{Gateway, Place, Setup, curl, eventually, on_each_store_and_in_memory, reset};

on_each_store_and_in_memory! { crate::support::Setup::default();
    line_ends_are_converted_in_both_directions
}

fn line_ends_are_converted_in_both_directions(place: &Place) {
    let mut raw = place.gateway.login();
    raw.expect("TYPE A", 200);
    raw.stor("x", b"one\r\ntwo\rthree\nfour\r\n");
    assert_eq!(place.stored("x").expect("stored"), b"one\ntwo\rthree\nfour\n");
    assert_eq!(raw.retr("x"), b"one\r\ntwo\rthree\r\nfour\r\n");
    assert_eq!(raw.upload("APPE x", b"five\r\n").code, 226);
    assert_eq!(place.stored("x").expect("stored"), b"one\ntwo\rthree\nfour\nfive\n");
    assert_eq!(raw.list("NLST"), ["x"]);
    raw.expect("TYPE I", 200);
    assert_eq!(raw.retr("x"), b"one\ntwo\rthree\nfour\nfive\n");
    // A line end is not doubled.
    raw.stor("y", b"one\r\n\r\ntwo\n");
    raw.expect("TYPE A N", 200);
    assert_eq!(raw.retr("y"), b"one\r\n\r\ntwo\r\n");
}

#[test]
fn large_texts() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    let lines =
        |end: &str| (0..500_000).flat_map(|number| [number.to_string(), end.to_owned()]).collect::<String>();
    raw.stor("x", lines("\r\n").as_bytes());
    assert!(gateway.file("x") == lines("\n").as_bytes());
    assert!(raw.retr("x") == lines("\r\n").as_bytes());
}

#[test]
fn a_line_end_in_two_packets_and_a_carriage_return_at_the_end() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    let mut data = raw.begin("STOR x");
    let mut sent = 0;
    for piece in [&b"one\r"[..], b"\ntwo\r", b"\r", b"\nthree\r"] {
        data.write_all(piece).expect("the gateway reads");
        sent += piece.len();
        // Each piece has been read before the next one comes.
        eventually("the piece", Duration::from_secs(20), || {
            raw.expect("STAT", 211).lines[1].ends_with(&format!("{sent} bytes so far"))
        });
    }
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"one\ntwo\r\nthree\r");
}

#[test]
fn unique_names_and_a_new_login() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    assert_eq!(raw.upload("STOU", b"a\r\n").code, 226);
    assert_eq!(gateway.file(&gateway.files()[0]), b"a\n");
    // Whoever logs in anew is binary again.
    let mut raw = raw.logged_in("demo", "secret");
    raw.stor("x", b"a\r\n");
    assert_eq!(gateway.file("x"), b"a\r\n");
}

#[test]
fn sizes_and_restarts_need_type_i() {
    let gateway = Gateway::start();
    gateway.put("x", b"a\nb");
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    raw.expect("SIZE x", 550);
    raw.expect("MDTM x", 213);
    raw.expect("REST 2", 504);
    raw.expect("REST 0", 350);
    assert_eq!(raw.retr("x"), b"a\r\nb");
    // The other order as well: what was asked for is not ignored.
    for command in ["RETR x", "STOR x", "APPE x"] {
        raw.expect("TYPE I", 200);
        raw.expect("REST 2", 350);
        raw.expect("TYPE A", 200);
        raw.refused(command, 504);
    }
    assert_eq!(raw.list("NLST"), ["x"]);
    raw.expect("TYPE I", 200);
    assert_eq!(raw.expect("SIZE x", 213).text(), "3");
    raw.expect("REST 2", 350);
    assert_eq!(raw.retr("x"), b"b");
}

#[test]
fn conversion_can_be_switched_off() {
    let gateway = Setup::default().ftp("ascii = \"ignore\"").start();
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    raw.stor("x", b"a\r\nb\n");
    assert_eq!(gateway.file("x"), b"a\r\nb\n");
    assert_eq!(raw.retr("x"), b"a\r\nb\n");
    assert_eq!(raw.expect("SIZE x", 213).text(), "5");
    raw.expect("REST 3", 350);
    assert_eq!(raw.retr("x"), b"b\n");
}

#[test]
fn announced_and_counted_are_bytes_on_the_wire() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    raw.expect("ALLO 6", 200);
    let mut data = raw.begin("STOR x");
    data.write_all(b"a\r\nb\r\n").expect("the gateway reads");
    // All that was announced is there, whatever ends the connection.
    reset(&data);
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"a\nb\n");
    assert_eq!(raw.retr("x").len(), 6);
    for direction in ["upload", "download"] {
        let sample = format!("bucketport_transfer_bytes_total{{direction=\"{direction}\",store=\"main\"}}");
        assert_eq!(gateway.metric(&sample).to_bits(), 6.0_f64.to_bits(), "{direction}");
    }
}

#[test]
fn curl_in_ascii() {
    let gateway = Gateway::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("x"), "one\ntwo\n").expect("a writable folder");
    // Told to, curl sends lines with CRLF; on Unix it makes LF of what comes.
    curl(["--use-ascii", "--crlf", "-T", &path("x"), &gateway.url("/curl")]).success();
    assert_eq!(gateway.file("curl"), b"one\ntwo\n");
    assert_eq!(curl(["--use-ascii", &gateway.url("/curl")]).success(), "one\ntwo\n");
}
