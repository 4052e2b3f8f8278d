//! No open files left: those who are there go on, and the next are served once some have gone.

use std::time::Duration;

use crate::support::{Gateway, Raw, Setup, eventually};

#[test]
fn accepting_recovers_when_files_are_closed() {
    let gateway = Gateway::start();
    let mut held = gateway.login();
    gateway.limit_files(10);
    let crowd: Vec<_> = (0..30).map(|_| Raw::connect_only(gateway.ftp, None)).collect();
    gateway.wait_for_log("cannot accept a control connection");
    held.expect("PWD", 257);
    drop(crowd);
    eventually("a greeting", Duration::from_secs(20), || {
        Raw::connect_only(gateway.ftp, None).reply().code == 220
    });
    held.expect("NOOP", 200);
    gateway.login().stor("x", b"after");
    assert_eq!(gateway.file("x"), b"after");
}

#[test]
fn a_data_connection_that_cannot_be_accepted_costs_a_reply_and_nothing_else() {
    let gateway = Setup::default().ports(1).ftp("data_timeout = \"2s\"").start();
    let mut raw = gateway.login();
    let address = raw.pasv_address();
    gateway.deny_files();
    let data = raw.open_data(address);
    gateway.wait_for_log("cannot accept a data connection");
    raw.expect("STOR x", 425);
    drop(data);
    // PASV looks for those that are there already, and fails no more than they do.
    let early = raw.open_data(address);
    for _ in 0..2 {
        raw.expect("PASV", 227);
        raw.expect("STOR x", 425);
    }
    raw.expect("NOOP", 200);
    gateway.allow_files();
    drop(early);
    raw.stor("x", b"after");
    assert_eq!(raw.retr("x"), b"after");
    assert_eq!(gateway.files(), ["x"]);
    gateway.login().stor("y", b"after");
}
