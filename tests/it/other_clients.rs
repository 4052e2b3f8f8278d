//! Clients and libraries that other programs are made with, each with one scenario: a directory made, a file uploaded,
//! listed, renamed, downloaded and deleted, the directory removed.

use std::path::PathBuf;

use crate::support::{Certificate, Gateway, assert_same, bytes, client, installed, source};

/// How the control connection is secured, and which port is for that.
const SECURITY: [&str; 3] = ["plain", "explicit", "implicit"];

/// Lets `run` do the scenario with a file to send, the name of one to get, the host, the port and the security.
fn scenario(securities: &[&str], run: impl Fn(&Gateway, &[&str; 5])) {
    scenario_in(None, securities, run);
}

/// [`scenario`] with clients that `run` makes speak this version of TLS, whatever they would choose.
fn scenario_in(version: Option<&str>, securities: &[&str], run: impl Fn(&Gateway, &[&str; 5])) {
    let gateway = Certificate::new().setup("optional").ftp("active_mode = true").start();
    let (sent, got) = (gateway.folder().join("sent"), gateway.folder().join("got"));
    let content = bytes(3_000_000, 7);
    std::fs::write(&sent, &content).expect("a writable folder");
    for security in securities {
        let port = if *security == "implicit" { gateway.ftps() } else { gateway.ftp }.port().to_string();
        let (sent, path) = (sent.display().to_string(), got.display().to_string());
        run(&gateway, &["127.0.0.1", &port, security, &sent, &path]);
        assert_same(&std::fs::read(&got).expect("it was downloaded"), &content);
        assert_eq!(gateway.files(), [""; 0], "{security}");
        std::fs::remove_file(&got).expect("it is there");
    }
    if let Some(version) = version {
        let log = gateway.log();
        let begun = log.lines().filter(|line| line.contains("TLS begins"));
        let spoken: Vec<_> = begun.map(|line| line.contains(&format!("version=\"{version}\""))).collect();
        assert!(spoken.len() >= securities.len() && !spoken.contains(&false), "{log}");
    }
}

#[test]
fn commons_net() {
    let Some(jar) = installed("commons-net") else { return };
    scenario(&SECURITY, |_, &[host, port, security, sent, got]| {
        for mode in ["passive", "active"] {
            let program = source("commons-net/Scenario.java");
            client("java", &["-cp", &jar, &program, host, port, security, mode, sent, got], &[]).success();
        }
    });
}

#[test]
fn commons_net_in_each_version_of_tls() {
    let Some(jar) = installed("commons-net") else { return };
    for (version, spoken) in [("TLSv1.2", "TLSv1_2"), ("TLSv1.3", "TLSv1_3")] {
        let pinned = format!("-Djdk.tls.client.protocols={version}");
        scenario_in(Some(spoken), &SECURITY[1..], |_, &[host, port, security, sent, got]| {
            let program = source("commons-net/Scenario.java");
            let arguments = [&pinned, "-cp", &jar, &program, host, port, security, "passive", sent, got];
            client("java", &arguments, &[]).success();
        });
    }
}

#[test]
fn basic_ftp_in_each_version_of_tls() {
    let Some(folder) = installed("basic-ftp") else { return };
    let program = format!("{folder}/scenario-in-each-version.mjs");
    std::fs::copy(source("basic-ftp/scenario.mjs"), &program).expect("a writable folder");
    for (pinned, spoken) in [("--tls-max-v1.2", "TLSv1_2"), ("--tls-min-v1.3", "TLSv1_3")] {
        scenario_in(Some(spoken), &SECURITY[1..], |_, &[host, port, security, sent, got]| {
            client("node", &[pinned, &program, host, port, security, sent, got], &[]).success();
        });
    }
}

#[test]
fn basic_ftp() {
    let Some(folder) = installed("basic-ftp") else { return };
    // Node looks for what a module imports beside the module.
    let program = format!("{folder}/scenario.mjs");
    std::fs::copy(source("basic-ftp/scenario.mjs"), &program).expect("a writable folder");
    scenario(&SECURITY, |_, &[host, port, security, sent, got]| {
        client("node", &[&program, host, port, security, sent, got], &[]).success();
    });
}

#[test]
fn jlaffaye() {
    let Some(program) = installed("jlaffaye") else { return };
    scenario(&SECURITY, |_, &[host, port, security, sent, got]| {
        client(&program, &[&format!("{host}:{port}"), security, sent, got], &[]).success();
    });
}

#[test]
fn ncftp() {
    scenario(&["plain"], |gateway, &[host, port, _, sent, got]| {
        let login = ["-u", "demo", "-p", "secret", "-P", port];
        // Without its own folder it asks for one in the home.
        let home = [("HOME", gateway.folder().to_str().expect("plain"))];
        let run = |program: &str, arguments: &[&str]| {
            client(program, &[&login, arguments].concat(), &home).success()
        };
        for mode in ["-F", "-E"] {
            run("ncftpput", &[mode, "-m", host, "dir", sent]);
            assert_eq!(run("ncftpls", &[mode, &format!("ftp://{host}/dir/")]).trim(), "sent");
        }
        let folder = PathBuf::from(got).with_extension("folder");
        std::fs::create_dir(&folder).expect("a writable folder");
        // It deletes what it has downloaded.
        run("ncftpget", &["-DD", host, folder.to_str().expect("plain"), "dir/sent"]);
        std::fs::rename(folder.join("sent"), got).expect("it was downloaded");
        gateway.login().expect("RMD dir", 250);
    });
}

#[test]
fn tnftp() {
    scenario(&["plain"], |gateway, &[host, port, _, sent, got]| {
        for mode in ["", "-A"] {
            let commands = gateway.folder().join("commands");
            let text = format!(
                "open {host} {port}\nuser demo secret\nbinary\nmkdir dir\ncd dir\nput {sent} file\nls\n\
                 rename file renamed\nget renamed {got}\ndelete renamed\ncdup\nrmdir dir\nquit\n"
            );
            std::fs::write(&commands, text).expect("a writable folder");
            let shell = format!("tnftp -n -v {mode} < {}", commands.display());
            client("sh", &["-c", &shell], &[]).success();
        }
    });
}
