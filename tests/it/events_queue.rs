//! What waits for a webhook: at least once, in order of each path, over failures of the receiver and ends of the gateway.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Delivery, Gateway, Manner, Receiver, Setup, eventually};

/// A gateway with one webhook for uploads, whose section has these lines as well, on the files in `folder`.
fn told(receiver: &Receiver, queue: &str, lines: &str, files: Option<&Path>) -> Gateway {
    start(setup(receiver, queue, lines), files)
}

fn setup(receiver: &Receiver, queue: &str, lines: &str) -> Setup {
    Setup::default().log("level = \"info\"").ports(100).users(&format!(
        "[[users]]\nname = \"demo\"\npassword = \"secret\"\n[events_queue]\n{queue}\n\
         [[events]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\ntypes = [\"upload\"]\n{lines}\n",
        receiver.url()
    ))
}

fn start(setup: Setup, files: Option<&Path>) -> Gateway {
    match files {
        Some(folder) => setup.at(&format!("file://{}", folder.display()), Vec::new()).start(),
        None => setup.start(),
    }
}

fn folder_of(folder: &TempDir) -> String {
    format!("folder = \"{}\"", folder.path().join("queue").display())
}

/// Fails unless all tries of an event were the same bytes, and those of a path came in order, none before the one before it
/// was taken.
fn check_order(deliveries: &[Delivery]) {
    let mut bodies = HashMap::new();
    let mut last = HashMap::<&str, (&str, bool)>::new();
    let mut taken = BTreeSet::new();
    for delivery in deliveries {
        let body = bodies.entry(delivery.id()).or_insert(&delivery.body);
        assert_eq!(*body, &delivery.body, "a try is another event");
        let (before, was_taken) = *last.get(delivery.subject()).unwrap_or(&("", true));
        // Version 7: later ids are greater.
        assert!(delivery.id() >= before, "{} of {} comes late", delivery.id(), delivery.subject());
        assert!(was_taken || delivery.id() == before, "{} has overtaken {before}", delivery.id());
        last.insert(delivery.subject(), (delivery.id(), delivery.taken));
        if delivery.taken {
            taken.insert(delivery.id());
        }
    }
    assert_eq!(taken.len(), bodies.len(), "some were never taken");
}

fn every_event_arrives(queue: &str) {
    let receiver = Receiver::start();
    let gateway = told(&receiver, queue, "timeout = \"1s\"\nconcurrency = 4", None);
    let paths = 5;
    let rounds = [
        Manner::Answer(200),
        Manner::Answer(503),
        Manner::Hang,
        Manner::Close,
        Manner::Answer(200),
        Manner::Close,
        Manner::Answer(404),
    ];
    let mut raw = gateway.login();
    for (round, manner) in rounds.into_iter().enumerate() {
        receiver.does(manner);
        for path in 0..paths {
            raw.stor(&format!("p{path}"), format!("{round}").as_bytes());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    // One path has its own trouble, which holds up nobody else.
    let tries = Mutex::new(0);
    receiver.decides(move |event| {
        let mut tries = tries.lock().expect("no panic");
        *tries += u32::from(event["subject"] == "/p0");
        Manner::Answer(if event["subject"] == "/p0" && *tries < 3 { 500 } else { 200 })
    });
    receiver.wait_for(paths * rounds.len());
    check_order(&receiver.deliveries());
    assert_eq!(receiver.taken().len(), paths * rounds.len());
    let retried = gateway.metric("bucketport_events_total{result=\"retried\",sink=\"hook\"}");
    assert!(retried > 0.5, "{retried}");
    gateway.wait_for_log("events are delivered again");
    eventually("nothing that waits", Duration::from_secs(10), || {
        gateway.metric("bucketport_events_queued{sink=\"hook\"}") < 0.5
    });
}

#[test]
fn every_event_arrives_in_order_of_its_path_from_memory() {
    every_event_arrives("");
}

#[test]
fn every_event_arrives_in_order_of_its_path_from_the_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    // Most of them are in the folder alone.
    every_event_arrives(&format!("{}\nmemory = 8", folder_of(&folder)));
}

#[test]
fn no_event_of_a_confirmed_upload_is_lost_when_the_gateway_is_killed() {
    const ROUNDS: usize = 4;
    const CLIENTS: usize = 6;
    let (receiver, folder) = (Receiver::start(), TempDir::new().expect("a temporary folder"));
    let files = folder.path().join("files");
    let confirmed = Mutex::new(BTreeMap::<String, usize>::new());
    for round in 0..ROUNDS {
        // At times it is there, at times it is not.
        receiver.does([Manner::Close, Manner::Answer(200)][round % 2]);
        let gateway = told(&receiver, &folder_of(&folder), "", Some(&files));
        let sessions: Vec<_> = (0..CLIENTS).map(|_| gateway.login()).collect();
        let (gone, begun) = (AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            for (client, mut raw) in sessions.into_iter().enumerate() {
                let (gone, confirmed) = (&gone, &confirmed);
                scope.spawn(move || {
                    for number in 0.. {
                        if gone.load(Ordering::Relaxed) {
                            return;
                        }
                        // Some names again and again, some only once.
                        let name = if number % 2 == 0 {
                            format!("/{client}")
                        } else {
                            format!("/{round}-{client}-{number}")
                        };
                        let Some(reply) = raw.try_ask("EPSV").filter(|reply| reply.code == 229) else {
                            return;
                        };
                        let port = reply.text().split("|||").nth(1).and_then(|port| port.split('|').next());
                        let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
                        let Ok(mut data) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
                        let ready = raw.try_ask(&format!("STOR {name}"));
                        if ready.is_none_or(|reply| reply.code != 150) {
                            return;
                        }
                        let _ = std::io::Write::write_all(&mut data, b"content");
                        drop(data);
                        if raw.try_reply().is_none_or(|reply| reply.code != 226) {
                            return;
                        }
                        *confirmed.lock().expect("no panic").entry(name).or_default() += 1;
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(700).saturating_sub(begun.elapsed()));
            gateway.kill();
            gone.store(true, Ordering::Relaxed);
        });
    }
    receiver.does(Manner::Answer(200));
    let gateway = told(&receiver, &folder_of(&folder), "", Some(&files));
    let confirmed = confirmed.into_inner().expect("no panic");
    let told_of = || {
        let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
        for delivery in receiver.taken() {
            ids.entry(delivery.subject().to_owned()).or_default().insert(delivery.id().to_owned());
        }
        ids
    };
    let total: usize = confirmed.values().sum();
    assert!(total > 20, "only {total} uploads were confirmed");
    let missing = || {
        let told = told_of();
        let missing =
            confirmed.iter().filter(|(name, count)| told.get(*name).is_none_or(|ids| ids.len() < **count));
        missing.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while !missing().is_empty() && begun.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(missing(), [""; 0], "of {total} uploads");
    drop(gateway);
}

#[test]
fn a_full_queue_drops_events_and_fails_nothing() {
    let receiver = Receiver::start();
    receiver.does(Manner::Close);
    let gateway = told(&receiver, "memory = 3", "", None);
    let mut raw = gateway.login();
    for number in 0..8 {
        raw.stor(&format!("{number}"), b"x");
    }
    let count = |result: &str| {
        gateway.metric(&format!("bucketport_events_total{{result=\"{result}\",sink=\"hook\"}}"))
    };
    assert!((count("dropped") - 5.0).abs() < 0.5 && count("refused") < 0.5);
    receiver.does(Manner::Answer(200));
    receiver.wait_for(3);
    raw.stor("last", b"x");
    let taken = receiver.wait_for(4);
    let mut subjects: Vec<_> = taken.iter().map(Delivery::subject).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["/0", "/1", "/2", "/last"]);
}

#[test]
fn where_events_are_required_a_full_queue_refuses_before_anything_is_stored() {
    let folder = TempDir::new().expect("a temporary folder");
    // A few kilobytes are held for each upload that runs.
    for queue in ["memory = 2".to_owned(), format!("{}\ndisk = \"1MiB\"", folder_of(&folder))] {
        let receiver = Receiver::start();
        receiver.does(Manner::Close);
        let gateway = told(&receiver, &queue, "required = true", None);
        let mut raw = gateway.login();
        let name = |number: usize| format!("{number}-{}", "x".repeat(200));
        let mut stored = 0;
        let refused = loop {
            let mut data = raw.pasv();
            let reply = raw.ask(&format!("STOR {}", name(stored)));
            if reply.code != 150 {
                break reply;
            }
            let _ = std::io::Write::write_all(&mut data, b"x");
            drop(data);
            raw.reply_is(226);
            stored += 1;
            assert!(stored < 2000, "never full");
        };
        assert_eq!(refused.code, 451, "{refused:?}");
        assert!(!gateway.data().join(name(stored)).exists());
        assert!(stored >= 2, "{stored}");
        // What reads needs no event of this sink.
        raw.retr(&name(0));
        receiver.does(Manner::Answer(200));
        receiver.wait_for(stored);
        eventually("room", Duration::from_secs(20), || {
            gateway.metric("bucketport_events_queued{sink=\"hook\"}") < 0.5
        });
        raw.stor(&name(stored), b"x");
        receiver.wait_for(stored + 1);
    }
}

#[test]
fn what_is_given_up_is_among_the_dead_letters_and_the_next_of_its_path_follows() {
    let (receiver, folder) = (Receiver::start(), TempDir::new().expect("a temporary folder"));
    receiver.decides(|event| Manner::Answer(if event["data"]["size"] == 3 { 500 } else { 200 }));
    let gateway = told(&receiver, &folder_of(&folder), "max_attempts = 2", None);
    let mut raw = gateway.login();
    raw.stor("a", b"bad");
    raw.stor("a", b"good");
    let taken = receiver.wait_for(1).remove(0);
    assert_eq!(taken.event["data"]["size"], 4);
    let tries: Vec<_> =
        receiver.deliveries().iter().map(|delivery| delivery.event["data"]["size"].clone()).collect();
    assert_eq!(tries, [3, 3, 4]);
    let dead = folder.path().join("queue/hook.dead.jsonl");
    eventually("dead letters", Duration::from_secs(10), || dead.exists());
    let text = std::fs::read_to_string(&dead).expect("a file");
    let line: Value = serde_json::from_str(text.trim_end()).expect("one line of JSON");
    assert_eq!((&line["attempts"], &line["reason"]), (&2.into(), &"answered 500".into()));
    assert_eq!(line["event"]["id"], receiver.deliveries()[0].id());
    assert!(gateway.metric("bucketport_events_total{result=\"dead\",sink=\"hook\"}") > 0.5);
    assert!(gateway.log().contains("an event is given up"));
}

#[test]
fn an_event_is_given_up_when_it_is_too_old() {
    let receiver = Receiver::start();
    receiver.does(Manner::Answer(500));
    let gateway = told(&receiver, "", "max_age = \"1s\"", None);
    gateway.login().stor("a", b"x");
    gateway.wait_for_log("an event is given up");
    assert!(receiver.deliveries().len() > 1);
}

#[test]
fn what_waits_in_memory_is_delivered_before_the_end_or_counted_as_lost() {
    for comes_back in [true, false] {
        let receiver = Receiver::start();
        receiver.does(Manner::Close);
        let gateway = start(setup(&receiver, "", "").ftp("drain_timeout = \"5s\""), None);
        let mut raw = gateway.login();
        for number in 0..3 {
            raw.stor(&format!("{number}"), b"x");
        }
        drop(raw);
        gateway.wait_for_log("events are not delivered");
        if comes_back {
            receiver.does(Manner::Answer(200));
        }
        gateway.signal(Signal::SIGTERM);
        assert!(gateway.ended(Duration::from_secs(30)).success());
        assert_eq!(receiver.taken().len(), if comes_back { 3 } else { 0 });
        assert_eq!(gateway.log().contains("events are lost"), !comes_back, "{}", gateway.log());
    }
}

#[test]
fn nothing_is_given_up_for_being_tried_each_second_before_the_end() {
    let receiver = Receiver::start();
    receiver.does(Manner::Answer(503));
    let setup = setup(&receiver, "", "max_attempts = 5").ftp("drain_timeout = \"30s\"");
    let gateway = start(setup, None);
    gateway.login().stor("a", b"x");
    receiver.wait_for_tries(2);
    gateway.signal(Signal::SIGTERM);
    receiver.wait_for_tries(7);
    receiver.does(Manner::Answer(200));
    assert!(gateway.ended(Duration::from_mins(1)).success());
    assert_eq!(receiver.taken().len(), 1, "{}", gateway.log());
}

#[test]
fn what_waits_in_the_folder_goes_on_after_the_next_start() {
    let (receiver, folder) = (Receiver::start(), TempDir::new().expect("a temporary folder"));
    receiver.does(Manner::Close);
    let gateway = told(&receiver, &folder_of(&folder), "", None);
    let mut raw = gateway.login();
    for number in 0..3 {
        raw.stor(&format!("{number}"), b"x");
    }
    drop(raw);
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(Duration::from_secs(30)).success());
    assert!(gateway.log().contains("events wait for the next start"), "{}", gateway.log());
    receiver.does(Manner::Answer(200));
    let gateway = told(&receiver, &folder_of(&folder), "", None);
    check_order(&{
        receiver.wait_for(3);
        receiver.deliveries()
    });
    gateway.wait_for_log("events wait since before the start");
}
