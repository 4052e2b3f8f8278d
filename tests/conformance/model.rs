//! Random operations on a store and on a model of one; results and errors must agree.

use std::collections::{BTreeMap, BTreeSet};

use bucketport::data::DataError;
use bucketport::storage::{EntryKind, Error, Existing, Listed, UploadMode};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::data::Step as Sent;
use crate::fixture::{Entries, Fixture};
use crate::resume::{WINDOW, size, store_of, upload};

/// Files and directories have names of their own: what happens where both want one differs between stores.
const DIRECTORIES: [&str; 6] = ["d", "e", "d/s", "d/s/t", "d-", "e/s"];
const FILES: [&str; 3] = ["f", "g", "f-"];

#[derive(Clone, Debug)]
enum Step {
    Put(String, UploadMode, Vec<u8>),
    Delete(String),
    Make(String),
    Remove(String),
    Rename(String, String, Existing),
    List(String),
    Stat(String),
    Download(String, u64),
    /// What one user does whose broken uploads are kept.
    Kept(String, Kept, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    /// An upload that is complete at the end of its bytes.
    Whole(Begin),
    /// One that breaks there.
    Broken(Begin),
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Anew,
    /// At what SIZE tells.
    Rest,
    Append,
}

/// What a step did; errors by name.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Entry(Option<u64>),
    Entries(Entries),
    Bytes(Vec<u8>),
    Failed(&'static str),
}

#[derive(Debug, Default)]
struct Model {
    files: BTreeMap<String, Vec<u8>>,
    made: BTreeSet<String>,
    /// What arrived of that user's broken uploads.
    kept: BTreeMap<String, Vec<u8>>,
}

impl Model {
    fn is_directory(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        path.is_empty()
            || self.made.contains(path)
            || self.files.keys().chain(&self.made).any(|key| key.starts_with(&prefix))
    }

    /// Whether a file would get the name of a directory, or a directory that of a file.
    fn mixes_names(&self, step: &Step) -> bool {
        let is_taken = |path: &str| self.files.contains_key(path) || self.is_directory(path);
        match step {
            Step::Rename(from, to, _) => {
                let is_file = self.files.contains_key(from);
                is_taken(from) && !is_taken(to) && is_file == DIRECTORIES.contains(&to.as_str())
            }
            Step::Make(path) => !DIRECTORIES.contains(&path.as_str()) && !self.files.contains_key(path),
            _ => false,
        }
    }

    /// Whether it would go on with what was not kept. What that does to a complete file is `Put`'s to show.
    fn has_no_rest(&self, step: &Step) -> bool {
        matches!(step, Step::Kept(path, Kept::Whole(Begin::Rest) | Kept::Broken(Begin::Rest), _)
            if !self.kept.contains_key(path))
    }

    fn keep(&mut self, path: &str, step: Kept, bytes: &[u8]) -> Result<Outcome, &'static str> {
        let (begin, breaks) = match step {
            Kept::Whole(begin) => (begin, false),
            Kept::Broken(begin) => (begin, true),
            Kept::Delete => {
                let given_up = self.kept.remove(path).is_some();
                let deleted = self.try_apply(&Step::Delete(path.to_owned()));
                return if given_up { Ok(Outcome::Done) } else { deleted };
            }
        };
        // An append to a complete file has nothing to do with what is kept.
        if begin == Begin::Append
            && let Some(file) = self.files.get_mut(path)
        {
            if breaks {
                return Err("Lost");
            }
            file.extend_from_slice(bytes);
            return Ok(Outcome::Done);
        }
        let before = self.kept.remove(path).filter(|_| begin != Begin::Anew);
        let is_new_append = begin == Begin::Append && before.is_none();
        let mut new = before.unwrap_or_default();
        new.extend_from_slice(bytes);
        if breaks {
            // One byte is the least that is kept, and who appends to nothing may not look before the next try.
            if !new.is_empty() && !is_new_append {
                self.kept.insert(path.to_owned(), new);
            }
            return Err("Lost");
        }
        self.files.insert(path.to_owned(), new);
        Ok(Outcome::Done)
    }

    /// What SIZE tells that user; none if there is nothing.
    fn progress(&self, path: &str) -> Option<u64> {
        self.kept.get(path).or_else(|| self.files.get(path)).map(|bytes| bytes.len() as u64)
    }

    /// What is taken out of a directory leaves it there.
    fn keep_directory_of(&mut self, path: &str) {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.made.insert(directory.to_owned());
        }
    }

    fn apply(&mut self, step: &Step) -> Outcome {
        self.try_apply(step).unwrap_or_else(Outcome::Failed)
    }

    fn try_apply(&mut self, step: &Step) -> Result<Outcome, &'static str> {
        match step {
            Step::Kept(path, step, bytes) => self.keep(path, *step, bytes),
            Step::Put(path, mode, bytes) => {
                let old = self.files.get(path);
                let kept = match mode {
                    UploadMode::Create if old.is_some() => return Err("AlreadyExists"),
                    UploadMode::Replace | UploadMode::Create => 0,
                    UploadMode::Append => old.map_or(0, Vec::len),
                    UploadMode::From(offset) | UploadMode::Continue(offset) => {
                        usize::try_from(*offset).expect("small")
                    }
                };
                if kept > old.map_or(0, Vec::len) {
                    return Err("OffsetBeyondEnd");
                }
                let mut new = old.map_or(Vec::new(), |old| old[..kept].to_vec());
                new.extend_from_slice(bytes);
                self.files.insert(path.clone(), new);
                Ok(Outcome::Done)
            }
            Step::Delete(path) if self.files.remove(path).is_some() => {
                self.keep_directory_of(path);
                Ok(Outcome::Done)
            }
            Step::Delete(path) => Err(if self.is_directory(path) { "IsADirectory" } else { "NotFound" }),
            Step::Make(path) if self.is_directory(path) || self.files.contains_key(path) => {
                Err("AlreadyExists")
            }
            Step::Make(path) => {
                self.made.insert(path.clone());
                Ok(Outcome::Done)
            }
            Step::Remove(path) if self.files.contains_key(path) => Err("NotADirectory"),
            Step::Remove(path) if !self.is_directory(path) => Err("NotFound"),
            Step::Remove(path) => {
                let prefix = format!("{path}/");
                if self.files.keys().chain(&self.made).any(|key| key.starts_with(&prefix)) {
                    return Err("NotEmpty");
                }
                self.made.remove(path);
                self.keep_directory_of(path);
                Ok(Outcome::Done)
            }
            Step::Rename(from, to, existing) => {
                let Some(bytes) = self.files.get(from).cloned() else {
                    return self.rename_directory(from, to);
                };
                if from == to {
                    return Ok(Outcome::Done);
                }
                if self.is_directory(to) || (*existing == Existing::Refuse && self.files.contains_key(to)) {
                    return Err("AlreadyExists");
                }
                self.files.remove(from);
                self.files.insert(to.clone(), bytes);
                self.keep_directory_of(from);
                Ok(Outcome::Done)
            }
            Step::List(path) if self.is_directory(path) => Ok(Outcome::Entries(self.entries(path))),
            Step::List(path) | Step::Stat(path) => match self.files.get(path) {
                Some(bytes) => Ok(Outcome::Entry(Some(bytes.len() as u64))),
                None if self.is_directory(path) => Ok(Outcome::Entry(None)),
                None => Err("NotFound"),
            },
            Step::Download(path, offset) => match self.files.get(path) {
                None => Err(if self.is_directory(path) { "IsADirectory" } else { "NotFound" }),
                Some(bytes) => {
                    let rest = bytes.get(usize::try_from(*offset).expect("small")..);
                    rest.map(|rest| Outcome::Bytes(rest.to_vec())).ok_or("OffsetBeyondEnd")
                }
            },
        }
    }

    fn rename_directory(&mut self, from: &str, to: &str) -> Result<Outcome, &'static str> {
        if !self.is_directory(from) {
            return Err("NotFound");
        }
        if from == to {
            return Ok(Outcome::Done);
        }
        if to.starts_with(&format!("{from}/")) {
            return Err("NameNotAllowed");
        }
        if self.is_directory(to) || self.files.contains_key(to) {
            return Err("AlreadyExists");
        }
        let moved = |path: &str| match path.strip_prefix(from) {
            Some(below) if below.is_empty() || below.starts_with('/') => format!("{to}{below}"),
            _ => path.to_owned(),
        };
        self.files =
            std::mem::take(&mut self.files).into_iter().map(|(path, bytes)| (moved(&path), bytes)).collect();
        self.made = self.made.iter().map(|path| moved(path)).collect();
        self.keep_directory_of(from);
        Ok(Outcome::Done)
    }

    fn entries(&self, path: &str) -> Entries {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = |key: &String| key.strip_prefix(&prefix).map(str::to_owned);
        let files =
            self.files.iter().filter_map(|(key, bytes)| Some((below(key)?, Some(bytes.len() as u64))));
        let made = self.made.iter().filter_map(|key| Some((below(key)?, None)));
        made.chain(files)
            .map(|(name, size)| match name.split_once('/') {
                Some((directory, _)) => (directory.to_owned(), None),
                None => (name, size),
            })
            .collect()
    }
}

async fn apply(fixture: &Fixture, step: &Step) -> Outcome {
    try_apply(fixture, step).await.unwrap_or_else(|error| Outcome::Failed(name_of(&error)))
}

async fn try_apply(fixture: &Fixture, step: &Step) -> Result<Outcome, Error> {
    let store = fixture.store();
    match step {
        Step::Put(path, mode, bytes) => {
            let bytes = Bytes::copy_from_slice(bytes);
            let taken = fixture.upload(path, *mode, &bytes).await?;
            assert_eq!(taken, bytes.len() as u64);
            Ok(Outcome::Done)
        }
        Step::Delete(path) => store.delete(&fixture.path(path)).await.map(|()| Outcome::Done),
        Step::Make(path) => store.make_directory(&fixture.path(path)).await.map(|()| Outcome::Done),
        Step::Remove(path) => store.remove_directory(&fixture.path(path)).await.map(|()| Outcome::Done),
        Step::Rename(from, to, existing) => {
            let renamed = store.rename(&fixture.path(from), &fixture.path(to), *existing).await;
            renamed.map(|()| Outcome::Done)
        }
        Step::List(path) => match store.list(&fixture.path(path)).await {
            Ok(Listed::File(entry)) => Ok(Outcome::Entry(Some(entry.size()))),
            Ok(Listed::Directory(_)) => Ok(Outcome::Entries(fixture.entries(path).await?)),
            // The prefix in a store's URL is no directory before anything is in it; `Files` hides that.
            Err(Error::NotFound) if path.is_empty() => Ok(Outcome::Entries(Entries::new())),
            Err(error) => Err(error),
        },
        Step::Stat(path) => match store.stat(&fixture.path(path)).await?.kind {
            EntryKind::File { size } => Ok(Outcome::Entry(Some(size))),
            EntryKind::Directory => Ok(Outcome::Entry(None)),
        },
        Step::Download(path, offset) => fixture.download(path, *offset).await.map(Outcome::Bytes),
        Step::Kept(path, step, bytes) => keep(fixture, path, *step, bytes).await,
    }
}

async fn keep(fixture: &Fixture, path: &str, step: Kept, bytes: &[u8]) -> Result<Outcome, Error> {
    let (begin, end) = match step {
        Kept::Whole(begin) => (begin, None),
        Kept::Broken(begin) => (begin, Some(Sent::Lose)),
        Kept::Delete => {
            return store_of(fixture, "acme").delete(&fixture.path(path)).await.map(|()| Outcome::Done);
        }
    };
    let mode = match begin {
        Begin::Anew => UploadMode::Replace,
        Begin::Rest => UploadMode::From(size(fixture, "acme", path).await?),
        Begin::Append => UploadMode::Append,
    };
    let sent = Sent::Send(Bytes::copy_from_slice(bytes));
    let taken = upload(fixture, path, mode, [sent].into_iter().chain(end).collect()).await?;
    assert_eq!(taken, bytes.len() as u64);
    Ok(Outcome::Done)
}

fn name_of(error: &Error) -> &'static str {
    match error {
        Error::NotFound => "NotFound",
        Error::IsADirectory => "IsADirectory",
        Error::NotADirectory => "NotADirectory",
        Error::AlreadyExists => "AlreadyExists",
        Error::NotEmpty => "NotEmpty",
        Error::OffsetBeyondEnd => "OffsetBeyondEnd",
        Error::NameNotAllowed(_) => "NameNotAllowed",
        Error::Data(DataError::Lost(_)) => "Lost",
        other => panic!("no step can fail with {other:?}"),
    }
}

fn directory() -> impl Strategy<Value = String> {
    prop::sample::select(&DIRECTORIES[..]).prop_map(str::to_owned)
}

fn file() -> impl Strategy<Value = String> {
    let directory = prop_oneof![Just(String::new()), directory().prop_map(|directory| directory + "/")];
    (directory, prop::sample::select(&FILES[..])).prop_map(|(directory, name)| directory + name)
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![file(), directory()]
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        3 => Just(UploadMode::Replace),
        1 => Just(UploadMode::Create),
        2 => Just(UploadMode::Append),
        1 => (0..20_u64).prop_map(UploadMode::From),
    ];
    let begin = prop_oneof![Just(Begin::Anew), Just(Begin::Rest), Just(Begin::Append)];
    let kept = prop_oneof![
        3 => begin.clone().prop_map(Kept::Whole),
        6 => begin.prop_map(Kept::Broken),
        1 => Just(Kept::Delete),
    ];
    let existing = prop_oneof![Just(Existing::Replace), Just(Existing::Refuse)];
    prop_oneof![
        6 => (file(), mode, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(path, mode, bytes)| Step::Put(path, mode, bytes)),
        3 => any_path().prop_map(Step::Delete),
        3 => any_path().prop_map(Step::Make),
        3 => any_path().prop_map(Step::Remove),
        3 => (any_path(), any_path(), existing).prop_map(|(from, to, existing)| Step::Rename(from, to, existing)),
        3 => (directory(), directory()).prop_map(|(from, to)| Step::Rename(from, to, Existing::Replace)),
        2 => prop_oneof![Just(String::new()), any_path()].prop_map(Step::List),
        2 => any_path().prop_map(Step::Stat),
        2 => (any_path(), 0..20_u64).prop_map(|(path, offset)| Step::Download(path, offset)),
        12 => (file(), kept, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(path, step, bytes)| Step::Kept(path, step, bytes)),
    ]
}

/// Makes and shrinks sequences; after each step the whole tree is compared.
fn agrees<F: Future<Output = Option<Fixture>>>(cases: u32, open: impl Fn() -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    // What has failed once is tried first.
    let failures = FileFailurePersistence::Direct("tests/conformance/model.regressions");
    let config = Config { cases, failure_persistence: Some(Box::new(failures)), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&prop::collection::vec(step(), 1..30), |steps| {
        runtime.block_on(async {
            let fixture = open().await.expect("always there").keeping(WINDOW);
            let mut model = Model::default();
            for step in &steps {
                if model.mixes_names(step) || model.has_no_rest(step) {
                    continue;
                }
                let expected = model.apply(step);
                prop_assert_eq!(apply(&fixture, step).await, expected, "{:?}", step);
                if let Step::Kept(path, ..) | Step::Put(path, ..) | Step::Delete(path) = step
                    && !model.is_directory(path)
                {
                    let told = match size(&fixture, "acme", path).await {
                        Err(Error::NotFound) => None,
                        told => Some(told.expect("it answers")),
                    };
                    prop_assert_eq!(told, model.progress(path), "{:?}", step);
                }
                for directory in [""].iter().chain(&DIRECTORIES) {
                    let list = Step::List((*directory).to_owned());
                    prop_assert_eq!(
                        apply(&fixture, &list).await,
                        model.apply(&list),
                        "{:?} after {:?}",
                        directory,
                        step
                    );
                }
            }
            for (path, bytes) in &model.files {
                fixture.assert_holds(path, bytes).await;
            }
            for path in model.kept.keys() {
                store_of(&fixture, "acme").delete(&fixture.path(path)).await.expect("kept");
            }
            fixture.finish(Ok(())).await;
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn memory_agrees_with_the_model() {
    agrees(32, Fixture::on_memory);
}

#[test]
fn a_local_folder_agrees_with_the_model() {
    agrees(32, Fixture::on_local);
}

#[test]
fn s3_agrees_with_the_model() {
    agrees(6, Fixture::on_s3_flat);
}
