//! Logging in and out: USER, PASS, REIN, who may and from where, and how long it may take.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::{Gateway, Setup, program};

/// `U*U`, from the test vectors of the algorithm's first free implementation.
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

const TWO_USERS: &str = r#"
[[users]]
name = "demo"
password = "secret"
[[users]]
name = "other"
password = "different"
home = "other"
"#;

#[test]
fn the_right_password_opens() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.expect("USER demo", 331);
    raw.expect("PASS secret", 230);
    raw.expect("PWD", 257);
    raw.expect("QUIT", 221);
    raw.closed();
}

#[test]
fn wrong_and_unknown_get_the_same_answer_and_may_try_again() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.expect("USER demo", 331);
    let wrong = raw.expect("PASS wrong", 530);
    raw.expect("PWD", 530);
    raw.expect("USER nobody", 331);
    let unknown = raw.expect("PASS secret", 530);
    assert_eq!(wrong, unknown);
    raw.logged_in("demo", "secret").expect("PWD", 257);
    let mut raw = gateway.login();
    raw.expect("USER demo", 331);
    raw.expect("PASS ", 530);
    raw.expect("USER demo", 331);
    raw.expect("PASS", 530);
    raw.logged_in("demo", "secret").expect("PWD", 257);
}

#[test]
fn a_session_has_three_tries() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    for name in ["demo", "nobody", "demo"] {
        raw.expect(&format!("USER {name}"), 331);
        raw.expect("PASS wrong", 530);
    }
    raw.ends_in_order();
    // A login that succeeds gives no further ones.
    let mut raw = gateway.login();
    for _ in 0..2 {
        raw.expect("USER nobody", 331);
        raw.expect("PASS wrong", 530);
        raw = raw.logged_in("demo", "secret");
    }
    raw.expect("USER nobody", 331);
    raw.expect("PASS wrong", 530);
    raw.ends_in_order();
}

#[test]
fn an_address_that_guesses_is_locked_out() {
    let gateway = Setup::default().users(TWO_USERS).start();
    let guesser: IpAddr = [127, 0, 0, 9].into();
    for guess in 0..10 {
        let mut raw = gateway.connect_from(guesser);
        raw.expect(&format!("USER {}", ["demo", "other", "nobody"][guess % 3]), 331);
        raw.expect("PASS wrong", 530);
    }
    let mut replies = Vec::new();
    for (name, password) in [("demo", "secret"), ("demo", "wrong"), ("unheard-of", "wrong")] {
        let mut raw = gateway.connect_from(guesser);
        raw.expect(&format!("USER {name}"), 331);
        replies.push(raw.expect(&format!("PASS {password}"), 421));
        raw.ends_in_order();
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    let login = |result: &str| gateway.metric(&format!("bucketport_logins_total{{result=\"{result}\"}}"));
    assert_eq!((login("bad_credentials"), login("locked_out"), login("ok")), (10.0, 3.0, 0.0));
    // Others are not affected, whoever they are.
    gateway.login().expect("PWD", 257);
}

#[test]
fn saying_user_again_gives_no_more_time() {
    let gateway = Setup::default().ftp("login_timeout = \"1s\"").start();
    let mut raw = gateway.connect();
    let begun = Instant::now();
    loop {
        let reply = raw.ask("USER demo");
        if reply.code == 421 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{reply:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    raw.closed();
}

#[test]
fn lines_without_a_pause_give_no_more_time() {
    let gateway = Setup::default().ftp("login_timeout = \"1s\"").start();
    for line in ["USER demo\r\n", "NOOP\r\n"] {
        let mut raw = gateway.connect();
        let mut sender = raw.sender();
        let begun = Instant::now();
        let many = line.repeat(100);
        let sending = std::thread::spawn(move || {
            while sender.write_all(many.as_bytes()).is_ok() && begun.elapsed() < Duration::from_secs(20) {}
        });
        while raw.reply().code != 421 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{line}");
        }
        sending.join().expect("no panic");
    }
}

#[test]
fn a_line_that_drips_gives_no_more_time() {
    let gateway = Setup::default().ftp("login_timeout = \"1s\"").start();
    let mut raw = gateway.connect();
    let mut sender = raw.sender();
    let begun = Instant::now();
    let dripping = std::thread::spawn(move || {
        while sender.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    });
    raw.reply_is(421);
    let cut_off = dripping.join().expect("no panic");
    assert!(cut_off < Duration::from_secs(20), "{cut_off:?}");
}

#[test]
fn pass_needs_user_each_time() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.expect("PASS secret", 503);
    raw.expect("USER demo", 331);
    raw.expect("PASS wrong", 530);
    raw.expect("PASS secret", 503);
    raw.expect("USER", 501);
    raw.logged_in("demo", "secret").expect("PASS secret", 503);
}

#[test]
fn before_login_nothing_is_done() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    let closed = [
        "CWD /",
        "XCWD /",
        "CDUP",
        "XCUP",
        "PWD",
        "XPWD",
        "PASV",
        "EPSV",
        "TYPE I",
        "STRU F",
        "MODE S",
        "RETR x",
        "STOR x",
        "STOU",
        "APPE x",
        "ALLO 1",
        "REST 0",
        "RNFR x",
        "RNTO x",
        "DELE x",
        "RMD x",
        "XRMD x",
        "MKD x",
        "XMKD x",
        "LIST",
        "NLST",
        "MLSD",
        "MLST",
        "SIZE x",
        "MDTM x",
        "STAT",
        "STAT x",
        "SITE HELP",
    ];
    for command in closed {
        raw.expect(command, 530);
    }
    for (command, code) in [
        ("NOOP", 200),
        ("SYST", 215),
        ("FEAT", 211),
        ("HELP", 214),
        ("OPTS UTF8 ON", 200),
        ("CLNT x", 200),
        ("QUIT", 221),
    ] {
        raw.expect(command, code);
    }
    let mut raw = gateway.connect();
    // Named is not logged in.
    raw.expect("USER demo", 331);
    raw.expect("LIST", 530);
    raw.expect("PASS secret", 230);
    raw.expect("PWD", 257);
}

#[test]
fn user_again_begins_a_new_login() {
    let gateway = Setup::default().users(TWO_USERS).start();
    let mut raw = gateway.connect();
    raw.expect("USER nobody", 331);
    let mut raw = raw.logged_in("demo", "secret");
    raw.expect("MKD sub", 257);
    raw.expect("CWD sub", 250);
    raw.expect("TYPE A", 200);
    raw.stor("mine", b"x");
    raw.expect("USER other", 331);
    raw.expect("PWD", 530);
    raw.expect("PASS different", 230);
    assert!(raw.expect("PWD", 257).text().starts_with("\"/\""));
    raw.expect("SIZE /sub/mine", 550);
    raw.stor("x", b"other");
    assert_eq!(gateway.file("other/x"), b"other");
    // A failed login leaves nobody logged in.
    raw.expect("USER demo", 331);
    raw.expect("PASS wrong", 530);
    raw.expect("LIST", 530);
}

#[test]
fn a_control_character_costs_a_reply_and_not_the_session() {
    let gateway = Gateway::start();
    let mut raw = gateway.connect();
    raw.expect("USER de\rmo", 501);
    raw.expect("USER demo", 331);
    raw.expect("PASS sec\rret", 530);
    raw.expect("PASS secret", 503);
    // Nor do bytes that are no text: operators see a wrong password.
    raw.expect("USER demo", 331);
    raw.send_bytes(b"PASS p\xe4ssword\r\n");
    raw.reply_is(530);
    let failed = gateway.metric("bucketport_logins_total{result=\"bad_credentials\"}");
    assert!((failed - 2.0).abs() < 0.5, "{failed}");
    assert_eq!(gateway.log().matches("login failed").count(), 2, "{}", gateway.log());
    raw.expect("USER demo", 331);
    raw.expect("PASS secret", 230);
}

#[test]
fn rein_logs_out() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.expect("MKD sub", 257);
    raw.expect("CWD sub", 250);
    raw.expect("REST 5", 350);
    raw.expect("REIN", 220);
    raw.expect("PWD", 530);
    let mut raw = raw.logged_in("demo", "secret");
    assert!(raw.expect("PWD", 257).text().starts_with("\"/\""));
    raw.stor("x", b"whole");
    assert_eq!(gateway.file("x"), b"whole");
}

#[test]
fn hashes_and_files_hold_passwords() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let file = files.path().join("password");
    std::fs::write(&file, "from a file\n").expect("a writable folder");
    let users = format!(
        "[[users]]\nname = \"argon\"\npassword_hash = \"{}\"\n\
         [[users]]\nname = \"bcrypt\"\npassword_hash = \"{BCRYPT}\"\n\
         [[users]]\nname = \"file\"\npassword_file = \"{}\"\n\
         [[users]]\nname = \"spaces\"\npassword = \" two  words \"\n\
         [[users]]\nname = \"großer\"\npassword = \"pässword\"\n",
        hash("correct horse"),
        file.display()
    );
    let gateway = Setup::default().users(&users).start();
    for (name, password) in [
        ("argon", "correct horse"),
        ("bcrypt", "U*U"),
        ("file", "from a file"),
        ("spaces", " two  words "),
        ("großer", "pässword"),
    ] {
        let mut raw = gateway.connect().logged_in(name, password);
        raw.expect("PWD", 257);
        raw.expect(&format!("USER {name}"), 331);
        raw.expect(&format!("PASS {}", &password[1..]), 530);
    }
}

#[test]
fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let users = format!("[[users]]\nname = \"argon\"\npassword_hash = \"{}\"\n", hash("x"));
    let gateway = Setup::default().users(&users).start();
    let mut host = 10;
    let mut fastest = |names: [&str; 3]| {
        let tries = names.map(|name| {
            // From an address where nobody has failed, so that each reply is delayed as long.
            host += 1;
            let mut raw = gateway.connect_from([127, 0, 0, host].into());
            raw.expect(&format!("USER {name}"), 331);
            let begun = Instant::now();
            raw.expect("PASS wrong", 530);
            let took = begun.elapsed();
            // Has what that name failed forgotten.
            raw.logged_in("argon", "x");
            took
        });
        let delayed = tries.into_iter().min().expect("three tries");
        delayed.checked_sub(Duration::from_millis(100)).expect("a delay")
    };
    let (wrong, unknown) = (fastest(["argon"; 3]), fastest(["nobody", "no one", "none"]));
    // Without the decoy an unknown name is answered a hundred times faster.
    assert!(unknown > wrong / 3, "unknown {unknown:?}, wrong {wrong:?}");
}

#[test]
fn a_user_may_be_bound_to_addresses() {
    let users = "[[users]]\nname = \"far\"\npassword = \"x\"\nallow_from = [\"10.0.0.0/8\"]\n\
                 [[users]]\nname = \"near\"\npassword = \"x\"\nallow_from = [\"10.0.0.0/8\", \"127.0.0.2\"]\n";
    let gateway = Setup::default().users(users).start();
    for name in ["far", "near"] {
        let mut raw = gateway.connect();
        let [right, wrong] = ["x", "wrong"].map(|password| {
            raw.expect(&format!("USER {name}"), 331);
            raw.expect(&format!("PASS {password}"), 530)
        });
        // Whether the password is right is told to nobody there.
        assert_eq!(right, wrong);
        raw.expect("PWD", 530);
    }
    let login = |result: &str| gateway.metric(&format!("bucketport_logins_total{{result=\"{result}\"}}"));
    assert_eq!((login("denied"), login("bad_credentials")), (2.0, 2.0));
    let second = "127.0.0.2".parse().expect("an address");
    gateway.connect_from(second).logged_in("near", "x").expect("PWD", 257);
}

#[test]
fn who_does_not_log_in_is_sent_away() {
    let gateway = Setup::default().ftp("login_timeout = \"1s\"").start();
    let mut silent = gateway.connect();
    let mut busy = gateway.connect();
    let mut user = gateway.login();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(600) {
        busy.expect("NOOP", 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    for raw in [&mut silent, &mut busy] {
        raw.reply_is(421);
        raw.closed();
    }
    user.silent_for(Duration::from_millis(300));
    user.expect("PWD", 257);
}

#[test]
fn who_falls_silent_is_sent_away() {
    let gateway = Setup::default().ftp("idle_timeout = \"1s\"").start();
    let mut raw = gateway.login();
    std::thread::sleep(Duration::from_millis(600));
    raw.expect("NOOP", 200);
    raw.silent_for(Duration::from_millis(500));
    raw.reply_is(421);
    raw.closed();
}

/// What `bucketport hash-password` makes of a password.
fn hash(password: &str) -> String {
    use std::process::Stdio;
    let mut command = program();
    command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("asked for").write_all(password.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}
