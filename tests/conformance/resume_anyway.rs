//! Kept uploads of which something is gone, damaged, late or left over, and gateways with other settings.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bucketport::data::{Abort, DataError};
use bucketport::storage::{Error, UploadMode};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::resume::{Result, WINDOW, breaks, completes, size, store_of, upload};
use crate::server::{Call, Fault};

const SOON: Duration = Duration::from_secs(20);

/// The records of a kind, as names of files.
async fn records(fixture: &Fixture, kind: &str) -> Vec<String> {
    let all = fixture.records().await.into_iter().filter(|record| record.starts_with(kind));
    all.map(|record| format!(".bucketport/{record}")).collect()
}

/// The only record of a kind, once it is there.
async fn record(fixture: &Fixture, kind: &str) -> String {
    let written = async {
        loop {
            match &records(fixture, kind).await[..] {
                [record] => return record.clone(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(SOON, written).await.expect("one record")
}

/// What the field `key` of a record says.
async fn says(fixture: &Fixture, record: &str, key: &str) -> Value {
    let text = fixture.download(record, 0).await.expect("a record");
    let kept: Value = serde_json::from_slice(&text).expect("JSON");
    kept[key].clone()
}

/// Makes a record say something else under `key`; an old one says nothing under some.
async fn change(fixture: &Fixture, record: &str, key: &str, value: Option<Value>) -> Bytes {
    let text = fixture.download(record, 0).await.expect("a record");
    let mut kept: Map<String, Value> = serde_json::from_slice(&text).expect("JSON");
    kept.remove(key);
    kept.extend(value.map(|value| (key.to_owned(), value)));
    let text = Bytes::from(serde_json::to_vec(&kept).expect("JSON"));
    fixture.put(record, &text).await;
    text
}

fn from(offset: usize) -> UploadMode {
    UploadMode::From(offset as u64)
}

/// Goes on from `offset` once nobody has it any more.
async fn goes_on(fixture: &Fixture, name: &str, offset: usize, rest: &Bytes) {
    let going_on = async {
        loop {
            match upload(fixture, name, from(offset), vec![Step::Send(rest.clone())]).await {
                Err(Error::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
                taken => return taken,
            }
        }
    };
    let taken = tokio::time::timeout(SOON, going_on).await.expect("it is let go");
    assert_eq!(taken.unwrap_or_else(|error| panic!("{name}: {error:?}")), rest.len() as u64);
}

async fn clean_at(fixture: &Fixture, now: DateTime<Utc>) {
    fixture.store().clean(fixture.metrics(), now).await.expect("the store answers");
}

async fn clean_in(fixture: &Fixture, later: TimeDelta) {
    clean_at(fixture, Utc::now() + later).await;
}

/// Between the look at a record and the turn, a session that was taken for dead may write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_seen_is_taken_up() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(PART + 10, 1);
    breaks(&fixture, "file", UploadMode::Replace, &bytes).await;
    let record = record(&fixture, "resume").await;
    let (faults, go) = (fixture.faults(), Arc::new(Notify::new()));
    let before = faults.count(Call::Put);
    faults.add(Call::Put, 0, 1, Fault::DoneAfter(Arc::clone(&go)));
    let writing = async {
        while faults.count(Call::Put) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let text = change(&fixture, &record, "tail", None).await;
        go.notify_one();
        text
    };
    let store = store_of(&fixture, "acme");
    let path = fixture.path("file");
    let (planned, written) = tokio::join!(store.plan_upload(&path, from(PART + 10)), writing);
    assert_err!(planned, Busy);
    fixture.assert_holds(&record, &written).await;
    assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), PART as u64);
    completes(&fixture, "file", from(PART), &bytes.slice(PART..)).await;
    fixture.assert_holds("file", &bytes).await;
    clean_in(&fixture, TimeDelta::hours(26)).await;
    plain.finish(Ok(())).await;
}

/// A gateway with another window neither hides nor discards what was kept, however old its tail is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_is_that_of_the_last_to_write() {
    for plain in [Fixture::on_local().await, Fixture::on_s3_flat().await] {
        let plain = plain.expect("always there");
        let [brief, hour, days] =
            [Duration::from_secs(1), WINDOW, Duration::from_hours(48)].map(|window| plain.keeping(window));
        let bytes = body(100, 1);
        breaks(&hour, "file", UploadMode::Replace, &bytes.slice(..10)).await;
        breaks(&days, "file", from(10), &bytes.slice(10..20)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for gateway in [&plain, &brief, &hour] {
            clean_in(gateway, TimeDelta::hours(47)).await;
        }
        assert_eq!(size(&brief, "acme", "file").await.expect("kept"), 20);
        breaks(&hour, "file", from(20), &bytes.slice(20..40)).await;
        clean_in(&days, TimeDelta::minutes(50)).await;
        assert_eq!(size(&days, "acme", "file").await.expect("kept"), 40);
        clean_in(&days, TimeDelta::minutes(70)).await;
        assert_err!(size(&days, "acme", "file").await, NotFound);
        plain.finish(Ok(())).await;
    }
}

/// The bytes after the last part are an object of their own, which somebody may have removed or cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_tail_it_is_over() {
    for plain in [Fixture::on_local().await, Fixture::on_s3_flat().await] {
        let fixture = plain.expect("always there").keeping(WINDOW);
        let sizes: &[usize] = if fixture.folder().is_some() { &[10] } else { &[10, PART + 10] };
        for (&sent, cut) in sizes.iter().flat_map(|sent| [(sent, false), (sent, true)]) {
            breaks(&fixture, "file", UploadMode::Replace, &body(sent, 1)).await;
            let tail = record(&fixture, "tails").await;
            if cut {
                fixture.put(&tail, &body(9, 1)).await;
            } else {
                fixture.store().delete(&fixture.path(&tail)).await.expect("it is there");
            }
            assert_err!(upload(&fixture, "file", from(sent), Vec::new()).await, OffsetBeyondEnd);
            assert_err!(size(&fixture, "acme", "file").await, NotFound);
            fixture.assert_nothing_left().await;
            completes(&fixture, "file", UploadMode::Replace, &body(20, 2)).await;
            fixture.assert_holds("file", &body(20, 2)).await;
            fixture.store().delete(&fixture.path("file")).await.expect("it is there");
        }
    }
}

/// The unfinished files in a folder.
fn kept_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.filter(|path| path.to_string_lossy().contains("/.bucketport-kept#")).collect()
}

fn make_old(path: &Path, hours: u64) {
    let file = File::options().append(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_hours(hours)).expect("our own file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_file_it_is_over() {
    let plain = Fixture::on_local().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let root = fixture.folder().expect("local");
    for damage in ["removed", "cut", "moved"] {
        breaks(&fixture, "dir/file", UploadMode::Replace, &body(PART, 1)).await;
        let kept = kept_files(&root.join("dir")).pop().expect("kept");
        match damage {
            "removed" => std::fs::remove_file(&kept).expect("it is there"),
            "cut" => File::options().write(true).open(&kept).and_then(|file| file.set_len(9)).expect("ours"),
            _ => std::fs::rename(root.join("dir"), root.join("moved")).expect("nothing is there"),
        }
        // Who appends without a look must not make a file of the rest alone; who tries again has nothing to go on with.
        let mode = if damage == "moved" { UploadMode::Append } else { from(PART) };
        match upload(&fixture, "dir/file", mode, Vec::new()).await {
            Err(Error::Changed) if damage == "moved" => {}
            result => assert_err!(result, OffsetBeyondEnd),
        }
        assert_err!(size(&fixture, "acme", "dir/file").await, NotFound);
        assert_eq!(fixture.records().await, [""; 0]);
    }
    let moved = kept_files(&root.join("moved")).pop().expect("it moved with its directory");
    make_old(&moved, 24);
    clean_in(&fixture, TimeDelta::zero()).await;
    assert!(moved.exists(), "a window and a day are not over");
    make_old(&moved, 26);
    clean_in(&fixture, TimeDelta::zero()).await;
    assert!(!moved.exists());
    fixture.assert_nothing_left().await;
}

/// A slow client may send less than a piece for days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_files_with_a_record_stay() {
    let plain = Fixture::on_local().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(2 * PART, 1);
    breaks(&fixture, "dir/file", UploadMode::Replace, &bytes.slice(..PART)).await;
    let folder = fixture.folder().expect("local").join("dir");
    let killed = folder.join(".bucketport-kept#7");
    std::fs::write(&killed, "of a gateway that was killed before it had a record").expect("writable");
    for file in kept_files(&folder) {
        make_old(&file, 48);
    }
    clean_in(&fixture, TimeDelta::zero()).await;
    assert!(!killed.exists());
    completes(&fixture, "dir/file", from(PART), &bytes.slice(PART..)).await;
    fixture.assert_holds("dir/file", &bytes).await;
    fixture.assert_nothing_left().await;
}

/// One that is damaged counts as none, and is removed when nobody can be at it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_cannot_be_read_are_removed() {
    for plain in [Fixture::on_local().await, Fixture::on_s3_flat().await] {
        let fixture = plain.expect("always there").keeping(WINDOW);
        breaks(&fixture, "file", UploadMode::Replace, &body(10, 1)).await;
        let record = record(&fixture, "resume").await;
        fixture.put(&record, &Bytes::from_static(b"{")).await;
        fixture.put(".bucketport/uploads/damaged", &Bytes::from_static(b"{")).await;
        clean_in(&fixture, TimeDelta::hours(23)).await;
        assert_eq!(fixture.records().await.len(), 3);
        clean_in(&fixture, TimeDelta::minutes(24 * 60 + 50)).await;
        assert_eq!(records(&fixture, "resume").await, [record], "a window and a day are not over");
        clean_in(&fixture, TimeDelta::hours(26)).await;
        assert_eq!(fixture.records().await, [""; 0]);
    }
}

/// Names of records are used again: what was not found may be there now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_not_found_are_not_removed() {
    let fixture = Fixture::on_s3_flat().await.expect("always there").keeping(WINDOW);
    for kind in ["resume", "uploads"] {
        let record = format!(".bucketport/{kind}/damaged");
        fixture.put(&record, &Bytes::from_static(b"{")).await;
        fixture.faults().add(Call::Get, 0, 1, Fault::Status(404));
        clean_in(&fixture, TimeDelta::hours(26)).await;
        assert_eq!(records(&fixture, kind).await, [record]);
        clean_in(&fixture, TimeDelta::hours(26)).await;
        fixture.assert_no_records().await;
    }
}

/// What a record names that cannot be read must not go while a gateway of another version may be at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_protects_what_it_names() {
    let fixture = Fixture::on_local().await.expect("always there").keeping(WINDOW);
    breaks(&fixture, "file", UploadMode::Replace, &body(PART, 1)).await;
    let kept = kept_files(fixture.folder().expect("local")).pop().expect("kept");
    make_old(&kept, 48);
    let record = record(&fixture, "resume").await;
    fixture.put(&record, &Bytes::from_static(b"{")).await;
    clean_in(&fixture, TimeDelta::zero()).await;
    assert!(kept.exists());
    clean_in(&fixture, TimeDelta::hours(26)).await;
    assert!(!kept.exists());
    fixture.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_written_over() {
    for plain in [Fixture::on_local().await, Fixture::on_s3_flat().await] {
        let fixture = plain.expect("always there").keeping(WINDOW);
        for sent in [10, PART] {
            breaks(&fixture, "file", UploadMode::Replace, &body(10, 1)).await;
            let record = record(&fixture, "resume").await;
            fixture.put(&record, &Bytes::from_static(b"{")).await;
            let bytes = body(sent + 10, 2);
            breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..sent)).await;
            assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), sent as u64);
            completes(&fixture, "file", from(sent), &bytes.slice(sent..)).await;
            fixture.assert_holds("file", &bytes).await;
            // The first tail is nobody's.
            clean_in(&fixture, TimeDelta::hours(26)).await;
            fixture.assert_nothing_left().await;
            fixture.store().delete(&fixture.path("file")).await.expect("it is there");
        }
    }
}

/// Gateways of before wrote no end of the window down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_an_end_has_the_window_of_whoever_reads_it() {
    for plain in [Fixture::on_local().await, Fixture::on_s3_flat().await] {
        let plain = plain.expect("always there");
        let fixture = plain.keeping(WINDOW);
        for (gateway, before, after) in [
            (&fixture, TimeDelta::minutes(50), TimeDelta::minutes(70)),
            (&plain, TimeDelta::days(6), TimeDelta::days(8)),
        ] {
            breaks(&fixture, "file", UploadMode::Replace, &body(10, 1)).await;
            let record = record(&fixture, "resume").await;
            change(&fixture, &record, "until", None).await;
            assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), 10);
            clean_in(gateway, before).await;
            assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), 10);
            clean_in(gateway, after).await;
            fixture.assert_nothing_left().await;
        }
    }
}

/// What is discarded in part only is nothing to go on with, and keeps nothing else from being removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_discarded_is_over_all_the_same() {
    let fixture = Fixture::on_s3_flat().await.expect("always there").keeping(WINDOW);
    let orphan = ".bucketport/tails/orphan";
    fixture.put(orphan, &body(10, 1)).await;
    for by_janitor in [false, true] {
        breaks(&fixture, "file", UploadMode::Replace, &body(PART + 10, 1)).await;
        fixture.faults().add(Call::AbortMultipart, 0, 1, Fault::Status(403));
        let later = Utc::now() + TimeDelta::hours(26);
        let discarded = if by_janitor {
            fixture.store().clean(fixture.metrics(), later).await
        } else {
            store_of(&fixture, "acme").delete(&fixture.path("file")).await
        };
        assert_err!(discarded, Refused(_));
        assert_err!(size(&fixture, "acme", "file").await, NotFound);
        let tails = records(&fixture, "tails").await;
        assert_eq!(
            (tails.len(), tails.iter().any(|tail| tail == orphan)),
            if by_janitor { (1, false) } else { (2, true) }
        );
        // A minute later nobody has it.
        let record = record(&fixture, "resume").await;
        change(&fixture, &record, "held_until", None).await;
        if by_janitor {
            clean_in(&fixture, TimeDelta::zero()).await;
        } else {
            completes(&fixture, "file", UploadMode::Replace, &body(20, 2)).await;
            assert_eq!(size(&fixture, "acme", "file").await.expect("complete"), 20);
            fixture.store().delete(&fixture.path("file")).await.expect("it is there");
        }
    }
    fixture.assert_nothing_left().await;
}

/// Of several uploads that begin at once one is kept; the others have records as well, which do not grow old.
#[tokio::test(start_paused = true)]
async fn a_silent_upload_that_is_not_kept_is_not_taken_for_left_over() {
    let fixture = Fixture::on_memory().await.expect("always there").keeping(WINDOW);
    let store = store_of(&fixture, "acme");
    let path = fixture.path("file");
    let planned = store.plan_upload(&path, UploadMode::Replace).await.expect("possible");
    let (data, _) = FakeData::uploads([Step::Send(body(PART + 1, 1)), Step::StayForever]);
    let abort = Abort::new();
    tokio::select! {
        result = planned.run(data, &abort) => panic!("it ended: {result:?}"),
        result = is_renewed(&fixture, "uploads", Duration::from_hours(7)) => result.expect("possible"),
    }
}

/// An upload whose beginning was kept is opened: from then on its record names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_opened_when_it_goes_on_is_known_at_once() {
    let fixture = Fixture::on_s3_flat().await.expect("always there").keeping(WINDOW);
    let bytes = body(PART + 50, 1);
    breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..100)).await;
    let record = record(&fixture, "resume").await;
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), from(100)).await;
    fixture.faults().add(Call::PutPart, 0, 1, Fault::Hang);
    let (data, _) = FakeData::uploads([Step::Send(bytes.slice(100..)), Step::StayForever]);
    let abort = Abort::new();
    let named = async {
        while says(&fixture, &record, "upload").await.is_null() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        result = planned.expect("possible").run(data, &abort) => panic!("it ended: {result:?}"),
        named = tokio::time::timeout(SOON, named) => named.expect("the upload has no record"),
    }
    assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), 100);
    goes_on(&fixture, "file", 100, &bytes.slice(100..)).await;
    fixture.assert_holds("file", &bytes).await;
    fixture.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_no_record_names_is_not_left_open() {
    let fixture = Fixture::on_s3_flat().await.expect("always there").keeping(WINDOW);
    let bytes = body(PART + 50, 1);
    breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..100)).await;
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), from(100)).await;
    fixture.faults().add(Call::Put, 0, 1000, Fault::Status(403));
    let (data, _) = FakeData::uploads([Step::Send(bytes.slice(100..)), Step::Lose]);
    assert_err!(planned.expect("possible").run(data, &Abort::new()).await, Data(DataError::Lost(_)));
    assert_eq!(fixture.open_uploads(), 0);
    assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), 100);
    fixture.stop();
}

/// The store takes its time to say what stands at the name. Meanwhile the upload is its session's, and is no longer if
/// another one has taken it up after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_taken_up_during_its_last_look_is_not_completed() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let (sent, bytes) = (PART + 10, body(2 * PART, 1));
    breaks(&fixture, "file", UploadMode::Create, &bytes.slice(..sent)).await;
    let record = record(&fixture, "resume").await;
    let (path, store) = (fixture.path("file"), store_of(&fixture, "acme"));
    let first = store.plan_upload(&path, from(sent)).await.expect("nobody has it");
    let (faults, go) = (fixture.faults(), Arc::new(Notify::new()));
    let before = faults.count(Call::Head);
    faults.add(Call::Head, 0, 1, Fault::DoneAfter(Arc::clone(&go)));
    let (data, _) = FakeData::uploads([Step::Send(bytes.slice(sent..))]);
    let abort = Abort::new();
    let second = store_of(&fixture.replica(), "acme");
    let taking_up = async {
        while faults.count(Call::Head) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let held = says(&fixture, &record, "at").await;
        while says(&fixture, &record, "at").await == held {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // As if it had not been written for long.
        change(&fixture, &record, "held_until", None).await;
        let kept = size(&fixture, "acme", "file").await.expect("kept");
        let planned = second.plan_upload(&path, UploadMode::From(kept)).await.expect("nobody has it");
        go.notify_one();
        (planned, usize::try_from(kept).expect("small"))
    };
    let taking_up = tokio::time::timeout(SOON, taking_up);
    let (ended, taken_up) = tokio::join!(first.run(data, &abort), taking_up);
    let (planned, kept) = taken_up.expect("it is held and taken up");
    assert_err!(ended, Busy);
    fixture.assert_missing("file").await;
    let (data, _) = FakeData::uploads([Step::Send(bytes.slice(kept..))]);
    planned.run(data, &Abort::new()).await.expect("nothing is in its way");
    fixture.assert_holds("file", &bytes).await;
    plain.finish(Ok(())).await;
}

/// Whoever takes a file up cuts it: that must never be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_meanwhile_is_not_completed() {
    let fixture = Fixture::on_local().await.expect("always there").keeping(WINDOW);
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), UploadMode::Replace).await;
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let script =
        [Step::Send(body(PART, 1)), Step::Reached(Arc::clone(&reached)), Step::Wait(Arc::clone(&go))];
    let (data, _) = FakeData::uploads(script);
    let abort = Abort::new();
    let cutting = async {
        reached.notified().await;
        let file = kept_files(fixture.folder().expect("local")).pop().expect("open");
        while std::fs::metadata(&file).expect("open").len() < PART as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        File::options().write(true).open(&file).and_then(|file| file.set_len(9)).expect("ours");
        go.notify_one();
    };
    let (result, ()) = tokio::join!(planned.expect("possible").run(data, &abort), cutting);
    assert_err!(result, Changed);
    fixture.assert_missing("file").await;
    fixture.assert_nothing_left().await;
}

/// A store that does not say whose the upload is ends it like one that does not say what stands at the name.
#[tokio::test]
async fn a_store_that_does_not_say_whose_an_upload_is_ends_it() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let faults = fixture.faults();
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), UploadMode::Replace).await;
    let before = faults.count(Call::Get);
    faults.add(Call::Get, 0, 1, Fault::Hang);
    let (data, _) = FakeData::uploads([Step::Send(body(PART + 10, 1))]);
    let abort = Abort::new();
    let waiting = async {
        while faults.count(Call::Get) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Everything waits for the answer, so the clock goes on to whatever gives up first.
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(46)).await;
        tokio::time::resume();
    };
    let (result, ()) = tokio::join!(planned.expect("possible").run(data, &abort), waiting);
    let Err(Error::Store(why)) = result else { panic!("{result:?}") };
    assert!(format!("{why:?}").contains("whose it is"), "{why:?}");
    fixture.assert_missing("file").await;
    fixture.assert_nothing_left().await;
    plain.finish(Ok(())).await;
}

/// Whatever becomes of the tail and the record when an upload breaks again, what SIZE tells is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_is_kept_when_the_store_fails() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(200, 1);
    let faults = [Fault::Status(403), Fault::Status(500), Fault::DoneBut(403), Fault::DoneThenReset];
    for (number, fault) in faults.into_iter().enumerate() {
        for (skip, times) in [(0, 1), (1, 1), (0, 2)] {
            let name = format!("file {number} {skip} {times}");
            breaks(&fixture, &name, UploadMode::Replace, &bytes.slice(..100)).await;
            let store = store_of(&fixture, "acme");
            let planned = store.plan_upload(&fixture.path(&name), from(100)).await.expect("nobody has it");
            fixture.faults().add(Call::Put, skip, times, fault.clone());
            let (data, _) = FakeData::uploads([Step::Send(bytes.slice(100..150)), Step::Lose]);
            assert_err!(planned.run(data, &Abort::new()).await, Data(DataError::Lost(_)));
            // Its session lets go of it in the background.
            tokio::time::sleep(Duration::from_millis(100)).await;
            fixture.faults().clear();
            let kept = usize::try_from(size(&fixture, "acme", &name).await.expect(&name)).expect("small");
            assert!([100, 150].contains(&kept), "{name}: {kept}");
            // It is held for 30 seconds where nothing at all could be written.
            if times == 1 {
                goes_on(&fixture, &name, kept, &bytes.slice(kept..)).await;
                fixture.assert_holds(&name, &bytes).await;
            }
        }
    }
    fixture.stop();
}

/// A part without an answer may be missing: what was kept before it is all that is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_without_an_answer_takes_nothing_with_it() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(2 * PART, 1);
    fixture.faults().add(Call::PutPart, 0, 2, Fault::Hang);
    let (fixture, bytes) = (&fixture, &bytes);
    // What was kept behind the byte where it goes on was to be replaced.
    join_all([100, 60].map(|offset| async move {
        let name = format!("from {offset}");
        breaks(fixture, &name, UploadMode::Replace, &bytes.slice(..100)).await;
        breaks(fixture, &name, from(offset), &bytes.slice(offset..PART + 50)).await;
        assert_eq!(size(fixture, "acme", &name).await.expect("kept"), offset as u64);
        goes_on(fixture, &name, offset, &bytes.slice(offset..)).await;
        fixture.assert_holds(&name, bytes).await;
    }))
    .await;
    fixture.assert_nothing_left().await;
}

/// When the record of a kind was written.
async fn written(fixture: &Fixture, record: &str) -> DateTime<Utc> {
    fixture.store().stat(&fixture.path(record)).await.expect("a record").modified.expect("it tells")
}

/// Sees that an open upload whose client sends nothing writes its record again within `period`, on a clock that jumps.
async fn is_renewed(fixture: &Fixture, kind: &str, period: Duration) -> Result<()> {
    let planned = store_of(fixture, "acme").plan_upload(&fixture.path("file"), UploadMode::Replace).await?;
    let (data, _) = FakeData::uploads([Step::Send(body(PART + 1, 1)), Step::StayForever]);
    let abort = Abort::new();
    let looking = async {
        let record = record(fixture, kind).await;
        for _ in 0..3 {
            let before = written(fixture, &record).await;
            tokio::time::sleep(period).await;
            assert!(written(fixture, &record).await > before, "it looks abandoned");
        }
    };
    tokio::select! {
        result = planned.run(data, &abort) => panic!("it ended: {result:?}"),
        () = looking => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_upload_is_held() {
    let plain = Fixture::on_memory().await.expect("always there");
    is_renewed(&plain.keeping(WINDOW), "resume", Duration::from_secs(6)).await.expect("possible");
}

#[tokio::test(start_paused = true)]
async fn a_silent_upload_is_not_taken_for_left_over() {
    let fixture = Fixture::on_memory().await.expect("always there");
    is_renewed(&fixture, "uploads", Duration::from_hours(7)).await.expect("possible");
}
