//! Checksums: HASH, OPTS HASH, RANG, XCRC and its like, SITE MD5 and its like.

use crate::support::{Place, Setup, bytes, curl, on_each_store_and_in_memory, python};

/// Of `abc`.
const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
const CRC32: &str = "352441c2";

const USERS: &str = "[[users]]\nname = \"demo\"\npassword = \"secret\"\n\
                     [[users]]\nname = \"in\"\npassword = \"secret\"\npermissions = [\"list\", \"write\"]\n";

on_each_store_and_in_memory! { crate::support::Setup::default().users(super::USERS);
    each_algorithm_in_each_spelling
    of_parts_of_a_file
    what_cannot_be_read_has_no_checksum
    of_a_large_file
}

fn each_algorithm_in_each_spelling(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("a b", b"abc");
    assert_eq!(raw.expect("OPTS HASH", 200).text(), "SHA-256");
    for (name, sum) in [("SHA-1", SHA1), ("md5", MD5), ("CRC32", CRC32), ("SHA256", SHA256)] {
        let selected = raw.expect(&format!("OPTS HASH {name}"), 200).text().to_owned();
        assert_eq!(raw.expect("HASH a b", 213).text(), format!("{selected} 0-2 {sum} /a b"));
        let features = raw.expect("FEAT", 211);
        let line = features.lines.iter().find(|line| line.starts_with(" HASH ")).expect("HASH is a feature");
        assert!(line.contains(&format!("{selected}*")) && line.matches('*').count() == 1, "{line}");
    }
    raw.expect("OPTS HASH SHA-3", 504);
    assert_eq!(raw.expect("OPTS HASH", 200).text(), "SHA-256");
    for (command, sum) in [
        ("XCRC a b", CRC32),
        ("XCRC \"a b\"", CRC32),
        ("xmd5 /a b", MD5),
        ("XSHA a b", SHA1),
        ("XSHA1 a b", SHA1),
        ("XSHA256 a b", SHA256),
        ("SITE MD5 a b", MD5),
        ("SITE SHA256 \"a b\"", SHA256),
        ("site crc32 a b", CRC32),
    ] {
        assert_eq!(raw.expect(command, 250).text(), sum, "{command}");
    }
    assert_eq!(raw.expect("XSHA512 a b", 250).text().len(), 128);
}

fn of_parts_of_a_file(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("x", b"-abc-");
    raw.stor("empty", b"");
    raw.expect("RANG 1 3", 350);
    assert_eq!(raw.expect("HASH x", 213).text(), format!("SHA-256 1-3 {SHA256} /x"));
    assert!(raw.expect("HASH x", 213).text().starts_with("SHA-256 0-4 "), "RANG holds once");
    raw.expect("RANG 1 3", 350);
    raw.expect("RANG 1 0", 350);
    assert!(raw.expect("HASH x", 213).text().starts_with("SHA-256 0-4 "), "taken back");
    assert!(raw.expect("HASH empty", 213).text().starts_with("SHA-256 0-0 e3b0c442"));
    assert_eq!(raw.expect("XMD5 \"x\" 1 4", 250).text(), MD5);
    assert_eq!(raw.expect("XCRC \"x\" 2 2", 250).text(), "00000000");
    for (command, code) in [
        ("RANG 3 1", 501),
        ("RANG 3", 501),
        ("RANG", 501),
        ("XCRC \"x\" 4 1", 501),
        ("XCRC \"x\" 6", 554),
        ("XCRC", 501),
        ("HASH", 501),
        ("SITE MD5", 501),
    ] {
        raw.expect(command, code);
    }
    // Other bytes than the client believes are not sent.
    raw.expect("RANG 1 3", 350);
    let _data = raw.pasv();
    raw.expect("RETR x", 504);
    assert_eq!(raw.retr("x"), b"-abc-");
}

fn what_cannot_be_read_has_no_checksum(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("sub/x", b"abc");
    for command in ["HASH", "XCRC", "SITE MD5"] {
        for path in ["missing", "sub", "/", "sub/.keep"] {
            raw.expect(&format!("{command} {path}"), 550);
        }
        raw.expect(&format!("{command} sub/x"), if command == "HASH" { 213 } else { 250 });
    }
    let mut raw = place.gateway.connect();
    raw.expect("HASH sub/x", 530);
    let mut raw = raw.logged_in("in", "secret");
    for command in ["HASH sub/x", "XMD5 sub/x", "SITE SHA1 sub/x"] {
        raw.expect(command, 550);
    }
}

fn of_a_large_file(place: &Place) {
    let content = bytes(20 << 20, 3);
    let mut raw = place.gateway.login();
    raw.stor("large", &content);
    let expected = python(
        "import hashlib, sys\nprint(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())",
        &[written(&content).path().to_str().expect("plain")],
    )
    .success();
    let text = raw.expect("HASH large", 213).text().to_owned();
    assert_eq!(text, format!("SHA-256 0-{} {} /large", content.len() - 1, expected.trim()));
}

fn written(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), content).expect("a writable folder");
    file
}

#[test]
fn curl_asks_for_them() {
    let place = Place::local(Setup::default());
    place.put("x", b"abc");
    // curl fails at the first command that is refused.
    let commands = ["-Q", "OPTS HASH MD5", "-Q", "HASH x", "-Q", "XSHA256 x", "-Q", "SITE CHMOD 644 x"];
    let (user, url) = (["-u", "demo:secret"], format!("ftp://{}/x", place.gateway.ftp));
    assert_eq!(curl(commands.iter().chain(&user).chain(&[url.as_str()])).success(), "abc");
}

#[test]
fn python_asks_for_them() {
    let place = Place::local(Setup::default());
    place.put("x", b"abc");
    let address = place.gateway.ftp;
    let script = "import ftplib, sys\nftp = ftplib.FTP()\nftp.connect(sys.argv[1], int(sys.argv[2]))\n\
                  ftp.login('demo', 'secret')\nprint(ftp.sendcmd('HASH x'))\nprint(ftp.sendcmd('SITE CHMOD 644 x'))";
    let said = python(script, &[&address.ip().to_string(), &address.port().to_string()]).success();
    assert!(said.contains(&format!("213 SHA-256 0-2 {SHA256} /x")), "{said}");
}
