//! The memory store, for tests: `object_store`'s own, with the listing in pages that the clouds have.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ListResult, ObjectStore, Result};

/// Lists a directory in one page, and keys in pages of the size that is asked for.
#[derive(Debug)]
pub(in crate::storage) struct OnePage(pub(in crate::storage) InMemory);

#[async_trait]
impl PaginatedListStore for OnePage {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        opts: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let prefix = prefix.map(|prefix| Path::parse(prefix.trim_end_matches('/'))).transpose()?;
        let mut page_token = None;
        let result = if opts.delimiter.is_some() {
            self.0.list_with_delimiter(prefix.as_ref()).await?
        } else {
            let limit = opts.max_keys.unwrap_or(usize::MAX);
            let found = match &opts.page_token {
                Some(last) => self.0.list_with_offset(prefix.as_ref(), &Path::parse(last)?),
                None => self.0.list(prefix.as_ref()),
            };
            let objects = found.take(limit).try_collect::<Vec<_>>().await?;
            page_token =
                objects.last().filter(|_| objects.len() == limit).map(|last| last.location.to_string());
            ListResult { objects, common_prefixes: Vec::new(), extensions: opts.extensions }
        };
        Ok(PaginatedListResult { result, page_token })
    }
}
