//! Lines that no client should send: none of them ends the session or costs memory.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Gateway, bytes, eventually};

#[test]
fn binary_lines_get_one_5xx_each() {
    let gateway = Gateway::start();
    for mut raw in [gateway.connect(), gateway.login()] {
        for seed in 1..200 {
            let mut line = bytes(usize::try_from(seed * 7 % 300).expect("small"), seed);
            line.retain(|byte| *byte != b'\n');
            line.extend_from_slice(b"\r\n");
            raw.send_bytes(&line);
            let reply = raw.reply();
            assert_eq!(reply.code / 100, 5, "{reply:?}");
        }
        raw.expect("NOOP", 200);
    }
}

#[test]
fn empty_lines_and_nuls() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for line in [&b"\0\r\n"[..], b"\0\0NOOP\r\n", b" \r\n", b" NOOP\r\n"] {
        raw.send_bytes(line);
        raw.reply_is(500);
    }
    for line in [&b"\r\n"[..], b"\n", b"\r\r\n"] {
        raw.send_bytes(line);
    }
    // A name with a control character can be neither stored nor shown.
    raw.refused("STOR a\0b", 553);
    raw.refused("STOR a\rb", 553);
    raw.expect("SIZE a\x1bb", 550);
    raw.expect("MKD a\tb", 550);
    raw.expect("NOOP", 200);
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn a_long_line_is_refused_and_the_next_one_counts() {
    let gateway = Gateway::start();
    for mut raw in [gateway.connect(), gateway.login()] {
        raw.expect(&"x".repeat(5000), 500);
        raw.expect("NOOP", 200);
        raw.expect(&format!("USER {}", "x".repeat(60_000)), 500);
        raw.expect("NOOP", 200);
        // 4096 bytes with the line's end are the most.
        raw.expect(&format!("NOOP {}", "x".repeat(4096 - 7)), 200);
        raw.expect(&format!("NOOP {}", "x".repeat(4096 - 6)), 500);
        raw.expect("NOOP", 200);
    }
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let gateway = Gateway::start();
    gateway.login().expect("NOOP", 200);
    let before = gateway.memory("VmRSS");
    let mut cut_off = 0;
    for _ in 0..10 {
        let mut raw = gateway.connect();
        let mut stream = TcpStream::connect(gateway.ftp).expect("the gateway listens");
        let block = vec![b'a'; 200 * 1024];
        // 200 KiB are more than is ever dropped of a line, so the connection ends; where bytes were left in its
        // buffers, with a reset.
        for _ in 0..100 {
            if stream.write_all(&block).is_err() {
                cut_off += 1;
                break;
            }
        }
        raw.send_bytes(&block[..4096]);
        raw.expect("", 500);
        raw.expect("NOOP", 200);
    }
    assert_eq!(cut_off, 10);
    let grown = gateway.memory("VmRSS").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more");
    let sessions = "bucketport_sessions{tls=\"none\"}";
    eventually("the sessions' end", Duration::from_secs(10), || gateway.metric(sessions) < 0.5);
}

#[test]
fn the_cut_off_is_announced() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    // One byte more than is ever dropped, so that nothing is left unread that would turn the close into a reset.
    for size in std::iter::repeat_n(4096, 16).chain([1]) {
        raw.send_bytes(&vec![b'a'; size]);
        std::thread::sleep(Duration::from_millis(5));
    }
    raw.reply_is(500);
    raw.reply_is(421);
    raw.closed();
}

#[test]
fn commands_sent_ahead_are_answered_in_order() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.send_bytes("NOOP\r\n".repeat(1000).as_bytes());
    for _ in 0..1000 {
        raw.reply_is(200);
    }
    raw.send_bytes(
        b"USER demo\r\nPASS secret\r\nPWD\r\nTYPE I\r\nMKD sub\r\nCWD sub\r\nPWD\r\nFROB\r\nSIZE x\r\nCDUP\r\nRMD sub\r\n\
          SYST\r\nUSER demo\r\nPASS wrong\r\nPWD\r\nQUIT\r\nNOOP\r\n",
    );
    for code in [331, 230, 257, 200, 257, 250, 257, 500, 550, 250, 250, 215, 331, 530, 530, 221] {
        raw.reply_is(code);
    }
    raw.closed();
}

#[test]
fn commands_sent_ahead_of_a_transfers_end() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let mut data = raw.pasv();
    data.write_all(b"12345").expect("room in the socket");
    drop(data);
    raw.send_bytes(b"STOR x\r\nSIZE x\r\nNOOP\r\nRNFR x\r\nRNTO y\r\nSIZE y\r\n");
    for code in [150, 226, 213, 200, 350, 250, 213] {
        raw.reply_is(code);
    }
    assert_eq!(gateway.file("y"), b"12345");
}

#[test]
fn bad_arguments_get_their_codes() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for (command, code) in [
        ("REST abc", 501),
        ("REST -1", 501),
        ("REST 1.5", 501),
        ("REST 99999999999999999999", 501),
        ("REST", 501),
        ("TYPE", 501),
        ("TYPE Z", 501),
        ("TYPE I I I", 501),
        ("TYPE E", 504),
        ("TYPE A T", 504),
        ("TYPE L 7", 504),
        ("MODE", 501),
        ("MODE Z", 504),
        ("MODE B", 504),
        ("MODE C", 504),
        ("STRU", 501),
        ("STRU X", 501),
        ("STRU R", 504),
        ("STRU P", 504),
        ("OPTS", 501),
        ("OPTS FOO", 501),
        ("OPTS UTF8 MAYBE", 501),
        ("ALLO", 501),
        ("STOR", 501),
        ("STOR ", 501),
        ("RETR", 501),
        ("APPE", 501),
        ("DELE", 501),
        ("RNFR", 501),
        ("RNTO", 501),
        ("CWD", 501),
        ("MKD", 501),
        ("RMD", 501),
        ("SIZE", 501),
        ("MDTM", 501),
        ("USER", 501),
    ] {
        raw.expect(command, code);
    }
    raw.stor("x", b"still here");
    assert_eq!(gateway.file("x"), b"still here");
}

#[test]
fn names_that_are_not_utf_8_get_501() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    // Latin-1, GBK and Shift-JIS.
    for name in [&b"caf\xe9"[..], b"\xd6\xd0\xce\xc4.txt", b"\x93\xfa\x96\x7b.txt"] {
        for verb in ["STOR", "RETR", "SIZE", "MKD", "CWD", "RNFR", "LIST"] {
            raw.send_bytes(&[verb.as_bytes(), b" ", name, b"\r\n"].concat());
            raw.reply_is(501);
        }
    }
    raw.expect("NOOP", 200);
    assert_eq!(gateway.files(), [""; 0]);
}

#[test]
fn other_protocols_do_no_harm() {
    let gateway = Gateway::start();
    let mut browser = gateway.connect();
    browser.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    // The empty line after the headers is none.
    for _ in 0..2 {
        browser.reply_is(500);
    }
    browser.silent_for(Duration::from_millis(100));
    // The beginning of a TLS handshake, then silence and an early end.
    let mut tls = gateway.connect();
    tls.send_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    tls.finish_sending();
    tls.closed();
    gateway.connect().reset();
    drop(gateway.connect());
    gateway.login().stor("x", b"x");
}
