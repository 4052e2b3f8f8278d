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
