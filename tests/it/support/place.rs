//! A gateway together with a way to look into its store, so that one test serves a local folder and S3.

use std::path::PathBuf;

use super::{Gateway, S3Server, Setup, files_below};

/// A gateway and its store.
pub(crate) struct Place {
    pub(crate) gateway: Gateway,
    s3: Option<S3Server>,
}

impl Place {
    /// Files live in a local folder.
    pub(crate) fn local(setup: Setup) -> Self {
        Self { gateway: setup.start(), s3: None }
    }

    /// Files live in a bucket.
    pub(crate) fn s3(setup: Setup) -> Self {
        let server = S3Server::start();
        Self { gateway: setup.s3(&server).start(), s3: Some(server) }
    }

    fn root(&self) -> PathBuf {
        self.s3.as_ref().map_or_else(|| self.gateway.data(), S3Server::bucket)
    }

    /// The stored content; none if there is no such object.
    pub(crate) fn stored(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root().join(path)).ok()
    }

    /// Stores an object behind the gateway's back.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let file = self.root().join(path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        std::fs::write(file, content).expect("a writable folder");
    }

    /// Every object.
    pub(crate) fn objects(&self) -> Vec<String> {
        files_below(&self.root())
    }

    /// What uploads that ended badly have left behind: staged files, open multipart uploads and their parts.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mut left = self.s3.as_ref().map(S3Server::open_uploads).unwrap_or_default();
        left.extend(self.objects().into_iter().filter(|name| name.contains('#')));
        left
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

pub(crate) use on_each_store;
