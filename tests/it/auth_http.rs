//! Users who are asked for over HTTP: a service of the test's own answers, refuses, hangs and lies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Certificate, Gateway, Setup};

/// What the service answers: a status and a body.
type Answer = (u16, String);

/// As a status: there is no answer.
const SILENCE: u16 = 0;

/// A service that is asked, and what it was asked.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Service {
    fn start(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &noted, answer.as_ref()));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().expect("no holder panics").clone()
    }

    fn gateway(&self, keys: &str) -> Gateway {
        let text = format!(
            "[auth.http]\nurl = \"http://{}/login?key=k3y\"\n{keys}\n\
             [[users]]\nname = \"demo\"\npassword = \"secret\"\n",
            self.address
        );
        Setup::default().users(&text).start()
    }
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<(String, Value)>>, answer: &dyn Fn(&Value) -> Answer) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("the body");
        let question = serde_json::from_slice(&body).expect("JSON");
        asked.lock().expect("no holder panics").push((head, question));
        let (_, question) = asked.lock().expect("no holder panics").last().cloned().expect("just put");
        let (status, body) = answer(&question);
        if status == SILENCE {
            std::thread::sleep(Duration::from_mins(1));
            return;
        }
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nlocation: /other\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// `acme` with the password `right` is a user; everybody else is refused.
fn acme(question: &Value) -> Answer {
    let is_right = question["user"] == "acme" && question["password"] == "right";
    let user = json!({ "name": "acme", "home": "acme", "permissions": ["list", "write"] });
    if is_right { (200, user.to_string()) } else { (401, String::new()) }
}

/// The reply to PASS.
fn attempt(gateway: &Gateway, name: &str, password: &str) -> (u16, String) {
    let mut raw = gateway.connect();
    raw.expect(&format!("USER {name}"), 331);
    let reply = raw.ask(&format!("PASS {password}"));
    (reply.code, reply.text().to_owned())
}

#[test]
fn who_is_answered_with_a_user_is_logged_in_as_that() {
    let service = Service::start(acme);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n").expect("a writable folder");
    let gateway = service.gateway(&format!("bearer_token_file = \"{}\"", token.display()));
    let mut raw = gateway.connect().logged_in("acme", "right");
    raw.stor("x", b"x");
    assert_eq!(gateway.file("acme/x"), b"x");
    raw.refused("RETR x", 550);
    let [(head, question)] = &service.asked()[..] else { panic!("one question") };
    assert!(head.starts_with("POST /login?key=k3y HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("\r\nauthorization: bearer t0ken\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    let expected = json!({ "user": "acme", "password": "right", "address": "127.0.0.1", "tls": null });
    assert_eq!(*question, expected);
    // A local user is not asked for, with a wrong password neither.
    gateway.login().expect("NOOP", 200);
    assert_eq!(attempt(&gateway, "demo", "wrong").0, 530);
    assert_eq!(service.asked().len(), 1);
    // Refused is refused like a wrong password, and answers are not kept unless asked.
    assert_eq!(attempt(&gateway, "acme", "wrong"), attempt(&gateway, "demo", "wrong"));
    assert_eq!(attempt(&gateway, "nobody", "right"), attempt(&gateway, "demo", "wrong"));
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    assert_eq!(service.asked().len(), 4);
    // The empty password is nobody's.
    assert_eq!(attempt(&gateway, "acme", "").0, 530);
    assert_eq!(service.asked().len(), 4);
    let log = gateway.log();
    assert!(!log.contains("right") && !log.contains("t0ken") && !log.contains("k3y"), "{log}");
    // A new token counts at once.
    std::fs::write(&token, "renewed").expect("a writable folder");
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    let last = service.asked().pop().expect("asked").0.to_lowercase();
    assert!(last.contains("authorization: bearer renewed\r\n"), "{last}");
}

#[test]
fn names_that_are_asked_for_are_locked_out_like_others() {
    let service = Service::start(acme);
    let gateway = service.gateway("");
    for _ in 0..10 {
        assert_eq!(attempt(&gateway, "acme", "wrong").0, 530);
    }
    assert_eq!(attempt(&gateway, "acme", "right").0, 421);
    assert_eq!(service.asked().len(), 10, "who is locked out is not asked for");
}

#[test]
fn any_doubt_keeps_the_user_out() {
    let huge = format!("{{\"home\": \"{}\"}}", "x".repeat(70_000));
    for (status, body, why) in [
        (500, "{}", "the answer was 500"),
        (204, "", "the answer was 204"),
        (302, "{}", "the answer was 302"),
        (200, "", "is not JSON"),
        (200, "[]", "is no JSON object"),
        (200, r#"{"name": "other"}"#, "name: is another than"),
        (200, r#"{"home": ".."}"#, "home: must not hold"),
        (200, r#"{"store": "other"}"#, "store: there is no store named `other`"),
        (200, r#"{"admin": true}"#, "admin: unknown key"),
        (200, huge.as_str(), "the answer is longer than 65536 bytes"),
    ] {
        let body = body.to_owned();
        let service = Service::start(move |_| (status, body.clone()));
        let gateway = service.gateway("");
        for password in ["hunter2", "hunter3"] {
            let (code, text) = attempt(&gateway, "acme", password);
            assert_eq!((code, text.as_str()), (421, "Cannot check passwords now, try later"), "{why}");
        }
        let log = gateway.log();
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(why)), "{why}: {log}");
        assert!(!log.contains("hunter"), "{log}");
        assert_eq!(service.asked().len(), 2, "nobody follows a redirect");
        gateway.login().expect("NOOP", 200);
    }
}

#[test]
fn a_service_that_hangs_or_is_gone_keeps_users_out_in_time() {
    let service = Service::start(|_| (SILENCE, String::new()));
    let gateway = service.gateway("timeout = \"300ms\"");
    let begun = Instant::now();
    assert_eq!(attempt(&gateway, "acme", "right").0, 421);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    gateway.wait_for_log("no answer within 300ms");
    // Nobody listens on a port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let gone = Service { address: free, asked: Arc::default() };
    let gateway = gone.gateway("");
    assert_eq!(attempt(&gateway, "acme", "right").0, 421);
    gateway.wait_for_log("cannot ask whether the user may log in");
    gateway.login().expect("NOOP", 200);
}

#[test]
fn positive_answers_are_kept_if_that_is_asked_for() {
    let service = Service::start(acme);
    let gateway = service.gateway("cache = \"1s\"");
    let asked = || service.asked().len();
    for _ in 0..3 {
        assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    }
    assert_eq!(asked(), 1);
    // Only for that password, address and user.
    assert_eq!(attempt(&gateway, "acme", "wrong").0, 530);
    assert_eq!(attempt(&gateway, "acme", "wrong").0, 530);
    assert_eq!(attempt(&gateway, "acm", "eright").0, 530);
    assert_eq!(asked(), 4);
    let other = [127, 0, 0, 9].into();
    gateway.connect_from(other).logged_in("acme", "right").expect("NOOP", 200);
    assert_eq!(asked(), 5);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    assert_eq!(asked(), 6);
}

#[test]
fn the_service_is_told_of_tls() {
    let service = Service::start(acme);
    let certificate = Certificate::new();
    let text = format!("[auth.http]\nurl = \"http://{}/\"\n", service.address);
    let gateway = certificate.setup("required").users(&text).start();
    certificate.python(&gateway, "1.3", "client = connect()\nclient.login('acme', 'right')\nclient.quit()");
    let asked = service.asked();
    let [(_, question)] = &asked[..] else { panic!("one question: {asked:?}") };
    assert_eq!(question["tls"], json!({ "version": "TLSv1.3", "client_certificate": [] }));
}
