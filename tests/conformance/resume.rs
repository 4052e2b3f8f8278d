//! Uploads that break are gone on with, from any gateway, and nobody sees them before they are complete.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bucketport::data::{Abort, AbortReason, DataConnection, DataError};
use bucketport::storage::{EntryKind, Error, Store, UploadMode};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::server::{Call, Fault};

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) const WINDOW: Duration = Duration::from_hours(1);
const BROKEN_AFTER: [usize; 6] = [1, 100, PART - 1, PART, PART + 100, 3 * PART + 100];

/// The store as its users have it.
pub(crate) fn store_of(fixture: &Fixture, owner: &str) -> Arc<Store> {
    Arc::new(fixture.store().owned_by(owner))
}

pub(crate) async fn upload(
    fixture: &Fixture,
    name: &str,
    mode: UploadMode,
    script: Vec<Step>,
) -> Result<u64> {
    let planned = store_of(fixture, "acme").plan_upload(&fixture.path(name), mode).await?;
    let (data, _) = FakeData::uploads(script);
    Ok(planned.run(data, &Abort::new()).await?.taken)
}

/// Sends `bytes` and breaks.
pub(crate) async fn breaks(fixture: &Fixture, name: &str, mode: UploadMode, bytes: &Bytes) {
    let script = vec![Step::Send(bytes.clone()), Step::Lose];
    assert_err!(upload(fixture, name, mode, script).await, Data(DataError::Lost(_)));
}

pub(crate) async fn completes(fixture: &Fixture, name: &str, mode: UploadMode, bytes: &Bytes) {
    let taken = upload(fixture, name, mode, vec![Step::Send(bytes.clone())]).await;
    assert_eq!(taken.unwrap_or_else(|error| panic!("{name}: {error:?}")), bytes.len() as u64);
}

/// What SIZE tells `owner`.
pub(crate) async fn size(fixture: &Fixture, owner: &str, name: &str) -> Result<u64> {
    let entry = store_of(fixture, owner).progress(&fixture.path(name)).await?;
    match entry.kind {
        EntryKind::File { size } => Ok(size),
        EntryKind::Directory => panic!("{name} is a directory"),
    }
}

/// Fails unless all of `kept` was kept for its uploader and nobody sees anything of it.
async fn assert_kept(fixture: &Fixture, name: &str, kept: usize) {
    assert_eq!(size(fixture, "acme", name).await.expect("kept"), kept as u64, "{name}");
    assert_err!(size(fixture, "other", name).await, NotFound);
    assert_err!(store_of(fixture, "acme").stat(&fixture.path(name)).await, NotFound);
    fixture.assert_missing(name).await;
    let listed = fixture.entries("").await.unwrap_or_default();
    assert!(!listed.contains_key(name), "{listed:?}");
}

pub(crate) async fn goes_on_where_it_broke(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in BROKEN_AFTER {
        let (name, bytes) = (format!("broken after {sent}"), body(4 * PART, sent as u64));
        breaks(&fixture, &name, UploadMode::Replace, &bytes.slice(..sent)).await;
        assert_kept(&fixture, &name, sent).await;
        let replica = fixture.replica();
        completes(&replica, &name, UploadMode::From(sent as u64), &bytes.slice(sent..)).await;
        replica.assert_holds(&name, &bytes).await;
        replica.assert_nothing_left().await;
    }
}

pub(crate) async fn appends_where_it_broke(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [100, PART + 100] {
        let (name, bytes) = (format!("broken after {sent}"), body(3 * PART, sent as u64));
        breaks(&fixture, &name, UploadMode::Replace, &bytes.slice(..sent)).await;
        completes(&fixture.replica(), &name, UploadMode::Append, &bytes.slice(sent..)).await;
        fixture.assert_holds(&name, &bytes).await;
    }
}

pub(crate) async fn breaks_again_and_again(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    let bytes = body(5 * PART + 7, 1);
    let mut from = 0;
    for to in [10, 30, PART + 1, PART + 2, 2 * PART, 4 * PART + 5] {
        let mode = if from == 0 { UploadMode::Replace } else { UploadMode::From(from as u64) };
        let replica = fixture.replica();
        breaks(&replica, "file", mode, &bytes.slice(from..to)).await;
        assert_kept(&replica, "file", to).await;
        from = to;
    }
    completes(&fixture.replica(), "file", UploadMode::From(from as u64), &bytes.slice(from..)).await;
    fixture.assert_holds("file", &bytes).await;
    fixture.assert_nothing_left().await;
}

pub(crate) async fn goes_on_within_the_tail(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    let (sent, bytes) = (PART + 1000, body(2 * PART, 1));
    breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..sent)).await;
    let from = |offset: usize| UploadMode::From(offset as u64);
    assert_err!(upload(&fixture, "file", from(sent + 1), Vec::new()).await, OffsetBeyondEnd);
    assert_err!(upload(&fixture, "file", from(PART - 1), Vec::new()).await, OffsetNotKept(_));
    assert_kept(&fixture, "file", sent).await;
    // A local folder has it all in the file, which it does not cut.
    let offset = if fixture.folder().is_some() { sent } else { PART + 10 };
    let rest = body(PART, 2);
    completes(&fixture, "file", from(offset), &rest).await;
    fixture.assert_holds("file", &[&bytes[..offset], &rest].concat()).await;
    fixture.assert_nothing_left().await;
}

pub(crate) async fn an_old_file_stays_until_it_is_complete(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    let (old, bytes) = (body(1000, 1), body(2 * PART, 2));
    fixture.put("file", &old).await;
    for sent in [10, PART + 10] {
        breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..sent)).await;
        fixture.assert_holds("file", &old).await;
        assert_eq!(size(&fixture, "acme", "file").await.expect("kept"), sent as u64);
        assert_eq!(size(&fixture, "other", "file").await.expect("complete"), 1000);
    }
    // Who appends to the complete file need not know of the other one.
    completes(&fixture, "file", UploadMode::Append, &body(5, 3)).await;
    fixture.assert_holds("file", &[old, body(5, 3)].concat()).await;
    completes(&fixture, "file", UploadMode::From(PART as u64 + 10), &bytes.slice(PART + 10..)).await;
    fixture.assert_holds("file", &bytes).await;
    assert_eq!(size(&fixture, "acme", "file").await.expect("complete"), bytes.len() as u64);
    fixture.assert_nothing_left().await;
}

pub(crate) async fn begins_anew_without_rest(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [10, PART + 10] {
        for size in [20, PART + 20] {
            breaks(&fixture, "file", UploadMode::Replace, &body(sent, 1)).await;
            completes(&fixture, "file", UploadMode::Replace, &body(size, 2)).await;
            fixture.assert_holds("file", &body(size, 2)).await;
            fixture.assert_nothing_left().await;
            fixture.store().delete(&fixture.path("file")).await.expect("it is there");
        }
    }
}

pub(crate) async fn is_given_up_by_delete(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [10, PART + 10] {
        breaks(&fixture, "dir/file", UploadMode::Replace, &body(sent, 1)).await;
        let path = fixture.path("dir/file");
        assert_err!(store_of(&fixture, "other").delete(&path).await, NotFound);
        store_of(&fixture, "acme").delete(&path).await.expect("kept");
        assert_err!(size(&fixture, "acme", "dir/file").await, NotFound);
        fixture.assert_nothing_left().await;
        fixture.assert_missing("dir").await;
        assert_err!(store_of(&fixture, "acme").delete(&path).await, NotFound);
    }
}

pub(crate) async fn is_given_up_by_an_abort(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [10, PART + 10] {
        for kept in [0, 5, PART + 5] {
            let mut mode = UploadMode::Replace;
            if kept > 0 {
                breaks(&fixture, "file", mode, &body(kept, 1)).await;
                mode = UploadMode::From(kept as u64);
            }
            let planned =
                store_of(&fixture, "acme").plan_upload(&fixture.path("file"), mode).await.expect("possible");
            let reached = Arc::new(Notify::new());
            let script = [Step::Send(body(sent, 2)), Step::Reached(Arc::clone(&reached)), Step::StayForever];
            let (data, _) = FakeData::uploads(script);
            let abort = Abort::new();
            let aborting = async {
                reached.notified().await;
                abort.abort(AbortReason::Requested);
            };
            let (result, ()) = tokio::join!(planned.run(data, &abort), aborting);
            assert_err!(result, Data(DataError::Aborted));
            fixture.assert_nothing_left().await;
            assert_err!(size(&fixture, "acme", "file").await, NotFound);
        }
    }
}

pub(crate) async fn is_one_session_s_at_a_time(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [10, PART + 10] {
        let bytes = body(2 * PART, 1);
        breaks(&fixture, "file", UploadMode::Replace, &bytes.slice(..sent)).await;
        let mode = UploadMode::From(sent as u64);
        let store = store_of(&fixture, "acme");
        let first = store.plan_upload(&fixture.path("file"), mode).await.expect("nobody has it");
        assert_err!(upload(&fixture.replica(), "file", mode, Vec::new()).await, Busy);
        assert_err!(upload(&fixture.replica(), "file", UploadMode::Append, Vec::new()).await, Busy);
        // A transfer that never began: the client did not open its data connection.
        drop(first);
        let again = async {
            loop {
                match store.plan_upload(&fixture.path("file"), mode).await {
                    Err(Error::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
                    planned => return planned.expect("nobody has it"),
                }
            }
        };
        let planned = tokio::time::timeout(Duration::from_secs(20), again).await.expect("it is let go");
        let (data, _) = FakeData::uploads([Step::Send(bytes.slice(sent..))]);
        planned.run(data, &Abort::new()).await.expect("the rest is there");
        // Nothing is left for the client to see when it has its reply.
        assert_eq!(size(&fixture, "acme", "file").await.expect("complete"), bytes.len() as u64);
        fixture.assert_holds("file", &bytes).await;
        fixture.assert_nothing_left().await;
        fixture.store().delete(&fixture.path("file")).await.expect("it is there");
    }
}

pub(crate) async fn is_one_session_s_of_many(plain: &Fixture) {
    // `s3s-fs` knows no conditional PUT.
    if plain.server().is_some_and(|server| server.bucket().is_none()) {
        return;
    }
    let fixture = plain.keeping(WINDOW);
    for round in 0..10 {
        let name = format!("file {round}");
        breaks(&fixture, &name, UploadMode::Replace, &body(10, 1)).await;
        let (fixture, name) = (&fixture, &name);
        let plans = join_all((0..6).map(|_| async move {
            let replica = fixture.replica();
            store_of(&replica, "acme").plan_upload(&fixture.path(name), UploadMode::From(10)).await
        }));
        let (winners, losers): (Vec<_>, Vec<_>) = plans.await.into_iter().partition(Result::is_ok);
        assert_eq!(winners.len(), 1, "{losers:?}");
        assert!(losers.iter().all(|loser| matches!(loser, Err(Error::Busy))), "{losers:?}");
        for winner in winners {
            let (data, _) = FakeData::uploads([Step::Send(body(10, 2))]);
            winner.expect("a winner").run(data, &Abort::new()).await.expect("the rest is there");
        }
        fixture.assert_holds(name, &[body(10, 1), body(10, 2)].concat()).await;
    }
}

pub(crate) async fn is_over_after_its_window(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    for sent in [10, PART + 10] {
        breaks(&fixture, "dir/file", UploadMode::Replace, &body(sent, 1)).await;
        let (store, metrics) = (fixture.store(), fixture.metrics());
        store.clean(metrics, Utc::now() + TimeDelta::minutes(50)).await.expect("the store answers");
        assert_eq!(size(&fixture, "acme", "dir/file").await.expect("kept"), sent as u64);
        store.clean(metrics, Utc::now() + TimeDelta::minutes(70)).await.expect("the store answers");
        assert_err!(size(&fixture, "acme", "dir/file").await, NotFound);
        let rest = upload(&fixture, "dir/file", UploadMode::From(sent as u64), Vec::new()).await;
        assert_err!(rest, OffsetBeyondEnd);
        fixture.assert_nothing_left().await;
        fixture.assert_missing("dir").await;
    }
    // The janitor need not have come by.
    let brief = plain.keeping(Duration::from_secs(1));
    breaks(&brief, "file", UploadMode::Replace, &body(10, 1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_err!(size(&brief, "acme", "file").await, NotFound);
    assert_err!(upload(&brief, "file", UploadMode::From(10), Vec::new()).await, OffsetBeyondEnd);
    completes(&brief, "file", UploadMode::Replace, &body(30, 2)).await;
    brief.assert_holds("file", &body(30, 2)).await;
    brief.assert_nothing_left().await;
}

pub(crate) async fn appends_to_files_are_not_kept(plain: &Fixture) {
    let fixture = plain.keeping(WINDOW);
    let old = body(100, 1);
    fixture.put("file", &old).await;
    for sent in [10, PART + 10] {
        breaks(&fixture, "file", UploadMode::Append, &body(sent, 2)).await;
        assert_eq!(size(&fixture, "acme", "file").await.expect("complete"), 100);
        fixture.assert_holds("file", &old).await;
        fixture.assert_nothing_left().await;
    }
    // REST and STOR on a complete file is kept, and loses to a rival like any other.
    breaks(&fixture, "file", UploadMode::From(50), &body(PART, 3)).await;
    let kept = size(&fixture, "acme", "file").await.expect("kept");
    assert_eq!(kept, 50 + PART as u64);
    fixture.put("file", &body(70, 4)).await;
    let rest = upload(&fixture, "file", UploadMode::From(kept), vec![Step::Send(body(5, 5))]).await;
    assert_err!(rest, Changed);
    fixture.assert_holds("file", &body(70, 4)).await;
    fixture.assert_nothing_left().await;
}

pub(crate) async fn lives_on_a_little_memory(plain: &Fixture) {
    let fixture = &plain.keeping(WINDOW).with_memory(2 * PART as u64);
    let bytes = &body(2 * PART + 9, 1);
    let uploads = join_all((0..10).map(|number| async move {
        let name = format!("file {number}");
        let sent = PART / 2 + number * PART / 8;
        breaks(fixture, &name, UploadMode::Replace, &bytes.slice(..sent)).await;
        completes(fixture, &name, UploadMode::From(sent as u64), &bytes.slice(sent..)).await;
        fixture.assert_holds(&name, bytes).await;
    }));
    tokio::time::timeout(Duration::from_mins(2), uploads).await.expect("they wait for each other for ever");
    fixture.assert_nothing_left().await;
}

/// Leaves an upload of which a record was written when nothing had arrived, like one whose gateway was killed.
async fn begins(fixture: &Fixture, name: &str) {
    let store = store_of(fixture, "acme");
    let planned = store.plan_upload(&fixture.path(name), UploadMode::Replace).await.expect("possible");
    let (data, _) = FakeData::uploads([Step::Send(body(PART + 1, 2)), Step::StayForever]);
    let abort = Abort::new();
    let recorded = async {
        while !fixture.records().await.iter().any(|record| record.starts_with("resume/")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        result = planned.run(data, &abort) => panic!("it ended: {result:?}"),
        recorded = tokio::time::timeout(Duration::from_secs(20), recorded) => recorded.expect("a record"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_only_begun_is_nothing_to_go_on_with() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    fixture.faults().add(Call::PutPart, 0, 1, Fault::Hang);
    let (old, line) = (body(100, 1), body(5, 3));
    fixture.put("file", &old).await;
    begins(&fixture, "file").await;
    assert_eq!(size(&fixture, "acme", "file").await.expect("complete"), 100);
    completes(&fixture, "file", UploadMode::Append, &line).await;
    fixture.assert_holds("file", &[&old[..], &line].concat()).await;
    completes(&fixture, "file", UploadMode::From(50), &line).await;
    fixture.assert_holds("file", &[&old[..50], &line].concat()).await;
    // The session that has gone may have let go only now.
    let anew = async {
        loop {
            completes(&fixture, "file", UploadMode::Replace, &line).await;
            if fixture.records().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), anew).await.expect("it is discarded");
    fixture.assert_nothing_left().await;
}

/// Counts how often it is asked for bytes.
struct Counting {
    data: Box<FakeData>,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    begun: AtomicUsize,
    polled: AtomicUsize,
    done: AtomicUsize,
}

impl Counting {
    fn uploads(script: impl IntoIterator<Item = Step>) -> (Box<Self>, Arc<Count>) {
        let count = Arc::<Count>::default();
        (Box::new(Self { data: FakeData::uploads(script).0, count: Arc::clone(&count) }), count)
    }
}

#[async_trait]
impl DataConnection for Counting {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        self.count.begun.fetch_add(1, Ordering::Relaxed);
        let mut reading = self.data.read(buffer);
        let read = poll_fn(|context| {
            self.count.polled.fetch_add(1, Ordering::Relaxed);
            reading.as_mut().poll(context)
        });
        let read = read.await;
        self.count.done.fetch_add(1, Ordering::Relaxed);
        read
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.data.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.data.finish().await
    }

    fn reset(self: Box<Self>) {
        self.data.reset();
    }
}

/// While the store does not answer, its session sleeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_hangs_keeps_nobody_busy() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    fixture.faults().add(Call::Put, 0, 1, Fault::Hang);
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), UploadMode::Replace).await;
    let (data, count) = Counting::uploads([Step::Send(body(PART + 1, 1)), Step::StayForever]);
    let abort = Abort::new();
    // The record is to be written again after 5 seconds.
    let running = planned.expect("possible").run(data, &abort);
    let result = tokio::time::timeout(Duration::from_secs(8), running).await;
    assert!(result.is_err(), "{result:?}");
    let polled = count.polled.load(Ordering::Relaxed);
    assert!(polled < 5000, "asked for bytes {polled} times");
    fixture.stop();
}

/// Who waits in the queue of a rate would lose their place each time that a record is due or a part has arrived.
#[tokio::test(start_paused = true)]
async fn a_read_that_has_begun_is_not_given_up_for_other_things() {
    let plain = Fixture::on_memory().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let planned = store_of(&fixture, "acme").plan_upload(&fixture.path("file"), UploadMode::Replace).await;
    let go = Arc::new(Notify::new());
    let bytes = body(2 * PART + 1, 1);
    let (data, count) = Counting::uploads([Step::Send(bytes.clone()), Step::Wait(Arc::clone(&go))]);
    let abort = Abort::new();
    let running = planned.expect("possible").run(data, &abort);
    let records = async {
        // One is due every 5 seconds.
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!fixture.records().await.is_empty());
        go.notify_one();
    };
    let (stored, ()) = tokio::join!(running, records);
    assert_eq!(stored.expect("stored").taken, bytes.len() as u64);
    let (begun, done) = (count.begun.load(Ordering::Relaxed), count.done.load(Ordering::Relaxed));
    assert!(begun == done && begun > 2, "{begun} reads were begun and {done} done");
    fixture.assert_holds("file", &bytes).await;
}

/// What cannot be recorded is uploaded all the same, and nothing of it is left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_no_other_session_s() {
    let plain = Fixture::on_s3_flat().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(2 * PART + 10, 1);
    fixture.faults().add(Call::Put, 0, 1000, Fault::Status(403));
    completes(&fixture, "file", UploadMode::Replace, &bytes).await;
    breaks(&fixture, "broken", UploadMode::Replace, &bytes).await;
    fixture.faults().clear();
    fixture.assert_holds("file", &bytes).await;
    assert_err!(size(&fixture, "acme", "broken").await, NotFound);
    plain.finish(Ok(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_lost_its_hold_harms_nothing() {
    loses_its_hold(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_lost_its_hold_and_is_aborted_harms_nothing() {
    loses_its_hold(Some(AbortReason::Requested)).await;
}

/// A session that others could not hear of for long goes on, or is aborted, after one of them has taken the upload up.
async fn loses_its_hold(aborted: Option<AbortReason>) {
    let plain = Fixture::on_local().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    let bytes = body(2 * PART, 1);
    let (go, path) = (Arc::new(Notify::new()), fixture.path("file"));
    let first = store_of(&fixture, "acme");
    let planned = first.plan_upload(&path, UploadMode::Replace).await.expect("possible");
    let reached = Arc::new(Notify::new());
    let script =
        [Step::Send(bytes.slice(..PART)), Step::Reached(Arc::clone(&reached)), Step::Wait(Arc::clone(&go))];
    let (data, _) = FakeData::uploads(script);
    let abort = Arc::new(Abort::new());
    let heeded = Arc::clone(&abort);
    let running = tokio::spawn(async move { planned.run(data, &heeded).await });
    reached.notified().await;

    let records = fixture.folder().expect("local").join(".bucketport/resume");
    let second = store_of(&fixture.replica(), "acme");
    let taking_up = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // As if it had not been written for long.
            for record in std::fs::read_dir(&records).into_iter().flatten() {
                let record = record.expect("an entry").path();
                let text = std::fs::read_to_string(&record).unwrap_or_default();
                let Some((before, after)) = text.split_once("\"held_until\":") else { continue };
                let after = after.split_once([',', '}']).map_or("", |(_, after)| after);
                let after = if after.is_empty() { "}" } else { after };
                std::fs::write(&record, format!("{before}\"held_until\":null{after}")).expect("writable");
            }
            let Ok(kept) = size(&fixture, "acme", "file").await else { continue };
            if let Ok(planned) = second.plan_upload(&path, UploadMode::From(kept)).await {
                return (usize::try_from(kept).expect("small"), planned);
            }
        }
    };
    let (kept, planned) = tokio::time::timeout(Duration::from_secs(30), taking_up).await.expect("taken up");
    if let Some(reason) = aborted {
        abort.abort(reason);
        assert_err!(running.await.expect("no panic"), Data(DataError::Aborted));
    } else {
        go.notify_one();
        assert_err!(running.await.expect("no panic"), Busy);
    }
    let (data, _) = FakeData::uploads([Step::Send(bytes.slice(kept..))]);
    planned.run(data, &Abort::new()).await.expect("nothing is in its way");
    fixture.assert_holds("file", &bytes).await;
    plain.finish(Ok(())).await;
}

/// One that is damaged, or of another version, must not stand in the way of its path for ever.
#[tokio::test]
async fn a_record_that_cannot_be_read_counts_as_none() {
    let plain = Fixture::on_local().await.expect("always there");
    let fixture = plain.keeping(WINDOW);
    breaks(&fixture, "file", UploadMode::Replace, &body(10, 1)).await;
    let records = fixture.folder().expect("local").join(".bucketport/resume");
    for record in std::fs::read_dir(&records).expect("kept") {
        std::fs::write(record.expect("an entry").path(), "{").expect("writable");
    }
    let store = store_of(&fixture, "acme");
    let (data, _) = FakeData::uploads([Step::Send(body(20, 2))]);
    let planned =
        store.plan_upload(&fixture.path("file"), UploadMode::Replace).await.expect("nothing is kept");
    planned.run(data, &Abort::new()).await.expect("anew");
    fixture.assert_holds("file", &body(20, 2)).await;
}
