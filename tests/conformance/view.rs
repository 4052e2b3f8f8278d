//! Random paths and mounts against a small model of them: each file is where the model has it, and nothing else anywhere
//! has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use bucketport::config::{Config, Environment, UserConfig};
use bucketport::data::{Abort, Content};
use bucketport::files::{Error, Files, Listed, Result};
use bucketport::metrics::Metrics;
use bucketport::path::VirtualPath;
use bucketport::shutdown::Shutdown;
use bucketport::storage::{self, Budget, Stores, UploadMode};
use bucketport::user::User;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, FileFailurePersistence, TestRunner};

use crate::data::{FakeData, Step as Sent};
use crate::fixture::PlansUploads;

const STORES: [&str; 2] = ["a", "b"];
/// Where a mount can be, and what it is of.
const MOUNTS: [(&str, &str, &str); 5] =
    [("", "a", "h"), ("m", "b", "h"), ("m/d", "a", "m"), ("d/e/m", "b", "x/y"), ("e", "a", "hh")];
/// What is in each store from the start: in homes, beside them, and where a mount hides it.
const BEFORE: [&str; 9] = ["f", "h/f", "h/m/f", "h/m/d/f", "h/d/e/m/f", "x/f", "x/y/f", "hh/f", "m/f"];

#[derive(Clone, Debug)]
enum Step {
    Put(String),
    Get(String),
    Delete(String),
    Rename(String, String),
    RenameDirectory(String, String),
    List(String),
}

type Place = (&'static str, String);

struct Model {
    mounts: Vec<(&'static str, &'static str, &'static str)>,
    files: BTreeMap<Place, Vec<u8>>,
    /// Directories that outlive what was in them.
    kept: BTreeSet<Place>,
}

/// What the client means, without any of the gateway's code.
fn normal(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments
}

impl Model {
    fn new(mounts: &[usize]) -> Self {
        let files = STORES.into_iter().flat_map(|store| {
            BEFORE.map(|key| ((store, key.to_owned()), format!("{store} {key}").into_bytes()))
        });
        let mounts = mounts.iter().map(|&index| MOUNTS[index]).collect();
        Self { mounts, files: files.collect(), kept: BTreeSet::new() }
    }

    fn is_fixed(&self, path: &str) -> bool {
        let path = normal(path);
        path.is_empty() || self.mounts.iter().any(|(at, ..)| normal(at).starts_with(&path))
    }

    /// The mount, and the place in its store; none where nothing is.
    fn place(&self, path: &str) -> Option<(&'static str, Place)> {
        let path = normal(path);
        let mounts = self.mounts.iter().filter(|(at, ..)| path.starts_with(&normal(at)));
        let (at, store, home) = mounts.max_by_key(|(at, ..)| normal(at).len())?;
        let key = [&normal(home)[..], &path[normal(at).len()..]].concat().join("/");
        Some((at, (store, key)))
    }

    fn writable(&self, path: &str) -> Option<(&'static str, Place)> {
        self.place(path).filter(|_| !self.is_fixed(path))
    }

    fn is_directory(&self, place: &Place) -> bool {
        let prefix = format!("{}/", place.1);
        let mut all = self.files.keys().chain(&self.kept);
        self.kept.contains(place) || all.any(|(store, key)| *store == place.0 && key.starts_with(&prefix))
    }

    fn keep_directory_of(&mut self, mount: &str, (store, key): &Place) {
        let (_, _, home) = self.mounts.iter().find(|(at, ..)| *at == mount).expect("one of them");
        let (directory, _) = key.rsplit_once('/').expect("homes are folders");
        if directory != *home {
            self.kept.insert((store, directory.to_owned()));
        }
    }

    /// Whether it can be done, and what it tells.
    fn apply(&mut self, step: &Step, content: &[u8]) -> Option<Vec<u8>> {
        match step {
            Step::Put(path) => {
                let (_, place) = self.writable(path)?;
                self.files.insert(place, content.to_vec());
            }
            Step::Get(path) => {
                let (_, place) = self.writable(path)?;
                return self.files.get(&place).cloned();
            }
            Step::Delete(path) => {
                let (mount, place) = self.writable(path)?;
                self.files.remove(&place)?;
                self.keep_directory_of(mount, &place);
            }
            Step::Rename(from, to) => {
                let ((mount, from), (other, to)) = (self.writable(from)?, self.writable(to)?);
                let bytes = self.files.get(&from).filter(|_| mount == other)?.clone();
                if from != to {
                    self.files.remove(&from);
                    self.files.insert(to, bytes);
                    self.keep_directory_of(mount, &from);
                }
            }
            Step::RenameDirectory(from, to) => {
                let ((mount, from), (other, to)) = (self.writable(from)?, self.writable(to)?);
                if mount != other || !self.is_directory(&from) {
                    return None;
                }
                if from == to {
                    return Some(Vec::new());
                }
                if self.is_directory(&to) || to.1.starts_with(&format!("{}/", from.1)) {
                    return None;
                }
                let moved = |(store, key): &Place| match key.strip_prefix(&from.1) {
                    Some(rest) if *store == from.0 && (rest.is_empty() || rest.starts_with('/')) => {
                        (*store, format!("{}{rest}", to.1))
                    }
                    _ => (*store, key.clone()),
                };
                self.files = self.files.iter().map(|(place, bytes)| (moved(place), bytes.clone())).collect();
                self.kept = self.kept.iter().map(moved).collect();
                self.keep_directory_of(mount, &from);
            }
            Step::List(path) => {
                let place = self.place(path).map(|(_, place)| place);
                if !self.is_fixed(path) && !place.as_ref().is_some_and(|place| self.is_directory(place)) {
                    return None;
                }
                let mut names = BTreeSet::new();
                if let Some((store, directory)) = place {
                    let all = self.files.keys().chain(&self.kept).filter(|(other, _)| *other == store);
                    let below = all.filter_map(|(_, key)| key.strip_prefix(&format!("{directory}/")));
                    names.extend(below.filter_map(|rest| rest.split('/').next()));
                }
                let path = normal(path);
                let mounts = self.mounts.iter().map(|(at, ..)| normal(at));
                names.extend(
                    mounts.filter(|at| at.starts_with(&path)).filter_map(|at| at.get(path.len()).copied()),
                );
                return Some(names.into_iter().collect::<Vec<_>>().join(" ").into_bytes());
            }
        }
        Some(Vec::new())
    }
}

struct Gateway {
    stores: Stores,
    files: Files,
}

impl Gateway {
    async fn start(mounts: &[usize]) -> Self {
        let stores = STORES.map(|store| format!("[stores.{store}]\nurl = \"memory:///\"\n")).concat();
        let mount = |&index: &usize| {
            let (path, store, home) = MOUNTS[index];
            format!("[[users.mounts]]\npath = \"/{path}\"\nstore = \"{store}\"\nhome = \"{home}\"\n")
        };
        let mounts: String = mounts.iter().map(mount).collect();
        let text = format!("{stores}[[users]]\nname = \"acme\"\npassword = \"x\"\n{mounts}");
        let config =
            Config::parse(&text, &Environment::new()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let metrics = Arc::new(Metrics::new(STORES, []));
        let budget = Budget::new(16 << 20, Arc::clone(&metrics));
        let shutdown = Shutdown::new(tokio::runtime::Handle::current());
        let stores = Stores::build(&config.stores, &config.transfer, &budget, &metrics, &shutdown);
        let stores = stores.expect("memory");
        for name in STORES {
            let store = stores.find(name).expect("configured");
            for key in BEFORE {
                let path = store.root().join(key).expect("plain");
                let content = Bytes::from(format!("{name} {key}"));
                let (data, _) = FakeData::uploads([Sent::Send(content)]);
                let plan = store.plan_upload(&path, UploadMode::Replace).await.expect("possible");
                plan.run(data, &Abort::new()).await.expect("stored");
            }
        }
        let UserConfig { name, profile, source, .. } = config.users[0].clone();
        let user = Arc::new(User { name, profile, source });
        let files = Files::of(&user, Ipv4Addr::LOCALHOST.into(), &stores).expect("its stores exist");
        Self { stores, files }
    }

    async fn apply(&self, step: &Step, content: &[u8]) -> Result<Vec<u8>> {
        let path = |path: &str| VirtualPath::root().resolve(path).expect("plain");
        let files = &self.files;
        match step {
            Step::Put(at) => {
                let plan = files.check_upload(&path(at), UploadMode::Replace, Content::AsSent).await?;
                let plan = plan.take_up().await?;
                let (data, _) = FakeData::uploads([Sent::Send(Bytes::copy_from_slice(content))]);
                plan.run(data, &Abort::new()).await?;
            }
            Step::Get(at) => {
                let (data, seen) = FakeData::downloads();
                files.plan_download(&path(at), 0).await?.run(data, &Abort::new()).await?;
                return Ok(std::mem::take(&mut seen.lock().expect("no holder panics").received));
            }
            Step::Delete(at) => files.delete(&path(at))?.await?,
            Step::Rename(from, to) | Step::RenameDirectory(from, to) => {
                files.rename(&path(from), &path(to)).await?.await?;
            }
            Step::List(at) => {
                let Listed::Directory(mut listing) = files.list(&path(at)).await? else {
                    return Err(storage::Error::NotADirectory.into());
                };
                let mut names = Vec::new();
                while let Some(page) = listing.next_page().await? {
                    names.extend(page.into_iter().map(|entry| entry.name));
                }
                // Twice is a mistake.
                names.sort();
                return Ok(names.join(" ").into_bytes());
            }
        }
        Ok(Vec::new())
    }

    /// Everything in every store.
    async fn content(&self) -> BTreeMap<Place, Vec<u8>> {
        let mut found = BTreeMap::new();
        for name in STORES {
            let store = self.stores.find(name).expect("configured");
            let mut folders = vec![String::new()];
            while let Some(folder) = folders.pop() {
                let path = store.root().join(folder.trim_end_matches('/')).expect("listed");
                let Ok(storage::Listed::Directory(mut listing)) = store.list(&path).await else { continue };
                while let Some(page) = listing.next_page().await.expect("a page") {
                    for entry in page {
                        let key = format!("{folder}{}", entry.name);
                        if entry.is_directory() {
                            folders.push(key + "/");
                            continue;
                        }
                        let (data, seen) = FakeData::downloads();
                        let path = store.root().join(&key).expect("listed");
                        let plan = store.plan_download(&path, 0).await.expect("listed");
                        plan.run(data, &Abort::new()).await.expect("there");
                        let bytes = std::mem::take(&mut seen.lock().expect("no holder panics").received);
                        found.insert((name, key), bytes);
                    }
                }
            }
        }
        found
    }
}

/// A path of directories, in any spelling.
fn directory() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        6 => prop::sample::select(&["m", "d", "e", "h", "x"][..]),
        3 => Just(".."),
        1 => Just("."),
        1 => Just(""),
    ];
    prop::collection::vec(segment, 0..6).prop_map(|segments| segments.join("/"))
}

/// Files and directories have names of their own.
fn file() -> impl Strategy<Value = String> {
    (directory(), prop::sample::select(&["f", "g"][..]))
        .prop_map(|(directory, name)| format!("{directory}/{name}"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => file().prop_map(Step::Put),
        3 => file().prop_map(Step::Get),
        2 => file().prop_map(Step::Delete),
        4 => (file(), file()).prop_map(|(from, to)| Step::Rename(from, to)),
        4 => (directory(), directory()).prop_map(|(from, to)| Step::RenameDirectory(from, to)),
        3 => directory().prop_map(Step::List),
    ]
}

#[test]
fn paths_lead_where_the_mounts_say_and_nowhere_else() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    // What has failed once is tried first.
    let failures = FileFailurePersistence::Direct("tests/conformance/view.regressions");
    let cases = Cases { cases: 96, failure_persistence: Some(Box::new(failures)), ..Cases::default() };
    let mounts = prop::sample::subsequence((0..MOUNTS.len()).collect::<Vec<_>>(), 1..=MOUNTS.len());
    let steps = prop::collection::vec(step(), 1..25);
    let result = TestRunner::new(cases).run(&(mounts, steps), |(mounts, steps)| {
        runtime.block_on(async {
            let (gateway, mut model) = (Gateway::start(&mounts).await, Model::new(&mounts));
            for (number, step) in steps.iter().enumerate() {
                let content = format!("content {number}").into_bytes();
                let done = gateway.apply(step, &content).await;
                if let Err(Error::Internal(_) | Error::Storage(storage::Error::Store(_))) = &done {
                    panic!("{step:?}: {done:?}");
                }
                prop_assert_eq!(done.ok(), model.apply(step, &content), "{:?}", step);
                prop_assert_eq!(&gateway.content().await, &model.files, "after {:?}", step);
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
