//! Names in other encodings than UTF-8, byte by byte and with lftp.

use std::fs;
use std::io::{Read, Write};

use crate::support::{Gateway, Place, Raw, Setup, lftp, on_each_store};

on_each_store! { crate::support::Setup::default().ftp("filename_encoding = \"gbk\"");
    names_in_gbk_are_text_in_the_store
    utf_8_is_each_sessions_choice
}

/// 中乗, of which the last byte is that of a backslash.
const NAME: &[u8] = b"\xd6\xd0\x81\x5c";

fn line(verb: &str, name: &[u8]) -> Vec<u8> {
    [verb.as_bytes(), b" ", name].concat()
}

/// What is downloaded, or listed, with `command`.
#[track_caller]
fn fetch(raw: &mut Raw, command: &[u8]) -> Vec<u8> {
    let mut data = raw.pasv();
    raw.expect_bytes(command, 150);
    let mut content = Vec::new();
    data.read_to_end(&mut content).expect("the gateway sends it all");
    raw.reply_is(226);
    content
}

#[track_caller]
fn store(raw: &mut Raw, name: &[u8], content: &[u8]) {
    let mut data = raw.pasv();
    raw.expect_bytes(&line("STOR", name), 150);
    data.write_all(content).expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
}

fn starting(setup: Setup, encoding: &str) -> Gateway {
    setup.ftp(&format!("filename_encoding = \"{encoding}\"")).start()
}

fn names_in_gbk_are_text_in_the_store(place: &Place) {
    let mut raw = place.gateway.login();
    store(&mut raw, NAME, b"12345");
    assert_eq!(place.objects(), ["中乗"]);
    assert_eq!(fetch(&mut raw, &line("RETR", NAME)), b"12345");
    assert_eq!(raw.expect_bytes(&line("SIZE", NAME), 213), b"213 5\r\n");
    raw.expect_bytes(&line("MDTM", NAME), 213);
    let listed = |name: &[u8]| [name, b"\r\n"].concat();
    assert_eq!(fetch(&mut raw, b"NLST"), listed(NAME));
    assert_eq!(fetch(&mut raw, &line("NLST", b"\xd6\xd0*")), listed(NAME));
    for command in ["LIST", "MLSD"] {
        let lines = fetch(&mut raw, command.as_bytes());
        assert!(lines.ends_with(&[b" ", &listed(NAME)[..]].concat()), "{}", lines.escape_ascii());
    }
    let facts = raw.expect_bytes(&line("MLST", NAME), 250);
    let end = [b"; /", NAME, b"\r\n250 End\r\n"].concat();
    assert!(facts.ends_with(&end), "{}", facts.escape_ascii());
    let status = raw.expect_bytes(&line("STAT", NAME), 213);
    assert!(status.windows(6).any(|bytes| bytes == listed(NAME)), "{}", status.escape_ascii());

    let quoted = [b"\"/in", NAME, b"\""].concat();
    let said = |reply: Vec<u8>| reply.windows(quoted.len()).any(|bytes| bytes == quoted);
    let directory = [b"in", NAME].concat();
    assert!(said(raw.expect_bytes(&line("MKD", &directory), 257)));
    assert!(said(raw.expect_bytes(&line("CWD", &directory), 250)));
    assert!(said(raw.expect_bytes(b"PWD", 257)));
    raw.expect_bytes(&[b"RNFR /", NAME].concat(), 350);
    raw.expect_bytes(&line("RNTO", b"\xce\xc4"), 250);
    assert_eq!(place.stored("in中乗/文").as_deref(), Some(&b"12345"[..]));
    let prefixed = [b"../in", NAME, b"/\xce\xc4\r\n"].concat();
    assert_eq!(fetch(&mut raw, &[b"NLST ../in", NAME].concat()), prefixed);
    raw.expect_bytes(&line("DELE", b"\xce\xc4"), 250);
    raw.expect("CDUP", 250);
    raw.expect_bytes(&line("RMD", &directory), 250);
}

fn utf_8_is_each_sessions_choice(place: &Place) {
    place.gateway.login().stor("x", b"x");
    let mut raw = place.gateway.login();
    raw.expect("RNFR x", 350);
    raw.expect_bytes(&line("RNTO", NAME), 250);
    let mut other = place.gateway.login();
    assert!(raw.expect("FEAT", 211).lines.contains(&" UTF8".to_owned()));
    for (command, reply, listed) in [
        ("OPTS UTF8 ON", "Names are in UTF-8", "中乗\r\n".as_bytes()),
        ("opts utf8 off", "Names are in GBK", b"\xd6\xd0\x81\x5c\r\n"),
        ("OPTS UTF-8 NLST", "Names are in UTF-8", "中乗\r\n".as_bytes()),
    ] {
        assert_eq!(raw.expect(command, 200).text(), reply);
        assert_eq!(fetch(&mut raw, b"NLST"), listed, "{command}");
        assert_eq!(fetch(&mut other, b"NLST"), b"\xd6\xd0\x81\x5c\r\n");
    }
    raw.expect("SIZE 中乗", 213);
    raw.expect_bytes(&line("SIZE", NAME), 501);
    raw.expect("REIN", 220);
    raw = raw.logged_in("demo", "secret");
    raw.expect_bytes(&line("SIZE", NAME), 213);
    // Many clients choose before they log in.
    let mut early = place.gateway.connect();
    early.expect("OPTS UTF8 ON", 200);
    early = early.logged_in("demo", "secret");
    early.expect("SIZE 中乗", 213);
}

#[test]
fn what_the_encoding_cannot_write_is_left_out_and_counted() {
    let gateway = starting(Setup::default(), "windows-1252");
    for name in ["é", "中", "🐟", "plain"] {
        gateway.put(&format!("in/{name}"), b"x");
    }
    let mut raw = gateway.login();
    let left_out = || gateway.metric("bucketport_unlisted_keys_total{store=\"main\"}").round();
    let mut expected = 0.0;
    for command in ["LIST in", "NLST in", "MLSD in"] {
        let lines = fetch(&mut raw, command.as_bytes());
        assert_eq!(lines.split(|&byte| byte == b'\n').count(), 3, "{}", lines.escape_ascii());
        assert!(lines.contains(&b'\xe9'), "{}", lines.escape_ascii());
        expected += 2.0;
        assert!((left_out() - expected).abs() < 0.5, "{command}");
    }
    let status = raw.expect_bytes(b"STAT in", 213);
    assert_eq!(status.split(|&byte| byte == b'\n').count(), 5, "{}", status.escape_ascii());
    assert!((left_out() - 8.0).abs() < 0.5);
    assert_eq!(gateway.log().matches("left out of a listing").count(), 4, "one line a listing");
    raw.expect("OPTS UTF8 ON", 200);
    assert_eq!(raw.list("NLST in").len(), 4);
    raw.expect("SIZE in/🐟", 213);
}

#[test]
fn what_is_not_in_the_encoding_is_refused() {
    // Cut short, what GBK reads and does not write, and a character of Hong Kong that Big5 reads and does not write.
    for (encoding, name) in [("gbk", &b"\xd6"[..]), ("gbk", b"\x94\x39\xcc\x35"), ("big5", b"\x87\x40")] {
        let gateway = starting(Setup::default(), encoding);
        let mut raw = gateway.login();
        for verb in ["STOR", "MKD", "RETR", "SIZE", "LIST"] {
            let reply = raw.expect_bytes(&line(verb, name), 501);
            let said = String::from_utf8(reply).expect("ASCII").to_lowercase();
            assert!(said.contains(encoding) && said.contains("opts utf8 on"), "{said}");
        }
        raw.expect("NOOP", 200);
        assert_eq!(gateway.files(), [""; 0]);
    }
    let plain = Gateway::start();
    plain.login().expect("OPTS UTF8 OFF", 504);
}

/// Bytes that are a backslash, a slash or Telnet's IAC alone, and are a part of a letter, or a letter, in these encodings.
#[test]
fn bytes_that_look_like_something_else() {
    let setup = || Setup::default().ftp("backslash = \"separator\"");
    let gateway = starting(setup(), "shift_jis");
    let mut raw = gateway.login();
    store(&mut raw, b"\x95\x5c\x83\x5c\x5cin", b"x");
    assert_eq!(gateway.files(), ["表ソ/in"]);
    assert_eq!(fetch(&mut raw, b"NLST"), b"\x95\x5c\x83\x5c\r\n");
    drop(raw);

    let gateway = starting(setup(), "gb18030");
    // The second and the last of four bytes are digits.
    store(&mut gateway.login(), b"\x94\x39\xcc\x35", b"x");
    assert_eq!(gateway.files(), ["🐟"]);

    let gateway = starting(setup(), "windows-1251");
    let mut raw = gateway.login();
    // Doubled, as Telnet wants it, and as clients send it that know nothing of that.
    for (sent, meant) in [
        (&b"\xff\xff1"[..], "я1"),
        (b"\xff2", "я2"),
        (b"\xff\xf03", "яр3"),
        (b"\xff\xfd\xff\xf44", "яэяф4"),
        (b"\xff\xff\xff\xff\xf25", "яят5"),
    ] {
        store(&mut raw, sent, b"x");
        assert!(gateway.files().contains(&meant.to_owned()), "{meant} in {:?}", gateway.files());
    }
    // Replies are Telnet as well, listings are not.
    assert_eq!(raw.expect_bytes(b"MKD \xff\xff", 257), b"257 \"/\xff\xff\" created\r\n");
    raw.expect("DELE 1", 550);
    let names = fetch(&mut raw, b"NLST");
    assert!(
        names.split(|&byte| byte == b'\n').any(|name| name == b"\xff\xf03\r"),
        "{}",
        names.escape_ascii()
    );
}

#[test]
fn a_backslash_may_be_a_separator() {
    let gateway = Setup::default().ftp("backslash = \"separator\"").start();
    let mut raw = gateway.login();
    raw.expect("MKD \\in\\sub", 257);
    raw.stor("in\\sub\\x", b"x");
    assert!(gateway.files().contains(&"in/sub/x".to_owned()), "{:?}", gateway.files());
    assert_eq!(raw.retr("\\in\\sub/x"), b"x");
    raw.expect("CWD in\\sub\\", 250);
    assert_eq!(raw.expect("PWD", 257).text(), "\"/in/sub\" is current directory.");
    assert_eq!(raw.list("NLST ..\\sub\\"), ["../sub/x"]);
    assert_eq!(raw.list("LIST -la ..\\sub\\*").len(), 1);
    raw.refused("STOR in\\", 553);
    raw.expect("RNFR ..\\sub\\x", 350);
    raw.expect("RNTO \\y", 250);
    raw.expect("XMD5 \"\\y\"", 250);
    raw.expect("MLST \\y", 250);
    raw.expect("SIZE \\..\\..\\y", 213);
    // A name with one is listed, and no path leads to it.
    gateway.put("a\\b", b"x");
    raw.expect("CWD \\", 250);
    assert!(raw.list("NLST").contains(&"a\\b".to_owned()));
    raw.expect("SIZE a\\b", 550);
}

#[test]
fn lftp_speaks_other_encodings() {
    for (encoding, name) in [("gbk", "中文乗 é"), ("shift_jis", "表ソ.txt"), ("windows-1251", "яр яя.txt")]
    {
        let gateway = starting(Setup::default(), encoding);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("content"), encoding).expect("a writable folder");
        let (site, content, mirrored) =
            (format!("open -u demo,secret ftp://{}", gateway.ftp), path("content"), path("mirrored"));
        lftp(&format!(
            "set ftp:charset {encoding}; set ftp:use-utf8 false; set file:charset utf-8; {site}; \
             mkdir \"in {name}\"; cd \"in {name}\"; put {content} -o \"{name}\"; \
             mv \"{name}\" \"new {name}\"; cd ..; mirror . {mirrored}; bye"
        ))
        .success();
        let file = format!("in {name}/new {name}");
        assert_eq!(gateway.file(&file), encoding.as_bytes());
        assert_eq!(fs::read(format!("{mirrored}/{file}")).expect("listed"), encoding.as_bytes());
        // It chooses UTF-8 itself where it may.
        lftp(&format!("set file:charset utf-8; {site}; rm \"{file}\"; bye")).success();
        assert!(!gateway.files().contains(&file));
    }
}
