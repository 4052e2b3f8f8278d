//! The working directory, making, removing and renaming, and that nobody gets out of their home.

use std::os::unix::fs::symlink;

use crate::support::{Place, Raw, S3Server, Setup, on_each_store};

on_each_store! { crate::support::Setup::default();
    make_enter_and_remove
    what_cannot_be_made_entered_or_removed
    a_directory_outlives_its_files
    the_working_directory_stays_normal
    rename
    what_cannot_be_renamed
    a_directory_is_renamed
    delete
}

fn directory(raw: &mut Raw) -> String {
    let reply = raw.expect("PWD", 257);
    let quoted = reply.text().strip_suffix(" is current directory.").expect("the usual words");
    quoted.trim_matches('"').to_owned()
}

fn make_enter_and_remove(place: &Place) {
    let mut raw = place.gateway.login();
    assert_eq!(raw.expect("MKD a", 257).text(), "\"/a\" created");
    raw.expect("CWD a", 250);
    assert_eq!(raw.expect("MKD b", 257).text(), "\"/a/b\" created");
    assert_eq!(raw.expect("MKD /x/y/z", 257).text(), "\"/x/y/z\" created");
    for path in ["b", "/x", "/x/y", "y/z", "../z", "/x/y/z/"] {
        raw.expect(&format!("CWD {path}"), 250);
        if path == "/x/y" {
            raw.expect("CDUP", 250);
        }
    }
    assert_eq!(directory(&mut raw), "/x/y/z");
    raw.expect("CWD /", 250);
    for path in ["a/b", "a", "x/y/z", "x/y", "x"] {
        raw.expect(&format!("RMD {path}"), 250);
        raw.expect(&format!("CWD {path}"), 550);
    }
    assert_eq!(raw.list("NLST"), [""; 0]);
    assert_eq!(place.objects(), [""; 0]);
}

fn what_cannot_be_made_entered_or_removed(place: &Place) {
    place.put("file", b"x");
    place.put("full/x", b"x");
    let mut raw = place.gateway.login();
    raw.expect("MKD sub", 257);
    for command in [
        "MKD sub",
        "MKD file",
        "MKD full",
        "MKD /",
        "CWD missing",
        "CWD file",
        "CWD full/x",
        "RMD missing",
        "RMD file",
        "RMD full",
        "RMD /",
        "RMD .",
    ] {
        raw.expect(command, 550);
    }
    assert_eq!(directory(&mut raw), "/");
    assert_eq!(raw.retr("full/x"), b"x");
    raw.expect("MKD .keep", 550);
}

fn a_directory_outlives_its_files(place: &Place) {
    let mut raw = place.gateway.login();
    // Nobody has made it but the file in it.
    raw.stor("sub/x", b"x");
    raw.expect("CWD sub", 250);
    raw.expect("RMD /sub", 550);
    raw.expect("DELE x", 250);
    assert_eq!(raw.list("NLST"), [""; 0]);
    raw.expect("CWD /sub", 250);
    raw.expect("CDUP", 250);
    assert_eq!(raw.list("NLST"), ["sub"]);
    raw.expect("RMD sub", 250);
    assert_eq!(place.objects(), [""; 0]);
}

fn the_working_directory_stays_normal(place: &Place) {
    place.put("d1/d2/x", b"x");
    let mut raw = place.gateway.login();
    for (command, expected) in [
        ("CWD ..", "/"),
        ("CDUP", "/"),
        ("CWD ../../..", "/"),
        ("CWD d1/d2", "/d1/d2"),
        ("CWD ..", "/d1"),
        ("CDUP", "/"),
        ("CWD /d1//d2/./", "/d1/d2"),
        ("CWD ../d2/../../d1", "/d1"),
        ("CWD .", "/d1"),
        ("XCUP", "/"),
        ("CWD /../d1/../../d1/d2", "/d1/d2"),
    ] {
        raw.expect(command, 250);
        assert_eq!(directory(&mut raw), expected, "{command}");
    }
    assert_eq!(raw.retr("x"), b"x");
    assert_eq!(raw.retr("../d2/x"), b"x");
    assert_eq!(raw.list("NLST .."), ["../d2"]);
    assert_eq!(raw.list("NLST /../.."), ["/../../d1"]);
}

fn rename(place: &Place) {
    place.put("taken", b"old");
    let mut raw = place.gateway.login();
    raw.stor("x", b"content");
    raw.expect("MKD sub", 257);
    for (from, to) in [("x", "y"), ("y", "sub/x"), ("/sub/x", "sub/../z"), ("z", "taken"), ("taken", "taken")]
    {
        raw.expect(&format!("RNFR {from}"), 350);
        raw.expect(&format!("RNTO {to}"), 250);
    }
    assert_eq!(place.stored("taken").expect("stored"), b"content");
    raw.expect("SIZE x", 550);
    assert_eq!(raw.list("NLST sub"), [""; 0]);
}

fn what_cannot_be_renamed(place: &Place) {
    place.put("x", b"x");
    let mut raw = place.gateway.login();
    raw.expect("MKD sub", 257);
    raw.expect("RNTO y", 503);
    raw.expect("RNFR missing", 550);
    raw.expect("RNTO y", 503);
    raw.expect("RNFR x", 350);
    raw.expect("RNTO y", 250);
    raw.expect("RNTO z", 503);
    raw.expect("RNFR y", 350);
    let reply = raw.ask("RNTO sub");
    assert!(matches!(reply.code, 550 | 553), "{reply:?}");
    assert_eq!(place.stored("y").expect("stored"), b"x");
}

fn delete(place: &Place) {
    place.put("sub/x", b"x");
    let mut raw = place.gateway.login();
    for command in ["DELE missing", "DELE sub", "DELE /", "DELE sub/missing"] {
        raw.expect(command, 550);
    }
    raw.expect("DELE sub/x", 250);
    raw.expect("DELE sub/x", 550);
    raw.expect("RMD sub", 250);
    assert_eq!(place.objects(), [""; 0]);
}

const AT_HOME: &str = "[[users]]\nname = \"demo\"\npassword = \"secret\"\nhome = \"homes/demo\"\n";

fn cannot_get_out(raw: &mut Raw) {
    for path in ["../outside", "../../outside", "/../../outside", "/homes/other/secret", "../other/secret"] {
        raw.expect(&format!("SIZE {path}"), 550);
        raw.expect(&format!("DELE {path}"), 550);
        raw.refused(&format!("RETR {path}"), 550);
        raw.expect(&format!("RNFR {path}"), 550);
    }
    raw.expect("CWD ../..", 250);
    assert_eq!(directory(raw), "/");
    raw.expect("CWD ../other", 550);
    raw.expect("CWD /homes", 550);
    for (command, name) in [("NLST ..", "../mine"), ("NLST /", "/mine"), ("NLST ../../", "../../mine")] {
        assert_eq!(raw.list(command), [name], "{command}");
    }
    raw.stor("../../../outside", b"inside");
    raw.expect("RNFR outside", 350);
    raw.expect("RNTO ../../inside", 250);
    raw.expect("MKD ../made", 257);
}

#[test]
fn a_home_is_all_that_its_user_sees() {
    let gateway = Setup::default().users(AT_HOME).start();
    for (file, content) in [("outside", "o"), ("homes/other/secret", "s"), ("homes/demo/mine", "m")] {
        gateway.put(file, content.as_bytes());
    }
    cannot_get_out(&mut gateway.login());
    assert_eq!(
        gateway.files(),
        ["homes/demo/inside", "homes/demo/made/.keep", "homes/demo/mine", "homes/other/secret", "outside"]
    );
    assert_eq!(gateway.file("outside"), b"o");
}

#[test]
fn a_home_in_a_bucket_is_all_that_its_user_sees() {
    let server = S3Server::start();
    let gateway = Setup::default().users(AT_HOME).s3(&server).start();
    for (file, content) in [("outside", "o"), ("homes/other/secret", "s"), ("homes/demo/mine", "m")] {
        let file = server.bucket().join(file);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        std::fs::write(file, content).expect("a writable folder");
    }
    cannot_get_out(&mut gateway.login());
    assert_eq!(std::fs::read(server.bucket().join("outside")).expect("still there"), b"o");
    assert_eq!(std::fs::read(server.bucket().join("homes/demo/inside")).expect("stored"), b"inside");
}

#[test]
fn symbolic_links_lead_nowhere_outside() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(outside.path().join("secret"), b"s").expect("a writable folder");
    let gateway = Setup::default().users(AT_HOME).start();
    gateway.put("homes/demo/mine", b"m");
    gateway.put("homes/other/secret", b"s");
    let home = gateway.data().join("homes/demo");
    for (target, link) in [
        (outside.path().to_owned(), "folder"),
        (outside.path().join("secret"), "file"),
        (outside.path().join("new"), "dangling"),
        ("../other".into(), "neighbour"),
        ("../other/secret".into(), "neighbours"),
    ] {
        symlink(target, home.join(link)).expect("a writable folder");
    }
    let mut raw = gateway.login();
    for path in ["folder/secret", "file", "neighbour/secret", "neighbours", "dangling"] {
        raw.refused(&format!("RETR {path}"), 550);
        raw.expect(&format!("SIZE {path}"), 550);
    }
    for path in ["folder/new", "file", "dangling", "neighbour/new", "neighbours"] {
        raw.refused(&format!("STOR {path}"), 553);
    }
    for path in ["folder", "neighbour"] {
        raw.expect(&format!("CWD {path}"), 550);
        raw.refused(&format!("NLST {path}"), 550);
    }
    assert_eq!(raw.retr("mine"), b"m");
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 1);
    assert_eq!(gateway.file("homes/other/secret"), b"s");
}

#[test]
fn a_home_needs_not_exist() {
    let gateway = Setup::default().users(AT_HOME).start();
    let mut raw = gateway.login();
    assert_eq!(raw.list("MLSD"), [""; 0]);
    raw.expect("CWD /", 250);
    raw.stor("x", b"x");
    assert_eq!(gateway.file("homes/demo/x"), b"x");
}

fn a_directory_is_renamed(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("sub/x", b"x");
    raw.stor("sub/deep/y", b"y");
    raw.stor("file", b"file");
    raw.expect("MKD sub/made", 257);
    raw.expect("MKD taken", 257);
    for (to, code) in [("sub/inner", 553), ("sub/deep", 553), ("taken", 553), ("file", 553), ("sub", 250)] {
        raw.expect("RNFR sub", 350);
        raw.expect(&format!("RNTO {to}"), code);
    }
    raw.expect("RNFR missing", 550);
    raw.expect("CWD taken", 250);
    raw.expect("RNFR ../sub", 350);
    raw.expect("RNTO moved", 250);
    raw.expect("CWD /sub", 550);
    raw.expect("CWD moved", 250);
    let mut names = raw.list("NLST");
    names.sort();
    assert_eq!(names, ["deep", "made", "x"]);
    assert_eq!(raw.retr("deep/y"), b"y");
    for command in ["DELE deep/y", "RMD deep", "RMD made", "DELE x", "CWD /", "RMD taken/moved", "RMD taken"]
    {
        raw.expect(command, 250);
    }
    raw.expect("DELE file", 250);
    assert_eq!(place.objects(), [""; 0]);
}
