//! Commands sent ahead while a transfer runs: kept in order, bounded, and what stands behind them is still seen.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Gateway, Killed, Place, Raw, Setup, assert_same, bytes, eventually, killed, on_each_store_and_in_memory,
};

fn setup() -> Setup {
    Setup::default().ports(100)
}

on_each_store_and_in_memory! { super::setup();
    abor_behind_a_command_stops_the_transfer
    a_client_that_sent_a_command_ahead_and_dies
    a_client_that_says_quit_ahead_and_is_not_done
    quit_and_the_end_of_sending_ahead
}

fn half_sent(raw: &mut Raw) -> TcpStream {
    let mut data = raw.begin("STOR x");
    data.write_all(&bytes(1000, 1)).expect("the gateway reads");
    data
}

fn abor_behind_a_command_stops_the_transfer(place: &Place) {
    let mut raw = place.gateway.login();
    for ahead in [&["SIZE x"][..], &["SIZE x", "FROB", "MKD sub/../sub", "RMD sub"]] {
        let data = half_sent(&mut raw);
        for line in ahead {
            raw.send(line);
        }
        raw.silent_for(Duration::from_millis(100));
        let begun = Instant::now();
        raw.send("ABOR");
        raw.reply_is(426);
        raw.reply_is(226);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        for (_, code) in ahead.iter().zip([550, 500, 257, 250]) {
            raw.reply_is(code);
        }
        drop(data);
        assert_eq!(place.objects(), [""; 0]);
    }
    raw.expect("NOOP", 200);
}

/// Having sent a command ahead does not make a client that is killed one that is done.
fn a_client_that_sent_a_command_ahead_and_dies(place: &Place) {
    let mut tried: Vec<_> = std::thread::scope(|scope| {
        let tries = (0..10).map(|number| {
            scope.spawn(move || {
                let raw = place.gateway.login();
                let mut ahead = raw.sender();
                let line = move || ahead.write_all(b"SIZE x\r\n").expect("the gateway reads");
                let counts = killed_after(raw, &format!("STOR x{number}"), line);
                (number, counts)
            })
        });
        let tries: Vec<_> = tries.collect();
        tries.into_iter().map(|tried| tried.join().expect("no panic")).collect()
    });
    place.gateway.wait_for_sessions(Duration::from_secs(20));
    tried.retain(|(_, counts)| *counts);
    assert!(tried.len() > 5, "the machine is too busy");
    let stored = |number: &i32| place.stored(&format!("x{number}")).is_some();
    let committed = tried.iter().filter(|(number, _)| stored(number)).count();
    assert_eq!(committed, 0, "of {}", tried.len());
}

/// Has `say` said a moment after the upload began, by a thread of its own.
fn killed_after(raw: Raw, command: &str, mut say: impl FnMut() + Send) -> bool {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(120));
            say();
        });
        killed(raw, command, 2000, Killed::DataFirst).is_some()
    })
}

/// QUIT says that the client will go, not that the file is whole: a reset of the data connection is what it was.
fn a_client_that_says_quit_ahead_and_is_not_done(place: &Place) {
    let mut raw = place.gateway.login();
    let data = half_sent(&mut raw);
    raw.send("QUIT");
    raw.finish_sending();
    raw.silent_for(Duration::from_millis(100));
    crate::support::reset(&data);
    drop(data);
    raw.reply_is(426);
    raw.reply_is(221);
    raw.closed();
    assert_eq!(place.objects(), [""; 0]);
}

fn quit_and_the_end_of_sending_ahead(place: &Place) {
    for ahead in [&["QUIT"][..], &["SIZE x", "QUIT"]] {
        let mut raw = place.gateway.login();
        let mut data = half_sent(&mut raw);
        for line in ahead {
            raw.send(line);
        }
        raw.finish_sending();
        raw.silent_for(Duration::from_millis(100));
        data.write_all(b"end").expect("the gateway reads");
        drop(data);
        raw.reply_is(226);
        if ahead.len() > 1 {
            assert_eq!(raw.reply_is(213).text(), "1003");
        }
        raw.reply_is(221);
        raw.closed();
        assert_same(&place.stored("x").expect("stored"), &[&bytes(1000, 1)[..], b"end"].concat());
    }
}

#[test]
fn thousands_of_short_lines_are_answered_in_order() {
    let place = Place::memory(setup());
    let mut raw = place.gateway.login();
    let data = half_sent(&mut raw);
    let lines = "SIZE x\r\nFROB\r\nTYPE I\r\nMDTM y\r\n".repeat(1000);
    let mut sender = raw.sender();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(lines.as_bytes()).expect("the gateway reads on"));
        std::thread::sleep(Duration::from_millis(100));
        drop(data);
        raw.reply_is(226);
        for _ in 0..1000 {
            for code in [213, 500, 200, 550] {
                raw.reply_is(code);
            }
        }
    });
    raw.expect("NOOP", 200);
    assert_eq!(place.stored("x").expect("stored").len(), 1000);
}

/// What is sent ahead waits in the client once the gateway holds as many lines as it wants to.
#[test]
fn thousands_of_long_lines_cost_no_memory() {
    const LINES: usize = 8000;
    let place = Place::memory(setup());
    let mut raw = place.gateway.login();
    let data = half_sent(&mut raw);
    let before = place.gateway.memory("VmRSS");
    let line = format!("FROB {}\r\n", "x".repeat(4000));
    let (mut sender, sent) = (raw.sender(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..LINES {
                sender.write_all(line.as_bytes()).expect("the gateway reads on");
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut last = 0;
        // Nothing was sent for a while: the client waits for the gateway, or is through.
        eventually("a pause", Duration::from_secs(20), || {
            std::thread::sleep(Duration::from_millis(200));
            std::mem::replace(&mut last, sent.load(Ordering::Relaxed)) == sent.load(Ordering::Relaxed)
        });
        let grown = place.gateway.memory("VmRSS").saturating_sub(before);
        drop(data);
        raw.reply_is(226);
        for _ in 0..LINES {
            raw.reply_is(500);
        }
        assert!(grown < 8 * 1024, "{grown} KiB more");
    });
    raw.expect("NOOP", 200);
}

/// Lines that are too many to be read must not hide that their sender has died.
#[test]
fn a_client_that_sent_more_than_is_read_and_dies() {
    let place = Place::local(setup());
    place.put("x", b"old");
    let mut raw = place.gateway.login();
    let mut data = raw.begin("STOR x");
    data.write_all(b"cut").expect("the gateway reads");
    let lines = format!("SIZE {}\r\n", "y".repeat(1000)).repeat(80);
    raw.sender().write_all(lines.as_bytes()).expect("the kernel takes them");
    std::thread::sleep(Duration::from_millis(200));
    drop(data);
    drop(raw);
    place.gateway.wait_for_sessions(Duration::from_secs(20));
    assert_eq!(place.stored("x").as_deref(), Some(&b"old"[..]));
}

/// Clients that are in a hurry send it urgent, and then once more.
#[test]
fn each_abor_has_its_reply() {
    let place = Place::memory(setup());
    let mut raw = place.gateway.login();
    let data = half_sent(&mut raw);
    raw.send_bytes(b"ABOR\r\nABOR\r\n");
    for code in [426, 226, 226] {
        raw.reply_is(code);
    }
    drop(data);
    raw.expect("NOOP", 200);
}

#[test]
fn a_flood_of_commands_is_read_more_slowly() {
    const COMMANDS: usize = 30_000;
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let begun = Instant::now();
    let mut sender = raw.sender();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&b"NOOP\r\n".repeat(COMMANDS)).expect("the gateway reads"));
        for _ in 0..COMMANDS {
            raw.reply_is(200);
        }
    });
    // Ten thousand at once, and the others evenly.
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
}
