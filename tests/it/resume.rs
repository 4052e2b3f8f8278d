//! Uploads that break are gone on with (`resume_window`): what clients do after a lost line, and after a gateway that
//! was killed.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Gateway, Place, Raw, S3Server, Setup, assert_same, bytes, curl, eventually, lftp, on_each_store, reset,
};

const PART: usize = 5 * 1024 * 1024;
const SOON: Duration = Duration::from_secs(20);

fn keeping() -> Setup {
    Setup::default().transfer("part_size = \"5MiB\"").store("resume_window = \"1h\"").users(
        "[[users]]\nname = \"demo\"\npassword = \"secret\"\n[[users]]\nname = \"other\"\npassword = \"secret\"\n",
    )
}

on_each_store! { super::keeping();
    a_lost_line_costs_what_was_on_it
    curl_goes_on
    lftp_goes_on
    abor_keeps_nothing
    dele_gives_up
    what_is_converted_is_not_kept
    the_first_to_come_has_it
}

/// What SIZE says, if it says anything.
fn size(raw: &mut Raw, path: &str) -> Option<usize> {
    let reply = raw.ask(&format!("SIZE {path}"));
    (reply.code == 213).then(|| reply.text().parse().expect("a number"))
}

fn nothing_is_left(place: &Place) {
    eventually("the clean-up", SOON, || place.left_over().is_empty() && place.records().is_empty());
}

/// Sends `content` and loses the line; returns how much of it was kept.
fn lose(gateway: &Gateway, command: &str, content: &[u8]) -> usize {
    let mut raw = gateway.login();
    let mut data = raw.begin(command);
    data.write_all(content).expect("the gateway reads");
    let path = command.split_once(' ').expect("a path").1;
    // What is on the line when it is lost never arrives.
    sleep(Duration::from_millis(300));
    reset(&data);
    drop(data);
    raw.reply_is(426);
    size(&mut raw, path).expect("kept")
}

fn a_lost_line_costs_what_was_on_it(place: &Place) {
    let content = bytes(4 * PART, 1);
    let mut kept = 0;
    for to in [1000, PART + 1000, 3 * PART] {
        let gateway = &place.gateway;
        let mut raw = gateway.login();
        raw.expect(&format!("REST {kept}"), 350);
        let mut data: TcpStream = raw.begin("STOR file");
        data.write_all(&content[kept..to]).expect("the gateway reads");
        sleep(Duration::from_millis(300));
        reset(&data);
        drop(data);
        raw.reply_is(426);
        kept = size(&mut raw, "file").expect("kept");
        assert!(kept > 0 && kept <= to, "{kept} of {to}");
        let facts = raw.expect("MLST file", 250);
        assert!(facts.lines.iter().any(|line| line.contains(&format!("size={kept};"))), "{facts:?}");
        // It is nobody's file.
        raw.expect("MDTM file", 550);
        raw.expect("RNFR file", 550);
        raw.refused("RETR file", 550);
        assert_eq!(raw.list("NLST"), [""; 0]);
        let mut other = gateway.connect().logged_in("other", "secret");
        other.expect("SIZE file", 550);
        other.expect("DELE file", 550);
    }
    let mut raw = place.gateway.login();
    raw.expect(&format!("REST {}", kept + 1), 350);
    raw.refused("STOR file", 554);
    raw.expect(&format!("REST {kept}"), 350);
    assert_eq!(raw.upload("STOR file", &content[kept..]).code, 226);
    assert_same(&place.stored("file").expect("stored"), &content);
    nothing_is_left(place);
}

fn curl_goes_on(place: &Place) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    let content = bytes(3 * PART, 1);
    fs::write(&file, &content).expect("a writable folder");
    for sent in [1000, 2 * PART] {
        lose(&place.gateway, "STOR file", &content[..sent]);
        let path = file.display().to_string();
        curl(["-C", "-", "-T", &path, &place.gateway.url("/file")]).success();
        assert_same(&place.stored("file").expect("stored"), &content);
        place.gateway.login().expect("DELE file", 250);
    }
    nothing_is_left(place);
}

fn lftp_goes_on(place: &Place) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    let content = bytes(3 * PART, 1);
    fs::write(&file, &content).expect("a writable folder");
    lose(&place.gateway, "STOR file", &content[..2 * PART]);
    let site = format!("open -u demo,secret ftp://{};", place.gateway.ftp);
    lftp(&format!("{site} reput {}", file.display())).success();
    assert_same(&place.stored("file").expect("stored"), &content);
    nothing_is_left(place);
}

fn abor_keeps_nothing(place: &Place) {
    for sent in [1000, PART + 1000] {
        let mut raw = place.gateway.login();
        let mut data = raw.begin("STOR file");
        data.write_all(&bytes(sent, 1)).expect("the gateway reads");
        raw.send("ABOR");
        raw.reply_is(426);
        raw.reply_is(226);
        raw.expect("SIZE file", 550);
        nothing_is_left(place);
    }
}

fn dele_gives_up(place: &Place) {
    for sent in [1000, PART + 1000] {
        lose(&place.gateway, "STOR file", &bytes(sent, 1));
        let mut raw = place.gateway.login();
        raw.expect("DELE file", 250);
        raw.expect("SIZE file", 550);
        raw.expect("DELE file", 550);
        nothing_is_left(place);
    }
}

/// An offset would mean one byte to the client and another to the store.
fn what_is_converted_is_not_kept(place: &Place) {
    let lines = b"line\r\n".repeat(PART / 4);
    for sent in [1200, lines.len()] {
        let mut raw = place.gateway.login();
        raw.expect("TYPE A", 200);
        let mut data = raw.begin("STOR file");
        data.write_all(&lines[..sent]).expect("the gateway reads");
        sleep(Duration::from_millis(300));
        reset(&data);
        drop(data);
        raw.reply_is(426);
        raw.expect("TYPE I", 200);
        raw.expect("SIZE file", 550);
        nothing_is_left(place);
    }
    // It takes the place of what was kept, and does not go on with it.
    for (command, name) in [("STOR", "stored"), ("APPE", "appended")] {
        lose(&place.gateway, &format!("STOR {name}"), &bytes(1000, 1));
        let mut raw = place.gateway.login();
        raw.expect("TYPE A", 200);
        assert_eq!(raw.upload(&format!("{command} {name}"), b"line\r\n").code, 226);
        assert_eq!(place.stored(name).expect("stored"), b"line\n");
    }
    assert_eq!(size(&mut place.gateway.login(), "stored"), Some(5));
}

fn the_first_to_come_has_it(place: &Place) {
    let content = bytes(PART, 1);
    let kept = lose(&place.gateway, "STOR file", &content[..1000]);
    let (mut first, mut second) = (place.gateway.login(), place.gateway.login());
    first.expect(&format!("REST {kept}"), 350);
    let mut data = first.begin("STOR file");
    second.expect(&format!("REST {kept}"), 350);
    second.refused("STOR file", 450);
    second.refused("APPE file", 450);
    data.write_all(&content[kept..]).expect("the gateway reads");
    drop(data);
    first.reply_is(226);
    assert_same(&place.stored("file").expect("stored"), &content);
}

/// What is written down while the upload runs is what a gateway leaves that is killed.
fn goes_on_after_a_kill(killed: &Gateway, start: impl FnOnce() -> Gateway) {
    let content = bytes(3 * PART, 1);
    let mut raw = killed.login();
    let mut data = raw.begin("STOR file");
    data.write_all(&content[..2 * PART + 1000]).expect("the gateway reads");
    let mut other = killed.login();
    eventually("the record of two parts", SOON, || size(&mut other, "file").is_some_and(|kept| kept >= PART));
    killed.signal(Signal::SIGKILL);
    drop((raw, data, other));

    let replica = start();
    let mut raw = replica.login();
    let kept = size(&mut raw, "file").expect("kept");
    assert!(kept >= PART, "{kept}");
    // The dead session has it until it has not been heard of for long enough.
    eventually("the end of its hold", Duration::from_mins(2), || {
        let mut data = raw.pasv();
        raw.expect(&format!("REST {kept}"), 350);
        let reply = raw.ask("STOR file");
        if reply.code == 450 {
            sleep(Duration::from_secs(1));
            return false;
        }
        assert_eq!(reply.code, 150, "{reply:?}");
        data.write_all(&content[kept..]).expect("the gateway reads");
        drop(data);
        raw.reply_is(226);
        true
    });
    assert_same(&raw.retr("file"), &content);
}

/// What is aborted because the gateway stops is kept, and nobody holds it.
#[test]
fn a_stop_keeps_what_arrived() {
    let server = S3Server::start();
    let stopped = keeping().ftp("drain_timeout = \"500ms\"").s3(&server).start();
    let content = bytes(3 * PART, 1);
    let mut raw = stopped.login();
    let mut data = raw.begin("STOR file");
    data.write_all(&content[..PART + 1000]).expect("the gateway reads");
    sleep(Duration::from_millis(300));
    stopped.signal(Signal::SIGTERM);
    assert!(stopped.ended(Duration::from_mins(1)).success());

    let replica = keeping().s3(&server).start();
    let mut raw = replica.login();
    let kept = size(&mut raw, "file").expect("kept");
    assert!(kept >= PART, "{kept}");
    raw.expect(&format!("REST {kept}"), 350);
    assert_eq!(raw.upload("STOR file", &content[kept..]).code, 226);
    assert_same(&raw.retr("file"), &content);
}

#[test]
fn another_gateway_goes_on_after_a_kill_on_s3() {
    let server = S3Server::start();
    let killed = keeping().s3(&server).start();
    goes_on_after_a_kill(&killed, || keeping().s3(&server).start());
    eventually("the clean-up", SOON, || server.open_uploads().is_empty());
}

#[test]
fn another_gateway_goes_on_after_a_kill_in_a_folder() {
    let killed = keeping().start();
    let url = format!("file://{}", killed.data().display());
    goes_on_after_a_kill(&killed, || keeping().at(&url, Vec::new()).start());
    eventually("the clean-up", SOON, || killed.files() == ["file"]);
}
