//! The status page in a browser: Chromium without a screen, driven by tests/clients/browser/status.mjs.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Certificate, TOKEN, bytes, client, installed, source};

/// Debian's.
const CHROMIUM: &str = "/usr/bin/chromium";

#[test]
fn a_person_sees_an_upload_get_on_and_ends_it() {
    let Some(folder) = installed("puppeteer-core") else { return };
    if !std::path::Path::new(CHROMIUM).exists() {
        return eprintln!("SKIPPED: `make clients` has not installed chromium");
    }
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").admin().start();
    let mut idle = gateway.login();
    idle.stor("<script>alert(1)</script> \"report\" & more.csv", b"12345");
    idle.stor(
        "2026-11-26/a-rather-long-name-as-cameras-make-them_camera-17_front-door_motion_000123.jpg",
        &bytes(300_000, 1),
    );
    idle.refused("RETR missing.bin", 550);
    let mut other = gateway.connect();
    other.expect("USER administrator", 331);
    other.expect("PASS wrong", 530);
    let mut busy = gateway.login();
    busy.expect("ALLO 1000000000", 200);
    let mut data = busy.begin("STOR backup/nightly-2026-11-26.tar.gz");
    let program = format!("{folder}/status.mjs");
    std::fs::copy(source("browser/status.mjs"), &program).expect("a writable folder");
    // Where a person finds the pictures.
    let pictures = format!("{}/target/status-page", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(&pictures).expect("a writable folder");
    let piece = bytes(1_000_000, 2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A few percent a second, until the gateway ends it.
            while !done.load(Ordering::Relaxed) && data.write_all(&piece).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let url = format!("http://{}", gateway.http);
        let outcome = client("node", &[&program, CHROMIUM, &url, TOKEN, &pictures, "3"], &[]);
        done.store(true, Ordering::Relaxed);
        assert_eq!(outcome.success().trim(), "seen");
    });
    busy.reply_is(426);
    busy.reply_is(421);
    idle.expect("NOOP", 200);
}
