//! Rules for parts of a user's tree: permissions, names, drop boxes, what is hidden.

use crate::support::{Gateway, Place, Raw, Setup, on_each_store};

on_each_store! { crate::support::Setup::default().users(crate::folders::RULED).store("resume_window = \"1h\"");
    the_longest_path_has_the_say
    names_are_allowed_and_denied
    what_is_hidden_is_not_there
    a_drop_box_takes_files_and_tells_nothing
    what_broke_in_a_drop_box_goes_on
    a_taken_name_becomes_another
}

const RULED: &str = r#"
[[users]]
name = "demo"
password = "secret"
[[users]]
name = "ruled"
password = "secret"
hide = ["*.tmp", "@eaDir"]
[[users.folders]]
path = "/in"
permissions = ["list", "write"]
[[users.folders]]
path = "/in/own"
permissions = ["list", "read", "write", "overwrite", "delete", "rename", "mkdir"]
[[users.folders]]
path = "/csv"
allow_names = ["*.csv", "report-*"]
deny_names = ["*.exe", ".*"]
[[users]]
name = "dropper"
password = "secret"
drop_box = true
[[users.folders]]
path = "/renaming"
permissions = ["write", "rename"]
[[users.folders]]
path = "/unique"
unique_names = true
[[users.folders]]
path = "/open"
drop_box = false
permissions = ["list", "read", "write", "rename"]
"#;

fn ruled(place: &Place) -> Raw {
    place.gateway.connect().logged_in("ruled", "secret")
}

fn dropper(gateway: &Gateway) -> Raw {
    gateway.connect().logged_in("dropper", "secret")
}

fn perm(raw: &mut Raw, path: &str) -> String {
    raw.expect("OPTS MLST perm;", 200);
    let line = raw.expect(&format!("MLST {path}"), 250).lines[1].clone();
    line.trim_start().split_once(' ').expect("a space before the name").0.to_owned()
}

fn the_longest_path_has_the_say(place: &Place) {
    for path in ["f", "in/f", "in/own/f", "inn/f", "dir/f", "in/sub/f"] {
        place.put(path, b"x");
    }
    let mut raw = ruled(place);
    for (path, read, delete) in
        [("f", true, true), ("in/f", false, false), ("in/own/f", true, true), ("inn/f", true, true)]
    {
        let retr = raw.pasv();
        let code = raw.ask(&format!("RETR {path}")).code;
        if code == 150 {
            drop(retr);
            raw.reply();
        }
        assert_eq!(code == 150, read, "{path}");
        raw.expect(&format!("DELE {path}"), if delete { 250 } else { 550 });
        if delete {
            raw.stor(path, b"x");
        }
    }
    raw.stor("in/new", b"x");
    raw.refused("STOR in/new", 553);
    raw.refused("APPE in/new", 550);
    raw.expect("MKD in/made", 550);
    raw.expect("RMD in/own", 550);
    // Both ends of a rename are asked.
    for (from, to, code) in [
        ("f", "in/g", 550),
        ("in/f", "g", 550),
        ("f", "in/own/g", 250),
        ("in/own/g", "f", 250),
        // What is below a directory stays under its rules.
        ("dir", "in/own/dir", 553),
        ("in/own", "own", 553),
        ("dir", "dir2", 250),
        ("dir2", "in", 550),
        ("in", "in2", 550),
    ] {
        raw.expect(&format!("RNFR {from}"), 350);
        raw.expect(&format!("RNTO {to}"), code);
    }
    // A directory that holds one with other permissions.
    place.put("csv/a", b"x");
    raw.expect("RNFR csv", 350);
    raw.expect("RNTO csv2", 553);
    for (path, facts) in [
        ("/", "perm=celmp;"),
        ("/in", "perm=cel;"),
        ("/in/f", "perm=;"),
        ("/in/own", "perm=celmp;"),
        ("/in/own/f", "perm=dfrw;"),
        ("/dir2", "perm=cdeflmp;"),
    ] {
        assert_eq!(perm(&mut raw, path), facts, "{path}");
    }
    let mut listed = raw.list("MLSD /");
    listed.sort();
    let expected =
        ["perm=adfrw; f", "perm=cdeflmp; dir2", "perm=cdeflmp; inn", "perm=cdelmp; csv", "perm=cel; in"];
    assert_eq!(listed, expected);
}

fn names_are_allowed_and_denied(place: &Place) {
    place.put("csv/there.exe", b"x");
    place.put("csv/.git/x", b"x");
    let mut raw = ruled(place);
    for name in ["a.csv", "A.CSV", "report-1"] {
        raw.stor(&format!("csv/{name}"), b"x");
    }
    raw.stor("a.exe", b"x");
    for (name, why) in [
        ("a.exe", "it matches `*.exe` of deny_names"),
        ("report-1.EXE", "it matches `*.exe` of deny_names"),
        (".a.csv", "it matches `.*` of deny_names"),
        (".git/a.csv", "it matches `.*` of deny_names"),
        ("a.txt", "it matches nothing of allow_names"),
        ("x.csv.txt", "it matches nothing of allow_names"),
    ] {
        let expected = format!("File name not allowed: {why}");
        for command in ["STOR", "APPE"] {
            let reply = raw.refused(&format!("{command} csv/{name}"), 553);
            assert_eq!(reply.text(), expected, "{command} {name}");
        }
        for from in ["a.exe", "csv/a.csv"] {
            raw.expect(&format!("RNFR {from}"), 350);
            assert_eq!(raw.expect(&format!("RNTO csv/{name}"), 553).text(), expected, "RNTO {name}");
        }
    }
    raw.expect("CWD csv", 250);
    assert_eq!(raw.refused("STOU", 553).text(), "File name not allowed: it matches nothing of allow_names");
    raw.expect("MKD .hidden", 550);
    // Directories need no extension, and what is there can be read and removed.
    raw.expect("MKD dir", 257);
    raw.expect("RNFR dir", 350);
    raw.expect("RNTO other", 250);
    assert_eq!(raw.retr("there.exe"), b"x");
    raw.expect("DELE there.exe", 250);
    raw.expect("RNFR a.csv", 350);
    raw.expect("RNTO b.csv", 250);
}

fn what_is_hidden_is_not_there(place: &Place) {
    for path in ["a.tmp", "A.TMP", "@eaDir/x", "sub/b.tmp", "sub/c", "csv/d.tmp", "x"] {
        place.put(path, b"x");
    }
    let mut raw = ruled(place);
    let mut names = raw.list("NLST");
    names.sort();
    assert_eq!(names, ["csv", "sub", "x"]);
    assert_eq!(raw.list("LIST").len(), 3);
    assert_eq!(raw.list("MLSD sub").len(), 1);
    assert_eq!(raw.list("NLST *.tmp"), [""; 0]);
    assert!(!raw.expect("STAT /", 213).lines.concat().contains("tmp"));
    for path in ["a.tmp", "A.TMP", "@eaDir", "@eaDir/x", "sub/b.tmp", "csv/d.tmp", "missing.tmp", "missing"] {
        for command in ["SIZE", "MDTM", "MLST", "DELE", "RNFR", "CWD", "RMD", "XCRC", "MDTM 20260101000000"] {
            let code = raw.ask(&format!("{command} {path}")).code;
            let superfluous = code == 202 && path == "missing";
            assert!(code == 550 || superfluous, "{command} {path}: {code}");
        }
        raw.refused(&format!("RETR {path}"), 550);
        raw.refused(&format!("LIST {path}"), 550);
        if path != "missing" {
            raw.refused(&format!("STOR {path}"), 553);
            raw.refused(&format!("APPE {path}"), 553);
            raw.expect(&format!("MKD {path}"), 550);
            raw.expect("RNFR x", 350);
            raw.expect(&format!("RNTO {path}"), 553);
        }
    }
    assert_eq!(place.stored("a.tmp").as_deref(), Some(&b"x"[..]));
}

fn a_drop_box_takes_files_and_tells_nothing(place: &Place) {
    place.put("there", b"secret");
    place.put("sub/there", b"secret");
    place.put("renaming/there", b"secret");
    let gateway = &place.gateway;
    let mut raw = dropper(gateway);
    raw.stor("mine", b"mine");
    raw.stor("sub/mine", b"mine");
    raw.expect("MKD made", 257);
    for directory in ["sub", "made", "/"] {
        raw.expect(&format!("CWD {directory}"), 250);
        raw.expect("CWD /", 250);
        raw.expect(&format!("MLST {directory}"), 250);
        for command in ["LIST", "NLST", "MLSD"] {
            raw.refused(&format!("{command} {directory}"), 550);
        }
        raw.expect(&format!("STAT {directory}"), 550);
    }
    // What is there and what is not have the same replies.
    for command in
        ["SIZE", "MDTM", "MLST", "RNFR", "DELE", "RMD", "CWD", "HASH", "XCRC", "STAT", "MFMT 20260101000000"]
    {
        let replies: Vec<(u16, String)> = ["there", "mine", "missing"]
            .iter()
            .map(|name| {
                let reply = raw.ask(&format!("{command} {name}"));
                (reply.code, reply.text().replace(name, ""))
            })
            .collect();
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{command}: {replies:?}");
        assert!(matches!(replies[0].0, 550 | 202), "{command}: {replies:?}");
    }
    for command in ["RETR", "LIST", "NLST", "APPE"] {
        for name in ["there", "mine", "missing", "sub/there"] {
            raw.refused(&format!("{command} {name}"), 550);
        }
    }
    raw.refused("STOR there", 553);
    raw.expect("REST 1", 350);
    raw.refused("STOR there", 550);
    // Who may rename can rename, and can read nothing by it.
    raw.stor("renaming/x.part", b"x");
    raw.expect("RNFR renaming/x.part", 350);
    raw.expect("RNTO renaming/x", 250);
    raw.expect("RNFR renaming/x", 350);
    raw.expect("RNTO renaming/there", 553);
    raw.expect("RNFR renaming/there", 350);
    raw.expect("RNTO open/there", 550);
    raw.expect("SIZE renaming/x", 550);
    raw.refused("LIST renaming", 550);
    assert_eq!(place.stored("there").as_deref(), Some(&b"secret"[..]));
    assert_eq!(place.stored("renaming/there").as_deref(), Some(&b"secret"[..]));
    // What is open in it is open.
    raw.stor("open/x", b"x");
    assert_eq!(raw.list("NLST open"), ["open/x"]);
    assert_eq!(raw.retr("open/x"), b"x");
}

/// What arrived of one's own upload may be known, also by those who know nothing of what is there.
fn what_broke_in_a_drop_box_goes_on(place: &Place) {
    for (name, command) in [("a", "STOR"), ("b", "APPE")] {
        let mut raw = dropper(&place.gateway);
        let mut data = raw.begin(&format!("STOR {name}"));
        std::io::Write::write_all(&mut data, b"0123").expect("the gateway reads");
        crate::support::eventually("the bytes' arrival", std::time::Duration::from_secs(20), || {
            raw.ask("STAT").lines.iter().any(|line| line.contains("4 bytes"))
        });
        crate::support::reset(&data);
        drop(data);
        raw.reply_is(426);
        let mut raw = dropper(&place.gateway);
        assert_eq!(raw.expect(&format!("SIZE {name}"), 213).text(), "4");
        if command == "STOR" {
            raw.expect("REST 4", 350);
        }
        let reply = raw.upload(&format!("{command} {name}"), b"4567");
        assert_eq!(reply.code, 226, "{reply:?}");
        assert_eq!(place.stored(name).as_deref(), Some(&b"01234567"[..]));
        raw.expect(&format!("SIZE {name}"), 550);
        raw.refused(&format!("APPE {name}"), 550);
    }
}

fn a_taken_name_becomes_another(place: &Place) {
    place.put("unique/a.csv", b"first");
    let mut raw = dropper(&place.gateway);
    for (number, content) in [(1, b"second"), (2, b"third.")] {
        let reply = raw.upload("STOR unique/a.csv", content);
        assert_eq!((reply.code, reply.text()), (226, &*format!("Transfer complete, FILE: a.{number}.csv")));
        assert_eq!(place.stored(&format!("unique/a.{number}.csv")).as_deref(), Some(&content[..]));
    }
    assert_eq!(raw.upload("STOR unique/b", b"b").text(), "Transfer complete");
    assert_eq!(place.stored("unique/a.csv").as_deref(), Some(&b"first"[..]));
    // After many, one that nobody has.
    for _ in 0..7 {
        raw.stor("unique/a.csv", b"x");
    }
    let reply = raw.upload("STOR unique/a.csv", b"last");
    let name = reply.text().strip_prefix("Transfer complete, FILE: ").expect("a made name").to_owned();
    assert!(name.len() > "a.10.csv".len() && place.stored(&format!("unique/{name}")).is_some(), "{name}");
    place.gateway.wait_for_log(&format!("path=/unique/{name}"));
}

/// Two that are sent at once under one name: both are stored, or one is told to try again.
#[test]
fn one_name_at_the_same_time_loses_nothing() {
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\nunique_names = true\n";
    let gateway = Setup::default().users(users).start();
    let (mut one, mut other) = (gateway.login(), gateway.login());
    let first = one.begin("STOR a");
    let second = other.begin("STOR a");
    drop(first);
    one.reply_is(226);
    drop(second);
    other.reply_is(450);
    let reply = other.upload("STOR a", b"again");
    assert_eq!(reply.text(), "Transfer complete, FILE: a.1");
    assert_eq!((gateway.file("a"), gateway.file("a.1")), (Vec::new(), b"again".to_vec()));
}

/// A device that goes on with a broken upload asks for the size of its name, which can be that of another file.
#[test]
fn nothing_goes_into_a_file_whose_name_is_taken() {
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\nunique_names = true\n\
                 deny_names = [\"*.1.*\", \"*.2.*\"]\n";
    let gateway = Setup::default().users(users).start();
    let mut raw = gateway.login();
    raw.stor("a.csv", b"complete");
    raw.expect("REST 4", 350);
    raw.refused("STOR a.csv", 550);
    assert_eq!(gateway.file("a.csv"), b"complete");
    // What is made up is a name like any other.
    let reply = raw.upload("STOR a.csv", b"second");
    assert_eq!(reply.text(), "Transfer complete, FILE: a.3.csv");
    assert_eq!((gateway.file("a.csv"), gateway.file("a.3.csv")), (b"complete".to_vec(), b"second".to_vec()));
}
