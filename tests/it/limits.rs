//! Limits of sessions, of files and of days: which one it was stands in the reply, and nothing is left of what was refused.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::Signal;

use crate::support::{Certificate, Gateway, Raw, Setup, bytes, curl, eventually, reset};

const SOON: Duration = Duration::from_secs(20);

/// A gateway with the users `demo`, who has these limits, and `other`; `sections` stand before them.
fn limited(sections: &str, limits: &str) -> Setup {
    Setup::default().users(&text(sections, limits))
}

fn text(sections: &str, limits: &str) -> String {
    format!(
        "{sections}\n[[users]]\nname = \"other\"\npassword = \"secret\"\nhome = \"other\"\n\
         [[users]]\nname = \"demo\"\npassword = \"secret\"\n[users.limits]\n{limits}\n"
    )
}

fn refusals(gateway: &Gateway, limit: &str, scope: &str) -> f64 {
    gateway.metric(&format!("bucketport_limited_total{{limit=\"{limit}\",scope=\"{scope}\"}}"))
}

/// What the gateway says to the right password.
fn pass(raw: &mut Raw, user: &str) -> (u16, String) {
    raw.expect(&format!("USER {user}"), 331);
    let reply = raw.ask("PASS secret");
    (reply.code, reply.text().to_owned())
}

/// Who has not the right password hears what everybody hears.
fn a_wrong_password_tells_nothing(gateway: &Gateway, from: IpAddr) {
    let mut raw = gateway.connect_from(from);
    raw.expect("USER demo", 331);
    assert_eq!(raw.expect("PASS wrong", 530).text(), "Login incorrect");
}

/// What comes last in `tests` is whether `demo`, who has none, and `other`, who has networks of their own, may log in from here.
#[test]
fn networks_are_those_of_all_and_of_each_user() {
    let (here, elsewhere) = ("127.0.0.0/8", "10.0.0.0/8");
    let tests = [
        (here, here, elsewhere, [true, false]),
        (here, elsewhere, here, [false, true]),
        (elsewhere, here, here, [false, false]),
    ];
    for (all, each, own, expected) in tests {
        let users = format!(
            "[limits]\nallow_from = [\"{all}\"]\n[limits.each_user]\nallow_from = [\"{each}\"]\n\
             [[users]]\nname = \"demo\"\npassword = \"secret\"\n\
             [[users]]\nname = \"other\"\npassword = \"secret\"\nallow_from = [\"{own}\"]\n"
        );
        let gateway = Setup::default().users(&users).start();
        let got = ["demo", "other"].map(|user| pass(&mut gateway.connect(), user));
        let expected =
            expected.map(|allowed| if allowed { (230, "Logged in") } else { (530, "Login incorrect") });
        assert_eq!(got, expected.map(|(code, text)| (code, text.to_owned())), "{users}");
        let denied = expected.iter().filter(|(code, _)| *code == 530).count();
        let counted = gateway.metric("bucketport_logins_total{result=\"denied\"}");
        assert!((counted - f64::from(u32::try_from(denied).expect("two"))).abs() < 0.1, "{counted}");
    }
}

#[test]
fn sessions_of_a_user_are_limited() {
    let gateway = limited("", "sessions = 2").start();
    let first = gateway.login();
    let _second = gateway.login();
    let mut third = gateway.connect();
    assert_eq!(pass(&mut third, "demo"), (421, "Too many sessions: limit of 2 sessions".to_owned()));
    third.closed();
    a_wrong_password_tells_nothing(&gateway, Ipv4Addr::LOCALHOST.into());
    gateway.connect().logged_in("other", "secret");
    assert!((refusals(&gateway, "sessions", "user") - 1.0).abs() < 0.1);
    assert!((gateway.metric("bucketport_logins_total{result=\"limited\"}") - 1.0).abs() < 0.1);
    // The control connection is cut.
    drop(first);
    eventually("room", SOON, || pass(&mut gateway.connect(), "demo").0 == 230);
}

#[test]
fn who_has_quit_has_room_at_once() {
    let gateway = limited("", "sessions = 1").start();
    for _ in 0..30 {
        let mut raw = gateway.login();
        raw.expect("QUIT", 221);
        // The connection is not even closed.
        gateway.login().expect("QUIT", 221);
    }
    let mut raw = gateway.login();
    for _ in 0..3 {
        assert_eq!(pass(&mut raw, "demo").0, 230, "the same session again");
    }
    raw.expect("REIN", 220);
    gateway.login();
}

#[test]
fn sessions_from_an_address_are_limited_by_user() {
    let gateway = limited("", "sessions_per_address = 1").start();
    let _first = gateway.login();
    let refused = (421, "Too many sessions: limit of 1 sessions of this user from one address".to_owned());
    assert_eq!(pass(&mut gateway.connect(), "demo"), refused);
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2).into();
    assert_eq!(pass(&mut gateway.connect_from(elsewhere), "demo").0, 230);
    gateway.connect().logged_in("other", "secret");
}

#[test]
fn sessions_are_limited_in_all() {
    let gateway =
        limited("[limits]\nsessions = 2\n[limits.each_user]\nsessions = 1", "sessions = \"unlimited\"")
            .start();
    let _first = gateway.connect().logged_in("other", "secret");
    let refused = (421, "Too many sessions: limit of 1 sessions".to_owned());
    assert_eq!(pass(&mut gateway.connect(), "other"), refused, "what holds for each");
    let _second = gateway.login();
    let refused = (421, "Too many sessions: limit of 2 sessions of all users together".to_owned());
    assert_eq!(pass(&mut gateway.connect(), "demo"), refused);
    assert!((refusals(&gateway, "sessions", "all") - 1.0).abs() < 0.1);
}

#[test]
fn a_user_may_need_tls() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").users(&text("", "tls_required = true")).start();
    let mut raw = gateway.connect();
    assert_eq!(
        pass(&mut raw, "demo"),
        (530, "TLS is required for this user: send AUTH TLS first".to_owned())
    );
    a_wrong_password_tells_nothing(&gateway, Ipv4Addr::LOCALHOST.into());
    gateway.connect().logged_in("other", "secret");
    let said = certificate.python(
        &gateway,
        "1.3",
        "client = connect()\n\
         client.login('demo', 'secret')\n\
         client.voidcmd('PBSZ 0')\n\
         print(code(client, 'PROT C'), refused(client, 'STOR x'))\n\
         client.prot_p()\n\
         client.storbinary('STOR x', io.BytesIO(b'encrypted'))\n\
         client.login('other', 'secret')\n\
         print(code(client, 'PROT C'))\n",
    );
    assert_eq!(said, "534 521\n200\n");
    assert_eq!(gateway.file("x"), b"encrypted");
}

#[test]
fn logins_have_their_hours() {
    // A day of the week that is not now, whenever now is.
    let day = (Utc::now() + TimeDelta::days(3)).format("%a").to_string();
    let gateway = limited("", &format!("hours = [\"{day} 06:00-20:00\"]")).start();
    let expected = format!("Not now: logins of this user are allowed {day} 06:00-20:00 UTC");
    assert_eq!(pass(&mut gateway.connect(), "demo"), (530, expected));
    a_wrong_password_tells_nothing(&gateway, Ipv4Addr::LOCALHOST.into());
    gateway.connect().logged_in("other", "secret");
}

#[test]
fn a_session_ends_at_its_first_command_after_its_hours() {
    let now = Utc::now();
    let end = now + TimeDelta::seconds(65);
    let hours = format!("{}-{}", (now - TimeDelta::hours(1)).format("%H:%M"), end.format("%H:%M"));
    let gateway = limited("", &format!("hours = [\"{hours}\"]")).start();
    let (mut raw, mut busy) = (gateway.login(), gateway.login());
    let mut data = busy.begin("STOR x");
    let begun = std::time::Instant::now();
    loop {
        let reply = raw.ask("NOOP");
        if reply.code == 421 {
            assert_eq!(reply.text(), format!("Closing: logins of this user are allowed {hours} UTC"));
            break;
        }
        assert!(reply.code == 200 && begun.elapsed() < Duration::from_secs(70), "{reply:?}");
        data.write_all(b"x").expect("what runs goes on");
        sleep(Duration::from_millis(500));
    }
    raw.closed();
    drop(data);
    busy.reply_is(226);
    assert_eq!(busy.ask("NOOP").code, 421);
}

#[test]
fn a_user_may_be_idle_for_a_time_of_their_own() {
    let gateway = limited("[limits.each_user]\nidle_timeout = \"1h\"", "idle_timeout = \"1s\"").start();
    let (mut raw, mut other) = (gateway.login(), gateway.connect().logged_in("other", "secret"));
    assert_eq!(other.expect("SITE IDLE", 200).text(), "An idle session ends after 3600 seconds");
    raw.expect("SITE IDLE 2", 501);
    raw.reply_is(421);
    raw.closed();
    other.expect("NOOP", 200);
}

#[test]
fn a_file_has_a_largest_size() {
    let gateway = limited("", "file_size = \"1KiB\"").store("resume_window = \"1h\"").start();
    let mut raw = gateway.login();
    let content = bytes(1025, 1);
    raw.stor("fits", &content[..1024]);
    let told = "File too large: limit of 1.0 KiB a file";
    let none_but = |expected: &[&str]| {
        eventually("nothing is left", SOON, || {
            let files = gateway.files().into_iter().filter(|file| !file.contains("turn"));
            files.collect::<Vec<_>>() == expected
        });
    };
    let reply = raw.upload("STOR large", &content);
    assert_eq!((reply.code, reply.text()), (552, told));
    none_but(&["fits"]);
    // As soon as it is exceeded, and not only at the end.
    let mut endless = raw.begin("STOR endless");
    endless.write_all(&content).expect("it is open");
    assert_eq!(raw.reply_is(552).text(), told);
    drop(endless);
    // What is there already counts.
    assert_eq!(raw.upload("APPE fits", b"x").code, 552);
    raw.expect("REST 1023", 350);
    assert_eq!(raw.upload("STOR fits", b"xy").code, 552);
    raw.stor("short", &content[..1000]);
    assert_eq!(raw.upload("APPE short", &content[..24]).code, 226);
    raw.expect("REST 1000", 350);
    assert_eq!(raw.upload("STOR short", &content[..24]).code, 226);
    gateway.put("huge", &bytes(5000, 2));
    assert_eq!(raw.refused("APPE huge", 552).text(), told);
    // Before the first byte, where the client says so.
    raw.expect("ALLO 1025", 200);
    assert_eq!(raw.refused("STOR announced", 552).text(), told);
    raw.expect("ALLO 1024", 200);
    assert_eq!(raw.upload("STOR announced", &content[..1024]).code, 226);
    // What counts is the file, whatever its line ends are on the wire.
    raw.expect("TYPE A", 200);
    raw.expect("ALLO 2048", 200);
    assert_eq!(raw.upload("STOR lines", &b"\r\n".repeat(1024)).code, 226);
    assert_eq!(raw.upload("STOR lines", &b"\r\n".repeat(1025)).code, 552);
    assert_eq!(gateway.file("lines").len(), 1024);
    none_but(&["announced", "fits", "huge", "lines", "short"]);
    assert_eq!(gateway.file("fits"), content[..1024]);
    let rejected = gateway.metric("bucketport_transfers_total{direction=\"upload\",result=\"rejected\"}");
    assert!((rejected - 5.0).abs() < 0.1, "{rejected}");
    assert!((refusals(&gateway, "file_size", "user") - 7.0).abs() < 0.1);
    gateway.connect().logged_in("other", "secret").stor("large", &content);
}

#[test]
fn curl_is_told_that_a_file_is_too_large() {
    let gateway = limited("", "file_size = \"1MB\"").start();
    let file = gateway.folder().join("large");
    std::fs::write(&file, bytes(8_000_000, 1)).expect("a writable folder");
    let sent = curl(["-T", &file.display().to_string(), &gateway.url("/large")]);
    assert_ne!(sent.code, Some(0), "{sent:?}");
    eventually("nothing is left", SOON, || gateway.files().is_empty());
}

#[test]
fn a_day_has_so_many_files() {
    let gateway = limited("", "files_per_day = 3").start();
    let mut raw = gateway.login();
    raw.stor("a", b"1");
    // What fails is no file, and what runs has its place.
    let mut data = raw.begin("STOR broken");
    data.write_all(b"x").expect("it is open");
    reset(&data);
    drop(data);
    raw.reply_is(426);
    raw.stor("a", b"replaced");
    let mut running = raw.begin("STOR b");
    let mut second = gateway.login();
    let told = "Not today: limit of 3 files a day, counted anew from 00:00 UTC on";
    assert_eq!(second.refused("STOR c", 452).text(), told);
    running.write_all(b"b").expect("it is open");
    drop(running);
    raw.reply_is(226);
    assert_eq!(second.refused("APPE a", 452).text(), told);
    assert_eq!(second.retr("a"), b"replaced", "downloads are not counted");
    gateway.connect().logged_in("other", "secret").stor("c", b"1");
    assert!((refusals(&gateway, "files_per_day", "user") - 2.0).abs() < 0.1);
}

#[test]
fn a_day_has_so_many_bytes() {
    let gateway = limited("", "bytes_per_day = \"10KiB\"").start();
    let mut raw = gateway.login();
    raw.stor("a", &bytes(4096, 1));
    let told = "Not today: limit of 10.0 KiB a day, counted anew from 00:00 UTC on";
    // What is refused does not count...
    let reply = raw.upload("STOR b", &bytes(8192, 2));
    assert_eq!((reply.code, reply.text()), (452, told));
    raw.expect("ALLO 8192", 200);
    assert_eq!(raw.refused("STOR b", 452).text(), told);
    // ...and what the client breaks off does.
    let arrived = || gateway.metric("bucketport_transfer_bytes_total{direction=\"upload\",store=\"main\"}");
    let before = arrived();
    let mut data = raw.begin("STOR b");
    data.write_all(&bytes(2048, 3)).expect("it is open");
    eventually("the bytes", SOON, || arrived() > before + 2047.0);
    reset(&data);
    drop(data);
    raw.reply_is(426);
    assert_eq!(raw.upload("STOR b", &bytes(4097, 4)).code, 452);
    raw.stor("b", &bytes(4096, 4));
    assert_eq!(raw.refused("STOR c", 452).text(), told, "not even an empty one");
    eventually("nothing is left", SOON, || gateway.files() == ["a", "b"]);
    gateway.connect().logged_in("other", "secret").stor("a", &bytes(20_000, 1));
}

#[test]
fn what_is_too_large_counts_for_no_day() {
    let gateway = limited("", "file_size = \"4KiB\"\nbytes_per_day = \"10KiB\"\nfiles_per_day = 1").start();
    let mut raw = gateway.login();
    for _ in 0..4 {
        assert_eq!(raw.upload("STOR large", &bytes(5000, 1)).code, 552);
    }
    raw.stor("fits", &bytes(4096, 1));
}

#[test]
fn all_users_share_the_day_of_all() {
    let gateway = limited("[limits]\nfiles_per_day = 2\nbytes_per_day = \"100kB\"", "").start();
    let (mut raw, mut other) = (gateway.login(), gateway.connect().logged_in("other", "secret"));
    raw.stor("a", b"1");
    assert_eq!(raw.upload("STOR b", &bytes(100_000, 1)).code, 452, "with the byte of a");
    other.stor("a", b"1");
    let told = "Not today: limit of 2 files a day of all users together, counted anew from 00:00 UTC on";
    assert_eq!(raw.refused("STOR b", 452).text(), told);
    assert_eq!(other.refused("STOR b", 452).text(), told);
}

#[test]
fn what_was_used_outlives_sessions_and_reloads() {
    let gateway = limited("", "files_per_day = 1").start();
    let mut raw = gateway.login();
    raw.stor("a", b"1");
    raw.expect("QUIT", 221);
    drop(raw);
    gateway.login().refused("STOR b", 452);
    let file = gateway.folder().join("gateway.toml");
    let config = std::fs::read_to_string(&file).expect("our file");
    let config = config.replace("files_per_day = 1", "files_per_day = 2");
    std::fs::write(&file, format!("{config}[limits]\nsessions = 1\n")).expect("our file");
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_log("users reloaded");
    gateway.wait_for_log("[limits] has changed, which needs a restart");
    let mut raw = gateway.login();
    raw.stor("b", b"2");
    raw.refused("STOR c", 452);
}
