//! Files go in and come out byte for byte: STOR, RETR, APPE, STOU, REST, SIZE, MDTM, and what refuses them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, Utc};

use crate::support::{Gateway, Place, Raw, S3Server, Setup, assert_same, bytes, on_each_store};

const PART: usize = 5 * 1024 * 1024;

fn small_parts() -> Setup {
    Setup::default().transfer("part_size = \"5MiB\"")
}

on_each_store! { super::small_parts();
    sizes_around_a_part
    a_hundred_megabytes
    append
    append_to_a_file_of_many_parts
    restart_an_upload
    restart_a_download
    restart_beyond_the_end_changes_nothing
    unique_names
    what_is_missing_gets_550_and_no_150
    size_and_time
    a_new_upload_replaces_the_old_file
}

fn sizes_around_a_part(place: &Place) {
    let mut raw = place.gateway.login();
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1] {
        let (name, content) = (format!("f{size}"), bytes(size, size as u64));
        raw.stor(&name, &content);
        assert_same(&place.stored(&name).expect("stored"), &content);
        assert_eq!(raw.expect(&format!("SIZE {name}"), 213).text(), size.to_string());
        assert_same(&raw.retr(&name), &content);
    }
    assert_eq!(place.left_over(), [""; 0]);
}

fn a_hundred_megabytes(place: &Place) {
    let content = bytes(100_000_000, 7);
    let mut raw = place.gateway.login();
    raw.stor("large", &content);
    assert_same(&place.stored("large").expect("stored"), &content);
    assert_same(&raw.retr("large"), &content);
    assert_eq!(place.left_over(), [""; 0]);
}

fn append(place: &Place) {
    let mut raw = place.gateway.login();
    let (first, second, third) = (bytes(PART + 5, 1), bytes(PART + 7, 2), bytes(3, 3));
    for piece in [&first, &second, &third] {
        assert_eq!(raw.upload("APPE log", piece).code, 226);
    }
    let all = [first, second, third].concat();
    assert_same(&place.stored("log").expect("stored"), &all);
    assert_eq!(raw.upload("APPE log", b"").code, 226);
    assert_same(&raw.retr("log"), &all);
}

/// The old bytes are read and sent on at the same time; neither may lose any for the other.
fn append_to_a_file_of_many_parts(place: &Place) {
    let old = bytes(8 * PART + 1, 6);
    place.put("log", &old);
    let mut raw = place.gateway.login();
    for piece in [b"one", b"two"] {
        let reply = raw.upload("APPE log", piece);
        assert_eq!(reply.code, 226, "{reply:?}");
    }
    assert_same(&place.stored("log").expect("stored"), &[&old[..], b"onetwo"].concat());
    raw.expect(&format!("REST {}", 7 * PART), 350);
    raw.stor("log", b"three");
    assert_same(&place.stored("log").expect("stored"), &[&old[..7 * PART], b"three"].concat());
}

fn restart_an_upload(place: &Place) {
    let mut raw = place.gateway.login();
    let content = bytes(PART + 1000, 4);
    raw.stor("x", &content[..1000]);
    raw.expect("REST 1000", 350);
    raw.stor("x", &content[1000..]);
    assert_same(&place.stored("x").expect("stored"), &content);
    // In the middle of the old file: what stood behind is gone.
    raw.expect("REST 10", 350);
    raw.stor("x", b"end");
    assert_same(&place.stored("x").expect("stored"), &[&content[..10], b"end"].concat());
    // The offset holds for one transfer.
    raw.stor("x", b"whole");
    assert_eq!(raw.retr("x"), b"whole");
    raw.expect("REST 0", 350);
    raw.stor("x", b"0");
    assert_eq!(place.stored("x").expect("stored"), b"0");
}

fn restart_a_download(place: &Place) {
    let mut raw = place.gateway.login();
    let content = bytes(3 * PART + 17, 5);
    raw.stor("x", &content);
    for offset in [1, PART - 1, PART, PART + 1, content.len() - 1, content.len()] {
        raw.expect(&format!("REST {offset}"), 350);
        assert_same(&raw.retr("x"), &content[offset..]);
    }
    assert_same(&raw.retr("x"), &content);
}

fn restart_beyond_the_end_changes_nothing(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("x", b"12345");
    for command in ["RETR x", "STOR x"] {
        raw.expect("REST 6", 350);
        raw.refused(command, 554);
    }
    raw.expect("REST 1", 350);
    raw.refused("STOR missing", 554);
    raw.expect("REST 18446744073709551615", 350);
    raw.refused("RETR x", 554);
    assert_eq!(place.stored("x").expect("stored"), b"12345");
    // The failed offset does not stick.
    raw.stor("y", b"new");
    assert_eq!(place.stored("y").expect("stored"), b"new");
    assert_eq!(raw.retr("x"), b"12345");
    assert_eq!(place.objects(), ["x", "y"]);
}

fn unique_names(place: &Place) {
    let mut raw = place.gateway.login();
    raw.expect("MKD in", 257);
    raw.expect("CWD in", 250);
    for command in ["STOU", "STOU wanted.txt"] {
        let mut data = raw.pasv();
        let begun = raw.expect(command, 150);
        let name = begun.text().strip_prefix("FILE: ").expect("the name").to_owned();
        data.write_all(command.as_bytes()).expect("the gateway reads");
        drop(data);
        raw.reply_is(226);
        assert_eq!(place.stored(&format!("in/{name}")).expect("stored"), command.as_bytes());
    }
    assert_eq!(raw.list("NLST").len(), 2);
}

fn what_is_missing_gets_550_and_no_150(place: &Place) {
    let mut raw = place.gateway.login();
    raw.expect("MKD sub", 257);
    for command in ["RETR missing", "RETR sub", "RETR /", "RETR sub/missing", "STOR /", "APPE ."] {
        raw.refused(command, 550);
    }
    // The failures cost the data connection only.
    raw.stor("sub/x", b"x");
    assert_eq!(raw.retr("sub/x"), b"x");
}

fn size_and_time(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("x", b"12345");
    raw.expect("MKD sub", 257);
    assert_eq!(raw.expect("SIZE x", 213).text(), "5");
    let time = raw.expect("MDTM x", 213).text().to_owned();
    let time = NaiveDateTime::parse_from_str(&time, "%Y%m%d%H%M%S").expect("a time").and_utc();
    let age = Utc::now() - time;
    assert!((-1..60).contains(&age.num_seconds()), "{time} is {age} ago");
    for command in ["SIZE sub", "SIZE /", "MDTM sub", "SIZE missing", "MDTM missing"] {
        raw.expect(command, 550);
    }
}

fn a_new_upload_replaces_the_old_file(place: &Place) {
    let mut raw = place.gateway.login();
    let (old, new) = (bytes(PART + 1, 1), bytes(2 * PART, 2));
    raw.stor("x", &old);
    raw.stor("x", &new);
    assert_same(&raw.retr("x"), &new);
    raw.stor("x", b"small");
    assert_eq!(raw.retr("x"), b"small");
    assert_eq!(place.objects(), ["x"]);
}

#[test]
fn a_prefix_and_a_home_stand_before_the_path() {
    let server = S3Server::start();
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\nhome = \"acme/in\"\n";
    let url = format!("{}/pre fix/é", S3Server::URL);
    let gateway = Setup::default().at(&url, server.options()).users(users).start();
    let mut raw = gateway.login();
    assert_eq!(raw.list("NLST"), [""; 0]);
    raw.stor("/sub/x", b"here");
    let file = server.bucket().join("pre fix/é/acme/in/sub/x");
    assert_eq!(std::fs::read(file).expect("stored"), b"here");
    assert_eq!(raw.list("NLST /"), ["/sub"]);
}

#[test]
fn a_transfer_needs_a_passive_port_of_its_own() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for command in ["STOR x", "RETR x", "APPE x", "STOU", "LIST", "NLST", "MLSD"] {
        raw.expect(command, 425);
    }
    raw.stor("x", b"x");
    raw.expect("RETR x", 425);
}

#[test]
fn a_client_that_never_connects_gets_425() {
    let gateway = Setup::default().ftp("data_timeout = \"1s\"").start();
    gateway.put("x", b"x");
    let mut raw = gateway.login();
    for command in ["STOR y", "RETR x", "LIST", "MLSD", "NLST", "APPE x"] {
        raw.expect("PASV", 227);
        let begun = Instant::now();
        raw.expect(command, 425);
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(800) && took < Duration::from_secs(15), "{command} {took:?}");
    }
    assert_eq!(raw.retr("x"), b"x");
    assert_eq!(gateway.files(), ["x"]);
}

#[test]
fn connecting_after_the_command_works_as_well() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let address = raw.pasv_address();
    raw.send("STOR x");
    raw.silent_for(Duration::from_millis(300));
    let mut data = raw.open_data(address);
    raw.reply_is(150);
    data.write_all(b"late").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"late");
}

#[test]
fn data_from_another_address_is_not_taken() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    let address = raw.pasv_address();
    let stranger = gateway.connect_from("127.0.0.2".parse().expect("an address"));
    let mut injected = stranger.open_data(address);
    raw.send("STOR x");
    raw.silent_for(Duration::from_millis(300));
    // It is closed at once; where it wrote something, with a reset.
    let _ = injected.write_all(b"injected");
    let mut nothing = Vec::new();
    let _ = injected.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    let mut data = raw.open_data(address);
    raw.reply_is(150);
    data.write_all(b"mine").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"mine");
    let rejected = "bucketport_connections_rejected_total{reason=\"unexpected_data_connection\"}";
    assert!(gateway.metric(rejected) >= 1.0);
}

#[test]
fn without_the_check_any_address_serves() {
    let gateway = Setup::default().ftp("data_peer_check = \"off\"").start();
    let mut raw = gateway.login();
    let address = raw.pasv_address();
    let other = gateway.connect_from("127.0.0.2".parse().expect("an address"));
    let mut data = other.open_data(address);
    raw.expect("STOR x", 150);
    data.write_all(b"balanced").expect("the gateway reads");
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"balanced");
}

#[test]
fn the_last_pasv_counts() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for _ in 0..100 {
        raw.expect("PASV", 227);
        raw.expect("EPSV", 229);
    }
    raw.stor("x", b"x");
    assert_eq!(gateway.metric("bucketport_passive_ports_waiting").to_bits(), 0.0_f64.to_bits());
}

#[test]
fn the_advertised_address_is_the_configured_one() {
    for (host, told) in [("192.0.2.7", "192.0.2.7"), ("localhost", "127.0.0.1"), ("auto", "127.0.0.1")] {
        let gateway = Setup::default().ftp(&format!("passive_host = \"{host}\"")).start();
        assert_eq!(gateway.login().pasv_address().ip().to_string(), told);
    }
}

#[test]
fn a_store_may_forbid_to_overwrite() {
    for place in [
        Place::local(Setup::default().store("overwrite = false")),
        Place::s3(Setup::default().store("overwrite = false")),
    ] {
        let mut raw = place.gateway.login();
        raw.stor("x", b"first");
        raw.stor("y", b"other");
        raw.refused("STOR x", 553);
        raw.expect("REST 1", 350);
        raw.refused("STOR x", 553);
        raw.expect("RNFR y", 350);
        raw.expect("RNTO x", 553);
        assert_eq!(place.stored("x").expect("stored"), b"first");
        assert_eq!(place.stored("y").expect("stored"), b"other");
        raw.expect("DELE x", 250);
        raw.stor("x", b"second");
        assert_eq!(raw.retr("x"), b"second");
    }
}

#[test]
fn a_user_may_forbid_to_overwrite() {
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\n\
                 permissions = [\"list\", \"read\", \"write\", \"rename\"]\n";
    let gateway = Setup::default().users(users).start();
    let mut raw = gateway.login();
    raw.stor("x", b"first");
    raw.refused("STOR x", 553);
    raw.refused("APPE x", 550);
    raw.stor("y", b"second");
    raw.expect("RNFR y", 350);
    raw.expect("RNTO x", 553);
    raw.expect("RNFR y", 350);
    raw.expect("RNTO z", 250);
    assert_eq!(gateway.file("x"), b"first");
    assert_eq!(gateway.file("z"), b"second");
}

#[test]
fn what_a_user_may_not_do_gets_550() {
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\npermissions = [\"list\"]\n\
                 [[users]]\nname = \"blind\"\npassword = \"secret\"\npermissions = [\"write\"]\n";
    let gateway = Setup::default().users(users).start();
    gateway.put("x", b"x");
    gateway.put("sub/y", b"y");
    let mut raw = gateway.login();
    for command in ["STOR new", "STOR x", "APPE x", "RETR x", "STOU"] {
        raw.refused(command, 550);
    }
    for command in ["DELE x", "MKD new", "RMD sub"] {
        raw.expect(command, 550);
    }
    if raw.ask("RNFR x").code == 350 {
        raw.expect("RNTO z", 550);
    }
    assert_eq!(raw.list("NLST sub"), ["sub/y"]);
    let mut blind = gateway.connect().logged_in("blind", "secret");
    for command in ["LIST", "NLST", "MLSD", "RETR x"] {
        blind.refused(command, 550);
    }
    blind.stor("new", b"dropped");
    assert_eq!(gateway.files(), ["new", "sub/y", "x"]);
    assert_eq!(gateway.file("x"), b"x");
}

#[test]
fn names_that_the_local_store_keeps_get_553() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    raw.refused("STOR a#1", 553);
    raw.refused("STOR .keep", 553);
    raw.refused(&format!("STOR {}", "x".repeat(300)), 553);
    raw.stor("file", b"x");
    raw.refused("STOR file/below", 553);
    raw.expect("MKD sub", 257);
    raw.refused("STOR sub", 550);
}

#[test]
fn a_download_goes_on_with_the_version_that_it_began_with() {
    let gateway = Gateway::start();
    let content = bytes(60_000_000, 1);
    gateway.put("x", &content);
    let mut reader = gateway.login();
    let mut data = reader.begin("RETR x");
    let mut got = vec![0; 1000];
    data.read_exact(&mut got).expect("the beginning");
    gateway.login().stor("x", b"new");
    data.read_to_end(&mut got).expect("the rest");
    reader.reply_is(226);
    assert_same(&got, &content);
    assert_eq!(reader.retr("x"), b"new");
}

#[test]
fn clients_in_certain_networks_are_told_another_address() {
    let overrides = "[[ftp.passive_host_overrides]]\nnetworks = [\"10.0.0.0/8\", \"127.0.0.2\"]\nhost = \"192.0.2.2\"\n\
                     [[ftp.passive_host_overrides]]\nnetworks = [\"127.0.0.0/30\"]\nhost = \"localhost\"\n\
                     [[ftp.passive_host_overrides]]\nnetworks = [\"127.0.0.0/29\"]\nhost = \"auto\"";
    let listen = ("BUCKETPORT_FTP__LISTEN", "[\"0.0.0.0:0\"]");
    let setup = Setup::default().ftp("passive_host = \"192.0.2.1\"").ftp(overrides).env(listen.0, listen.1);
    let gateway = setup.start();
    let dialled = SocketAddr::from(([127, 0, 0, 9], gateway.ftp.port()));
    for (client, told) in [(2, "192.0.2.2"), (3, "127.0.0.1"), (5, "127.0.0.9"), (8, "192.0.2.1")] {
        let raw = Raw::connect(dialled, Some(Ipv4Addr::new(127, 0, 0, client).into()));
        assert_eq!(raw.logged_in("demo", "secret").pasv_address().ip().to_string(), told, "{client}");
    }
}
