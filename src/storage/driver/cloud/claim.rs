//! Whose an object is. A store's answer can be lost, late or unreadable after it has done what was asked, and what a retry
//! hears then (404, 409, 412) says nothing about it. So every upload puts a mark of its own on its object, and where an
//! answer leaves it open whether the upload has become the object, the object is asked.

use std::sync::Arc;
use std::time::Duration;

use object_store::{Attribute, Attributes, GetOptions, ObjectStore};
use rand::distr::{Alphanumeric, SampleString};
use tokio::time::timeout;

use super::wire::for_object;
use crate::storage::driver::contract::Mark;
use crate::storage::path::StorePath;

/// The name of the mark in an object's user metadata. Azure takes only letters and digits in it.
const MARK: &str = "bucketportupload";
/// The name of the SHA-256 of the content, in the same place.
pub(super) const CHECKSUM: &str = "bucketportsha256";
/// A store that cannot say what it has done within this time is one that failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// An upload's mark.
#[derive(Debug)]
pub(super) struct Claim(String);

impl Claim {
    /// A mark that no other upload has.
    pub(super) fn new() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), 20))
    }

    /// The mark of an upload that another session began.
    pub(super) fn of(mark: &str) -> Self {
        Self(mark.to_owned())
    }

    /// The mark as it is written down.
    pub(super) fn mark(&self) -> &str {
        &self.0
    }

    /// Adds the mark to what the upload puts on its object.
    pub(super) fn put_on(&self, attributes: &mut Attributes) {
        attributes.insert(Attribute::Metadata(MARK.into()), self.0.clone().into());
    }

    /// Whose the object at `path` is.
    pub(super) async fn holder(&self, objects: &Arc<dyn ObjectStore>, path: &StorePath) -> Holder {
        let head = GetOptions { head: true, ..for_object() };
        let asked = timeout(DEADLINE, objects.get_opts(path.as_path(), head)).await;
        let Ok(Ok(found)) = asked else { return Holder::Unknown };
        if mark_of(&found.attributes).is_some_and(|mark| mark.0 == self.0) {
            tracing::info!(key = %path, "the store's answer said otherwise, but the upload is there");
            Holder::Ours
        } else {
            Holder::Another
        }
    }
}

/// The mark of the upload that has written an object with these attributes.
pub(super) fn mark_of(attributes: &Attributes) -> Option<Mark> {
    attributes.get(&Attribute::Metadata(MARK.into())).map(|mark| Mark(mark.to_string()))
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This upload's.
    Ours,
    /// Somebody else's.
    Another,
    /// There is none, or the store does not say.
    Unknown,
}
