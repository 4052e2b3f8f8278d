//! Every verb that concerns files, with each permission alone, inside a mount and outside of it.

use std::fmt::Write as _;

use crate::support::{Gateway, Raw, Setup};

const PERMISSIONS: [&str; 10] =
    ["", "list", "read", "write", "overwrite", "append", "delete", "rename", "mkdir", "rmdir"];
const LOOK: &[&str] = &["list", "read", "rename"];

/// What there is to be done in the folder `{}`, which permission each needs, and the code of success.
const VERBS: [(&str, &[&str], u16); 35] = [
    ("CWD {}/dir", &PERMISSIONS, 250),
    ("XCWD {}/dir", &PERMISSIONS, 250),
    ("LIST {}/dir", &["list"], 226),
    ("LIST {}/f*", &["list"], 226),
    ("NLST {}/dir", &["list"], 226),
    ("MLSD {}/dir", &["list"], 226),
    ("STAT {}/dir", &["list"], 213),
    ("STAT {}/file", &["list"], 213),
    ("SIZE {}/file", LOOK, 213),
    ("MDTM {}/file", LOOK, 213),
    ("MLST {}/file", LOOK, 250),
    ("MLST {}/dir", LOOK, 250),
    ("RNFR {}/file", LOOK, 350),
    ("RETR {}/file", &["read"], 226),
    ("HASH {}/file", &["read"], 213),
    ("XCRC {}/file", &["read"], 250),
    ("XMD5 {}/file", &["read"], 250),
    ("XSHA1 {}/file", &["read"], 250),
    ("XSHA256 {}/file", &["read"], 250),
    ("XSHA512 {}/file", &["read"], 250),
    ("SITE MD5 {}/file", &["read"], 250),
    ("STOR {}/new", &["write"], 226),
    // Which is refused in the words of the one that is missing.
    ("STOR {}/file", &[], 226),
    ("STOU in {}", &["write"], 226),
    ("REST {}/file", &[], 226),
    ("APPE {}/file", &["append"], 226),
    ("APPE {}/new", &["append"], 226),
    ("MFMT 20260101000000 {}/file", &["write"], 202),
    ("MDTM 20260101000000 {}/file", &["write"], 202),
    ("DELE {}/file", &["delete"], 250),
    ("RMD {}/dir", &["rmdir"], 250),
    ("XRMD {}/dir", &["rmdir"], 250),
    ("MKD {}/new", &["mkdir"], 257),
    ("XMKD {}/new", &["mkdir"], 257),
    ("RNTO {}/file {}/new", &["rename"], 250),
];

fn users() -> String {
    let mut text = "[stores.cold]\nurl = \"memory:///\"\n".to_owned();
    let mut add = |name: &str, outside: &str, inside: &str| {
        let list = |permission: &str| {
            match permission {
            "all" => "[\"list\", \"read\", \"write\", \"overwrite\", \"append\", \"delete\", \"rename\", \"mkdir\", \"rmdir\"]".to_owned(),
            "" => "[]".to_owned(),
            one => format!("[\"{one}\"]"),
        }
        };
        writeln!(
            text,
            "[[users]]\nname = \"{name}\"\npassword = \"secret\"\nstore = \"main\"\npermissions = {}\n\
             [[users.mounts]]\npath = \"/m\"\nstore = \"cold\"\nhome = \"here\"\npermissions = {}",
            list(outside),
            list(inside),
        )
        .expect("writing to a string cannot fail");
    };
    add("demo", "all", "all");
    for permission in PERMISSIONS {
        add(&format!("outside-{permission}"), permission, "");
        add(&format!("inside-{permission}"), "", permission);
    }
    text
}

/// A file and an empty directory, and nothing else.
fn restore(gateway: &Gateway, folder: &str) {
    let mut raw = gateway.login();
    for command in ["DELE {}/new", "RMD {}/new", "DELE {}/file", "RMD {}/dir"] {
        raw.ask(&command.replace("{}", folder));
    }
    raw.stor(&format!("{folder}/file"), b"content");
    raw.expect(&format!("MKD {folder}/dir"), 257);
}

/// Does what a line of the table says, and takes the last reply.
fn perform(raw: &mut Raw, command: &str, folder: &str) -> u16 {
    let command = command.replace("{}", folder);
    let (verb, rest) = command.split_once(' ').expect("an argument");
    match verb {
        "RETR" | "STOR" | "APPE" | "LIST" | "NLST" | "MLSD" | "STOU" | "REST" => {
            let mut line = command.clone();
            if verb == "STOU" {
                raw.expect(&format!("CWD {folder}/"), 250);
                "STOU".clone_into(&mut line);
            }
            if verb == "REST" {
                raw.expect("REST 1", 350);
                line = format!("STOR {rest}");
            }
            // What is refused has no 150; the connection that waits is another transfer's or nobody's.
            let data = raw.pasv();
            let reply = raw.ask(&line).code;
            if reply != 150 {
                return reply;
            }
            drop(data);
            raw.reply().code
        }
        "RNTO" => {
            let (from, to) = rest.split_once(' ').expect("two names");
            match raw.ask(&format!("RNFR {from}")).code {
                350 => raw.ask(&format!("RNTO {to}")).code,
                refused => refused,
            }
        }
        _ => raw.ask(&command).code,
    }
}

#[test]
fn each_verb_needs_its_permission_where_its_path_is() {
    let gateway = Setup::default().at("memory:///", Vec::new()).users(&users()).ports(60).start();
    for folder in ["/o", "/m"] {
        restore(&gateway, folder);
    }
    for permission in PERMISSIONS {
        for (side, granted) in [("outside", "/o"), ("inside", "/m")] {
            let mut raw = gateway.connect().logged_in(&format!("{side}-{permission}"), "secret");
            for (command, needs, success) in VERBS {
                for folder in ["/o", "/m"] {
                    let has = if folder == granted { permission } else { "" };
                    let expected = match command {
                        // Writing is allowed, and replacing is not.
                        "STOR {}/file" if has == "write" => 553,
                        _ if needs.contains(&has) => success,
                        _ => 550,
                    };
                    let code = perform(&mut raw, command, folder);
                    assert_eq!(code, expected, "{command} in {folder} with {permission:?} {side}");
                    if code == success && !needs.contains(&"list") && !needs.contains(&"read") {
                        restore(&gateway, folder);
                    }
                }
            }
        }
    }
}
