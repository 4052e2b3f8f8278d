//! A gateway together with a way to look into its store, so that one test serves a local folder, S3 and memory.

use std::path::PathBuf;

use super::{Gateway, Raw, S3Server, Setup, files_below};

/// Where the gateway keeps its records.
const RECORDS: &str = ".bucketport/";

/// A gateway and its store.
pub(crate) struct Place {
    pub(crate) gateway: Gateway,
    store: Store,
}

/// Where the files live, as seen from behind the gateway.
enum Store {
    Folder(PathBuf),
    Bucket(S3Server),
    /// In the gateway's memory, where only the gateway itself can look.
    Memory,
}

impl Place {
    /// Files live in a local folder.
    pub(crate) fn local(setup: Setup) -> Self {
        let gateway = setup.start();
        Self { store: Store::Folder(gateway.data()), gateway }
    }

    /// Files live in a bucket.
    pub(crate) fn s3(setup: Setup) -> Self {
        let server = S3Server::start();
        Self { gateway: setup.s3(&server).start(), store: Store::Bucket(server) }
    }

    /// Files live in the gateway's memory. `setup` has the user `demo`, who sees all of it.
    pub(crate) fn memory(setup: Setup) -> Self {
        Self { gateway: setup.at("memory:///", Vec::new()).start(), store: Store::Memory }
    }

    /// The folder that holds the objects, one file each; none for memory.
    fn root(&self) -> Option<PathBuf> {
        match &self.store {
            Store::Folder(folder) => Some(folder.clone()),
            Store::Bucket(server) => Some(server.bucket()),
            Store::Memory => None,
        }
    }

    /// The stored content; none if there is no such object.
    pub(crate) fn stored(&self, path: &str) -> Option<Vec<u8>> {
        let Some(root) = self.root() else {
            let mut raw = self.gateway.login();
            let found = raw.ask(&format!("SIZE /{path}")).code == 213;
            return found.then(|| raw.retr(&format!("/{path}")));
        };
        std::fs::read(root.join(path)).ok()
    }

    /// Stores an object behind the gateway's back; through it where there is no other way.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let Some(root) = self.root() else {
            return self.gateway.login().stor(&format!("/{path}"), content);
        };
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        std::fs::write(file, content).expect("a writable folder");
    }

    /// Every object but the gateway's own records, sorted; those in memory without markers.
    pub(crate) fn objects(&self) -> Vec<String> {
        self.all().into_iter().filter(|name| !name.starts_with(RECORDS)).collect()
    }

    /// The gateway's own records. Those of what has ended go in the background.
    pub(crate) fn records(&self) -> Vec<String> {
        self.all().into_iter().filter(|name| name.starts_with(RECORDS)).collect()
    }

    /// Every object.
    fn all(&self) -> Vec<String> {
        let Some(root) = self.root() else {
            let mut found = Vec::new();
            walk(&mut self.gateway.login(), "", &mut found);
            found.sort();
            return found;
        };
        files_below(&root)
    }

    /// What uploads that ended badly have left behind: staged files, open multipart uploads and their parts.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mut left = match &self.store {
            Store::Bucket(server) => server.open_uploads(),
            Store::Folder(_) | Store::Memory => Vec::new(),
        };
        left.extend(self.objects().into_iter().filter(|name| name.contains('#')));
        left
    }
}

/// Adds the files below `folder`, which is empty for the root and else ends in a slash.
fn walk(raw: &mut Raw, folder: &str, found: &mut Vec<String>) {
    for line in raw.list(&format!("MLSD /{folder}")) {
        let (facts, name) = line.split_once(' ').expect("a space before the name");
        if facts.contains("type=dir;") {
            walk(raw, &format!("{folder}{name}/"), found);
        } else {
            found.push(format!("{folder}{name}"));
        }
    }
}

/// Makes tests of functions that take a `&Place`: one on a local folder, one on S3, both configured by `$setup`.
macro_rules! on_each_store {
    ($setup:expr; $($name:ident)*) => {
        mod local {
            $(#[test] fn $name() { super::$name(&$crate::support::Place::local($setup)); })*
        }
        mod s3 {
            $(#[test] fn $name() { super::$name(&$crate::support::Place::s3($setup)); })*
        }
    };
}

/// Like `on_each_store`, and one in memory.
macro_rules! on_each_store_and_in_memory {
    ($setup:expr; $($name:ident)*) => {
        $crate::support::on_each_store! { $setup; $($name)* }
        mod memory {
            $(#[test] fn $name() { super::$name(&$crate::support::Place::memory($setup)); })*
        }
    };
}

pub(crate) use {on_each_store, on_each_store_and_in_memory};
