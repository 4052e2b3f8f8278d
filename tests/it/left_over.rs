//! What a killed gateway leaves in a store is removed by the next one.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::support::{S3Server, Setup, bytes, eventually, files_below};

const PART: usize = 5 * 1024 * 1024;

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
