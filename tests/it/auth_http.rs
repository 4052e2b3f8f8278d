//! Users who are asked for over HTTP: a service of the test's own answers, refuses, hangs and lies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DnType, date_time_ymd};
use serde_json::{Value, json};

use crate::support::{Authority, Certificate, Gateway, Setup, eventually, python_with_tls, setup};

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
    let cases = [
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
    ];
    std::thread::scope(|scope| {
        for (status, body, why) in cases {
            let body = body.to_owned();
            scope.spawn(move || doubted(status, body, why));
        }
    });
}

/// Nobody is let in by this answer, and the log says why.
fn doubted(status: u16, body: String, why: &str) {
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

#[test]
fn the_time_of_a_refusal_does_not_tell_who_was_asked() {
    let slow = |question: &Value| {
        std::thread::sleep(Duration::from_millis(if question["user"] == "slow" { 1300 } else { 200 }));
        acme(question)
    };
    let service = Service::start(slow);
    let gateway = service.gateway("");
    // A local name, one that the service has, one that nobody has, what is refused without a question, and who is slow.
    for (name, password, seconds) in [
        ("demo", "wrong", 1),
        ("acme", "wrong", 1),
        ("nobody", "wrong", 1),
        ("acme", "", 1),
        ("slow", "wrong", 2),
    ] {
        let begun = Instant::now();
        assert_eq!(attempt(&gateway, name, password).0, 530);
        assert!(begun.elapsed() >= Duration::from_secs(seconds), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn one_address_does_not_take_all_questions() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = [Arc::clone(&now), Arc::clone(&most)];
    let service = Service::start(move |question| {
        if question["user"] == "acme" {
            return acme(question);
        }
        let [now, most] = &counted;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(3));
        now.fetch_sub(1, Ordering::SeqCst);
        (401, String::new())
    });
    let gateway = service.gateway("timeout = \"20s\"");
    let ask_from = |address: u8| {
        // Different names, which no lockout connects.
        for number in 0..12 {
            let mut raw = gateway.connect_from([127, 0, 0, address].into());
            raw.expect(&format!("USER guess{address}-{number}"), 331);
            raw.send("PASS x");
            // The gateway goes on with it.
            std::mem::forget(raw);
        }
    };
    ask_from(9);
    eventually("the questions", Duration::from_secs(20), || now.load(Ordering::SeqCst) == 8);
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    assert_eq!(most.load(Ordering::SeqCst), 8, "of one address");
    for address in 10..16 {
        ask_from(address);
    }
    eventually("the questions", Duration::from_secs(20), || service.asked().len() > 70);
    assert_eq!(most.load(Ordering::SeqCst), 32, "of all");
}

#[test]
fn a_service_that_is_down_is_not_asked_without_end() {
    let service = Service::start(|_| (500, String::new()));
    let gateway = service.gateway("");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                assert_eq!(attempt(&gateway, "acme", "x").0, 421);
                assert_eq!(attempt(&gateway, "acme", "x").0, 421);
            });
        }
    });
    // Eight of one address in a second, and nobody is locked out by it.
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let log = gateway.log();
    assert!(!log.contains("locked out"), "{log}");
    assert_eq!(log.matches("cannot ask whether the user may log in").count(), 1, "once a minute: {log}");
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
    let gateway = service.gateway("cache = \"8s\"");
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
    // Each wrong password above has taken a second.
    std::thread::sleep(Duration::from_millis(8200));
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    assert_eq!(asked(), 6);
}

#[test]
fn who_needs_no_question_does_not_wait_for_those_of_others() {
    let service =
        Service::start(
            |question| if question["user"] == "acme" { acme(question) } else { (SILENCE, String::new()) },
        );
    let gateway = service.gateway("cache = \"5m\"\ntimeout = \"30s\"");
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    // All questions that there may be, those of the user's own address among them.
    let mut waiting = Vec::new();
    for address in [1, 9, 10, 11] {
        for number in 0..9 {
            let mut raw = gateway.connect_from([127, 0, 0, address].into());
            raw.expect(&format!("USER guess{address}-{number}"), 331);
            raw.send("PASS x");
            waiting.push(raw);
        }
    }
    eventually("the questions", Duration::from_secs(20), || service.asked().len() == 33);
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    // All of them are under way still.
    assert!(!gateway.log().contains("no answer within"), "{}", gateway.log());
    assert_eq!(service.asked().len(), 33);
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

/// What the certificate says is told while it is valid, and what the answer binds the user to is heeded.
#[test]
fn certificates_are_told_and_bind_whom_the_service_binds() {
    let service = Service::start(|question| {
        let user = match question["user"].as_str() {
            Some("bound") => json!({ "client_certificate": ["cn:camera-7"] }),
            Some("near") => json!({ "allow_from": ["192.0.2.0/24"] }),
            _ => json!({}),
        };
        (200, user.to_string())
    });
    let [servers, clients] = [(); 2].map(|()| Authority::new());
    let named = |name: &'static str| {
        move |parameters: &mut CertificateParams| parameters.distinguished_name.push(DnType::CommonName, name)
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a right clock");
    let camera = clients.issue("camera", named("camera-7"));
    let other = clients.issue("other", named("camera-8"));
    let short = clients.issue("short", |parameters| {
        named("camera-7")(parameters);
        parameters.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_secs() + 10);
    });
    let text = format!("[auth.http]\nurl = \"http://{}/\"\ncache = \"1m\"\n", service.address);
    let gateway = setup("required", &servers.server("server", &["localhost"]))
        .ftp(&format!("tls.client_ca = \"{}\"", clients.certificate().display()))
        .ftp("tls.client_certificates = \"optional\"")
        .users(&text)
        .start();
    let pairs: Vec<String> = [&camera, &other, &short]
        .map(|pair| format!("({:?}, {:?})", pair.certificate.display(), pair.private_key.display()))
        .into();
    let script = format!(
        r"
def ask(client, line):
    client.putcmd(line)
    try:
        return client.getresp()
    except ftplib.Error as error:
        return str(error)
def begin(pair):
    global context
    context = ssl.create_default_context(cafile=sys.argv[1])
    if pair: context.load_cert_chain(*pair)
    client = connect()
    client.auth()
    return client
def attempt(client, user):
    assert ask(client, 'USER ' + user)[:3] == '331'
    return ask(client, 'PASS x')[:3]
camera, other, short = {}
late = begin(short)
begun = time.time()
assert attempt(begin(camera), 'bound') == '230'
assert attempt(begin(other), 'bound') == '530'
assert attempt(begin(None), 'bound') == '530'
# What was answered for one certificate does not count for another one.
assert attempt(begin(camera), 'bound') == '230'
assert attempt(begin(None), 'free') == '230'
assert attempt(begin(None), 'near') == '530'
time.sleep(max(0, 11.5 - (time.time() - begun)))
assert attempt(late, 'late') == '230'
",
        pairs.join(", ")
    );
    python_with_tls(&gateway, &servers.certificate(), "1.3", &script);
    let told: Vec<_> = service.asked().into_iter().map(|(_, question)| question).collect();
    let told: Vec<_> = told
        .iter()
        .map(|question| {
            (question["user"].as_str().expect("text"), question["tls"]["client_certificate"].to_string())
        })
        .collect();
    // The last one shows a certificate that has expired meanwhile.
    let expected = [
        ("bound", r#"["cn:camera-7","subject:CN=camera-7"]"#),
        ("bound", r#"["cn:camera-8","subject:CN=camera-8"]"#),
        ("bound", "[]"),
        ("free", "[]"),
        ("near", "[]"),
        ("late", "[]"),
    ]
    .map(|(user, names)| (user, names.to_owned()));
    assert_eq!(told, expected);
}

/// A proxy would get to see passwords.
#[test]
fn no_proxy_is_asked() {
    let service = Service::start(acme);
    let proxy = Service::start(acme);
    let text = format!("[auth.http]\nurl = \"http://{}/\"\n", service.address);
    let at = format!("http://{}", proxy.address);
    let gateway = Setup::default().users(&text).env("http_proxy", &at).env("HTTP_PROXY", &at).start();
    assert_eq!(attempt(&gateway, "acme", "right").0, 230);
    assert_eq!((service.asked().len(), proxy.asked().len()), (1, 0));
}
