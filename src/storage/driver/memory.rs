//! The memory store, for tests: `object_store`'s own, with the listing in pages that the clouds have.

use async_trait::async_trait;
use futures::StreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ListResult, ObjectStore, Result};

/// Lists everything in one page.
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
        let result = if opts.delimiter.is_some() {
            self.0.list_with_delimiter(prefix.as_ref()).await?
        } else {
            let found = self.0.list(prefix.as_ref()).take(opts.max_keys.unwrap_or(usize::MAX));
            let objects = found.collect::<Vec<_>>().await.into_iter().collect::<Result<_>>()?;
            ListResult { objects, common_prefixes: Vec::new(), extensions: opts.extensions }
        };
        Ok(PaginatedListResult { result, page_token: None })
    }
}
