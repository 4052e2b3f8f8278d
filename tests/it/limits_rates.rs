//! Rates: a user is held to them, however many sessions there are, and nobody waits longer for that than is needed.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Certificate, Gateway, Setup, assert_same, bytes};

/// Far less than anything takes here that is held back for too long.
const QUICK: Duration = Duration::from_secs(10);

fn limited(sections: &str, limits: &str) -> Setup {
    Setup::default().users(&format!(
        "{sections}\n[[users]]\nname = \"other\"\npassword = \"secret\"\nhome = \"other\"\n\
         [[users]]\nname = \"demo\"\npassword = \"secret\"\n[users.limits]\n{limits}\n"
    ))
}

/// Sends `content` in a session of its own and returns how long it took.
fn stor(gateway: &Gateway, user: &str, name: &str, content: &[u8]) -> Duration {
    let mut raw = gateway.connect().logged_in(user, "secret");
    let begun = Instant::now();
    raw.stor(name, content);
    begun.elapsed()
}

fn slowed_down(gateway: &Gateway, limit: &str, scope: &str) -> f64 {
    gateway.metric(&format!("bucketport_limited_total{{limit=\"{limit}\",scope=\"{scope}\"}}"))
}

#[test]
fn uploads_and_downloads_have_their_rates() {
    let gateway = limited("", "upload_rate = \"500kB\"\ndownload_rate = \"400kB\"").start();
    let content = bytes(1_000_000, 1);
    // Without the quarter of a second that may come at once: (1 MB - 125 kB) / 500 kB/s.
    let took = stor(&gateway, "demo", "a", &content);
    assert!(took > Duration::from_millis(1_600), "{took:?}");
    assert_same(&gateway.file("a"), &content);
    let begun = Instant::now();
    let got = gateway.login().retr("a");
    // The last bytes lie in the client's buffers a little before it has read them.
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_same(&got, &content);
    for limit in ["upload_rate", "download_rate"] {
        assert!((slowed_down(&gateway, limit, "user") - 1.0).abs() < 0.1, "once a transfer: {limit}");
    }
    stor(&gateway, "other", "a", &content);
    assert!((slowed_down(&gateway, "upload_rate", "user") - 1.0).abs() < 0.1, "nobody else is slowed down");
}

#[test]
fn what_is_read_for_a_checksum_counts_as_a_download() {
    let gateway = limited("", "download_rate = \"400kB\"").start();
    gateway.put("file", &bytes(500_000, 1));
    let mut raw = gateway.login();
    let mut counted = 0.0;
    for (command, code) in [("HASH file", 213), ("XMD5 file", 250), ("XCRC \"file\" 0 450000", 250)] {
        let begun = Instant::now();
        raw.expect(command, code);
        counted += 1.0;
        // Without the burst 450 kB take a second and an eighth, less what was left of the burst.
        assert!(begun.elapsed() > Duration::from_millis(800), "{command}: {:?}", begun.elapsed());
        assert!((slowed_down(&gateway, "download_rate", "user") - counted).abs() < 0.1, "{command}");
    }
    gateway.put("large", &bytes(40_000_000, 1));
    let begun = Instant::now();
    raw.send("XMD5 large");
    raw.silent_for(Duration::from_millis(300));
    raw.expect("ABOR", 451);
    raw.reply_is(226);
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
}

#[test]
fn what_an_append_reads_of_the_old_file_counts_as_a_download() {
    let gateway = limited("", "download_rate = \"400kB\"\nupload_rate = \"10GiB\"").start();
    let content = bytes(600_000, 1);
    gateway.put("file", &content);
    let mut raw = gateway.login();
    let begun = Instant::now();
    assert_eq!(raw.upload("APPE file", b"more").code, 226);
    // (600 kB - 100 kB) / 400 kB/s, but for the last portion, which nothing waits behind.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_same(&gateway.file("file"), &[&content[..], b"more"].concat());
    raw.expect("REST 500000", 350);
    let begun = Instant::now();
    raw.stor("file", b"rest");
    assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_same(&gateway.file("file"), &[&content[..500_000], b"rest"].concat());
    assert!((slowed_down(&gateway, "download_rate", "user") - 2.0).abs() < 0.1);
    assert!(slowed_down(&gateway, "upload_rate", "user") < 0.5);
    // It holds back nobody else, and no upload of a whole file.
    let begun = Instant::now();
    raw.stor("whole", &bytes(4_000_000, 1));
    stor(&gateway, "other", "a", &bytes(4_000_000, 1));
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
}

#[test]
fn sessions_share_the_rate_of_their_user_and_users_that_of_all() {
    for (sections, limits, users, scope) in [
        ("", "upload_rate = \"500kB\"", ["demo", "demo"], "user"),
        ("[limits]\nupload_rate = \"500kB\"", "", ["demo", "other"], "all"),
        (
            "[limits.each_user]\nupload_rate = \"500kB\"",
            "upload_rate = \"unlimited\"",
            ["other", "other"],
            "user",
        ),
    ] {
        let gateway = limited(sections, limits).start();
        let content = bytes(500_000, 1);
        let begun = Instant::now();
        std::thread::scope(|threads| {
            for (name, user) in ["a", "b"].into_iter().zip(users) {
                threads.spawn({
                    let (gateway, content) = (&gateway, &content);
                    move || stor(gateway, user, name, content)
                });
            }
        });
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1_600), "{sections}{limits}: {took:?}");
        assert!(slowed_down(&gateway, "upload_rate", scope) > 0.5);
    }
}

#[test]
fn rates_hold_for_tls_and_for_lines_as_well() {
    let certificate = Certificate::new();
    let users =
        "[[users]]\nname = \"demo\"\npassword = \"secret\"\n[users.limits]\nupload_rate = \"500kB\"\n";
    let gateway = certificate.setup("optional").users(users).start();
    let said = certificate.python(
        &gateway,
        "1.3",
        "client = login()\nbegun = time.monotonic()\n\
         client.storbinary('STOR x', io.BytesIO(bytes(1_000_000)))\n\
         print(time.monotonic() - begun > 1.6)\n",
    );
    assert_eq!(said, "True\n");
    let mut raw = gateway.login();
    raw.expect("TYPE A", 200);
    let begun = Instant::now();
    raw.stor("lines", &b"0123456\r\n".repeat(100_000));
    assert!(begun.elapsed() > Duration::from_millis(1_100), "{:?}", begun.elapsed());
    assert_eq!(gateway.file("lines").len(), 800_000);
}

#[test]
fn a_small_file_does_not_wait_for_a_large_one() {
    let gateway = limited("", "upload_rate = \"500kB\"\ndownload_rate = \"500kB\"").start();
    gateway.put("large", &bytes(60_000_000, 1));
    gateway.put("small", b"small");
    let (mut up, mut down) = (gateway.login(), gateway.login());
    let mut sending = up.begin("STOR sent");
    let mut sender = sending.try_clone().expect("a live socket");
    // Each would take two minutes.
    let sender = std::thread::spawn(move || while sender.write_all(&[7; 16_384]).is_ok() {});
    let mut receiving = down.begin("RETR large");
    receiving.read_exact(&mut [0; 16_384]).expect("it comes");
    let mut raw = gateway.login();
    let begun = Instant::now();
    for _ in 0..5 {
        raw.stor("b", &bytes(4096, 2));
        assert_eq!(raw.retr("small"), b"small");
    }
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    up.expect("ABOR", 426);
    up.reply_is(226);
    drop(receiving);
    sending.flush().expect("nothing to flush");
    sender.join().expect("it ends with the connection");
}

#[test]
fn who_waits_for_the_rate_is_no_stall() {
    let gateway = limited("", "upload_rate = \"1KiB\"").ftp("data_timeout = \"1s\"").start();
    // Each waits for the other four, which is longer than a second.
    std::thread::scope(|threads| {
        for name in ["a", "b", "c", "d", "e"] {
            let gateway = &gateway;
            threads.spawn(move || stor(gateway, "demo", name, &bytes(2048, 1)));
        }
    });
    assert_eq!(gateway.files(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn abor_and_the_end_of_the_process_end_the_wait() {
    let gateway =
        limited("", "upload_rate = \"1KiB\"\ndownload_rate = \"1KiB\"").ftp("drain_timeout = \"1s\"").start();
    gateway.put("large", &bytes(100_000, 1));
    // Each would take a minute and a half.
    let mut raw = gateway.login();
    let mut data = raw.begin("STOR a");
    data.write_all(&bytes(100_000, 1)).expect("it is open");
    let begun = Instant::now();
    raw.expect("ABOR", 426);
    raw.reply_is(226);
    let receiving = raw.begin("RETR large");
    raw.expect("ABOR", 426);
    raw.reply_is(226);
    drop(receiving);
    let mut data = raw.begin("STOR a");
    data.write_all(&bytes(100_000, 1)).expect("it is open");
    drop(data);
    gateway.signal(Signal::SIGTERM);
    raw.reply_is(426);
    assert!(gateway.ended(QUICK).success());
    assert!(begun.elapsed() < 2 * QUICK, "{:?}", begun.elapsed());
    assert_eq!(gateway.files(), ["large"]);
}
