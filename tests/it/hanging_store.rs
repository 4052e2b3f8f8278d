//! A store that does not answer, or never has time: the client is heard nevertheless, and may leave.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Gateway, Raw, Setup, Trouble, TroubledS3};

/// Longer than any reply takes that is given at once, on a busy machine as well.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a session may outlive its client.
const LEAVING: Duration = Duration::from_secs(2);

const TRANSFERS: [&str; 6] = ["RETR x", "NLST", "LIST x", "MLSD x", "APPE x", "NLST *.csv"];
const COMMANDS: [&str; 8] = ["SIZE x", "DELE x", "MDTM x", "CWD x", "MLST x", "RNFR x", "STAT x", "HASH x"];

fn gateway(trouble: Trouble) -> Gateway {
    let options = TroubledS3::start(trouble).options();
    Setup::default().ports(60).at("s3://bucket", options).start()
}

/// Both kinds of trouble, each with a gateway of its own, and each command with a session of its own, all at once.
fn with_each<const N: usize>(commands: [&'static str; N], check: fn(&Gateway, &'static str)) {
    std::thread::scope(|scope| {
        for trouble in [Trouble::Silent, Trouble::Busy] {
            scope.spawn(move || {
                let gateway = gateway(trouble);
                let gateway = &gateway;
                std::thread::scope(|scope| {
                    for command in commands {
                        scope.spawn(move || check(gateway, command));
                    }
                });
            });
        }
    });
}

/// A transfer command to which the store has no answer, and its data connection.
fn waiting_transfer(raw: &mut Raw, command: &str) -> TcpStream {
    let data = raw.pasv();
    raw.send(command);
    raw.silent_for(Duration::from_millis(300));
    data
}

#[track_caller]
fn at_once(since: Instant) {
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}

#[test]
fn before_the_150_a_client_is_answered() {
    with_each(TRANSFERS, |gateway, command| {
        let mut raw = gateway.login();
        let _data = waiting_transfer(&mut raw, command);
        for (line, code) in [("NOOP", 200), ("PWD", 257), ("STAT", 211)] {
            let begun = Instant::now();
            raw.expect(line, code);
            at_once(begun);
        }
    });
}

#[test]
fn before_the_150_a_transfer_can_be_aborted() {
    with_each(TRANSFERS, |gateway, command| {
        let mut raw = gateway.login();
        let data = waiting_transfer(&mut raw, command);
        let begun = Instant::now();
        raw.send("ABOR");
        raw.reply_is(426);
        raw.reply_is(226);
        at_once(begun);
        drop(data);
        raw.expect("NOOP", 200);
        // What comes next is heard as well.
        let _data = waiting_transfer(&mut raw, command);
        raw.send("ABOR");
        raw.reply_is(426);
        raw.reply_is(226);
    });
}

#[test]
fn a_command_can_be_aborted() {
    with_each(COMMANDS, |gateway, command| {
        let mut raw = gateway.login();
        for _ in 0..2 {
            raw.send(command);
            raw.silent_for(Duration::from_millis(300));
            let begun = Instant::now();
            raw.send("ABOR");
            let code = raw.reply().code;
            assert!(matches!(code, 426 | 451), "{command} {code}");
            raw.reply_is(226);
            at_once(begun);
            raw.expect("NOOP", 200);
            assert!(raw.expect("PWD", 257).text().starts_with("\"/\""));
        }
    });
}

#[test]
fn a_session_ends_with_its_client() {
    for trouble in [Trouble::Silent, Trouble::Busy] {
        let gateway = gateway(trouble);
        for ends in [drop, Raw::reset] {
            let mut waiting = Vec::new();
            for command in TRANSFERS {
                let mut raw = gateway.login();
                let data = raw.pasv();
                raw.send(command);
                waiting.push((raw, Some(data)));
            }
            for command in COMMANDS {
                let mut raw = gateway.login();
                raw.send(command);
                waiting.push((raw, None));
            }
            for (raw, _) in &mut waiting {
                raw.silent_for(Duration::from_millis(20));
            }
            for (raw, _) in waiting {
                ends(raw);
            }
            gateway.wait_for_sessions(LEAVING);
        }
    }
}

/// In a container the metadata service of the machine is often out of reach, and says nothing instead of no.
#[test]
fn credentials_that_do_not_come_are_named_and_not_waited_for() {
    let silent = TroubledS3::start(Trouble::Silent);
    let options = silent
        .options()
        .into_iter()
        .filter(|(name, _)| !["aws_access_key_id", "aws_secret_access_key"].contains(&name.as_str()));
    let metadata = ("aws_metadata_endpoint".to_owned(), silent.url());
    let gateway = Setup::default().ports(60).at("s3://bucket", options.chain([metadata]).collect()).start();
    let begun = Instant::now();
    // One after the other they would wait for seven seconds each.
    let mut waiting: Vec<_> = (0..5).map(|_| gateway.login()).collect();
    for raw in &mut waiting {
        raw.send("SIZE x");
    }
    for raw in &mut waiting {
        raw.reply_is(451);
    }
    // Seven seconds, and as many for those who have begun to ask just before and gone away.
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
    gateway.wait_for_log("EC2 instance metadata service does not answer");
}
