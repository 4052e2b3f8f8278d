//! What devices and old clients say instead of what the RFCs say, and the commands that are not served.

use std::time::Duration;

use crate::support::{Gateway, Place, Setup, lftp, on_each_store};

on_each_store! { crate::support::Setup::default();
    names_stay_as_they_are
}

/// Names that some layer between the client and the bucket could take for something else.
fn names_stay_as_they_are(place: &Place) {
    let names = [
        " lead",
        "trail ",
        " both ",
        "a#b",
        "100%",
        "a%20b",
        "%2e%2e",
        "what?",
        "a*b",
        "é.txt",
        "e\u{301}.txt",
        "🐟.jpg",
        "日本語",
        "a[1].txt",
        "a\\b",
        "-l",
        "~x",
        "a;b",
        "a&b+c=d",
        "a'b",
        "a\"b",
        "<a>",
        "...",
        ".hidden",
        "a: b|c",
    ];
    let mut raw = place.gateway.login();
    for name in names {
        raw.stor(name, name.as_bytes());
        assert_eq!(place.stored(name).as_deref(), Some(name.as_bytes()), "{name:?}");
        assert_eq!(raw.retr(name), name.as_bytes(), "{name:?}");
        assert_eq!(raw.expect(&format!("SIZE {name}"), 213).text(), name.len().to_string());
        raw.expect(&format!("MDTM {name}"), 213);
        let facts = raw.expect(&format!("MLST {name}"), 250);
        assert!(facts.lines[1].ends_with(&format!("; /{name}")), "{facts:?}");
    }
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let mut expected: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(sorted(raw.list("NLST")), expected);
    let facts = raw.list("MLSD");
    let listed = facts.iter().filter_map(|line| Some(line.split_once("; ")?.1.to_owned()));
    assert_eq!(sorted(listed.collect()), expected);
    for name in names {
        let line = raw.list("LIST").into_iter().find(|line| line.ends_with(&format!(" {name}")));
        assert!(line.is_some(), "{name:?} in LIST");
        raw.expect(&format!("MKD in{name}"), 257);
        raw.expect(&format!("CWD in{name}"), 250);
        raw.stor("x", b"x");
        assert_eq!(raw.list("NLST"), ["x"]);
        raw.expect("DELE x", 250);
        raw.expect("CDUP", 250);
        raw.expect(&format!("RMD in{name}"), 250);
        raw.expect(&format!("RNFR {name}"), 350);
        raw.expect(&format!("RNTO new{name}"), 250);
        raw.expect(&format!("DELE new{name}"), 250);
    }
    assert_eq!(place.objects(), [""; 0]);
}

#[test]
fn parameters_in_every_spelling() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for (command, code) in [
        ("TYPE A", 200),
        ("TYPE A N", 200),
        ("TYPE I", 200),
        ("TYPE L 8", 200),
        ("type i", 200),
        ("tYpE a n", 200),
        ("TYPE  I", 200),
        ("MODE S", 200),
        ("mode s", 200),
        ("STRU F", 200),
        ("stru f", 200),
        ("ALLO 1234", 200),
        ("ALLO 1234 R 80", 200),
        ("CLNT a client 1.0", 200),
        ("OPTS UTF8 ON", 200),
        ("opts utf8 on", 200),
        ("Opts Utf8 On", 200),
        ("OPTS UTF8", 200),
        ("OPTS UTF-8 NLST", 200),
        ("OPTS MLST", 200),
        ("OPTS MLST type;size;modify;", 200),
        ("SYST", 215),
        ("NOOP", 200),
        ("NOOP with words", 200),
        ("pwd", 257),
        ("Pwd ", 257),
    ] {
        raw.expect(command, code);
    }
    assert_eq!(raw.expect("SYST", 215).text(), "UNIX Type: L8");
    let features = raw.expect("FEAT", 211);
    for feature in [" UTF8", " REST STREAM", " SIZE", " MDTM", " EPSV", " TVFS"] {
        assert!(features.lines.iter().any(|line| line == feature), "{feature} in {features:?}");
    }
    assert!(features.lines.iter().any(|line| line.starts_with(" MLST type*;size*;modify*;")), "{features:?}");
}

#[test]
fn a_session_without_type_is_binary() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let picture = b"\xff\xd8\n\r\n\r\xff\xf4\x00\n";
    raw.stor("picture", picture);
    assert_eq!(gateway.file("picture"), picture);
    assert_eq!(raw.retr("picture"), picture);
}

#[test]
fn listings_with_the_options_of_ls() {
    let gateway = Gateway::start();
    for file in ["a.csv", "b.csv", "c.txt", "dir/d.csv", "dir/e.txt", "with space/f.csv"] {
        gateway.put(file, b"12345");
    }
    let mut raw = gateway.login();
    for command in ["LIST", "LIST -la", "LIST -a", "LIST -al .", "LIST -l /", "LIST ./", "list -La"] {
        assert_eq!(raw.list(command).len(), 5, "{command}");
    }
    for command in ["LIST dir", "LIST -a dir", "LIST -la -t /dir", "LIST dir/", "LIST -la dir/*"] {
        let lines = raw.list(command);
        assert!(lines.len() == 2 && lines.iter().any(|line| line.ends_with(" d.csv")), "{command} {lines:?}");
    }
    assert_eq!(raw.list("LIST with space").len(), 1);
    let mut names = raw.list("NLST *.csv");
    names.sort();
    assert_eq!(names, ["a.csv", "b.csv"]);
    assert_eq!(raw.list("NLST dir/*.csv"), ["dir/d.csv"]);
    assert_eq!(raw.list("NLST ?.txt"), ["c.txt"]);
    assert_eq!(raw.list("NLST *.nothing"), [""; 0]);
    assert_eq!(raw.list("LIST *.csv").len(), 2);
    raw.expect("CWD dir", 250);
    assert_eq!(raw.list("NLST *.csv"), ["d.csv"]);
    assert_eq!(raw.list("NLST ../*.txt"), ["../c.txt"]);
}

#[test]
fn the_x_verbs_are_the_plain_ones() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    assert_eq!(raw.expect("XMKD sub", 257).text(), "\"/sub\" created");
    raw.expect("XCWD sub", 250);
    assert_eq!(raw.expect("XPWD", 257).text(), "\"/sub\" is current directory.");
    raw.expect("XCUP", 250);
    assert_eq!(raw.expect("XPWD", 257).text(), "\"/\" is current directory.");
    raw.expect("XRMD sub", 250);
    raw.expect("CWD sub", 550);
}

#[test]
fn quotes_in_a_directorys_name_are_doubled() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    assert_eq!(raw.expect("MKD a \"b\" c", 257).text(), "\"/a \"\"b\"\" c\" created");
    raw.expect("CWD a \"b\" c", 250);
    assert_eq!(raw.expect("PWD", 257).text(), "\"/a \"\"b\"\" c\" is current directory.");
}

#[test]
fn telnet_bytes_before_a_command() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    // Interrupt Process and Synch, in line.
    raw.send_bytes(b"\xff\xf4\xff\xf2ABOR\r\n");
    raw.reply_is(226);
    // As BSD clients send it: the IAC of the Synch is urgent, its data mark leads the line.
    raw.send_urgent(b"\xff\xf4\xff");
    raw.send_bytes(b"\xf2ABOR\r\n");
    raw.reply_is(226);
    // With the data mark urgent.
    raw.send_bytes(b"\xff\xf4");
    raw.send_urgent(b"\xff\xf2");
    raw.send_bytes(b"ABOR\r\n");
    raw.reply_is(226);
    // As Python's ftplib sends it: all of the line is urgent.
    raw.send_urgent(b"ABOR\r\n");
    raw.reply_is(226);
    // Option negotiation.
    raw.send_bytes(b"\xff\xfd\x06NOOP\r\n");
    raw.reply_is(200);
    raw.silent_for(Duration::from_millis(100));
}

#[test]
fn line_feeds_alone_end_lines() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.send_bytes(b"USER demo\nPASS secret\nPWD\n");
    for code in [331, 230, 257] {
        raw.reply_is(code);
    }
}

#[test]
fn help_and_status() {
    let gateway = Gateway::start();
    gateway.put("dir/file", b"12345");
    let mut raw = gateway.login();
    let help = raw.expect("HELP", 214);
    assert!(help.lines.iter().any(|line| line.split(' ').any(|word| word == "STOR")), "{help:?}");
    assert!(raw.expect("HELP STOR", 214).text().contains("STOR <path>"));
    raw.expect("help retr", 214);
    raw.expect("HELP FROB", 502);
    let status = raw.expect("STAT", 211);
    assert!(status.lines.iter().any(|line| line.contains("demo")), "{status:?}");
    for path in ["dir", "/dir", "-la dir"] {
        let status = raw.ask(&format!("STAT {path}"));
        assert!(matches!(status.code, 212 | 213), "{status:?}");
        assert!(
            status.lines.iter().any(|line| line.contains(" 5 ") && line.ends_with(" file")),
            "{status:?}"
        );
    }
    raw.expect("CWD dir", 250);
    let status = raw.expect("STAT -l", 213);
    assert!(status.lines.iter().any(|line| line.ends_with(" file")), "{status:?}");
    let status = raw.expect("STAT file", 213);
    assert!(status.lines.iter().any(|line| line.ends_with(" file")), "{status:?}");
    raw.expect("STAT missing", 550);
    raw.expect("PWD", 257);
}

#[test]
fn a_client_uploads_under_another_name_and_renames() {
    let gateway = Gateway::start();
    gateway.put("x", b"old");
    let mut raw = gateway.login();
    raw.stor("x.tmp", b"new");
    raw.expect("SIZE x.tmp", 213);
    raw.expect("MDTM x.tmp", 213);
    raw.expect("RNFR x.tmp", 350);
    raw.expect("RNTO x", 250);
    assert_eq!(gateway.file("x"), b"new");
    assert_eq!(gateway.files(), ["x"]);
}

#[test]
fn what_is_not_served_is_refused_and_the_session_goes_on() {
    let gateway = Setup::default().start();
    gateway.put("x", b"x");
    let mut raw = gateway.login();
    for (command, code) in [
        ("MFCT 20200101000000 x", 504),
        ("MFF modify=20200101000000; x", 504),
        ("AVBL", 550),
        ("AVBL /", 550),
        ("LANG de", 504),
        ("HOST ftp.example.com", 502),
        ("CSID Name=x;", 502),
        ("LPSV", 502),
        ("LPRT 4,4,127,0,0,1,2,4,1", 502),
        ("FROB", 500),
        ("SITE FROB x", 502),
        ("SITE XFER STOR /x", 502),
        ("SITE", 502),
        ("PORT 127,0,0,1,4,1", 502),
        ("EPRT |1|127.0.0.1|1025|", 502),
        ("SMNT x", 502),
        ("AUTH TLS", 502),
        ("AUTH SSL", 502),
        ("PBSZ 0", 503),
        ("PROT P", 503),
        ("CCC", 533),
    ] {
        raw.expect(command, code);
        raw.expect("NOOP", 200);
    }
    assert_eq!(raw.retr("x"), b"x");
    // Before login as well: it is how clients find out.
    let mut raw = gateway.connect();
    raw.expect("AUTH TLS", 502);
    raw.expect("PBSZ 0", 503);
    raw.expect("HOST ftp.example.com", 502);
    raw.logged_in("demo", "secret").expect("PWD", 257);
}

/// Uploaders set modes and times afterwards, and take a refusal of what they count on for a failure of the upload.
#[test]
fn what_clients_do_after_an_upload_does_not_fail_it() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.stor("x", b"x");
    let before = raw.expect("MDTM x", 213);
    for command in ["SITE CHMOD 644 x", "site umask 022", "SITE UMASK", "SITE UTIME 20200101000000 x"] {
        raw.expect(command, 200);
    }
    assert_eq!(raw.expect("MDTM x", 213), before);
    let address = gateway.ftp;
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("y"), b"with a time and a mode").expect("a writable folder");
    lftp(&format!(
        "set ftp:use-site-utime true; set ftp:use-site-chmod true; set ftp:use-mdtm-overloaded true; \
         open -u demo,secret ftp://{address}; mirror -R -p {} /sent; chmod 600 /sent/y; bye",
        folder.path().display()
    ))
    .success();
    assert_eq!(gateway.file("sent/y"), b"with a time and a mode");
}

#[test]
fn site_help_names_what_site_can_do() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let help = raw.expect("SITE HELP", 214);
    for command in ["CHMOD", "UMASK", "UTIME", "IDLE", "MD5"] {
        assert!(help.lines.iter().any(|line| line.starts_with(&format!(" {command}"))), "{help:?}");
    }
    assert!(raw.expect("HELP HASH", 214).text().contains("HASH <path>"));
    assert!(raw.expect("HELP LANG", 214).text().contains("English"));
}

/// Each verb that is known has its help, also one that is not served; SITE has that of all its commands.
#[test]
fn each_verb_has_its_help() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    let help = raw.expect("HELP", 214);
    let served: Vec<String> = help
        .lines
        .iter()
        .filter(|line| line.starts_with(' '))
        .flat_map(|line| line.split_whitespace())
        .map(str::to_owned)
        .collect();
    assert!(served.len() > 50, "{served:?}");
    for verb in &served {
        let help = raw.expect(&format!("HELP {}", verb.to_lowercase()), 214);
        let expected = if verb == "SITE" { "End" } else { &format!("Syntax: {verb}") };
        assert!(help.text().starts_with(expected), "{help:?}");
    }
    for verb in ["AVBL", "LANG", "CSID", "HOST", "LPSV", "LPRT", "SMNT", "MFCT", "MFF", "CCC"] {
        assert!(!served.contains(&verb.to_owned()), "{verb}");
        let help = raw.expect(&format!("HELP {verb}"), 214);
        assert!(help.text().starts_with(&format!("{verb}: ")), "{help:?}");
    }
    assert!(raw.expect("HELP MFMT", 214).text().ends_with("MFMT <YYYYMMDDHHMMSS> <path>"));
    let mut raw = raw.logged_in("demo", "secret");
    let help = |raw: &mut crate::support::Raw, command: &str| raw.expect(command, 214).lines;
    assert_eq!(help(&mut raw, "HELP SITE"), help(&mut raw, "SITE HELP"));
}

#[test]
fn site_idle_shortens_the_time() {
    let gateway = Setup::default().ftp("idle_timeout = \"10m\"").start();
    let mut raw = gateway.login();
    assert!(raw.expect("SITE IDLE", 200).text().contains(" 600 "));
    for wrong in ["0", "601", "x", "-1"] {
        raw.expect(&format!("SITE IDLE {wrong}"), 501);
    }
    assert!(raw.expect("SITE IDLE 1", 200).text().contains(" 1 "));
    raw.reply_is(421);
    raw.ends_in_order();
}

#[test]
fn an_account_is_superfluous() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.expect("ACCT x", 503);
    raw.logged_in("demo", "secret").expect("ACCT x", 202);
}
