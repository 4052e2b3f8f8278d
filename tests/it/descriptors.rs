//! No open files left: those who are there go on, and the next are served once some have gone.

use std::time::Duration;

use crate::support::{Gateway, Raw, eventually};

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
fn a_data_connection_that_cannot_be_accepted_waits() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let idle: Vec<_> = (0..3).map(|_| gateway.login()).collect();
    gateway.limit_files(0);
    let data = raw.pasv();
    gateway.wait_for_log("cannot accept a data connection");
    drop(idle);
    eventually("the ends of the others", Duration::from_secs(20), || {
        gateway.log().matches("session ends").count() == 3
    });
    raw.expect("LIST", 150);
    drop(data);
    raw.reply_is(226);
}
