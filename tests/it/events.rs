//! Events over HTTP: what they tell, of what, to whom, and how it is known that they are the gateway's.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Delivery, Gateway, Manner, Raw, Receiver, S3Server, Setup, bearer, bytes, eventually, request,
};

const USERS: &str = "[[users]]\nname = \"demo\"\npassword = \"secret\"\nhome = \"home\"\n\
                     [[users]]\nname = \"other\"\npassword = \"secret\"\nhome = \"other\"\n";

/// Users and one webhook with these lines.
fn told(receiver: &Receiver, lines: &str) -> Setup {
    let url = receiver.url();
    let hook = format!("[[events]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\n{lines}\n");
    Setup::default().users(&format!("{USERS}{hook}"))
}

/// What is not the same each time taken out.
fn data(delivery: &Delivery) -> BTreeMap<String, Value> {
    let data = delivery.event["data"].as_object().expect("an object");
    data.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The one delivery of this type.
#[track_caller]
fn only<'a>(deliveries: &'a [Delivery], kind: &str) -> &'a Delivery {
    let mut of_kind = deliveries.iter().filter(|delivery| delivery.kind() == kind);
    let found = of_kind.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(of_kind.next().is_none(), "more than one {kind}");
    found
}

fn expect(delivery: &Delivery, fields: &[(&str, Value)]) {
    let data = data(delivery);
    for (name, value) in fields {
        assert_eq!(data.get(*name), Some(value), "{name} of {}", delivery.event);
    }
}

#[test]
fn each_type_is_told_once_with_its_fields() {
    let receiver = Receiver::start();
    let gateway = told(&receiver, "").start();
    let mut wrong = gateway.connect();
    wrong.expect("USER demo", 331);
    wrong.expect("PASS wrong", 530);
    let mut raw = gateway.login();
    raw.stor("é.txt", b"content");
    raw.retr("é.txt");
    raw.expect("MKD made", 257);
    raw.expect("RNFR é.txt", 350);
    raw.expect("RNTO made/new.txt", 250);
    raw.expect("DELE made/new.txt", 250);
    raw.expect("RMD made", 250);
    // What fails and what changes nothing is not told.
    raw.expect("DELE missing", 550);
    raw.refused("RETR missing", 550);
    raw.list("NLST");
    raw.expect("QUIT", 221);
    raw.closed();
    let mut deliveries = receiver.wait_for(9);
    drop(wrong);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.deliveries().len(), 9, "{:#?}", receiver.deliveries());

    let text = |text: &str| Value::from(text);
    let session = only(&deliveries, "login").event["data"]["session"].clone();
    for delivery in &deliveries {
        let event = &delivery.event;
        assert_eq!(
            (&event["specversion"], &event["datacontenttype"]),
            (&text("1.0"), &text("application/json"))
        );
        assert_eq!(delivery.headers["content-type"], "application/cloudevents+json");
        assert!(event["source"].as_str().expect("text").starts_with("urn:bucketport:"), "{event}");
        let time = event["time"].as_str().expect("text").parse::<chrono::DateTime<chrono::Utc>>();
        let age = chrono::Utc::now() - time.expect("a time");
        assert!(age.num_seconds() < 60, "{event}");
        expect(delivery, &[("client", text("127.0.0.1")), ("user", text("demo"))]);
        if delivery.kind() != "login_failed" {
            expect(delivery, &[("session", session.clone())]);
        }
    }
    let at = |path: &str, key: &str| vec![("path", text(path)), ("store", text("main")), ("key", text(key))];
    let upload = only(&deliveries, "upload");
    assert_eq!(upload.subject(), "/é.txt");
    expect(upload, &at("/é.txt", "home/é.txt"));
    expect(upload, &[("size", 7.into()), ("transferred", 7.into())]);
    assert!(
        upload.event["data"]["duration_seconds"].as_f64().is_some_and(|took| (0.0..60.0).contains(&took))
    );
    let download = only(&deliveries, "download");
    expect(download, &at("/é.txt", "home/é.txt"));
    expect(download, &[("transferred", 7.into())]);
    let rename = only(&deliveries, "rename");
    assert_eq!(rename.subject(), "/made/new.txt");
    expect(rename, &at("/made/new.txt", "home/made/new.txt"));
    expect(
        rename,
        &[("from_path", text("/é.txt")), ("from_store", text("main")), ("from_key", text("home/é.txt"))],
    );
    expect(only(&deliveries, "delete"), &at("/made/new.txt", "home/made/new.txt"));
    expect(only(&deliveries, "mkdir"), &at("/made", "home/made"));
    expect(only(&deliveries, "rmdir"), &at("/made", "home/made"));
    expect(only(&deliveries, "login_failed"), &[("reason", text("bad_credentials"))]);
    assert_eq!(only(&deliveries, "login_failed").subject(), "");
    expect(only(&deliveries, "session_closed"), &[("uploaded", 7.into()), ("downloaded", 7.into())]);
    deliveries.sort_by(|a, b| a.id().cmp(b.id()));
    deliveries.dedup_by(|a, b| a.id() == b.id());
    assert_eq!(deliveries.len(), 9, "every event has an id of its own");
    eventually("the count of deliveries", Duration::from_secs(10), || {
        gateway.metric("bucketport_events_total{result=\"delivered\",sink=\"hook\"}") > 8.5
    });
    assert!(gateway.metric("bucketport_events_queued{sink=\"hook\"}") < 0.5);
}

/// The logins of a session and their ends, in order: who, and of an end what was uploaded and downloaded.
fn logins(events: &[Value], session: u64) -> Vec<String> {
    let of_session = events.iter().filter(|event| event["data"]["session"] == session);
    let told = of_session.map(|event| {
        let data = &event["data"];
        let user = data["user"].as_str().expect("text");
        match event["type"].as_str() {
            Some("org.bucketport.login") => format!("+{user}"),
            _ => format!("-{user} {} {}", data["uploaded"], data["downloaded"]),
        }
    });
    told.collect()
}

#[test]
fn each_login_has_one_end_whichever_way_it_ends() {
    let folder = TempDir::new().expect("a temporary folder");
    let audit = folder.path().join("audit.jsonl");
    // A file has what comes last as well.
    let users = format!(
        "{USERS}[[events]]\nname = \"audit\"\ntype = \"file\"\npath = \"{}\"\ntypes = [\"login\", \"session_closed\"]\n",
        audit.display()
    );
    let gateway = Setup::default().users(&users).admin().ftp("drain_timeout = \"1s\"").start();
    let log_in = |raw: &mut Raw, user: &str| {
        raw.expect(&format!("USER {user}"), 331);
        raw.expect("PASS secret", 230);
    };
    // One session: REIN, another user, the same user again, a login that fails, QUIT.
    let mut raw = gateway.login();
    raw.stor("a", b"12345");
    raw.retr("a");
    assert_eq!(raw.upload("APPE a", b"67").code, 226);
    raw.expect("REIN", 220);
    log_in(&mut raw, "other");
    raw.expect("TYPE I", 200);
    raw.stor("b", b"123");
    log_in(&mut raw, "demo");
    log_in(&mut raw, "demo");
    raw.expect("USER demo", 331);
    raw.expect("PASS wrong", 530);
    log_in(&mut raw, "other");
    raw.expect("QUIT", 221);
    // Lost, and lost after a REIN, which was the end already.
    drop(gateway.login());
    let mut raw = gateway.login();
    raw.expect("REIN", 220);
    drop(raw);
    // Ended by the operator.
    let mut raw = gateway.login();
    assert_eq!(request(gateway.http, "DELETE /sessions/4", &[&bearer()], "").status, 204);
    raw.reply_is(421);
    // Nobody's.
    gateway.connect().expect("QUIT", 221);
    // Drained: idle, and in a transfer that does not end.
    let _idle = gateway.login();
    let mut busy = gateway.login();
    let _data = busy.begin("STOR c");
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(Duration::from_secs(30)).success());

    let text = std::fs::read_to_string(&audit).expect("a file");
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let first =
        ["+demo", "-demo 7 5", "+other", "-other 3 0", "+demo", "-demo 0 0", "+demo", "-demo 0 0", "+other"];
    assert_eq!(logins(&events, 1), [&first[..], &["-other 0 0"]].concat());
    for session in [2, 3, 4, 6, 7] {
        assert_eq!(logins(&events, session), ["+demo", "-demo 0 0"], "{session}");
    }
    assert_eq!(events.len(), 20, "{text}");
}

#[test]
fn the_end_of_a_login_tells_how_long_that_was() {
    let receiver = Receiver::start();
    let gateway = told(&receiver, "types = [\"login\", \"session_closed\"]").start();
    let raw = gateway.connect();
    // Longer than a busy machine takes between the two clocks that are compared.
    std::thread::sleep(Duration::from_secs(3));
    raw.logged_in("demo", "secret").expect("QUIT", 221);
    let deliveries = receiver.wait_for(2);
    let time = |kind| {
        let text = only(&deliveries, kind).event["time"].as_str().expect("text");
        text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time")
    };
    let between = (time("session_closed") - time("login")).as_seconds_f64();
    let told = only(&deliveries, "session_closed").event["data"]["duration_seconds"].as_f64();
    assert!((told.expect("a number") - between).abs() < 2.0, "{told:?}, not {between}");
}

#[test]
fn an_upload_to_a_bucket_tells_its_tag_and_its_checksum() {
    let (receiver, server) = (Receiver::start(), S3Server::start());
    let gateway = told(&receiver, "types = [\"upload\"]").s3(&server).start();
    let mut raw = gateway.login();
    let (small, large) = (bytes(1000, 1), bytes(9_000_000, 2));
    raw.stor("small", &small);
    raw.stor("large", &large);
    assert_eq!(raw.upload("APPE small", b"more").code, 226);
    raw.expect("REST 500", 350);
    raw.stor("small", b"rest");
    let deliveries = receiver.wait_for(4);
    let of = |subject: &'static str| deliveries.iter().filter(move |delivery| delivery.subject() == subject);
    let [stored, appended, resumed] = &of("/small").collect::<Vec<_>>()[..] else {
        panic!("three of one path")
    };
    let [large] = &of("/large").collect::<Vec<_>>()[..] else { panic!("one of the other") };
    for (delivery, size, transferred) in
        [(stored, 1000, 1000), (appended, 1004, 4), (resumed, 504, 4), (large, 9_000_000, 9_000_000)]
    {
        expect(delivery, &[("size", size.into()), ("transferred", transferred.into())]);
        let tag = delivery.event["data"]["etag"].as_str().expect("S3 tells one");
        assert!(!tag.is_empty() && !tag.contains('"'), "{tag}");
    }
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &small);
    let sum = sum.as_ref().iter().fold("sha256:".to_owned(), |sum, byte| sum + &format!("{byte:02x}"));
    expect(stored, &[("checksum", sum.into())]);
    assert!(stored.event["data"]["etag"] != appended.event["data"]["etag"]);
    // What goes in parts is summed up as it passes; an append to what is not in memory is not.
    let sum = |raw: &mut Raw, name: &str| raw.expect(&format!("XCRC {name}"), 250).text().to_lowercase();
    expect(large, &[("checksum", format!("crc32:{}", sum(&mut raw, "large")).into())]);
    assert_eq!(raw.upload("APPE large", b"more").code, 226);
    let deliveries = receiver.wait_for(5);
    let appended = deliveries.last().expect("five");
    assert!(appended.event["data"].get("checksum").is_none(), "{}", appended.event);
}

#[test]
fn an_upload_to_a_folder_tells_its_checksum() {
    let receiver = Receiver::start();
    let gateway = told(&receiver, "types = [\"upload\"]").start();
    let mut raw = gateway.login();
    raw.stor("a", b"123456789");
    raw.expect("TYPE A", 200);
    raw.stor("b", b"1\r\n2\r\n");
    raw.stor("empty", b"");
    let deliveries = receiver.wait_for(3);
    let told: BTreeMap<_, _> = deliveries
        .iter()
        .map(|delivery| (delivery.subject(), delivery.event["data"]["checksum"].as_str().expect("a sum")))
        .collect();
    // The second is that of "1\n2\n", what is stored.
    assert_eq!(
        told,
        BTreeMap::from([("/a", "crc32:cbf43926"), ("/b", "crc32:69e17861"), ("/empty", "crc32:00000000")])
    );
}

#[test]
fn a_sink_is_told_only_what_it_wants() {
    let receiver = Receiver::start();
    let lines = "types = [\"upload\", \"rename\"]\nusers = [\"demo\"]\npaths = [\"/in/**\", \"/*.csv\"]";
    let gateway = told(&receiver, lines).start();
    let mut raw = gateway.login();
    let mut other = gateway.connect().logged_in("other", "secret");
    other.expect("TYPE I", 200);
    other.stor("/in/a", b"x");
    raw.stor("/out", b"x");
    raw.stor("/in/deep/b", b"x");
    raw.retr("/in/deep/b");
    raw.stor("/c.csv", b"x");
    raw.stor("/sub/d.csv", b"x");
    raw.expect("RNFR /out", 350);
    raw.expect("RNTO /in/e", 250);
    raw.expect("DELE /in/e", 250);
    raw.stor("/in/last", b"x");
    let seen = |deliveries: Vec<Delivery>| -> Vec<String> {
        let mut seen: Vec<_> = deliveries.iter().map(|d| format!("{} {}", d.kind(), d.subject())).collect();
        seen.sort();
        seen
    };
    let expected = ["rename /in/e", "upload /c.csv", "upload /in/deep/b", "upload /in/last"];
    assert_eq!(seen(receiver.wait_for(4)), expected);
}

fn signature(delivery: &Delivery, key: &str) -> bool {
    let timestamp = &delivery.headers["x-bucketport-timestamp"];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(now - timestamp.parse::<u64>().expect("seconds") < 60, "{timestamp}");
    let signed = [timestamp.as_bytes(), b".", &delivery.body].concat();
    let shown = delivery.headers["x-bucketport-signature"].strip_prefix("sha256=").expect("its algorithm");
    let shown: Vec<u8> = (0..shown.len() / 2)
        .map(|at| u8::from_str_radix(&shown[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &signed, &shown).is_ok()
}

#[test]
fn deliveries_are_signed_with_what_the_files_hold_and_no_secret_is_logged() {
    let (receiver, folder) = (Receiver::start(), TempDir::new().expect("a temporary folder"));
    let (key, token) = (folder.path().join("key"), folder.path().join("token"));
    let write = |number: u8| {
        std::fs::write(&key, format!("the-key-{number}\n")).expect("writable");
        std::fs::write(&token, format!("the-token-{number}\n")).expect("writable");
    };
    write(1);
    let lines = format!(
        "types = [\"upload\"]\nsecret_file = \"{}\"\nbearer_token_file = \"{}\"",
        key.display(),
        token.display()
    );
    let gateway = told(&receiver, &lines).log("level = \"trace\"").start();
    let mut raw = gateway.login();
    raw.stor("a", b"x");
    let first = receiver.wait_for(1).remove(0);
    assert!(signature(&first, "the-key-1") && !signature(&first, "the-key-2"));
    assert_eq!(first.headers["authorization"], "Bearer the-token-1");

    // A retry is signed anew, over the same bytes, and what was rotated meanwhile is used.
    receiver.does(Manner::Answer(500));
    raw.stor("b", b"x");
    eventually("a refusal", Duration::from_secs(20), || receiver.deliveries().len() > 1);
    std::fs::remove_file(&token).expect("it is there");
    receiver.does(Manner::Answer(200));
    gateway.wait_for_log("cannot be read");
    write(2);
    let second = receiver.wait_for(2).remove(1);
    let refused = receiver.deliveries().remove(1);
    assert_eq!((refused.id(), &refused.body), (second.id(), &second.body));
    assert!(signature(&second, "the-key-2") && signature(&refused, "the-key-1"));
    assert_eq!(second.headers["authorization"], "Bearer the-token-2");

    receiver.does(Manner::Close);
    raw.stor("c", b"x");
    gateway.wait_for_log("events are not delivered");
    let log = gateway.log();
    for secret in ["the-key", "the-token", "in-the-url"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn only_success_is_success() {
    let receiver = Receiver::start();
    let gateway = told(&receiver, "types = [\"upload\"]\nmax_attempts = 1").start();
    let mut raw = gateway.login();
    for (number, status) in [302, 307, 400, 404, 410, 429, 503].into_iter().enumerate() {
        receiver.does(Manner::Answer(status));
        raw.stor(&format!("{status}"), b"x");
        gateway.wait_for_log(&format!("answered {status}"));
        assert_eq!(receiver.deliveries().len(), number + 1, "a redirect is not followed");
    }
    assert_eq!(receiver.taken().len(), 0);
    let dead = "bucketport_events_total{result=\"dead\",sink=\"hook\"}";
    eventually("dead letters", Duration::from_secs(10), || gateway.metric(dead) > 6.5);
    check_nothing_waits(&gateway);
}

fn check_nothing_waits(gateway: &Gateway) {
    assert!(gateway.metric("bucketport_events_queued{sink=\"hook\"}") < 0.5);
    assert!(gateway.metric("bucketport_events_oldest_timestamp_seconds{sink=\"hook\"}") < 0.5);
}
