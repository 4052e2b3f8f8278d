//! Types, modes and line ends as they are spelled in the field.

use std::time::Duration;

use crate::support::Gateway;

#[test]
fn byte_sizes_and_formats_of_types() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for (command, code) in [
        ("TYPE L8", 200),
        ("TYPE l8", 200),
        ("TYPE L 8", 200),
        ("TYPE l 8", 200),
        ("TYPE L  8", 200),
        ("TYPE AN", 504),
        ("TYPE A N", 200),
        ("TYPE L7", 504),
        ("TYPE L16", 504),
        ("TYPE L", 501),
        ("TYPE L8 8", 501),
    ] {
        raw.expect(command, code);
    }
    // The last one that was taken holds, which is A N.
    raw.stor("x", b"a\r\nb");
    assert_eq!(gateway.file("x"), b"a\nb");
}

#[test]
fn modes_and_structures_that_nobody_has() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for command in ["MODE Z", "MODE z", "MODE B", "MODE C", "MODE X", "STRU R", "STRU P"] {
        raw.expect(command, 504);
    }
    raw.stor("x", b"still a stream");
    assert_eq!(gateway.file("x"), b"still a stream");
}

#[test]
fn every_carriage_return_before_the_line_feed_goes() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.send_bytes(b"USER demo\r\r\nPASS secret\r\r\r\nTYPE I\r\r\n");
    for code in [331, 230, 200] {
        raw.reply_is(code);
    }
    raw.expect("MKD a b\r", 257);
    raw.expect("CWD a b\r\r", 250);
    raw.stor("x\r", b"x");
    assert_eq!(gateway.file("a b/x"), b"x");
    // One in the middle belongs to the name, and no name has one.
    raw.refused("STOR y\rz", 553);
}

#[test]
fn empty_lines_get_no_reply() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.send_bytes(b"\r\n\n\r\r\nUSER demo\r\n\r\nPASS secret\r\n\r\n\r\n");
    raw.reply_is(331);
    raw.reply_is(230);
    raw.send_bytes(b"\r\n");
    raw.silent_for(Duration::from_millis(200));
    raw.expect("PWD", 257);
    // During a transfer as well.
    let data = raw.begin("STOR x");
    raw.send_bytes(b"\r\n\r\n");
    raw.expect("NOOP", 200);
    drop(data);
    raw.reply_is(226);
    raw.expect("NOOP", 200);
}

/// They keep nobody logged in, or out.
#[test]
fn empty_lines_are_no_commands() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.stor("x", b"x");
    raw.expect("RNFR x", 350);
    raw.send_bytes(b"\r\n");
    raw.expect("RNTO y", 250);
    raw.expect("REST 1", 350);
    raw.send_bytes(b"\r\n");
    assert_eq!(raw.retr("y"), b"");
}
