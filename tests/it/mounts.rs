//! Folders of several stores in one tree: what is where, what stays, and that nothing leads from one to another.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Gateway, Raw, Setup};

/// A gateway with a second store in a folder of its own.
struct Two {
    gateway: Gateway,
    cold: TempDir,
}

impl Two {
    fn start(user: &str) -> Self {
        let cold = tempfile::tempdir().expect("a temporary folder");
        let users = format!(
            "[stores.cold]\nurl = \"file://{}\"\n[[users]]\nname = \"demo\"\npassword = \"secret\"\n{user}",
            cold.path().display()
        );
        Self { gateway: Setup::default().users(&users).start(), cold }
    }

    fn put(&self, path: &str, content: &[u8]) {
        let file = self.cold.path().join(path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        std::fs::write(file, content).expect("a writable folder");
    }

    fn cold(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.cold.path().join(path)).ok()
    }
}

const BESIDE: &str = "store = \"main\"\nhome = \"acme\"\n\
                      [[users.mounts]]\npath = \"/archive\"\nstore = \"cold\"\nhome = \"old/acme\"\n\
                      [[users.mounts]]\npath = \"/pub/deep/shared\"\nstore = \"cold\"\nhome = \"shared\"\n\
                      permissions = [\"list\", \"read\"]\n";
const ALONE: &str = "[[users.mounts]]\npath = \"/archive\"\nstore = \"cold\"\nhome = \"old/acme\"\n\
                     [[users.mounts]]\npath = \"/pub/in\"\nstore = \"main\"\nhome = \"in\"\n";

fn names(raw: &mut Raw, directory: &str) -> Vec<String> {
    let mut names = raw.list(&format!("NLST {directory}"));
    names.sort();
    names
}

#[test]
fn several_stores_are_one_tree() {
    let two = Two::start(BESIDE);
    two.put("old/acme/a", b"archived");
    two.put("shared/s", b"shared");
    two.put("elsewhere", b"x");
    let mut raw = two.gateway.login();
    // Those above a mount need not be in the store that holds them.
    assert_eq!(names(&mut raw, "/"), ["/archive", "/pub"]);
    assert_eq!(names(&mut raw, "/pub"), ["/pub/deep"]);
    assert_eq!(names(&mut raw, "/pub/deep"), ["/pub/deep/shared"]);
    assert_eq!(names(&mut raw, "/pub/deep/shared"), ["/pub/deep/shared/s"]);
    for directory in ["/archive", "/pub", "/pub/deep", "/pub/deep/shared"] {
        raw.expect(&format!("CWD {directory}"), 250);
        let described = raw.expect("MLST", 250);
        assert!(described.lines[1].contains("type=dir;"), "{described:?}");
        raw.expect("STAT .", 213);
    }
    raw.expect("CDUP", 250);
    assert_eq!(raw.retr("shared/s"), b"shared");
    assert_eq!(raw.retr("/archive/a"), b"archived");
    // What is written goes where the longest path says, and into the home around it.
    raw.stor("/archive/new", b"1");
    raw.stor("/pub/deep/own", b"2");
    raw.expect("MKD /archive/made", 257);
    raw.expect("RNFR /archive/new", 350);
    raw.expect("RNTO /archive/made/renamed", 250);
    assert_eq!(two.cold("old/acme/made/renamed").as_deref(), Some(&b"1"[..]));
    assert_eq!(two.gateway.file("acme/pub/deep/own"), b"2");
    assert_eq!(names(&mut raw, "/pub/deep"), ["/pub/deep/own", "/pub/deep/shared"]);
    raw.expect("DELE /archive/made/renamed", 250);
    raw.expect("RMD /archive/made", 250);
    // Metrics name the store of the path.
    for (store, bytes) in [("main", 1.0), ("cold", 1.0)] {
        let sample = format!("bucketport_transfer_bytes_total{{direction=\"upload\",store=\"{store}\"}}");
        assert!((two.gateway.metric(&sample) - bytes).abs() < 0.5, "{store}");
    }
    let log = two.gateway.log();
    let archived =
        log.lines().find(|line| line.contains("path=/archive/new") && line.contains("transfer ended"));
    assert!(
        archived.is_some_and(|line| line.contains("store=\"cold\"") || line.contains("store=cold")),
        "{log}"
    );
}

#[test]
fn a_mount_hides_what_its_store_has_and_stays() {
    let two = Two::start(BESIDE);
    two.put("old/acme/a", b"archived");
    two.put("shared/s", b"shared");
    for file in ["archive/a", "archive/hidden", "pub/deep/shared/hidden", "x"] {
        two.gateway.put(&format!("acme/{file}"), b"outer");
    }
    let mut raw = two.gateway.login();
    assert_eq!(names(&mut raw, "/"), ["/archive", "/pub", "/x"]);
    assert_eq!(raw.list("MLSD /").iter().filter(|line| line.ends_with(" archive")).count(), 1);
    assert_eq!(raw.retr("/archive/a"), b"archived");
    raw.refused("RETR /archive/hidden", 550);
    raw.expect("SIZE /pub/deep/shared/hidden", 550);
    // Neither a mount nor what is above one can be removed, renamed, or written over.
    for directory in ["/archive", "/pub", "/pub/deep", "/pub/deep/shared", "/pub/../archive/"] {
        for command in ["RMD", "DELE", "MKD"] {
            let reply = raw.expect(&format!("{command} {directory}"), 550);
            let denied = reply.text() == "Permission denied";
            assert!(denied || reply.text() == "Not possible with a mounted folder", "{reply:?}");
        }
        raw.refused(&format!("RETR {directory}"), 550);
        let file = directory.trim_end_matches('/');
        if file != "/pub/deep/shared" {
            for command in ["STOR", "APPE"] {
                raw.refused(&format!("{command} {file}"), 553);
            }
            raw.expect("RNFR /x", 350);
            raw.expect(&format!("RNTO {file}"), 553);
            raw.expect(&format!("RNFR {directory}"), 350);
            let reply = raw.expect("RNTO /moved", 553);
            assert_eq!(reply.text(), "Not possible with a mounted folder");
        }
    }
    assert_eq!(two.gateway.file("acme/archive/hidden"), b"outer");
    assert_eq!(two.cold("old/acme/a").as_deref(), Some(&b"archived"[..]));
}

#[test]
fn without_a_home_the_root_holds_the_mounts_alone() {
    let two = Two::start(ALONE);
    two.put("old/acme/a", b"archived");
    two.put("secret", b"s");
    two.gateway.put("secret", b"s");
    let mut raw = two.gateway.login();
    assert_eq!(names(&mut raw, "/"), ["/archive", "/pub"]);
    assert_eq!(names(&mut raw, "/pub"), ["/pub/in"]);
    assert_eq!(names(&mut raw, "/*"), ["/archive", "/pub"]);
    assert_eq!(names(&mut raw, "/pub/in"), [""; 0]);
    assert_eq!(raw.list("LIST").len(), 2);
    for path in ["/secret", "/pub/secret", "secret/x"] {
        for command in ["SIZE", "MDTM", "MLST", "RNFR", "CWD", "STAT"] {
            raw.expect(&format!("{command} {path}"), 550);
        }
        raw.refused(&format!("RETR {path}"), 550);
        raw.refused(&format!("LIST {path}"), 550);
        for command in ["STOR", "APPE"] {
            let reply = raw.refused(&format!("{command} {path}"), 553);
            assert_eq!(reply.text(), "There are only mounted folders here, nothing else can be");
        }
        raw.expect(&format!("MKD {path}"), 550);
        raw.expect(&format!("DELE {path}"), 550);
        raw.expect(&format!("RMD {path}"), 550);
        raw.expect("RNFR /archive/a", 350);
        raw.expect(&format!("RNTO {path}"), 553);
    }
    raw.refused("STOU", 553);
    raw.stor("/pub/in/x", b"x");
    assert_eq!(two.gateway.file("in/x"), b"x");
    raw.expect("OPTS MLST perm;", 200);
    let listed = |raw: &mut Raw, directory: &str| {
        let mut lines = raw.list(&format!("MLSD {directory}"));
        lines.sort();
        lines
    };
    assert_eq!(listed(&mut raw, "/"), ["perm=celmp; archive", "perm=el; pub"]);
    assert_eq!(raw.expect("MLST /", 250).lines[1], " perm=el; /");
    assert_eq!(raw.expect("MLST /pub/in", 250).lines[1], " perm=celmp; /pub/in");
    assert_eq!(listed(&mut raw, "/pub/in"), ["perm=adfrw; x"]);
}

#[test]
fn nothing_is_renamed_from_one_mount_to_another() {
    let two = Two::start(BESIDE);
    two.put("old/acme/dir/a", b"archived");
    two.put("old/acme/f", b"archived");
    two.gateway.put("acme/x", b"outer");
    two.gateway.put("acme/sub/y", b"outer");
    let mut raw = two.gateway.login();
    for (from, to) in [
        ("/x", "/archive/x"),
        ("/sub", "/archive/sub"),
        ("/archive/f", "/f"),
        ("/archive/f", "/archive/../f"),
        ("/archive/dir", "/dir"),
        ("/archive/dir/a", "/x"),
    ] {
        raw.expect(&format!("RNFR {from}"), 350);
        let reply = raw.expect(&format!("RNTO {to}"), 553);
        assert_eq!(reply.text(), "Files cannot be renamed from one mounted folder to another", "{from} {to}");
    }
    raw.expect("RNFR /x", 350);
    raw.expect("RNTO /pub/deep/shared/x", 550);
    assert_eq!(two.gateway.file("acme/x"), b"outer");
    assert!(two.cold("old/acme/f").is_some() && two.cold("old/acme/dir/a").is_some());
}

/// Nothing that is not in the tree can be reached, however it is written.
#[test]
fn no_spelling_leads_out_of_a_mount() {
    let two = Two::start(BESIDE);
    two.put("old/acme/a", b"archived");
    two.put("old/other/secret", b"secret");
    two.put("secret", b"secret");
    for file in ["secret", "other/secret", "old/other/secret"] {
        two.gateway.put(file, b"secret");
    }
    let links = two.cold.path().join("old/acme");
    for (target, link) in [("../other", "neighbour"), ("../other/secret", "file"), ("../../shared", "shared")]
    {
        symlink(target, links.join(link)).expect("a writable folder");
    }
    two.put("shared/s", b"secret");
    two.gateway.put("acme/x", b"x");
    symlink(two.cold.path(), two.gateway.data().join("acme/link")).expect("a writable folder");
    let mut raw = two.gateway.login();
    for directory in ["", "/", "/archive", "archive/..", "/pub/deep"] {
        for way in [
            "../secret",
            "../../secret",
            "../other/secret",
            "../../old/other/secret",
            "../archive/../../secret",
            "..%2fsecret",
            "%2e%2e/secret",
            "..%5csecret",
            "..\\secret",
            "..\u{2215}secret",
            "\u{ff0e}\u{ff0e}/secret",
            "..;/secret",
            ".../secret",
            "./.. /secret",
            "neighbour/secret",
            "file",
            "shared/../../secret",
            "link/secret",
        ] {
            let path = format!("{directory}/{way}");
            raw.expect(&format!("SIZE {path}"), 550);
            raw.refused(&format!("RETR {path}"), 550);
            raw.expect(&format!("DELE {path}"), 550);
            raw.expect(&format!("RNFR {path}"), 550);
        }
    }
    // Bytes that are no UTF-8, or too long a form of it, are no names at all.
    for bytes in [
        &b"SIZE /archive/\xc0\xae\xc0\xae/secret"[..],
        b"SIZE \xe0\x80\xae\xe0\x80\xae/secret",
        b"CWD \xff\xfe.",
    ] {
        raw.expect_bytes(bytes, 501);
    }
    // A pattern is one for names in the directory before it.
    for pattern in
        ["/archive/../*", "/*/a", "/archive/*/secret", "/archive/../../*", "/[a]rchive/a", "/{archive,x}/a"]
    {
        let mut data = raw.pasv();
        let mut listed = String::new();
        if raw.ask(&format!("NLST {pattern}")).code == 150 {
            data.read_to_string(&mut listed).expect("names in UTF-8");
            raw.reply_is(226);
        }
        assert!(!listed.contains("secret") && !listed.contains("other"), "{pattern}: {listed}");
    }
    assert_eq!(two.cold("old/other/secret").as_deref(), Some(&b"secret"[..]));
    assert_eq!(two.gateway.file("secret"), b"secret");
}

#[test]
fn homes_follow_the_user_and_the_day() {
    let cold = tempfile::tempdir().expect("a temporary folder");
    let users = format!(
        "[stores.cold]\nurl = \"file://{}\"\n\
         [[users]]\nname = \"demo\"\npassword = \"secret\"\nstore = \"main\"\nhome = \"in/{{user}}\"\n\
         [[users.mounts]]\npath = \"/today\"\nstore = \"cold\"\nhome = \"{{year}}/{{month}}/{{day}}/{{user}}\"\n\
         [[users]]\nname = \"../other\"\npassword = \"secret\"\nstore = \"main\"\nhome = \"in/{{user}}\"\n\
         [[users]]\nname = \"..\"\npassword = \"secret\"\nstore = \"main\"\nhome = \"in/{{user}}\"\n\
         [[users]]\nname = \".bucketport\"\npassword = \"secret\"\nstore = \"main\"\nhome = \"{{user}}\"\n\
         [[users]]\nname = \"cold\"\npassword = \"secret\"\nstore = \"main\"\nhome = \"{{user}}\"\n\
         [[users.mounts]]\npath = \"/m\"\nstore = \"main\"\nhome = \"cold/x\"\n",
        cold.path().display()
    );
    let gateway = Setup::default().users(&users).start();
    let day = || chrono::Utc::now().format("%Y/%m/%d").to_string();
    let before = day();
    let mut raw = gateway.login();
    raw.stor("a", b"a");
    raw.stor("today/b", b"b");
    assert_eq!(gateway.file("in/demo/a"), b"a");
    let found = [before, day()].iter().any(|day| cold.path().join(format!("{day}/demo/b")).exists());
    assert!(found, "not below the day");
    let begun = Instant::now();
    for name in ["../other", "..", ".bucketport", "cold"] {
        let mut raw = gateway.connect();
        raw.expect(&format!("USER {name}"), 331);
        raw.expect("PASS secret", 530);
        raw.expect("PWD", 530);
        // The session is nobody's, and can become somebody's.
        let mut raw = raw.logged_in("demo", "secret");
        assert_eq!(raw.retr("a"), b"a");
    }
    // As late as so many wrong passwords, or the right one would stand out.
    assert!(begun.elapsed() >= Duration::from_millis(100 + 200 + 400 + 800), "{:?}", begun.elapsed());
    assert_eq!(gateway.log().matches("login refused: the user can have no files").count(), 4);
}
