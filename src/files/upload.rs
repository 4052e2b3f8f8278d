//! An upload that was planned, and the name that it gets where its own is taken and nothing may be replaced.

use futures::FutureExt;
use rand::distr::{Alphanumeric, SampleString};

use super::error::Result;
use crate::data::{Abort, DataConnection, Pacing};
use crate::path::VirtualPath;
use crate::storage;

/// How many numbers are tried. A device that gives every file one name would cost a request for each that is there.
const NUMBERS: usize = 9;

/// An upload that is allowed and whose conditions hold. It has not taken anything yet.
#[derive(Debug)]
pub struct PossibleUpload {
    pub(super) upload: storage::PossibleUpload,
    pub(super) naming: Naming,
}

/// An upload whose conditions held when it was planned.
#[derive(Debug)]
pub struct PlannedUpload {
    upload: storage::PlannedUpload,
    naming: Naming,
}

/// Where its name comes from.
#[derive(Debug)]
pub(super) enum Naming {
    /// The client gave it.
    Given,
    /// The client gave it, and it is to be nobody else's.
    Unique,
    /// It was made.
    Made(VirtualPath),
}

impl PossibleUpload {
    /// Where it goes, if that is not where the client said.
    pub fn made_path(&self) -> Option<&VirtualPath> {
        match &self.naming {
            Naming::Made(path) => Some(path),
            Naming::Given | Naming::Unique => None,
        }
    }

    /// Bytes of the file that are there before the first one arrives.
    pub fn begins_at(&self) -> u64 {
        self.upload.begins_at()
    }

    /// Takes up what it goes on with, if that was kept of a broken upload.
    pub async fn take_up(self) -> Result<PlannedUpload> {
        let Self { upload, naming } = self;
        Ok(PlannedUpload { upload: upload.take_up().await?, naming })
    }
}

impl PlannedUpload {
    /// What of the file is in the store already comes from there no faster than `pace` allows.
    pub fn read_at(&mut self, pace: impl Pacing + 'static) {
        self.upload.read_at(pace);
    }

    /// Takes everything from `data` and makes the file appear, or leaves nothing but what is kept for its uploader. Returns
    /// what is there now.
    // Not an `async fn`, which would hold what it begins with beside the future that it makes of it.
    pub fn run(
        self,
        data: Box<dyn DataConnection>,
        abort: &Abort,
    ) -> impl Future<Output = Result<storage::Stored>> + Send {
        let Self { upload, naming } = self;
        upload.run(data, abort).map(move |done| match (done, naming) {
            // Somebody else has taken the name meanwhile: the next try gets another one.
            (Err(storage::Error::AlreadyExists), Naming::Unique | Naming::Made(_)) => {
                Err(storage::Error::Changed.into())
            }
            (done, _) => Ok(done?),
        })
    }
}

/// Names to try one after another where `name` is taken: `x.1.csv` for `x.csv`, and after some that are taken as well one
/// that nobody has.
pub(super) fn made_names(name: &str) -> impl Iterator<Item = String> {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    let numbers = (1..=NUMBERS).map(|number| number.to_string());
    let random = std::iter::once_with(|| Alphanumeric.sample_string(&mut rand::rng(), 12));
    numbers.chain(random).map(move |middle| format!("{stem}.{middle}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_keep_the_extension() {
        for (name, expected) in [
            ("a.csv", "a.1.csv"),
            ("a", "a.1"),
            (".profile", ".profile.1"),
            ("a.tar.gz", "a.tar.1.gz"),
            ("a.", "a.1."),
        ] {
            assert_eq!(made_names(name).next().as_deref(), Some(expected));
        }
        let names: Vec<String> = made_names("x.csv").collect();
        assert_eq!((names.len(), names[8].as_str()), (10, "x.9.csv"));
        assert_eq!(names[9].len(), "x.123456789012.csv".len());
    }
}
