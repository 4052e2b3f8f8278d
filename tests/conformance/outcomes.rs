//! A store whose answers are lost, unreadable or wrong: what became of the object decides, not what was said of it.

use std::time::{Duration, Instant};

use bucketport::data::Abort;
use bucketport::storage::{Error, Existing, Result, UploadMode};
use bytes::Bytes;

use crate::data::{FakeData, body, in_odd_chunks};
use crate::faults::{run, run_everywhere};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::server::{Call, Fault};

/// More often than anything is tried.
const ALWAYS: usize = 50;
const SOON: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::from_secs(5);

const INTERNAL_ERROR: &str = "<Error><Code>InternalError</Code></Error>";
const OPERATION_ABORTED: &str = "<Error><Code>OperationAborted</Code></Error>";
const CONDITIONAL_CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";

/// The requests that make an object appear, and a size that uses each.
const COMMITS: [(Call, usize); 2] = [(Call::Put, 100), (Call::CompleteMultipart, 2 * PART)];
const MODES: [UploadMode; 3] = [UploadMode::Replace, UploadMode::Create, UploadMode::Append];

/// An upload of one mode, and what stood at its name before.
struct Upload {
    name: String,
    mode: UploadMode,
    old: Option<Bytes>,
    new: Bytes,
}

impl Upload {
    /// One that stores `size` bytes in all. The old file is there when it returns.
    async fn prepare(fixture: &Fixture, name: String, mode: UploadMode, size: usize) -> Self {
        let old = (mode != UploadMode::Create).then(|| body(10, 1));
        if let Some(old) = &old {
            fixture.put(&name, old).await;
        }
        let kept = if mode == UploadMode::Append { 10 } else { 0 };
        Self { name, mode, old, new: body(size - kept, 2) }
    }

    async fn run(&self, fixture: &Fixture) -> Result<u64> {
        let uploading = fixture.upload(&self.name, self.mode, &self.new);
        tokio::time::timeout(SOON, uploading)
            .await
            .unwrap_or_else(|_| panic!("{}: takes too long", self.name))
    }

    /// Fails unless the upload says that it has succeeded and its bytes are there, once.
    async fn assert_done(&self, fixture: &Fixture, result: Result<u64>) {
        let taken = result.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        assert_eq!(taken, self.new.len() as u64, "{}", self.name);
        let kept = self.old.as_ref().filter(|_| self.mode == UploadMode::Append);
        let held = [kept.map_or(&[][..], |old| old), &self.new].concat();
        fixture.assert_holds(&self.name, &held).await;
        fixture.assert_nothing_left().await;
    }

    /// Fails unless the upload says that the store failed and nothing of it is there.
    async fn assert_failed(&self, fixture: &Fixture, result: Result<u64>) {
        assert!(matches!(result, Err(Error::Store(_))), "{}: {result:?}", self.name);
        match &self.old {
            Some(old) => fixture.assert_holds(&self.name, old).await,
            None => fixture.assert_missing(&self.name).await,
        }
        fixture.assert_nothing_left().await;
    }
}

/// Renames and expects that it works.
async fn rename(fixture: &Fixture, from: &str, to: &str) {
    let renaming = fixture.store().rename(&fixture.path(from), &fixture.path(to), Existing::Replace).await;
    renaming.unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error:?}"));
}

#[tokio::test]
async fn a_copy_that_was_not_done_loses_nothing() {
    run(async |fixture, faults| {
        let (from, to) = (fixture.path("from"), fixture.path("to"));
        let source = body(100, 1);
        fixture.put("from", &source).await;
        // As large as the source, so that only its version tells that it is not the copy.
        for old in [None, Some(body(20, 2)), Some(body(100, 3))] {
            if let Some(old) = &old {
                fixture.put("to", old).await;
            }
            for answer in [OPERATION_ABORTED, ""] {
                faults.add(Call::Copy, 0, ALWAYS, Fault::Answer(200, answer));
                let result = fixture.store().rename(&from, &to, Existing::Replace).await;
                faults.clear();
                assert!(
                    matches!(result, Err(Error::Store(_))),
                    "{answer:?} over {:?}: {result:?}",
                    old.as_ref().map(Bytes::len)
                );
                fixture.assert_holds("from", &source).await;
                match &old {
                    Some(old) => fixture.assert_holds("to", old).await,
                    None => fixture.assert_missing("to").await,
                }
            }
        }
        faults.add(Call::Copy, 0, 1, Fault::Answer(200, INTERNAL_ERROR));
        rename(fixture, "from", "to").await;
        fixture.assert_missing("from").await;
        fixture.assert_holds("to", &source).await;
    })
    .await;
}

#[tokio::test]
async fn a_rename_whose_answers_are_lost_is_done() {
    run_everywhere(async |fixture, faults| {
        for call in [Call::Copy, Call::Delete] {
            for fault in [Fault::DoneBut(500), Fault::DoneBut(200), Fault::DoneThenReset] {
                fixture.put("to", &body(20, 1)).await;
                fixture.put("from", &body(20, 2)).await;
                faults.add(call, 0, 1, fault);
                rename(fixture, "from", "to").await;
                fixture.assert_missing("from").await;
                fixture.assert_holds("to", &body(20, 2)).await;
            }
        }
    })
    .await;
}

/// What the client hears of a whole file must not make it send the file again; with APPE it would be there twice.
#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_done() {
    run_everywhere(async |fixture, faults| {
        for (call, size) in COMMITS {
            for mode in MODES {
                for fault in [Fault::DoneBut(500), Fault::DoneBut(200), Fault::DoneThenReset] {
                    let name = format!("{call:?} {mode:?} {fault:?}");
                    let upload = Upload::prepare(fixture, name, mode, size).await;
                    faults.add(call, 0, 1, fault);
                    let result = upload.run(fixture).await;
                    upload.assert_done(fixture, result).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_was_not_done_is_reported() {
    run_everywhere(async |fixture, faults| {
        for (call, size) in COMMITS {
            for mode in MODES {
                for (kind, answer) in [("empty", ""), ("error", OPERATION_ABORTED)] {
                    let name = format!("{call:?} {mode:?} {kind}");
                    let upload = Upload::prepare(fixture, name, mode, size).await;
                    faults.add(call, 0, ALWAYS, Fault::Answer(200, answer));
                    let result = upload.run(fixture).await;
                    faults.clear();
                    upload.assert_failed(fixture, result).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_conflict_that_passes_is_retried() {
    run_everywhere(async |fixture, faults| {
        for (kind, answer) in [("aborted", OPERATION_ABORTED), ("conditional", CONDITIONAL_CONFLICT)] {
            for mode in MODES {
                let name = format!("{kind} {mode:?}");
                let upload = Upload::prepare(fixture, name, mode, 100).await;
                faults.add(Call::Put, 0, 1, Fault::Answer(409, answer));
                let result = upload.run(fixture).await;
                upload.assert_done(fixture, result).await;
            }
        }
    })
    .await;
}

/// Devices drop a file when they hear that its name is taken.
#[tokio::test]
async fn a_conflict_that_stays_is_no_name_taken() {
    run_everywhere(async |fixture, faults| {
        let calls = [
            (Call::Put, 100),
            (Call::CreateMultipart, 2 * PART),
            (Call::PutPart, 2 * PART),
            (Call::CompleteMultipart, 2 * PART),
        ];
        for (call, size) in calls {
            for mode in [UploadMode::Create, UploadMode::Append] {
                let upload = Upload::prepare(fixture, format!("{call:?} {mode:?}"), mode, size).await;
                faults.add(call, 0, ALWAYS, Fault::Answer(409, OPERATION_ABORTED));
                let result = upload.run(fixture).await;
                faults.clear();
                upload.assert_failed(fixture, result).await;
            }
        }
        fixture.put("file", &body(10, 1)).await;
        faults.add(Call::Delete, 0, ALWAYS, Fault::Answer(409, OPERATION_ABORTED));
        assert_err!(fixture.store().delete(&fixture.path("file")).await, Store(_));
        fixture.assert_holds("file", &body(10, 1)).await;
    })
    .await;
}

/// Another file appears under the name between the HEAD and the PUT, and the PUT's first answer says nothing of it.
#[tokio::test]
async fn a_create_loses_to_a_rival_whatever_it_hears_first() {
    run_everywhere(async |fixture, faults| {
        let first = [Fault::Status(500), Fault::Answer(409, CONDITIONAL_CONFLICT), Fault::Status(412)];
        for (number, fault) in first.into_iter().enumerate() {
            let (name, rival) = (format!("taken {number}"), body(100, 1));
            let path = fixture.path(&name);
            let planned =
                fixture.store().plan_upload(&path, UploadMode::Create).await.expect("nothing is there");
            fixture.put(&name, &rival).await;
            faults.add(Call::Head, 0, 1, Fault::Status(404));
            faults.add(Call::Put, 0, 1, fault);
            let (data, _) = FakeData::uploads(in_odd_chunks(&body(100, 2)));
            assert_err!(planned.run(data, &Abort::new()).await, AlreadyExists);
            fixture.assert_holds(&name, &rival).await;
            let again = fixture.upload(&name, UploadMode::Create, &body(100, 2)).await;
            assert_err!(again, AlreadyExists);
            fixture.assert_holds(&name, &rival).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_delete_is_done_when_the_file_is_gone() {
    run_everywhere(async |fixture, faults| {
        let path = fixture.path("file");
        for (fault, times) in [
            (Fault::DoneBut(500), 1),
            (Fault::DoneBut(200), 1),
            (Fault::DoneThenReset, 1),
            (Fault::Reset, 1),
            (Fault::Status(503), 3),
        ] {
            fixture.put("file", &body(10, 1)).await;
            faults.add(Call::Delete, 0, times, fault.clone());
            let deleted = fixture.store().delete(&path).await;
            deleted.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            fixture.assert_missing("file").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_delete_that_is_refused_is_reported() {
    run_everywhere(async |fixture, faults| {
        fixture.put("file", &body(10, 1)).await;
        faults.add(Call::Delete, 0, ALWAYS, Fault::Status(403));
        assert_err!(fixture.store().delete(&fixture.path("file")).await, Refused(_));
        fixture.assert_holds("file", &body(10, 1)).await;
    })
    .await;
}

/// `object_store` looks for these words in answers that say success and name the key.
#[tokio::test]
async fn names_that_read_like_errors_are_names() {
    run_everywhere(async |fixture, _| {
        for size in [100, 2 * PART] {
            for (name, other) in [("InternalError.txt", "SlowDown/x"), ("SlowDown/x", "InternalError.txt")] {
                for (seed, mode) in (1..).zip([UploadMode::Create, UploadMode::Replace]) {
                    let what = format!("{mode:?} {name} of {size}");
                    at_once(&what, fixture.upload(name, mode, &body(size, seed))).await;
                    fixture.assert_holds(name, &body(size, seed)).await;
                }
                let (from, to) = (fixture.path(name), fixture.path(other));
                let renaming = fixture.store().rename(&from, &to, Existing::Refuse);
                at_once(&format!("{name} to {other} of {size}"), renaming).await;
                fixture.assert_missing(name).await;
                fixture.assert_holds(other, &body(size, 2)).await;
                at_once(&format!("deleting {other} of {size}"), fixture.store().delete(&to)).await;
                fixture.assert_missing(other).await;
                fixture.assert_nothing_left().await;
            }
        }
    })
    .await;
}

/// Expects that this works without waiting for anything.
async fn at_once<T>(what: &str, step: impl Future<Output = Result<T>>) {
    let began = Instant::now();
    let result = step.await;
    let took = began.elapsed();
    match result {
        Ok(_) => assert!(took < AT_ONCE, "{what}: took {took:?}"),
        Err(error) => panic!("{what}: {error:?} after {took:?}"),
    }
}

/// What stood at the new name before must be known, or it could be taken for the copy.
#[tokio::test]
async fn a_rename_onto_what_cannot_be_looked_at_loses_nothing() {
    run_everywhere(async |fixture, faults| {
        let (source, old) = (body(100, 1), body(100, 2));
        fixture.put("from", &source).await;
        fixture.put("to", &old).await;
        // The first HEAD is the old name's.
        faults.add(Call::Head, 1, 1, Fault::Status(400));
        faults.add(Call::Copy, 0, ALWAYS, Fault::Answer(200, ""));
        let (from, to) = (fixture.path("from"), fixture.path("to"));
        let result = fixture.store().rename(&from, &to, Existing::Replace).await;
        faults.clear();
        assert!(matches!(result, Err(Error::Store(_))), "{result:?}");
        fixture.assert_holds("from", &source).await;
        fixture.assert_holds("to", &old).await;
    })
    .await;
}

#[tokio::test]
async fn a_directory_is_made_and_removed_whatever_is_heard_of_it() {
    run(async |fixture, faults| {
        let (store, path) = (fixture.store(), fixture.path("dir"));
        let lost = [
            Fault::DoneBut(500),
            Fault::DoneBut(200),
            Fault::DoneThenReset,
            Fault::Reset,
            Fault::Status(503),
        ];
        for fault in lost {
            faults.add(Call::Put, 0, 1, fault.clone());
            let made = tokio::time::timeout(SOON, store.make_directory(&path)).await.expect("takes too long");
            made.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert!(fixture.entries("dir").await.expect("a directory").is_empty());
            faults.add(Call::Delete, 0, 1, fault.clone());
            let removed =
                tokio::time::timeout(SOON, store.remove_directory(&path)).await.expect("takes too long");
            removed.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            fixture.assert_missing("dir").await;
        }
    })
    .await;
}

/// What was not done is not said to be.
#[tokio::test]
async fn a_directory_that_was_not_made_or_removed_is_reported() {
    run(async |fixture, faults| {
        let (store, path) = (fixture.store(), fixture.path("dir"));
        faults.add(Call::Put, 0, ALWAYS, Fault::Answer(409, OPERATION_ABORTED));
        assert_err!(store.make_directory(&path).await, Store(_));
        faults.clear();
        fixture.assert_missing("dir").await;
        store.make_directory(&path).await.expect("nothing is there");
        for fault in [Fault::Status(403), Fault::Answer(409, OPERATION_ABORTED)] {
            faults.add(Call::Delete, 0, ALWAYS, fault.clone());
            let removed = store.remove_directory(&path).await;
            faults.clear();
            assert!(matches!(removed, Err(Error::Refused(_) | Error::Store(_))), "{fault:?}: {removed:?}");
            assert!(fixture.entries("dir").await.expect("a directory still").is_empty());
        }
    })
    .await;
}
