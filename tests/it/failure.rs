//! Uploads and downloads that go wrong: nothing appears, nothing is overwritten, nothing stays behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{
    Gateway, Place, Raw, S3Server, Setup, assert_same, bytes, eventually, on_each_store, reset,
};

const PART: usize = 5 * 1024 * 1024;

fn impatient() -> Setup {
    Setup::default().transfer("part_size = \"5MiB\"").ftp("data_timeout = \"1s\"")
}

fn patient() -> Setup {
    Setup::default().transfer("part_size = \"5MiB\"")
}

mod with_a_short_data_timeout {
    use super::{a_stalled_download, a_stalled_upload, impatient};
    use crate::support::on_each_store;

    on_each_store! { super::impatient();
        a_stalled_upload
        a_stalled_download
    }
}

on_each_store! { super::patient();
    a_reset_data_connection
    a_closed_control_connection
    a_reset_control_connection
    both_connections_closed
    a_killed_client
    a_download_that_nobody_finishes
}

/// Runs `fail` on uploads of a new file and onto an old one, within one part and beyond it.
fn leaves_everything_as_it_was(place: &Place, mut fail: impl FnMut(Raw, TcpStream)) {
    let old = bytes(PART + 1, 9);
    place.put("old", &old);
    for size in [1000, PART + 1000, 3 * PART + 1] {
        for command in ["STOR new", "STOR old", "APPE old", "APPE new"] {
            let mut raw = place.gateway.login();
            let mut data = raw.begin(command);
            data.write_all(&bytes(size, 1)).expect("the gateway reads");
            fail(raw, data);
            let active =
                ["upload", "append"].map(|d| format!("bucketport_transfers_active{{direction=\"{d}\"}}"));
            eventually("the transfer's end", Duration::from_secs(20), || {
                active.iter().all(|sample| place.gateway.metric(sample) < 0.5)
            });
            eventually(&format!("the clean-up after {command} of {size}"), Duration::from_secs(10), || {
                place.left_over().is_empty()
            });
            assert_eq!(place.objects(), ["old"], "{command} {size}");
            assert_same(&place.stored("old").expect("stored"), &old);
        }
    }
    let mut raw = place.gateway.login();
    raw.stor("new", b"afterwards");
    assert_eq!(place.stored("new").expect("stored"), b"afterwards");
}

fn usable(mut raw: Raw) {
    raw.expect("NOOP", 200);
    raw.expect("PWD", 257);
    let mut data = raw.pasv();
    raw.expect("NLST", 150);
    let mut names = String::new();
    data.read_to_string(&mut names).expect("an orderly end");
    assert_eq!(names, "old\r\n");
    raw.reply_is(226);
}

fn a_stalled_upload(place: &Place) {
    let old = bytes(1000, 9);
    place.put("old", &old);
    for (command, size) in
        [("STOR new", 0), ("STOR old", 1000), ("STOR old", PART + 10), ("APPE old", PART + 10)]
    {
        let mut raw = place.gateway.login();
        let mut data = raw.begin(command);
        data.write_all(&bytes(size, 1)).expect("the gateway reads");
        raw.reply_is(426);
        drop(data);
        assert_eq!(place.left_over(), [""; 0]);
        assert_same(&place.stored("old").expect("stored"), &old);
        assert_eq!(place.objects(), ["old"]);
        usable(raw);
    }
    assert!(
        place.gateway.metric("bucketport_transfers_total{direction=\"upload\",result=\"stalled\"}") >= 3.0
    );
}

fn a_stalled_download(place: &Place) {
    place.put("old", &bytes(40_000_000, 9));
    let mut raw = place.gateway.login();
    let mut data = raw.begin("RETR old");
    raw.reply_is(426);
    let mut got = Vec::new();
    assert!(data.read_to_end(&mut got).is_err(), "an orderly end after {} bytes", got.len());
    drop(data);
    usable(raw);
}

fn a_reset_data_connection(place: &Place) {
    leaves_everything_as_it_was(place, |mut raw, data| {
        reset(&data);
        drop(data);
        raw.reply_is(426);
        usable(raw);
    });
}

fn a_closed_control_connection(place: &Place) {
    leaves_everything_as_it_was(place, |raw, mut data| {
        drop(raw);
        // The gateway ends the data connection; what is written until then is lost.
        eventually("the end of the data connection", Duration::from_secs(20), || {
            data.write_all(b"more").is_err()
        });
    });
}

fn a_reset_control_connection(place: &Place) {
    leaves_everything_as_it_was(place, |raw, data| {
        raw.reset();
        std::thread::sleep(Duration::from_millis(50));
        drop(data);
    });
}

/// A process that dies closes its connections as orderly as one that is done: the control connection tells.
fn both_connections_closed(place: &Place) {
    leaves_everything_as_it_was(place, |raw, data| {
        drop(raw);
        drop(data);
    });
}

fn a_killed_client(place: &Place) {
    let old = bytes(1000, 9);
    place.put("x", &old);
    let script = "import ftplib, sys, time
class Slow:
    sent = 0
    def read(self, size):
        if self.sent >= 12_000_000:
            print('sent', flush=True)
            time.sleep(60)
        self.sent += size
        return b'x' * size
ftp = ftplib.FTP()
ftp.connect('127.0.0.1', int(sys.argv[1]), 20)
ftp.login('demo', 'secret')
ftp.storbinary('STOR ' + sys.argv[2], Slow())
";
    // Several times: the kernel of a killed process closes its connections in no fixed order.
    for (round, name) in ["x", "new"].into_iter().cycle().take(8).enumerate() {
        let port = place.gateway.ftp.port().to_string();
        let mut client = Command::new("python3")
            .args(["-c", script, &port, name])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut said = [0; 5];
        client.stdout.take().expect("asked for").read_exact(&mut said).expect("the client gets that far");
        client.kill().expect("our own child");
        client.wait().expect("our own child");
        let lost = "bucketport_transfers_total{direction=\"upload\",result=\"client_lost\"}";
        let ended = "bucketport_transfers_total{direction=\"upload\",result=\"ok\"}";
        eventually("the transfer's end", Duration::from_secs(20), || {
            let both = [lost, ended].map(|sample| place.gateway.metric(sample));
            both.iter().sum::<f64>() > f64::from(u32::try_from(round).expect("few")) + 0.5
        });
        assert!(place.gateway.metric(ended) < 0.5, "a part was taken for the whole in round {round}");
        eventually("the clean-up", Duration::from_secs(20), || place.left_over().is_empty());
        assert_eq!(place.objects(), ["x"]);
        assert_same(&place.stored("x").expect("stored"), &old);
    }
}

fn a_download_that_nobody_finishes(place: &Place) {
    place.put("old", &bytes(40_000_000, 9));
    let mut raw = place.gateway.login();
    let data = raw.begin("RETR old");
    reset(&data);
    drop(data);
    raw.reply_is(426);
    let data = raw.begin("RETR old");
    drop(data);
    raw.reply_is(426);
    usable(raw);
    let mut raw = place.gateway.login();
    let mut data = raw.begin("RETR old");
    drop(raw);
    let mut got = Vec::new();
    assert!(data.read_to_end(&mut got).is_err() || got.len() < 40_000_000);
    let active = "bucketport_transfers_active{direction=\"download\"}";
    eventually("the transfer's end", Duration::from_secs(20), || place.gateway.metric(active) < 0.5);
    eventually("the buffers' end", Duration::from_secs(20), || {
        place.gateway.metric("bucketport_buffer_bytes") < 0.5
    });
}

#[test]
fn a_store_that_refuses_everything_gets_550() {
    let server = S3Server::start();
    let gateway = Setup::default().s3(&server).start();
    let mut raw = gateway.login();
    raw.stor("x", b"x");
    server.refuse(true);
    assert_eq!(raw.upload("STOR y", b"y").code, 550);
    assert_eq!(raw.upload("STOR large", &bytes(20_000_000, 1)).code, 550);
    for command in ["RETR x", "LIST", "NLST", "MLSD", "APPE x"] {
        raw.refused(command, 550);
    }
    for command in
        ["SIZE x", "MDTM x", "MLST x", "DELE x", "MKD sub", "RMD sub", "CWD sub", "RNFR x", "STAT x"]
    {
        raw.expect(command, 550);
    }
    server.refuse(false);
    assert_eq!(raw.list("NLST"), ["x"]);
    assert_eq!(raw.retr("x"), b"x");
}

#[test]
fn a_local_folder_that_cannot_be_written_gets_550() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    gateway.put("sub/x", b"x");
    // The folder goes while sessions use it.
    std::fs::remove_dir_all(gateway.data()).expect("a folder");
    raw.refused("RETR sub/x", 550);
    raw.expect("SIZE sub/x", 550);
    raw.expect("NOOP", 200);
}
