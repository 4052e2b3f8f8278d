//! The status page and its JSON: what they tell, to whom, and what an operator can have done over HTTP.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Answer, Certificate, Cluster, Events, Gateway, Manner, Raw, Receiver, Setup, TOKEN, bearer, bytes,
    eventually, request,
};

/// A name in which everything is that HTML takes for its own.
const HOSTILE: &str = "<script>alert(1)<&>\"'.txt";
const LIMIT: Duration = Duration::from_secs(20);

fn get(gateway: &Gateway, path: &str) -> Answer {
    request(gateway.http, &format!("GET {path}"), &[], "")
}

fn get_as_admin(gateway: &Gateway, path: &str) -> Answer {
    request(gateway.http, &format!("GET {path}"), &[&bearer()], "")
}

/// The status as JSON, for who shows the token.
fn status(gateway: &Gateway) -> Value {
    let answer = get_as_admin(gateway, "/status.json");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the status, for who shows the token, is as `done` wants it.
#[track_caller]
fn wait(gateway: &Gateway, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    eventually(what, LIMIT, || {
        last = status(gateway);
        done(&last)
    });
    last
}

/// The ids of the sessions that are listed.
fn sessions(status: &Value) -> Vec<u64> {
    let list = status["sessions"]["list"].as_array().expect("a list");
    list.iter().map(|session| session["id"].as_u64().expect("a number")).collect()
}

fn hostile_users() -> String {
    format!("[[users]]\nname = '''{}'''\npassword = \"secret\"\n", HOSTILE.replace(' ', ""))
}

/// A gateway on which a user with a bad name has an upload that waits for more, and has done others before.
fn busy(setup: Setup) -> (Gateway, Raw, std::net::TcpStream) {
    let gateway = setup.users(&hostile_users()).start();
    let mut raw = gateway.connect();
    raw.expect(&format!("USER {HOSTILE}-nobody"), 331);
    raw.expect("PASS wrong-password", 530);
    let mut raw = gateway.connect().logged_in(HOSTILE, "secret");
    raw.stor(HOSTILE, b"12345");
    assert_eq!(raw.retr(HOSTILE), b"12345");
    raw.refused("RETR missing", 550);
    raw.expect("ALLO 200000", 200);
    let mut data = raw.begin(&format!("STOR running-{HOSTILE}"));
    data.write_all(&bytes(50_000, 1)).expect("it takes bytes");
    (gateway, raw, data)
}

#[test]
fn with_the_token_the_status_has_everything() {
    let (gateway, _raw, _data) = busy(Setup::default().admin());
    let status = wait(&gateway, "the bytes", |status| status["transfers"]["running"][0]["bytes"] == 50_000);
    let running = &status["transfers"]["running"][0];
    assert_eq!(running["path"], format!("/running-{HOSTILE}"));
    assert_eq!((&running["user"], &running["size"]), (&json!(HOSTILE), &json!(200_000)));
    assert_eq!((&running["direction"], &status["transfers"]["active"]), (&json!("upload"), &json!(1)));
    let last = status["transfers"]["last"].as_array().expect("a list");
    let told: Vec<_> = last
        .iter()
        .map(|ended| (&ended["direction"], &ended["result"], &ended["bytes"], &ended["path"]))
        .collect();
    let (file, missing) = (json!(format!("/{HOSTILE}")), json!("/missing"));
    let expected = [
        (&json!("download"), &json!("rejected"), &json!(0), &missing),
        (&json!("download"), &json!("ok"), &json!(5), &file),
        (&json!("upload"), &json!("ok"), &json!(5), &file),
    ];
    assert_eq!(told, expected);
    assert_eq!((&last[0]["address"], &last[0]["store"]), (&json!("127.0.0.1"), &json!("main")));
    let page = get(&gateway, "/status").body;
    for (class, result) in [("good", "ok"), ("bad", "rejected")] {
        let cell = format!("<td class=\"{class}\" role=\"cell\" data-head=\"Result\">{result}</td>");
        assert!(page.contains(&cell), "{cell} in {page}");
    }
    let failed = &status["failed_logins"][0];
    assert_eq!(
        (&failed["name"], &failed["address"]),
        (&json!(format!("{HOSTILE}-nobody")), &json!("127.0.0.1"))
    );
    let session = status["sessions"]["list"].as_array().expect("a list").last().expect("one");
    assert_eq!((&session["user"], &session["command"]), (&json!(HOSTILE), &json!("STOR")));
    assert!(session["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")));
    for (field, expected) in [
        ("/version", json!(env!("CARGO_PKG_VERSION"))),
        ("/state", json!("ready")),
        ("/details", json!(true)),
        ("/stores/0/name", json!("main")),
        ("/stores/0/reachable", json!(true)),
        ("/passive_ports/listening", json!(20)),
        ("/sessions/limit", json!(10_000)),
        ("/buffers/limit_bytes", json!(256 << 20)),
        ("/cluster", Value::Null),
        ("/certificates", json!([])),
    ] {
        assert_eq!(status.pointer(field), Some(&expected), "{field} in {status}");
    }
}

#[test]
fn without_the_token_nobody_sees_names_addresses_or_paths() {
    for setup in [Setup::default(), Setup::default().admin()] {
        let (gateway, _raw, _data) = busy(setup);
        let events = Events::open(gateway.http, &[]).expect("a place").next().expect("an event");
        let (page, json) = (get(&gateway, "/status"), get(&gateway, "/status.json"));
        assert_eq!((page.status, json.status), (200, 200));
        assert_eq!(json.json()["details"], false);
        assert_eq!(json.json()["transfers"]["last"].as_array().map(Vec::len), Some(3));
        for text in [page.body, json.body, events] {
            for hidden in ["alert", "missing", "nobody", "127.0.0.1"] {
                assert!(!text.contains(hidden), "{hidden} in {text}");
            }
        }
    }
}

#[test]
fn where_no_token_is_configured_nothing_can_be_done_and_a_token_changes_nothing() {
    let gateway = Gateway::start();
    let _raw = gateway.login();
    let token = bearer();
    for line in ["DELETE /sessions/1", "POST /reload", "POST /drain", "POST /status/login"] {
        assert_eq!(request(gateway.http, line, &[&token], &format!("token={TOKEN}")).status, 404, "{line}");
    }
    assert_eq!(get_as_admin(&gateway, "/status.json").json()["details"], false);
    assert!(!get(&gateway, "/status").body.contains("<form"));
}

#[test]
fn what_clients_chose_is_escaped() {
    let (gateway, _raw, _data) = busy(Setup::default().admin());
    wait(&gateway, "the transfer", |status| status["transfers"]["active"] == 1);
    let page = get_as_admin(&gateway, "/status");
    let events = Events::open(gateway.http, &[&bearer()]).expect("a place").next().expect("an event");
    for html in [page.body, events] {
        assert!(!html.contains("<script>alert"), "{html}");
        // In the lists of what runs, what has ended, who is there, and who was not let in.
        assert!(html.matches("&lt;script&gt;alert(1)&lt;&amp;&gt;&quot;'.txt").count() >= 6, "{html}");
    }
}

#[test]
fn only_what_the_page_itself_brings_runs_in_it_and_nothing_is_kept() {
    let gateway = Setup::default().admin().start();
    let page = get(&gateway, "/status");
    let policy = page.header("content-security-policy").expect("a policy");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert!(nonce.len() >= 20 && page.body.contains(&format!("<script nonce=\"{nonce}\">")), "{policy}");
    let expected = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    assert_eq!(policy, expected);
    assert!(!get(&gateway, "/status").body.contains(nonce), "the same twice");
    for answer in [page, get(&gateway, "/status.json")] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
}

#[test]
fn a_wrong_token_is_refused_and_takes_its_time() {
    let gateway = Setup::default().admin().start();
    let _raw = gateway.login();
    for line in [
        "GET /status",
        "GET /status.json",
        "GET /status/events",
        "DELETE /sessions/1",
        "POST /reload",
        "POST /drain",
    ] {
        let begun = Instant::now();
        let answer = request(gateway.http, line, &["Authorization: Bearer a-token-that-nobody-guessed"], "");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{line}");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{line}");
    }
    for line in ["DELETE /sessions/1", "POST /reload", "POST /drain"] {
        assert_eq!(request(gateway.http, line, &[], "").status, 401, "{line}");
    }
    gateway.wait_for_log("wrong admin token");
    assert!(!gateway.log().contains("nobody-guess"), "{}", gateway.log());
    assert_eq!(sessions(&status(&gateway)), [1]);
}

#[test]
fn the_token_counts_as_its_file_has_it() {
    let gateway = Setup::default().admin().start();
    let details = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        request(gateway.http, "GET /status.json", &[&header], "").status
    };
    assert_eq!(details(TOKEN), 200);
    let file = gateway.folder().join("token");
    std::fs::write(&file, "another-token-of-ours\n").expect("a writable folder");
    assert_eq!((details(TOKEN), details("another-token-of-ours")), (401, 200));
    std::fs::write(&file, "").expect("a writable folder");
    assert_eq!((details(TOKEN), details("another-token-of-ours")), (401, 401));
    assert_eq!(get(&gateway, "/status.json").status, 200);
}

#[test]
fn an_empty_token_file_is_a_mistake_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("token"), "\n").expect("a writable folder");
    let text = "[http]\nadmin_token_file = \"token\"\n[stores.a]\nurl = \"memory:///\"\n";
    std::fs::write(folder.path().join("bucketport.toml"), text).expect("a writable folder");
    let output = crate::support::program().arg("check").current_dir(folder.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.trim()), (Some(64), "http.admin_token_file: token is empty"));
}

/// The cookie that signing in gives.
fn sign_in(gateway: &Gateway) -> String {
    let answer = request(gateway.http, "POST /status/login", &[], &format!("token={TOKEN}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("../status")));
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.ends_with("HttpOnly; SameSite=Strict") && !set.contains(TOKEN), "{set}");
    format!("Cookie: {}", set.split(';').next().expect("a pair"))
}

#[test]
fn a_person_signs_in_with_a_form() {
    let gateway = Setup::default().admin().start();
    let _raw = gateway.login();
    assert!(get(&gateway, "/status").body.contains("action=\"status/login\""));
    let begun = Instant::now();
    let refused = request(gateway.http, "POST /status/login", &[], "token=wrong-wrong-wrong-wrong");
    assert!(begun.elapsed() >= Duration::from_secs(1), "guessing is slow");
    assert_eq!((refused.status, refused.header("location")), (303, Some("../status?refused")));
    assert_eq!(refused.header("set-cookie"), None);
    assert!(get(&gateway, "/status?refused").body.contains("That is not the token."));
    let cookie = sign_in(&gateway);
    let page = request(gateway.http, "GET /status", &[&cookie], "").body;
    assert!(page.contains("demo") && page.contains("End session 1"), "{page}");
    let out = request(gateway.http, "POST /status/logout", &[&cookie], "");
    assert!(out.header("set-cookie").is_some_and(|set| set.starts_with("bucketport_status=; ")), "{out:?}");
    assert_eq!(request(gateway.http, "POST /status/login", &[], &"x".repeat(5000)).status, 413);
}

#[test]
fn with_the_cookie_only_the_page_itself_can_change_something() {
    let gateway = Setup::default().admin().start();
    let _raw = gateway.login();
    let cookie = sign_in(&gateway);
    for origin in [None, Some("Origin: http://127.0.0.1:1"), Some("Origin: null")] {
        let headers: Vec<&str> = [Some(&*cookie), origin].into_iter().flatten().collect();
        for line in ["DELETE /sessions/1", "POST /reload", "POST /drain"] {
            assert_eq!(request(gateway.http, line, &headers, "").status, 403, "{line} {origin:?}");
        }
    }
    let origin = format!("Origin: http://{}", gateway.http);
    // What the browser says of the site goes before, and knows through a proxy that gives the gateway another name.
    let forged = [&*cookie, &origin, "Sec-Fetch-Site: cross-site"];
    assert_eq!(request(gateway.http, "DELETE /sessions/1", &forged, "").status, 403);
    assert_eq!(request(gateway.http, "DELETE /sessions/1", &[&cookie, &origin], "").status, 204);
    gateway.wait_for_sessions(LIMIT);
    let proxied = [&*cookie, "Origin: https://ftp.example.com", "Sec-Fetch-Site: same-origin"];
    assert_eq!(request(gateway.http, "DELETE /sessions/1", &proxied, "").status, 404);
}

fn end_session(gateway: &Gateway, id: u64) -> u16 {
    request(gateway.http, &format!("DELETE /sessions/{id}"), &[&bearer()], "").status
}

#[test]
fn a_session_that_is_ended_leaves_nothing_of_its_upload() {
    let (gateway, mut raw, mut data) = busy(Setup::default().admin());
    let id = wait(&gateway, "the bytes", |status| status["transfers"]["running"][0]["bytes"] == 50_000);
    let id = id["transfers"]["running"][0]["session"].as_u64().expect("a number");
    let mut other = gateway.connect().logged_in(HOSTILE, "secret");
    assert_eq!(end_session(&gateway, id), 204);
    raw.reply_is(426);
    assert_eq!(raw.reply_is(421).text(), "Closed by the operator");
    raw.closed();
    // The data connection is reset, whatever the client would still send.
    assert!(!matches!(data.read(&mut [0; 1]), Ok(1..)));
    eventually("the clean-up", LIMIT, || gateway.files() == [HOSTILE]);
    other.expect("NOOP", 200);
    eventually("its end", LIMIT, || end_session(&gateway, id) == 404);
    gateway.wait_for_log("session closed over http");
    let last = wait(&gateway, "its end", |status| status["transfers"]["active"] == 0);
    assert_eq!(last["transfers"]["last"][0]["result"], "aborted");
}

#[test]
fn idle_sessions_and_those_before_login_are_ended_at_once() {
    let gateway = Setup::default().admin().start();
    let (mut fresh, mut idle) = (gateway.connect(), gateway.login());
    for (id, raw) in [(1, &mut fresh), (2, &mut idle)] {
        assert_eq!(end_session(&gateway, id), 204);
        raw.reply_is(421);
        raw.closed();
    }
    for wrong in ["x", "-1", "99999999999999999999"] {
        let status = request(gateway.http, &format!("DELETE /sessions/{wrong}"), &[&bearer()], "").status;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[test]
fn a_reload_says_what_came_of_it() {
    let users = |password: &str| format!("[[users]]\nname = \"demo\"\npassword = \"{password}\"\n");
    let setup = Setup::default()
        .admin()
        .users("[auth]\nusers_file = \"users.toml\"\n[[users]]\nname = \"x\"\npassword = \"x\"\n");
    let gateway = {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("users.toml");
        std::fs::write(&file, users("first")).expect("a writable folder");
        let setup = setup.env("BUCKETPORT_AUTH__USERS_FILE", &file.display().to_string());
        (setup.start(), folder)
    };
    let (gateway, folder) = gateway;
    let file = folder.path().join("users.toml");
    gateway.connect().logged_in("demo", "first");
    let reload = || request(gateway.http, "POST /reload", &[&bearer()], "");
    std::fs::write(&file, "[[users]]\nname = \"demo\"\npasword = \"x\"\n").expect("a writable folder");
    let answer = reload();
    assert_eq!(answer.status, 422, "{answer:?}");
    let errors = answer.json()["errors"].as_array().expect("a list").clone();
    assert!(
        errors.iter().any(|error| error.as_str().is_some_and(|text| text.contains("pasword"))),
        "{errors:?}"
    );
    gateway.connect().logged_in("demo", "first");
    std::fs::write(&file, users("second")).expect("a writable folder");
    let answer = reload();
    assert_eq!((answer.status, answer.json()), (200, json!({ "message": "reloaded" })));
    gateway.connect().logged_in("demo", "second");
}

#[test]
fn a_drain_is_that_of_the_signal() {
    let (gateway, mut raw, mut data) = busy(Setup::default().admin());
    let mut events = Events::open(gateway.http, &[]).expect("a place");
    let drain = || request(gateway.http, "POST /drain", &[&bearer()], "").status;
    assert_eq!((drain(), drain()), (202, 202));
    wait(&gateway, "the drain", |status| status["state"] == "draining");
    while !events.next().expect("it can be watched").contains("Draining") {}
    assert_eq!(request(gateway.http, "POST /reload", &[&bearer()], "").status, 503);
    data.write_all(b"the rest").expect("it takes bytes");
    drop(data);
    raw.reply_is(226);
    while events.next().is_some() {}
    assert_eq!(gateway.ended(LIMIT).code(), Some(0));
}

/// An orchestrator that ends what has been drained sends one signal, whoever has drained it.
#[test]
fn the_first_signal_after_a_drain_over_http_cuts_nothing() {
    for signals in [1, 2] {
        let (gateway, mut raw, mut data) = busy(Setup::default().admin());
        assert_eq!(request(gateway.http, "POST /drain", &[&bearer()], "").status, 202);
        gateway.wait_for_log("draining");
        gateway.signal(Signal::SIGTERM);
        if signals == 2 {
            gateway.wait_for_log("it drains already");
            gateway.signal(Signal::SIGTERM);
            assert_eq!(gateway.ended(LIMIT).code(), Some(0));
            assert!(!gateway.files().iter().any(|file| file.starts_with("running")), "{:?}", gateway.files());
            continue;
        }
        gateway.wait_for_log("it drains already");
        data.write_all(b"the rest").expect("it takes bytes");
        drop(data);
        raw.reply_is(226);
        assert_eq!(gateway.ended(LIMIT).code(), Some(0));
    }
}

#[test]
fn the_page_is_kept_up_to_date() {
    let gateway = Setup::default().admin().start();
    let mut events = Events::open(gateway.http, &[&bearer()]).expect("a place");
    assert!(!events.next().expect("an event").contains("End session"));
    let mut raw = gateway.login();
    while !events.next().expect("an event").contains("End session 1") {}
    raw.expect("QUIT", 221);
    while events.next().expect("an event").contains("End session 1") {}
}

#[test]
fn a_page_that_is_kept_up_to_date_ends_with_its_token() {
    let gateway = Setup::default().admin().start();
    let _raw = gateway.login();
    let cookie = sign_in(&gateway);
    let mut open = [bearer(), cookie].map(|shown| Events::open(gateway.http, &[&shown]).expect("a place"));
    let mut anybody = Events::open(gateway.http, &[]).expect("a place");
    for events in &mut open {
        assert!(events.next().expect("an event").contains("demo"));
    }
    std::fs::write(gateway.folder().join("token"), "another-token-of-ours").expect("a writable folder");
    for events in &mut open {
        // One or two may be on their way.
        assert!((0..4).any(|_| events.next().is_none()), "it goes on");
    }
    for _ in 0..3 {
        anybody.next().expect("who has shown nothing loses nothing");
    }
    let new = ["Authorization: Bearer another-token-of-ours"];
    assert!(Events::open(gateway.http, &new).expect("a place").next().expect("an event").contains("demo"));
    assert!(!gateway.log().contains("wrong admin token"), "nobody has tried one");
}

#[test]
fn what_a_kill_would_lose_of_the_events_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let queue = format!("[events_queue]\nfolder = \"{}\"\n", folder.path().join("queue").display());
    for (queue, at_stake) in [(&*queue, 0), ("", 1)] {
        let receiver = Receiver::start();
        receiver.does(Manner::Close);
        let users = format!(
            "[[users]]\nname = \"demo\"\npassword = \"secret\"\n{queue}[[events]]\nname = \"hook\"\n\
             type = \"webhook\"\nurl = \"{}\"\ntypes = [\"upload\"]\n",
            receiver.url()
        );
        let gateway = Setup::default().admin().users(&users).start();
        gateway.login().stor("a", b"x");
        let seen = wait(&gateway, "the event", |status| status["event_queues"][0]["waiting"] == 1);
        assert_eq!(seen["event_queues"][0]["at_stake"], at_stake, "{seen}");
        let page = get(&gateway, "/status").body;
        let class = if at_stake == 0 { "number" } else { "number warn" };
        let cell =
            format!("<td class=\"{class}\" role=\"cell\" data-head=\"In memory alone\">{at_stake}</td>");
        assert!(page.contains(&cell), "{page}");
        let url = format!("http://{}", gateway.http);
        let shown = crate::support::program().args(["status", "--url", &url]).output().expect("it runs");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let row = shown.lines().find(|line| line.starts_with(" hook")).expect("a row");
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!((cells[1], cells[4]), ("1", &*at_stake.to_string()), "{shown}");
    }
}

#[test]
fn a_download_tells_its_size() {
    let gateway = Setup::default().admin().start();
    gateway.put("large", &vec![0; 20_000_000]);
    let mut raw = gateway.login();
    raw.expect("REST 5000000", 350);
    let _data = raw.begin("RETR large");
    let status = wait(&gateway, "the download", |status| status["transfers"]["active"] == 1);
    assert_eq!(status["transfers"]["running"][0]["size"], 15_000_000);
    assert!(get(&gateway, "/status").body.contains("<progress max=\"100\""));
}

#[test]
fn certificates_and_stores_are_told() {
    let certificate = Certificate::new();
    let gateway = certificate.setup("optional").admin().start();
    let answer = status(&gateway);
    let certificate = &answer["certificates"][0];
    assert!(certificate["file"].as_str().is_some_and(|file| file.contains("tls.crt")), "{answer}");
    assert!(certificate["expires"].as_str().is_some_and(|time| time.starts_with("20")), "{answer}");
    assert_eq!(get(&gateway, "/status.json").json()["certificates"][0]["file"], Value::Null);
    wait(&gateway, "the store", |status| status["stores"][0]["reachable"] == true);
    std::fs::remove_dir_all(gateway.data()).expect("a folder");
    let gone = wait(&gateway, "the store's loss", |status| status["stores"][0]["reachable"] == false);
    assert!(gone["stores"][0]["error"].is_string() && gone["stores"][0]["since"].is_string(), "{gone}");
    assert_eq!((&gone["state"], &gone["reasons"]), (&json!("not_ready"), &json!(["store main unreachable"])));
    assert_eq!(get(&gateway, "/status.json").json()["stores"][0]["error"], Value::Null);
}

#[test]
fn a_replica_tells_its_place_in_the_cluster() {
    let cluster = Cluster::with(Setup::admin);
    let (first, last) = cluster.slice(1);
    let expected = json!({
        "ordinal": 1, "replicas": 3, "first_port": first, "last_port": last, "forwarding": 0,
    });
    assert_eq!(status(cluster.replica(1))["cluster"], expected);
    let page = get(cluster.replica(1), "/status").body;
    assert!(page.contains("1 of 0 to 2") && page.contains(&format!("{first} to {last}")), "{page}");
}
