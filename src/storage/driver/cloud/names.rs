//! Names that one kind of store cannot hold, or makes others of. What none of them holds is no [`StorePath`].

use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// The rules of a kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Names {
    /// S3 and memory: every path that there is.
    Any,
    /// <https://cloud.google.com/storage/docs/objects#naming>
    Gcs,
    /// <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata>
    Azure,
}

/// Azure counts the parts of a name.
const AZURE_SEGMENTS: usize = 254;

impl Names {
    /// Fails if the store does not keep this name as it is.
    pub(super) fn check(self, path: &StorePath) -> Result<()> {
        let refused = match self {
            Self::Any => None,
            Self::Gcs => gcs(path.as_str()),
            Self::Azure => azure(path.as_str()),
        };
        refused.map_or(Ok(()), |why| Err(Error::NameNotAllowed(why)))
    }
}

fn gcs(key: &str) -> Option<&'static str> {
    // The directory itself is not reserved, but nothing can be kept in it.
    let reserved = key == ".well-known/acme-challenge" || key.starts_with(".well-known/acme-challenge/");
    reserved.then_some("Google keeps .well-known/acme-challenge for its own use")
}

fn azure(key: &str) -> Option<&'static str> {
    if key.contains('\\') {
        return Some("Azure makes a slash of a backslash");
    }
    if key.split('/').any(|segment| segment.ends_with('.')) {
        return Some("Azure does not keep a dot at the end of a name");
    }
    (key.split('/').count() > AZURE_SEGMENTS).then_some("more than 254 directories below each other")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use tokio::runtime::Handle;

    use super::*;
    use crate::config::{StoreConfig, TransferConfig};
    use crate::metrics::Metrics;
    use crate::shutdown::Shutdown;
    use crate::storage::budget::Budget;
    use crate::storage::driver::{Bucket, Condition, Driver, Existing, Get, Memory, OnePage};

    fn path(key: &str) -> StorePath {
        StorePath::root().join(key).expect("a path")
    }

    #[test]
    fn each_kind_has_its_rules() {
        let deep = ["d"; 255].join("/");
        for (names, wrong) in [
            (Names::Gcs, vec![".well-known/acme-challenge/x", ".well-known/acme-challenge"]),
            (Names::Azure, vec!["a\\b", "dir\\/x", "a.", "dir./x", "...", &deep]),
        ] {
            for key in wrong {
                assert!(matches!(names.check(&path(key)), Err(Error::NameNotAllowed(_))), "{names:?} {key}");
                assert!(Names::Any.check(&path(key)).is_ok(), "{key}");
            }
            for key in ["a", ".hidden", "a.b/c", ".well-known/other", "x/.well-known/acme-challenge/y", "é?#"]
            {
                assert!(names.check(&path(key)).is_ok(), "{names:?} {key}");
            }
        }
    }

    /// Whatever is asked: another file would be meant.
    #[tokio::test]
    async fn no_operation_takes_a_name_that_means_another() {
        let transfer = TransferConfig {
            memory: 1 << 20,
            part_size: 5 << 20,
            upload_concurrency: 1,
            download_concurrency: 1,
        };
        let budget = Budget::new(1 << 20, Arc::new(Metrics::new([], [])));
        let (objects, shutdown) = (InMemory::new(), Shutdown::new(Handle::current()));
        let pages = OnePage(objects.clone());
        let config = StoreConfig::at("memory:///".parse().expect("a URL"));
        let azure = Bucket::new(objects, pages, Names::Azure, &config, &transfer, &budget, &shutdown);
        let (wrong, right) = (path("a\\b"), path("a/b"));
        let get = Get { from: 0, to: None, version: None, memory: Memory::Callers };
        let made = azure.destination(&right).await.expect("possible").put(Vec::new(), &Condition::Any).await;
        made.expect("nothing is there");
        let meta = azure.head(&right).await.expect("just made");
        let refused = [
            azure.head(&wrong).await.map(drop),
            azure.get(&wrong, get).await.map(drop),
            azure.destination(&wrong).await.map(drop),
            azure.delete(&wrong).await,
            azure.copy(&right, &wrong, &meta, Existing::Replace).await,
            azure.copy(&wrong, &right, &meta, Existing::Replace).await,
            azure.list(&wrong).await.map(drop),
            azure.keys_below(&wrong, 1).await.map(drop),
            azure.keys(&wrong).await.map(drop),
            azure.directory(&wrong).await.map(drop),
        ];
        for (number, result) in refused.into_iter().enumerate() {
            assert!(matches!(result, Err(Error::NameNotAllowed(_))), "{number}: {result:?}");
        }
    }
}
