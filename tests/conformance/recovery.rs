//! A gateway that is killed while it renames a directory: the next one finishes it or undoes it.

use std::sync::Arc;
use std::time::Duration;

use bucketport::storage::{Existing, RENAME_ABANDONED};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::data::body;
use crate::fixture::Fixture;
use crate::rename_directory::{assert_planted, plant, rename};
use crate::server::{Call, Fault, Faults};

const ALWAYS: usize = 1000;

/// Begins to rename `from` to `to` in a process of its own, which dies when `skip` calls of this kind were served.
async fn die(fixture: &Fixture, faults: &Faults, call: Call, skip: usize) {
    let before = faults.count(call);
    faults.add(call, skip, ALWAYS, Fault::Hang);
    let process = Runtime::new().expect("threads");
    let dying = {
        let _in_it = process.enter();
        fixture.again()
    };
    process.spawn(async move {
        let (from, to) = (dying.path("from"), dying.path("to"));
        drop(dying.store().rename(&from, &to, Existing::Replace).await);
    });
    let reaching = async {
        while faults.count(call) <= before + skip {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_mins(1), reaching).await;
    reached.unwrap_or_else(|_| panic!("{call:?}: there are not so many"));
    // What goes on beside it comes to a stop as well.
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.shutdown_background();
    tokio::time::sleep(Duration::from_millis(50)).await;
    faults.clear();
}

/// Whatever the gateway was doing when it died, the directory is whole at one of its names afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_that_was_cut_short_is_finished_or_undone() {
    // One rename of 5 files writes the record three times, a page twice, and the decision before the last of these; it
    // deletes the files, the page, the decision and the record.
    let points: [(Call, &[usize]); 4] = [
        (Call::Put, &[0, 1, 2, 3, 4, 5]),
        (Call::Copy, &[0, 2, 4]),
        (Call::Delete, &[0, 3, 5, 6, 7]),
        (Call::Head, &[4, 9, 15, 20]),
    ];
    for fixture in [Fixture::on_s3().await, Fixture::on_s3_flat().await] {
        let fixture = fixture.expect("always there");
        let faults = &fixture.server().expect("S3").faults;
        let (mut finished, mut undone) = (0, 0);
        for (call, skips) in points {
            for &skip in skips {
                let what = format!("{call:?} {skip}");
                plant(&fixture, "from").await;
                die(&fixture, faults, call, skip).await;
                // It may live still, as far as anybody can tell.
                let held = fixture.records().await;
                fixture.store().recover_renames(RENAME_ABANDONED).await.expect(&what);
                assert_eq!(fixture.records().await, held, "{what}: live work is left alone");
                fixture.store().recover_renames(Duration::ZERO).await.expect(&what);
                fixture.assert_no_records().await;
                let moved = fixture.store().stat(&fixture.path("to")).await.is_ok();
                let (at, other) = if moved { ("to", "from") } else { ("from", "to") };
                assert_planted(&fixture, at).await;
                fixture.assert_missing(other).await;
                *(if moved { &mut finished } else { &mut undone }) += 1;
                fixture.clean().await;
            }
        }
        assert!(finished >= 4 && undone >= 4, "both happen: {finished} and {undone}");
        fixture.finish(Ok(())).await;
    }
}

/// After a crash what clients did meanwhile stays: a file at the old name, and one at the new name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_takes_nothing_that_was_written_meanwhile() {
    for fixture in [Fixture::on_s3().await, Fixture::on_s3_flat().await] {
        let fixture = fixture.expect("always there");
        let faults = &fixture.server().expect("S3").faults;
        for (call, skip) in [(Call::Copy, 3), (Call::Delete, 1)] {
            plant(&fixture, "from").await;
            die(&fixture, faults, call, skip).await;
            fixture.put("from/a", &body(8, 21)).await;
            fixture.put("from/new", &body(8, 22)).await;
            fixture.put("to/sub/b", &body(8, 23)).await;
            fixture.put("to/new", &body(8, 24)).await;
            fixture.store().recover_renames(Duration::ZERO).await.expect("possible");
            for (name, seed) in [("from/a", 21), ("from/new", 22), ("to/sub/b", 23), ("to/new", 24)] {
                fixture.assert_holds(name, &body(8, seed)).await;
            }
            fixture.assert_no_records().await;
            fixture.clean().await;
        }
        fixture.finish(Ok(())).await;
    }
}

/// A store that comes back: what could not be finished is finished at the next clean-up, and at once, since nobody works
/// on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_finished_is_finished_later() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let faults = &fixture.server().expect("S3").faults;
    plant(&fixture, "from").await;
    faults.add(Call::Delete, 2, ALWAYS, Fault::Status(403));
    assert_err!(rename(&fixture, "from", "to").await, Refused(_));
    fixture.store().recover_renames(RENAME_ABANDONED).await.expect("it answers");
    assert!(!fixture.records().await.is_empty(), "nothing can be deleted yet");
    faults.clear();
    fixture.store().recover_renames(RENAME_ABANDONED).await.expect("it answers");
    assert_planted(&fixture, "to").await;
    fixture.assert_missing("from").await;
    fixture.assert_no_records().await;
    fixture.finish(Ok(())).await;
}

/// A process that stops leaves its work to the next one, which need not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_leaves_its_work_to_the_next() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let faults = &fixture.server().expect("S3").faults;
    for (call, at) in [(Call::Copy, "from"), (Call::Delete, "to")] {
        plant(&fixture, "from").await;
        // More files than are worked on at once.
        for number in 0..10 {
            fixture.put(&format!("from/sub/more {number}"), &body(3, number)).await;
        }
        let stopping = fixture.again();
        let go = Arc::new(Notify::new());
        faults.add(call, 0, 8, Fault::AnswerAfter(Arc::clone(&go)));
        let before = faults.count(call);
        let stop = async {
            while faults.count(call) < before + 8 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            stopping.stop();
            for _ in 0..8 {
                go.notify_one();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (result, ()) = tokio::join!(rename(&stopping, "from", "to"), stop);
        assert_err!(result, Data(_));
        assert!(!fixture.records().await.is_empty(), "{call:?}");
        fixture.store().recover_renames(RENAME_ABANDONED).await.expect("it answers");
        fixture.assert_no_records().await;
        assert_planted(&fixture, at).await;
        fixture.clean().await;
    }
    fixture.finish(Ok(())).await;
}

/// Waits until so many calls of this kind have arrived.
async fn arrived(faults: &Faults, call: Call, count: usize) {
    let arriving = async {
        while faults.count(call) < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_mins(1), arriving).await;
    arrived.unwrap_or_else(|_| panic!("{call:?}: there are not so many"));
}

/// A gateway decides that all is copied, but its request is late: another has taken over meanwhile and is about to delete
/// the copies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_decides_too_late_deletes_nothing() {
    for fixture in [Fixture::on_s3().await, Fixture::on_s3_flat().await] {
        let fixture = fixture.expect("always there");
        let faults = &fixture.server().expect("S3").faults;
        plant(&fixture, "from").await;
        let (late, deletes) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (puts_before, deletes_before) = (faults.count(Call::Put), faults.count(Call::Delete));
        // After the record twice and a page twice.
        faults.add(Call::Put, 4, 1, Fault::DoneAfter(Arc::clone(&late)));
        let slow = fixture.again();
        let other = async {
            arrived(faults, Call::Put, puts_before + 5).await;
            faults.add(Call::Delete, 0, 5, Fault::DoneAfter(Arc::clone(&deletes)));
            fixture.store().recover_renames(Duration::ZERO).await
        };
        let in_between = async {
            arrived(faults, Call::Delete, deletes_before + 5).await;
            late.notify_one();
        };
        let renaming = async {
            let renamed = rename(&slow, "from", "to").await;
            deletes.notify_waiters();
            renamed
        };
        let (renamed, recovered, ()) = tokio::join!(renaming, other, in_between);
        assert_err!(renamed, Changed);
        assert_eq!(recovered.expect("it answers"), 1);
        assert_planted(&fixture, "from").await;
        fixture.assert_missing("to").await;
        fixture.assert_no_records().await;
        fixture.finish(Ok(())).await;
    }
}

/// So old is what nobody has worked on; times in HTTP are of whole seconds.
const OLD: Duration = Duration::from_secs(3);

/// A rename that died, and whose record nobody has written for [`OLD`].
async fn abandoned() -> Fixture {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    plant(&fixture, "from").await;
    die(&fixture, &fixture.server().expect("S3").faults, Call::Copy, 3).await;
    tokio::time::sleep(OLD + Duration::from_millis(100)).await;
    fixture
}

/// Work on what was listed before can take hours, in which those who live write their records again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_since_it_was_listed_is_left_alone() {
    let fixture = abandoned().await;
    let server = fixture.server().expect("S3");
    let held = fixture.records().await;
    let record = held.iter().find(|name| !name.contains(".pages/")).expect("it died");
    let content = fixture.download(&format!(".bucketport/{record}"), 0).await.expect("listed").leak();
    let go = Arc::new(Notify::new());
    let lists = server.faults.count(Call::List);
    server.faults.add(Call::List, 0, 1, Fault::AnswerAfter(Arc::clone(&go)));
    let writing = async {
        arrived(&server.faults, Call::List, lists + 1).await;
        // So that it is listed as it was.
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.bucket().expect("flat").plant(&format!("pre/fix/.bucketport/{record}"), content);
        go.notify_one();
    };
    let (recovered, ()) = tokio::join!(fixture.store().recover_renames(OLD), writing);
    assert_eq!(recovered.expect("it answers"), 0);
    assert_eq!(fixture.records().await, held);
    assert_eq!(fixture.store().recover_renames(Duration::ZERO).await.expect("it answers"), 1);
    assert_planted(&fixture, "from").await;
    fixture.assert_no_records().await;
    fixture.finish(Ok(())).await;
}

/// One replica has seen that a rename is abandoned; before it takes it over, another does and is about to delete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_takes_over() {
    let fixture = abandoned().await;
    let faults = &fixture.server().expect("S3").faults;
    let (slow, quick) = (fixture.again(), fixture.again());
    let (seen, deletes) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (heads_before, deletes_before) = (faults.count(Call::Head), faults.count(Call::Delete));
    faults.add(Call::Head, 0, 1, Fault::AnswerAfter(Arc::clone(&seen)));
    let first = async {
        let recovered = slow.store().recover_renames(OLD).await;
        deletes.notify_waiters();
        recovered.expect("it answers")
    };
    let second = async {
        arrived(faults, Call::Head, heads_before + 1).await;
        // So many copies were made.
        faults.add(Call::Delete, 0, 3, Fault::DoneAfter(Arc::clone(&deletes)));
        quick.store().recover_renames(OLD).await.expect("it answers")
    };
    let in_between = async {
        arrived(faults, Call::Delete, deletes_before + 3).await;
        seen.notify_one();
    };
    let (slow, quick, ()) = tokio::join!(first, second, in_between);
    assert_eq!((slow, quick), (0, 1));
    assert_planted(&fixture, "from").await;
    fixture.assert_missing("to").await;
    fixture.assert_no_records().await;
    fixture.finish(Ok(())).await;
}
