//! What a killed gateway leaves in a store is removed by the next one.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::support::{S3Server, Setup, assert_same, bytes, eventually, files_below};

const PART: usize = 5 * 1024 * 1024;
/// Enough that a rename of them takes a while.
const FILES: usize = 200;

#[test]
fn an_open_upload_is_aborted_when_its_record_is_a_day_old() {
    let server = S3Server::start();
    let setup = || Setup::default().transfer("part_size = \"5MiB\"").s3(&server);
    let records = server.bucket().join(".bucketport/uploads");
    let killed = setup().start();
    let mut raw = killed.login();
    let mut data = raw.begin("STOR file");
    data.write_all(&bytes(2 * PART + 1, 1)).expect("the gateway reads");
    eventually("the record of the upload", Duration::from_secs(20), || !files_below(&records).is_empty());
    killed.signal(Signal::SIGKILL);
    killed.ended(Duration::from_secs(20));
    assert!(!server.open_uploads().is_empty());

    let record = files_below(&records).pop().expect("it stays");
    let record = File::options().append(true).open(records.join(record)).expect("a file");
    record.set_modified(SystemTime::now() - Duration::from_hours(25)).expect("a local file");
    let old = setup().start();
    eventually("the janitor", Duration::from_mins(1), || {
        server.open_uploads().is_empty() && files_below(&records).is_empty()
    });
    eventually("its count", Duration::from_secs(20), || {
        old.metric("bucketport_cleaned_total{store=\"main\",what=\"upload\"}") > 0.5
    });
}

/// A gateway is killed while it copies the files of a directory, and the next one while it deletes those of another.
#[test]
fn a_directory_that_was_being_renamed_is_whole_at_one_of_its_names() {
    let server = S3Server::start();
    let setup = || Setup::default().s3(&server);
    let count = |name: &str| files_below(&server.bucket().join(name)).len();
    let renames = server.bucket().join(".bucketport/renames");
    let records = || files_below(&renames);
    let moments: [(&str, &str, &dyn Fn() -> bool); 2] = [
        ("copied", "copies", &|| count("copies") > 20),
        ("deleted", "moved", &|| count("moved") > 20 && count("deleted") < FILES - 20),
    ];
    for (number, (from, to, moment)) in (1..).zip(moments) {
        let killed = setup().start();
        let mut raw = killed.login();
        raw.expect(&format!("MKD {from}"), 257);
        for file in 0..FILES {
            raw.stor(&format!("{from}/{file}"), &bytes(100, file as u64));
        }
        raw.expect(&format!("RNFR {from}"), 350);
        raw.send(&format!("RNTO {to}"));
        eventually(from, Duration::from_mins(1), moment);
        killed.signal(Signal::SIGKILL);
        killed.ended(Duration::from_secs(20));
        let begun = records().into_iter().filter(|record| !record.contains(".pages/"));
        assert_eq!(begun.count(), number, "{from}: it was over");
    }
    for record in records() {
        let record = File::options().append(true).open(renames.join(record)).expect("a file");
        record.set_modified(SystemTime::now() - Duration::from_hours(25)).expect("a local file");
    }
    let next = setup().start();
    eventually("the janitor", Duration::from_mins(2), || records().is_empty());
    let mut raw = next.login();
    for (gone, whole) in [("copies", "copied"), ("deleted", "moved")] {
        raw.expect(&format!("RNFR {gone}"), 550);
        assert_eq!(raw.list(&format!("NLST {whole}")).len(), FILES, "{whole}");
        for file in 0..FILES {
            assert_same(&raw.retr(&format!("{whole}/{file}")), &bytes(100, file as u64));
        }
    }
}
